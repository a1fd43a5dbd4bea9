"""``pykka-smtp outbox run``: worker processes that send what is in the file."""

import argparse
import logging
import math
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from ....actors.mailer.capacity.pacing import Rate, parse_rate
from ....actors.options.options import collect_options
from ....smtp.sasl.secret import Secret
from ...sysexits import EX_OK, EX_TEMPFAIL, EX_UNAVAILABLE, EX_USAGE, SIGNALLED
from ..complaints import ComplaintError
from ..sealing import import_here, seals_of
from .lines import log_plainly, notify_manager
from .signals import Signals
from .workers import Workers

_URL = "SMTP_URL"
_ALIAS = "outbox run"
_TICK = 0.25
_REPORT = 60.0
"""Seconds between two lines about what was done."""


def run(options: argparse.Namespace, _out: TextIO, _err: TextIO) -> int:
    """Send what is in the file until a signal comes.

    Args:
        options: what `arguments` has parsed.

    Returns:
        The exit status.

    Raises:
        ComplaintError: an option is wrong.
    """
    told = _told(options)
    log = log_plainly()
    with Signals() as interrupts:
        workers = Workers(options.workers, told, log, lambda: _say_ready(log, options))
        report = _Report(workers, log)
        while interrupts.number is None and workers.hopeless is None:
            workers.look(_TICK)
            report.look()
        notify_manager("STOPPING=1")
        if interrupts.number is not None:
            name = signal.Signals(interrupts.number).name
            log.info("%s: emails in flight have %g s; what waits stays", name, options.grace)
        is_clean = workers.stop(options.grace, lambda: interrupts.is_urgent)
        report.say()
        if workers.hopeless is not None:
            return workers.hopeless
        if not is_clean:
            log.warning("workers were killed; the next start goes on with what they had in hand")
        if interrupts.number == signal.SIGTERM:  # how service managers say that all is well
            return EX_OK if is_clean else EX_TEMPFAIL
        return SIGNALLED + (interrupts.number or 0)


def _say_ready(log: logging.Logger, options: argparse.Namespace) -> None:
    log.info("sending what is in %s", options.path)
    notify_manager("READY=1")


class _Report:
    """Says from time to time what was done since, if anything was."""

    def __init__(self, workers: Workers, log: logging.Logger) -> None:
        self._workers = workers
        self._log = log
        self._next = time.monotonic() + _REPORT
        self._said: dict[str, int] = {}

    def look(self) -> None:
        """Say it if it is time."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _REPORT
            self.say()

    def say(self) -> None:
        """Say it if anything was done."""
        totals = dict(self._workers.totals)
        if totals != self._said and any(totals.values()):
            self._said = totals
            names = ("sent", "failed", "retries", "doubts")
            self._log.info("%s", ", ".join(f"{totals.get(name, 0)} {name}" for name in names))


def _told(options: argparse.Namespace) -> dict[str, Any]:
    """Return what a worker is told. Everything is checked before one is started."""
    url = options.url or os.environ.get(_URL, "")
    if not url:
        raise ComplaintError(EX_USAGE, f"needs a relay URL: in {_URL}, or as --url")
    named = [("--url" if options.url else _URL, url)]
    named += [("--backup", backup) for backup in options.backup]
    for name, one in named:
        _check_url(name, one)
    folder = Path(options.path).absolute().parent
    if not folder.is_dir():
        raise ComplaintError(EX_USAGE, f"{folder} is no folder; make it first")
    if options.imports or options.seals:
        import_here()
    seals_of(options)  # checks it
    _check_keys(options.dkim)
    rate = _share(options)
    given = {
        "url": url,
        "backups": options.backup,
        "alias": options.hear or _ALIAS,
        "hear": options.hear is not None,
        "grace": options.grace,
        "without": sorted(options.without),
    }
    more = {
        "max_connections": options.connections,
        "timeout": options.timeout,
        "rate": None if rate is None else [rate.per_second, rate.burst],
    }
    given |= {name: value for name, value in more.items() if value is not None}
    if options.dkim:
        given["dkim"] = [[*names, str(Path(key).absolute())] for *names, key in options.dkim]
    return {
        "path": str(Path(options.path).absolute()),
        "imports": options.imports,
        "seals": options.seals,
        "options": given,
    }


def _check_url(name: str, url: str) -> None:
    try:
        collect_options(url=Secret(url), alias=_ALIAS)
    except ValueError as error:
        raise ComplaintError(EX_USAGE, f"{name}: {error}") from None
    except ImportError as error:
        raise ComplaintError(EX_UNAVAILABLE, f"{name}: {error}") from None


def _check_keys(given: Sequence[Sequence[str]]) -> None:
    """Read the keys; each worker will do so for itself."""
    if not given:
        return
    from ...send.errors import CannotSendError
    from ...send.signing import signers_named  # late: few sign, and it takes a while to import

    try:
        signers_named(given)
    except CannotSendError as error:
        raise ComplaintError(error.status, *error.complaints) from None


def _share(options: argparse.Namespace) -> Rate | None:
    """Return the rate of one worker."""
    rate = parse_rate(options.rate)
    if rate is None or options.workers == 1:
        return rate
    count = options.workers
    try:
        return Rate(per_second=rate.per_second / count, burst=max(1, math.ceil(rate.burst / count)))
    except ValueError:
        raise ComplaintError(EX_USAGE, f"--rate: too low for {count} workers") from None

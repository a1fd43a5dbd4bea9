"""``pykka-smtp outbox retry``, ``cancel``, ``hold`` and ``release``: a person decides."""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from ...actors.outbox.sending.failures import CANCELLED
from ...actors.outbox.store.outside.visit import Visit
from ..output.printable import print_lines
from ..sysexits import EX_NOINPUT, EX_OK, EX_UNAVAILABLE
from .complaints import ComplaintError, complain
from .words import print_json

_STDIN = "-"
_MOST_NAMES = 1_000_000
_AT_ONCE = 500
"""Emails of one turn: other processes wait meanwhile."""
_DONE = {
    "retry": "will be sent now",
    "cancel": "is cancelled",
    "hold": "is held",
    "release": "is released",
}
_FROM = {
    "retry": "only what waits, is held, or has failed and still has its body",
    "cancel": "only what waits, is in hand, or is held",
    "hold": "only what waits, or is in hand",
    "release": "only what is held",
}


def run(options: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    """Do to emails what the command's name says.

    Args:
        options: what `arguments` has parsed.
        out: gets a line for each email.
        err: gets a line for each for which that was not possible.

    Returns:
        The exit status.

    Raises:
        ComplaintError: there are no names.
        OutboxError: the file cannot be changed. What was printed was done.
        BrokenPipeError: the reader of `out` has gone.
    """
    names = list(_names(options.names))
    if not names:
        raise ComplaintError(EX_NOINPUT, "there are no keys on standard input")
    command: str = options.command
    status, results = EX_OK, list[dict[str, Any]]()
    with Visit(Path(options.path), writes=True) as visit:
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            with visit.turn():
                done = [_do(visit, command, name, options.alias) for name in some]
            for name, is_done in zip(some, done, strict=True):
                why = "" if is_done else _why_not(visit, command, name, options.alias)
                results.append({"name": name, "done": is_done, "detail": why})
                if is_done and not options.json:
                    print_lines(out, f"{name} {_DONE[command]}")
                if why:
                    complain(err, command, f"{name}: {why}")
                    is_unknown = not visit.seqs_named(name, options.alias)
                    status = status or (EX_NOINPUT if is_unknown else EX_UNAVAILABLE)
    if options.json:
        print_json(out, results)
    return status


def _names(given: list[str]) -> Iterator[str]:
    for name in given:
        if name != _STDIN:
            yield name
            continue
        if sys.stdin is None:  # it was closed before the process started
            raise ComplaintError(EX_NOINPUT, "cannot read stdin: it is closed")
        for number, line in enumerate(sys.stdin):
            if number >= _MOST_NAMES:
                raise ComplaintError(EX_NOINPUT, f"stdin has more than {_MOST_NAMES} lines")
            if line.strip():
                yield line.strip()


def _do(visit: Visit, command: str, name: str, alias: str | None) -> bool:
    now = time.time()
    if command == "retry":
        return visit.retry(alias, name, now)
    if command == "cancel":
        return visit.cancel(alias, name, CANCELLED, now)
    if command == "hold":
        return visit.hold(alias, name)
    return visit.release(alias, name, now)


def _why_not(visit: Visit, command: str, name: str, alias: str | None) -> str:
    seqs = visit.seqs_named(name, alias)
    if not seqs:
        return "there is no email with this key or id"
    stored = visit.stored(seqs[0])
    state = "no longer kept" if stored is None else stored.state
    if stored is not None and stored.is_sent is not None:
        state += ", sent" if stored.is_sent else ", not sent"
    return f"it is {state}; {command} takes {_FROM[command]}"

"""A process of ``pykka-smtp outbox run``: an Outbox that sends, until its parent says stop or dies.

The parent writes one line of JSON to its standard input, and closes that to stop it. So no process
list shows a password, and no worker outlives its parent, however that ends.
"""

import contextlib
import importlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from pykka import ActorDeadError, Timeout

from ....actors.mailer.capacity.pacing import Rate
from ....actors.mailer.jobs.statistics import Statistics
from ....actors.net.connection_limit import connection_limit
from ....actors.outbox.outbox import Outbox
from ....actors.outbox.outbox_ref import OutboxRef
from ...sysexits import EX_OK, EX_SOFTWARE, EX_UNAVAILABLE, EX_USAGE
from ..complaints import status_of
from .lines import log_plainly

TICK = 1.0
"""Seconds between two reports to the parent."""
_ANSWER = 10.0
_LONGER = 30.0
"""Seconds that the end may take beyond the grace of emails: receivers run, the file is closed."""


def main() -> int:
    """Send what is in a file, as the line on standard input says; return the exit status."""
    stop = threading.Event()
    _on_signals(stop)
    say = _sayer()
    told: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    log = log_plainly(f"worker {told['number']}")
    try:
        for module in told["imports"]:
            importlib.import_module(module)
        if told["seals"] is not None:
            seals = importlib.import_module(told["seals"])
            told["options"] |= {"seal": seals.seal, "open": seals.open}
        ref = _start(told)
    except Exception as error:  # of the program's own modules, too
        text = f"cannot start: {type(error).__name__}: {error}"
        log.error("%s", text)  # noqa: TRY400 - one line
        return _status(error, told["path"])
    say({"up": True})
    threading.Thread(target=_wait_for_parent, args=(stop,), daemon=True).start()
    return _work(ref, stop, say, log, told["options"]["grace"])


def _on_signals(stop: threading.Event) -> None:
    def stopping(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    # A terminal sends Ctrl-C to parent and children: the parent decides what it means.
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, stopping)


def _sayer() -> Callable[[dict[str, Any]], None]:
    """Return what writes to the parent. Standard output is the program's, and goes elsewhere."""
    number = os.dup(1)
    os.dup2(2, 1)

    def say(values: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the parent has died: the other pipe tells
            os.write(number, json.dumps(values).encode() + b"\n")

    return say


def _start(told: dict[str, Any]) -> OutboxRef:
    options: dict[str, Any] = told["options"]
    if options.get("rate") is not None:
        options["rate"] = Rate(per_second=options["rate"][0], burst=options["rate"][1])
    if "dkim" in options:
        from ...send.signing import signers_named  # late: few sign

        options["dkim"] = signers_named(options["dkim"])
    options["without"] = frozenset(options.get("without", ()))
    connection_limit.limit = max(connection_limit.limit, options.get("max_connections", 0))
    return Outbox.start(told["path"], **options)


def _status(error: Exception, path: str) -> int:
    if isinstance(error, ImportError):
        return EX_UNAVAILABLE
    return status_of(error, path) if isinstance(error, OSError) else EX_USAGE


def _wait_for_parent(stop: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while sys.stdin.buffer.read(4096):
            pass
    stop.set()


def _work(
    ref: OutboxRef,
    stop: threading.Event,
    say: Callable[[dict[str, Any]], None],
    log: logging.Logger,
    grace: float,
) -> int:
    is_over = False
    while not is_over:
        is_over = stop.wait(TICK)  # and once more: for the last line about what was done
        try:
            figures = ref.ask(Statistics(), timeout=_ANSWER)
        except ActorDeadError:
            log.error("the Outbox has ended by itself")  # noqa: TRY400 - one line
            return EX_SOFTWARE
        except (Timeout, OSError):
            continue  # the Outbox itself says what is wrong with its file
        say({name: getattr(figures, name) for name in ("sent", "failed", "retries", "doubts")})
    with contextlib.suppress(ActorDeadError, Timeout):
        ref.stop(timeout=grace + _LONGER)
    return EX_OK


if __name__ == "__main__":
    sys.exit(main())

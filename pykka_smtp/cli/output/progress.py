"""The progress of ``pykka-smtp send`` and ``merge`` on standard error: a bar, or lines."""

import contextlib
import os
import time
from typing import Protocol, Self, TextIO

from .printable import printable
from .results import Tally, in_words

ON_TERMINAL = 2.0
"""Seconds between two lines on a terminal that can't show a bar."""
IN_LOG = 60.0
"""Seconds between two lines elsewhere: few, because people read logs, and cron mails each line."""


class Progress(contextlib.AbstractContextManager["Progress", None], Protocol):
    """Shows progress. Output that can't be written is ignored."""

    def show(self, tally: Tally, rate: float) -> None:
        """Called ten times per second, to show the progress.

        Args:
            tally: the results so far.
            rate: recipients per second, recently.
        """
        ...

    def say(self, line: str) -> None:
        """Write a line that stays visible."""
        ...


class PlainOutput:
    """Shows no progress, only messages.

    Args:
        err: the stream.
        command: which command says them.
    """

    def __init__(self, err: TextIO, command: str = "send") -> None:
        self._err = err
        self._command = command

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def show(self, tally: Tally, rate: float) -> None:
        """Show nothing."""

    def say(self, line: str) -> None:
        """Write a line."""
        self._write(f"pykka-smtp {self._command}: {printable(line, self._err)}\n")

    def _write(self, text: str) -> None:
        # The terminal may have been closed, which must not end the sending.
        with contextlib.suppress(OSError):
            self._err.write(text)
            self._err.flush()


class Lines(PlainOutput):
    """Writes a line at intervals.

    Args:
        err: the stream.
        interval: seconds between two lines.
        command: which command says them.
    """

    def __init__(self, err: TextIO, interval: float, command: str = "send") -> None:
        super().__init__(err, command)
        self._interval = interval
        self._next = time.monotonic() + interval

    def show(self, tally: Tally, rate: float) -> None:
        """Write a line if the interval has passed."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._interval
            self._write(f"{tally.tried} of {tally.total}: {in_words(tally, rate)}\n")


def progress_on(err: TextIO, total: int, *, quiet: bool, command: str = "send") -> Progress:
    """Return what the stream can show.

    Args:
        err: the stream.
        total: the number of recipients.
        quiet: show no progress.
        command: which command shows it.
    """
    if quiet:
        return PlainOutput(err, command)
    if not err.isatty():
        return Lines(err, IN_LOG, command)
    if os.environ.get("TERM") == "dumb":
        return Lines(err, ON_TERMINAL, command)
    try:
        from .bar import Bar
    except ImportError:  # rich is an extra
        return Lines(err, ON_TERMINAL, command)
    return Bar(err, total, command)

"""How far ``pykka-smtp send`` has come, on standard error: a bar, or lines."""

import contextlib
import os
import time
from types import TracebackType
from typing import Protocol, Self, TextIO

from .printable import printable
from .results import Tally, in_words

ON_TERMINAL = 2.0
"""Seconds between two lines on a terminal that can't have a bar."""
IN_LOG = 60.0
"""Seconds between two lines elsewhere: a log is to be read, and cron mails each line."""


class Progress(Protocol):
    """Shows how far it has come. That nobody can see it is no error."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def show(self, tally: Tally, rate: float) -> None:
        """Show it; called ten times a second.

        Args:
            tally: what became of the recipients so far.
            rate: recipients a second, of late.
        """
        ...

    def say(self, line: str) -> None:
        """Say something that stays to be read."""
        ...


class PlainOutput:
    """Shows nothing; but what has to be said is said.

    Args:
        err: where to.
    """

    def __init__(self, err: TextIO) -> None:
        self._err = err

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def show(self, tally: Tally, rate: float) -> None:
        """Show nothing."""

    def say(self, line: str) -> None:
        """Write a line."""
        self._write(f"pykka-smtp send: {printable(line, self._err)}\n")

    def _write(self, text: str) -> None:
        # The terminal may have been closed. That must not end what goes on.
        with contextlib.suppress(OSError):
            self._err.write(text)
            self._err.flush()


class Lines(PlainOutput):
    """Writes a line every now and then.

    Args:
        err: where to.
        interval: seconds between two.
    """

    def __init__(self, err: TextIO, interval: float) -> None:
        super().__init__(err)
        self._interval = interval
        self._next = time.monotonic() + interval

    def show(self, tally: Tally, rate: float) -> None:
        """Write a line, if it is time."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._interval
            self._write(f"{tally.tried} of {tally.total}: {in_words(tally, rate)}\n")


def progress_on(err: TextIO, total: int, *, quiet: bool) -> Progress:
    """Choose what this output can show.

    Args:
        err: where to show it.
        total: how many recipients there are.
        quiet: show nothing.
    """
    if quiet:
        return PlainOutput(err)
    if not err.isatty():
        return Lines(err, IN_LOG)
    if os.environ.get("TERM") == "dumb":
        return Lines(err, ON_TERMINAL)
    try:
        from .bar import Bar
    except ImportError:  # rich is an extra
        return Lines(err, ON_TERMINAL)
    return Bar(err, total)

"""Says from time to time, on standard error, how far a command is that takes long."""

import contextlib
import time
from typing import TextIO

from ..output.printable import printable

_ON_TERMINAL, _IN_LOG = 2.0, 60.0
"""Seconds between two lines."""


class Patience:
    """A line at intervals, once it takes long.

    Args:
        err: the stream.
        what: what is done, such as ``"checking"``.
    """

    def __init__(self, err: TextIO, what: str) -> None:
        self._err = err
        self._what = what
        self._interval = _ON_TERMINAL if err.isatty() else _IN_LOG
        self._began = time.monotonic()
        self._next = self._began + self._interval

    def look(self, done: str = "") -> None:
        """Write a line if it is time for one; call it as often as you like.

        Args:
            done: what is done so far, such as ``"1200 of 5000"``.
        """
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._interval
        text = f"{self._what}: {f'{done}, ' if done else ''}{now - self._began:.0f} s"
        with contextlib.suppress(OSError):
            self._err.write(printable(text, self._err) + "\n")
            self._err.flush()

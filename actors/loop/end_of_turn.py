"""What connections write at the end of a turn of the loop, all at once."""

import asyncio
from collections import deque

from . import guard
from .residents import Writer


class EndOfTurn:
    """Has writers write at the end of the turn in which they asked for it. On the loop thread.

    To write wakes the server up, which costs more than the write itself. What all connections
    have to say in a turn is said at once, so it is woken once. uvloop does so by itself.
    """

    def __init__(self, responsible: guard.Guarded) -> None:
        self._responsible = responsible
        self._writers: deque[Writer] = deque()

    def add(self, writer: Writer, loop: asyncio.AbstractEventLoop) -> None:
        """Have `writer.write_now` called when this turn is over."""
        if not self._writers:
            self._call_soon(loop)
        self._writers.append(writer)

    def clear(self) -> None:
        """Forget the writers: their loop has ended."""
        self._writers.clear()

    def resume(self, loop: asyncio.AbstractEventLoop) -> None:
        """Go on after an error that may have cost the call."""
        if self._writers:
            self._call_soon(loop)

    def _call_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_soon(guard.call, self._responsible, self._write_all, loop)

    def _write_all(self, loop: asyncio.AbstractEventLoop) -> None:
        writers = self._writers
        for _ in range(len(writers)):
            writer = writers.popleft()
            try:
                writer.write_now()
            except BaseException as error:  # the others have to write as well
                guard.end(writer, error)
        if writers:
            self._call_soon(loop)

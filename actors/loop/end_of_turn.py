"""Batches the writes of all connections at the end of a turn of the loop."""

import asyncio
from collections import deque

from . import guard
from .residents import Writer


class EndOfTurn:
    """Calls writers at the end of the turn in which they were added. On the loop thread.

    A write wakes the server up, which costs more than the write itself. Writing for all
    connections together wakes it up once. uvloop does so by itself.
    """

    def __init__(self, responsible: guard.Guarded) -> None:
        self._responsible = responsible
        self._writers: deque[Writer] = deque()

    def add(self, writer: Writer, loop: asyncio.AbstractEventLoop) -> None:
        """Call `writer.write_now` when this turn is over."""
        if not self._writers:
            self._call_soon(loop)
        self._writers.append(writer)

    def clear(self) -> None:
        """Forget the writers: their loop has ended."""
        self._writers.clear()

    def resume(self, loop: asyncio.AbstractEventLoop) -> None:
        """Schedule the call again after an error in which it may have been lost."""
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
            except BaseException as error:  # the others must still write
                guard.end(writer, error)
        if writers:
            self._call_soon(loop)

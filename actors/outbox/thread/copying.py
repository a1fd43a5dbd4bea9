"""Copies large bodies into files of their own, in a worker thread, one after the other."""

import asyncio
import functools
from collections import deque
from collections.abc import Callable

from ...loop import guard
from ...loop.event_loop import event_loop
from ..store.bodies import Bodies, WrittenBody
from ..store.errors import OutboxError
from ..text.large import LargeBody

Copied = tuple[WrittenBody, bytes] | Exception
"""A body that is on disk, and the digest of its email; or why there is none."""
_STOPPED = "the Outbox was stopped before it took the email; it is not in the file"


class Copying:
    """Copies the large bodies of one outbox. On the loop thread.

    One at a time: the workers, and the disk, are there for emails that are sent, too.

    Args:
        bodies: where to.
        responsible: is told of an error in a function that takes a result.
    """

    def __init__(self, bodies: Bodies, responsible: guard.Guarded) -> None:
        self._bodies = bodies
        self._responsible = responsible
        self._line: deque[tuple[LargeBody, Callable[[Copied], object]]] = deque()
        self._is_over = False

    def __bool__(self) -> bool:
        """Whether there is anything to copy."""
        return bool(self._line)

    @property
    def octets(self) -> int:
        """The octets of what is to be copied."""
        return sum(body.size for body, _ in self._line)

    def copy(self, body: LargeBody, then: Callable[[Copied], object]) -> None:
        """Copy a body, and call a function with what became of it."""
        if self._is_over:
            then(OutboxError(_STOPPED, True))
            return
        self._line.append((body, then))
        if len(self._line) == 1:
            self._next()

    def _next(self) -> None:
        copying = event_loop().file_pool.run(self._bodies.write, self._line[0][0])
        copying.add_done_callback(functools.partial(guard.call, self._responsible, self._copied))

    def _copied(self, copying: "asyncio.Future[tuple[WrittenBody, bytes]]") -> None:
        error = None if copying.cancelled() else copying.exception()
        if not self._line:  # given up
            if error is None and not copying.cancelled():
                copying.result()[0].release()
            return
        _, then = self._line.popleft()
        if self._line:
            self._next()
        if copying.cancelled():
            then(OutboxError(_STOPPED, True))
        elif error is not None:
            then(error if isinstance(error, Exception) else RuntimeError(repr(error)))
        else:
            then(copying.result())

    def give_up(self) -> None:
        """Copy nothing more. Half of a file is removed by whoever finds it."""
        self._is_over = True
        line = list(self._line)
        self._line.clear()
        for _, then in line:
            then(OutboxError(_STOPPED, True))

"""Results of the thread of the file, on their way to the loop thread."""

from collections.abc import Callable
from typing import Any

from ...loop import guard
from ...loop.event_loop import event_loop
from .ops import Done, Then


class Results:
    """Calls, on the loop thread, what waits for the results of a turn.

    Args:
        responsible: is told of an error in any of these calls; the others happen nevertheless.
        delivered: is called after those of a turn.

    Attributes:
        count: how many results have arrived.
    """

    def __init__(self, responsible: guard.Guarded, delivered: Callable[[], object]) -> None:
        self.count: int = 0
        self._responsible = responsible
        self._delivered = delivered

    def deliver_soon(self, done: list[Done]) -> None:
        """Call each function with its result. From any thread."""
        self._soon(self._deliver, done)

    def call_soon(self, then: Then, value: Any) -> None:
        """Call one function for whose call nobody has asked. From any thread."""
        self._soon(then, value)

    def _soon(self, function: Callable[[Any], object], value: Any) -> None:
        try:
            loop = event_loop().loop
            loop.call_soon_threadsafe(guard.call, self._responsible, function, value)
        except RuntimeError:
            return  # the loop has ended: the next start goes on where the file says

    def _deliver(self, done: list[Done]) -> None:
        self.count += len(done)
        for then, result in done:
            try:
                then(result)
            except BaseException as error:  # the others' results must not be lost
                guard.end(self._responsible, error)
        self._delivered()

"""Keeps a program from ending before the file of an outbox is closed. On the loop thread."""

import logging

from ....signals.dispatcher import log_safely
from ...loop.event_loop import event_loop
from .store_thread import StoreThread


class LastTurn:
    """Keeps the loop, for which the interpreter waits, until the thread of the file has ended.

    But not for ever, as another process may have been stopped while it had its turn to write.

    Args:
        thread: the thread, which is to end.
        path: the file, for the log.
    """

    def __init__(self, thread: StoreThread, path: object) -> None:
        self._thread = thread
        self._path = path

    def start(self) -> None:
        """Begin."""
        event_loop().add_ticking(self)

    def on_tick(self, now: float) -> None:  # noqa: ARG002 - see `Ticking`
        """Look whether it has ended."""
        self._thread.expire()
        if self._thread.is_awaited or self._thread.expire(is_end=True):
            return
        event_loop().remove_ticking(self)
        if not self._thread.join(0.0):
            text = (
                "%s is not closed: another process has its turn to write, and stands still."
                " What is in hand is left to others"
            )
            log_safely(logging.WARNING, text, self._path)

    def crashed(self, error: BaseException) -> None:  # noqa: ARG002 - see `Guarded`
        """See `Guarded`."""
        event_loop().remove_ticking(self)

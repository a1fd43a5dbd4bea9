"""Waiting for what gives no event: processes, files, the system's own tables."""

import threading
import time
from collections.abc import Callable
from typing import Any

PATIENCE = 15.0
"""Seconds; reached only by a test that fails."""


def wait_until(predicate: Callable[[], object], timeout: float, interval: float = 0.005) -> bool:
    """Ask again and again until the predicate holds.

    Only for what nobody can announce; what has an event, a condition or a join is waited for by
    that.

    Args:
        predicate: asked at least once.
        timeout: seconds.
        interval: seconds between two questions.

    Returns:
        Whether it held in time.
    """
    never = threading.Event()
    end = time.monotonic() + timeout
    while not predicate():
        if time.monotonic() > end:
            return False
        never.wait(interval)
    return True


class Gate:
    """A call that stands still until it is opened: a job, a message to an actor, a receiver.

    Args:
        result: what it returns then.

    Attributes:
        entered: set once it was called.
        thread: that in which it was called last.
    """

    def __init__(self, result: str | None = None) -> None:
        self.entered = threading.Event()
        self._result = result
        self.thread: threading.Thread | None = None
        self._open = threading.Event()

    def __call__(self, *_given: object) -> Any:
        """Stand still."""
        self.thread = threading.current_thread()
        self.entered.set()
        assert self._open.wait(PATIENCE)
        return self._result

    def open(self) -> None:
        """Let all calls go on."""
        self._open.set()

"""Waiting for what gives no event: processes, files, the system's own tables."""

import threading
import time
from collections.abc import Callable

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

"""The signals that end `outbox run`: the first gives emails in flight time, the second does not."""

import signal
import threading
import time
from types import FrameType
from typing import Any, Self

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_SAME = 1.0
"""Seconds within which a second signal is the first one again: some who end a process send it to
the process and to its group."""


class Signals:
    """Notes the signals that end this process; use it in a ``with`` statement.

    Attributes:
        number: the first signal, or None.
        is_urgent: whether there was another one, later.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.is_urgent: bool = False
        self._at = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Set the handlers; on the main thread only, as Python requires."""
        if threading.current_thread() is threading.main_thread():
            for name in _NAMES:
                number = getattr(signal, name, None)
                # Signals that are ignored, as with nohup, stay ignored.
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_error: object) -> None:
        """Restore the previous handlers."""
        for number, before in self._before.items():
            # None stands for a handler that was not set from Python, and can't be restored.
            if before is not None:
                signal.signal(number, before)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.number is None:
            self.number, self._at = number, now
        elif now - self._at >= _SAME:
            self.is_urgent = True

"""Ctrl-C and the other signals that end a command: the first cleanly, the second at once."""

import signal
import threading
from types import FrameType
from typing import Any, Self

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Interrupts:
    """Records the signals that end this process; use it in a ``with`` statement.

    It raises nothing: the command polls the attributes. From the third signal on, the previous
    handlers are back, so that a command that hangs can be ended.

    Attributes:
        number: the first signal received, or None.
        is_urgent: whether a second one was received.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.is_urgent: bool = False
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
        self._restore()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.number is None:
            self.number = number
            return
        self.is_urgent = True
        self._restore()

    def _restore(self) -> None:
        for number, before in self._before.items():
            # None stands for a handler that was not set from Python, and can't be restored.
            if before is not None:
                signal.signal(number, before)
        self._before = {}

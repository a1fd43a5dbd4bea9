"""Ctrl-C, and the other signals that ask a command to end: first cleanly, then at once."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Interrupts:
    """Notes the signals that ask this process to end; use it in a ``with`` statement.

    Nothing is raised anywhere: whoever works looks here now and then. From the third on, signals do
    what they did before, so that nothing can keep the process alive.

    Attributes:
        number: the first signal that came, or None.
        is_urgent: whether a second came.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.is_urgent: bool = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Listen from now on, as far as this thread may."""
        if threading.current_thread() is threading.main_thread():
            for name in _NAMES:
                number = getattr(signal, name, None)
                # What is ignored, as after nohup, stays so.
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Listen no more."""
        self._restore()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.number is None:
            self.number = number
            return
        self.is_urgent = True
        self._restore()

    def _restore(self) -> None:
        for number, before in self._before.items():
            # None is a handler that was not set from Python, and can't be set from it.
            if before is not None:
                signal.signal(number, before)
        self._before = {}

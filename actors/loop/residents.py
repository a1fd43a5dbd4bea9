"""Protocols of the objects that the event loop calls."""

from typing import Protocol

from .guard import Guarded


class Runnable(Guarded, Protocol):
    """What runs on the loop: an actor."""

    @property
    def is_busy(self) -> bool:
        """Whether it has anything left to do; read on the loop thread."""
        ...

    def run_turn(self) -> None:
        """Called on the loop thread after `schedule`, to do the work at hand."""
        ...

    def cancel(self) -> None:
        """Stop, from any thread, without waiting."""
        ...

    def abandon(self) -> None:
        """Forget all state in a forked child; it belongs to the parent."""
        ...


class ShutdownListener(Guarded, Protocol):
    """What runs until it is stopped, and would keep a process from exiting: a `Mailer`."""

    def main_has_ended(self) -> None:
        """Called when the main thread has ended, at most once, on the loop thread."""
        ...


class Ticking(Guarded, Protocol):
    """What has time limits: a connection."""

    def on_tick(self, now: float) -> None:
        """Called every `TICK` seconds, on the loop thread, to check the time limits.

        Args:
            now: the loop's time, in seconds.
        """
        ...


class Writer(Guarded, Protocol):
    """What writes at the end of a turn: a connection."""

    def write_now(self) -> None:
        """Called at the end of a turn of the loop, on its thread, to write what is pending."""
        ...

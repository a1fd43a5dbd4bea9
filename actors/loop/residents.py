"""What lives on the event loop, and what the loop calls of it."""

from typing import Protocol

from .guard import Guarded


class Runnable(Guarded, Protocol):
    """What lives on the loop: an actor."""

    def run_turn(self) -> None:
        """Do what is to be done now; called on the loop thread."""
        ...

    def cancel(self) -> None:
        """Stop, from any thread, without waiting for anything."""
        ...

    def abandon(self) -> None:
        """Forget everything, in a forked child: the parent goes on with it."""
        ...


class ShutdownListener(Guarded, Protocol):
    """What lives until it is stopped, and would keep a program from ending."""

    def main_has_ended(self) -> None:
        """Hear that the program has come to its end; called on the loop thread."""
        ...


class Ticking(Guarded, Protocol):
    """What has time limits: a connection."""

    def on_tick(self, now: float) -> None:
        """See whether time is up; called on the loop thread every `TICK` seconds.

        Args:
            now: the loop's time, in seconds.
        """
        ...


class Writer(Guarded, Protocol):
    """What writes at the end of a turn: a connection."""

    def write_now(self) -> None:
        """Write what is to be written; called on the loop thread."""
        ...

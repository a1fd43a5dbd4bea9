"""The owner of a connection, and its callbacks."""

from typing import Protocol

from ....smtp.words.verdict import Verdict


class Owner(Protocol):
    """Owns a connection: an actor for the time of a dialog, or a pool while it is idle.

    All methods are called on the loop thread.
    """

    def connected(self) -> None:
        """Called once, when connected, before the first dialog starts."""
        ...

    def decided(self, verdict: Verdict) -> None:
        """Called with the verdict, exactly once per dialog, unless it raises."""
        ...

    def released(self) -> None:
        """Called when the dialog has ended and the connection may run another."""
        ...

    def closed(self) -> None:
        """Called when the connection is closed, after the verdict, once unless it raises."""
        ...

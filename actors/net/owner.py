"""Who uses a connection, and what it is told."""

from typing import Protocol

from ...smtp.words.verdict import Verdict


class Owner(Protocol):
    """Who uses a connection: an actor, for as long as a dialog lasts; or who keeps it."""

    def connected(self) -> None:
        """Hear that the connection stands; comes before the first dialog begins."""
        ...

    def decided(self, verdict: Verdict) -> None:
        """Hear the verdict; comes exactly once for each dialog."""
        ...

    def released(self) -> None:
        """Hear that the dialog is over and the connection may serve another."""
        ...

    def closed(self) -> None:
        """Hear that the connection is gone; comes after the verdict, once unless it raises."""
        ...

"""A server that takes all mails, and says so only when it is told to.

Arguments: ``count``: how many to hold before it says ``{"held": count}``; ``free``: how many
to answer at once before that. Command: ``release``.
"""

from .measure import arguments
from .serving import Session, say, serve


class HoldingServer:
    """Counts and holds the sessions that wait for the verdict."""

    def __init__(self, count: int, free: int) -> None:
        self._count = count
        self._free = free
        self._held: list[Holding] = []
        self._is_holding = True

    def session(self) -> "Holding":
        """Make a session."""
        return Holding(self)

    def holds(self, session: "Holding") -> bool:
        """Whether a session has to wait for its verdict."""
        if not self._is_holding:
            return False
        if self._free:
            self._free -= 1
            return False
        self._held.append(session)
        if len(self._held) == self._count:
            say(held=self._count)
        return True

    def release(self, _command: str) -> None:
        """Give all of them their verdict."""
        self._is_holding = False
        for session in self._held:
            session.accept()
        self._held.clear()


class Holding(Session):
    """A session whose mail is taken later."""

    def __init__(self, server: HoldingServer) -> None:
        self._server = server

    def reach(self, stage: str) -> None:
        """Wait at the dot."""
        if stage != "dot" or not self._server.holds(self):
            super().reach(stage)

    def accept(self) -> None:
        """Take the mail."""
        super().reach("dot")


if __name__ == "__main__":
    holding = HoldingServer(**arguments())
    serve(holding.session, holding.release)

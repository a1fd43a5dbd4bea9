"""A server that takes all mails, and says so only when it is told to.

Arguments: ``count``: how many to hold before it says ``{"held": count}``; ``free``: how many
to answer at once before that. Command: ``release``.
"""

from collections.abc import Callable

from pykka_smtp.testing.moods import At, Moment
from pykka_smtp.testing.stages.process import Served, say
from pykka_smtp.testing.talk.acts import Act, Hold

from .measure import arguments
from .serving import serve, server_of


class HoldingServer:
    """Counts and holds the sessions that wait for the verdict."""

    def __init__(self, count: int, free: int) -> None:
        self._count = count
        self._free = free
        self._held: list[Callable[[], None]] = []
        self._is_holding = True
        self._server = server_of(moods=[At(".", self._verdict)])

    def session(self) -> Served:
        """Make a session."""
        return Served(self._server)

    def release(self, _command: str) -> None:
        """Give all of them their verdict."""
        self._is_holding = False
        for go_on in self._held:
            go_on()
        self._held.clear()

    def _verdict(self, moment: Moment) -> list[Act]:
        if self._is_holding and not self._free:
            return [Hold(self._hold), moment.reply]
        self._free -= self._is_holding
        return [moment.reply]

    def _hold(self, go_on: Callable[[], None]) -> None:
        self._held.append(go_on)
        if len(self._held) == self._count:
            say(held=self._count)


if __name__ == "__main__":
    holding = HoldingServer(**arguments())
    serve(holding.session, holding.release)

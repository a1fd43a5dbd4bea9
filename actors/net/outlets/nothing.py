"""``null:``, which takes emails and keeps nothing; and ``refuse:``, which takes none."""

from collections.abc import Sequence

from ....smtp.words.peer import Peer
from ....smtp.words.verdict import FailureKind
from ...loop.workers import Workers
from .outlet import OFFERS_OF_A_KEEPER, Broken, Outlet, Plan, Sink, Taken


class NullOutlet(Outlet):
    """Takes every email, and forgets it at once."""

    @property
    def name(self) -> str:
        """Its URL."""
        return "null:"

    @property
    def offers(self) -> Sequence[str]:
        """All that an email may ask for."""
        return OFFERS_OF_A_KEEPER

    @property
    def peer(self) -> Peer | None:
        """None."""
        return None

    def pool(self) -> Workers | None:
        """Return None: it never blocks."""
        return None

    def check(self) -> None:
        """Nothing can be wrong."""

    def sink(self, taken: Taken) -> Sink:  # noqa: ARG002
        """Return what drops one email."""
        return _NullSink()

    def plan_for(self, taken: Taken, path: str) -> Plan | None:  # noqa: ARG002
        """Return None: everybody is accepted."""
        return None


class RefuseOutlet(NullOutlet):
    """Takes no email: for processes that must not send."""

    @property
    def name(self) -> str:
        """Its URL."""
        return "refuse:"

    def check(self) -> None:
        """Raise."""
        raise Broken(
            FailureKind.LOCAL,
            "refuse: this process may not send (its relay URL, or PYKKA_SMTP_URL_ALL, says so)",
            retryable=False,
        )


class _NullSink(Sink):
    def write(self, octets: bytes) -> None:
        """Drop it."""

    def finish(self) -> str:
        """Say yes."""
        return "dropped"

    def stop(self) -> None:
        """Nothing blocks."""

    def discard(self) -> None:
        """Nothing is held."""

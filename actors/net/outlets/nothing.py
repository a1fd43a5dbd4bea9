"""``null:``, which takes emails and keeps nothing; and ``refuse:``, which takes none."""

from ....smtp.words.verdict import FailureKind
from .outlet import Broken, Outlet, Sink, Taken


class NullOutlet(Outlet):
    """Takes every email, and forgets it at once."""

    name: str = "null:"

    def sink(self, taken: Taken) -> Sink:  # noqa: ARG002
        """Return what drops one email."""
        return _NullSink()


class RefuseOutlet(NullOutlet):
    """Takes no email: for processes that must not send."""

    name: str = "refuse:"

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

"""A session without a mail: connect, TLS, AUTH, QUIT. It shows whether a mail could be sent."""

from .content import CompleteContent
from .delivery import Delivery
from .envelope import Envelope
from .reply import Reply
from .session import Session
from .step import Script
from .verdict import Accepted, Failed

_NOBODY = Envelope(reverse_path="", forward_paths=("postmaster",))
_NOTHING = CompleteContent(b"")


class Verification(Delivery):
    """Sees whether a server would take a mail from us, and what it offers. Sends none."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, _NOBODY, _NOTHING)

    def humbler(self, failed: Failed) -> "Verification | None":
        """Return another attempt that asks less of the server, as that of a mail would."""
        other = super().humbler(failed)
        return None if other is None else Verification(other.session)

    def elsewhere(self, failed: Failed, address: str) -> "Verification | None":
        """Return another attempt, for the server's next address, as that of a mail would."""
        other = super().elsewhere(failed, address)
        return None if other is None else Verification(other.session)

    def _transact_all(self) -> Script:
        """Do nothing: the session is open, and that is all."""
        yield from ()

    def _accepted(self) -> Accepted:
        return Accepted(reply=Reply(250, ("ready",)), recipients=(), warnings=self.session.warnings)

"""A session without a transaction: connect, TLS, AUTH, QUIT. It checks the configuration."""

from ...mail.content import CompleteContent
from ...mail.envelope import Envelope
from ...words.reply import Reply
from ...words.verdict import Accepted
from ..opening.session import Session
from ..step import Script
from .delivery import Delivery

_UNUSED_ENVELOPE = Envelope(reverse_path="", forward_paths=("postmaster",))
_NO_CONTENT = CompleteContent(b"")


class Verification(Delivery):
    """Checks that a session can be opened, and what the server offers. Sends no email."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, _UNUSED_ENVELOPE, _NO_CONTENT)

    def _transact_all(self) -> Script:
        """Do nothing: an open session is all that is checked."""
        yield from ()

    def _accepted(self) -> Accepted:
        return Accepted(reply=Reply(250, ("ready",)), recipients=(), warnings=self.session.warnings)

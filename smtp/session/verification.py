"""A session without a mail: connect, TLS, AUTH, QUIT. It shows whether a mail could be sent."""

from ..mail.content import CompleteContent
from ..mail.envelope import Envelope
from ..words.reply import Reply
from ..words.verdict import Accepted
from .delivery import Delivery
from .session import Session
from .step import Script

_NOBODY = Envelope(reverse_path="", forward_paths=("postmaster",))
_NOTHING = CompleteContent(b"")


class Verification(Delivery):
    """Sees whether a server would take a mail from us, and what it offers. Sends none."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, _NOBODY, _NOTHING)

    def _transact_all(self) -> Script:
        """Do nothing: the session is open, and that is all."""
        yield from ()

    def _accepted(self) -> Accepted:
        return Accepted(reply=Reply(250, ("ready",)), recipients=(), warnings=self.session.warnings)

"""What a dialog is led for: to deliver a mail, or only to see whether one could be delivered."""

from typing import Protocol

from ..words.reply import Reply
from ..words.stage import Stage
from ..words.verdict import FailureKind, Verdict
from .session import Session
from .step import Script


class SessionPolicy(Protocol):
    """The script of a session, and the verdict it comes to. See `Delivery`."""

    session: Session

    @property
    def max_replies(self) -> int:
        """Characters that all replies of the session may have together, up to the dot."""
        ...

    def script(self) -> Script:
        """Converse from the greeting to QUIT, and decide on the way."""
        ...

    def rejected_unsolicited(self, stage: Stage, reply: Reply) -> Verdict:
        """Judge a refusal that came without being owed."""
        ...

    def doubt_last(self) -> bool:
        """Leave in doubt what was accepted last; return whether there was something."""
        ...

    def failed(
        self,
        kind: FailureKind,
        stage: Stage,
        detail: str,
        *,
        maybe_accepted: bool = False,
        operation: str | None = None,
        errno: int | None = None,
        retryable: bool | None = None,
    ) -> Verdict:
        """Build the verdict for a failure that no reply announced."""
        ...

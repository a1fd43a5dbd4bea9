"""The interface between a `Dialog` and its purpose: a delivery, or a check of the configuration."""

from typing import Protocol

from ...words.reply import Reply
from ...words.stage import Stage
from ...words.verdict import FailureKind, Verdict
from ..opening.session import Session
from ..step import Script


class SessionPolicy(Protocol):
    """The script of a session, and how its verdict is made. See `Delivery`."""

    session: Session

    @property
    def max_replies(self) -> int:
        """Octets of all replies of the session, up to the end of the mail data.

        The bound ends there, because a final reply must never be lost to it: without one, the
        email is `maybe_accepted`.
        """
        ...

    def script(self) -> Script:
        """Return the steps from the greeting to QUIT, one of which reports the verdict."""
        ...

    def rejected_unsolicited(self, stage: Stage, reply: Reply) -> Verdict:
        """Return the verdict for an unsolicited rejection."""
        ...

    def discard_last_final_reply(self) -> bool:
        """Treat the last final reply as not received; return whether there was one."""
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
        """Return the verdict for a failure without a reply. See `Judgement.failed`."""
        ...

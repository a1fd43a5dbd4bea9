"""Exceptions that end a delivery: raised in a script, and made a verdict by `Delivery`."""

from ..words.classification import SERVICE_CLOSING, ReplyClass, classify
from ..words.command import Command
from ..words.reply import Reply
from ..words.stage import Stage
from ..words.verdict import FailureKind


class Refused(Exception):  # noqa: N818 - not an error of this program: the server said no
    """A reply ended the delivery: a rejection or deferral, or an invalid reply.

    Attributes:
        stage: the stage of the command to which the reply belongs.
        reply: the reply.
        cause: the class of the reply.
        detail: one line for people if it says more than stage and reply; else empty.
    """

    def __init__(self, stage: Stage, reply: Reply, cause: ReplyClass) -> None:
        super().__init__(stage, reply)
        self.detail = ""
        self.stage = stage
        self.reply = reply
        self.cause = cause

    @property
    def ends_session(self) -> bool:
        """Whether no command may follow: the server closes, or its replies are not reliable."""
        return self.reply.code == SERVICE_CLOSING or self.cause in (
            ReplyClass.UNEXPECTED,
            ReplyClass.AMBIGUOUS,
        )


class Unsendable(Exception):  # noqa: N818 - about the email, not about this program
    """The email cannot be sent to this server as it is. Nothing of it was sent."""

    def __init__(self, detail: str, stage: Stage = Stage.MAIL) -> None:
        super().__init__(detail)
        self.stage = stage


class _SessionEnded(Exception):  # noqa: N818 - about the session, not about this program
    """A base class: the session ended for a reason other than a reply code.

    Attributes:
        stage: how far the session had come.
        last_command: a command to send after the verdict is reported, or None. The verdict does
            not wait for it, because the server may never reply to it.
    """

    def __init__(self, stage: Stage, detail: str, last_command: Command | None = None) -> None:
        super().__init__(detail)
        self.stage = stage
        self.last_command = last_command


class SecurityTooWeak(_SessionEnded):
    """The session is less secure than configured. Nothing of the email was sent.

    Attributes:
        is_retryable: whether the server's reply was transient, so that a retry may succeed.
    """

    def __init__(
        self,
        stage: Stage,
        detail: str,
        last_command: Command | None = None,
        *,
        is_retryable: bool = False,
    ) -> None:
        super().__init__(stage, detail, last_command)
        self.is_retryable = is_retryable


class ProtocolViolation(_SessionEnded):
    """The server violated the protocol in the text of a reply, or by too many challenges."""


class Contradicted(_SessionEnded):
    """The server rejected the email, and it is unknown whether it then accepted it nevertheless.

    Attributes:
        kind: the kind of the failure.
    """

    def __init__(self, stage: Stage, detail: str, kind: FailureKind = FailureKind.PROTOCOL) -> None:
        super().__init__(stage, detail)
        self.kind = kind


def raise_unless_positive(stage: Stage, reply: Reply) -> None:
    """Raise unless the reply is positive at its stage.

    Raises:
        Refused: it is not.
    """
    cause = classify(stage, reply.code)
    if cause is not ReplyClass.POSITIVE:
        raise Refused(stage, reply, cause)

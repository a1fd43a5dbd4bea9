"""What ends a mail's way: raised in a script, and made a verdict by `Delivery`."""

from ..words.classification import SERVICE_CLOSING, ReplyClass, classify
from ..words.command import Command
from ..words.reply import Reply
from ..words.stage import Stage
from ..words.verdict import FailureKind


class Refused(Exception):  # noqa: N818 - not an error of ours: the server said no
    """A reply that ends the mail's way: it was refused, or the reply makes no sense.

    Attributes:
        stage: what the reply answered.
        reply: the reply.
        cause: what it means.
        detail: one line for people, where there is more to say than stage and reply do.
    """

    def __init__(self, stage: Stage, reply: Reply, cause: ReplyClass) -> None:
        super().__init__(stage, reply)
        self.detail = ""
        self.stage = stage
        self.reply = reply
        self.cause = cause

    @property
    def ends_session(self) -> bool:
        """Whether nothing more can be said: the server is leaving, or can't be understood."""
        return self.reply.code == SERVICE_CLOSING or self.cause in (
            ReplyClass.UNEXPECTED,
            ReplyClass.AMBIGUOUS,
        )


class Unsendable(Exception):  # noqa: N818 - says something of the mail, not of our code
    """The mail cannot go to this server as it is. Nothing of it was sent."""

    def __init__(self, detail: str, stage: Stage = Stage.MAIL) -> None:
        super().__init__(detail)
        self.stage = stage


class _SessionEnded(Exception):  # noqa: N818 - says something of the session, not of our code
    """What `SecurityTooWeak` and `ProtocolViolation` have in common.

    Attributes:
        stage: where it broke.
        last_command: what the server is still to be told, once the verdict is out: it may never
            answer.
    """

    def __init__(self, stage: Stage, detail: str, last_command: Command | None = None) -> None:
        super().__init__(detail)
        self.stage = stage
        self.last_command = last_command


class SecurityTooWeak(_SessionEnded):
    """The session is not as safe as was asked for. Nothing of the mail was sent.

    Attributes:
        is_passing: whether the server said that this may be otherwise later.
    """

    def __init__(
        self,
        stage: Stage,
        detail: str,
        last_command: Command | None = None,
        *,
        is_passing: bool = False,
    ) -> None:
        super().__init__(stage, detail, last_command)
        self.is_passing = is_passing


class ProtocolViolation(_SessionEnded):
    """The server broke a rule of the protocol in the text of a reply, or went on for ever."""


class Contradicted(_SessionEnded):
    """The server refused the mail, and then left open whether it has it all the same.

    Attributes:
        kind: what kind of failure it is.
    """

    def __init__(self, stage: Stage, detail: str, kind: FailureKind = FailureKind.PROTOCOL) -> None:
        super().__init__(stage, detail)
        self.kind = kind


def check(stage: Stage, reply: Reply) -> None:
    """Go on if the reply says so.

    Raises:
        Refused: it does not.
    """
    cause = classify(stage, reply.code)
    if cause is not ReplyClass.POSITIVE:
        raise Refused(stage, reply, cause)

"""What ends a mail's way: raised in a script, and made a verdict by `Delivery`."""

from ..words.classification import CLOSING, Meaning, meaning
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

    def __init__(self, stage: Stage, reply: Reply, cause: Meaning) -> None:
        super().__init__(stage, reply)
        self.detail = ""
        self.stage = stage
        self.reply = reply
        self.cause = cause

    @property
    def ends_session(self) -> bool:
        """Whether nothing more can be said: the server is leaving, or can't be understood."""
        return self.reply.code == CLOSING or self.cause in (Meaning.NONSENSE, Meaning.DOUBT)


class Unsendable(Exception):  # noqa: N818 - says something of the mail, not of our code
    """The mail cannot go to this server as it is. Nothing of it was sent."""

    def __init__(self, detail: str, stage: Stage = Stage.MAIL) -> None:
        super().__init__(detail)
        self.stage = stage


class _Broken(Exception):  # noqa: N818 - says something of the session, not of our code
    """What `Insecure` and `Garbled` have in common.

    Attributes:
        stage: where it broke.
        farewell: what the server is still to be told, once the verdict is out: it may never
            answer.
    """

    def __init__(self, stage: Stage, detail: str, farewell: Command | None = None) -> None:
        super().__init__(detail)
        self.stage = stage
        self.farewell = farewell


class Insecure(_Broken):
    """The session is not as safe as was asked for. Nothing of the mail was sent.

    Attributes:
        is_passing: whether the server said that this may be otherwise later.
    """

    def __init__(
        self,
        stage: Stage,
        detail: str,
        farewell: Command | None = None,
        *,
        is_passing: bool = False,
    ) -> None:
        super().__init__(stage, detail, farewell)
        self.is_passing = is_passing


class Garbled(_Broken):
    """The server broke a rule of the protocol in the text of a reply, or went on for ever."""


class Contradicted(_Broken):
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
    cause = meaning(stage, reply.code)
    if cause is not Meaning.GO_ON:
        raise Refused(stage, reply, cause)

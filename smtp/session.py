"""The session around a mail transaction: greeting, EHLO, QUIT (RFC 5321 §3.1, §3.2, §3.8)."""

from dataclasses import dataclass, field

from .classification import CLOSING, EHLO_UNKNOWN, Meaning, meaning
from .command import GREETING, QUIT, ehlo, helo
from .extensions import Extensions
from .reply import Reply
from .stage import Stage
from .step import Script


@dataclass(slots=True, kw_only=True)
class Session:
    """What is known of one session.

    Attributes:
        server: the server as people know it, for messages: ``"mail.example.org:25"``.
        ehlo_name: the name or address literal that we give of ourselves (RFC 5321 §4.1.1.1).
        extensions: what the server offers now.
    """

    server: str
    ehlo_name: str
    extensions: Extensions = field(default_factory=Extensions)


class Refused(Exception):  # noqa: N818 - not an error of ours: the server said no
    """A reply that ends the mail's way: it was refused, or the reply makes no sense."""

    def __init__(self, stage: Stage, reply: Reply, cause: Meaning) -> None:
        super().__init__(stage, reply)
        self.stage = stage
        self.reply = reply
        self.cause = cause

    @property
    def ends_session(self) -> bool:
        """Whether nothing more can be said: the server is leaving, or can't be understood."""
        return self.reply.code == CLOSING or self.cause in (Meaning.NONSENSE, Meaning.DOUBT)


def check(stage: Stage, reply: Reply) -> None:
    """Go on if the reply says so.

    Raises:
        Refused: it does not.
    """
    cause = meaning(stage, reply.code)
    if cause is not Meaning.GO_ON:
        raise Refused(stage, reply, cause)


def open_session(session: Session) -> Script:
    """Hear the greeting and introduce ourselves.

    Raises:
        Refused: the server does not want us.
    """
    check(Stage.GREETING, (yield GREETING))
    reply = yield ehlo(session.ehlo_name)
    if reply.code in EHLO_UNKNOWN:
        # RFC 5321 §3.2: an old server. Once: a server that knows neither is not asked again.
        check(Stage.EHLO, (yield helo(session.ehlo_name)))
        session.extensions = Extensions()
    else:
        check(Stage.EHLO, reply)
        session.extensions = Extensions.from_reply(reply)


def close_session() -> Script:
    """Take leave (RFC 5321 §4.1.1.10). Whatever the server answers changes nothing."""
    yield QUIT

"""Unsolicited replies: those that come when no command is outstanding."""

import enum

from ...words.classification import SERVICE_CLOSING, ReplyClass, classify
from ...words.quirks import Quirks
from ...words.reply import Reply
from ...words.stage import Stage
from ..step import ExpectNoMoreInput, StartTls, Step


class Uncalled(enum.Enum):
    """What becomes of a session in which the server has spoken uncalled."""

    END = enum.auto()
    """The mail is decided, and nothing more is to be said."""
    REFUSAL = enum.auto()
    """The reply ends the session, as it may."""
    INJECTION = enum.auto()
    """An attacker may have sent it."""
    UNEXPECTED = enum.auto()


def judge_uncalled(
    reply: Reply, stage: Stage, due: Step | None, quirks: Quirks, *, is_decided: bool
) -> Uncalled:
    """Judge an unsolicited reply, and note what it says of the server.

    Args:
        reply: the reply.
        stage: where the session stands.
        due: what is to be done as soon as nothing more is here to read.
        quirks: what is known of the server's bad habits.
        is_decided: whether the mail has its verdict.
    """
    if isinstance(due, StartTls):
        return Uncalled.INJECTION
    # RFC 5321 does not forbid a server to refuse mail data before its end.
    may_refuse = (
        stage is Stage.BODY and classify(Stage.BODY, reply.code) is not ReplyClass.UNEXPECTED
    )
    if reply.code != SERVICE_CLOSING and not may_refuse:
        quirks.speaks_unasked = True
    if isinstance(due, ExpectNoMoreInput):
        # Octets behind the verdict: which of the two replies was meant for the dot? Only 421
        # may come uncalled (RFC 5321 §3.8): it ends the session, and leaves the verdict.
        return Uncalled.REFUSAL if reply.code == SERVICE_CLOSING else Uncalled.UNEXPECTED
    if is_decided:
        return Uncalled.END
    return Uncalled.REFUSAL if reply.code == SERVICE_CLOSING or may_refuse else Uncalled.UNEXPECTED

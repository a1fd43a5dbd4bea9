"""Unsolicited replies: those that come when no command is outstanding."""

import enum

from ...words.classification import SERVICE_CLOSING, ReplyClass, classify
from ...words.quirks import Quirks
from ...words.reply import Reply
from ...words.stage import Stage
from ..step import ExpectNoMoreInput, StartTls, Step


class Unsolicited(enum.Enum):
    """What an unsolicited reply means for the session."""

    END = enum.auto()
    """The verdict is reported already: just close."""
    REFUSAL = enum.auto()
    """It is 421, or rejects the mail data before its end; both are allowed."""
    INJECTION = enum.auto()
    """An attacker may have sent it."""
    UNEXPECTED = enum.auto()
    """It violates the protocol."""


def judge_unsolicited(
    reply: Reply, stage: Stage, due: Step | None, quirks: Quirks, *, is_decided: bool
) -> Unsolicited:
    """Judge an unsolicited reply, and update the server's quirks.

    Args:
        reply: the reply.
        stage: how far the session has come.
        due: the next step, to be done once no input is pending, or None.
        quirks: the server's known protocol faults.
        is_decided: whether the verdict is reported.
    """
    if isinstance(due, StartTls):
        return Unsolicited.INJECTION
    # RFC 5321 does not forbid a server to reject mail data before its end.
    may_refuse = (
        stage is Stage.BODY and classify(Stage.BODY, reply.code) is not ReplyClass.UNEXPECTED
    )
    if reply.code != SERVICE_CLOSING and not may_refuse:
        quirks.sends_unsolicited = True
    if isinstance(due, ExpectNoMoreInput):
        # Data after the final reply: either of the two may be the final one. Only 421 may be
        # unsolicited (RFC 5321 §3.8): it ends the session, and the final reply counts.
        return Unsolicited.REFUSAL if reply.code == SERVICE_CLOSING else Unsolicited.UNEXPECTED
    if is_decided:
        return Unsolicited.END
    return (
        Unsolicited.REFUSAL
        if reply.code == SERVICE_CLOSING or may_refuse
        else Unsolicited.UNEXPECTED
    )

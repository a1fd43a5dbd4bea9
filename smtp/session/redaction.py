"""Secrets that a server repeats: masked in its replies, and in the verdict on the mail."""

import dataclasses
from collections.abc import Callable

from ..sasl.secret import MASK, Masking
from ..words.reply import Reply
from ..words.verdict import Failed, Verdict
from .session import Session


def masking_of(session: Session, scrub: Callable[[str], str]) -> Masking:
    """Return what masks secrets in a session: those that earlier mails in it learned, too.

    Args:
        session: what is known of the session; it keeps the masking for the next mail.
        scrub: masks the secrets that are known from the start.
    """
    masking = session.masking = Masking(scrub, session.masking)
    return masking


def redacted_reply(reply: Reply, masking: Masking) -> Reply:
    """Mask the secrets in a reply, also one that the server has spread over its lines."""
    lines = tuple([masking(line) for line in reply.lines])
    if len(lines) > 1 and masking(together := "".join(lines)) != together:
        lines = (MASK,) * len(lines)
    return Reply(reply.code, lines)


def redacted_verdict(verdict: Verdict, masking: Masking) -> Verdict:
    """Mask the secrets in what is told of the mail.

    Its replies were redacted when they came; a detail may tell what the server offers.
    """
    warnings = tuple([masking(warning) for warning in verdict.warnings])
    verdict = dataclasses.replace(verdict, warnings=warnings)
    if isinstance(verdict, Failed):
        verdict = dataclasses.replace(verdict, detail=masking(verdict.detail))
    return verdict

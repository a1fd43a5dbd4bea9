"""Secrets that a server repeats: masked in its replies, and in the verdict on the mail."""

import dataclasses
from collections.abc import Callable

from ..sasl.secret import MASK, SessionRedactor
from ..words.reply import Reply
from ..words.verdict import Failed, Verdict
from .session import Session


def masking_of(session: Session, redact: Callable[[str], str]) -> SessionRedactor:
    """Return what masks secrets in a session: those that earlier mails in it learned, too.

    Args:
        session: what is known of the session; it keeps the redactor for the next mail.
        redact: masks the secrets that are known from the start.
    """
    redactor = session.redactor = SessionRedactor(redact, session.redactor)
    return redactor


def redacted_reply(reply: Reply, redactor: SessionRedactor) -> Reply:
    """Mask the secrets in a reply, also one that the server has spread over its lines."""
    lines = tuple([redactor(line) for line in reply.lines])
    if len(lines) > 1 and redactor(together := "".join(lines)) != together:
        lines = (MASK,) * len(lines)
    return Reply(reply.code, lines)


def redacted_verdict(verdict: Verdict, redactor: SessionRedactor) -> Verdict:
    """Mask the secrets in what is told of the mail.

    Its replies were redacted when they came; a detail may tell what the server offers.
    """
    warnings = tuple([redactor(warning) for warning in verdict.warnings])
    verdict = dataclasses.replace(verdict, warnings=warnings)
    if isinstance(verdict, Failed):
        verdict = dataclasses.replace(verdict, detail=redactor(verdict.detail))
    return verdict

"""Redaction of secrets that a server repeats, in its replies and in the verdict."""

import dataclasses
from collections.abc import Callable

from ...sasl.secret import MASK, SessionRedactor
from ...words.reply import Reply
from ...words.verdict import Failed, Verdict
from ..opening.session import Session


def redactor_of(session: Session, redact: Callable[[str], str]) -> SessionRedactor:
    """Return the redactor of a session, which knows the tokens of earlier emails in it, too.

    Args:
        session: the state of the session; it keeps the redactor for the next email.
        redact: redacts the secrets that are known from the start.
    """
    redactor = session.redactor = SessionRedactor(redact, session.redactor)
    return redactor


def redacted_reply(reply: Reply, redactor: SessionRedactor) -> Reply:
    """Return a reply without secrets, even one that the server has split over several lines."""
    lines = tuple([redactor(line) for line in reply.lines])
    if len(lines) > 1 and redactor(together := "".join(lines)) != together:
        lines = (MASK,) * len(lines)
    return Reply(reply.code, lines)


def redacted_verdict(verdict: Verdict, redactor: SessionRedactor) -> Verdict:
    """Return a verdict without secrets in its detail and its warnings.

    Its replies were redacted when they were received; a detail may quote the server's extensions.
    """
    warnings = tuple([redactor(warning) for warning in verdict.warnings])
    verdict = dataclasses.replace(verdict, warnings=warnings)
    if isinstance(verdict, Failed):
        verdict = dataclasses.replace(verdict, detail=redactor(verdict.detail))
    return verdict

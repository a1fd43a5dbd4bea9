"""The exit status for an outcome, as programs have learned it of ``sendmail`` (sysexits.h)."""

from ...signals import Outcome, SendFailure
from ...smtp.words.stage import Stage
from ...smtp.words.verdict import FailureKind, RecipientResult
from ..sysexits import (
    EX_CONFIG,
    EX_NOPERM,
    EX_NOUSER,
    EX_OK,
    EX_PROTOCOL,
    EX_SOFTWARE,
    EX_TEMPFAIL,
    EX_UNAVAILABLE,
)

_UNKNOWN = frozenset({550, 551, 553})
"""Replies to RCPT by which a mailbox does not exist, or cannot (RFC 5321 §4.3.2)."""


def status_of(outcome: Outcome) -> int:
    """Return the exit status.

    What is final counts before what may pass, as a program sends all of the email again after
    EX_TEMPFAIL. The status is EX_TEMPFAIL, too, if the email may have been accepted.
    """
    failure = outcome if isinstance(outcome, SendFailure) else None
    if failure is not None and not (failure.retryable or failure.maybe_accepted):
        status = _of_the_send(failure)
        if status is not None:
            return status
    left = [result for result in outcome.recipients if not result.accepted]
    if failure is None and not left:
        return EX_OK
    final = [result for result in left if not _may_pass(failure, result)]
    if not final:
        return EX_TEMPFAIL
    is_unknown = all(_is_unknown(failure, result) for result in final)
    return EX_NOUSER if is_unknown else EX_UNAVAILABLE


def _of_the_send(failure: SendFailure) -> int | None:
    """Return the status of a failure that is not about the recipients, or None."""
    match failure.kind:
        case FailureKind.SECURITY:
            return EX_NOPERM
        case FailureKind.SMTP if failure.stage is Stage.AUTH:
            return EX_NOPERM
        case FailureKind.CONNECT if failure.operation == "getaddrinfo":
            return EX_CONFIG  # EX_NOHOST would mean the host of a recipient
        case FailureKind.PROTOCOL:
            return EX_PROTOCOL
        case FailureKind.INTERNAL:
            return EX_SOFTWARE
        case _:
            return None


def _may_pass(failure: SendFailure | None, result: RecipientResult) -> bool:
    if result.retryable or result.maybe_accepted:
        return True
    if failure is None or result.reply is not None:
        return False
    return failure.retryable or failure.maybe_accepted


def _is_unknown(failure: SendFailure | None, result: RecipientResult) -> bool:
    reply = result.reply
    if reply is None or (failure is not None and failure.stage is not Stage.RCPT):
        return False
    if reply.enhanced is not None:  # RFC 3463 §3.2
        return reply.enhanced.startswith("5.1.")
    return reply.code in _UNKNOWN

"""Outcomes that no attempt has reported."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from ....signals.outcome import Outcome, SendFailure
from ....signals.send_mail import SendMail
from ....smtp.words.stage import Stage
from ....smtp.words.verdict import FailureKind, RecipientResult
from ..text.outcome_text import outcome_to_text


def failure_of(
    mail: SendMail,
    alias: str,
    kind: FailureKind,
    detail: str,
    *,
    addresses: Sequence[str] | None = None,
    attempts: int = 0,
    maybe_accepted: bool = False,
    retryable: bool = False,
) -> SendFailure:
    """Return a failure that no attempt has reported.

    Args:
        mail: the email.
        alias: the sender of its signal.
        kind: the kind.
        detail: one line for people.
        addresses: the recipients; by default all.
        attempts: how many attempts there were.
        maybe_accepted: whether it may have been accepted.
        retryable: whether to put it again later is sensible.
    """
    results = tuple(
        RecipientResult(
            address=address,
            accepted=False,
            maybe_accepted=maybe_accepted,
            retryable=retryable,
            detail=detail,
        )
        for address in (mail.all_recipients if addresses is None else addresses)
    )
    return SendFailure(
        mail=mail,
        alias=alias,
        context=mail.context,
        recipients=results,
        attempts=attempts,
        kind=kind,
        stage=Stage.DOT if maybe_accepted else Stage.CONNECT,
        detail=detail,
        retryable=retryable,
        maybe_accepted=maybe_accepted,
    )


def expired(mail: SendMail, alias: str) -> SendFailure:
    """Return the failure of an email that is useless by now. See `failure_of`."""
    detail = "it has expired before it was accepted (Put.expires)"
    return failure_of(mail, alias, FailureKind.TIMEOUT, detail)


def died_with(mail: SendMail, alias: str, left: Sequence[str]) -> SendFailure:
    """Return the failure of an email whose end may have gone out before its process died.

    Args:
        mail: the email.
        alias: the sender of its signal.
        left: the recipients of that attempt.
    """
    detail = "the process died after the end of the email was sent; it may have been accepted"
    return failure_of(
        mail,
        alias,
        FailureKind.CONNECTION,
        detail,
        addresses=left,
        attempts=1,
        maybe_accepted=True,
    )


def with_alias(outcome: Outcome, alias: str) -> Outcome:
    """Return an outcome with the alias of the email, which another program may have put."""
    if outcome.alias == alias:
        return outcome
    return replace(outcome, alias=alias)


CANCELLED = outcome_to_text(
    SendFailure(
        mail=cast("Any", None),
        alias="",
        attempts=0,
        kind=FailureKind.CANCELLED,
        stage=Stage.CONNECT,
        detail="it was cancelled before it was sent",
        retryable=True,
    )
)
"""The outcome of a cancelled email, as text. Whoever publishes it adds the recipients."""

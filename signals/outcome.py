"""The outcome of a send: the one value that a program receives for each `SendMail`.

An outcome is a verdict of the protocol (`pykka_smtp.smtp.words.verdict`) together with what the
protocol does not know: the email, the actor that sent it, the peer, and how long it took.
It is frozen, because one and the same object goes to every receiver, on more than one thread.

It must never hold a secret, and none of its texts may hold the email's content.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from ..smtp.words.peer import Peer
from ..smtp.words.quick_frozen import unfrozen
from ..smtp.words.reply import Reply
from ..smtp.words.shown import one_line
from ..smtp.words.stage import Stage
from ..smtp.words.verdict import Accepted, Failed, FailureKind, RecipientResult, Verdict

if TYPE_CHECKING:
    from .send_mail import SendMail

# Outcomes end up in logs and on terminals, and a reply may have 64 KiB. These limits, in
# characters, cut what `repr` shows of a field, and `str` of the reply; the fields stay complete.
_REPR_LIMIT = 160
_REPLY_LIMIT = 400


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class _Outcome:
    """The fields that `SendSuccess` and `SendFailure` share.

    Attributes:
        mail: the `SendMail` given to ``tell`` or ``ask``.
        alias: the alias of the actor that sent it; the sender of the signal.
        context: the `context` of `mail`, unchanged and uncopied.
        recipients: one result for each address that the caller gave, in the caller's order,
            duplicates included.
        reply: the last reply that decided, or None if there was none.
        peer: the server, or None if no connection was established.
        elapsed: how long the send took, in seconds; the wait for a free connection is excluded.
        transcript: all lines of the session, secrets redacted; empty unless `debug` was set. After
            several attempts: the last 100 000 characters, and how many lines were left out.
        warnings: oddities that did not affect the outcome, one line each.
        attempts: how many attempts there were. A `Mailer` retries deferred emails, and may fail
            an email without any attempt.
        doubts: how many earlier attempts may have been accepted, so that there may be so many more
            copies of the email. Always 0, except with an `Outbox`.
    """

    # The caller's context may be any object, and `mail` holds it: neither need be hashable.
    mail: "SendMail" = field(hash=False)
    alias: str
    context: Any = field(default=None, hash=False)
    recipients: tuple[RecipientResult, ...] = ()
    reply: Reply | None = None
    peer: Peer | None = None
    elapsed: float = 0.0
    transcript: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    attempts: int = 1
    doubts: int = 0

    @property
    def message_id(self) -> str | None:
        """The Message-ID of the email. See `SendMail.message_id`."""
        return self.mail.message_id

    @property
    def code(self) -> int | None:
        """The code of the reply, or None without one."""
        return None if self.reply is None else self.reply.code

    @property
    def text(self) -> str | None:
        """The text of the reply, its lines joined by newlines, or None without one."""
        return None if self.reply is None else self.reply.text

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as plain values, for ``json.dumps`` and structured logs.

        The email's content, the context and the transcript are left out.
        """
        return {
            "outcome": "failure" if isinstance(self, SendFailure) else "success",
            "mail": str(self.mail.id),
            "alias": self.alias,
            "sender": self.mail.sender,
            "recipients": [_recipient_as_dict(result) for result in self.recipients],
            **_reply_as_dict(self.reply),
            "peer": _peer_as_dict(self.peer),
            "elapsed": self.elapsed,
            "attempts": self.attempts,
            "doubts": self.doubts,
            "warnings": list(self.warnings),
        }

    def __repr__(self) -> str:
        shown = ", ".join(f"{f.name}={self._shown(f.name)}" for f in fields(self))
        return f"{type(self).__name__}({shown})"

    def _shown(self, name: str) -> str:
        """Return what `repr` shows of the field `name`: all of them must fit on one screen."""
        if name == "context":
            # The caller's object: it may be large, and it may be secret.
            return "..."
        if name == "recipients":
            accepted = sum(result.accepted for result in self.recipients)
            return f"<{len(self.recipients)}, {accepted} accepted>"
        if name == "transcript":
            return f"<{len(self.transcript)} lines>"
        return _cut(repr(getattr(self, name)), _REPR_LIMIT)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SendSuccess(_Outcome):
    """The server accepted the email, and so took responsibility for it, for at least one recipient.

    Attributes:
        reply: the final reply (to the end of the mail data); never None.
    """

    reply: Reply  # pyright: ignore[reportGeneralTypeIssues] - by keyword, so it needs no default

    @property
    def code(self) -> int:
        """The code of the reply."""
        return self.reply.code

    @property
    def text(self) -> str:
        """The text of the reply, its lines joined by newlines."""
        return self.reply.text

    @property
    def refused(self) -> tuple[RecipientResult, ...]:
        """The results of the recipients for which the server did not accept the email."""
        for result in self.recipients:
            if not result.accepted:
                return tuple([one for one in self.recipients if not one.accepted])
        return ()  # the usual case, found without a generator

    def raise_for_failure(self) -> "SendSuccess":
        """Return this success; a `SendFailure` raises `SendError` instead.

        With it, ``ref.ask(mail).raise_for_failure().reply`` needs no ``if``.
        """
        return self

    def __str__(self) -> str:
        accepted = sum(result.accepted for result in self.recipients)
        by = "" if self.peer is None else f" by {self.peer}"
        reply = _cut(str(self.reply), _REPLY_LIMIT)
        return one_line(
            f"{self.alias}: mail {self.mail.id} accepted{by}"
            f" for {accepted} of {len(self.recipients)} recipients: {reply}"
        )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SendFailure(_Outcome):
    """The server did not accept the email, or it is unknown whether it did.

    Attributes:
        kind: why.
        stage: how far the session had come.
        operation: the system operation that failed (such as ``"connect"``), or None.
        errno: its error number, or None.
        detail: one line for people.
        retryable: whether a later retry is sensible, and cannot make a duplicate.
        maybe_accepted: whether the server may have accepted the email nevertheless: the end of
            the mail data was sent, and no trustworthy final reply was received (RFC 1047).
    """

    kind: FailureKind
    stage: Stage
    detail: str
    retryable: bool
    maybe_accepted: bool = False
    operation: str | None = None
    errno: int | None = None

    def raise_for_failure(self) -> NoReturn:
        """Raise `SendError` with this outcome. See `SendSuccess.raise_for_failure`.

        Raises:
            SendError: always.
        """
        raise SendError(self)

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as plain values. See `SendSuccess.as_dict`."""
        # No bare super(): `slots=True` creates a new class, and the bare form means the old one.
        return _Outcome.as_dict(self) | {
            "kind": self.kind.name,
            "stage": self.stage.value,
            "operation": self.operation,
            "errno": self.errno,
            "detail": self.detail,
            "retryable": self.retryable,
            "maybe_accepted": self.maybe_accepted,
        }

    def __str__(self) -> str:
        advice = ""
        if self.maybe_accepted:
            advice = " (find out before you send it again)"
        elif self.retryable:
            advice = " (try again later)"
        return one_line(
            f"{self.alias}: mail {self.mail.id} not sent"
            f" ({self.kind.name} at {self.stage}): {self.detail}{advice}"
        )


_UnfrozenSuccess = unfrozen(SendSuccess)

Outcome: TypeAlias = SendSuccess | SendFailure
"""The outcome of one send. Two types only: a type checker infers one by excluding the other."""


class SendError(OSError):
    """An email was not sent; raised by `raise_for_failure`.

    Its text is the outcome's detail. It can be pickled if the `SendMail` and its context can.

    It is an `OSError`, as smtplib's exceptions are: programs that were written for smtplib, or for
    Django's ``send_mail``, catch that around what sends.

    Attributes:
        outcome: the `SendFailure`.
        errno: the number of the system's error, or None.
        strerror: the outcome's detail.
    """

    outcome: SendFailure
    errno: int | None
    strerror: str | None

    def __init__(self, outcome: SendFailure) -> None:
        # The outcome is the only argument: an exception is pickled by its arguments.
        super().__init__(outcome)
        self.outcome = outcome
        self.errno = outcome.errno
        self.strerror = outcome.detail

    def __str__(self) -> str:
        return self.outcome.detail


def outcome_of(
    verdict: Verdict,
    *,
    mail: "SendMail",
    alias: str,
    recipients_in_order: Sequence[str],
    peer: Peer | None,
    elapsed: float,
    transcript: tuple[str, ...] = (),
    attempts: int = 1,
) -> Outcome:
    """Return the outcome for a verdict of the protocol.

    Args:
        verdict: has one result for each distinct forward-path.
        mail: the email that the verdict is about.
        alias: the alias of the actor.
        recipients_in_order: the addresses as the caller gave them. The outcome has one result
            for each, in this order, duplicates included. An address without a result in the
            verdict, because the session did not come that far, was not accepted; it is retryable
            if the email is.
        peer: the server, or None if no connection was established.
        elapsed: seconds.
        transcript: the lines of the session, secrets redacted.
        attempts: how many attempts there were, this one included.
    """
    if isinstance(verdict, Accepted):
        # In each email's path: `unfrozen` says why.
        made: Any = _UnfrozenSuccess()
        made.mail = mail
        made.alias = alias
        made.context = mail.context
        made.recipients = _in_order(verdict.recipients, recipients_in_order)
        made.reply = verdict.reply
        made.peer = peer
        made.elapsed = elapsed
        made.transcript = transcript
        made.warnings = verdict.warnings
        made.attempts, made.doubts = attempts, 0
        made.__class__ = SendSuccess
        success: SendSuccess = made
        return success
    return _failure_of(
        verdict,
        mail=mail,
        alias=alias,
        recipients=_explained(verdict, recipients_in_order),
        peer=peer,
        elapsed=elapsed,
        transcript=transcript,
        attempts=attempts,
    )


def _failure_of(
    verdict: Failed,
    *,
    mail: "SendMail",
    alias: str,
    recipients: tuple[RecipientResult, ...],
    peer: Peer | None,
    elapsed: float,
    transcript: tuple[str, ...],
    attempts: int,
) -> SendFailure:
    return SendFailure(
        mail=mail,
        alias=alias,
        context=mail.context,
        recipients=recipients,
        reply=verdict.reply,
        peer=peer,
        elapsed=elapsed,
        transcript=transcript,
        warnings=verdict.warnings,
        attempts=attempts,
        kind=verdict.kind,
        stage=verdict.stage,
        detail=verdict.detail,
        retryable=verdict.retryable,
        maybe_accepted=verdict.maybe_accepted,
        operation=verdict.operation,
        errno=verdict.errno,
    )


def _in_order(
    results: tuple[RecipientResult, ...], addresses: Sequence[str]
) -> tuple[RecipientResult, ...]:
    """Return one result for each of `addresses`, in their order."""
    if tuple([result.address for result in results]) == tuple(addresses):  # the usual case
        return results
    by_address = {result.address: result for result in results}
    return tuple(
        by_address.get(address) or RecipientResult(address=address, accepted=False)
        for address in addresses
    )


def _explained(failed: Failed, addresses: Sequence[str]) -> tuple[RecipientResult, ...]:
    """Return one result for each of `addresses`; one without a reply gets the failure's detail."""
    by_address = {
        result.address: result if result.reply else replace(result, detail=failed.detail)
        for result in failed.recipients
    }
    return tuple(
        by_address.get(address)
        or RecipientResult(
            address=address, accepted=False, retryable=failed.retryable, detail=failed.detail
        )
        for address in addresses
    )


def _recipient_as_dict(result: RecipientResult) -> dict[str, Any]:
    return {
        "address": result.address,
        "accepted": result.accepted,
        **_reply_as_dict(result.reply),
        "detail": result.detail,
        "peer": _peer_as_dict(result.peer),
    }


def _peer_as_dict(peer: Peer | None) -> dict[str, Any] | None:
    return None if peer is None else {f.name: getattr(peer, f.name) for f in fields(peer)}


def _reply_as_dict(reply: Reply | None) -> dict[str, Any]:
    if reply is None:
        return {"code": None, "enhanced": None, "text": None}
    return {"code": reply.code, "enhanced": reply.enhanced, "text": reply.text}


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."

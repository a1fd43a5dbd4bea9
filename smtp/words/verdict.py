"""The verdict of a session: the email was accepted, or it was not, and why.

The dialog decides on a verdict; `pykka_smtp.signals` makes the outcome that a program receives
out of it. Each session ends in exactly one `Accepted` or one `Failed`.
"""

import enum
from dataclasses import dataclass
from typing import Any

from .peer import Peer
from .quick_frozen import unfrozen
from .reply import Reply
from .stage import Stage

MAX_DETAIL = 500
"""Characters of a verdict's detail. It quotes replies, which may have 64 KiB, and goes into log
lines: 500 hold about one reply line of full length (512 octets, RFC 5321 §4.5.3.1.5)."""


class FailureKind(enum.IntEnum):
    """Why an email was not sent. 1 to 4 are those of POE::Component::Client::SMTP."""

    SMTP = 1
    """The server rejected or deferred the email; the reply says why."""
    CONNECT = 2
    """No connection: unknown name, refused, unreachable."""
    CONNECTION = 3
    """An established connection was lost."""
    TIMEOUT = 4
    """A timeout of a step, or the deadline of the attempt, expired."""
    PROTOCOL = 5
    """The server violated the protocol."""
    SECURITY = 6
    """TLS or authentication did not meet the configured requirements; nothing was sent."""
    LOCAL = 7
    """The email cannot be sent as requested; nothing was sent."""
    CANCELLED = 8
    """The send was cancelled, for example because the actor was stopped."""
    INTERNAL = 9
    """An internal error of pykka-smtp; please report it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientResult:
    """The result of a send for one recipient.

    Attributes:
        address: the recipient, as it was given.
        accepted: whether the server accepted the email for this recipient.
        reply: the reply that decided, or None if there was none.
        maybe_accepted: whether the email may have been accepted for this recipient, and no
            trustworthy final reply was received (RFC 1047).
        retryable: whether a later retry for this recipient is sensible, and cannot make a
            duplicate.
        detail: why it was not accepted, in one line for people, if no reply says so; else empty.
        peer: the server of this result, if the outcome combines several attempts or several parts
            of a send; None if it is the outcome's own `peer`.
    """

    address: str
    accepted: bool
    reply: Reply | None = None
    maybe_accepted: bool = False
    retryable: bool = False
    detail: str = ""
    peer: Peer | None = None


_UnfrozenResult = unfrozen(RecipientResult)


def accepted_for(address: str, reply: Reply) -> RecipientResult:
    """Return the result for a recipient for whom the email was accepted, as quickly as can be.

    Args:
        address: the recipient.
        reply: the reply to RCPT.
    """
    result: Any = _UnfrozenResult()
    result.address, result.accepted, result.reply = address, True, reply
    result.maybe_accepted = result.retryable = False
    result.detail, result.peer = "", None
    result.__class__ = RecipientResult
    accepted: RecipientResult = result
    return accepted


@dataclass(frozen=True, slots=True)
class Left:
    """Recipients over the limits of this session; another session may send to them at once.

    Attributes:
        paths: their forward-paths.
        warning: the warning of the verdict that is about them.
    """

    paths: tuple[str, ...]
    warning: str


@dataclass(slots=True, kw_only=True)
class Accepted:
    """The server accepted the email for at least one recipient.

    Attributes:
        reply: the final reply.
        recipients: one result for each forward-path, in order.
        warnings: oddities that did not affect the verdict, one line each.
        left: the recipients that were not attempted because of the session's limits, or None.
    """

    reply: Reply
    recipients: tuple[RecipientResult, ...]
    warnings: tuple[str, ...] = ()
    left: Left | None = None


@dataclass(slots=True, kw_only=True)
class Failed:
    """The server did not accept the email, or it is unknown whether it did.

    Attributes:
        kind: why.
        stage: how far the session had come.
        detail: one line for people.
        retryable: whether a later retry is sensible, and cannot make a duplicate.
        maybe_accepted: whether the end of the mail data may have reached the server, and no
            trustworthy final reply was received (RFC 1047).
        reply: the reply that decided, or None.
        operation: the system operation that failed (such as ``"connect"``), or None.
        errno: its error number, or None.
        recipients: one result for each forward-path, in order.
        warnings: oddities that did not affect the verdict, one line each.
        left: the recipients that were not attempted because of the session's limits, or None.
    """

    kind: FailureKind
    stage: Stage
    detail: str
    retryable: bool
    maybe_accepted: bool = False
    reply: Reply | None = None
    operation: str | None = None
    errno: int | None = None
    recipients: tuple[RecipientResult, ...] = ()
    warnings: tuple[str, ...] = ()
    left: Left | None = None


Verdict = Accepted | Failed

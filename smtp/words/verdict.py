"""What a session came to: the mail was accepted, or it was not, and why.

A verdict is what the dialog decides; `pykka_smtp.signals` makes the outcome of it that a program
hears. There are no others: each session ends in exactly one `Accepted` or one `Failed`.
"""

import enum
from dataclasses import dataclass

from .peer import Peer
from .reply import Reply
from .stage import Stage

MAX_DETAIL = 500
"""Characters of a verdict's detail: a server's reply may have more than a line can show."""


class FailureKind(enum.IntEnum):
    """Why a mail was not sent. 1 to 4 are POE::Component::Client::SMTP's."""

    SMTP = 1
    """The server said no; the reply says why."""
    CONNECT = 2
    """No connection: unknown name, refused, unreachable."""
    CONNECTION = 3
    """An established connection broke."""
    TIMEOUT = 4
    """Too slow: a step, or the whole send."""
    PROTOCOL = 5
    """The server broke the protocol."""
    SECURITY = 6
    """TLS or authentication was below what was asked; nothing was sent."""
    LOCAL = 7
    """The mail cannot be sent as asked; nothing was sent."""
    CANCELLED = 8
    """The actor was stopped."""
    INTERNAL = 9
    """An internal error of pykka-smtp; please report it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientResult:
    """What the server said of one recipient.

    Attributes:
        address: the recipient, as it was given.
        accepted: whether the server took responsibility for the mail to this recipient.
        reply: the reply that decided, or None where none came.
        maybe_accepted: whether the mail may have reached this recipient, and no trustworthy
            verdict came back (RFC 1047).
        retryable: whether trying this recipient again later is sensible, and cannot make a
            duplicate.
        detail: why not, in one line for people, where there is no reply to say it; else empty.
        peer: the server that this is of, where an outcome sums up several attempts or several
            parts of a mail; None where it is the outcome's own `peer`.
    """

    address: str
    accepted: bool
    reply: Reply | None = None
    maybe_accepted: bool = False
    retryable: bool = False
    detail: str = ""
    peer: Peer | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """Recipients for whom this session had no room; another may take them at once.

    Attributes:
        paths: their forward-paths.
        warning: which of the warnings tells of them.
    """

    paths: tuple[str, ...]
    warning: str


@dataclass(slots=True, kw_only=True)
class Accepted:
    """The server took responsibility for the mail, for at least one recipient.

    Attributes:
        reply: the reply to the final dot.
        recipients: one result for each forward-path, in order.
        warnings: what was odd but did not matter, one line each.
        left: those of the recipients who were not tried, if trying them is a matter of room.
    """

    reply: Reply
    recipients: tuple[RecipientResult, ...]
    warnings: tuple[str, ...] = ()
    left: Left | None = None


@dataclass(slots=True, kw_only=True)
class Failed:
    """The server did not take the mail, or nobody knows whether it did.

    Attributes:
        kind: why.
        stage: how far the session had come.
        detail: one line for people.
        retryable: whether trying again later is sensible, and cannot make a duplicate.
        maybe_accepted: whether the final dot may have reached the server without a trustworthy
            verdict coming back (RFC 1047).
        reply: the reply that decided, or None.
        operation: the system operation that failed (such as ``"connect"``), or None.
        errno: its error number, or None.
        recipients: one result for each forward-path, in order.
        warnings: what was odd but did not matter, one line each.
        left: those of the recipients who were not tried, if trying them is a matter of room.
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

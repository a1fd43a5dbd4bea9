"""What takes emails instead of a server: an `Outlet`, and its `Sink` for each email."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ....smtp.words.peer import Peer
from ....smtp.words.verdict import FailureKind
from ...loop.workers import Workers

OFFERS: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE", "ENHANCEDSTATUSCODES")
"""What every outlet can do."""
OFFERS_OF_A_KEEPER: tuple[str, ...] = (
    *OFFERS,
    *("DSN", "DELIVERBY", "MT-PRIORITY", "FUTURERELEASE 999999999 9999-12-31T23:59:59Z"),
)
"""What one offers that keeps the envelope with its parameters, and delivers nothing."""


class Rejected(Exception):  # noqa: N818 - it is a reply
    """The email was not taken, for a reason that SMTP has a reply for.

    Args:
        reply: such as ``"452 4.3.1 no space left on device"``, one line.
    """

    def __init__(self, reply: str) -> None:
        super().__init__(reply)
        self.reply: str = reply


class Broken(Exception):  # noqa: N818 - no caller sees it
    """The outlet does not work.

    Args:
        kind: why.
        detail: one line for people.
        retryable: whether a later retry is sensible, and cannot make a duplicate.
        maybe_taken: whether the email may have been taken nevertheless.
        operation: the system operation that failed, or None.
        errno: its error number, or None.
    """

    def __init__(
        self,
        kind: FailureKind,
        detail: str,
        *,
        retryable: bool,
        maybe_taken: bool = False,
        operation: str | None = None,
        errno: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind: FailureKind = kind
        self.detail: str = detail
        self.retryable: bool = retryable
        self.maybe_taken: bool = maybe_taken
        self.operation: str | None = operation
        self.errno: int | None = errno


def unusable(name: str, operation: str, number: int) -> Broken:
    """Return the error of an outlet that the system lets nobody use.

    Args:
        name: the outlet's.
        operation: the system's operation that failed, or would.
        number: the system's error number.
    """
    return Broken(
        FailureKind.CONNECT,
        f"{name}: {os.strerror(number)}",
        retryable=True,
        operation=operation,
        errno=number,
    )


@dataclass(slots=True)
class Taken:
    """The envelope of one transaction, as the commands gave it.

    Attributes:
        sender: the reverse-path, without brackets; empty for the null reverse-path.
        recipients: the forward-paths that were accepted.
        parameters: those of MAIL, such as ``"BODY=8BITMIME"``.
        rcpt_parameters: those of each RCPT, in the order of `recipients`.
        plan: what a test has chosen for the email, whatever recipients; or None.
        is_planned: whether that was looked up.
    """

    sender: str
    recipients: list[str] = field(default_factory=list[str])
    parameters: str = ""
    rcpt_parameters: list[str] = field(default_factory=list[str])
    plan: "Plan | None" = None
    is_planned: bool = False


class Sink(Protocol):
    """Takes one email. `write` and `finish` may block; they are called one after the other."""

    def write(self, octets: bytes) -> None:
        """Take mail data: lines that end in CRLF, dot stuffing undone.

        Raises:
            Rejected: it cannot.
            Broken: the outlet does not work.
        """
        ...

    def finish(self) -> str:
        """Take the email, which is complete; return the text of the positive reply.

        Raises:
            Rejected: it cannot.
            Broken: the outlet does not work.
        """
        ...

    def stop(self) -> None:
        """End a `write` or `finish` in progress soon. Does not block; on the loop thread."""
        ...

    def discard(self) -> None:
        """Release everything. It may block until a call in progress has returned.

        Called at the end, also after `finish`, and again after an error.
        """
        ...


class Outlet(ABC):
    """Takes emails instead of a server. On the loop thread, except for `check`.

    Attributes:
        name: its URL without options, for messages.
        offers: the lines of its EHLO reply, after the first.
        peer: what outcomes report as their peer, or None.
    """

    name: str
    offers: Sequence[str] = OFFERS_OF_A_KEEPER
    peer: Peer | None = None

    @abstractmethod
    def sink(self, taken: Taken) -> Sink:
        """Return what takes the email of a transaction. Opens nothing yet."""

    def pool(self) -> Workers | None:
        """Return the threads in which it may block, or None if it never does."""
        return None

    def check(self) -> None:  # noqa: B027 - most can be used always
        """Check that it can be used. In one of those threads.

        Raises:
            Broken: it cannot.
        """

    def plan_for(self, taken: Taken, path: str) -> "Plan | None":  # noqa: ARG002
        """Return what happens at a recipient, or None if it is accepted.

        Args:
            taken: the transaction so far.
            path: the recipient.
        """
        return None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a test has chosen instead of success.

    Attributes:
        reply: the reply to the recipient; empty for none.
        times_out: whether the timeout of that reply expires, at once.
        loses_the_answer: whether the connection is lost once the email was taken.
    """

    reply: str = ""
    times_out: bool = False
    loses_the_answer: bool = False

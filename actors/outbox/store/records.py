"""What goes into the file of an outbox, and what comes out of it."""

from dataclasses import dataclass, field

from ..rules.states import State
from .bodies import BodyFile


@dataclass(slots=True, kw_only=True)
class NewMail:
    """An email to put.

    Attributes:
        id: that of the `SendMail`.
        key: the caller's, unique for its alias; or the id.
        alias: the sender of its signals.
        digest: the same for the same email.
        env: everything but the body, as JSON.
        body: the body; or, if that is in a file beside, what names it.
        priority: a higher one goes first.
        due: when it may go, in seconds of UTC.
        expires: when it is useless, in the same; or None.
        put_at: the time, in the same.
        at_least_once: whether a second copy is better than none.
        claim: whether the process that puts it sends it at once.
        size: octets of the body; those of `body`, if it is not given.
    """

    id: str
    key: str
    alias: str
    digest: bytes
    env: str
    body: bytes | str
    priority: int
    due: float
    expires: float | None
    put_at: float
    at_least_once: bool
    claim: bool
    size: int = -1

    def __post_init__(self) -> None:
        if self.size < 0:
            self.size = len(self.body)


@dataclass(frozen=True, slots=True)
class Clash:
    """An email with that key is there already.

    Attributes:
        seq: its number.
        id: its id.
        is_same: whether it is the same email.
        state: its state.
    """

    seq: int
    id: str
    is_same: bool
    state: State


@dataclass(slots=True)
class Row:
    """An email of the file, for the process that has claimed it, or publishes its outcome.

    Attributes:
        seq: its number in the file.
        id: that of the `SendMail`.
        key: the caller's key, or the id.
        alias: the sender of its signals.
        priority: a higher one goes first.
        expires: when it is useless, in seconds of UTC; or None.
        put_at: when it was put.
        at_least_once: whether a second copy is better than none.
        home: the life that put it, if that hears; else None.
        doubts: how many attempts may have been accepted.
        crashes: how many processes have died with it.
        replays: how often its outcome may have been published.
        past: the attempts so far, as JSON; or None.
        outcome: its outcome, as JSON; or None.
        env: everything but the body, as JSON; empty if the process has the email.
        body: the body; or its file, if it is read from there while it is sent.
    """

    seq: int
    id: str
    key: str
    alias: str
    priority: int
    expires: float | None
    put_at: float
    at_least_once: bool
    home: int | None
    doubts: int
    crashes: int
    replays: int
    past: str | None
    outcome: str | None
    env: str
    body: bytes | BodyFile = b""


@dataclass(slots=True)
class Ending:
    """The outcome of an email.

    Attributes:
        seq: its number.
        outcome: the outcome, as JSON.
        is_sent: whether it is a success.
        publishes: whether this process publishes it; else the process that put it does.
    """

    seq: int
    outcome: str
    is_sent: bool
    publishes: bool


@dataclass(slots=True)
class Later:
    """The next attempt at an email.

    Attributes:
        seq: its number.
        due: when, in seconds of UTC.
        past: the attempts so far, as JSON; or None.
        doubts: how many of them may have been accepted.
    """

    seq: int
    due: float
    past: str | None
    doubts: int


@dataclass(slots=True)
class Claims:
    """What a claim gave.

    Attributes:
        rows: the emails.
        next_due: when the next that is not claimed is due, in seconds of UTC; None if there is
            none. In the past if there were more than could be claimed.
        alone_due: when the next is due that must be sent alone; None if there is none.
    """

    rows: list[Row] = field(default_factory=list[Row])
    next_due: float | None = None
    alone_due: float | None = None


@dataclass(slots=True)
class Rescue:
    """What became of emails of dead processes.

    Attributes:
        lives: the numbers of these.
        is_over: whether these were all.
        ready: how many emails wait again.
        held: how many are held, as processes died of them.
        in_doubt: emails that may have been accepted, and must not be sent twice: the caller tells.
    """

    lives: list[int] = field(default_factory=list[int])
    is_over: bool = True
    ready: int = 0
    held: int = 0
    in_doubt: list[Row] = field(default_factory=list[Row])


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMail:
    """What is known of an email in an outbox: the answer to `Find` has these.

    Attributes:
        id: that of the `SendMail`.
        key: the key it was put with, or its id.
        alias: the sender of its signals.
        state: ``"ready"``, ``"claimed"``, ``"dot"``, ``"told"``, ``"heard"`` or ``"held"``.
        sender: the reverse-path, as it was given.
        recipients: all recipients, those of cc and bcc included.
        priority: a higher one goes first.
        put_at: when it was put, in seconds of UTC, as `time.time` counts them.
        due: when the next attempt may begin, in the same.
        expires: when it is useless, in the same; or None.
        attempts: how many there were.
        doubts: how many of them may have been accepted.
        crashes: how many processes have died with it.
        size: octets of its body.
        is_sent: whether it was accepted; None before its outcome.
        detail: the reply that accepted it, or why it failed or was put off; empty before that.
        at_least_once: whether a second copy is better than none.
    """

    id: str
    key: str
    alias: str
    state: str
    sender: str
    recipients: tuple[str, ...]
    priority: int
    put_at: float
    due: float
    expires: float | None
    attempts: int
    doubts: int
    crashes: int
    size: int
    is_sent: bool | None
    detail: str
    at_least_once: bool

"""What an `Outbox` is asked, and what it answers."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from ...signals.send_mail import SendMail
from ...smtp.words.plain import plain_bool, plain_int
from ...smtp.words.shown import shown
from ..mailer.jobs.statistics import MailerStatistics
from .rules.states import State
from .text.mail_text import MailText, to_text

MAX_PRIORITY = 9
_MAX_KEY = 255
_MOST_FOUND = 10_000


@dataclass(frozen=True, slots=True)
class Put:
    """Ask an `Outbox` to keep an email until it is sent; the answer is a `Receipt`.

    The answer comes once the email is on disk. `ask` raises `OutboxError` if it cannot be: then
    nothing is promised, and to put it again, with the same key, makes no second one.

    It is checked when it is made, and a file that the email names is read; if that has more than 64
    MiB, it is opened, and read before the answer. Leave it unchanged until then.

    Args:
        mail: the email. Its `context` must be JSON, its signals must have names.
        key: names the email for `Cancel` and the like. While an email with this key is kept,
            another with it is no second one. Default: the `id` of the email.
        not_before: when it may go out at the earliest: a datetime with time zone.
        expires: when it is useless: a datetime with time zone. It fails then, of the kind
            ``TIMEOUT``, unless it was accepted before.
        priority: -9 (last) to 9 (first); 0 by default.
        at_least_once: whether a second copy is better than none, if a process dies or a connection
            breaks after the end of the email went out. Default: as `RetryPolicy.at_least_once`
            of the Outbox says.

    Raises:
        ValueError: a value is out of range, or the email is empty.
        TypeError: a value has the wrong type, or the email's context is not JSON.
        OSError: the file of the email cannot be read.
    """

    mail: SendMail
    key: str | None = field(default=None, kw_only=True)
    not_before: dt.datetime | None = field(default=None, kw_only=True)
    expires: dt.datetime | None = field(default=None, kw_only=True)
    priority: int = field(default=0, kw_only=True)
    at_least_once: bool | None = field(default=None, kw_only=True)
    _text: MailText = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.mail, SendMail):
            raise TypeError(f"mail: needs a SendMail, not {type(self.mail).__name__}")
        if self.key is not None:
            _check_name("key", self.key)
        for name in ("not_before", "expires"):
            _check_time(name, getattr(self, name))
        plain_int("priority", self.priority, -MAX_PRIORITY, MAX_PRIORITY)
        if self.at_least_once is not None:
            plain_bool("at_least_once", self.at_least_once)
        object.__setattr__(self, "_text", to_text(self.mail))

    @property
    def text(self) -> MailText:
        """The email as it is written into the file."""
        return self._text


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to `Put`: the email is on disk.

    Attributes:
        id: the id of the email that is kept.
        key: its key.
        is_duplicate: whether it was there already, so that nothing was put.
    """

    id: str
    key: str
    is_duplicate: bool = False


@dataclass(frozen=True, slots=True)
class _OfOne:
    """About one email.

    Args:
        name: its key or id.
        alias: the alias of its signals. Default: the Outbox's own.
    """

    name: str
    alias: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check_name("name", self.name)


@dataclass(frozen=True, slots=True)
class Cancel(_OfOne):
    """Ask an `Outbox` not to send an email.

    The answer is True if it will not go out: its outcome is a failure of the kind ``CANCELLED``.
    False if it is too late, or there is none.
    """


@dataclass(frozen=True, slots=True)
class Retry(_OfOne):
    """Ask an `Outbox` to send an email now that waits, is held or has failed, and is still kept.

    The answer is whether it will. One that has failed gets a second outcome.
    """


@dataclass(frozen=True, slots=True)
class Hold(_OfOne):
    """Ask an `Outbox` to keep an email, and not to send it until `Release`.

    The answer is whether it is held; False if its end may have gone out, or there is none.
    """


@dataclass(frozen=True, slots=True)
class Release(_OfOne):
    """Ask an `Outbox` to send an email that is held. The answer is whether there was one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Find:
    """Ask an `Outbox` for emails; the answer is a list of `StoredMail`, the oldest first.

    Args:
        state: ``"ready"``, ``"claimed"``, ``"dot"``, ``"told"``, ``"heard"`` or ``"held"``.
        name: a key or id.
        alias: the alias of their signals. Default: any.
        recipient: a part of a recipient's address.
        limit: how many at most.
    """

    state: str | None = None
    name: str | None = None
    alias: str | None = None
    recipient: str | None = None
    limit: int = 100

    def __post_init__(self) -> None:
        if self.state is not None and self.state not in set(State):
            known = ", ".join(State)
            raise ValueError(f"state: needs one of {known}, not {shown(self.state)}")
        plain_int("limit", self.limit, 1, _MOST_FOUND)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStatistics:
    """What is in the file of an `Outbox`, and what this Outbox has done since it started.

    Attributes:
        ready: emails that wait: for their time, or for a connection.
        claimed: emails that a process has in memory, to send them.
        dot: emails whose end may be on the wire.
        told: emails whose outcome waits for receivers.
        heard: emails that are done with, and kept for a while.
        held: emails that are not sent until somebody says so.
        octets: the size of the file, without its log.
        put: emails put by this Outbox.
        duplicates: puts of emails that were there already.
        sent: successes of emails that it has sent.
        failed: failures of the same.
        retries: attempts that were put off.
        doubts: attempts that may have been accepted, and were followed by another.
        replayed: outcomes that an earlier process may have published already.
        rescued: emails taken over from processes that have died.
        trouble: why the file cannot be written; None if it can.
        mailer: what the sending half does.
    """

    ready: int
    claimed: int
    dot: int
    told: int
    heard: int
    held: int
    octets: int
    put: int
    duplicates: int
    sent: int
    failed: int
    retries: int
    doubts: int
    replayed: int
    rescued: int
    trouble: str | None
    mailer: MailerStatistics

    def as_dict(self) -> dict[str, Any]:
        """Return the statistics as plain values, for ``json.dumps`` and structured logs."""
        values: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        return values | {"mailer": self.mailer.as_dict()}

    def __str__(self) -> str:
        return (
            f"{self.ready} ready, {self.claimed + self.dot} in hand, {self.told} to be heard,"
            f" {self.heard} done, {self.held} held; {self.put} put, {self.sent} sent,"
            f" {self.failed} failed, {self.retries} retries, {self.doubts} doubts"
            + (f"; trouble: {self.trouble}" if self.trouble else "")
        )


def _check_name(field_name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{field_name}: needs a str, not {type(value).__name__}")
    if not value or not value.isprintable() or len(value) > _MAX_KEY:
        raise ValueError(f"{field_name}: needs 1 to {_MAX_KEY} printable characters")


def _check_time(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, dt.datetime):
        raise TypeError(f"{name}: needs a datetime, not {type(value).__name__}")
    if value.utcoffset() is None:
        raise ValueError(f"{name}: needs a datetime with time zone")

"""An email of an outbox in the memory of the process that sends it."""

from collections.abc import Callable
from typing import Any

from ....signals.send_mail import SendMail
from ...loop.asyncio_actor import Answer
from ..rules.decisions import Facts
from ..rules.states import ALONE_AFTER
from ..store.records import Row
from ..text.mail_text import mail_of
from ..text.outcome_text import attempts_of_text

_NOBODY: set[Answer] = set()


class Entry:
    """An email that this process has claimed.

    Attributes:
        seq: its number in the file.
        mail: the email.
        alias: the sender of its signals.
        facts: what is known of it.
        priority: its priority.
        home: the life that put it; None if any may publish its outcome.
        gate: the gate of this round of attempts.
        is_marked: whether the file is told, or was, that its end may go out.
        is_alone: whether it is sent alone, as processes have died with it.
        is_pressing: whether a signal receiver may be waiting for its outcome.
        is_dropped: whether its outcome is decided otherwise, so that attempts don't count.
    """

    __slots__ = (
        *("alias", "facts", "gate", "home", "is_alone", "is_dropped", "is_marked"),
        *("is_pressing", "mail", "priority", "seq"),
    )

    def __init__(
        self,
        seq: int,
        mail: SendMail,
        *,
        alias: str,
        facts: Facts,
        priority: int,
        home: int | None,
        is_alone: bool = False,
        is_pressing: bool = False,
    ) -> None:
        self.seq = seq
        self.mail = mail
        self.alias = alias
        self.facts = facts
        self.priority = priority
        self.home = home
        self.is_alone = is_alone
        self.is_pressing = is_pressing
        self.is_dropped = self.is_marked = False
        self.gate: Any = None

    def has_expired(self, now: float) -> bool:
        """Whether it is useless by now, and nothing else is decided about it.

        Args:
            now: the time, in seconds of UTC.
        """
        expires = self.facts.expires
        return expires is not None and expires <= now and not self.is_dropped


def entry_of(row: Row, mail: SendMail | None) -> Entry:
    """Return the entry of an email that was in the file.

    Args:
        row: the email as it is in the file.
        mail: the email, if it is in memory.

    Raises:
        ValueError: it cannot be read.
    """
    mail = mail or mail_of(row.env, row.body)
    facts = Facts(
        addresses=mail.all_recipients,
        left=mail.envelope.forward_paths,
        doubts=row.doubts,
        put_at=row.put_at,
        expires=row.expires,
        at_least_once=row.at_least_once,
    )
    if row.past is not None:
        facts.past, facts.left = attempts_of_text(row.past, mail, row.alias)
    return Entry(
        row.seq,
        mail,
        alias=row.alias,
        facts=facts,
        priority=row.priority,
        home=row.home,
        is_alone=row.crashes >= ALONE_AFTER,
    )


class Ended(Answer):
    """Takes the outcome of a round of attempts from the sending half.

    Attributes:
        entry: the email.
    """

    __slots__ = ("_then", "entry")

    def __init__(self, entry: Entry, then: Callable[[Entry, Any], object]) -> None:
        super().__init__(None, _NOBODY)
        self.entry: Entry = entry
        self._then: Callable[[Entry, Any], object] | None = then

    def set(self, value: object) -> None:
        """Take the outcome; the second call does nothing."""
        then, self._then = self._then, None
        if then is not None:
            then(self.entry, value)

"""`Store`: what an outbox needs of a file or database. All methods are for its one thread.

Each takes lists, and answers lists: what has gathered while the last turn was written is one turn.
A step of an owner happens only where the email is still its own: see `rules.states`.
"""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ..rules.clocks import ClockNote
from .notes import OutcomeNotes
from .records import Claims, Clash, Ending, Later, NewMail, Rescue, Row, StoredMail
from .wake import WakeSocket


class Store(Protocol):
    """The file of an outbox, opened by one life: a process, from start to stop.

    Attributes:
        life: the number of this life; never used again.
        notes: where outcomes are noted that are on their way into the file; None if nowhere.
    """

    notes: OutcomeNotes | None

    @property
    def life(self) -> int:
        """The number of this life."""
        ...

    @property
    def waits_since(self) -> float | None:
        """While it waits for its turn: since when, on the monotonic clock. From any thread."""
        ...

    def turn(self, *, is_durable: bool) -> AbstractContextManager[None]:
        """Return a context: what is written in it is written together, or not at all.

        Args:
            is_durable: whether it must survive a power cut once the context is left.

        Raises:
            OutboxError: at its end: nothing was written.
        """
        ...

    def wait_turn(self) -> None:
        """Wait until this process may write; `turn`, or `end_turn`, ends that."""
        ...

    def end_turn(self) -> None:
        """Undo `wait_turn`, as there is nothing to write."""
        ...

    def look(self) -> AbstractContextManager[object]:
        """Return a context in which is read outside of a turn: no fork happens meanwhile."""
        ...

    def touch(self) -> None:
        """Write something that changes nothing, to see whether that works."""
        ...

    def has_room(self) -> bool:
        """Whether the disk has room for more."""
        ...

    def put(self, mails: Sequence[NewMail]) -> list[int | Clash]:
        """Put emails; return the number of each, or what has its key already."""
        ...

    def take_back(self, mails: Sequence[NewMail]) -> None:
        """Remove emails whose put has failed, as far as anybody knows, and may not have."""
        ...

    def claim(
        self, now: float, most: int, known: Collection[int] = (), *, alone: bool = False
    ) -> Claims:
        """Claim emails that are due: by priority, then by age.

        Args:
            now: the time, in seconds of UTC.
            most: how many.
            known: numbers of emails that the caller has in memory: their text is not read.
            alone: claim one that must be sent alone.
        """
        ...

    def mark(self, seqs: Sequence[int]) -> set[int]:
        """Mark that the end of emails may go out; return those for which it must not."""
        ...

    def tell(self, endings: Sequence[Ending]) -> set[int]:
        """Write outcomes; return the numbers of emails that are no longer this life's."""
        ...

    def again(self, laters: Sequence[Later]) -> None:
        """Put off emails until their next attempt."""
        ...

    def give_back(self, seqs: Sequence[int]) -> None:
        """Give back claimed emails of which nothing went out."""
        ...

    def set_aside(self, seq: int, *, in_doubt: bool = True) -> None:
        """Hold an email that cannot be read, whatever time it is; a person looks at it.

        Args:
            seq: its number.
            in_doubt: whether its end may have gone out, if it is marked.
        """
        ...

    def hear(self, seqs: Sequence[int], now: float) -> None:
        """Note that receivers of these outcomes have run."""
        ...

    def take_told(self, alias: str, most: int) -> list[Row]:
        """Take the outcomes that this life is to publish: of its own emails, and of dead lives'."""
        ...

    def dead_lives(self) -> list[int]:
        """Return the numbers of lives that have died. Writes nothing."""
        ...

    def rescue(self, lives: Sequence[int], most: int) -> Rescue:
        """Take over emails of dead lives.

        Args:
            lives: the numbers of the lives.
            most: how many emails: others wait meanwhile.
        """
        ...

    def remove_traces(self, lives: Sequence[int]) -> None:
        """Remove what dead lives have left beside the file, once they are rescued durably."""
        ...

    def owned(self) -> list[int]:
        """Return the numbers of the emails that are this life's."""
        ...

    def reconcile(self, claimed: Collection[int], published: Collection[int]) -> list[Row]:
        """Give back what is this life's by the file only; return what must not be sent twice.

        A turn that has failed, as its fsync did, may be in the file nevertheless.

        Args:
            claimed: the numbers of the emails that this life has in hand.
            published: those whose outcome it has published, and which are not heard yet.
        """
        ...

    def cancel(self, alias: str | None, name: str, outcome: str, now: float) -> bool:
        """Give an email that has not begun to go out this outcome; return whether it was there."""
        ...

    def hold(self, alias: str | None, name: str) -> bool:
        """Hold an email that has not begun to go out; return whether it was there."""
        ...

    def release(self, alias: str | None, name: str, now: float) -> bool:
        """Release a held email; return whether it was there."""
        ...

    def retry(self, alias: str | None, name: str, now: float) -> bool:
        """Make an email due now that waits, is held or has failed; return whether it was there."""
        ...

    def has_expired(self, now: float) -> bool:
        """Whether an email that waits, or is held, is useless by now. Writes nothing."""
        ...

    def take_expired(self, now: float, most: int) -> list[Row]:
        """Claim emails that wait, or are held, and are useless by now: they are not sent."""
        ...

    def follow_clock(
        self, seen: ClockNote | None, is_now: ClockNote, now: float, longest: float
    ) -> float:
        """Adapt due times if somebody has set the clock; return by how many seconds.

        Args:
            seen: where the clock was when this process looked last; None at its start.
            is_now: where it is.
            now: the time, in seconds of UTC.
            longest: seconds that an email which was put off has to wait at most.
        """
        ...

    def find(self, **wanted: Any) -> list[StoredMail]:
        """Return emails: see `Find`."""
        ...

    def get(self, seq: int) -> Row | None:
        """Return one email with its text, or None."""
        ...

    def counts(self) -> dict[str, int]:
        """Return how many emails there are in each state."""
        ...

    def undelivered(self) -> int:
        """Return how many emails are ready, claimed or marked."""
        ...

    def octets(self) -> int:
        """Return the octets in use."""
        ...

    def undone(self, alias: str, *, until_heard: bool) -> bool:
        """Whether an email of this alias is not held, and has no outcome that was heard.

        Args:
            alias: the alias.
            until_heard: False if an outcome that was not heard counts, too.
        """
        ...

    def sweep(self, sent_before: float, failed_before: float, most: int) -> int:
        """Remove emails that were heard before; return how many."""
        ...

    def has_changed(self) -> bool:
        """Whether another process has written since the last call."""
        ...

    def listen(self, roles: int) -> WakeSocket | None:
        """Return a new socket at which others wake this life; None if it can have none.

        Not on the store's thread, but on that which has the socket.

        Args:
            roles: `SENDERS`, `HEARERS`, or both.
        """
        ...

    def wake(self, emails: int, outcomes: int) -> None:
        """Wake other lives, after a turn. Never waits, never raises.

        Args:
            emails: how many emails others may send.
            outcomes: how many outcomes others are to hear.
        """
        ...

    def tidy(self) -> None:
        """Keep the log short. After a turn, without any hurry."""
        ...

    def reopen(self) -> None:
        """Close and open again, after the disk has failed."""
        ...

    def close(self, *, is_clean: bool = True) -> None:
        """End this life.

        Args:
            is_clean: whether it leaves no email of its own behind; else others rescue them.
        """
        ...

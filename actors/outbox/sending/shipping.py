"""The sending half of an outbox: claims, attempts, and what follows them. On the loop thread."""

import datetime as dt
import functools
import logging
import random
import time
from collections.abc import Callable
from typing import Any

from ....signals.bus import publish_retry
from ....signals.dispatcher import log_safely
from ....signals.outcome import Outcome, SendSuccess
from ....signals.send_mail import SendMail
from ...mailer.jobs.retry import RetryPolicy
from ..rules.decisions import Again, Told, after_attempt, give_up, in_doubt
from ..store.errors import OutboxError
from ..store.notes import OutcomeNotes
from ..store.records import Claims, Ending, Later, Row
from ..store.store import Store
from ..text.outcome_text import attempts_to_text, outcome_to_text
from ..thread.ops import Kind, nothing
from .entry import Ended, Entry, entry_of
from .failures import died_with, expired, with_alias
from .gate import MarkGate
from .known import Known
from .marking import Marking
from .passing import Passing

Submit = Callable[[Kind, Any, Callable[[Any], object]], object]

_LEAST_ROOM = 20
"""Emails in memory at least: their claims and marks are on their way to the disk meanwhile."""
_MOST_ROOM = 1000
_AHEAD = 0.5
"""Seconds of work in memory."""
_AFTER_TROUBLE = 1.0
"""Seconds until an email is tried again whose mark could not be written."""


class Shipping:
    """Claims emails, has attempts made, and writes what became of them.

    Args:
        life: this life.
        submit: has something done with the file.
        feed: gives an email to the sending half: entry and what takes its outcome.
        tell: is called with entry and outcome once that is in the file, if it is published here.
        left: is called if another life is to publish it, which may be gone.
        policy: when to try again.
        connections: how many emails may be in flight at one relay.
        in_flight: returns how many attempts have, or open, a connection.
        notes: where outcomes are noted until they are in the file.
        hears: whether outcomes are published here.
        pace: returns the recent outcomes per second.

    Attributes:
        entries: the emails in memory, by number.
        is_over: whether nothing is claimed any more.
        before_claim: is called before a claim, and may have something done with the file first.
    """

    def __init__(
        self,
        life: int,
        submit: Submit,
        feed: Callable[[Entry, Ended], object],
        tell: Callable[[Entry, Outcome], object],
        left: Callable[[], object],
        policy: RetryPolicy,
        connections: int,
        in_flight: Callable[[], int],
        *,
        notes: OutcomeNotes | None,
        hears: bool,
        pace: Callable[[], float],
    ) -> None:
        self.entries: dict[int, Entry] = {}
        self.is_over: bool = False
        self.before_claim: Callable[[], object] = lambda: None
        self.sent: int = 0
        self.failed: int = 0
        self.retries: int = 0
        self.doubts: int = 0
        self._life = life
        self._submit = submit
        self._feed = feed
        self._tell = tell
        self._left = left
        self._policy = policy
        self._marking = Marking(submit, connections)
        self._passing = Passing(connections, in_flight, notes)
        self._ticked_at = 0.0
        self._least = self._most = _LEAST_ROOM + 4 * connections
        self._few = self._least // 4  # room for fewer is not worth a look into the file
        self._hears = hears
        self._pace = pace
        self._is_claiming = False
        self._next_due: float | None = 0.0  # unknown: there may be some
        self._alone_due: float | None = None
        self._is_alone_next = False
        self._not_before = 0.0  # on the same clock; after trouble
        self._known = Known()

    # What is put here

    @property
    def room(self) -> int:
        """How many more emails there may be in memory."""
        if self._is_alone_next or self._has_one_alone:
            return 0
        return self._most - len(self.entries)

    def on_tick(self, now: float) -> None:
        """Follow the pace, and claim what is due.

        Args:
            now: the time, on the loop's clock.
        """
        since, self._ticked_at = self._ticked_at, now
        pace = self._marking.on_tick(self._pace(), now - since)
        self._most = min(_MOST_ROOM, max(self._least, int(pace * _AHEAD)))
        self.claim()

    @property
    def has_backlog(self) -> bool:
        """Whether emails that are due wait in the file: newer ones must wait behind them."""
        return self._next_due is not None and self._next_due <= time.time()

    @property
    def _has_one_alone(self) -> bool:
        return len(self.entries) == 1 and next(iter(self.entries.values())).is_alone

    def take(self, entry: Entry) -> None:
        """Send an email that was put and claimed here."""
        self.entries[entry.seq] = entry
        self._ship(entry)

    def note_put(self, seq: int, mail: SendMail, octets: int, due: float) -> None:
        """Note that an email was put here that waits: keep it in memory while there is room."""
        if self._next_due is None or due < self._next_due:
            self._next_due = due
        if not self.is_over:
            self._known.add(seq, mail, octets, due)

    # Claims

    def look_soon(self) -> None:
        """Claim as soon as there is room: other processes may have put emails."""
        self._next_due = 0.0
        self.claim()

    def claim(self) -> None:
        """Claim emails that are due, if there is room for a few."""
        if (self._next_due is None and self._alone_due is None) or self._is_claiming:
            return
        now = time.time()
        if self.is_over or now < self._not_before:
            return
        if self._alone_due is not None and self._alone_due <= now and self._is_alone_next:
            if not self.entries:
                self._ask({"most": 1, "alone": True})
            return
        if self._next_due is not None and self._next_due <= now:
            room = self.room
            if room >= self._few:
                self._ask({"most": room, "known": self._known.mails})
        elif self._alone_due is not None and self._alone_due <= now:
            self._is_alone_next = True
            self.claim()

    def _ask(self, wanted: dict[str, Any]) -> None:
        self.before_claim()
        self._is_claiming = True
        self._submit(Kind.CLAIM, wanted, self._claimed)

    def _claimed(self, claims: Claims | OutboxError) -> None:
        self._is_claiming = False
        if isinstance(claims, OutboxError):
            self._not_before = time.time() + _AFTER_TROUBLE
            return
        self._next_due, self._alone_due = claims.next_due, claims.alone_due
        # One alone, then some of the others, if there are any: none of them starves.
        due = self._alone_due
        self._is_alone_next = due is not None and due <= time.time() and not self._is_alone_next
        for row in claims.rows:
            if self.is_over:
                self._submit(Kind.GIVE_BACK, row.seq, nothing)
            else:
                self._take_row(row)
        if claims.rows and not self._is_claiming:
            self._known.forget(claims.rows[-1].seq)

    def _take_row(self, row: Row) -> None:
        entry = self._read(row)
        if entry is None:
            return
        if (older := self.entries.get(row.seq)) is not None:
            # A person has held and released it meanwhile: only one of both may go out. The older
            # one, if its mark was written, could not have been held.
            self._gate_of(older).lose()
            self._forget(older)
        self.entries[row.seq] = entry
        if entry.has_expired(time.time()):
            self._expire(entry)
        elif entry.is_alone:
            # Marked before anything is done with it: if the process dies of it, it will be held.
            if self._gate_of(entry).ask(lambda: self._ship(entry)) is not None:
                self._ship(entry)
        else:
            self._ship(entry)

    def _read(self, row: Row) -> Entry | None:
        """Return an email of the file; hold it if it cannot be read."""
        try:
            return entry_of(row, self._known.pop(row.seq))
        except ValueError as error:
            log_safely(logging.ERROR, "email %s is held: %s", row.id, error)
            self._set_aside(row.seq, in_doubt=True)
            return None

    def _set_aside(self, seq: int, *, in_doubt: bool) -> None:
        def set_aside(store: Store) -> None:
            store.set_aside(seq, in_doubt=in_doubt)

        self._submit(Kind.HAND, set_aside, nothing)

    def _gate_of(self, entry: Entry) -> MarkGate:
        if entry.gate is None:
            entry.gate = MarkGate(entry, self._mark, self._expire, self._passing)
        gate: MarkGate = entry.gate
        return gate

    def _mark(self, entry: Entry, then: Callable[[bool | OutboxError], object]) -> None:
        if entry.has_expired(time.time()):
            self._expire(entry)
        if entry.is_dropped:
            then(False)
        else:
            self._marking.mark(entry, then)

    def _ship(self, entry: Entry) -> None:
        self._gate_of(entry)
        if entry.facts.at_least_once and not entry.is_alone:
            self._marking.add(entry)
        self._feed(entry, Ended(entry, self.attempt_over))

    def expire(self, now: float) -> None:
        """Give up what has expired, and whose end has not gone out.

        Args:
            now: the time, in seconds of UTC.
        """
        for entry in [one for one in self.entries.values() if one.has_expired(now)]:
            gate = self._gate_of(entry)
            if not gate.is_passed:
                self._expire(entry)
                gate.turn_back()

    def take_expired(self, row: Row) -> None:
        """Write the outcome of an email that expired in the file."""
        if (entry := self._read(row)) is not None:
            self._expire(entry)

    def follow_clock(self, step: float) -> None:
        """Go on after somebody has set the clock.

        Args:
            step: by how many seconds.
        """
        for entry in self.entries.values():
            entry.facts.put_at += step
        self._not_before = 0.0
        self.look_soon()

    def _expire(self, entry: Entry) -> None:
        failure = expired(entry.mail, entry.alias)
        self._end(entry, give_up(entry.facts, failure).outcome)

    # Attempts

    def attempt_over(self, entry: Entry, outcome: Outcome) -> None:
        """Write what follows an attempt, or a round of them at several relays."""
        gate = self._gate_of(entry)
        gate.leave_line()
        try:
            self._decide(entry, gate, outcome)
        except BaseException:
            gate.free()
            raise
        entry.gate = None  # it refers to the entry: without the circle both are gone at once

    def _decide(self, entry: Entry, gate: MarkGate, outcome: Outcome) -> None:
        if entry.is_dropped or gate.is_lost:
            if not entry.is_dropped:
                log_safely(logging.INFO, "email %s is no longer this process's", entry.mail.id)
            gate.free()
            self._forget(entry)
            return
        if (problem := getattr(entry.mail.source, "problem", "")) and not gate.is_passed:
            log_safely(logging.ERROR, "email %s is held: %s", entry.mail.id, problem)
            self._set_aside(entry.seq, in_doubt=False)
            self._forget(entry)
            return
        now = time.time()
        if gate.is_shut:
            self._again(entry, Again(now + _AFTER_TROUBLE, entry.facts.past, (), 0), counts=False)
            return
        try:
            decision = after_attempt(
                entry.facts,
                outcome,
                self._policy,
                now,
                random.random(),  # noqa: S311
            )
        except Exception as error:  # the outcome must not be lost, whatever
            log_safely(logging.ERROR, "internal error after an attempt", exc=error)
            self._end(entry, outcome)
            return
        if isinstance(decision, Told):
            self._end(entry, decision.outcome)
        elif isinstance(decision, Again):
            self._again(entry, decision)
            if outcome.attempts:
                when = dt.datetime.fromtimestamp(decision.due, dt.UTC)
                count = decision.past.count if decision.past is not None else 1
                publish_retry(with_alias(outcome, entry.alias), count, when, replayed=False)
        else:
            self._submit(Kind.GIVE_BACK, entry.seq, gate.outcome_written)
            self._forget(entry)

    def _again(self, entry: Entry, again: Again, *, counts: bool = True) -> None:
        facts = entry.facts
        left, doubts = (again.left, again.doubts) if counts else (facts.left, facts.doubts)
        past = None if again.past is None else attempts_to_text(again.past, left)
        if counts:
            self.retries += 1
            self.doubts += again.doubts - facts.doubts
        later = Later(entry.seq, again.due, past, doubts)
        gate = self._gate_of(entry)
        gate.note_outcome(later)
        self._submit(Kind.AGAIN, later, gate.outcome_written)
        if self._next_due is None or again.due < self._next_due:
            self._next_due = again.due
        self._forget(entry)

    def _end(self, entry: Entry, outcome: Outcome) -> None:
        entry.is_dropped = True
        if outcome.alias != entry.alias:
            outcome = with_alias(outcome, entry.alias)
        is_sent = isinstance(outcome, SendSuccess)
        self.sent += is_sent
        self.failed += not is_sent
        publishes = self._hears and entry.home == self._life
        ending = Ending(entry.seq, outcome_to_text(outcome), is_sent, publishes)
        if entry.gate is not None:
            entry.gate.note_outcome(ending)
        was_marked, entry.is_marked = entry.is_marked, False
        told = functools.partial(self._told, entry, entry.gate, outcome, publishes, was_marked)
        self._submit(Kind.TELL, ending, told)
        self._forget(entry)

    def _told(
        self,
        entry: Entry,
        gate: MarkGate | None,
        outcome: Outcome,
        publishes: bool,
        was_marked: bool,
        is_own: Any,
    ) -> None:
        if gate is not None:
            gate.outcome_written(is_own)
        if was_marked:
            self._marking.is_told()
        if is_own is not True:
            return
        self._tell(entry, outcome) if publishes else self._left()

    def _forget(self, entry: Entry) -> None:
        if self.entries.get(entry.seq) is entry:
            del self.entries[entry.seq]
            self._marking.forget(entry)
            if not self._is_claiming and self._most - len(self.entries) >= self._few:
                self.claim()

    def close(self) -> None:
        """Called once no more attempts are made."""
        self._passing.close()

    # After a crash of another process

    def take_doubtful(self, row: Row) -> None:
        """Write the outcome of an email that must not be sent twice, and may have been sent."""
        entry = self._read(row)
        if entry is None:
            return
        failure = died_with(entry.mail, entry.alias, entry.facts.left)
        self._end(entry, in_doubt(entry.facts, failure).outcome)

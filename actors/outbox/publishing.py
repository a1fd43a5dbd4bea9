"""The hearing half of an outbox: outcomes from the file to receivers, once in each life.

An outcome is published after it is in the file, and marked as heard after all receivers have run,
whether they raise or not. If the process dies in between, the next one publishes it again, and says
so: ``replayed=True``.
"""

import functools
import logging
import threading
from collections.abc import Callable
from typing import Any

from ...signals.bus import publish_stored
from ...signals.dispatcher import dispatcher, log_safely
from ...signals.outcome import Outcome, SendFailure
from ...signals.outlets import loops
from ...signals.send_mail import SendMail
from ..loop.asyncio_actor import Answer
from .rules.decisions import Facts, give_up
from .sending.entry import Entry
from .sending.failures import failure_of
from .store.bodies import BodyFile
from .store.errors import OutboxError
from .store.records import Row
from .text.mail_text import mail_of
from .text.outcome_text import attempts_of_text, outcome_of_text
from .thread.ops import Kind

Submit = Callable[[Kind, Any, Callable[[Any], object]], object]

_MOST = 200
"""Outcomes that are taken from the file at once."""
_MOST_WAITING = 5000
"""Outcomes that wait for receivers, above which no more are taken: they are safe in the file."""


class Publishing:
    """Publishes outcomes, and answers who asked for one.

    Args:
        alias: whose outcomes.
        submit: has something done with the file; from any thread.
        hears: whether outcomes are published here.

    Attributes:
        replayed: how many an earlier process may have published.
        published: the numbers of those that were published, and are not marked as heard yet.
    """

    def __init__(self, alias: str, submit: Submit, *, hears: bool) -> None:
        self.replayed: int = 0
        self.published: set[int] = set()
        self._alias = alias
        self._submit = submit
        self._hears = hears
        self._waiting: dict[int, tuple[SendMail, list[Answer]]] = {}
        self._is_taking = self._must_take = False
        # From here on of two threads: this one, and the dispatcher's.
        self._lock = threading.Lock()
        self._unheard: list[int] = []
        self._is_passing = False
        self._passed: list[tuple[list[int], dict[loops.OnLoop, int]]] = []

    @property
    def is_quiet(self) -> bool:
        """Whether receivers have run of all that was published, and the file is told so."""
        with self._lock:
            if self._unheard or self._is_passing:
                return False
        self.look()
        return not self._passed

    @property
    def waiting(self) -> int:
        """How many outcomes somebody waits for."""
        return len(self._waiting)

    def wait_for(self, seq: int, mail: SendMail, answer: Answer) -> None:
        """Keep what the file cannot hold: who asked, and whom the email names to be told."""
        if answer.is_asked or mail.outcome_to is not None:
            self._waiting.setdefault(seq, (mail, []))[1].append(answer)

    def publish(self, entry: Entry, outcome: Outcome) -> None:
        """Publish the outcome of an email that was sent here, now that it is in the file."""
        self._publish(entry.seq, outcome, is_replayed=False)

    def _publish(self, seq: int, outcome: Outcome, *, is_replayed: bool) -> None:
        if seq in self.published:  # see `Store.reconcile`
            return
        self.published.add(seq)
        waiting = self._waiting.pop(seq, None)
        answers = () if waiting is None else waiting[1]
        is_asked = waiting is not None and any(answer.is_asked for answer in answers)
        publish_stored(outcome, is_asked=is_asked, is_replayed=is_replayed)
        for answer in answers:
            answer.set(outcome)
        with self._lock:
            self._unheard.append(seq)
            if self._is_passing:
                return
            self._is_passing = True
        self._pass_on()

    def _pass_on(self) -> None:
        """Have it noted when receivers have run of all that was published before."""
        with self._lock:
            batch, self._unheard = self._unheard, []
            if not batch:
                self._is_passing = False
                return
        dispatcher.when_passed(lambda: self._have_run(batch))

    def _have_run(self, batch: list[int]) -> None:
        """Called on one of the dispatcher's threads."""
        with self._lock:
            self._passed.append((batch, loops.progress()))
        self.look()
        self._pass_on()

    def look(self) -> None:
        """Look whether asyncio programs have heard what was given to their loops. Any thread."""
        with self._lock:
            done = [one for one in self._passed if loops.have_passed(one[1])]
            for one in done:
                self._passed.remove(one)
        for batch, _ in done:
            self._submit(Kind.HEAR, batch, functools.partial(self._heard, batch))

    def _heard(self, batch: list[int], result: OutboxError | None) -> None:
        if result is None:
            self.published.difference_update(batch)

    # Outcomes that other processes have written, or left

    def take(self) -> None:
        """Take outcomes from the file that are to be published here."""
        self._must_take = self._is_taking
        if self._hears and not self._is_taking and len(self._unheard) < _MOST_WAITING:
            self._is_taking = True
            self._submit(Kind.TAKE_TOLD, (self._alias, _MOST), self._taken)

    def _taken(self, rows: list[Row] | OutboxError) -> None:
        self._is_taking = False
        if isinstance(rows, OutboxError):
            return
        for row in rows:
            self._take_row(row)
        if len(rows) == _MOST or self._must_take:
            self.take()

    def _take_row(self, row: Row) -> None:
        try:
            waiting = self._waiting.get(row.seq)
            mail = waiting[0] if waiting is not None else _mail_of(row)
            assert row.outcome is not None
            outcome = outcome_of_text(row.outcome, mail, row.alias)
            if isinstance(outcome, SendFailure) and not outcome.recipients:
                outcome = _completed(outcome, mail, row)
        except ValueError as error:
            log_safely(logging.ERROR, "the outcome of email %s is lost: %s", row.id, error)
            self._submit(Kind.HEAR, [row.seq], _nothing)
            return
        self.replayed += row.replays > 0
        self._publish(row.seq, outcome, is_replayed=row.replays > 0)

    def answer_duplicate(self, row: Row | OutboxError | None, mail: SendMail, a: Answer) -> None:
        """Answer who asked for the outcome of an email that had one before.

        Args:
            row: the email as it is in the file.
            mail: the email that was put again.
            a: the answer.
        """
        if isinstance(row, OutboxError):
            a.set_exception((OutboxError, row, None))
        elif row is not None and row.outcome is not None:
            outcome = outcome_of_text(row.outcome, mail, row.alias)
            if isinstance(outcome, SendFailure) and not outcome.recipients:
                outcome = _completed(outcome, mail, row)
            a.set(outcome)
        elif row is not None:
            self.wait_for(row.seq, mail, a)


def _mail_of(row: Row) -> SendMail:
    body = row.body
    # If its file was needed, and is lost: the outcome counts nevertheless.
    return mail_of(row.env, b"" if isinstance(body, BodyFile) and body.is_whole else body)


def _completed(outcome: SendFailure, mail: SendMail, row: Row) -> Outcome:
    """Return the outcome of a cancelled email, with its recipients and its earlier attempts."""
    more = failure_of(mail, row.alias, outcome.kind, outcome.detail, retryable=outcome.retryable)
    facts = Facts(
        addresses=mail.all_recipients, left=mail.envelope.forward_paths, doubts=row.doubts
    )
    if row.past is not None:
        facts.past, facts.left = attempts_of_text(row.past, mail, row.alias)
    return give_up(facts, more).outcome


def _nothing(_result: Any) -> None:
    """Nothing follows."""

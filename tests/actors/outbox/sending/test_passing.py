"""A death of the process doubles no more emails than there are connections."""

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from servers.outboxes import Outboxes, mail
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import Drain, FailureKind, Put, SendFailure, SendSuccess
from pykka_smtp.actors.outbox.sending.passing import Passing
from pykka_smtp.actors.outbox.store.errors import OutboxError
from pykka_smtp.actors.outbox.store.sqlite.sqlite_store import SqliteStore
from pykka_smtp.actors.outbox.thread.ops import Kind
from pykka_smtp.actors.outbox.thread.store_thread import StoreThread
from pykka_smtp.testing import Server


class Gate:
    """A gate that takes its place, or does not want it any more."""

    def __init__(self, *, wants_it: bool = True) -> None:
        self.wants_it = wants_it
        self.has_gone_on = False

    def take_place(self) -> bool:
        return self.wants_it

    def go_on(self) -> None:
        self.has_gone_on = True


def passing(most: int, in_flight: int = 0) -> Any:
    return Passing(most, lambda: in_flight)


def places_of(ref: Any) -> Passing:
    found: Passing = ref._actor_weakref()._shipping._passing
    return found


class Outcomes:
    """Keeps outcomes from the thread of the file until `let_go`."""

    def __init__(self, submit: Callable[..., object]) -> None:
        self.errors: list[Exception] = []
        self._submit = submit
        self._kept: list[tuple[Any, ...]] | None = []

    def stand_between(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def submit(*given: Any) -> None:  # a function is bound
            self.submit(*given)

        monkeypatch.setattr(StoreThread, "submit", submit)

    def submit(self, thread: StoreThread, kind: Kind, *rest: Any) -> None:
        if kind is Kind.TELL and self._kept is not None:
            self._kept.append((thread, kind, *rest))
        else:
            self._submit(thread, kind, *rest)

    def let_go(self) -> None:
        kept, self._kept = self._kept, None
        for one in kept or ():
            self._submit(*one)


def no_notes(_store: SqliteStore) -> None:
    """Note nothing."""


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Outcomes]:
    """Stand between the outbox and its file; outcomes are noted nowhere else."""
    made = Outcomes(StoreThread.submit)
    made.stand_between(monkeypatch)
    monkeypatch.setattr(SqliteStore, "_open_notes", no_notes)
    yield made
    made.let_go()


def test_who_comes_first_goes_first_and_no_more_than_there_are_places() -> None:
    places, gates = passing(2), [Gate() for _ in range(5)]

    assert [places.enter(gate) for gate in gates] == [True, True, False, False, False]
    places.free()
    places.leave_line(gates[3])
    places.free()

    assert [gate.has_gone_on for gate in gates] == [False, False, True, False, True]
    assert (places.taken, places.waiting) == (2, 0)


def test_a_place_that_the_next_does_not_want_goes_to_the_one_after_it() -> None:
    places, gates = passing(1), [Gate(), Gate(wants_it=False), Gate()]
    for gate in gates:
        places.enter(gate)

    places.free()

    assert [gate.has_gone_on for gate in gates] == [False, True, True]
    assert (places.taken, places.waiting) == (1, 0)


def test_several_relays_have_as_many_places_as_connections() -> None:
    places = passing(1, in_flight=3)

    assert [places.enter(Gate()) for _ in range(4)] == [True, True, True, False]


def test_no_more_emails_are_complete_without_an_outcome_than_there_are_connections(
    outboxes: Outboxes, outcomes: Outcomes
) -> None:
    with Server() as server:
        ref = outboxes.start(server, max_connections=3, initial_connections=3)
        for number in range(12):
            ref.tell(mail(number))
        places = places_of(ref)
        until(lambda: places.waiting == 3)

        threading.Event().wait(0.1)  # all that may go out has time to
        assert (len(server.mails), places.taken) == (3, 3)

        outcomes.let_go()
        assert ref.ask(Drain(timeout=PATIENCE))
        assert {one.mail.id for one in outboxes.wait_for(12)} == {f"mail-{n}" for n in range(12)}
        assert (len(server.mails), places.taken, places.waiting) == (12, 0, 0)


@pytest.mark.long
@pytest.mark.parametrize("is_retryable", [True, False])
def test_an_outcome_that_cannot_be_written_blocks_nobody_for_ever(
    outboxes: Outboxes,
    outcomes: Outcomes,
    monkeypatch: pytest.MonkeyPatch,
    is_retryable: bool,
) -> None:
    outcomes.let_go()
    tell, errors = SqliteStore.tell, [OutboxError("no", is_retryable) for _ in range(4)]

    def failing(store: SqliteStore, endings: Any) -> set[int]:
        if errors:
            raise errors.pop()
        return tell(store, endings)

    monkeypatch.setattr(SqliteStore, "tell", failing)
    with Server() as server:
        ref = outboxes.start(server, max_connections=1)
        for number in range(4):
            ref.tell(mail(number))

        outboxes.wait_until(lambda: len({one.mail.id for one, _ in outboxes.heard}) == 4)
        assert ref.ask(Drain(timeout=PATIENCE))
        assert not errors
        assert (places_of(ref).taken, places_of(ref).waiting) == (0, 0)


@pytest.mark.long
def test_an_email_that_expires_while_it_waits_for_its_place_leaves_the_line(
    outboxes: Outboxes, outcomes: Outcomes
) -> None:
    with Server() as server:
        ref = outboxes.start(server, max_connections=1)
        ref.ask(Put(mail(1)))
        until(lambda: places_of(ref).taken == 1)
        soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.5)
        ref.ask(Put(mail(2), expires=soon))
        until(lambda: places_of(ref).waiting == 1)
        until(lambda: places_of(ref).waiting == 0)
        outcomes.let_go()

        heard = {one.mail.id: one for one in outboxes.wait_for(2)}
        assert isinstance(heard["mail-1"], SendSuccess)
        late = heard["mail-2"]
        assert isinstance(late, SendFailure)
        assert late.kind is FailureKind.TIMEOUT
        assert ref.ask(Drain(timeout=PATIENCE))
        assert (len(server.mails), places_of(ref).taken) == (1, 0)


def test_an_attempt_that_ends_while_it_waits_for_its_place_leaves_the_line(
    outboxes: Outboxes, outcomes: Outcomes
) -> None:
    with Server() as server:
        ref = outboxes.start(server, max_connections=1, grace=0.1)
        ref.ask(Put(mail(1)))
        until(lambda: places_of(ref).taken == 1)
        ref.ask(Put(mail(2)))
        places = places_of(ref)
        until(lambda: places.waiting == 1)

        ref.stop(block=False)  # which cancels it
        until(lambda: places.waiting == 0)
        outcomes.let_go()
        outboxes.stop(ref)

        assert len(server.mails) == 1


def test_an_outcome_that_is_noted_keeps_no_other_email_waiting(
    outboxes: Outboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Outcomes(StoreThread.submit)
    kept.stand_between(monkeypatch)
    with Server() as server:
        ref = outboxes.start(server, max_connections=1)
        if ref._actor_weakref()._store.notes is None:  # type: ignore[union-attr]
            pytest.skip("this system does not name its starts")
        for number in range(5):
            ref.ask(Put(mail(number)))
        until(lambda: len(server.mails) == 5)
        assert not outboxes.heard  # not before it is in the file

        kept.let_go()
        assert ref.ask(Drain(timeout=PATIENCE))
        assert len(outboxes.wait_for(5)) == 5


def until(predicate: Callable[[], bool]) -> None:
    assert wait_until(predicate, PATIENCE)

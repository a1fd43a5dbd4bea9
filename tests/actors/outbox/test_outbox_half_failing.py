"""While the file cannot be written, what is refused is kept nowhere, and what is done is kept."""

import contextlib
import datetime as dt
from collections.abc import Generator
from typing import Any

import pytest
from servers.outboxes import Outboxes, mail
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import Find, OutboxError, Put, Statistics
from pykka_smtp.actors.outbox import upkeep
from pykka_smtp.actors.outbox.store.sqlite.sqlite_store import SqliteStore
from pykka_smtp.actors.outbox.thread import store_thread

LATER = dt.datetime(2999, 1, 1, tzinfo=dt.UTC)


def unwanted(ref: Any) -> list[Any]:
    found: list[Any] = ref._actor_weakref()._thread._unwanted
    return found


def are_refused(ref: Any, numbers: range) -> None:
    for number in numbers:
        with pytest.raises(OutboxError):
            ref.ask(Put(mail(number, body="x" * 1000)), timeout=PATIENCE)


def test_what_did_not_come_as_far_as_the_file_is_forgotten_at_once(outboxes: Outboxes) -> None:
    ref = outboxes.start()
    away = outboxes.path.with_name("away")
    outboxes.path.rename(away)

    are_refused(ref, range(5))

    assert unwanted(ref) == []
    away.rename(outboxes.path)


def test_what_may_be_in_the_file_is_taken_back_and_little_of_it_is_in_memory(
    outboxes: Outboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, turn, fails = 10, SqliteStore.turn, True

    @contextlib.contextmanager
    def failing(store: SqliteStore, *, is_durable: bool) -> Generator[None]:
        with turn(store, is_durable=is_durable):
            yield
        if fails:  # although it is in the file
            raise OutboxError("the disk has failed", True)

    monkeypatch.setattr(store_thread, "_MOST_UNWANTED", most)
    ref = outboxes.start()
    ref.ask(Put(mail(99)))
    monkeypatch.setattr(SqliteStore, "turn", failing)

    are_refused(ref, range(3 * most))
    kept = list(unwanted(ref))
    fails = False

    assert 0 < len(kept) <= most
    assert {one.body for one in kept} == {b""}
    assert wait_until(lambda: ref.ask(Statistics()).trouble is None, PATIENCE)
    assert [one.id for one in ref.ask(Find())] == ["mail-99"]
    assert unwanted(ref) == []


@pytest.mark.parametrize("is_stray", [False, True])
def test_an_email_whose_outcome_cannot_be_written_yet_is_not_sent_again(
    outboxes: Outboxes, server: Any, monkeypatch: pytest.MonkeyPatch, is_stray: bool
) -> None:
    if is_stray:
        monkeypatch.setattr(upkeep, "_STRAYS", 0.01)
    tell, failed, fails = SqliteStore.tell, 0, True

    def failing(store: SqliteStore, endings: Any) -> set[int]:
        nonlocal failed
        if fails:
            failed += 1
            raise OutboxError("the disk is full", True)
        return tell(store, endings)

    monkeypatch.setattr(SqliteStore, "tell", failing)
    ref = outboxes.start(server)
    ref.ask(Put(mail(0)))
    number = 0
    while failed < 4:  # half a second apart; and all else goes well
        number += 1
        with contextlib.suppress(OutboxError):  # it was together with what failed
            ref.ask(Put(mail(number), not_before=LATER), timeout=PATIENCE)
    fails = False

    assert outboxes.wait_for(1)[0].doubts == 0
    assert server.accepted == 1
    assert wait_until(lambda: ref.ask(Statistics()).trouble is None, PATIENCE)
    assert len(outboxes.heard) == 1

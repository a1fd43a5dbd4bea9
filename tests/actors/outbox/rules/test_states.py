"""The states of an email in an outbox, as a table; the file does what the table says."""

from pathlib import Path
from typing import Any

import pytest

from pykka_smtp.actors.outbox.rules.states import FROM, OF_OWNER, TO, State, Step, after_death
from pykka_smtp.actors.outbox.store.records import Ending, Later, NewMail
from pykka_smtp.actors.outbox.store.sqlite.sqlite_store import SqliteStore

OWNED = (State.CLAIMED, State.DOT, State.TOLD)


def new(**given: Any) -> NewMail:
    values: dict[str, Any] = {
        "id": "1",
        "key": "1",
        "alias": "a",
        "digest": b"1",
        "env": '{"from":"a@b.test","to":[]}',
        "body": b"x",
        "priority": 0,
        "due": 0.0,
        "expires": None,
        "put_at": 0.0,
        "at_least_once": True,
        "claim": False,
    }
    return NewMail(**(values | given))


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = SqliteStore(tmp_path / "mail.db", "a")
    made._db.execute("PRAGMA synchronous = OFF")
    with made.turn(is_durable=True):
        made.put([new()])
    yield made
    made.close()


def force(store: SqliteStore, **values: object) -> None:
    names = ", ".join(f"{name} = ?" for name in values)
    store._db.execute(f"UPDATE pykka_smtp_mail SET {names}", tuple(values.values()))  # noqa: S608


def row(store: SqliteStore, *names: str) -> tuple[Any, ...]:
    found: tuple[Any, ...] = store._db.execute(
        f"SELECT {', '.join(names)} FROM pykka_smtp_mail"  # noqa: S608
    ).fetchone()
    return found


STEPS = {
    Step.CLAIM: lambda s: s.claim(1.0, 5),
    Step.MARK: lambda s: s.mark([1]),
    Step.GIVE_BACK: lambda s: s.give_back([1]),
    Step.AGAIN: lambda s: s.again([Later(1, 5.0, None, 0)]),
    Step.TELL: lambda s: s.tell([Ending(1, '{"detail":""}', False, True)]),
    Step.HEAR: lambda s: s.hear([1], 1.0),
    Step.EXPIRE: lambda s: s.take_expired(1.0, 5),
    Step.CANCEL: lambda s: s.cancel("a", "1", "{}", 1.0),
    Step.HOLD: lambda s: s.hold("a", "1"),
    Step.RELEASE: lambda s: s.release("a", "1", 1.0),
    Step.RETRY: lambda s: s.retry("a", "1", 1.0),
}


@pytest.mark.parametrize("step", Step)
def test_a_step_happens_in_the_states_of_the_table_and_in_no_other(
    store: SqliteStore, step: Step
) -> None:
    for state in State:
        force(
            store, state=state, owner=store.life if state in OWNED else None, due=0.0, expires=0.5
        )

        with store.turn(is_durable=True):
            STEPS[step](store)

        expected = TO[step] if state in FROM[step] else state
        assert row(store, "state") == (expected,), (step, state)


@pytest.mark.parametrize("step", sorted(OF_OWNER))
def test_only_the_owner_does_what_owners_do(store: SqliteStore, step: Step) -> None:
    for state in FROM[step]:
        force(store, state=state, owner=store.life + 1)

        with store.turn(is_durable=True):
            answer = STEPS[step](store)

        assert row(store, "state", "owner") == (state, store.life + 1)
        assert answer in (None, {1})  # it is said which are lost


@pytest.mark.parametrize("state", OWNED)
@pytest.mark.parametrize("crashes", range(6))
@pytest.mark.parametrize("at_least_once", [True, False])
def test_what_becomes_of_a_dead_process_s_mail_is_what_the_rules_say(
    store: SqliteStore, state: State, crashes: int, at_least_once: bool
) -> None:
    force(store, state=state, owner=99, crashes=crashes, doubts=1, at_least_once=at_least_once)
    assert store.dead_lives() == [99]

    with store.turn(is_durable=True):
        rescue = store.rescue([99], 10)

    expected = after_death(state, crashes=crashes, doubts=1, replays=0, at_least_once=at_least_once)
    found = row(store, "state", "crashes", "doubts", "replays", "owner")
    if expected.is_in_doubt:  # whoever rescues it writes its outcome
        assert found == ("dot", expected.crashes, 1, 0, store.life)
        assert [one.seq for one in rescue.in_doubt] == [1]
    else:
        assert found == (
            *(expected.state, expected.crashes, expected.doubts, expected.replays, None),
        )


def test_nobody_owns_a_mail_that_waits() -> None:
    for state in set(State) - set(OWNED):
        with pytest.raises(ValueError, match="no process owns"):
            after_death(state, crashes=0, doubts=0, replays=0, at_least_once=True)

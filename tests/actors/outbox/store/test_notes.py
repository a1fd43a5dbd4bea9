"""What a process has noted before it died is written by whoever finds it dead."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pykka_smtp.actors.outbox.store.notes import OutcomeNotes, open_notes, read_notes
from pykka_smtp.actors.outbox.store.records import Ending, Later, NewMail
from pykka_smtp.actors.outbox.store.sqlite.file import life_file
from pykka_smtp.actors.outbox.store.sqlite.sqlite_store import SqliteStore

if os.name == "nt":
    pytest.skip("notes need a system that names its starts", allow_module_level=True)

TOLD = Ending(7, '{"kind": "sent", "who": "ü"}', True, publishes=False)
AGAIN = Later(8, 1764650000.125, '{"count": 2}', 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "life"
    made.touch()
    return made


@pytest.fixture
def notes(path: Path) -> Iterator[OutcomeNotes]:
    made = OutcomeNotes(path, "this boot")
    yield made
    made.close()


def test_what_is_noted_is_read_after_the_death(notes: OutcomeNotes, path: Path) -> None:
    assert notes.add(TOLD)
    assert notes.add(AGAIN)

    assert read_notes(path, "this boot") == [TOLD, AGAIN]


def test_notes_from_before_a_power_cut_do_not_count(notes: OutcomeNotes, path: Path) -> None:
    notes.add(TOLD)

    assert read_notes(path, "another boot") == []
    assert read_notes(path, "") == []
    assert open_notes(path, "") is None


def test_a_note_of_an_earlier_attempt_does_not_count(notes: OutcomeNotes, path: Path) -> None:
    notes.add(AGAIN)
    notes.is_written(AGAIN.seq)

    notes.forget(AGAIN.seq)

    assert read_notes(path, "this boot") == []


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_half_a_note_is_none(notes: OutcomeNotes, path: Path, cut: int) -> None:
    notes.add(TOLD)
    os.truncate(path, path.stat().st_size - cut)

    assert read_notes(path, "this boot") == []


def test_a_place_is_used_again_once_the_outcome_is_written(notes: OutcomeNotes, path: Path) -> None:
    for seq in range(5000):
        assert notes.add(Ending(seq, "{}", True, publishes=False))
        notes.is_written(seq)

    assert [note.seq for note in read_notes(path, "this boot")] == [4999]
    assert path.stat().st_size < 10_000


def test_there_are_so_many_places_and_no_more(notes: OutcomeNotes) -> None:
    added = [notes.add(Ending(seq, "{}", True, publishes=False)) for seq in range(2000)]

    assert added == [True] * 1024 + [False] * 976
    notes.is_written(3)
    assert notes.add(TOLD)


def test_what_cannot_be_noted_is_said_to_be_not(
    notes: OutcomeNotes, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> int:
        raise OSError(28, "No space left on device")

    def half(*_args: object) -> int:
        return 3

    assert not notes.add(Ending(1, "x" * 5000, True, publishes=False))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        assert not notes.add(TOLD)
        patch.setattr(os, "pwrite", half)
        assert not notes.add(TOLD)
    assert notes.add(TOLD)
    notes.close()
    assert not notes.add(AGAIN)
    assert read_notes(path, "this boot") == [TOLD]


def new(name: str) -> NewMail:
    values: dict[str, Any] = {"digest": b"1", "env": "{}", "body": b"", "priority": 0, "due": 1.0}
    values |= {"expires": None, "put_at": 1.0, "at_least_once": True, "claim": True}
    return NewMail(id=name, key=name, alias="a", **values)


def test_the_outcomes_of_a_dead_process_are_not_in_doubt(tmp_path: Path) -> None:
    dead = SqliteStore(tmp_path / "mail.db", "a")
    with dead.turn(is_durable=True):
        sent, put_off, unknown, told = dead.put([new("1"), new("2"), new("3"), new("4")])
        assert all(isinstance(seq, int) for seq in (sent, put_off, unknown, told))
        dead.mark([sent, put_off, unknown, told])  # type: ignore[list-item]
        dead.tell([Ending(told, '{"is": "mine"}', False, publishes=True)])  # type: ignore[arg-type]
    if dead.notes is None:
        pytest.skip("this system does not name its starts")
    dead.notes.add(Ending(sent, '{"is": "sent"}', True, publishes=True))  # type: ignore[arg-type]
    dead.notes.add(Ending(told, '{"is": "old"}', True, publishes=True))  # type: ignore[arg-type]
    dead.notes.add(Later(put_off, 5.0, '{"count": 2}', 0))  # type: ignore[arg-type]
    dead.close(is_clean=False)

    store = SqliteStore(tmp_path / "mail.db", "a")
    assert store.dead_lives() == [dead.life]
    with store.turn(is_durable=True):
        rescue = store.rescue([dead.life], 10)
    assert life_file(store.path, dead.life).exists()  # until that is durable
    store.remove_traces(rescue.lives)

    assert not life_file(store.path, dead.life).exists()
    found = store._db.execute(
        "SELECT state, doubts, crashes, attempts, replays, outcome FROM pykka_smtp_mail"
        " ORDER BY seq"
    ).fetchall()
    assert found == [
        ("told", 0, 0, 0, 0, '{"is": "sent"}'),
        ("ready", 0, 0, 2, 0, None),
        ("ready", 1, 1, 0, 0, None),
        ("told", 0, 0, 0, 1, '{"is": "mine"}'),
    ]
    store.close()

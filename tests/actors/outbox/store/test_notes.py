"""What a process has noted before it died is written by whoever finds it dead."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.outboxes import Outboxes

from pykka_smtp.actors.outbox.store import file_system
from pykka_smtp.actors.outbox.store.notes import OutcomeNotes, open_notes, read_notes
from pykka_smtp.actors.outbox.store.records import Ending, Later, NewMail
from pykka_smtp.actors.outbox.store.sqlite.file import life_file
from pykka_smtp.actors.outbox.store.sqlite.sqlite_store import SqliteStore

if sys.platform != "linux":
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


def test_a_note_counts_no_more_once_the_outcome_is_written(notes: OutcomeNotes, path: Path) -> None:
    notes.add(AGAIN)
    notes.add(TOLD)

    notes.is_written(AGAIN.seq)
    notes.is_written(AGAIN.seq)

    assert read_notes(path, "this boot") == [TOLD]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_half_a_note_is_none(notes: OutcomeNotes, path: Path, cut: int) -> None:
    notes.add(TOLD)
    written = path.read_bytes().rstrip(b"\0")
    path.write_bytes(written[:-cut])

    assert read_notes(path, "this boot") == []


def test_a_place_is_used_again_once_the_outcome_is_written(notes: OutcomeNotes, path: Path) -> None:
    for seq in range(5000):
        assert notes.add(Ending(seq, "{}", True, publishes=False))
        if seq != 4000:
            notes.is_written(seq)

    assert [note.seq for note in read_notes(path, "this boot")] == [4000]


def test_what_another_outbox_of_the_same_name_left_is_not_taken_for_notes(path: Path) -> None:
    left = OutcomeNotes(path, "this boot")
    left.add(TOLD)
    left.close()

    OutcomeNotes(path, "this boot").close()

    assert read_notes(path, "this boot") == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")
def test_a_forked_child_notes_nothing_for_its_parent(notes: OutcomeNotes, path: Path) -> None:
    child = os.fork()
    if child == 0:
        os._exit(int(notes.add(TOLD)))

    assert os.waitpid(child, 0)[1] == 0
    assert read_notes(path, "this boot") == []


def test_there_are_so_many_places_and_no_more(notes: OutcomeNotes) -> None:
    added = [notes.add(Ending(seq, "{}", True, publishes=False)) for seq in range(2000)]

    assert added == [True] * 512 + [False] * 1488
    notes.is_written(3)
    assert notes.add(TOLD)


def test_what_cannot_be_noted_is_said_to_be_not(notes: OutcomeNotes, path: Path) -> None:
    assert not notes.add(Ending(1, "x" * 5000, True, publishes=False))
    assert notes.add(TOLD)
    notes.close()
    assert not notes.add(AGAIN)
    assert read_notes(path, "this boot") == [TOLD]


def test_on_a_full_disk_there_are_no_notes_and_nothing_is_left_of_them(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)

    assert open_notes(path, "this boot") is None
    assert path.stat().st_size == 0


@pytest.mark.parametrize("kind", ["btrfs", "bcachefs"])
def test_there_are_no_notes_where_a_full_disk_would_end_the_process(
    path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(file_system, "_kind_of", lambda _folder: kind)

    assert open_notes(path, "this boot") is None


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


def test_what_was_noted_of_an_earlier_attempt_makes_no_email_in_doubt_go_out_again(
    tmp_path: Path,
) -> None:
    once = new("1")
    once.at_least_once = False
    first, second = (SqliteStore(tmp_path / "mail.db", "a") for _ in range(2))
    if first.notes is None:
        pytest.skip("this system does not name its starts")
    with first.turn(is_durable=True):
        [seq] = first.put([once])
    assert isinstance(seq, int)
    later = Later(seq, 5.0, '{"count": 1}', 0)
    first.notes.add(later)
    with first.turn(is_durable=True):
        first.again([later])
    first.notes.is_written(seq)
    with second.turn(is_durable=True):
        second.claim(9.0, 1)
        second.mark([seq])
    second.close(is_clean=False)  # as a death: its end may be out
    with first.turn(is_durable=True):
        assert [row.seq for row in first.rescue([second.life], 10).in_doubt] == [seq]
    first.close(is_clean=False)  # before it has told that

    third = SqliteStore(tmp_path / "mail.db", "a")
    with third.turn(is_durable=True):
        rescue = third.rescue([first.life], 10)

    assert [row.seq for row in rescue.in_doubt] == [seq]
    assert third.claim(9.0, 1).rows == []
    third.close()


def test_who_sends_nothing_takes_no_room_for_notes(outboxes: Outboxes, server: Any) -> None:
    left = life_file(outboxes.path, 1)
    left.write_bytes(b"what a process has noted that worked with another file of this name")

    outboxes.start()
    assert left.stat().st_size == 0

    store = outboxes.start(server)._actor_weakref()._store  # type: ignore[union-attr]
    assert (life_file(outboxes.path, 2).stat().st_size > 0) is (store.notes is not None)

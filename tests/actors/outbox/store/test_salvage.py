"""A damaged file: refused in one line, kept octet for octet, and what can be read of it is read."""

import contextlib
import os
import random
import shutil
import sqlite3
from pathlib import Path

import pytest
from servers.effort import times
from servers.outboxes import Outboxes, mail

from pykka_smtp import Find, Outbox, OutboxError, Put
from pykka_smtp.actors.outbox.store.sqlite.salvage import readable
from pykka_smtp.actors.outbox.store.sqlite.sqlite_store import SqliteStore

MAILS = 40
PAGE = 4096
CHANCE = random.Random(7)  # noqa: S311


@pytest.fixture
def path(outboxes: Outboxes) -> Path:
    """Make a file with emails, which nobody has open."""
    ref = outboxes.start()
    ref.tell_all(mail(number, body=f"{number} 1 2 3\r\n" * 500) for number in range(MAILS))
    outboxes.stop(ref)
    return outboxes.path


def files(path: Path) -> dict[str, bytes]:
    """Return the file and its log."""
    found = {name: path.with_name(f"mail.db{name}") for name in ("", "-wal")}
    return {name: one.read_bytes() for name, one in found.items() if one.exists()}


def damage(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek(page * PAGE)
        file.write(CHANCE.randbytes(PAGE))


def test_all_of_a_whole_file_can_be_read(path: Path) -> None:
    found = list(readable(path))

    assert [one.id for one in found] == [f"mail-{number}" for number in range(MAILS)]
    assert {one.problem for one in found} == {""}
    assert {(one.state, one.alias) for one in found} == {("ready", "shop")}
    assert found[7].body == b"7 1 2 3\r\n" * 500
    assert '"you@example.org"' in found[7].env


def test_whichever_page_is_damaged_the_file_is_refused_or_whole_and_the_rest_can_be_read(
    path: Path,
) -> None:
    whole = {one.seq: one for one in readable(path)}
    image = path.read_bytes()
    # Without those that lead to all others of a table: then nothing of that is found.
    pages = sorted({*range(1, len(image) // PAGE)} - roots(path))
    refused = 0
    for page in CHANCE.sample(pages, min(len(pages), times(12, thoroughly=1000))):
        path.write_bytes(image)
        damage(path, page)
        before = path.read_bytes()
        error = why_not(path)
        found = {one.seq: one for one in readable(path)}
        if error is None:
            assert found == whole
            continue
        refused += 1
        assert "\n" not in str(error)
        assert str(path) in str(error)
        assert path.read_bytes() == before
        # One page has parts of a few emails, or of an index, or of what leads to the others.
        kept = [seq for seq, one in found.items() if one.body == whole[seq].body]
        assert len(kept) >= MAILS - 9, page
        assert all(found[seq].problem for seq in found if found[seq] != whole[seq]), page
    assert refused > 3


def roots(path: Path) -> set[int]:
    database = sqlite3.connect(path)
    names = ("pykka_smtp_mail", "pykka_smtp_body")
    question = "SELECT rootpage - 1 FROM sqlite_master WHERE name IN (?, ?)"
    found = {number for (number,) in database.execute(question, names)}
    database.close()
    return found


def why_not(path: Path) -> OutboxError | None:
    try:
        SqliteStore(path, "shop").close()
    except OutboxError as error:
        return error
    return None


def test_a_damaged_file_keeps_its_log_too_when_it_is_refused(
    path: Path, outboxes: Outboxes, tmp_path: Path
) -> None:
    ref = outboxes.start()
    ref.ask(Put(mail(MAILS)))
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for name in ("mail.db", "mail.db-wal"):
        shutil.copy(path.with_name(name), crashed / name)
    for page in range(8, 20):
        damage(crashed / "mail.db", page)
    before = files(crashed / "mail.db")
    assert len(before["-wal"]) > PAGE

    with pytest.raises(OutboxError, match="is damaged"):
        SqliteStore(crashed / "mail.db", "shop")

    assert files(crashed / "mail.db") == before


def test_a_file_whose_tables_are_gone_is_said_to_be_unreadable(path: Path) -> None:
    damage(path, 0)

    with pytest.raises(OutboxError, match=r"mail\.db") as caught:
        list(readable(path))

    assert "\n" not in str(caught.value)


def test_the_text_is_there_although_nothing_else_of_the_mail_is(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("DELETE FROM pykka_smtp_mail WHERE seq = 3")
    database.execute("DELETE FROM pykka_smtp_body WHERE seq = 4")
    [root] = database.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'pykka_smtp_mail'"
    ).fetchone()
    database.commit()
    database.close()
    found = {one.seq: one for one in readable(path)}
    assert 3 not in found
    assert found[4].body is None

    damage(path, root - 1)

    found = {one.seq: one for one in readable(path)}
    assert found[3].body == b"2 1 2 3\r\n" * 500
    assert {one.id for one in found.values()} == {""}
    assert all("its facts" in one.problem for one in found.values())


def test_a_file_that_is_in_use_can_be_read(outboxes: Outboxes) -> None:
    ref = outboxes.start()
    ref.ask(Put(mail()))

    assert [one.id for one in readable(outboxes.path)] == ["mail-1"]

    ref.ask(Put(mail(2)))
    assert len(list(readable(outboxes.path))) == 2


@pytest.mark.parametrize("size", [0, 100])
def test_what_is_no_file_of_an_outbox_any_more_has_nothing_to_read(path: Path, size: int) -> None:
    os.truncate(path, size)

    with pytest.raises(OutboxError, match=r"mail\.db"):
        list(readable(path))
    with pytest.raises(OutboxError, match="nowhere"):
        list(readable(path.with_name("nowhere")))
    assert not path.with_name("nowhere").exists()


def test_a_file_that_another_program_has_locked_is_refused_after_a_while(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykka_smtp.actors.outbox.store.sqlite.file.OPEN_TIMEOUT", 0.2)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(OutboxError, match="is locked by another program") as caught:
            Outbox.start(path, send=False)
    finally:
        other.execute("ROLLBACK")
        other.close()

    assert caught.value.retryable
    assert len(list(readable(path))) == MAILS


def test_the_others_are_found_although_one_cannot_be_read(outboxes: Outboxes, path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE pykka_smtp_mail SET env = '{' WHERE id = 'mail-1'")
        db.execute("UPDATE pykka_smtp_mail SET outcome = '[1', past = '7' WHERE id = 'mail-2'")
        db.execute("UPDATE pykka_smtp_mail SET past = '{\"last\":null}' WHERE id = 'mail-3'")

    found = {one.id: one for one in outboxes.start().ask(Find(limit=MAILS))}

    assert len(found) == MAILS
    assert (found["mail-1"].sender, found["mail-1"].recipients) == ("(cannot be read)", ())
    assert found["mail-2"].detail == ""

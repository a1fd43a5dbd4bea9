"""The file of an outbox: damaged, empty, newer, locked, read-only. One line, and it stays."""

import os
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest
from servers.outboxes import Outboxes, mail
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import Drain, Find, Outbox, OutboxError, Put, Statistics
from pykka_smtp.actors.outbox.store import file_system
from pykka_smtp.actors.outbox.store.locks import FileLock, is_locked
from pykka_smtp.actors.outbox.store.sqlite import file as sqlite_file
from pykka_smtp.actors.outbox.store.sqlite import schema, sqlite_store
from pykka_smtp.actors.outbox.store.sqlite.sqlite_store import SqliteStore

MAILS = 40


@pytest.fixture
def path(outboxes: Outboxes) -> Path:
    """Make a file with emails, which nobody has open."""
    ref = outboxes.start()
    ref.tell_all(mail(number, body="1 2 3\r\n" * 500) for number in range(MAILS))
    outboxes.stop(ref)
    return outboxes.path


def refusal(path: Path) -> OutboxError:
    """Return why the file is refused; see that it was left as it is."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(OutboxError) as caught:
        Outbox.start(path, send=False)
    assert "\n" not in str(caught.value)
    if before is not None:
        assert path.read_bytes() == before
    return caught.value


def test_a_damaged_page_is_found_at_the_start(path: Path) -> None:
    octets = bytearray(path.read_bytes())
    for page in range(3, len(octets) // 4096, 2):
        octets[page * 4096 : page * 4096 + 200] = os.urandom(200)
    path.write_bytes(octets)

    error = refusal(path)

    assert "is damaged" in str(error)
    assert not error.retryable


@pytest.mark.parametrize("size", [1, 100, 4096, 20_000])
def test_a_file_that_was_cut_is_refused(path: Path, size: int) -> None:
    os.truncate(path, size)

    assert "mail.db" in str(refusal(path))


def test_an_empty_file_is_refused_and_not_made_anew(path: Path) -> None:
    os.truncate(path, 0)

    assert "is empty (0 octets)" in str(refusal(path))


def test_a_file_that_is_gone_is_missed_if_its_log_is_there(path: Path) -> None:
    path.with_name("mail.db-wal").write_bytes(b"x" * 100)
    path.unlink()

    assert "is missing, but mail.db-wal is there" in str(refusal(path))
    assert not path.exists()


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="needs /dev/null")
def test_nobody_is_told_to_delete_a_device() -> None:
    assert "is no regular file" in str(refusal(Path("/dev/null")))
    assert not Path("/dev/null-turn").exists()


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mail.db"
    path.write_text("From: me\n\nI am an email.\n" * 1000)

    assert "is no outbox" in str(refusal(path))


def test_a_newer_file_is_refused_with_the_version_that_it_needs(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()

    error = refusal(path)

    assert "was written by a newer pykka-smtp (its schema is 99, this one knows 1)" in str(error)


def test_an_older_file_is_migrated_once_no_older_process_works_with_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def to_two(database: sqlite3.Connection) -> None:
        database.execute("ALTER TABLE pykka_smtp_mail ADD COLUMN fresh TEXT")

    older = SqliteStore(path, "older")
    monkeypatch.setattr(schema, "VERSION", 2)
    monkeypatch.setitem(schema.MIGRATIONS, 1, to_two)
    monkeypatch.setattr(sqlite_store, "_OLDER_PATIENCE", 0.0)
    with pytest.raises(OutboxError, match=r"process \d+ \(older\) still works with that") as caught:
        SqliteStore(path, "newer")
    assert caught.value.retryable
    older.close()

    newer = SqliteStore(path, "newer")

    assert newer.counts()["ready"] == MAILS
    assert newer._db.execute("SELECT fresh FROM pykka_smtp_mail").fetchone() == (None,)
    assert newer._db.execute("PRAGMA user_version").fetchone() == (2,)
    newer.close()


def test_a_migration_waits_until_the_last_older_process_has_ended(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    older = SqliteStore(path, "older")
    monkeypatch.setattr(schema, "VERSION", 2)
    monkeypatch.setitem(schema.MIGRATIONS, 1, lambda _database: None)
    opened: list[SqliteStore] = []
    thread = threading.Thread(target=lambda: opened.append(SqliteStore(path, "newer")))
    thread.start()
    assert wait_until(lambda: "(older) still works with that" in caplog.text, PATIENCE)
    with older.turn(is_durable=True):  # it gets its turn meanwhile
        older.hold("shop", "mail-1")
    assert not opened

    older.close()

    thread.join(PATIENCE)
    [newer] = opened
    assert newer.counts()["held"] == 1
    assert newer._db.execute("PRAGMA user_version").fetchone() == (2,)
    newer.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(database: sqlite3.Connection) -> None:
        database.execute("ALTER TABLE pykka_smtp_mail ADD COLUMN fresh TEXT")
        database.execute("DELETE FROM pykka_smtp_body")

    def fails(database: sqlite3.Connection) -> None:
        database.execute("SELECT 1 FROM nowhere")

    with monkeypatch.context() as newer:
        newer.setattr(schema, "VERSION", 3)
        newer.setitem(schema.MIGRATIONS, 1, half)
        newer.setitem(schema.MIGRATIONS, 2, fails)
        with pytest.raises(OutboxError, match="nowhere"):
            SqliteStore(path, "newer")

    store = SqliteStore(path, "shop")

    assert store.counts()["ready"] == MAILS
    row = store.get(1)
    assert row is not None
    assert row.body
    assert store._db.execute("PRAGMA user_version").fetchone() == (1,)
    store.close()


def test_a_log_that_was_cut_loses_at_most_its_end_and_never_the_rest(
    outboxes: Outboxes, tmp_path: Path
) -> None:
    ref = outboxes.start()
    for number in range(30):
        ref.ask(Put(mail(number)))
    image = tmp_path / "image"
    for part in range(1, 6):
        image.mkdir()
        for name in ("mail.db", "mail.db-wal"):
            shutil.copy(outboxes.path.with_name(name), image / name)
        log = image / "mail.db-wal"
        os.truncate(log, log.stat().st_size * part // 6)
        store = SqliteStore(image / "mail.db", "shop")
        ids = [int(one.id.removeprefix("mail-")) for one in store.find(limit=100)]
        assert ids == list(range(len(ids)))
        store.close()
        shutil.rmtree(image)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_file_that_cannot_be_written_is_refused(path: Path) -> None:
    path.chmod(0o400)

    assert "read-only" in str(refusal(path))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "is no folder; make it first" in str(refusal(tmp_path / "nowhere" / "mail.db"))
    assert "is a folder; name a file in it" in str(refusal(tmp_path))


def test_a_file_that_another_process_keeps_locked_is_refused_after_a_while(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "OPEN_TIMEOUT", 0.1)
    held = FileLock(path.with_name("mail.db-turn"))
    held.take()
    try:
        error = refusal(path)
    finally:
        held.close()

    assert "has not let it be opened" in str(error)
    assert error.retryable


def test_a_put_that_other_processes_do_not_let_through_is_answered(
    outboxes: Outboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykka_smtp.actors.outbox.thread.store_thread.PATIENCE", 0.2)
    ref = outboxes.start()
    held = FileLock(outboxes.path.with_name("mail.db-turn"))
    held.take()
    try:
        with pytest.raises(OutboxError, match="have not let this one write") as caught:
            ref.ask(Put(mail()), timeout=PATIENCE)
    finally:
        held.close()

    assert caught.value.retryable
    assert not ref.ask(Put(mail())).is_duplicate  # it was not put


def test_a_file_on_a_network_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_system, "_kind_of", lambda _folder: "nfs4")

    assert "is on nfs4" in str(refusal(tmp_path / "mail.db"))

    monkeypatch.setenv("PYKKA_SMTP_ANY_FILESYSTEM", "1")
    SqliteStore(tmp_path / "mail.db", "shop").close()


def test_the_file_system_is_that_of_the_longest_mount_point(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    point = str(tmp_path).replace(" ", "\\040")
    mounts.write_text(
        "1 0 0:1 / / rw - ext4 /dev/sda rw\n"
        f"2 1 0:2 / {point} rw shared:1 - nfs4 server:/x rw\n"
        "3 1 0:3 / /other rw - cifs //s/x rw\n"
    )

    assert file_system._kind_of(tmp_path / "a", str(mounts)) == "nfs4"
    assert file_system._kind_of(Path("/usr"), str(mounts)) == "ext4"


def test_a_program_may_have_its_outbox_in_its_own_database(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE orders (id)")
    database.execute("PRAGMA user_version = 7")
    database.close()

    store = SqliteStore(path, "shop")

    assert store._db.execute("PRAGMA user_version").fetchone() == (7,)
    assert store.counts()["ready"] == 0
    store.close()
    SqliteStore(path, "shop").close()


def test_a_start_that_was_killed_half_way_leaves_nothing_that_stops_the_next(
    tmp_path: Path,
) -> None:
    path = tmp_path / "mail.db"
    path.with_name("mail.db-new").write_bytes(b"half of it")

    SqliteStore(path, "shop").close()

    assert path.stat().st_size > 4096


def test_a_lock_is_dropped_by_its_process_and_seen_by_others(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    assert not is_locked(lock.path)
    lock.take()
    assert is_locked(lock.path)
    other = FileLock(lock.path)
    assert not other.take(0.01)
    lock.close()
    assert other.take(PATIENCE)
    other.remove()
    assert not is_locked(lock.path)


def test_a_thousand_finished_lives_leave_nothing_behind(outboxes: Outboxes) -> None:
    for _ in range(5):
        store = SqliteStore(outboxes.path, "shop")
        store.close()

    names = {one.name for one in outboxes.path.parent.iterdir()}
    assert names == {"mail.db", "mail.db-turn"}


def test_a_child_does_not_keep_the_parents_locks(outboxes: Outboxes, tmp_path: Path) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    ref = outboxes.start()
    ref.ask(Put(mail()))
    read, write = os.pipe()
    ready, is_ready = os.pipe()
    child = os.fork()
    if not child:
        os.write(is_ready, b"x")
        os.read(read, 1)  # lives until the parent has looked
        os._exit(0)
    os.read(ready, 1)
    life = next(tmp_path.glob("mail.db-life-*"))
    number = os.open(life, os.O_RDWR)
    outboxes.stop(ref)
    try:
        # The parent's copy is closed by now: only the child could still hold the lock.
        import fcntl

        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.write(write, b"x")
        for one in (number, read, write, ready, is_ready):
            os.close(one)
        os.waitpid(child, 0)


def test_nothing_waits_for_a_thread_that_has_stopped(outboxes: Outboxes) -> None:
    ref = outboxes.start()
    assert ref.ask(Drain(timeout=PATIENCE))
    assert ref.ask(Find()) == []
    outboxes.stop(ref)
    assert not any("outbox" in one.name for one in threading.enumerate())


def lives_that_seem_dead(first: Path, second: Path) -> list[int]:
    """Start a life by each name; return those of others that the second takes for dead."""
    one, two = SqliteStore(first, "one"), SqliteStore(second, "two")
    try:
        return two.dead_lives()
    finally:
        two.close()
        one.close()


def test_nobody_seems_dead_because_a_path_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.db"
    link.symlink_to(tmp_path / "mail.db")

    assert lives_that_seem_dead(tmp_path / "mail.db", link) == []
    assert [one.name for one in link.parent.iterdir()] == ["link.db"]


def test_nobody_seems_dead_after_a_change_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one, two = SqliteStore(tmp_path / "mail.db", "one"), SqliteStore(Path("mail.db"), "two")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    try:
        assert two.dead_lives() == []
    finally:
        two.close()
        one.close()


@pytest.mark.parametrize("name", ["mail.db", "mail.db-wal"])
def test_there_is_no_receipt_while_the_file_or_its_log_is_gone(
    outboxes: Outboxes, name: str
) -> None:
    ref = outboxes.start()
    ref.ask(Put(mail(1)))
    file = outboxes.path.with_name(name)
    file.rename(file.with_name("away"))

    for _ in range(2):
        with pytest.raises(OutboxError, match=f"{name} has gone while it is in use") as caught:
            ref.ask(Put(mail(2)))
        assert caught.value.retryable
    assert not file.exists()  # none was made anew

    file.with_name("away").rename(file)
    assert wait_until(lambda: ref.ask(Statistics()).trouble is None, PATIENCE)
    ref.ask(Put(mail(3)))
    assert [one.id for one in ref.ask(Find())] == ["mail-1", "mail-3"]


def test_there_is_no_receipt_once_another_file_has_taken_the_place(
    outboxes: Outboxes, tmp_path: Path
) -> None:
    ref = outboxes.start()
    other = tmp_path / "other.db"
    SqliteStore(other, "other").close()
    other.rename(outboxes.path)

    with pytest.raises(OutboxError, match="was replaced or cut while it is in use"):
        ref.ask(Put(mail(1)))


def test_there_is_no_receipt_once_the_file_was_cut(outboxes: Outboxes) -> None:
    ref = outboxes.start()
    ref.ask(Put(mail(1)))
    os.truncate(outboxes.path, 0)

    with pytest.raises(OutboxError, match="was replaced or cut while it is in use"):
        ref.ask(Put(mail(2)))

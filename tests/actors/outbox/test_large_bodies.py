"""An email that is too large for a row is in a file beside the outbox, and goes from there."""

import contextlib
import errno
import gc
import hashlib
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from servers.outboxes import Outboxes, mail
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import (
    Cancel,
    Drain,
    FailureKind,
    Find,
    OutboxError,
    Put,
    Release,
    SendFailure,
    SendMail,
    SendSuccess,
    Statistics,
    handover,
)
from pykka_smtp.actors.outbox.store.bodies import Bodies
from pykka_smtp.actors.outbox.store.locks import FileLock, is_locked
from pykka_smtp.actors.outbox.store.sqlite.sqlite_store import SqliteStore
from pykka_smtp.actors.outbox.text import mail_text
from pykka_smtp.actors.outbox.text.large import LargeBody

MOST = 4000


@pytest.fixture(autouse=True)
def rows_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_text, "MAX_SIZE", MOST)


def message(number: int = 1, lines: int = 200) -> bytes:
    text = "".join(f"This is line {i} of a long email.\r\n" for i in range(lines))
    return f"Subject: {number}\r\nMessage-ID: <{number}@example.com>\r\n\r\n{text}".encode()


def complete(number: int, given: Any) -> SendMail:
    return SendMail(
        sender="me@example.com",
        recipients="you@example.org",
        message=given,
        id=f"mail-{number}",
    )


def large(folder: Path, number: int = 1, data: bytes | None = None) -> SendMail:
    path = folder / f"{number}.eml"
    path.write_bytes(message(number) if data is None else data)
    return complete(number, path)


def files(outboxes: Outboxes) -> list[Path]:
    folder = outboxes.path.with_name("mail.db-bodies")
    return sorted(folder.iterdir()) if folder.exists() else []


def test_a_large_email_arrives_as_it_was_and_its_file_is_removed_then(
    outboxes: Outboxes, server: Any, tmp_path: Path
) -> None:
    ref = outboxes.start(server)

    receipt = ref.ask(Put(large(tmp_path), key="k"), timeout=PATIENCE)

    assert (receipt.id, receipt.key) == ("mail-1", "k")
    assert ref.ask(Drain(timeout=PATIENCE))
    assert [m.data for m in server.mails] == [message()]
    assert wait_until(lambda: not files(outboxes), PATIENCE)


def test_a_file_that_was_put_may_be_removed_at_once_and_an_open_one_be_closed(
    outboxes: Outboxes, server: Any, tmp_path: Path
) -> None:
    ref = outboxes.start(server)
    gone = large(tmp_path, 1)
    ref.tell(gone)
    (tmp_path / "1.eml").unlink()
    with (tmp_path / "2").open("wb+") as file:
        file.write(message(2))
        file.seek(0)
        ref.tell(complete(2, file))

    assert ref.ask(Drain(timeout=PATIENCE))

    assert {m.data for m in server.mails} == {message(1), message(2)}


def test_a_large_message_in_memory_and_a_large_text_arrive_too(
    outboxes: Outboxes, server: Any
) -> None:
    ref = outboxes.start(send=False)
    text = "Grüße an alle\r\n" * 1000
    ref.ask(Put(complete(1, message(1))))
    ref.ask(Put(mail(2, body=text)))
    assert len(files(outboxes)) == 2
    outboxes.stop(ref)

    again = outboxes.start(server)

    assert again.ask(Drain(timeout=PATIENCE))
    first, second = sorted((m.data for m in server.mails), key=len, reverse=True)[::-1]
    assert {first, second} >= {message(1)}
    assert len(outboxes.wait_for(2)) == 2
    assert all(isinstance(one, SendSuccess) for one, _ in outboxes.heard)
    assert wait_until(lambda: not files(outboxes), PATIENCE)


def test_folder_and_file_are_only_the_users(outboxes: Outboxes, tmp_path: Path) -> None:
    outboxes.start().ask(Put(large(tmp_path)))

    [file] = files(outboxes)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert file.read_bytes() == message()


def test_it_waits_in_the_file_for_the_next_start_and_counts_as_octets(
    outboxes: Outboxes, server: Any, tmp_path: Path
) -> None:
    ref = outboxes.start()
    before = ref.ask(Statistics()).octets
    ref.ask(Put(large(tmp_path)))
    [found] = ref.ask(Find())
    assert found.size == len(message())
    assert ref.ask(Statistics()).octets >= before + len(message())
    outboxes.stop(ref)

    again = outboxes.start(server)

    assert again.ask(Drain(timeout=PATIENCE))
    assert [m.data for m in server.mails] == [message()]


def test_the_same_email_with_its_key_is_no_second_one_and_another_is_an_error(
    outboxes: Outboxes, tmp_path: Path
) -> None:
    ref = outboxes.start()
    assert not ref.ask(Put(large(tmp_path), key="k")).is_duplicate
    dated = message().replace(b"<1@", b"<other@")

    again = ref.ask(Put(complete(2, dated), key="k"))

    assert (again.is_duplicate, again.id) == (True, "mail-1")
    with pytest.raises(ValueError, match="is that of another email"):
        ref.ask(Put(large(tmp_path, 3, message(3, lines=300)), key="k"))
    assert wait_until(lambda: len(files(outboxes)) == 1, PATIENCE)
    assert files(outboxes)[0].read_bytes() == message()


@pytest.mark.parametrize("harm", ["missing", "altered"])
def test_an_email_whose_file_is_missing_or_altered_is_held_and_says_why(
    outboxes: Outboxes, server: Any, tmp_path: Path, caplog: Any, harm: str
) -> None:
    ref = outboxes.start()
    ref.ask(Put(large(tmp_path), key="k"))
    outboxes.stop(ref)
    [file] = files(outboxes)
    good = file.read_bytes()
    file.unlink() if harm == "missing" else file.write_bytes(good.replace(b"long", b"LONG"))

    again = outboxes.start(server)

    assert wait_until(lambda: again.ask(Find(state="held")), PATIENCE)
    assert f"is held: the file of its body {'is' if harm == 'missing' else 'was'} {harm}" in (
        caplog.text
    )
    assert (server.accepted, outboxes.heard) == (0, [])
    [found] = again.ask(Find())
    assert (found.doubts, found.crashes) == (0, 0)

    file.write_bytes(good)  # from a backup
    assert again.ask(Release("k"))
    assert again.ask(Drain(timeout=PATIENCE))
    assert [m.data for m in server.mails] == [good]


def test_a_large_text_whose_file_is_missing_is_held(outboxes: Outboxes, server: Any) -> None:
    ref = outboxes.start()
    ref.ask(Put(mail(1, body="1 2 3\r\n" * 1000)))
    outboxes.stop(ref)
    files(outboxes)[0].unlink()

    again = outboxes.start(server)

    assert wait_until(lambda: again.ask(Find(state="held")), PATIENCE)
    assert server.accepted == 0


def test_what_a_killed_process_was_writing_is_removed_at_the_next_start(
    outboxes: Outboxes, tmp_path: Path
) -> None:
    ref = outboxes.start()
    ref.ask(Put(large(tmp_path)))
    [good] = files(outboxes)
    outboxes.stop(ref)
    died = run_and_die(
        "from pykka_smtp.actors.outbox.store.bodies import Bodies\n"
        "from pykka_smtp.actors.outbox.text.large import LargeBody\n"
        "import hashlib, os, pathlib, sys\n"
        f"bodies = Bodies(pathlib.Path({str(outboxes.path)!r}))\n"
        "data = b'x' * 10000\n"
        "written, _ = bodies.write(LargeBody(10000, lambda at, n: data[at:at+n],"
        " hashlib.blake2b(), is_complete=True, is_whole=False))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert died == -9
    assert len(files(outboxes)) == 2
    (good.parent / "readme.txt").write_text("of somebody else")

    outboxes.start()

    assert wait_until(lambda: len(files(outboxes)) == 2, PATIENCE)
    assert {one.name for one in files(outboxes)} == {good.name, "readme.txt"}


def test_a_file_that_is_being_written_is_nobodys_to_remove(outboxes: Outboxes) -> None:
    data = b"x" * 10_000
    body = LargeBody(
        len(data),
        lambda at, most: data[at : at + most],
        hashlib.blake2b(),
        is_complete=True,
        is_whole=False,
    )
    bodies = Bodies(outboxes.path)
    written, _ = bodies.write(body)

    assert Bodies(outboxes.path).collect(set) == 0
    written.release()
    assert Bodies(outboxes.path).collect(lambda: {written.file.path.name}) == 0
    assert Bodies(outboxes.path).collect(set) == 1
    assert files(outboxes) == []


def test_a_put_that_fails_leaves_no_file(
    outboxes: Outboxes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    ref = outboxes.start()
    ref.ask(Put(mail(9)))

    def fail(*_args: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteStore, "put", fail)
        with pytest.raises(OutboxError, match="disk is full"):
            ref.ask(Put(large(tmp_path)))

    assert wait_until(lambda: not files(outboxes), PATIENCE)
    assert [one.id for one in ref.ask(Find())] == ["mail-9"]
    caplog.clear()  # the traceback has the email, and so the file that it comes from
    gc.collect()


def test_a_full_disk_is_an_outbox_error_and_leaves_no_file(
    outboxes: Outboxes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = outboxes.start()

    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(FileLock, "sync", full)
    with pytest.raises(OutboxError, match="No space left") as caught:
        ref.ask(Put(large(tmp_path)))

    assert caught.value.retryable
    assert files(outboxes) == []


def test_a_cancelled_email_loses_its_file_with_its_row(outboxes: Outboxes, tmp_path: Path) -> None:
    ref = outboxes.start(keep_failed=0.0)
    ref.ask(Put(large(tmp_path), key="k"))
    outboxes.stop(ref)

    ref = outboxes.start(keep_failed=0.0)
    assert ref.ask(Cancel("k"))
    [outcome] = outboxes.wait_for(1)
    assert isinstance(outcome, SendFailure)
    assert outcome.kind is FailureKind.CANCELLED
    outboxes.stop(ref)

    ref = outboxes.start(keep_failed=0.0)  # looks for what is too old at once
    assert wait_until(lambda: not files(outboxes), PATIENCE)
    assert ref.ask(Find()) == []


def test_a_sealed_outbox_takes_none_and_writes_nothing(outboxes: Outboxes, tmp_path: Path) -> None:
    ref = outboxes.start(seal=lambda data: data[::-1], open=lambda data: data[::-1])

    with pytest.raises(ValueError, match="an outbox that is sealed takes no more"):
        ref.ask(Put(large(tmp_path)))

    assert files(outboxes) == []


def test_limits_count_it(outboxes: Outboxes, tmp_path: Path) -> None:
    ref = outboxes.start(max_octets=500_000)
    with pytest.raises(OutboxError, match="more than the outbox") as caught:
        ref.ask(Put(large(tmp_path, 1, message(1, lines=20_000))))
    assert not caught.value.retryable
    ref.ask(Put(large(tmp_path, 2, message(2, lines=10_000))))

    with pytest.raises(OutboxError, match="max_octets") as caught:
        ref.ask(Put(large(tmp_path, 3, message(3, lines=5_000))))

    assert caught.value.retryable


def test_a_stop_while_a_body_is_copied_answers_who_waits(
    outboxes: Outboxes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, is_there = threading.Event(), threading.Event()
    sync = FileLock.sync

    def late(lock: FileLock) -> None:
        is_there.set()
        assert go_on.wait(PATIENCE)
        sync(lock)

    monkeypatch.setattr(FileLock, "sync", late)
    ref = outboxes.start(grace=0.1)
    answer = ref.ask(Put(large(tmp_path)), block=False)
    assert is_there.wait(PATIENCE)

    outboxes.stop(ref)
    with pytest.raises(OutboxError, match="stopped before"):
        answer.get(timeout=PATIENCE)
    [file] = files(outboxes)
    go_on.set()
    assert wait_until(lambda: not is_locked(file), PATIENCE)

    outboxes.start()
    assert wait_until(lambda: not files(outboxes), PATIENCE)


def test_the_programs_own_transaction_takes_no_large_one(
    outboxes: Outboxes, tmp_path: Path
) -> None:
    outboxes.stop(outboxes.start())

    with (
        contextlib.closing(sqlite3.connect(outboxes.path)) as connection,
        pytest.raises(ValueError, match="only a running Outbox takes"),
    ):
        handover(connection, large(tmp_path))

    assert files(outboxes) == []


def run_and_die(code: str) -> int:
    return subprocess.run([sys.executable, "-c", code], check=False).returncode


CODE = """
import pathlib, resource, sys
from pykka_smtp import Drain, Outbox, Put, SendMail

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

path, server, port, small, big = sys.argv[1:]
outbox = Outbox.start(path, server=server, port=int(port))
def send(name):
    outbox.ask(Put(SendMail(sender="a@example.com", recipients="b@example.org",
        message=pathlib.Path(name))))
    assert outbox.ask(Drain(timeout=60))
send(small)
before = peak()
send(big)
print(peak() - before)
outbox.stop()
"""


@pytest.mark.long
def test_seventy_mebibytes_arrive_and_take_little_memory(
    tmp_path: Path, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    (tmp_path / "small.eml").write_bytes(message())
    line = b"0123456789abcdef" * 4 + b"\r\n"
    data = b"Subject: Large\r\n\r\n" + line * (70 * 1024 * 1024 // len(line))
    (tmp_path / "big.eml").write_bytes(data)

    made = subprocess.run(
        [
            *(sys.executable, "-c", CODE, str(tmp_path / "mail.db"), server.host, str(server.port)),
            *(str(tmp_path / "small.eml"), str(tmp_path / "big.eml")),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert hashlib.sha256(server.mails[1].data).digest() == hashlib.sha256(data).digest()
    assert int(made.stdout) < 16 * 1024 * 1024
    assert list((tmp_path / "mail.db-bodies").iterdir()) == []

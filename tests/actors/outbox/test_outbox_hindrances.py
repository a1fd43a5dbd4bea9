"""Another process reads, or has its turn, and stands still: nobody waits for it without a bound."""

import contextlib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.outboxes import Outboxes, mail
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import Find, OutboxError, Put, SendFailure, SendSuccess, smtp_outbox_trouble
from pykka_smtp.actors.outbox.store.locks import FileLock
from pykka_smtp.actors.outbox.store.sqlite import sqlite_store
from pykka_smtp.actors.outbox.thread import store_thread


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Read a file without coming to an end, as a backup does, or a process that was stopped."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM pykka_smtp_mail").fetchall()
        yield


def test_who_reads_and_stands_still_makes_nobody_wait_who_writes(
    outboxes: Outboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "_LONG_LOG", 1)  # a checkpoint is always due
    ref, other = outboxes.start(), outboxes.start(alias="other")
    log = outboxes.path.with_name("mail.db-wal")
    number = 0

    def put() -> None:
        nonlocal number
        number += 1
        (ref, other)[number % 2].ask(Put(mail(number)), timeout=PATIENCE)

    def put_and_look() -> bool:
        put()
        return not log.stat().st_size

    put()
    with reading(outboxes.path):
        began = time.monotonic()
        while time.monotonic() < began + 0.5:  # there are several tries meanwhile
            put()
        outboxes.stop(other)
        assert time.monotonic() - began < PATIENCE / 2
        assert log.stat().st_size
        other = outboxes.start(alias="other")

    assert wait_until(put_and_look, PATIENCE)


@contextlib.contextmanager
def kept_turn(path: Path) -> Iterator[None]:
    """Have a turn to write, and stand still, as a process that was stopped in the midst of it."""
    turn = FileLock(path.with_name("mail.db-turn"))
    assert turn.take(PATIENCE)
    patience, store_thread.PATIENCE = store_thread.PATIENCE, 0.2
    try:
        yield
    finally:
        store_thread.PATIENCE = patience
        turn.close()


@pytest.fixture
def troubles() -> Iterator[list[OutboxError | None]]:
    """Keep what an outbox says of its trouble."""
    said: list[OutboxError | None] = []

    def hear(_sender: str, error: OutboxError | None, **_extra: object) -> None:
        said.append(error)

    with smtp_outbox_trouble.connected_to(hear):
        yield said


def test_that_others_do_not_let_it_write_is_said_and_so_is_the_end_of_it(
    outboxes: Outboxes, troubles: list[OutboxError | None], server: Any
) -> None:
    ref = outboxes.start(server)
    with kept_turn(outboxes.path):
        with pytest.raises(OutboxError, match="is one stopped"):
            ref.ask(Put(mail(1)), timeout=PATIENCE)
        assert wait_until(lambda: troubles, PATIENCE)
        with pytest.raises(OutboxError, match="is one stopped"):
            ref.ask(Put(mail(2)), timeout=PATIENCE)

    assert wait_until(lambda: troubles[-1] is None, PATIENCE)
    assert isinstance(ref.ask(mail(3), timeout=PATIENCE), SendSuccess)
    assert [str(error)[:15] for error in troubles] == ["other processes", "None"]
    assert server.accepted == 1


def test_who_has_its_turn_and_stands_still_keeps_nobody_from_stopping(
    outboxes: Outboxes, server: Any
) -> None:
    ref = outboxes.start(server, grace=0.1)
    ref.ask(Put(mail(1)))
    outboxes.wait_for(1)
    with kept_turn(outboxes.path):
        ref.tell(mail(2))
        ref.stop(timeout=PATIENCE)
        refused = outboxes.wait_for(2)[-1]
        assert isinstance(refused, SendFailure)
        assert "is one stopped" in refused.detail

    outboxes.stop(ref)  # now its thread has ended, too
    assert outboxes.start().ask(Find(state="ready")) == []
    assert server.accepted == 1


ENDS = """
import sys
from pathlib import Path
from pykka_smtp import Outbox, Put, SendMail
from pykka_smtp.actors.outbox.store.locks import FileLock
from pykka_smtp.actors.outbox.thread import store_thread
path = Path(sys.argv[1])
outbox = Outbox.start(path, "127.0.0.1", int(sys.argv[2]), grace=0.1)
mail = SendMail(sender="me@example.com", recipients="you@example.org", body="Hi.")
outbox.ask(Put(mail))
turn = FileLock(path.with_name("mail.db-turn"))
turn.take()
store_thread.PATIENCE = 0.3
outbox.tell(mail)
"""


def test_who_has_its_turn_and_stands_still_keeps_no_program_from_its_end(
    tmp_path: Path, server: Any
) -> None:
    command = [sys.executable, "-W", "ignore", "-c", ENDS]
    command += [str(tmp_path / "mail.db"), str(server.port)]

    done = subprocess.run(command, timeout=PATIENCE, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "another process has its turn to write, and stands still" in done.stderr

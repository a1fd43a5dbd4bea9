"""An outbox has limits, forgets what is done with after a while, and never writes a secret."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from servers.outboxes import Outboxes, mail
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import Drain, FailureKind, Find, OutboxError, Put, SendFailure, Statistics
from pykka_smtp.actors.outbox.store import file_system
from pykka_smtp.actors.outbox.store.sqlite.sqlite_store import SqliteStore
from pykka_smtp.actors.outbox.thread import store_thread
from pykka_smtp.testing import Server

SECRETS = {"password": "pass-word-1", "token": "to-ken-2", "url": "url-word-3", "proxy": "proxy-4"}


def full(ref: Any, words: str) -> OutboxError:
    with pytest.raises(OutboxError, match=words) as caught:
        ref.ask(Put(mail(99)))
    assert caught.value.retryable
    return caught.value


def test_a_file_that_is_large_enough_takes_no_more_and_sends_what_it_has(
    outboxes: Outboxes, server: Any
) -> None:
    ref = outboxes.start(max_octets=200_000)
    ref.ask(Put(mail(1, body="1 2 3\r\n" * 50_000)))

    full(ref, "max_octets")
    outboxes.stop(ref)
    ref = outboxes.start(server, max_octets=200_000)

    assert ref.ask(Drain(timeout=PATIENCE))
    assert server.accepted == 1
    # The text is gone by now, and there is room again.
    assert wait_until(lambda: takes(ref, 2), PATIENCE)


def failures(outboxes: Outboxes) -> list[SendFailure]:
    return [one for one, _ in outboxes.heard if isinstance(one, SendFailure)]


def takes(ref: Any, number: int) -> bool:
    try:
        ref.ask(Put(mail(number)))
    except OutboxError:
        return False
    return True


def test_emails_that_are_put_all_at_once_are_no_more_than_may_wait(outboxes: Outboxes) -> None:
    ref = outboxes.start(max_queued=10)

    answers = [ref.ask(Put(mail(number)), block=False) for number in range(200)]

    for answer in answers[:10]:
        answer.get(timeout=PATIENCE)
    for answer in answers[10:]:
        with pytest.raises(OutboxError, match="max_queued"):
            answer.get(timeout=PATIENCE)
    assert len(ref.ask(Find())) == 10


def test_the_rest_of_the_disk_is_left_to_others_and_sending_goes_on(
    outboxes: Outboxes, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = outboxes.start()
    ref.ask(Put(mail(1)))
    outboxes.stop(ref)
    real = os.statvfs(outboxes.path.parent)
    free = [100 * 1024 * 1024]

    class Disk:
        f_frsize = 1
        f_blocks = real.f_blocks * real.f_frsize

        @property
        def f_bavail(self) -> int:
            return free[0]

    monkeypatch.setattr(os, "statvfs", lambda _folder: Disk())
    ref = outboxes.start(server)
    assert wait_until(lambda: not takes(ref, 2), PATIENCE)
    full(ref, "the disk is almost full")
    ref.tell(mail(3))

    outboxes.wait_until(lambda: failures(outboxes))
    [failure] = failures(outboxes)
    assert (failure.kind, failure.mail.id) == (FailureKind.LOCAL, "mail-3")
    assert wait_until(lambda: server.accepted >= 1, PATIENCE)

    free[0] = 1 << 40
    assert wait_until(lambda: takes(ref, 4), PATIENCE)


@pytest.mark.parametrize(
    ("size", "free", "has_room"),
    [
        (100 << 30, 600 << 20, True),  # 500 MB, where 5 % is more
        (100 << 30, 400 << 20, False),
        (1 << 30, 60 << 20, True),  # 5 % of a small one
        (1 << 30, 40 << 20, False),
    ],
)
def test_the_floor_is_five_percent_or_500_mb(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int, free: int, has_room: bool
) -> None:
    class Disk:
        f_frsize, f_blocks, f_bavail = 4096, size // 4096, free // 4096

    monkeypatch.setattr(os, "statvfs", lambda _folder: Disk())

    assert file_system.has_room(tmp_path) is has_room


def test_what_is_old_goes_in_small_batches_and_nothing_that_waits(
    outboxes: Outboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = outboxes.start()
    ref.tell_all(mail(number) for number in range(60))
    outboxes.stop(ref)
    store = SqliteStore(outboxes.path, "shop")
    states = ("ready", "claimed", "dot", "told", "held", "heard")
    for number, state in enumerate(states * 10):
        store._db.execute(
            "UPDATE pykka_smtp_mail SET state = ?, ended_at = 1, is_sent = ?, owner = NULL"
            " WHERE seq = ?",
            (state, number % 2, number + 1),
        )
    store.close()
    batches: list[int] = []
    sweep = SqliteStore.sweep

    def counting(store: SqliteStore, *args: Any) -> int:
        batches.append(sweep(store, *args))
        return batches[-1]

    monkeypatch.setattr(SqliteStore, "sweep", counting)
    monkeypatch.setattr(store_thread, "_SWEPT", 4)

    ref = outboxes.start(alias="other", hear=False)

    assert wait_until(lambda: not ref.ask(Statistics()).heard, PATIENCE)
    assert len(ref.ask(Find(limit=1000))) == 50
    assert wait_until(lambda: sum(batches) == 10, PATIENCE)
    assert max(batches) == 4


def test_no_secret_is_in_any_file_whatever_happens(outboxes: Outboxes) -> None:
    with Server() as server:
        ref = outboxes.start(
            url=f"smtp://me:{SECRETS['url']}@{server.host}:{server.port}?tls=off",
            alias="one",
            send=True,
        )
        ref.ask(Put(mail(1)))
        outboxes.wait_for(1)  # it has failed, or not: there is no AUTH
        outboxes.stop(ref)
        for given in (
            {"username": "me", "password": SECRETS["password"]},
            {"username": "me", "token": SECRETS["token"]},
        ):
            ref = outboxes.start(server, tls="off", **given)
            ref.ask(Put(mail(len(outboxes.heard) + 1)))
            outboxes.wait_for(len(outboxes.heard) + 1)
            outboxes.stop(ref)

    for path in outboxes.path.parent.iterdir():
        octets = path.read_bytes()
        for secret in SECRETS.values():
            assert secret.encode() not in octets, path


def test_every_file_beside_it_is_the_users_alone_whatever_the_mask(outboxes: Outboxes) -> None:
    if os.name != "posix":
        pytest.skip("needs modes")
    mask = os.umask(0)
    try:
        ref = outboxes.start()
        ref.ask(Put(mail()))
        modes = {
            path.name: stat.S_IMODE(path.stat().st_mode) for path in outboxes.path.parent.iterdir()
        }
    finally:
        os.umask(mask)

    assert {"mail.db", "mail.db-turn", "mail.db-wal", "mail.db-shm"} <= set(modes)
    assert any(name.startswith("mail.db-life-") for name in modes)
    assert set(modes.values()) == {0o600}

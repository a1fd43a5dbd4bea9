"""Processes on one file wake each other. The looks from time to time are a minute apart here."""

import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from servers.outboxes import Outboxes, mail
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import Find, Hold, Put, Release, SendFailure, SendSuccess
from pykka_smtp.actors.outbox.rules.states import Step
from pykka_smtp.actors.outbox.sending.failures import CANCELLED
from pykka_smtp.actors.outbox.store import wake
from pykka_smtp.actors.outbox.store.outside.acting import act
from pykka_smtp.actors.outbox.thread import store_thread, waking

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")

MINUTE = 60.0
assert MINUTE > PATIENCE


@pytest.fixture
def rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have looks a minute apart: what happens before was a datagram's doing."""
    monkeypatch.setattr(store_thread, "POLL", MINUTE)


def sockets(outboxes: Outboxes) -> list[str]:
    return sorted(one.name for one in outboxes.path.parent.glob("*-wake-*"))


def started(outboxes: Outboxes, *args: Any, **options: Any) -> Any:
    """Start one, and wait until it listens, and its first looks are over."""
    ref = outboxes.start(*args, **options)
    actor: Any = ref._actor_weakref()
    assert wait_until(lambda: actor._thread._next_poll > 0.0, PATIENCE)
    ref.ask(Find())
    return ref


@pytest.mark.usefixtures("rarely", "loop_kind")
def test_a_put_wakes_who_sends_and_its_outcome_wakes_who_has_put(
    outboxes: Outboxes, server: Any
) -> None:
    web = started(outboxes, alias="web")
    started(outboxes, server, alias="worker")

    for number in range(3):
        assert isinstance(web.ask(mail(number), timeout=PATIENCE), SendSuccess)

    assert sockets(outboxes) == ["mail.db-wake-1-hear", "mail.db-wake-2-both"]


WORKER = """
import sys
from pykka_smtp import Outbox
from pykka_smtp.actors.outbox.thread import store_thread
store_thread.POLL = 60.0
outbox = Outbox.start(sys.argv[1], "127.0.0.1", int(sys.argv[2]), alias="worker", hear=False)
outbox.ask(__import__("pykka_smtp").Find())
print("up", flush=True)
sys.stdin.readline()
outbox.stop()
"""


def worker(outboxes: Outboxes, server: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(outboxes.path), str(server.port)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


@pytest.mark.usefixtures("rarely")
def test_two_processes_wake_each_other_and_leave_nothing_when_they_end(
    outboxes: Outboxes, server: Any
) -> None:
    web = started(outboxes, alias="web")
    with worker(outboxes, server) as process:
        for number in range(3):
            assert isinstance(web.ask(mail(number), timeout=PATIENCE), SendSuccess)
        assert sockets(outboxes) == ["mail.db-wake-1-hear", "mail.db-wake-2-send"]
        process.communicate("end\n", timeout=PATIENCE)

    assert process.returncode == 0
    assert sockets(outboxes) == ["mail.db-wake-1-hear"]
    outboxes.stop(web)
    assert sockets(outboxes) == []


def test_what_a_killed_process_leaves_beside_the_file_is_removed(
    outboxes: Outboxes, server: Any
) -> None:
    with worker(outboxes, server) as process:
        assert sockets(outboxes) == ["mail.db-wake-1-send"]
        process.send_signal(signal.SIGKILL)
    assert sockets(outboxes) == ["mail.db-wake-1-send"]

    web = outboxes.start(alias="web")

    assert wait_until(lambda: sockets(outboxes) == ["mail.db-wake-2-hear"], PATIENCE)
    web.ask(Put(mail()))


@pytest.mark.usefixtures("rarely")
def test_a_worker_that_stops_wakes_the_other_for_what_it_has_in_hand(
    outboxes: Outboxes, server: Any
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, never says a word
        address = {"host": "127.0.0.1", "port": silent.getsockname()[1]}
        hung = outboxes.start(type("Silent", (), address), alias="hung", hear=False, grace=0.01)
        hung.ask(Put(mail()))
        started(outboxes, server, alias="worker")

        outboxes.stop(hung)

    assert wait_until(lambda: server.accepted, PATIENCE)


@pytest.mark.usefixtures("rarely")
def test_what_a_person_does_wakes_who_sends_and_who_hears(outboxes: Outboxes, server: Any) -> None:
    web = started(outboxes, alias="web")
    for number in range(3):
        web.ask(Put(mail(number)))
        assert web.ask(Hold(f"mail-{number}"))
    started(outboxes, server, alias="worker")

    assert web.ask(Release("mail-0"))
    outboxes.wait_for(1)
    assert act(outboxes.path, Step.RELEASE, "mail-1", "")
    outboxes.wait_for(2)
    assert act(outboxes.path, Step.CANCEL, "mail-2", CANCELLED)

    last = outboxes.wait_for(3)[-1]
    assert isinstance(last, SendFailure)
    assert server.accepted == 2


@pytest.mark.usefixtures("loop_kind")
def test_a_flood_of_datagrams_starves_nobody_and_waking_goes_on_after_it(
    outboxes: Outboxes, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    web, worker = started(outboxes, alias="web"), started(outboxes, server, alias="worker")
    looks: list[float] = []
    look = waking._has_changed

    def counted(store: Any) -> bool:
        looks.append(time.monotonic())
        return look(store)

    monkeypatch.setattr(waking, "_has_changed", counted)
    is_over = threading.Event()
    path = str(outboxes.path) + "-wake-2-both"

    def flood() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mine:
            mine.setblocking(False)
            while not is_over.is_set():
                try:
                    mine.sendto(b"\xffanything", path)
                except BlockingIOError:
                    is_over.wait(0.0005)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        assert isinstance(worker.ask(mail(1), timeout=PATIENCE), SendSuccess)
        assert isinstance(web.ask(mail(2), timeout=PATIENCE), SendSuccess)
        actor: Any = worker._actor_weakref()
        assert wait_until(lambda: actor._waking._pause == waking._LONG_PAUSE, PATIENCE)
        count = len(looks)
    finally:
        is_over.set()
        thread.join()
    assert count <= 6

    def looks_again() -> bool:
        web.ask(Put(mail(number := looks_again.asked)))  # type: ignore[attr-defined]
        looks_again.asked = number + 1  # type: ignore[attr-defined]
        return len(looks) > count

    looks_again.asked = 3  # type: ignore[attr-defined]
    assert wait_until(looks_again, PATIENCE, interval=0.1)


def test_where_there_can_be_no_socket_the_looks_are_enough(
    tmp_path: Path, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wake, "_BY_NUMBER", str(tmp_path / "proc"))
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    with Outboxes(folder) as outboxes:
        web = outboxes.start(alias="web")
        outboxes.start(server, alias="worker")

        assert isinstance(web.ask(mail(), timeout=PATIENCE), SendSuccess)
        assert sockets(outboxes) == []


def test_who_only_puts_has_no_socket(outboxes: Outboxes) -> None:
    outboxes.start(hear=False).ask(Put(mail()))

    assert sockets(outboxes) == []

"""Sockets beside the file of an outbox: who has written wakes the others, and waits for nobody."""

import os
import select
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from servers.waiting import PATIENCE, wait_until

from pykka_smtp.actors.outbox.store import wake
from pykka_smtp.actors.outbox.store.wake import (
    HEARERS,
    SENDERS,
    OtherLives,
    WakeSocket,
    remove_wake_socket,
    wake_lives,
)

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")

BOTH = SENDERS | HEARERS


class Lives:
    """Lives of one outbox, by number; closed at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sockets: list[WakeSocket] = []
        self.others = OtherLives(path, 1)

    def open(self, life: int, roles: int = BOTH) -> WakeSocket:
        made = WakeSocket(self.path, life, roles)
        self.sockets.append(made)
        return made


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    made = Lives(tmp_path / "mail.db")
    yield made
    made.others.close()
    for one in made.sockets:
        one.close()
    assert list(tmp_path.rglob("*-wake-*")) == []


def is_woken(life: WakeSocket) -> bool:
    """Whether a datagram has come; it is read. None is on its way: they arrive at once."""
    found = bool(select.select([life], [], [], 0)[0])
    life.drain()
    assert not select.select([life], [], [], 0)[0]
    return found


def leave_behind(life: WakeSocket) -> None:
    """Close it as the end of a process does: its name stays."""
    wake._Socket.close(life)


def test_all_others_are_woken_whom_it_concerns_and_nobody_else(lives: Lives) -> None:
    own, sender, hearer = lives.open(1), lives.open(22, SENDERS), lives.open(3, HEARERS)

    woken = []
    for emails, outcomes in ((1, 0), (0, 1), (1, 1), (0, 0)):
        lives.others.wake(emails, outcomes)
        woken.append((is_woken(own), is_woken(sender), is_woken(hearer)))

    assert woken == [
        (False, True, False),
        (False, False, True),
        (False, True, True),
        (False, False, False),
    ]


def test_a_life_learns_how_much_there_is_for_it(lives: Lives) -> None:
    sender, both = lives.open(2, SENDERS), lives.open(3)

    for emails, outcomes in ((3, 4), (1, 0), (1000, 1000)):
        lives.others.wake(emails, outcomes)

    assert (sender.drain(), both.drain()) == (3 + 1 + 255, 7 + 1 + 255)


def test_a_life_that_began_a_moment_ago_is_woken_and_one_that_has_stopped_is_not_missed(
    lives: Lives,
) -> None:
    for life in range(2, 30):
        # At once: the time of the folder is too coarse to tell all of these apart.
        lives.others._list_again_at = 0.0
        lives.others._pace = wake.Pace()
        one = lives.open(life)
        lives.others.wake(1, 1)
        assert is_woken(one)
        one.close()
        lives.others.wake(1, 1)


def test_a_folder_that_has_not_changed_is_not_read_again(
    lives: Lives, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = lives.open(2)
    os.utime(tmp_path, (1e9, 1e9))  # long ago
    lives.others.wake(1, 1)

    monkeypatch.setattr(os, "scandir", None)
    lives.others.wake(1, 1)

    assert is_woken(one)


def test_a_folder_that_takes_long_to_read_is_read_as_rarely(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([0.0, 10.0])
    monkeypatch.setattr(time, "thread_time", lambda: next(seconds))
    one = lives.open(2)
    lives.others.wake(1, 1)
    lives.open(3)  # so the folder has changed

    monkeypatch.setattr(time, "monotonic", partial(float, time.monotonic() + 100.0))
    lives.others.wake(1, 1)

    assert one.drain() == 4


def test_who_belongs_to_another_outbox_in_the_folder_is_left_alone(
    lives: Lives, tmp_path: Path
) -> None:
    other = WakeSocket(tmp_path / "other-mail.db", 2, BOTH)
    longer = WakeSocket(tmp_path / "mail.db-wake-1", 2, BOTH)
    (tmp_path / "mail.db-wake-5-both").write_text("no socket")
    (tmp_path / "mail.db-wake-6-nobody").write_text("no role")

    lives.others.wake(1, 1)

    assert [is_woken(one) for one in (other, longer)] == [False, False]
    assert (tmp_path / "mail.db-wake-5-both").read_text() == "no socket"
    for one in (other, longer):
        one.close()
    (tmp_path / "mail.db-wake-5-both").unlink()
    (tmp_path / "mail.db-wake-6-nobody").unlink()


def test_who_is_no_life_of_it_wakes_all(lives: Lives) -> None:
    some = [lives.open(1, SENDERS), lives.open(2, HEARERS)]

    wake_lives(lives.path)

    assert [is_woken(one) for one in some] == [True, True]


def test_one_that_does_not_read_makes_nobody_wait(lives: Lives) -> None:
    deaf, other = lives.open(2), lives.open(3)

    for _ in range(5000):  # more than any system queues
        lives.others._pace = wake.Pace()
        lives.others.wake(1, 1)
        assert is_woken(other)

    assert is_woken(deaf)


def test_who_writes_much_wakes_nobody_until_that_is_over(lives: Lives) -> None:
    one = lives.open(2)
    lives.others.wake(1000, 0)
    assert is_woken(one)

    lives.others.wake(1, 0)

    assert not is_woken(one)

    def is_woken_again() -> bool:
        lives.others.wake(1, 0)
        return is_woken(one)

    assert wait_until(is_woken_again, PATIENCE, interval=0.1)


def test_a_burst_or_a_steady_trickle_is_worth_waking_and_a_stream_is_not() -> None:
    def allowed(numbers: int, seconds: float, *, at_once: int = 1) -> int:
        pace = wake.Pace()
        return sum(pace.allows(at_once, 1000.0 + n * seconds) for n in range(numbers))

    assert allowed(50, 0.0) == 50
    assert allowed(1000, 1 / 39) == 1000
    assert allowed(1000, 1 / 400) < 80
    assert allowed(100, 1 / 40, at_once=256) == 1
    assert allowed(10, 10.0, at_once=256) == 10


def test_who_has_died_is_passed_over_until_its_socket_is_removed(lives: Lives) -> None:
    dead, alive = lives.open(2), lives.open(3)
    leave_behind(dead)

    lives.others.wake(1, 1)

    assert is_woken(alive)
    assert dead.path.exists()
    remove_wake_socket(lives.path, 2)
    remove_wake_socket(lives.path, 2)  # another process was faster
    assert not dead.path.exists()
    lives.others.wake(1, 1)
    assert is_woken(alive)


@pytest.mark.parametrize("umask", [0, 0o22, 0o777])
def test_only_its_user_can_wake_it_whatever_the_umask_is(lives: Lives, umask: int) -> None:
    before = os.umask(umask)
    try:
        one = lives.open(2)
    finally:
        os.umask(before)

    assert stat.S_IMODE(one.path.stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_on_linux_a_long_path_is_no_hindrance(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120) / ("y" * 120)
    folder.mkdir(parents=True)
    one, others = WakeSocket(folder / "mail.db", 1, BOTH), OtherLives(folder / "mail.db", 2)

    others.wake(1, 1)

    assert is_woken(one)
    assert one.path.is_socket()
    others.close()
    one.close()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("hindrance", ["no /proc", "a long name", "no such sockets"])
def test_where_there_can_be_no_socket_nothing_is_left_and_waking_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hindrance: str
) -> None:
    path = tmp_path / ("x" * 120) / ("m" * 110 if hindrance == "a long name" else "mail.db")
    path.parent.mkdir()
    if hindrance == "no /proc":
        monkeypatch.setattr(wake, "_BY_NUMBER", str(tmp_path / "proc"))
    elif hindrance == "no such sockets":
        monkeypatch.setattr(wake, "_AF_UNIX", None)
    path.with_name(f"{path.name}-wake-2-both").touch()

    with pytest.raises(OSError, match=r"too long|no such sockets"):
        WakeSocket(path, 1, BOTH)
    others = OtherLives(path)
    others.wake(1, 1)
    others.close()
    others.wake(1, 1)

    assert [one.name for one in path.parent.iterdir()] == [f"{path.name}-wake-2-both"]


FORKS = """
import os, sys
from pathlib import Path
from pykka_smtp.actors.outbox.store.wake import OtherLives, WakeSocket
path = Path(sys.argv[1]) / ("x" * 120) / "mail.db"
path.parent.mkdir()
one, others = WakeSocket(path, 1, 3), OtherLives(path, 2)
others.wake(1, 1)
before = len(os.listdir("/proc/self/fd"))
child = os.fork()
if not child:
    left = before - len(os.listdir("/proc/self/fd"))
    one.close()
    others.wake(1, 1)
    os._exit(left)
left = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
others.wake(1, 1)
assert one._socket.recv(9) == b"\\x02" and one._socket.recv(9) == b"\\x02"
print(left, one.path.exists())
one.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_forked_child_closes_its_copies_and_the_parent_keeps_its_socket(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKS, str(tmp_path)]
    done = subprocess.run(command, timeout=PATIENCE, capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("4 True\n", "")  # two sockets, twice the folder

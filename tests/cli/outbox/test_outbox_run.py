"""``pykka-smtp outbox run``: processes that send, and may be killed."""

import contextlib
import functools
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from servers.outbox_fixtures import OutboxCommand
from servers.outboxes import Outboxes, mail
from servers.scripted import ScriptedServer
from servers.sending import url_of
from servers.signers import by_dkimpy, pem_of, rsa_key
from servers.waiting import PATIENCE, wait_until

from benchmarks.kills import Remembering
from pykka_smtp import Put, SendSuccess

UP = re.compile(r"worker (\d+) is process (\d+)")


class Running:
    """The command as a process; its lines are read while it runs."""

    def __init__(self, path: Path, *words: object, **env: str) -> None:
        self._log = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - closed by __exit__
        self._last = ""
        command = [sys.executable, "-W", "error", "-m", "pykka_smtp", "outbox", "run", path, *words]
        without = {name: value for name, value in os.environ.items() if name != "JOURNAL_STREAM"}
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=without | env,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(OSError):
                self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self._last = self.log
        with self.process, self._log:
            pass

    @property
    def log(self) -> str:
        return self._last or os.pread(self._log.fileno(), 1 << 20, 0).decode()

    @property
    def pids(self) -> list[int]:
        """The process ids of all workers that were ever up."""
        return [int(pid) for _, pid in UP.findall(self.log)]

    def wait_for(self, words: str, times: int = 1) -> None:
        assert wait_until(lambda: self.log.count(words) >= times, 2 * PATIENCE), self.log

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        status = self.process.wait(2 * PATIENCE)
        assert "Traceback" not in self.log
        return status


@pytest.fixture
def remembering() -> Iterator[Remembering]:
    with Remembering(latency=0.005) as server:
        yield server


def more_than(server: Remembering, count: int) -> bool:
    return len(server.arrived) > count


def put(outboxes: Outboxes, count: int) -> set[str]:
    ref = outboxes.start(alias="web")
    mails = [mail(number) for number in range(count)]
    for future in [ref.ask(Put(one), block=False) for one in mails]:
        future.get(timeout=PATIENCE)
    return {one.id for one in mails}


@pytest.mark.long
def test_workers_send_what_waits_and_the_process_that_put_it_hears(
    outboxes: Outboxes, remembering: Remembering
) -> None:
    ids = put(outboxes, 60)
    url = f"smtp://127.0.0.1:{remembering.port}"

    with Running(outboxes.path, "--workers", 2, "--url", url) as running:
        outcomes = outboxes.wait_for(60)
        running.wait_for("sending what is in")
        assert running.end() == 0

    assert {outcome.mail.id for outcome in outcomes} == ids
    assert set(remembering.arrived.values()) == {1}
    assert len(set(running.pids)) == 2
    assert "60 sent, 0 failed" in running.log


@pytest.mark.long
def test_workers_killed_amid_emails_are_replaced_and_nothing_is_lost(
    outboxes: Outboxes, remembering: Remembering
) -> None:
    remembering.latency = 0.05  # so that there are still some when the last one is killed
    ids = put(outboxes, 400)
    url = f"smtp://127.0.0.1:{remembering.port}"

    with Running(outboxes.path, "--workers", 2, "--url", url, "--connections", 4) as running:
        for kill in range(3):
            running.wait_for("is process", times=2 + kill)
            before = len(remembering.arrived)
            assert wait_until(functools.partial(more_than, remembering, before), PATIENCE)
            os.kill(running.pids[-1], signal.SIGKILL)
        running.wait_for("died of SIGKILL; it is started again", times=3)
        assert wait_until(lambda: len(outboxes.heard) >= 400, 4 * PATIENCE), running.log
        assert running.end() == 0

    heard = [outcome.mail.id for outcome, _ in outboxes.heard]
    assert len(remembering.arrived) == 400
    assert set(heard) == ids
    assert len(heard) == 400
    doubled = sum(remembering.arrived.values()) - 400
    flagged = sum(outcome.doubts for outcome, _ in outboxes.heard)
    assert doubled <= flagged <= 3 * 4


@pytest.mark.long
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_lets_emails_in_flight_finish(
    outboxes: Outboxes, remembering: Remembering, number: signal.Signals, status: int
) -> None:
    remembering.latency = 0.5
    put(outboxes, 1)
    url = f"smtp://127.0.0.1:{remembering.port}"

    with Running(outboxes.path, "--url", url, "--grace", 20) as running:
        assert wait_until(lambda: remembering.arrived, 2 * PATIENCE)
        assert running.end(number) == status

    assert f"{number.name}: emails in flight have 20 s" in running.log
    [outcome] = outboxes.wait_for(1)
    assert isinstance(outcome, SendSuccess)
    assert (outcome.doubts, *remembering.arrived.values()) == (0, 1)


@pytest.mark.long
def test_the_workers_of_a_killed_command_end_by_themselves(
    outboxes: Outboxes, remembering: Remembering
) -> None:
    put(outboxes, 1)
    url = f"smtp://127.0.0.1:{remembering.port}"

    with Running(outboxes.path, "--workers", 2, "--url", url) as running:
        running.wait_for("sending what is in")
        pids = running.pids
        running.process.kill()
        assert wait_until(lambda: not any(map(is_alive, pids)), 2 * PATIENCE)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@pytest.mark.long
def test_who_only_hears_by_the_command_is_heard_by_receivers_of_a_module(
    outboxes: Outboxes, outbox_command: OutboxCommand, remembering: Remembering, tmp_path: Path
) -> None:
    put(outboxes, 3)
    for ref in outboxes._refs:
        outboxes.stop(ref)
    (tmp_path / "receivers_of_a_test.py").write_text(
        "from pykka_smtp import smtp_send_success\n"
        "@smtp_send_success.connect\n"
        "def sent(sender, outcome, **extra):\n"
        "    print('heard', sender, outcome.mail.id, flush=True)\n"
    )
    url = f"smtp://127.0.0.1:{remembering.port}"
    more = ["--hear", "web", "--import", "receivers_of_a_test"]

    with Running(outboxes.path, "--url", url, *more, PYTHONPATH=str(tmp_path)) as running:
        running.wait_for("heard web", times=3)
        running.wait_for("worker 1: web: mail mail-", times=3)
        assert running.end() == 0

    assert [one["state"] for one in outbox_command.json("list", "--state", "heard")] == [
        "heard"
    ] * 3


@pytest.mark.long
def test_a_password_is_in_no_process_list_and_in_no_line(
    outboxes: Outboxes, remembering: Remembering
) -> None:
    put(outboxes, 1)
    secret = "open-sesame"
    url = f"smtp://me:{secret}@127.0.0.1:{remembering.port}?tls=off"

    with Running(outboxes.path, SMTP_URL=url) as running:
        running.wait_for("sending what is in")
        for pid in running.pids:
            assert secret.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        running.end()

    assert secret not in running.log


@pytest.mark.long
def test_systemd_is_told_and_reads_the_levels(
    outboxes: Outboxes, remembering: Remembering, tmp_path: Path
) -> None:
    import socket

    put(outboxes, 1)
    url = f"smtp://127.0.0.1:{remembering.port}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "JOURNAL_STREAM": "8:1"}
        with Running(outboxes.path, "--url", url, **env) as running:
            assert manager.recv(100) == b"READY=1"
            running.end()
            assert manager.recv(100) == b"STOPPING=1"

    assert running.log.startswith("<6>outbox run: worker 1 is process")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ([], 64, "needs a relay URL"),
        (["--url", "http://x"], 64, "--url"),
        (["--url", "smtp://me:secret@x:99999"], 64, "--url"),
        (["--url", "smtp://localhost", "--workers", "0"], 64, "needs 1 to 64"),
        (["--url", "smtp://localhost", "--dkim", "b.test", "one", ""], 64, "the key is empty"),
        (["--url", "smtp://localhost", "--dkim", "b.test", "one", "/no/key"], 66, "/no/key"),
        (["--url", "smtp://localhost", "--workers", "9", "--rate", "1/day"], 64, "too low"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_started(
    outbox_command: OutboxCommand,
    words: list[str],
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SMTP_URL", raising=False)

    assert outbox_command("run", *words) == status

    assert said in outbox_command.err
    assert "secret" not in outbox_command.err
    assert not outbox_command.path.exists()


@pytest.mark.long
def test_workers_sign(outboxes: Outboxes, server: ScriptedServer, tmp_path: Path) -> None:
    key = tmp_path / "rsa.pem"
    key.write_bytes(pem_of(rsa_key()))
    put(outboxes, 2)

    with Running(outboxes.path, "--url", url_of(server), "--dkim", "b.test", "rsa", key) as running:
        outboxes.wait_for(2)
        assert running.end() == 0

    assert [by_dkimpy(received.data) for received in server.mails] == [[True]] * 2


@pytest.mark.long
def test_a_file_that_cannot_be_used_ends_the_command(tmp_path: Path) -> None:
    path = tmp_path / "mail.db"
    path.write_bytes(b"x" * 8192)

    with Running(path, "--workers", 2, "--url", "smtp://127.0.0.1:1") as running:
        assert running.process.wait(2 * PATIENCE) == 65

    assert "cannot start: OutboxError:" in running.log
    assert "is no outbox" in running.log
    assert path.read_bytes() == b"x" * 8192


@pytest.mark.long
def test_a_module_that_is_not_there_ends_the_command(tmp_path: Path) -> None:
    words = ["--url", "smtp://127.0.0.1:1", "--import", "no_such_module"]
    with Running(tmp_path / "mail.db", *words) as running:
        assert running.process.wait(2 * PATIENCE) == 69

    assert "no_such_module" in running.log

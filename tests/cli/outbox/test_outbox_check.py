"""``pykka-smtp outbox check``: what a monitor is told."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from servers.outbox_fixtures import OutboxCommand
from servers.outboxes import Outboxes, mail

from pykka_smtp import Hold, Put


def change(path: Path, statement: str) -> None:
    db = sqlite3.connect(path)
    db.execute(statement)
    db.commit()
    db.close()


@pytest.fixture
def one_waits(outboxes: Outboxes) -> Path:
    ref = outboxes.start()
    ref.ask(Put(mail(1)))
    outboxes.stop(ref)
    return outboxes.path


def test_all_is_well(one_waits: Path, outbox_command: OutboxCommand) -> None:
    assert outbox_command("check") == 0
    assert outbox_command.out.startswith("OK 1 ready, 0 claimed")
    assert outbox_command.out.count("\n") == 1
    found = outbox_command.json("check")
    assert (found["status"], found["findings"], found["flaws"]) == ("OK", [], 0)


@pytest.mark.parametrize(
    ("statement", "status", "words"),
    [
        ("UPDATE pykka_smtp_mail SET due = due - 1000", 1, "was due 16m ago"),
        ("UPDATE pykka_smtp_mail SET due = due - 10000", 2, "was due 2h ago"),
        ("UPDATE pykka_smtp_mail SET state = 'held'", 1, "1 email is held"),
        (
            "UPDATE pykka_smtp_mail SET state = 'told', put_at = put_at - 5000",
            1,
            "nobody has heard",
        ),
        ("DELETE FROM pykka_smtp_body", 2, "1 email has lost the body"),
        ("INSERT INTO pykka_smtp_body VALUES (99, x'78')", 1, "1 body has no email"),
        (
            "INSERT INTO pykka_smtp_life (pid, alias) VALUES (4711, 'web')",
            1,
            "1 process died: 4711 (web); the next that starts",
        ),
    ],
)
def test_what_is_wrong_is_said_and_has_its_status(
    one_waits: Path, outbox_command: OutboxCommand, statement: str, status: int, words: str
) -> None:
    change(one_waits, statement)

    assert outbox_command("check") == status
    assert outbox_command.out.startswith(("OK", "WARNING", "CRITICAL")[status])
    assert words in outbox_command.out


def test_what_is_late_and_how_many_are_held_can_be_chosen(
    outboxes: Outboxes, outbox_command: OutboxCommand
) -> None:
    ref = outboxes.start()
    ref.ask(Put(mail(1)))
    ref.ask(Hold("mail-1"))

    assert outbox_command("check", "--max-held", 1) == 0
    change(outboxes.path, "UPDATE pykka_smtp_mail SET state = 'ready', due = due - 1000")
    assert outbox_command("check", "--late", "1h") == 0
    assert outbox_command("check", "--late", "1s", "--very-late", "10m") == 2


def test_a_dead_process_beside_a_living_one_is_no_alarm(
    outboxes: Outboxes, outbox_command: OutboxCommand
) -> None:
    outboxes.start().ask(Put(mail(1)))
    change(outboxes.path, "INSERT INTO pykka_smtp_life (pid, alias) VALUES (4711, 'web')")

    assert outbox_command("check") == 0


def test_a_damaged_page_is_critical_and_the_file_is_left_as_it_is(
    one_waits: Path, outbox_command: OutboxCommand
) -> None:
    data = bytearray(one_waits.read_bytes())
    at = data.index(b"me@example.com") // 4096 * 4096
    data[at : at + 200] = b"\xff" * 200
    one_waits.write_bytes(data)

    assert outbox_command("check") == 2
    assert outbox_command.out.startswith("CRITICAL")
    assert "damaged" in outbox_command.out
    assert one_waits.read_bytes() == data


def test_quick_does_not_read_the_whole_file(one_waits: Path, outbox_command: OutboxCommand) -> None:
    change(one_waits, "DELETE FROM pykka_smtp_body")

    assert outbox_command("check", "--quick") == 0


def test_the_statuses_are_in_the_help_and_those_of_the_program(one_waits: Path) -> None:
    def check(*words: object) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "pykka_smtp", "outbox", "check", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert "0 all is well; 1 a warning" in " ".join(check("--help").stdout.split())
    assert check(one_waits).returncode == 0
    change(one_waits, "UPDATE pykka_smtp_mail SET due = due - 10000")
    done = check(one_waits)
    assert (done.returncode, done.stderr) == (2, "")

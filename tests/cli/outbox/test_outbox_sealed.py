"""The command, and hand-over, with an Outbox whose emails are sealed."""

import sqlite3
from pathlib import Path

import pytest
from servers.outbox_fixtures import OutboxCommand
from servers.outboxes import Outboxes, mail

from pykka_smtp import OutboxError, Put, handover

MODULE = """
def seal(data): return b"!" + bytes(octet ^ 99 for octet in data)
def open(data):
    if data[:1] != b"!": raise ValueError("the key is secret")
    return bytes(octet ^ 99 for octet in data[1:])
"""


def seal(data: bytes) -> bytes:
    return b"!" + bytes(octet ^ 99 for octet in data)


def open_(data: bytes) -> bytes:
    return bytes(octet ^ 99 for octet in data[1:])


@pytest.fixture
def seals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the program, beside where the command is called."""
    name = f"seals_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.fixture
def sealed(outboxes: Outboxes) -> Path:
    ref = outboxes.start(seal=seal, open=open_)
    ref.ask(Put(mail(1, recipients="you@x.test"), key="one"))
    ref.ask(Put(mail(2)))
    outboxes.stop(ref)
    return outboxes.path


def test_without_the_key_only_keys_and_states_are_seen(
    sealed: Path, outbox_command: OutboxCommand, tmp_path: Path
) -> None:
    assert outbox_command("list") == 0
    assert "one  (sealed) >" in outbox_command.out
    assert outbox_command("check") == 0
    assert outbox_command("hold", "one") == 0

    assert outbox_command("show", "one") == 64
    assert "it is sealed: --seals MODULE" in outbox_command.err
    assert outbox_command("export", tmp_path / "out") == 65
    assert "it is sealed" in outbox_command.err


def test_with_the_key_all_is_seen(
    sealed: Path, outbox_command: OutboxCommand, tmp_path: Path, seals: str
) -> None:
    assert outbox_command("list", "--keys", "--domain", "x.test", "--seals", seals) == 0
    assert outbox_command.out == "one\n"
    assert outbox_command("list", "--keys", "--to", "YOU@example", "--seals", seals) == 0
    assert outbox_command.out == "mail-2\n"
    assert outbox_command("show", "one", "--seals", seals) == 0
    assert "Number 1" in outbox_command.out

    assert outbox_command("export", tmp_path / "out", "--seals", seals) == 0
    assert b"Subject: Number 1" in (tmp_path / "out" / "00000001.eml").read_bytes()


def test_what_is_imported_and_handed_over_is_sealed_or_refused(
    sealed: Path, outbox_command: OutboxCommand, tmp_path: Path, seals: str, outboxes: Outboxes
) -> None:
    file = tmp_path / "a.eml"
    file.write_bytes(
        b"From: me@example.com\r\nTo: secret@x.test\r\nDate: x\r\nMessage-ID: <1>\r\n\r\nx"
    )
    db = sqlite3.connect(sealed)

    assert outbox_command("import", file) == 65
    assert "the emails of the outbox are sealed: give its seal, too" in outbox_command.err
    assert outbox_command("import", file, "--seals", seals) == 0
    with pytest.raises(OutboxError, match="sealed"):
        handover(db, mail(3, recipients="secret@x.test"))
    handover(db, mail(3, recipients="secret@x.test"), seal=seal)
    db.commit()

    assert b"secret@x.test" not in b"".join(
        one.read_bytes() for one in tmp_path.glob("mail.db*") if one.is_file()
    )
    assert outbox_command("list", "--keys", "--to", "secret", "--seals", seals) == 0
    assert outbox_command.out.split() == ["<1>", "mail-3"]
    db.close()


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("raise ValueError('hunter2')", 69, "cannot import"),
        ("seal = 1", 64, "needs the functions seal and open"),
        (
            "def seal(data): return data\ndef open(data): raise OSError('hunter2')",
            65,
            "another key",
        ),
    ],
)
def test_a_wrong_module_is_said_so_and_not_what_it_knows(
    sealed: Path,
    outbox_command: OutboxCommand,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    status: int,
    said: str,
) -> None:
    name = f"wrong_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)

    assert outbox_command("list", "--seals", name) == status

    assert said in outbox_command.err
    assert "hunter2" not in outbox_command.err
    assert outbox_command.err.count("\n") == 1

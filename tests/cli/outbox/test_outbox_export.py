"""``pykka-smtp outbox export`` and ``import``: out of a damaged file, and into another."""

import io
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from servers.outbox_fixtures import OutboxCommand
from servers.outboxes import Outboxes, mail
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import Dsn, Find, Put, RetryPolicy, SendMail, SendSuccess
from pykka_smtp.testing import Server, defer

EML = b"""\
From: Ann <ann@example.com>\r
To: you@example.org, "Bob" <bob@example.org>\r
Cc: you@example.org\r
Subject: Hello\r
Message-ID: <1@example.com>\r
Date: Mon, 01 Jan 2024 00:00:00 +0000\r
\r
1 2 3\r
"""


@pytest.fixture
def filled(outboxes: Outboxes) -> Path:
    ref = outboxes.start()
    ref.ask(
        Put(mail(1, subject="Grüße", body="Hällo", cc=["c@x.test"], bcc=["b@x.test"]), key="one")
    )
    complete = SendMail(
        sender="me@example.com",
        recipients="you@example.org",
        message=EML,
        dsn=Dsn(notify="never"),
        id="mail-2",
    )
    ref.ask(Put(complete, priority=3, at_least_once=False))
    for number in range(3, 60):
        ref.ask(Put(mail(number, body=f"{number} " * 200)), block=False)
    ref.ask(Put(mail(60)))
    outboxes.stop(ref)
    return outboxes.path


def read(folder: Path, seq: int) -> tuple[bytes, dict[str, Any]]:
    facts = json.loads((folder / f"{seq:08}.json").read_bytes())
    return (folder / f"{seq:08}.eml").read_bytes(), facts


def test_each_email_is_an_eml_and_what_is_known_of_it(
    filled: Path, outbox_command: OutboxCommand, tmp_path: Path
) -> None:
    folder = tmp_path / "out"

    assert outbox_command("export", folder) == 0

    assert outbox_command.out == f"60 emails written into {folder}\n"
    data, facts = read(folder, 1)
    assert data.startswith(b"From: me@example.com\r\nTo: you@example.org\r\nCc: c@x.test\r\n")
    assert data.endswith(b"\r\n\r\nH=C3=A4llo\r\n")
    assert facts["envelope"]["to"] == ["you@example.org", "c@x.test"]
    assert facts["envelope"]["bcc"] == ["b@x.test"]
    assert (facts["key"], facts["alias"], facts["state"]) == ("one", "shop", "ready")
    assert read(folder, 2)[0] == EML
    assert (folder.stat().st_mode & 0o777, (folder / "00000001.eml").stat().st_mode & 0o777) == (
        0o700,
        0o600,
    )


def test_filters_choose_what_is_exported(
    filled: Path, outbox_command: OutboxCommand, tmp_path: Path
) -> None:
    assert outbox_command("export", tmp_path / "a", "--domain", "X.test") == 0
    assert outbox_command("export", tmp_path / "b", "--state", "held") == 0
    assert outbox_command("export", tmp_path / "c", "--older", "1h") == 0

    assert len(list((tmp_path / "a").iterdir())) == 2
    assert list((tmp_path / "b").iterdir()) == list((tmp_path / "c").iterdir()) == []


def test_nothing_is_overwritten(
    filled: Path, outbox_command: OutboxCommand, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()

    assert outbox_command("export", tmp_path / "out") == 73
    assert "is not empty" in outbox_command.err
    assert outbox_command("export", tmp_path / "no" / "folder") == 73


def test_what_can_be_read_of_a_damaged_file_is_exported(
    filled: Path, outbox_command: OutboxCommand, tmp_path: Path
) -> None:
    data = bytearray(filled.read_bytes())
    at = data.index(b"30 30 30 30") // 4096 * 4096
    data[at : at + 4096] = bytes(range(256)) * 16
    filled.write_bytes(data)
    assert outbox_command("check") == 2

    status = outbox_command("export", tmp_path / "out")

    assert status == 65
    assert filled.read_bytes() == data
    facts = [json.loads(one.read_bytes()) for one in (tmp_path / "out").glob("*.json")]
    problems = [one for one in facts if "problem" in one]
    assert len(facts) == 60
    assert 1 <= len(problems) < 30
    assert len(list((tmp_path / "out").glob("*.eml"))) >= 60 - len(problems)
    assert "Traceback" not in outbox_command.err


def test_a_file_of_which_nothing_can_be_read_is_said_so(
    outbox_command: OutboxCommand, tmp_path: Path
) -> None:
    outbox_command.path.write_bytes(b"x" * 8192)

    assert outbox_command("export", tmp_path / "out") == 65
    assert outbox_command.err.count("\n") == 1
    outbox_command.path.unlink()
    assert outbox_command("export", tmp_path / "out") == 66


def test_what_was_exported_is_imported_once_with_all_that_it_had(
    filled: Path, outbox_command: OutboxCommand, tmp_path: Path, outboxes: Outboxes, server: Any
) -> None:
    outbox_command("export", tmp_path / "out")
    files = sorted((tmp_path / "out").glob("*.eml"))
    new = OutboxCommand(tmp_path / "new.db", outbox_command.capsys)

    assert new("import", *files) == 0

    assert new.out.splitlines()[0] == f"{files[0]}: one is put"
    assert new("import", *files) == 0
    assert new.out.splitlines()[-1] == f"{files[-1]}: mail-60 was there already"
    before = {one["key"]: one for one in outbox_command.json("list")}
    after = {one["key"]: one for one in new.json("list")}
    assert before.keys() == after.keys()
    for name in ("id", "alias", "priority", "at_least_once", "sender", "state"):
        assert [one[name] for one in before.values()] == [after[key][name] for key in before]
    assert set(after["one"]["recipients"]) == {"you@example.org", "c@x.test", "b@x.test"}
    outboxes.path = new.path
    outboxes.start(server)
    outcomes = {outcome.mail.id: outcome for outcome in outboxes.wait_for(60)}
    assert isinstance(outcomes["mail-2"], SendSuccess)
    assert outcomes["mail-2"].mail.dsn == Dsn(notify="never")
    assert {EML, (tmp_path / "out" / "00000001.eml").read_bytes()} <= {
        one.data for one in server.mails
    }


def test_a_complete_email_is_sent_to_whom_its_header_names(
    outbox_command: OutboxCommand, tmp_path: Path, outboxes: Outboxes
) -> None:
    file = tmp_path / "a.eml"
    file.write_bytes(EML)

    assert outbox_command("import", file) == 0
    assert outbox_command("import", file) == 0

    assert outbox_command.out == f"{file}: <1@example.com> was there already\n"
    [found] = outboxes.start().ask(Find(state="ready"))
    assert found.sender == "ann@example.com"
    assert found.recipients == ("you@example.org", "bob@example.org")
    assert (found.key, found.alias, found.at_least_once) == ("<1@example.com>", "outbox", True)


def test_options_say_otherwise(
    outbox_command: OutboxCommand, outboxes: Outboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(EML)))
    words = ["--sender", "<>", "--to", "Zoe <z@example.org>", "--key", "k", "--alias", "news"]

    assert outbox_command("import", "-", *words, "--priority", -2, "--at-most-once") == 0

    [found] = outboxes.start().ask(Find(name="k"))
    assert (found.sender, found.recipients, found.alias) == ("<>", ("z@example.org",), "news")
    assert (found.priority, found.at_least_once) == (-2, False)


def test_what_was_sent_or_has_failed_is_not_put_again_by_itself(
    filled: Path, outbox_command: OutboxCommand, tmp_path: Path
) -> None:
    db = sqlite3.connect(filled)
    reply = json.dumps({"reply": [250, "ok"], "peer": None, "elapsed": 1, "attempts": 1})
    db.execute(
        "UPDATE pykka_smtp_mail SET state = 'told', is_sent = 1, outcome = ? WHERE seq = 1",
        (reply,),
    )
    db.execute("UPDATE pykka_smtp_mail SET state = 'dot' WHERE seq = 2")
    db.commit()
    db.close()
    outbox_command("export", tmp_path / "out")
    files = [tmp_path / "out" / f"{seq:08}.eml" for seq in (1, 2, 3)]
    new = OutboxCommand(tmp_path / "new.db", outbox_command.capsys)

    assert new("import", *files) == 65

    assert "it was sent already" in new.err
    assert "it may have been sent, and must not be twice" in new.err
    assert new.out == f"{files[2]}: mail-3 is put\n"
    assert new("import", "--again", *files) == 0


@pytest.mark.parametrize(
    ("data", "words", "status", "said"),
    [
        (b"", [], 65, "is empty"),
        (b"no header", [], 65, "does not begin with a header field"),
        (EML.replace(b"Cc:", b"Bcc:"), [], 65, "has a Bcc field"),
        (EML.replace(b"To:", b"X-To:").replace(b"Cc:", b"X-Cc:"), [], 65, "no address in To or Cc"),
        (EML, ["--to", "nobody"], 64, "nobody"),
        (EML, ["b.eml", "--key", "k"], 64, "--key names one email"),
        (None, [], 66, "cannot read"),
    ],
)
def test_what_cannot_be_put_is_said_in_a_line(
    outbox_command: OutboxCommand,
    tmp_path: Path,
    data: bytes | None,
    words: list[str],
    status: int,
    said: str,
) -> None:
    file = tmp_path / "a.eml"
    if data is not None:
        file.write_bytes(data)

    assert outbox_command("import", file, *words) == status

    assert said in outbox_command.err
    assert outbox_command.err.count("\n") == 1


def test_a_key_of_another_email_is_said_so_and_the_others_are_put(
    outbox_command: OutboxCommand, tmp_path: Path
) -> None:
    files = [tmp_path / f"{number}.eml" for number in range(3)]
    for number, file in enumerate(files):
        name = f"<{number % 2}@example.com>".encode()
        file.write_bytes(EML.replace(b"<1@example.com>", name) + b"more\r\n" * number)

    assert outbox_command("import", *files) == 65

    assert outbox_command.out.count("is put") == 2
    assert f"{files[2]}: key '<0@example.com>' is that of another email" in outbox_command.err


def test_who_has_an_email_already_does_not_get_it_again_from_another_file(
    outboxes: Outboxes, outbox_command: OutboxCommand, tmp_path: Path
) -> None:
    folder, later = tmp_path / "out", ["later@example.org", "blind@example.org"]
    moods = [defer("RCPT", to=one) for one in later]
    with Server(*moods) as server:
        ref = outboxes.start(server, retry=RetryPolicy(initial_delay=600, at_least_once=True))
        ref.ask(Put(mail(1, recipients=["you@example.org", later[0]], bcc=later[1])))
        assert wait_until(lambda: ref.ask(Find())[0].attempts == 1, PATIENCE)
        outboxes.stop(ref)
        assert server.accepted == 1

    assert outbox_command("export", folder) == 0

    envelope = read(folder, 1)[1]["envelope"]
    assert (envelope["to"], envelope["bcc"]) == (later[:1], later[1:])
    outbox_command.path = tmp_path / "new.db"
    assert outbox_command("import", folder / "00000001.eml") == 0
    [found] = outbox_command.json("list")
    assert found["recipients"] == later

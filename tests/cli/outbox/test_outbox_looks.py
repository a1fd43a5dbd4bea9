"""``pykka-smtp outbox list`` and ``show``: looks that change nothing."""

import datetime as dt
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from servers.outbox_fixtures import OutboxCommand
from servers.outboxes import Outboxes, mail
from servers.require import require_root

from pykka_smtp import Put


def full(outboxes: Outboxes) -> None:
    """Put four emails; nobody sends them, and their process is gone."""
    ref = outboxes.start()
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=2)
    ref.ask(Put(mail(1, recipients=["a@x.test", "b@y.test"]), key="one"))
    ref.ask(Put(mail(2, recipients="a@X.test", context={"order": 7}), key="two", not_before=later))
    ref.ask(Put(mail(3, recipients=[f"u{n}@z.test" for n in range(9)], body="Grüße")))
    ref.ask(Put(mail(4, recipients="a@notx.test"), priority=5))
    outboxes.stop(ref)


def age(path: Path, minutes: float, key: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute(
            "UPDATE pykka_smtp_mail SET put_at = put_at - ? WHERE key = ?", (minutes * 60, key)
        )
    db.close()


def test_each_email_is_a_line_and_the_counts_are_the_last(
    outboxes: Outboxes, outbox_command: OutboxCommand
) -> None:
    full(outboxes)

    assert outbox_command("list") == 0

    lines = outbox_command.out.splitlines()
    assert lines[1].endswith("one  me@example.com > a@x.test, b@y.test")
    assert "next in 1h" in lines[3] or "next in 2h" in lines[3]
    assert "u2@z.test and 6 more" in lines[4]
    assert lines[-1] == "4 emails in the file: 4 ready"
    assert outbox_command.err == ""


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (["--domain", "x.test"], ["one", "two"]),
        (["--domain", "Y.TEST"], ["one"]),
        (["--to", "u8@"], ["mail-3"]),
        (["--older", "1h"], ["two"]),
        (["--alias", "shop"], ["one", "two", "mail-3", "mail-4"]),
        (["--alias", "other"], []),
        (["--state", "held"], []),
        (["--state", "held", "--state", "ready", "--limit", 2], ["one", "two"]),
        (["--domain", "x.test", "--limit", 1], ["one"]),
    ],
)
def test_filters_choose_by_state_age_domain_address_and_alias(
    outboxes: Outboxes, outbox_command: OutboxCommand, arguments: list[Any], keys: list[str]
) -> None:
    full(outboxes)
    age(outbox_command.path, 90, "two")

    assert outbox_command("list", "--keys", *arguments) == 0
    assert outbox_command.out.split() == keys
    assert [one["key"] for one in outbox_command.json("list", *arguments)] == keys


def test_the_shape_counts_by_domain_and_age(
    outboxes: Outboxes, outbox_command: OutboxCommand
) -> None:
    full(outboxes)
    age(outbox_command.path, 15, "one")
    age(outbox_command.path, 5_000, "two")

    assert outbox_command("list", "--shape") == 0

    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in outbox_command.out.splitlines()}
    assert rows["T"] == "5 10 20 40 80 160 320 640 1280 1280+"
    assert rows["TOTAL"] == "4 2 0 1 0 0 0 0 0 0 1"
    assert rows["x.test"] == "2 0 0 1 0 0 0 0 0 0 1"
    assert rows["z.test"] == "1 1 0 0 0 0 0 0 0 0 0"
    shape = outbox_command.json("list", "--shape")
    assert shape["domains"]["x.test"] == [0, 0, 1, 0, 0, 0, 0, 0, 0, 1]


def test_times_in_json_are_iso_8601_in_utc(
    outboxes: Outboxes, outbox_command: OutboxCommand
) -> None:
    full(outboxes)

    [two] = outbox_command.json("list", "--to", "a@X.test", "--state", "ready", "--alias", "shop")[
        1:
    ]

    assert dt.datetime.fromisoformat(two["due"]) > dt.datetime.now(dt.UTC)
    assert two["put_at"].endswith("Z")


def test_show_says_all_but_the_body(outboxes: Outboxes, outbox_command: OutboxCommand) -> None:
    full(outboxes)

    assert outbox_command("show", "two") == 0

    facts = dict(line.split(None, 1) for line in outbox_command.out.splitlines())
    assert facts["key"] == "two"
    assert facts["id"] == "mail-2"
    assert facts["state"] == "ready"
    assert facts["promise"] == "at least once"
    assert json.loads(facts["context"]) == {"order": 7}
    assert "1 2 3 4 5 6" not in outbox_command.out
    shown = outbox_command.json("show", "mail-2")
    assert (shown["key"], shown["context"], shown["outcome"]) == ("two", {"order": 7}, None)


def test_with_body_it_prints_the_email_alone(
    outboxes: Outboxes, outbox_command: OutboxCommand
) -> None:
    full(outboxes)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pykka_smtp",
            "outbox",
            "show",
            outbox_command.path,
            "mail-3",
            "--body",
        ],
        capture_output=True,
        check=True,
    )

    assert done.stdout.startswith(b"From: me@example.com\r\n")
    assert done.stdout.endswith(b"\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n")


def test_a_look_is_no_life_and_leaves_the_file_as_it_is(
    outboxes: Outboxes, outbox_command: OutboxCommand
) -> None:
    full(outboxes)
    before = outbox_command.path.read_bytes()

    for words in (["list"], ["list", "--shape"], ["show", "one"], ["check"]):
        assert outbox_command(*words) == 0

    assert outbox_command.path.read_bytes() == before
    assert not list(outbox_command.path.parent.glob("*-life-*"))


def test_what_is_looked_at_while_a_process_works_is_right(
    outboxes: Outboxes, outbox_command: OutboxCommand, server: Any
) -> None:
    ref = outboxes.start(server)
    for number in range(20):
        ref.tell(mail(number))
    outboxes.wait_for(20)

    outboxes.wait_until(lambda: outbox_command("list", "--state", "heard", "--keys") == 0)

    assert outbox_command("list") == 0
    assert outbox_command("show", "mail-7") == 0
    assert "accepted: you@example.org" in outbox_command.out or "heard, sent" in outbox_command.out


def test_text_of_strangers_does_not_reach_a_terminal(
    outboxes: Outboxes, outbox_command: OutboxCommand
) -> None:
    ref = outboxes.start()
    ref.ask(Put(mail(1, subject="fine"), key="one"))
    outboxes.stop(ref)
    with sqlite3.connect(outbox_command.path) as db:
        db.execute(
            "UPDATE pykka_smtp_mail SET past = ?",
            (json.dumps({"last": {"reply": [450, "\x1b[2Jgone"]}, "left": [], "count": 1}),),
        )
    db.close()

    outbox_command("list")

    assert "\x1b" not in outbox_command.out
    assert "450 \\x1b[2Jgone" in outbox_command.out


@pytest.mark.parametrize("command", ["list", "check", "show", "hold", "retry", "cancel", "release"])
def test_no_file_is_one_line_and_makes_none(outbox_command: OutboxCommand, command: str) -> None:
    more = ["x"] if command not in {"list", "check"} else []

    status = outbox_command(command, *more)

    assert status == (2 if command == "check" else 66)
    said = outbox_command.err + outbox_command.out
    assert "there is no such file" in said
    assert "Traceback" not in said
    assert list(outbox_command.path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_bytes(b"x" * 8192), "is no outbox"),
        (lambda path: path.write_bytes(b""), "is no outbox"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: sqlite3.connect(path).execute("CREATE TABLE t (x)").close(), "is no outbox"),
    ],
)
def test_what_is_no_outbox_is_named_and_left_as_it_is(
    outbox_command: OutboxCommand, make: Any, words: str
) -> None:
    make(outbox_command.path)

    assert outbox_command("list") == 65
    assert outbox_command.err.count("\n") == 1
    assert words in outbox_command.err
    assert outbox_command("check") == 2


def test_a_newer_file_is_refused_by_every_command(
    outboxes: Outboxes, outbox_command: OutboxCommand
) -> None:
    full(outboxes)
    with sqlite3.connect(outbox_command.path) as db:
        db.execute("UPDATE pykka_smtp_meta SET value = '99' WHERE key = 'version'")
        db.execute("PRAGMA user_version = 99")
    db.close()

    for words in (["list"], ["show", "one"], ["hold", "one"]):
        assert outbox_command(*words) == 65
        assert "newer pykka-smtp" in outbox_command.err
        assert outbox_command.err.count("\n") == 1


def test_an_unknown_key_is_said_so(outboxes: Outboxes, outbox_command: OutboxCommand) -> None:
    full(outboxes)

    assert outbox_command("show", "nothing") == 66
    assert "no email with the key or id nothing" in outbox_command.err


def test_a_key_of_two_aliases_needs_the_alias(
    outboxes: Outboxes, outbox_command: OutboxCommand
) -> None:
    for alias in ("shop", "news"):
        ref = outboxes.start(alias=alias)
        ref.ask(Put(mail(1, id=f"id-{alias}"), key="same"))
        outboxes.stop(ref)

    assert outbox_command("show", "same") == 66
    assert "shop, news" in outbox_command.err
    assert outbox_command("show", "same", "--alias", "news") == 0
    assert "id-news" in outbox_command.out


def test_a_copy_that_cannot_be_written_can_be_read(
    outboxes: Outboxes, outbox_command: OutboxCommand, tmp_path: Path
) -> None:
    require_root()
    full(outboxes)
    assert outbox_command("list") == 0  # what is imported late may not be readable to others
    folder = tmp_path / "copies"
    folder.mkdir()
    copy = OutboxCommand(folder / "copy.db", outbox_command.capsys)
    copy.path.write_bytes(outbox_command.path.read_bytes())
    copy.path.chmod(0o444)
    folder.chmod(0o555)
    for parent in folder.parents:
        if parent.stat().st_mode & 0o777 == 0o700:  # pytest's own
            parent.chmod(0o755)
    os.seteuid(65534)
    try:
        status = copy("list", "--keys")
        refused = copy("hold", "one")
    finally:
        os.seteuid(0)

    assert (status, refused) == (0, 77)
    assert copy.err.count("\n") == 1

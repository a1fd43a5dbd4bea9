"""What docs/outbox-operations.md says is true: its commands are right, its errors are ours."""

import argparse
import configparser
import contextlib
import re
import shlex
import sqlite3
from pathlib import Path

import pytest
from servers.outboxes import Outboxes, mail

from pykka_smtp import Find, Put
from pykka_smtp.cli.main import _build_parser
from pykka_smtp.testing import Server

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "outbox-operations.md").read_text()
SOURCES = "".join(
    path.read_text() for path in sorted((ROOT / "actors" / "outbox").rglob("*.py"))
).replace('"\n            f"', "")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [line for block in blocks("console") for line in block.splitlines()]
    words = re.findall(r"`(pykka-smtp outbox [^`]*)`", PAGE)
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")] + words


@pytest.mark.parametrize(
    "line", sorted({line for line in commands() if line.startswith("pykka-smtp")})
)
def test_each_command_of_ours_is_one(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    if not any(".db" in word for word in words):  # in the text, the name alone
        words.insert(2, "mail.db")

    try:
        options = _build_parser().parse_args(words)
    except SystemExit:
        pytest.fail(f"no such command: {line}")
    assert isinstance(options, argparse.Namespace)


def test_the_unit_gives_emails_in_flight_the_time_that_they_have() -> None:
    [unit] = blocks("ini")
    parser = configparser.ConfigParser()
    parser.read_string(unit)
    program, *words = shlex.split(parser["Service"]["ExecStart"])
    options = _build_parser().parse_args(words)

    assert program.endswith("/pykka-smtp")
    assert int(parser["Service"]["TimeoutStopSec"]) > options.grace + 5


def test_a_backup_made_while_emails_are_put_has_every_receipt(
    outboxes: Outboxes, tmp_path: Path
) -> None:
    assert '$ sqlite3 mail.db ".backup copy.db"\n' in PAGE
    ref = outboxes.start()
    copy = tmp_path / "elsewhere" / "mail.db"
    copy.parent.mkdir()
    for number in range(20):
        ref.ask(Put(mail(number)))
    with (
        contextlib.closing(sqlite3.connect(f"file:{outboxes.path}?mode=ro", uri=True)) as db,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        db.backup(target)  # as ".backup" does
    ref.ask(Put(mail(20)))

    with Outboxes(copy.parent) as others:
        found = others.start().ask(Find())
    assert {one.id for one in found} == {f"mail-{number}" for number in range(20)}


def test_a_copy_of_the_file_alone_lacks_what_is_in_the_log(
    outboxes: Outboxes, tmp_path: Path
) -> None:
    ref = outboxes.start()
    ref.ask(Put(mail(1)))
    copy = tmp_path / "copy.db"
    copy.write_bytes(outboxes.path.read_bytes())

    with contextlib.closing(sqlite3.connect(copy)) as db:
        [count] = db.execute("SELECT count(*) FROM pykka_smtp_mail").fetchone()
    assert count == 0


def test_an_outbox_that_was_moved_with_its_log_sends_on(outboxes: Outboxes, tmp_path: Path) -> None:
    outboxes.stop(outboxes.start())
    ref = outboxes.start()
    ref.ask(Put(mail(1)))
    outboxes.stop(ref)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("mail.db", "mail.db-wal"):
        with contextlib.suppress(FileNotFoundError):
            (tmp_path / name).rename(elsewhere / name)

    with Server() as server, Outboxes(elsewhere) as others:
        others.start(server)
        [outcome] = others.wait_for(1)
    assert (outcome.mail.id, server.accepted) == ("mail-1", 1)


def advice() -> list[str]:
    [_, rest] = PAGE.split("| what you see | what it means | what to do |\n")
    return [line.split(" | ")[0].strip("| ") for line in rest.partition("\n\n")[0].splitlines()[1:]]


@pytest.mark.parametrize("seen", [seen for seen in advice() if seen.startswith('"')])
def test_each_error_in_the_table_is_one_that_is_raised(seen: str) -> None:
    words = re.split(r"mail\.db(?:-wal)?|nfs|…", seen.strip('"'))
    for part in filter(None, (word.strip() for word in words)):
        assert re.sub(r"\s+", " ", part) in re.sub(r"\s+", " ", SOURCES), seen


def test_the_table_has_every_error_that_can_be_met() -> None:
    assert len(advice()) >= 15
    assert sum(seen.startswith('"') for seen in advice()) >= 9

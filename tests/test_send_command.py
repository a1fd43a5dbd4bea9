"""``pykka-smtp send``, against real servers: in this process, and as a program."""

import csv
import io
import json
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from servers.conn import Conn
from servers.polite import polite
from servers.require import require_module
from servers.scripted import ScriptedServer
from servers.sink import AiosmtpdServer

from pykka_smtp import Mailer, RetryPolicy, send_command, send_progress, send_run
from pykka_smtp import __main__ as command_line
from pykka_smtp.actors import connect as connect_module
from pykka_smtp.actors.connection_limit import connection_limit
from pykka_smtp.send_interrupts import Interrupts
from pykka_smtp.send_report import Report
from pykka_smtp.send_results import NAMES

ROOT = Path(__file__).parents[1]
MAIL = b"From: Me <me@example.com>\nTo: all@example.org\nSubject: News\n\nHello\n.\nBye\n"
ON_THE_WIRE = MAIL.replace(b"\n", b"\r\n")
PASSWORD = "hunter2-hunter2"
PATIENCE = 20  # seconds; reached only by a test that fails

Start = Callable[..., ScriptedServer]


@pytest.fixture(autouse=True)
def no_relay_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMTP_URL", raising=False)
    monkeypatch.delenv("SMTP_BACKUP_URLS", raising=False)


@pytest.fixture
def mail(tmp_path: Path) -> str:
    file = tmp_path / "mail.eml"
    file.write_bytes(MAIL)
    return str(file)


@pytest.fixture
def to_file(tmp_path: Path) -> Callable[[str | bytes], str]:
    def write(text: str | bytes) -> str:
        file = tmp_path / "recipients.txt"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(file)

    return write


def many(count: int) -> str:
    return "".join(f"u{number}@x.test\n" for number in range(count))


def url_of(server: ScriptedServer | AiosmtpdServer, query: str = "") -> str:
    return f"smtp://{server.host}:{server.port}{query}"


def dead_url() -> str:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        return f"smtp://127.0.0.1:{nobody.getsockname()[1]}"


def send(*arguments: str) -> int:
    """Run the command in this process, and return its exit status."""
    try:
        return command_line.main(["send", *arguments])
    except SystemExit as exited:  # as argparse does
        return int(exited.code or 0)


def rows_of(file: Path) -> dict[str, dict[str, Any]]:
    """Read a report, and see that it has one row for each address."""
    with file.open(newline="") as opened:
        rows = json.load(opened) if file.suffix == ".json" else list(csv.DictReader(opened))
    by_address = {row["address"]: row for row in rows}
    assert len(by_address) == len(rows)
    return by_address


# To whom, and what.


def test_each_recipient_gets_a_mail_of_its_own_octet_for_octet(
    aiosmtpd_server: Callable[..., AiosmtpdServer],
    mail: str,
    to_file: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = aiosmtpd_server()

    status = send("--url", url_of(server), "--to-file", to_file(many(30)), mail)

    assert status == 0
    assert sorted(mail.recipients for mail in server.mails) == sorted(
        [(f"u{number}@x.test",) for number in range(30)]
    )
    assert {(mail.sender, mail.data) for mail in server.mails} == {("me@example.com", ON_THE_WIRE)}
    printed, complaints = capsys.readouterr()
    first, accepted, *others = printed.splitlines()
    assert re.fullmatch(r"recipients  30  in \d+\.\d s, \d+\.\d/s", first)
    assert accepted == "accepted    30"
    assert others == ["refused      0", "failed       0", "maybe        0"]
    assert complaints == ""


def test_together_is_one_mail_with_all_recipients(
    aiosmtpd_server: Callable[..., AiosmtpdServer], mail: str, tmp_path: Path
) -> None:
    server = aiosmtpd_server(replies={"no@x.test": "550 5.1.1 who?"})
    report = tmp_path / "report.json"
    to = [f"--to={name}@x.test" for name in ("a", "no", "b")]

    status = send("--url", url_of(server), *to, "--together", "--report", str(report), mail)

    assert status == 69
    [received] = server.mails
    assert received.recipients == ("a@x.test", "b@x.test")
    assert {a: row["result"] for a, row in rows_of(report).items()} == {
        "a@x.test": "accepted",
        "no@x.test": "refused",
        "b@x.test": "accepted",
    }


def test_lines_are_read_as_people_and_other_systems_write_them(
    scripted_server: Start, mail: str, to_file: Callable[..., str]
) -> None:
    server = scripted_server()
    text = b"\xef\xbb\xbfa@x.test\r\n\n  # a comment@x.test\n\t b@x.test \n#" + b"x" * 5000 + b"\n"

    status = send(
        *("--url", url_of(server), "--to", "first@x.test", "--connections", "1"),
        *("--to-file", to_file(text + b"postmaster"), mail),
    )

    assert status == 0
    assert [mail.recipients for mail in server.mails] == [
        (address,) for address in ("first@x.test", "a@x.test", "b@x.test", "postmaster")
    ]


def test_bad_lines_are_told_by_their_numbers_before_anything_is_sent(
    scripted_server: Start,
    mail: str,
    to_file: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = scripted_server()
    lines = [b"a@x.test", b"# fine", b"nobody", b"b@x.test c@x.test", b"\xff@x.test", b"d@x.test"]
    long = b"e@x.test" + b" " * 2000 + b"f@x.test"
    name = to_file(b"\n".join([*lines, long, b"g@x.test", b"h@@x.test"]))

    status = send("--url", url_of(server), "--to-file", name, mail)

    assert status == 65
    assert server.sessions == []
    printed, complaints = capsys.readouterr()
    assert printed == ""
    told = re.findall(rf"pykka-smtp send: {re.escape(name)}, line (\d+): (.*)", complaints)
    assert [int(number) for number, _ in told] == [3, 4, 5, 7, 9]
    assert told[0][1] == "invalid address 'nobody': it has no \"@\""
    assert told[2][1] == "not UTF-8"
    assert told[3][1] == "longer than 1000 octets"
    assert complaints.endswith("pykka-smtp send: nothing was sent\n")


def test_of_very_many_bad_lines_the_first_are_told_and_the_others_counted(
    mail: str, to_file: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert send("--url", dead_url(), "--to-file", to_file("bad\n" * 1000), mail) == 65

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 22
    assert lines[20] == "pykka-smtp send: 980 more lines are no addresses"


def test_a_file_that_names_nobody_is_bad_data(
    mail: str, to_file: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert send("--url", dead_url(), "--to-file", to_file("# later\n\n"), mail) == 65
    assert "names nobody" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["mail", "recipients"])
def test_mail_or_recipients_can_come_from_stdin(
    scripted_server: Start,
    mail: str,
    to_file: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    server = scripted_server()
    octets = MAIL if what == "mail" else b"u0@x.test\nu1@x.test\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(octets)))
    arguments = ["--to-file", to_file(many(2)), "-"] if what == "mail" else ["--to-file=-", mail]

    assert send("--url", url_of(server), *arguments) == 0
    assert {mail.data for mail in server.mails} == {ON_THE_WIRE}
    assert server.accepted == 2


def test_both_from_stdin_or_a_closed_stdin_cannot_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert send("--url", dead_url(), "--to-file", "-", "-") == 64
    assert "only one of mail and recipients can come from stdin" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", None)
    assert send("--url", dead_url(), "--to", "a@x.test", "-") == 66
    assert "cannot read stdin" in capsys.readouterr().err


def test_nobody_to_send_to_is_wrong_usage(mail: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert send("--url", dead_url(), mail) == 64
    assert capsys.readouterr().err == (
        "pykka-smtp send: name the recipients with --to-file or --to\n"
    )


@pytest.mark.parametrize(
    ("field", "sender"),
    [
        ("From: me@example.com", "me@example.com"),
        ("from:me@example.com", "me@example.com"),
        ("From: My Name <me@example.com>", "me@example.com"),
        ('From: "Name, My <x@y.test>" <me@example.com>', "me@example.com"),
        ("From: =?utf-8?q?M=C3=A9?=\n <me@example.com>", "me@example.com"),
        ("From: Me\r\n\t<me@example.com>", "me@example.com"),
        ("From: me@example.com (Cron Daemon)", "me@example.com"),
        ('From: <"m e"@example.com>', '"m e"@example.com'),
        ("X-First: from: a@b.test\nFrom: Mé <me@example.com>", "me@example.com"),
    ],
)
def test_the_sender_is_the_address_in_from_as_it_stands_there(
    scripted_server: Start, tmp_path: Path, field: str, sender: str
) -> None:
    server = scripted_server(polite("8BITMIME"))
    file = tmp_path / "mail.eml"
    file.write_bytes(f"{field}\nSubject: x\n\nFrom: body@example.com\n".encode())

    assert send("--url", url_of(server), "--to", "a@x.test", str(file)) == 0
    assert [mail.sender for mail in server.mails] == [sender]


@pytest.mark.parametrize(
    ("field", "complaint"),
    [
        ("Subject: x", "has 0 From fields"),
        ("From: a@x.test\nFrom: b@x.test", "has 2 From fields"),
        ("From: a@x.test, b@x.test", "has not exactly one address in From"),
        ("From: A <a@x.test>, B <b@x.test>", "has not exactly one address in From"),
        ("From: Some People:;", "has not exactly one address in From"),
        ("From: nobody", "has a From field with an invalid address 'nobody'"),
        ("From: <>", "has a From field with an invalid address ''"),
        (b"From: M\xe9 <me@example.com>", "has a From field that is not UTF-8"),
    ],
)
def test_a_mail_without_one_address_in_from_needs_a_sender(
    scripted_server: Start,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    field: str | bytes,
    complaint: str,
) -> None:
    server = scripted_server(polite("8BITMIME"), polite("8BITMIME"))
    file = tmp_path / "mail.eml"
    file.write_bytes((field if isinstance(field, bytes) else field.encode()) + b"\n\nHello\n")
    common = ("--url", url_of(server), "--to", "a@x.test", str(file))

    assert send(*common) == 65
    complaints = capsys.readouterr().err
    assert complaint in complaints
    assert complaints.endswith("name the sender with --sender\n")
    assert server.sessions == []
    assert send("--sender", "<>", *common) == 0
    assert [mail.sender for mail in server.mails] == [""]


def test_a_sender_that_is_no_address_is_wrong_usage(
    mail: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert send("--url", dead_url(), "--to", "a@x.test", "--sender", "me", mail) == 64
    assert "--sender: invalid address 'me'" in capsys.readouterr().err
    assert send("--url", dead_url(), "--to", "you", mail) == 64
    assert "--to: invalid address 'you'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("octets", "complaint"),
    [
        (b"", "is empty"),
        (b"Hello\n", "does not begin with a header field"),
        (b"\nFrom: a@x.test\n", "does not begin with a header field"),
        (b"From a@x.test Mon Nov 23\nFrom: a@x.test\n\n", "does not begin with a header field"),
        (b"From: a@x.test\nBCC: secret@x.test\n\n", "has a Bcc field"),
        (b"From: a@x.test\n\n" + b"x" * 200, "is longer than 100 octets"),
    ],
)
def test_what_is_no_mail_is_bad_data(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    octets: bytes,
    complaint: str,
) -> None:
    monkeypatch.setattr("pykka_smtp.send_mail_file.MAX_MAIL", 100)
    file = tmp_path / "mail.eml"
    file.write_bytes(octets)

    assert send("--url", dead_url(), "--to", "a@x.test", str(file)) == 65
    assert f"{file} {complaint}" in capsys.readouterr().err


def test_what_few_servers_take_is_warned_of(
    scripted_server: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = scripted_server()
    file = tmp_path / "mail.eml"
    file.write_bytes(b"From: a@x.test\n\n" + b"x" * 1500)

    status = send("--url", url_of(server), "--to", "a@x.test", "--dry-run", str(file))

    assert status == 0
    assert "has a line of 1500 octets; only servers with BINARYMIME" in capsys.readouterr().err


@pytest.mark.parametrize("which", ["mail", "recipients"])
def test_what_cannot_be_read_is_no_input(
    mail: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], which: str
) -> None:
    nowhere = str(tmp_path / "nowhere")
    to, file = ("--to=a@x.test", nowhere) if which == "mail" else (f"--to-file={nowhere}", mail)

    assert send("--url", dead_url(), to, file) == 66
    assert capsys.readouterr().err == (
        f"pykka-smtp send: cannot read {nowhere}: No such file or directory\n"
    )
    assert send("--url", dead_url(), "--to=a@x.test", str(tmp_path)) == 66


# By which way.


def test_the_url_of_the_environment_is_used_where_none_is_given(
    scripted_server: Start, mail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, other = scripted_server(), scripted_server()
    monkeypatch.setenv("SMTP_URL", url_of(server))

    assert send("--to", "a@x.test", mail) == 0
    assert send("--url", url_of(other), "--to", "a@x.test", mail) == 0
    assert (server.accepted, other.accepted) == (1, 1)


def test_no_url_at_all_is_wrong_usage(mail: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert send("--to", "a@x.test", mail) == 64
    assert capsys.readouterr().err == (
        "pykka-smtp send: needs a relay URL: in SMTP_URL, or as --url\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--url", f"smtp://me:{PASSWORD}@mx.test:port", "--to", "a@x.test", "mail.eml"],
        ["--url", f"smtp://me:{PASSWORD}@mx.test?tiemout=3", "--to", "a@x.test", "mail.eml"],
        ["--url", dead_url(), "--backup", f"http://me:{PASSWORD}@mx.test", "--to=a@x.test", "x"],
        ["--to", "a@x.test", "mail.eml", f"smtp://me:{PASSWORD}@mx.test"],
        ["--to", "a@x.test", f"smtp://me:{PASSWORD}@mx.test"],
        ["--url", dead_url(), "--to", "a@x.test", f"smtp://me:{PASSWORD}@mx.test"],
        ["--url", dead_url(), "--to-file", f"smtp://me:{PASSWORD}@mx.test", __file__],
    ],
)
def test_a_url_that_is_wrong_or_in_the_wrong_place_is_not_shown_with_its_password(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert send(*arguments) in {64, 65, 66}

    printed, complaints = capsys.readouterr()
    assert complaints.startswith("pykka-smtp")
    assert PASSWORD not in printed + complaints


def test_a_wrong_url_in_the_environment_is_told_by_the_name_of_the_variable(
    mail: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_URL", dead_url())
    monkeypatch.setenv("SMTP_BACKUP_URLS", f"{dead_url()} smtp://me:{PASSWORD}/x@mx.test")

    assert send("--to", "a@x.test", mail) == 64
    complaints = capsys.readouterr().err
    assert complaints.startswith("pykka-smtp send: SMTP_BACKUP_URLS: relay URL 'smtp://me:***")
    assert PASSWORD not in complaints


def test_what_is_not_installed_is_told_in_one_line(
    mail: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(**_options: object) -> None:
        raise ImportError("proxy: needs python-socks; pip install 'pykka-smtp[proxy]'")

    monkeypatch.setattr("pykka_smtp.send_checks.collect_options", missing)

    assert send("--url", "smtp://mx.test", "--to", "a@x.test", mail) == 69
    assert capsys.readouterr().err.endswith("pip install 'pykka-smtp[proxy]'\n")


@pytest.mark.parametrize("where", ["argument", "environment"])
def test_a_backup_takes_the_mail_when_the_first_relay_is_not_there(
    scripted_server: Start, mail: str, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    server = scripted_server()
    arguments = ["--to", "a@x.test", mail]
    if where == "argument":
        arguments = ["--url", dead_url(), "--backup", url_of(server), *arguments]
    else:
        monkeypatch.setenv("SMTP_URL", dead_url())
        monkeypatch.setenv("SMTP_BACKUP_URLS", f" {dead_url()}  {url_of(server)}\n")

    assert send(*arguments) == 0
    assert server.accepted == 1


def test_backups_of_the_environment_are_not_for_another_relay(
    mail: str, scripted_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = scripted_server()
    monkeypatch.setenv("SMTP_BACKUP_URLS", url_of(server))

    assert send("--url", dead_url(), "--to", "a@x.test", mail) == 75
    assert server.sessions == []


def test_the_rate_is_kept_to(
    scripted_server: Start, mail: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server = scripted_server()
    to = [f"--to=u{number}@x.test" for number in range(5)]

    assert send("--url", url_of(server), *to, "--rate", "20/s", mail) == 0
    match = re.search(r" in (\d+\.\d) s", capsys.readouterr().out)
    assert match is not None
    assert float(match[1]) >= 0.2


def test_no_more_connections_are_open_than_allowed_and_the_limit_of_the_process_gives_way(
    scripted_server: Start,
    mail: str,
    to_file: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, many_ = scripted_server(), scripted_server()
    seen: list[tuple[int, int]] = []

    def start(**options: Any) -> Any:
        seen.append((options["max_connections"], connection_limit.limit))
        return Mailer.start(**options)

    before = connection_limit.limit
    monkeypatch.setattr(send_command, "Mailer", type("Mailer", (), {"start": staticmethod(start)}))
    names = to_file(many(20))

    assert send("--url", url_of(one), "--to-file", names, "--connections", "1", mail) == 0
    assert send("--url", url_of(many_), "--to-file", names, "--connections", "300", mail) == 0
    assert len(one.sessions) == 1
    assert seen == [(1, before), (300, 300)]
    assert connection_limit.limit == before


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--rate", "fast", "rate: needs a form as '10/s'"),
        ("--rate", "0/s", "rate: needs more than 0"),
        ("--connections", "0", "needs 1 to 1000, not '0'"),
        ("--connections", "9999999999", "needs 1 to 1000"),
        ("--attempts", "some", "needs 1 to 1000, not 'some'"),
        ("--timeout", "-1", "needs more than 0 seconds, not '-1'"),
        ("--timeout", "soon", "needs more than 0 seconds, not 'soon'"),
        ("--timeout", "inf", "needs more than 0 seconds, not 'inf'"),
    ],
)
def test_a_number_out_of_range_is_wrong_usage(
    mail: str, capsys: pytest.CaptureFixture[str], option: str, value: str, complaint: str
) -> None:
    assert send("--url", dead_url(), "--to", "a@x.test", f"{option}={value}", mail) == 64
    assert complaint in capsys.readouterr().err


def test_the_timeout_counts_for_each_step_and_may_not_be_given_twice(
    scripted_server: Start, mail: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server = scripted_server("S! silence")
    common = ("--to", "a@x.test", "--timeout", "0.2", mail)

    assert send("--url", url_of(server), *common) == 75
    assert "no answer within 0.2 s" in capsys.readouterr().out
    assert send("--url", url_of(server, "?timeout=3"), *common) == 64
    assert "--url has a timeout, too; leave --timeout out" in capsys.readouterr().err


# What became of it.


def dropping(conn: Conn) -> None:
    """Take mails, but hang up after the dot of a mail for maybe@x.test."""
    conn.send("220 mx.test ESMTP")
    whom = ""
    while True:
        line = conn.line()
        match line[:4].upper():
            case "RCPT":
                whom = line
                conn.send("250 2.1.5 Ok")
            case "DATA":
                conn.send("354 go ahead")
                conn.body()
                if "maybe@" in whom:
                    return
                conn.send("250 2.0.0 Ok: queued as 4F2A")
            case "QUIT":
                conn.send("221 Bye")
                return
            case _:
                conn.send("250 Ok")


@pytest.mark.parametrize("suffix", [".csv", ".json", ".JSON"])
def test_the_report_has_a_row_for_each_recipient(
    scripted_server: Start, mail: str, tmp_path: Path, suffix: str
) -> None:
    server = scripted_server(
        polite(
            replies={
                "no@x.test": "550 5.1.1 no such mailbox",
                "later@x.test": "450 4.2.0 greylisted, come back",
                ".": "250 2.0.0 Ok: queued as 4F2A",
            }
        )
    )
    report = tmp_path / f"report{suffix}"
    report.write_text("an older one")
    to = [f"--to={name}@x.test" for name in ("yes", "no", "later", "ü")]

    assert send("--url", url_of(server), *to, "--report", str(report), mail) == 69

    report = report.rename(report.with_suffix(suffix.lower()))
    rows = rows_of(report)
    is_json = report.suffix == ".json"
    no, yes = (False, True) if is_json else ("no", "yes")
    nothing = None if is_json else ""

    def essence(address: str) -> tuple[Any, ...]:
        row = rows[address]
        assert float(row["elapsed"]) >= 0
        names = ("result", "code", "enhanced", "text", "kind", "retryable", "attempts")
        return tuple([row[name] for name in names])

    def number(value: int) -> int | str:
        return value if is_json else str(value)

    one = number(1)
    assert essence("yes@x.test") == (
        *("accepted", number(250), "2.0.0", "2.0.0 Ok: queued as 4F2A", nothing, no, one),
    )
    assert essence("no@x.test") == (
        *("refused", number(550), "5.1.1", "5.1.1 no such mailbox", "SMTP", no, one),
    )
    assert essence("later@x.test") == (
        *("failed", number(450), "4.2.0", "4.2.0 greylisted, come back", "SMTP", yes, one),
    )
    result, code, enhanced, text, kind, retryable, _ = essence("ü@x.test")
    assert (result, code, enhanced, kind, retryable) == ("failed", nothing, nothing, "LOCAL", no)
    assert "SMTPUTF8" in text


def test_a_mail_of_which_nobody_knows_is_told_apart(
    scripted_server: Start, mail: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = scripted_server(dropping)
    report = tmp_path / "report.json"

    status = send(
        *("--url", url_of(server), "--to=a@x.test", "--to=maybe@x.test", "--to=b@x.test"),
        *("--report", str(report), mail),
    )

    rows = rows_of(report)
    printed, complaints = capsys.readouterr()
    assert status == 75
    assert {address: row["result"] for address, row in rows.items()} == {
        "a@x.test": "accepted",
        "maybe@x.test": "maybe",
        "b@x.test": "accepted",
    }
    assert (rows["maybe@x.test"]["kind"], rows["maybe@x.test"]["retryable"]) == (
        "CONNECTION",
        False,
    )
    assert complaints == (
        "pykka-smtp send: 1 recipient may have got the mail, nobody knows;"
        " find out before you send it again\n"
    )
    assert "maybe       1  find out before you send it again\n" in printed
    assert re.search(
        r"^1  CONNECTION at dot, as of maybe@x\.test: .*broke at dot", printed, re.MULTILINE
    )


def test_a_mail_that_is_refused_for_now_is_tried_again_if_more_attempts_are_asked_for(
    scripted_server: Start,
    mail: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[str] = []

    def greylisting(conn: Conn) -> None:
        conn.send("220 mx.test ESMTP")
        while (line := conn.line()) != "QUIT":
            if line == "DATA":
                conn.send("354 go ahead")
                conn.body()
            asked.append(line)
            is_new = line.startswith("RCPT") and asked.count(line) == 1
            conn.send("450 4.2.0 greylisted" if is_new else "250 2.0.0 Ok")
        conn.send("221 Bye")

    monkeypatch.setattr(send_command, "RetryPolicy", partial(RetryPolicy, first=0.01, cap=0.02))
    report = tmp_path / "report.json"
    common = ("--to=a@x.test", "--to=b@x.test", "--report", str(report), mail)

    assert send("--url", url_of(scripted_server(greylisting)), "--attempts", "3", *common) == 0
    assert [row["attempts"] for row in rows_of(report).values()] == [2, 2]
    assert "2 tried again" in capsys.readouterr().out
    asked.clear()
    assert send("--url", url_of(scripted_server(greylisting)), *common) == 75
    assert [row["attempts"] for row in rows_of(report).values()] == [1, 1]


@pytest.mark.parametrize(
    ("replies", "status"),
    [
        ({}, 0),
        ({"b@x.test": "550 5.1.1 who?"}, 69),
        ({"b@x.test": "450 4.2.0 later"}, 75),
        ({"a@x.test": "450 4.2.0 later", "b@x.test": "550 5.1.1 who?"}, 69),
        ({".": "554 5.6.0 spam"}, 69),
        ({".": "451 4.3.0 later"}, 75),
        ({"MAIL": "550 5.1.8 bad sender"}, 69),
        ({"greeting": "554 5.7.1 not you"}, 69),
        ({"greeting": "421 4.3.2 later"}, 75),
        ({"greeting": "HTTP/1.1 400 Bad Request"}, 75),
    ],
)
def test_the_exit_status_says_what_became_of_them(
    scripted_server: Start, mail: str, replies: dict[str, str], status: int
) -> None:
    server = scripted_server(polite(replies=replies))

    assert send("--url", url_of(server), "--to=a@x.test", "--to=b@x.test", mail) == status


def test_a_relay_that_is_not_there_is_tried_once_and_the_others_are_not_tried(
    mail: str, to_file: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.csv"

    status = send(
        "--url", dead_url(), "--to-file", to_file(many(50)), "--report", str(report), mail
    )

    rows = list(rows_of(report).values())
    printed, complaints = capsys.readouterr()
    assert status == 75
    assert re.fullmatch(
        r"pykka-smtp send: stopped: cannot connect to 127\.0\.0\.1:\d+: Connection refused\n",
        complaints,
    )
    assert len(rows) == 50
    assert [rows[0]["kind"], rows[0]["attempts"]] == ["CONNECT", "1"]
    assert {(row["kind"], row["attempts"], row["retryable"]) for row in rows[1:]} == {
        ("CANCELLED", "0", "yes")
    }
    assert rows[1]["text"].startswith("not tried: cannot connect to 127.0.0.1")
    assert "failed      50  of these 50 may pass later" in printed


def test_an_unknown_host_is_no_host(mail: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(_host: str, _port: int) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(connect_module, "_getaddrinfo", look_up)

    assert send("--url", "smtp://no-such-host.test", "--to=a@x.test", "--to=b@x.test", mail) == 68


def test_a_server_that_is_not_safe_is_not_allowed(scripted_server: Start, mail: str) -> None:
    server = scripted_server()

    assert send("--url", url_of(server, "?tls=starttls"), "--to=a@x.test", mail) == 77


def test_a_wrong_password_is_shown_once_however_many_recipients_there_are(
    scripted_server: Start,
    mail: str,
    to_file: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    require_module("trustme")
    import trustme

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    monkeypatch.setattr("pykka_smtp.actors.tls._verifying_context", lambda: trusting)
    server = scripted_server(
        polite("STARTTLS", "AUTH PLAIN", replies={"AUTH": f"535 5.7.8 not {PASSWORD}"}),
        context=context,
    )
    report = tmp_path / "report.csv"

    status = send(
        *("--url", f"smtp://me:{PASSWORD}@{server.host}:{server.port}"),
        *("--to-file", to_file(many(100)), "--report", str(report), mail),
    )

    printed, complaints = capsys.readouterr()
    assert status == 77
    assert len(server.sessions) == 1
    assert "refused the credentials: 535 5.7.8 not ***" in complaints
    assert PASSWORD not in printed + complaints + report.read_text()
    rows = rows_of(report)
    assert len(rows) == 100
    # It was not the recipient that was refused.
    assert {row["result"] for row in rows.values()} == {"failed"}


def test_a_relay_that_dies_amid_many_mails_ends_the_run(
    scripted_server: Start,
    mail: str,
    to_file: Callable[..., str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    two_mails = """
        S: 220 mx.test
        C: EHLO *
        S: 250 mx.test
        C: MAIL FROM:*
        S: 250 Ok
        C: RCPT TO:*
        S: 250 Ok
        C: DATA
        S: 354 go
        C: <data>
        S: 250 Ok
    """
    server = scripted_server(two_mails, "S! close")
    report = tmp_path / "report.csv"

    status = send(
        *("--url", url_of(server), "--to-file", to_file(many(5000))),
        *("--report", str(report), mail),
    )

    rows = list(rows_of(report).values())
    assert status == 75
    assert len(rows) == 5000
    assert [row["result"] for row in rows].count("accepted") == 1
    assert any(row["text"].startswith("not tried: ") for row in rows)
    assert "pykka-smtp send: stopped: " in capsys.readouterr().err


def test_the_queue_of_the_mailer_never_overflows(
    scripted_server: Start,
    mail: str,
    to_file: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Twice as many may be queued: who told it more would get LOCAL failures.
    monkeypatch.setattr(send_run, "AHEAD", 3)
    monkeypatch.setattr(send_command, "AHEAD", 3)
    server = scripted_server()

    status = send(
        "--url", url_of(server), "--to-file", to_file(many(200)), "--connections", "2", mail
    )

    assert (status, server.accepted) == (0, 200)


def test_a_mailer_that_has_died_is_told_and_nothing_waits_for_it(
    scripted_server: Start,
    mail: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def start(**options: Any) -> Any:
        mailer = Mailer.start(**options)
        mailer.stop()
        return mailer

    monkeypatch.setattr(send_command, "Mailer", type("Mailer", (), {"start": staticmethod(start)}))

    assert send("--url", url_of(scripted_server()), "--to=a@x.test", mail) == 75
    assert "the Mailer has died" in capsys.readouterr().err


# The report's file.


def test_a_report_that_cannot_be_created_is_told_before_anything_is_sent(
    scripted_server: Start, mail: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = scripted_server()
    report = tmp_path / "nowhere" / "report.csv"
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    common = ("--url", url_of(server), "--to=a@x.test", mail)

    assert send("--report", str(report), *common) == 73
    assert f"cannot write {report}: No such file or directory" in capsys.readouterr().err
    assert send("--report", str(folder), *common) == 73
    assert send("--report", "report.xls", *common) == 64
    assert "needs a name that ends in .csv or .json" in capsys.readouterr().err
    assert server.sessions == []


def test_the_report_does_not_replace_what_it_is_about(
    tmp_path: Path, mail: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recipients, link = tmp_path / "to.csv", tmp_path / "link.csv"
    recipients.write_text("a@x.test\n")
    link.symlink_to(recipients)

    status = send("--url", dead_url(), "--to-file", str(recipients), "--report", str(link), mail)

    assert status == 64
    assert "would replace" in capsys.readouterr().err
    assert recipients.read_text() == "a@x.test\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_report_that_cannot_be_written_on_ends_the_run_and_says_who_has_the_mail(
    scripted_server: Start,
    mail: str,
    to_file: Callable[..., str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = scripted_server()
    full = tmp_path / "report.csv"
    full.symlink_to("/dev/full")

    status = send(
        *("--url", url_of(server), "--to-file", to_file(many(5000))),
        *("--report", str(full), "--rate", "2000/s", mail),
    )

    complaints = capsys.readouterr().err
    told = re.findall(r"perhaps not in the report: (\S+) (accepted|maybe)\n", complaints)
    assert status == 74
    assert "stopped: the report can't be written: No space left on device" in complaints
    assert server.accepted < 5000
    assert {address for address, _ in told} == {mail.recipients[0] for mail in server.mails}


def test_a_json_report_of_nobody_is_still_json(tmp_path: Path) -> None:
    file = tmp_path / "report.json"

    Report(file).close()

    assert json.loads(file.read_text()) == []


# What is told.


def test_a_dry_run_checks_everything_and_connects_to_nobody(
    scripted_server: Start,
    mail: str,
    to_file: Callable[..., str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = scripted_server()
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    old.write_text("older")
    common = ("--url", url_of(server), "--dry-run", mail)

    assert send(*common, "--to-file", to_file(many(3)), "--report", str(old)) == 0
    assert send(*common, "--to=a@x.test", "--together", "--report", str(new)) == 0
    printed, complaints = capsys.readouterr()
    octets, relay = len(ON_THE_WIRE), f"127.0.0.1:{server.port}; nothing was sent"
    assert printed.splitlines() == [
        f"would send 3 mails of {octets} octets from me@example.com to 3 recipients by {relay}",
        f"would send 1 mail of {octets} octets from me@example.com to 1 recipient by {relay}",
    ]
    assert complaints == ""
    assert (old.read_text(), new.exists(), server.sessions) == ("older", False, [])
    assert send(*common, "--to-file", to_file("bad")) == 65
    assert send(*common, "--to=a@x.test", "--report", str(tmp_path / "no" / "x.csv")) == 73


def test_quiet_prints_nothing_but_complaints(
    scripted_server: Start, mail: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server = scripted_server()
    common = ("--quiet", "--to=a@x.test", mail)

    assert send("--url", url_of(server), *common) == 0
    assert send("--url", url_of(server), "--dry-run", *common) == 0
    assert capsys.readouterr() == ("", "")
    assert send("--url", dead_url(), *common) == 75
    printed, complaints = capsys.readouterr()
    assert printed == ""
    assert "stopped: cannot connect" in complaints


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("why", ["no rich", "a dumb terminal"])
def test_without_a_bar_there_are_lines(
    scripted_server: Start, mail: str, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    if why == "no rich":
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delitem(sys.modules, "pykka_smtp.send_bar", raising=False)
        for name in ("rich", "rich.console"):
            monkeypatch.setitem(sys.modules, name, None)
    else:
        monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(send_progress, "ON_TERMINAL", 0.0)
    err = Terminal()
    monkeypatch.setattr(sys, "stderr", err)
    server = scripted_server(polite(replies={"b@x.test": "550 5.1.1 who?"}))

    assert send("--url", url_of(server), "--to=a@x.test", "--to=b@x.test", mail) == 69
    lines = err.getvalue().splitlines()
    assert all(re.fullmatch(r"\d of 2: (\d \w+, )*\d+/s", line) for line in lines)
    assert lines[-1].startswith("2 of 2: 1 accepted, 1 refused, ")


def test_in_a_log_a_line_comes_now_and_then(
    scripted_server: Start,
    mail: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(send_progress, "IN_LOG", 0.0)

    assert send("--url", url_of(scripted_server()), "--to=a@x.test", mail) == 0
    assert capsys.readouterr().err.endswith("1 of 1: 1 accepted, 1/s\n")


def test_on_a_terminal_there_is_a_bar_that_fits_and_fills(
    scripted_server: Start, mail: str, to_file: Callable[..., str]
) -> None:
    require_module("rich")
    pty = pytest.importorskip("pty")
    server = scripted_server(polite(replies={"u7@x.test": "550 5.1.1 who?"}))
    master, slave = pty.openpty()
    try:
        process = program(
            *("--url", url_of(server), "--to-file", to_file(many(300)), mail),
            stderr=slave,
            env={"TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
        )
        os.close(slave)
        written = b"".join(read_until_closed(master)).decode()
        printed, _ = process.communicate(timeout=PATIENCE)
    finally:
        os.close(master)

    assert process.returncode == 69
    assert "accepted    299" in printed
    text = re.sub(r"\x1b\[[0-9;]*m", "", written)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\r", text)
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    assert all(len(line) <= 80 for line in lines)
    assert re.search(r"300/300 299 accepted, 1 refused, \d+/s 0:00:00$", lines[-1])


def test_whoever_does_not_read_the_summary_has_his_mails_sent_all_the_same(
    scripted_server: Start, mail: str
) -> None:
    server = scripted_server()
    reader, writer = os.pipe()
    os.close(reader)
    process = program("--url", url_of(server), "--to=a@x.test", mail, stdout=writer)
    os.close(writer)
    _, complaints = process.communicate(timeout=PATIENCE)

    assert (process.returncode, complaints) == (74, "")
    assert server.accepted == 1


# Ctrl-C.


def program(
    *arguments: str,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    env: dict[str, str] | None = None,
) -> subprocess.Popen[str]:
    """Start the command as a program of its own; it is killed if it takes too long."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "pykka_smtp", "send", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
        env=os.environ | (env or {}),
    )
    killer = threading.Timer(PATIENCE, process.kill)
    killer.daemon = True
    killer.start()
    wait = process.wait

    def wait_and_disarm(timeout: float | None = None) -> int:
        status = wait(timeout)
        killer.cancel()
        killer.join()
        return status

    process.wait = wait_and_disarm  # type: ignore[method-assign]
    return process


def read_until_closed(master: int) -> Iterator[bytes]:
    while select.select([master], [], [], PATIENCE)[0]:
        try:
            piece = os.read(master, 65_536)
        except OSError:  # Linux says so when the other end is closed
            return
        if not piece:
            return
        yield piece


class Holding:
    """A server that answers no final dot before it is told to."""

    def __init__(self, begin: Start) -> None:
        self.released = threading.Event()
        self.server = begin(self._script)

    def _script(self, conn: Conn) -> None:
        conn.send("220 mx.test ESMTP")
        count = 0
        while (line := conn.line()) != "QUIT":
            if line == "DATA":
                conn.send("354 go ahead")
                conn.body()
                count += 1
                # The very first mail goes alone, and would go alone for ever.
                if len(self.server.mails) > 1:
                    self.released.wait(PATIENCE)
            conn.send("250 2.0.0 Ok")
        conn.send("221 Bye")

    def wait_for_mails(self, count: int) -> None:
        self.server.wait_for(lambda: len(self.server.mails) >= count, PATIENCE)


@pytest.fixture
def holding(scripted_server: Start) -> Iterator[Holding]:
    made = Holding(scripted_server)
    yield made
    made.released.set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_lets_mails_under_way_finish_and_reports_all(
    holding: Holding,
    mail: str,
    to_file: Callable[..., str],
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    report = tmp_path / "report.json"
    process = program(
        *("--url", url_of(holding.server), "--to-file", to_file(many(5000))),
        *("--report", str(report), mail),
    )
    holding.wait_for_mails(3)
    process.send_signal(number)
    assert process.stderr is not None
    notice = process.stderr.readline()
    holding.released.set()
    printed, complaints = process.communicate(timeout=PATIENCE)

    rows = rows_of(report)
    accepted = {address for address, row in rows.items() if row["result"] == "accepted"}
    assert process.returncode == 128 + number
    assert notice == (
        "pykka-smtp send: interrupted; mails under way have 10 s, interrupt again to end at once\n"
    )
    assert complaints == ""
    assert len(rows) == 5000
    assert len(accepted) >= 3
    assert accepted == {mail.recipients[0] for mail in holding.server.mails}
    assert {
        (row["result"], row["kind"], row["retryable"], row["attempts"])
        for address, row in rows.items()
        if address not in accepted
    } == {("failed", "CANCELLED", True, 0)}
    assert f"accepted    {len(accepted):>4}\n" in printed


def test_a_second_ctrl_c_ends_it_at_once_and_says_of_whom_nobody_knows(
    holding: Holding, mail: str, to_file: Callable[..., str], tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    process = program(
        *("--url", url_of(holding.server), "--to-file", to_file(many(50))),
        *("--report", str(report), mail),
    )
    holding.wait_for_mails(3)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    # It is not waited for the server, which goes on to say nothing.
    printed, complaints = process.communicate(timeout=send_run.GRACE / 2)

    rows = rows_of(report)
    maybe = {address for address, row in rows.items() if row["result"] == "maybe"}
    assert process.returncode == 130
    assert len(maybe) >= 2
    assert maybe >= {mail.recipients[0] for mail in holding.server.mails[1:]}
    assert f"{len(maybe)} recipients may have got the mail, nobody knows" in complaints
    assert f"maybe       {len(maybe):>2}" in printed


def test_ctrl_c_while_it_still_reads_ends_it_at_once(mail: str, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = program("--url", dead_url(), "--to-file", str(fifo), mail)
    with fifo.open("wb") as pipe:
        # More than a pipe holds: it has begun to read, and waits for what never comes.
        pipe.write(b"# comment\n" * 50_000)
        pipe.flush()
        process.send_signal(signal.SIGINT)
        printed, complaints = process.communicate(timeout=PATIENCE)

    assert (process.returncode, printed) == (130, "")
    assert complaints == "\ninterrupted\n"


def test_what_is_ignored_stays_ignored_and_all_is_as_before_in_the_end() -> None:
    def seen(interrupts: Interrupts) -> tuple[int | None, bool]:
        return interrupts.number, interrupts.is_urgent

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGHUP)
            assert seen(interrupts) == (None, False)
            signal.raise_signal(signal.SIGTERM)
            assert seen(interrupts) == (signal.SIGTERM, False)
            signal.raise_signal(signal.SIGINT)
            assert seen(interrupts) == (signal.SIGTERM, True)
            # From the third on they do what they did before.
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is interrupt
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


# The page.

PAGE = ROOT / "docs" / "sending-from-the-shell.md"


def test_help_and_page_name_each_option_and_each_exit_status(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert send("--help") == 0
    shown = capsys.readouterr().out
    page = PAGE.read_text()

    options = set(re.findall(r"--[a-z][a-z-]*", shown)) - {"--help"}
    assert len(options) == 13
    assert options <= set(re.findall(r"`(--[a-z][a-z-]*)", page))
    statuses = {0, 64, 65, 66, 68, 69, 70, 73, 74, 75, 77, 130}
    for status in statuses:
        assert re.search(rf"\b{status}\b", shown)
    assert {int(number) for number in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == statuses


def test_the_columns_on_the_page_are_those_of_the_report() -> None:
    page = PAGE.read_text()

    assert tuple(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == NAMES

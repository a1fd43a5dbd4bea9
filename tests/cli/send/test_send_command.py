"""``pykka-smtp send``: to whom, what, and by which way."""

import io
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest
from servers.sending import MAIL, ON_THE_WIRE, ROOT, dead_url, many, rows_of, send, url_of
from servers.sending_fixtures import Shell
from servers.sink import AiosmtpdServer

from pykka_smtp import Mailer
from pykka_smtp.actors.net.connection_limit import connection_limit
from pykka_smtp.cli.output.results import NAMES
from pykka_smtp.cli.send import send as send_command
from pykka_smtp.testing.polite import polite

PASSWORD = "hunter2-hunter2"


# To whom, and what.


def test_each_recipient_gets_a_mail_of_its_own_octet_for_octet(
    shell: Shell, aiosmtpd_server: Callable[..., AiosmtpdServer]
) -> None:
    server = aiosmtpd_server()

    status = send("--url", url_of(server), "--to-file", shell.to_file(many(30)), shell.mail)

    assert status == 0
    assert sorted(mail.recipients for mail in server.mails) == sorted(
        [(f"u{number}@x.test",) for number in range(30)]
    )
    assert {(mail.sender, mail.data) for mail in server.mails} == {("me@example.com", ON_THE_WIRE)}
    printed, complaints = shell.read()
    first, accepted, *others = printed.splitlines()
    assert re.fullmatch(r"recipients  30  in \d+\.\d s, \d+\.\d/s", first)
    assert accepted == "accepted    30"
    assert others == ["refused      0", "failed       0", "maybe        0"]
    assert complaints == ""


def test_together_is_one_mail_with_all_recipients(
    shell: Shell, aiosmtpd_server: Callable[..., AiosmtpdServer]
) -> None:
    server = aiosmtpd_server(replies={"no@x.test": "550 5.1.1 who?"})
    report = shell.folder / "report.json"
    to = [f"--to={name}@x.test" for name in ("a", "no", "b")]

    status = send("--url", url_of(server), *to, "--together", "--report", str(report), shell.mail)

    assert status == 69
    [received] = server.mails
    assert received.recipients == ("a@x.test", "b@x.test")
    assert {a: row["result"] for a, row in rows_of(report).items()} == {
        "a@x.test": "accepted",
        "no@x.test": "refused",
        "b@x.test": "accepted",
    }


def test_lines_are_read_as_people_and_other_systems_write_them(shell: Shell) -> None:
    text = b"\xef\xbb\xbfa@x.test\r\n\n  # a comment@x.test\n\t b@x.test \n#" + b"x" * 5000 + b"\n"

    status = send(
        *("--url", url_of(shell.server), "--to", "first@x.test", "--connections", "1"),
        *("--to-file", shell.to_file(text + b"postmaster"), shell.mail),
    )

    assert status == 0
    assert [mail.recipients for mail in shell.server.mails] == [
        (address,) for address in ("first@x.test", "a@x.test", "b@x.test", "postmaster")
    ]


def test_bad_lines_are_told_by_their_numbers_before_anything_is_sent(shell: Shell) -> None:
    lines = [b"a@x.test", b"# fine", b"nobody", b"b@x.test c@x.test", b"\xff@x.test", b"d@x.test"]
    long = b"e@x.test" + b" " * 2000 + b"f@x.test"
    name = shell.to_file(b"\n".join([*lines, long, b"g@x.test", b"h@@x.test"]))

    status = send("--url", url_of(shell.server), "--to-file", name, shell.mail)

    assert status == 65
    assert shell.server.sessions == []
    printed, complaints = shell.read()
    assert printed == ""
    told = re.findall(rf"pykka-smtp send: {re.escape(name)}, line (\d+): (.*)", complaints)
    assert [int(number) for number, _ in told] == [3, 4, 5, 7, 9]
    assert told[0][1] == "invalid address 'nobody': it has no \"@\""
    assert told[2][1] == "not UTF-8"
    assert told[3][1] == "longer than 1000 octets"
    assert complaints.endswith("pykka-smtp send: nothing was sent\n")


def test_of_very_many_bad_lines_the_first_are_told_and_the_others_counted(shell: Shell) -> None:
    assert send("--url", dead_url(), "--to-file", shell.to_file("bad\n" * 1000), shell.mail) == 65

    lines = shell.read().err.splitlines()
    assert len(lines) == 22
    assert lines[20] == "pykka-smtp send: 980 more lines are no addresses"


def test_a_file_without_recipients_is_bad_data(shell: Shell) -> None:
    assert send("--url", dead_url(), "--to-file", shell.to_file("# later\n\n"), shell.mail) == 65
    assert "no recipient addresses" in shell.read().err


@pytest.mark.parametrize("what", ["mail", "recipients"])
def test_mail_or_recipients_can_come_from_stdin(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    octets = MAIL if what == "mail" else b"u0@x.test\nu1@x.test\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(octets)))
    arguments = (
        ["--to-file", shell.to_file(many(2)), "-"]
        if what == "mail"
        else ["--to-file=-", shell.mail]
    )

    assert send("--url", url_of(shell.server), *arguments) == 0
    assert {mail.data for mail in shell.server.mails} == {ON_THE_WIRE}
    assert shell.server.accepted == 2


def test_both_from_stdin_or_a_closed_stdin_cannot_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert send("--url", dead_url(), "--to-file", "-", "-") == 64
    assert "only one of email and recipients can come from stdin" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", None)
    assert send("--url", dead_url(), "--to", "a@x.test", "-") == 66
    assert "cannot read stdin" in capsys.readouterr().err


def test_no_recipients_is_wrong_usage(shell: Shell) -> None:
    assert send("--url", dead_url(), shell.mail) == 64
    assert shell.read().err == ("pykka-smtp send: name the recipients with --to-file or --to\n")


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
    shell: Shell, field: str, sender: str
) -> None:
    server = shell.serve(polite("8BITMIME"))
    file = shell.folder / "mail.eml"
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
    shell: Shell, field: str | bytes, complaint: str
) -> None:
    server = shell.serve(polite("8BITMIME"), polite("8BITMIME"))
    file = shell.folder / "mail.eml"
    file.write_bytes((field if isinstance(field, bytes) else field.encode()) + b"\n\nHello\n")
    common = ("--url", url_of(server), "--to", "a@x.test", str(file))

    assert send(*common) == 65
    complaints = shell.read().err
    assert complaint in complaints
    assert complaints.endswith("name the sender with --sender\n")
    assert server.sessions == []
    assert send("--sender", "<>", *common) == 0
    assert [mail.sender for mail in server.mails] == [""]


def test_an_invalid_sender_is_wrong_usage(shell: Shell) -> None:
    assert send("--url", dead_url(), "--to", "a@x.test", "--sender", "me", shell.mail) == 64
    assert "--sender: invalid address 'me'" in shell.read().err
    assert send("--url", dead_url(), "--to", "you", shell.mail) == 64
    assert "--to: invalid address 'you'" in shell.read().err


@pytest.mark.parametrize(
    ("octets", "complaint"),
    [
        (b"", "is empty"),
        (b"Hello\n", "does not begin with a header field"),
        (b"\nFrom: a@x.test\n", "does not begin with a header field"),
        (b"From a@x.test Mon Nov 23\nFrom: a@x.test\n\n", "begins with the line of an mbox file"),
        (b"From: a@x.test\nBCC: secret@x.test\n\n", "has a Bcc field"),
        (b"From: a@x.test\n\n" + b"x" * 200, "is longer than 100 octets"),
    ],
)
def test_what_is_no_mail_is_bad_data(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, octets: bytes, complaint: str
) -> None:
    monkeypatch.setattr("pykka_smtp.cli.input.mail_file.MAX_MAIL", 100)
    file = shell.folder / "mail.eml"
    file.write_bytes(octets)

    assert send("--url", dead_url(), "--to", "a@x.test", str(file)) == 65
    assert f"{file} {complaint}" in shell.read().err


def test_what_few_servers_take_is_warned_of(shell: Shell) -> None:
    file = shell.folder / "mail.eml"
    file.write_bytes(b"From: a@x.test\n\n" + b"x" * 1500)

    status = send("--url", url_of(shell.server), "--to", "a@x.test", "--dry-run", str(file))

    assert status == 0
    assert "has a line of 1500 octets; only servers with BINARYMIME" in shell.read().err


@pytest.mark.parametrize("which", ["mail", "recipients"])
def test_what_cannot_be_read_is_no_input(shell: Shell, which: str) -> None:
    nowhere = str(shell.folder / "nowhere")
    to, file = (
        ("--to=a@x.test", nowhere) if which == "mail" else (f"--to-file={nowhere}", shell.mail)
    )

    assert send("--url", dead_url(), to, file) == 66
    assert shell.read().err == (
        f"pykka-smtp send: cannot read {nowhere}: No such file or directory\n"
    )
    assert send("--url", dead_url(), "--to=a@x.test", str(shell.folder)) == 66


# By which way.


def test_the_url_of_the_environment_is_used_where_none_is_given(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, other = shell.serve(), shell.serve()
    monkeypatch.setenv("SMTP_URL", url_of(server))

    assert send("--to", "a@x.test", shell.mail) == 0
    assert send("--url", url_of(other), "--to", "a@x.test", shell.mail) == 0
    assert (server.accepted, other.accepted) == (1, 1)


def test_no_url_at_all_is_wrong_usage(shell: Shell) -> None:
    assert send("--to", "a@x.test", shell.mail) == 64
    assert shell.read().err == ("pykka-smtp send: needs a relay URL: in SMTP_URL, or as --url\n")


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
@pytest.mark.usefixtures("mail")
def test_a_url_that_is_wrong_or_in_the_wrong_place_is_not_shown_with_its_password(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert send(*arguments) in {64, 65, 66}

    printed, complaints = capsys.readouterr()
    assert complaints.startswith(("pykka-smtp", "python -m pykka_smtp"))
    assert PASSWORD not in printed + complaints


def test_a_wrong_url_in_the_environment_is_told_by_the_name_of_the_variable(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_URL", dead_url())
    monkeypatch.setenv("SMTP_BACKUP_URLS", f"{dead_url()} smtp://me:{PASSWORD}/x@mx.test")

    assert send("--to", "a@x.test", shell.mail) == 64
    complaints = shell.read().err
    assert complaints.startswith("pykka-smtp send: SMTP_BACKUP_URLS: relay URL 'smtp://me:***")
    assert PASSWORD not in complaints


def test_what_is_not_installed_is_told_in_one_line(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(**_options: object) -> None:
        raise ImportError("proxy: needs python-socks; pip install 'pykka-smtp[proxy]'")

    monkeypatch.setattr("pykka_smtp.cli.send.checks.collect_options", missing)

    assert send("--url", "smtp://mx.test", "--to", "a@x.test", shell.mail) == 69
    assert shell.read().err.endswith("pip install 'pykka-smtp[proxy]'\n")


@pytest.mark.parametrize("where", ["argument", "environment"])
def test_a_backup_takes_the_mail_when_the_first_relay_is_not_there(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    arguments = ["--to", "a@x.test", shell.mail]
    if where == "argument":
        arguments = ["--url", dead_url(), "--backup", url_of(shell.server), *arguments]
    else:
        monkeypatch.setenv("SMTP_URL", dead_url())
        monkeypatch.setenv("SMTP_BACKUP_URLS", f" {dead_url()}  {url_of(shell.server)}\n")

    assert send(*arguments) == 0
    assert shell.server.accepted == 1


def test_backups_of_the_environment_are_not_for_another_relay(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_BACKUP_URLS", url_of(shell.server))

    assert send("--url", dead_url(), "--to", "a@x.test", shell.mail) == 75
    assert shell.server.sessions == []


def test_the_rate_is_kept_to(shell: Shell) -> None:
    to = [f"--to=u{number}@x.test" for number in range(5)]

    assert send("--url", url_of(shell.server), *to, "--rate", "20/s", shell.mail) == 0
    match = re.search(r" in (\d+\.\d) s", shell.read().out)
    assert match is not None
    assert float(match[1]) >= 0.2


def test_no_more_connections_are_open_than_allowed_and_the_limit_of_the_process_gives_way(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, many_ = shell.serve(), shell.serve()
    seen: list[tuple[int, int]] = []

    def start(**options: Any) -> Any:
        seen.append((options["max_connections"], connection_limit.limit))
        return Mailer.start(**options)

    before = connection_limit.limit
    monkeypatch.setattr(send_command, "Mailer", type("Mailer", (), {"start": staticmethod(start)}))
    names = shell.to_file(many(20))

    assert send("--url", url_of(one), "--to-file", names, "--connections", "1", shell.mail) == 0
    assert send("--url", url_of(many_), "--to-file", names, "--connections", "300", shell.mail) == 0
    assert len(one.sessions) == 1
    assert seen == [(1, before), (300, 300)]
    assert connection_limit.limit == before


def test_an_extension_that_is_not_wanted_is_not_used(shell: Shell) -> None:
    server = shell.serve(polite("SIZE", "PIPELINING"))

    sent = send(
        "--url", url_of(server), "--to", "a@x.test", "--without", "size,PIPELINING", shell.mail
    )

    assert sent == 0
    [begun] = [line for line in server.sessions[0].lines if line.startswith("MAIL")]
    assert "SIZE" not in begun


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
        ("--without", "SIZE,CHUNKIN", "'CHUNKIN'; did you mean CHUNKING?"),
    ],
)
def test_a_number_out_of_range_is_wrong_usage(
    shell: Shell, option: str, value: str, complaint: str
) -> None:
    assert send("--url", dead_url(), "--to", "a@x.test", f"{option}={value}", shell.mail) == 64
    assert complaint in shell.read().err


def test_the_timeout_counts_for_each_step_and_may_not_be_given_twice(shell: Shell) -> None:
    server = shell.serve("S! silence")
    common = ("--to", "a@x.test", "--timeout", "0.2", shell.mail)

    assert send("--url", url_of(server), *common) == 75
    assert "timed out after 0.2 s" in shell.read().out
    assert send("--url", url_of(server, "?timeout=3"), *common) == 64
    assert "--url has a timeout, too; leave --timeout out" in shell.read().err


# The page.

PAGE = ROOT / "docs" / "sending-from-the-shell.md"


def test_help_and_page_name_each_option_and_each_exit_status(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert send("--help") == 0
    shown = capsys.readouterr().out
    page = PAGE.read_text()

    options = set(re.findall(r"--[a-z][a-z-]*", shown)) - {"--help"}
    assert len(options) == 27
    assert options <= set(re.findall(r"`(--[a-z][a-z-]*)", page))
    statuses = {0, 64, 65, 66, 68, 69, 70, 73, 74, 75, 77, 129, 130, 143}
    for status in statuses:
        assert re.search(rf"\b{status}\b", shown)
    assert {int(number) for number in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == statuses


def test_the_columns_on_the_page_are_those_of_the_report() -> None:
    page = PAGE.read_text()

    assert tuple(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == NAMES

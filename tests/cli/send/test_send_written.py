"""``pykka-smtp send`` without a file: it writes the mail itself; and reports on standard output."""

import csv
import io
import json
import sys
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from servers.scripted import ScriptedServer, Start
from servers.sending import PATIENCE, dead_url, many, program, send, url_of
from servers.sending_fixtures import Shell

from pykka_smtp.testing.polite import polite

WRITTEN = ("--from", "Me <me@example.com>", "--subject", "Hello", "--body", "Lunch at one?")


# The mail.


def test_a_first_mail_needs_no_file(server: ScriptedServer) -> None:
    assert send("--url", url_of(server), "--to", "you@example.org", *WRITTEN) == 0

    [sent] = server.mails
    parsed = message_from_bytes(sent.data, policy=policy.default)
    assert (sent.sender, sent.recipients) == ("me@example.com", ("you@example.org",))
    assert (parsed["From"], parsed["To"]) == ("Me <me@example.com>", "you@example.org")
    assert parsed["Subject"] == "Hello"
    assert parsed.get_content() == "Lunch at one?\r\n"
    assert parsed["Date"] is not None
    assert parsed["Message-ID"] is not None


def test_each_recipient_stands_in_to_alone_and_all_together(server: ScriptedServer) -> None:
    to = ("--to", "a@x.test", "--to", "b@x.test", "--connections", "1")

    assert send("--url", url_of(server), *to, *WRITTEN) == 0
    assert send("--url", url_of(server), *to, *WRITTEN, "--together") == 0

    parsed = [message_from_bytes(mail.data, policy=policy.default) for mail in server.mails]
    assert [mail["To"] for mail in parsed] == ["a@x.test", "b@x.test", "a@x.test, b@x.test"]
    assert len({mail["Message-ID"] for mail in parsed}) == 3


def test_names_of_recipients_are_shown_in_to(server: ScriptedServer, tmp_path: Path) -> None:
    to = ("--to", '"A, a" <a@x.test>', "--to", "=?utf-8?q?B?= <b@x.test>", "--connections", "1")
    file = tmp_path / "more.txt"
    file.write_text("J\u00f6rg <c@x.test>\nd@x.test\n")

    for more in ((), ("--together",)):
        status = send("--url", url_of(server), *to, "--to-file", str(file), *WRITTEN, *more)
        assert status == 0

    fields = [message_from_bytes(mail.data, policy=policy.default)["To"] for mail in server.mails]
    assert [mail.recipients[0] for mail in server.mails] == [
        *(f"{name}@x.test" for name in "abcd"),
        "a@x.test",
    ]
    shown = ['"A, a" <a@x.test>', "b@x.test", "J\u00f6rg <c@x.test>", "d@x.test"]
    assert [str(field) for field in fields] == [*shown, ", ".join(shown)]


@pytest.mark.parametrize("bounces", ["<>", "bounces@example.com"])
def test_bounces_may_go_elsewhere_than_to_the_author(server: ScriptedServer, bounces: str) -> None:
    assert send("--url", url_of(server), "--to=a@x.test", "--sender", bounces, *WRITTEN) == 0

    assert [mail.sender for mail in server.mails] == [bounces.strip("<>")]
    assert b"\nFrom: Me <me@example.com>\r\n" in b"\n" + server.mails[0].data


def test_the_text_can_come_from_stdin_and_be_in_any_language(
    scripted_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = scripted_server(polite("8BITMIME"))
    text = "\ufeffGrüße\nan alle\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    status = send(
        *("--url", url_of(server), "--to=a@x.test", "--from", "Jörg <me@example.com>"),
        *("--subject", "Grüße", "--body", "-"),
    )

    assert status == 0
    parsed = message_from_bytes(server.mails[0].data, policy=policy.default)
    assert (parsed["From"], parsed["Subject"]) == ("Jörg <me@example.com>", "Grüße")
    assert parsed.get_content() == "Grüße\r\nan alle\r\n"


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        ((), 64, "name a file with the email, or write one with --from, --subject and --body"),
        (("--from", "a@x.test"), 64, "name a file with the email, or write one"),
        (("--body", "Hello"), 64, "name a file with the email, or write one"),
        ((*WRITTEN, "mail.eml"), 64, "give a file with an email, or --from, --subject and --body"),
        (("--subject", "x", "mail.eml"), 64, "give a file with an email, or --from"),
        (("--from", "nobody", "--body", "x"), 64, "--from: invalid address 'nobody'"),
        (("--from", "a@x.test, b@x.test", "--body", "x"), 64, "--from: needs one address"),
        (
            ("--from", "a@x.test", "--body", "x", "--subject", "a\nBcc: b@x.test"),
            65,
            "cannot write the email: subject: control character",
        ),
        (("--from", "a@x.test", "--body", "\udcff"), 65, "cannot write the email: "),
    ],
)
def test_a_mail_that_cannot_be_written_is_told_before_anything_is_sent(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, complaint: str
) -> None:
    assert send("--url", dead_url(), "--to=c@x.test", *arguments) == status
    complaints = capsys.readouterr().err
    assert complaint in complaints
    assert complaints.count("\n") == 1


@pytest.mark.parametrize(
    ("octets", "complaint"),
    [(b"Gr\xfc\xdfe", "stdin is not UTF-8"), ("Hello".encode("utf-16"), "stdin is UTF-16")],
)
def test_a_text_from_stdin_that_is_not_utf_8_is_bad_data(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    octets: bytes,
    complaint: str,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(octets)))

    status = send("--url", dead_url(), "--to=a@x.test", "--from=a@x.test", "--body=-")

    assert status == 65
    assert complaint in capsys.readouterr().err


def test_text_and_recipients_cannot_both_come_from_stdin(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert send("--url", dead_url(), "--to-file=-", "--from=a@x.test", "--body=-") == 64
    assert "only one of email and recipients can come from stdin" in capsys.readouterr().err


def test_a_dry_run_says_how_long_the_written_mail_is(shell: Shell) -> None:
    assert send("--url", url_of(shell.server), "--to=a@x.test", "--dry-run", *WRITTEN) == 0
    assert "would send 1 email of " in (printed := shell.read().out)
    assert " octets from me@example.com to 1 recipient" in printed
    assert shell.server.sessions == []


# The report.


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1"])
def test_a_report_on_standard_output_is_all_that_stands_there(shell: Shell, name: str) -> None:
    server = shell.serve(polite(replies={"u1@x.test": "550 5.1.1 who?"}))
    process = program(
        "--url", url_of(server), "--to-file", shell.to_file(many(3)), "--report", name, shell.mail
    )
    printed, told = process.communicate(timeout=PATIENCE)

    rows = {row["address"]: row["result"] for row in csv.DictReader(io.StringIO(printed))}
    assert process.returncode == 69
    assert rows == {"u0@x.test": "accepted", "u1@x.test": "refused", "u2@x.test": "accepted"}
    assert "accepted    2" in told


def test_a_report_on_standard_output_goes_into_the_file_that_it_is_redirected_to(
    shell: Shell,
) -> None:
    file = shell.folder / "out"
    file.write_text("before\n")
    with file.open("a") as out:
        process = program(
            *("--url", url_of(shell.serve()), "--to=a@x.test"),
            *("--report", "/dev/stdout", "--report-format", "json", shell.mail),
            stdout=out.fileno(),
        )
        process.communicate(timeout=PATIENCE)

    first, rest = file.read_text().split("\n", 1)
    assert first == "before"
    assert [row["result"] for row in json.loads(rest)] == ["accepted"]


def test_the_form_of_a_report_can_be_chosen(shell: Shell) -> None:
    common = ("--url", url_of(shell.serve()), "--to=a@x.test", shell.mail)
    file = shell.folder / "report.txt"

    assert send("--report", str(file), "--report-format", "json", *common) == 0
    assert [row["address"] for row in json.loads(file.read_text())] == ["a@x.test"]
    shell.read()
    assert send("--report", "-", "--report-format", "json", "--quiet", *common) == 0
    assert [row["address"] for row in json.loads(shell.read().out)] == ["a@x.test"]
    assert send("--report", "-", "--report-format", "xml", *common) == 64


def test_a_report_whose_reader_has_gone_ends_the_run(shell: Shell) -> None:
    import os

    reader, writer = os.pipe()
    os.close(reader)
    process = program(
        *("--url", url_of(shell.serve()), "--to-file", shell.to_file(many(3))),
        *("--report", "-", shell.mail),
        stdout=writer,
    )
    os.close(writer)
    _, complaints = process.communicate(timeout=PATIENCE)

    assert process.returncode == 74
    assert "the report can't be written: Broken pipe" in complaints
    assert "Traceback" not in complaints
    assert "Exception ignored" not in complaints

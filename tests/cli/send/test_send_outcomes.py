"""``pykka-smtp send``: what became of each recipient, and how that is told."""

import errno
import io
import json
import os
import re
import socket
import ssl
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from servers.require import require_module
from servers.sending import ON_THE_WIRE, PATIENCE, dead_url, many, rows_of, send, url_of
from servers.sending_fixtures import Shell

from pykka_smtp import Mailer, RetryPolicy
from pykka_smtp.actors.net.connecting import addresses as addresses_module
from pykka_smtp.cli.output import progress as send_progress
from pykka_smtp.cli.output.report import Report
from pykka_smtp.cli.send import run as send_run
from pykka_smtp.cli.send import send as send_command
from pykka_smtp.testing.moods import At, Moment, said
from pykka_smtp.testing.polite import Polite, polite
from pykka_smtp.testing.stages.conn import Conn
from pykka_smtp.testing.talk.acts import Act, Deed

PASSWORD = "hunter2-hunter2"


# What became of it.


def hang_up_on_maybe(moment: Moment) -> list[Act]:
    """Take mails, but hang up after the dot of a mail for maybe@x.test."""
    [whom] = cast("Conn", moment.client).session.mails[-1].recipients
    return [Deed.CLOSE] if "maybe@" in whom else [said("250 2.0.0 Ok: queued as 4F2A")]


dropping = Polite(moods=[At(".", hang_up_on_maybe)])


@pytest.mark.parametrize("suffix", [".csv", ".json", ".JSON"])
def test_the_report_has_a_row_for_each_recipient(shell: Shell, suffix: str) -> None:
    server = shell.serve(
        polite(
            replies={
                "no@x.test": "550 5.1.1 no such mailbox",
                "later@x.test": "450 4.2.0 greylisted, come back",
                ".": "250 2.0.0 Ok: queued as 4F2A",
            }
        )
    )
    report = shell.folder / f"report{suffix}"
    report.write_text("an older one")
    to = [f"--to={name}@x.test" for name in ("yes", "no", "later", "ü")]

    assert send("--url", url_of(server), *to, "--report", str(report), shell.mail) == 69

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


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_a_server_cannot_put_a_formula_into_a_spreadsheet(shell: Shell, suffix: str) -> None:
    words = '=HYPERLINK("http://x.test")'
    server = shell.serve(polite(replies={"no@x.test": f"550 {words}"}))
    report = shell.folder / f"report{suffix}"

    send("--url", url_of(server), "--to=no@x.test", "--report", str(report), shell.mail)

    assert rows_of(report)["no@x.test"]["text"] == ("'" + words if suffix == ".csv" else words)


def test_a_maybe_accepted_email_is_reported_separately(shell: Shell) -> None:
    server = shell.serve(dropping)
    report = shell.folder / "report.json"

    status = send(
        *("--url", url_of(server), "--to=a@x.test", "--to=maybe@x.test", "--to=b@x.test"),
        *("--report", str(report), shell.mail),
    )

    rows = rows_of(report)
    printed, complaints = shell.read()
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
        "pykka-smtp send: 1 recipient may have got the email, nobody knows;"
        " find out before you send it again\n"
    )
    assert "maybe       1  find out before you send it again\n" in printed
    assert re.search(
        r"^1  CONNECTION at dot, as of maybe@x\.test: .*waiting for the final reply",
        printed,
        re.MULTILINE,
    )


def test_a_mail_that_is_refused_for_now_is_tried_again_if_more_attempts_are_asked_for(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: set[str] = set()

    def refuse_strangers(moment: Moment) -> list[Act] | None:
        is_known = moment.path in known
        known.add(moment.path)
        return None if is_known else [said("450 4.2.0 greylisted")]

    greylisting = Polite(moods=[At("RCPT", refuse_strangers)])
    monkeypatch.setattr(
        send_command, "RetryPolicy", partial(RetryPolicy, initial_delay=0.01, max_delay=0.02)
    )
    report = shell.folder / "report.json"
    common = ("--to=a@x.test", "--to=b@x.test", "--report", str(report), shell.mail)

    assert send("--url", url_of(shell.serve(greylisting)), "--attempts", "3", *common) == 0
    assert [row["attempts"] for row in rows_of(report).values()] == [2, 2]
    assert "2 tried again" in shell.read().out
    known.clear()
    assert send("--url", url_of(shell.serve(greylisting)), *common) == 75
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
    shell: Shell, replies: dict[str, str], status: int
) -> None:
    server = shell.serve(polite(replies=replies))

    assert send("--url", url_of(server), "--to=a@x.test", "--to=b@x.test", shell.mail) == status


def test_a_relay_that_is_not_there_is_tried_once_and_the_others_are_not_tried(shell: Shell) -> None:
    report = shell.folder / "report.csv"

    status = send(
        "--url",
        dead_url(),
        "--to-file",
        shell.to_file(many(50)),
        "--report",
        str(report),
        shell.mail,
    )

    rows = list(rows_of(report).values())
    printed, complaints = shell.read()
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
    assert "failed       1  of these 1 may pass later" in printed
    assert "not sent    49  their turn did not come" in printed
    assert {row["result"] for row in rows[1:]} == {"not sent"}


def test_an_unknown_host_exits_68(mail: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(_host: str, _port: int) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(addresses_module, "_getaddrinfo", look_up)

    assert send("--url", "smtp://no-such-host.test", "--to=a@x.test", "--to=b@x.test", mail) == 68


def test_a_server_that_is_not_safe_is_not_allowed(shell: Shell) -> None:
    assert send("--url", url_of(shell.server, "?tls=starttls"), "--to=a@x.test", shell.mail) == 77


def test_a_wrong_password_is_shown_once_however_many_recipients_there_are(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_module("trustme")
    import trustme

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    monkeypatch.setattr("pykka_smtp.actors.net.tls.tls._verifying_context", lambda: trusting)
    server = shell.serve(
        polite("STARTTLS", "AUTH PLAIN", replies={"AUTH": f"535 5.7.8 not {PASSWORD}"}),
        context=context,
    )
    report = shell.folder / "report.csv"

    status = send(
        *("--url", f"smtp://me:{PASSWORD}@{server.host}:{server.port}"),
        *("--to-file", shell.to_file(many(100)), "--report", str(report), shell.mail),
    )

    printed, complaints = shell.read()
    assert status == 77
    assert len(server.sessions) == 1
    assert "refused the credentials: 535 5.7.8 not ***" in complaints
    assert PASSWORD not in printed + complaints + report.read_text()
    rows = rows_of(report)
    assert len(rows) == 100
    # It was not the recipient that was refused.
    assert sorted(row["result"] for row in rows.values()) == ["failed", *["not sent"] * 99]


def test_a_relay_that_dies_amid_many_mails_ends_the_run(shell: Shell) -> None:
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
    server = shell.serve(two_mails, "S! close")
    report = shell.folder / "report.csv"

    status = send(
        *("--url", url_of(server), "--to-file", shell.to_file(many(5000))),
        *("--report", str(report), shell.mail),
    )

    rows = list(rows_of(report).values())
    assert status == 75
    assert len(rows) == 5000
    assert [row["result"] for row in rows].count("accepted") == 1
    assert any(row["text"].startswith("not tried: ") for row in rows)
    assert "pykka-smtp send: stopped: " in shell.read().err


def test_the_queue_of_the_mailer_never_overflows(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Twice as many may be queued: who told it more would get LOCAL failures.
    monkeypatch.setattr(send_run, "MAX_OUTSTANDING", 3)
    monkeypatch.setattr(send_command, "MAX_OUTSTANDING", 3)

    status = send(
        "--url",
        url_of(shell.server),
        "--to-file",
        shell.to_file(many(200)),
        "--connections",
        "2",
        shell.mail,
    )

    assert (status, shell.server.accepted) == (0, 200)


def test_a_mailer_that_has_died_is_told_and_nothing_waits_for_it(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(**options: Any) -> Any:
        mailer = Mailer.start(**options)
        mailer.stop()
        return mailer

    monkeypatch.setattr(send_command, "Mailer", type("Mailer", (), {"start": staticmethod(start)}))

    assert send("--url", url_of(shell.serve()), "--to=a@x.test", shell.mail) == 75
    assert "the Mailer has died" in shell.read().err


# The report's file.


def test_a_report_that_cannot_be_created_is_told_before_anything_is_sent(shell: Shell) -> None:
    report = shell.folder / "nowhere" / "report.csv"
    folder = shell.folder / "folder.csv"
    folder.mkdir()
    common = ("--url", url_of(shell.server), "--to=a@x.test", shell.mail)

    assert send("--report", str(report), *common) == 73
    assert f"cannot write {report}: No such file or directory" in shell.read().err
    assert send("--report", str(folder), *common) == 73
    assert send("--report", "report.xls", *common) == 64
    assert "needs a name that ends in .csv or .json" in shell.read().err
    assert shell.server.sessions == []


def test_the_report_does_not_replace_what_it_is_about(shell: Shell) -> None:
    recipients, link = shell.folder / "to.csv", shell.folder / "link.csv"
    recipients.write_text("a@x.test\n")
    link.symlink_to(recipients)

    status = send(
        "--url", dead_url(), "--to-file", str(recipients), "--report", str(link), shell.mail
    )

    assert status == 64
    assert "would replace" in shell.read().err
    assert recipients.read_text() == "a@x.test\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_report_that_cannot_be_written_on_ends_the_run_and_says_who_has_the_mail(
    shell: Shell,
) -> None:
    full = shell.folder / "report.csv"
    full.symlink_to("/dev/full")

    status = send(
        *("--url", url_of(shell.server), "--to-file", shell.to_file(many(5000))),
        *("--report", str(full), "--rate", "2000/s", shell.mail),
    )

    complaints = shell.read().err
    told = re.findall(r"perhaps not in the report: (\S+) (accepted|maybe)\n", complaints)
    assert status == 74
    assert "stopped: the report can't be written: No space left on device" in complaints
    assert shell.server.accepted < 5000
    assert {address for address, _ in told} == {mail.recipients[0] for mail in shell.server.mails}


def test_an_empty_json_report_is_json(tmp_path: Path) -> None:
    file = tmp_path / "report.json"

    Report(str(file), "json", sys.stdout).close()

    assert json.loads(file.read_text()) == []


# What is told.


def test_a_dry_run_checks_everything_without_connecting(shell: Shell) -> None:
    old, new = shell.folder / "old.csv", shell.folder / "new.csv"
    old.write_text("older")
    common = ("--url", url_of(shell.server), "--dry-run", shell.mail)

    assert send(*common, "--to-file", shell.to_file(many(3)), "--report", str(old)) == 0
    assert send(*common, "--to=a@x.test", "--together", "--report", str(new)) == 0
    printed, complaints = shell.read()
    octets, relay = len(ON_THE_WIRE), f"127.0.0.1:{shell.server.port}; nothing was sent"
    assert printed.splitlines() == [
        f"would send 3 emails of {octets} octets from me@example.com to 3 recipients by {relay}",
        f"would send 1 email of {octets} octets from me@example.com to 1 recipient by {relay}",
    ]
    assert complaints == ""
    assert (old.read_text(), new.exists(), shell.server.sessions) == ("older", False, [])
    assert send(*common, "--to-file", shell.to_file("bad")) == 65
    assert send(*common, "--to=a@x.test", "--report", str(shell.folder / "no" / "x.csv")) == 73


def test_quiet_prints_nothing_but_complaints(shell: Shell) -> None:
    common = ("--quiet", "--to=a@x.test", shell.mail)

    assert send("--url", url_of(shell.server), *common) == 0
    assert send("--url", url_of(shell.server), "--dry-run", *common) == 0
    assert shell.read() == ("", "")
    assert send("--url", dead_url(), *common) == 75
    printed, complaints = shell.read()
    assert printed == ""
    assert "stopped: cannot connect" in complaints


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("why", ["no rich", "a dumb terminal"])
def test_without_a_bar_there_are_lines(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    if why == "no rich":
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delitem(sys.modules, "pykka_smtp.cli.output.bar", raising=False)
        for name in ("rich", "rich.console"):
            monkeypatch.setitem(sys.modules, name, None)
    else:
        monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(send_progress, "ON_TERMINAL", 0.0)
    err = Terminal()
    monkeypatch.setattr(sys, "stderr", err)
    server = shell.serve(polite(replies={"b@x.test": "550 5.1.1 who?"}))

    assert send("--url", url_of(server), "--to=a@x.test", "--to=b@x.test", shell.mail) == 69
    lines = err.getvalue().splitlines()
    assert all(re.fullmatch(r"\d of 2: (\d \w+, )*\d+/s", line) for line in lines)
    assert lines[-1].startswith("2 of 2: 1 accepted, 1 refused, ")


def test_in_a_log_a_line_comes_now_and_then(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send_progress, "IN_LOG", 0.0)

    assert send("--url", url_of(shell.serve()), "--to=a@x.test", shell.mail) == 0
    assert shell.read().err.endswith("1 of 1: 1 accepted, 1/s\n")


@pytest.mark.parametrize("is_closed", [False, True])
def test_a_bar_shows_how_far_it_has_come_as_long_as_there_is_a_terminal(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, *, is_closed: bool
) -> None:
    require_module("rich")
    monkeypatch.setenv("TERM", "xterm")
    err = Terminal()
    if is_closed:

        def refuse(_text: str) -> int:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(err, "write", refuse)
    monkeypatch.setattr(sys, "stderr", err)
    server = shell.serve(dropping)

    assert send("--url", url_of(server), "--to=a@x.test", "--to=maybe@x.test", shell.mail) == 75
    if not is_closed:
        assert "2/2" in err.getvalue()
        assert "1 accepted, 1 maybe" in err.getvalue()


def test_what_is_said_while_there_is_a_bar_stands_above_it() -> None:
    require_module("rich")
    from pykka_smtp.cli.output.bar import Bar

    err = Terminal()
    with Bar(err, 3) as bar:
        bar.say("at [192.0.2.1] it was \x1b[2J")

    assert "pykka-smtp send: at [192.0.2.1] it was \\x1b[2J\n" in err.getvalue()


def test_what_cannot_be_read_by_then_ends_it_before_anything_is_sent(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    common = ("--url", url_of(shell.server), "--to-file", shell.to_file("a@x.test"), shell.mail)
    with monkeypatch.context() as patch:
        patch.setattr("pykka_smtp.cli.input.recipients.Recipients.add", full)
        assert send(*common) == 74
    assert "no room to keep the recipients" in shell.read().err
    with monkeypatch.context() as patch:
        patch.setattr("pykka_smtp.cli.send.send.Report", full)
        assert send("--report", "x.csv", *common) == 73
    assert "cannot write x.csv: No space left on device" in shell.read().err
    assert shell.server.sessions == []


def test_a_report_that_cannot_be_closed_is_not_complete(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = Report.close

    def full(report: Report) -> None:
        close(report)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Report, "close", full)
    report = str(shell.folder / "report.csv")

    status = send("--url", url_of(shell.serve()), "--to=a@x.test", "--report", report, shell.mail)

    assert status == 74


def test_it_runs_on_any_thread(shell: Shell) -> None:
    statuses: list[int] = []

    def run() -> None:
        statuses.append(send("--url", url_of(shell.server), "--to=a@x.test", shell.mail))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(PATIENCE)

    assert statuses == [0]

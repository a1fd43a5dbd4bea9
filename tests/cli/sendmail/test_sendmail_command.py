"""``pykka-smtp sendmail``: one email in, one transaction out, and a status that tells of it."""

import io
import sys
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from servers.scripted import ScriptedServer, Start
from servers.sending import dead_url
from servers.submitting import Submitter, parsed

from pykka_smtp.cli.input import mail_file
from pykka_smtp.cli.sendmail import sendmail as command
from pykka_smtp.cli.sendmail import submission
from pykka_smtp.cli.sendmail.settings import user_name
from pykka_smtp.testing.moods import drop, refuse
from pykka_smtp.testing.polite import Polite, polite

CRON = """\
From: root (Cron Daemon)
To: root
Subject: Cron <root@vm> run-parts
Content-Type: text/plain; charset=UTF-8

disk full
.
still here
"""
IN_HEADER = """\
From: Me <me@x.test>
To: a@x.test, "B, b" <b@x.test>
Cc: team: c@x.test, d@x.test;
Bcc: blind1@x.test,
 blind2@x.test
Subject: Hello

Bcc: not a field
"""
ME = "me@x.test"

Serve = Callable[..., ScriptedServer]


@pytest.fixture
def configured(submit: Submitter, server: ScriptedServer) -> Submitter:
    submit.configure(server)
    return submit


# The envelope.


def test_what_cron_writes_goes_out_with_complete_addresses(
    configured: Submitter, server: ScriptedServer
) -> None:
    cron = ("-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root")

    assert configured(*cron, text=CRON) == 0

    [mail] = server.mails
    assert (mail.sender, mail.recipients) == (f"{user_name()}@here.test", ("root@here.test",))
    assert b"\r\nFrom: root@here.test (Cron Daemon)\r\nTo: root@here.test\r\n" in mail.data
    assert mail.data.endswith(b"\r\n\r\ndisk full\r\n.\r\nstill here\r\n")
    assert (configured.out, configured.err) == ("", "")


def test_aliases_and_a_sender_lead_mails_of_the_machine_to_people(
    submit: Submitter, server: ScriptedServer
) -> None:
    submit.configure(
        server,
        'sender = "vm@x.test"\n[aliases]\nRoot = ["a@x.test", "b@x.test"]\n"*" = "c@x.test"\n',
    )

    assert submit("-f", "root", "ROOT", "nobody", "d@x.test", text=CRON) == 0

    [mail] = server.mails
    assert mail.sender == "vm@x.test"
    assert mail.recipients == ("a@x.test", "b@x.test", "c@x.test", "d@x.test")


def test_with_t_the_header_names_recipients_and_the_blind_ones_stay_so(
    configured: Submitter, server: ScriptedServer
) -> None:
    assert configured("-t", "-f", ME, "more@x.test", "a@x.test", text=IN_HEADER) == 0

    [mail] = server.mails
    assert mail.recipients == tuple(
        f"{name}@x.test" for name in ("more", *"abcd", "blind1", "blind2")
    )
    assert b"\r\nBcc" not in mail.data.partition(b"\r\n\r\n")[0]
    assert b"blind" not in mail.data
    assert mail.data.endswith(b"\r\n\r\nBcc: not a field\r\n")


def test_a_mail_that_is_sent_again_goes_to_those_to_whom_it_is_sent_again(
    configured: Submitter, server: ScriptedServer
) -> None:
    again = "Resent-To: g@x.test\nResent-From: h\n" + IN_HEADER

    assert configured("-t", text=again) == 0

    [mail] = server.mails
    assert mail.recipients == ("g@x.test",)
    assert parsed(mail)["Resent-From"] == "h@here.test"
    assert parsed(mail)["Resent-Date"] is not None
    assert parsed(mail)["Resent-Message-ID"] is not None
    assert parsed(mail)["Date"] is None  # it is for who wrote the email to add
    assert b"blind" not in mail.data


@pytest.mark.parametrize("null", ["", "<>"])
def test_an_empty_sender_is_that_of_a_bounce(
    configured: Submitter, server: ScriptedServer, null: str
) -> None:
    assert configured("-f", null, "you@x.test") == 0

    [mail] = server.mails
    assert mail.sender == ""
    assert f"<{user_name()}@here.test>" in parsed(mail)["From"]


def test_a_sender_may_have_a_name(configured: Submitter, server: ScriptedServer) -> None:
    assert configured("-f", "Me <me@x.test>", "you@x.test") == 0
    assert server.mails[0].sender == ME


def test_an_argument_may_be_a_list(configured: Submitter, server: ScriptedServer) -> None:
    assert configured("a@x.test, B <b@x.test>", "c", "-f") == 0
    assert server.mails[0].recipients == ("a@x.test", "b@x.test", "c@here.test", "-f@here.test")


def test_notifications_are_asked_for(submit: Submitter, scripted_server: Start) -> None:
    server = scripted_server(polite("DSN"))
    submit.configure(server)

    assert submit("-N", "success,failure", "-R", "hdrs", "-V", "4711", "you@x.test") == 0
    lines = [line for session in server.sessions for line in session.lines]
    assert any("RET=HDRS ENVID=4711" in line for line in lines)
    assert any("NOTIFY=SUCCESS,FAILURE" in line for line in lines)


# The message.


def test_what_is_missing_is_added(configured: Submitter, server: ScriptedServer) -> None:
    assert configured("-f", ME, "-F", 'Jörg "J."\nBcc: x@x.test', "you@x.test") == 0

    mail = parsed(server.mails[0])
    assert mail["From"].addresses[0].addr_spec == ME
    assert mail["From"].addresses[0].display_name == 'Jörg "J." Bcc: x@x.test'
    assert parsedate_to_datetime(mail["Date"]).tzinfo is not None
    assert mail["Message-ID"].endswith(".sendmail@here.test>")
    assert mail.get_content() == "Hello\r\n"


def test_what_is_there_stays_as_it_is(submit: Submitter, scripted_server: Serve) -> None:
    server = scripted_server(polite("8BITMIME"))
    submit.configure(server)
    whole = (
        "Received: from x\nFROM : Me\n <me@x.test>\ndate: yesterday\nMESSAGE-ID: <1@x>\n"
        "Subject: Gr\u00fc\u00dfe\n  an alle\n\nText\n\n"
    )

    assert submit("you@x.test", text=whole) == 0

    assert server.mails[0].data.decode() == whole.replace("\n", "\r\n")


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("", ""),
        ("\nHello\n", "Hello\r\n"),
        ("Hello: there\nHello\n", "Hello\r\n"),
        ("Hello, world\nTo: nobody\n", "Hello, world\r\nTo: nobody\r\n"),
        ("Subject: x", ""),
        ("From me@x.test Tue Dec  1 22:00:00 2026\nSubject: x\n\nHello\n", "Hello\r\n"),
        (">From me@x.test Tue Dec  1 22:00:00 2026", ""),
        (" folded\n", " folded\r\n"),
        ("Subject: x\r\n\r\nHello\r\n", "Hello\r\n"),
        ("Subject: x\r\rHello\r", "Hello\r\n"),
    ],
)
def test_any_text_is_an_email(
    configured: Submitter, server: ScriptedServer, text: str, body: str
) -> None:
    assert configured("you@x.test", text=text) == 0

    header, _, rest = server.mails[0].data.partition(b"\r\n\r\n")
    assert rest.decode() == body
    assert header.count(b"\nDate: ") == 1
    assert b"\nFrom " not in b"\n" + header


@pytest.mark.parametrize(
    ("options", "body"),
    [((), b"one\r\n.two\r\n"), (("-i",), b"one\r\n.two\r\n.\r\nthree\r\n")],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_dot_alone_on_its_line_ends_the_email_unless_i_is_given(
    configured: Submitter, server: ScriptedServer, options: tuple[str, ...], body: bytes, end: str
) -> None:
    text = "Subject: x\n\none\n.two\n.\nthree\n".replace("\n", end)

    assert configured(*options, "you@x.test", text=text) == 0
    assert server.mails[0].data.partition(b"\r\n\r\n")[2] == body


def test_a_line_that_is_too_long_for_smtp_is_broken_between_characters(
    submit: Submitter, scripted_server: Serve
) -> None:
    server = scripted_server(polite("8BITMIME"))
    submit.configure(server)
    long = "".join(f"{number} \u20ac " for number in range(600))

    assert submit("you@x.test", text=f"Subject: x\n\n{long}") == 0

    lines = server.mails[0].data.partition(b"\r\n\r\n")[2].split(b"\r\n")
    assert max(map(len, lines)) <= 998
    assert b"".join(lines).decode().replace(" ", "") == long.replace(" ", "")


def test_a_relay_that_takes_ascii_alone_gets_it(
    configured: Submitter, server: ScriptedServer
) -> None:
    text = "Subject: Gr\u00fc\u00dfe\nContent-Type: text/plain; charset=utf-8\n\nGr\u00fc\u00dfe\n"

    assert configured("you@x.test", text=text) == 0

    [mail] = server.mails
    assert mail.data.isascii()
    assert parsed(mail)["Subject"] == "Gr\u00fc\u00dfe"
    assert parsed(mail).get_content() == "Gr\u00fc\u00dfe\r\n"


@pytest.mark.parametrize("options", [(), ("-i",)])
def test_an_email_without_an_end_is_refused(
    configured: Submitter, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    for module in (mail_file, submission, command):
        monkeypatch.setattr(module, "MAX_MAIL", 1000)

    assert configured(*options, "you@x.test", text="x" * 1000) == 0
    for text in ("x" * 1001, "x\n" * 501):
        assert configured(*options, "you@x.test", text=text) == 65
        assert "the email is longer than 1000 octets" in configured.err


def test_stdin_that_cannot_be_read_is_no_input(
    configured: Submitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, _buffer: Any) -> int:
            raise OSError(5, "Input/output error")

    wrong = io.TextIOWrapper(io.BufferedReader(Broken()))
    monkeypatch.setattr(sys, "stdin", None)
    assert command.run(["you@x.test"], sys.stdout, sys.stderr) == 66
    monkeypatch.setattr(sys, "stdin", wrong)
    assert command.run(["you@x.test"], sys.stdout, sys.stderr) == 66


# Before anything is sent.


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        ((), 64, "name the recipients as arguments, or in the header with -t"),
        (("-t",), 64, "there is no recipient in To, Cc or Bcc"),
        (("-z",), 64, "option -z not recognized"),
        (("-bs",), 64, "speaks no SMTP on standard input"),
        (("-f", "a b", "you@x.test"), 64, "-f: invalid address 'a b'"),
        (("-f", "a@b@c", "you@x.test"), 64, "-f: invalid address"),
        (("-f", "a@x.test, b@x.test", "you@x.test"), 64, "-f: invalid address"),
        (("you@x..test",), 65, "invalid address 'you@x..test'"),
        (("who are you",), 65, "invalid address 'who are you'"),
        (("you@\udcff.test",), 65, "invalid address"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    configured: Submitter, arguments: tuple[str, ...], status: int, complaint: str
) -> None:
    assert configured(*arguments) == status
    assert configured.err.startswith("pykka-smtp sendmail: ")
    assert complaint in configured.err
    assert configured.err.count("\n") == 1


def test_a_wrong_address_in_the_header_stops_the_email_for_all(
    configured: Submitter, server: ScriptedServer
) -> None:
    assert configured("-t", text="To: you@x.test, not an address\n\nHello\n") == 65
    assert "invalid address 'not an address'" in configured.err
    assert server.sessions == []


@pytest.mark.parametrize(
    ("option", "printed"),
    [
        ("-bp", "Mail queue is empty: this sendmail has no queue\n"),
        ("-bi", "no database of aliases: they stand in pykka-smtp.toml\n"),
        ("-q", ""),
    ],
)
def test_what_needs_a_queue_or_a_database_says_that_there_is_none(
    submit: Submitter, option: str, printed: str
) -> None:
    assert (submit(option), submit.out, submit.err) == (0, printed, "")


def test_help_fits_eighty_columns(submit: Submitter) -> None:
    assert submit("--help") == 0
    assert max(map(len, submit.out.splitlines())) <= 80
    assert submit("--version") == 0
    assert submit.out.startswith("pykka-smtp sendmail ")


# What became of it.


def refusing(*moods: Any) -> Polite:
    return Polite(moods=moods)


@pytest.mark.parametrize(
    ("moods", "status", "complaint"),
    [
        ([refuse("RCPT", "550 who?")], 67, "550 who?"),
        ([refuse("RCPT", "550 5.1.1 who?")], 67, "550 5.1.1 who?"),
        ([refuse("RCPT", "550 5.7.1 no relay")], 69, "550 5.7.1 no relay"),
        ([refuse("RCPT", "450 4.2.0 later")], 75, "450 4.2.0 later"),
        ([refuse("MAIL", "550 5.1.8 you?")], 69, "550 5.1.8 you?"),
        ([refuse(".", "554 5.6.0 spam")], 69, "554 5.6.0 spam"),
        ([refuse(".", "452 4.3.1 full")], 75, "452 4.3.1 full"),
        ([refuse("greeting", "554 no")], 69, "554 no"),
        ([refuse("greeting", "HTTP/1.1 400")], 75, "HTTP/1.1"),
        ([drop(".")], 75, "the email may have been accepted"),
    ],
)
def test_the_status_says_what_the_relay_did(
    submit: Submitter, scripted_server: Serve, moods: list[Any], status: int, complaint: str
) -> None:
    submit.configure(scripted_server(refusing(*moods)))

    assert submit("you@x.test") == status, submit.err
    assert complaint in submit.err
    assert submit.err.count("\n") == 1


def test_a_relay_that_is_down_may_come_up_again(submit: Submitter) -> None:
    submit.configure(more=f'url = "{dead_url()}"')

    assert submit("you@x.test") == 75
    assert "Connection refused" in submit.err


def test_a_rejected_password_is_no_reason_to_try_again(
    submit: Submitter, scripted_server: Serve
) -> None:
    server = scripted_server(
        Polite("AUTH PLAIN", moods=[refuse("AUTH", "535 5.7.8 wrong password")])
    )
    submit.configure(more=f'url = "smtp://me:hunter2@127.0.0.1:{server.port}?tls=off"')

    assert submit("you@x.test") == 77
    assert "hunter2" not in submit.err


def test_a_relay_that_has_no_address_is_a_wrong_setting(submit: Submitter) -> None:
    submit.configure(more='url = "smtp://relay.invalid"')

    assert submit("you@x.test") in {75, 78}  # where no name server can be asked, it may be later


def test_each_recipient_that_is_refused_is_named(submit: Submitter, scripted_server: Serve) -> None:
    moods = [refuse("RCPT", "550 5.1.1 who?", to="a@x.test")]
    moods += [refuse("RCPT", "550 5.1.1 never heard of", to="b@x.test")]
    server = scripted_server(refusing(*moods))
    submit.configure(server)

    assert submit("a@x.test", "b@x.test", "c@x.test") == 67
    assert server.mails[0].recipients == ("c@x.test",)
    assert submit.err.splitlines() == [
        "pykka-smtp sendmail: a@x.test: 550 5.1.1 who?",
        "pykka-smtp sendmail: b@x.test: 550 5.1.1 never heard of",
    ]


def test_what_is_final_counts_before_what_may_pass(
    submit: Submitter, scripted_server: Serve
) -> None:
    moods = [refuse("RCPT", "550 5.1.1 who?", to="a@x.test")]
    moods += [refuse("RCPT", "450 4.2.0 later", to="b@x.test")]
    submit.configure(scripted_server(refusing(*moods)))

    assert submit("a@x.test", "b@x.test") == 67
    assert submit("c@x.test", "b@x.test") == 75


def test_many_refusals_are_counted(submit: Submitter, scripted_server: Serve) -> None:
    server = scripted_server(refusing(refuse("RCPT", "550 5.1.1 who?", times=30)))
    submit.configure(server)

    assert submit(*[f"u{number}@x.test" for number in range(31)]) == 67
    lines = submit.err.splitlines()
    assert (len(lines), lines[-1]) == (21, "pykka-smtp sendmail: and 10 more")


def test_a_backup_takes_what_a_dead_relay_does_not(
    submit: Submitter, server: ScriptedServer
) -> None:
    submit.configure(more=f'url = "{dead_url()}"\nbackups = ["smtp://127.0.0.1:{server.port}"]\n')

    assert submit("you@x.test") == 0
    assert server.accepted == 1


def test_v_prints_the_reply(configured: Submitter) -> None:
    assert configured("-v", "you@x.test") == 0
    assert " accepted by [127.0.0.1]" in configured.out

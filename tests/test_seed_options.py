"""POE::Component::Client::SMTP, option by option: each of them has its counterpart here.

The first part is version 0.02, whose names the tests bear; then comes what 0.03 to 0.22 added, and
what the seed's own tests proved. `docs/coming-from-poe.md` has the table of names.
"""

import email.message
import email.policy
import errno
import io
import logging
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import blinker
import pytest
from servers.one_mail import failure, mail, start
from servers.scripted import Conn, ReceivedMail, ScriptedServer, Start, polite
from servers.waiting import PATIENCE

from pykka_smtp import (
    FailureKind,
    Outcome,
    SendFailure,
    SendMail,
    SendSuccess,
    SmtpActor,
    Stage,
    smtp_send_failure,
    smtp_send_success,
)
from pykka_smtp.actors.options.connection_options import DEFAULTS
from pykka_smtp.signals.dispatcher import dispatcher

SHORT = 0.2
"""Seconds that a server has which never answers."""


def send(server: ScriptedServer, *, options: dict[str, Any] | None = None, **given: Any) -> Outcome:
    """Ask for one outcome, and wait until the session is over."""
    message = mail(**given)
    ref = start(server, **(options or {}))
    outcome = ref.ask(message, timeout=PATIENCE)
    assert ref.actor_stopped.wait(PATIENCE)
    assert isinstance(outcome, Outcome)
    return outcome


def stored(server: ScriptedServer) -> ReceivedMail:
    """The one mail that the server took."""
    assert server.accepted == 1
    [received] = server.mails
    return received


def header(server: ScriptedServer) -> email.message.EmailMessage:
    message = email.message_from_bytes(stored(server).data, policy=email.policy.default)
    assert isinstance(message, email.message.EmailMessage)
    return message


def body(server: ScriptedServer) -> bytes:
    return stored(server).data.partition(b"\r\n\r\n")[2]


class Heard:
    """What the signals said, in the order in which they said it."""

    def __init__(self, *signals: blinker.Signal) -> None:
        self.calls: list[tuple[str, Outcome]] = []
        for signal in signals or (smtp_send_success, smtp_send_failure):
            signal.connect(self.note)

    def note(self, sender: str, outcome: Outcome, **_extra: object) -> None:
        self.calls.append((sender, outcome))

    def all(self) -> list[tuple[str, Outcome]]:
        """Wait for what is on its way, and return everything."""
        assert dispatcher.wait_idle(PATIENCE)
        return self.calls


@pytest.fixture
def nobody_listens() -> Iterator[ScriptedServer]:
    """A port that is taken, so that no other program gets it, and on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        server = ScriptedServer()
        server.port = sock.getsockname()[1]
        yield server


# 0.02: who, where to


def test_alias_is_the_sender_of_the_signals(server: ScriptedServer) -> None:
    heard = Heard()

    outcome = send(server, options={"alias": "billing"})

    assert heard.all() == [("billing", outcome)]
    assert outcome.alias == "billing"


def test_alias_may_be_left_out(scripted_server: Start) -> None:
    heard = Heard()

    send(scripted_server())

    assert [sender for sender, _ in heard.all()] == ["smtp_client"]


def test_alias_may_be_shared_by_two_live_actors(scripted_server: Start) -> None:
    both = threading.Barrier(2, timeout=PATIENCE)

    def meet(conn: Conn) -> None:
        both.wait()  # passes only while both sessions are open
        polite()(conn)

    server = scripted_server(meet)
    heard = Heard()

    refs = [start(server, alias="twin") for _ in range(2)]
    futures = [ref.ask(mail(context=n), block=False) for n, ref in enumerate(refs)]
    outcomes = [future.get(timeout=PATIENCE) for future in futures]

    assert [outcome.context for outcome in outcomes] == [0, 1]
    assert all(isinstance(outcome, SendSuccess) for outcome in outcomes)
    assert sorted((sender, outcome.context) for sender, outcome in heard.all()) == [
        ("twin", 0),
        ("twin", 1),
    ]


@pytest.mark.parametrize("alias", ["", None, 7])
def test_alias_must_be_a_text(alias: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="alias"):
        SmtpActor.start(alias=alias)


def test_smtp_server_and_smtp_port_default_to_localhost_25(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def look_up(host: str, port: int, *_args: object, **_kwargs: object) -> Any:
        asked.append((host, port))
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    outcome = SmtpActor.start().ask(mail(), timeout=PATIENCE)

    assert isinstance(outcome, SendFailure)
    assert asked == [("localhost", 25)]


def test_smtp_server_may_be_a_name(server: ScriptedServer) -> None:
    outcome = SmtpActor.start("localhost", server.port).ask(mail(), timeout=PATIENCE)

    assert isinstance(outcome, SendSuccess)
    assert outcome.peer is not None
    assert (outcome.peer.host, outcome.peer.address) == ("localhost", "127.0.0.1")


def test_smtp_server_may_be_an_ipv6_address(scripted_server: Start) -> None:
    try:
        server = scripted_server(host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6")

    outcome = send(server)

    assert isinstance(outcome, SendSuccess)
    assert server.lines[0] == "EHLO [IPv6:::1]"


@pytest.mark.parametrize("server", ["", "mx test", "mx\r\n.test", None])
def test_smtp_server_must_be_a_host(server: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="server"):
        SmtpActor.start(server)


@pytest.mark.parametrize("port", [0, -1, 65536, "25", 25.0])
def test_smtp_port_must_be_a_port(port: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="port"):
        SmtpActor.start("localhost", port)


def test_smtp_sender_is_the_reverse_path_and_the_from_address(server: ScriptedServer) -> None:
    send(server, sender="Me+tag@a.test")

    assert "MAIL FROM:<Me+tag@a.test>" in server.lines
    assert header(server)["From"] == "Me+tag@a.test"


def test_smtp_sender_is_mandatory() -> None:
    with pytest.raises(TypeError, match="sender"):
        SendMail(recipients="you@b.test")  # type: ignore[call-arg]


def test_smtp_sender_may_not_be_empty() -> None:
    with pytest.raises(ValueError, match="sender"):
        mail(sender="")


def test_smtp_sender_may_be_the_null_reverse_path_where_it_is_meant(server: ScriptedServer) -> None:
    send(server, sender="<>", headers={"From": "Mail System <postmaster@a.test>"})

    assert "MAIL FROM:<>" in server.lines
    assert header(server)["From"] == "Mail System <postmaster@a.test>"


def test_smtp_recipient_is_the_forward_path_and_the_to_address(server: ScriptedServer) -> None:
    outcome = send(server, recipients="You@b.test")

    assert stored(server).recipients == ("You@b.test",)
    assert header(server)["To"] == "You@b.test"
    assert [(r.address, r.accepted) for r in outcome.recipients] == [("You@b.test", True)]


def test_smtp_recipient_is_mandatory() -> None:
    with pytest.raises(TypeError, match="recipients"):
        SendMail(sender="me@a.test")


@pytest.mark.parametrize("nobody", ["", [], None, [""], 7, b"you@b.test"])
def test_smtp_recipient_may_not_be_empty(nobody: object) -> None:
    with pytest.raises((ValueError, TypeError), match="recipient"):
        mail(recipients=nobody)


# 0.02: the mail


@pytest.mark.parametrize(
    ("name", "on_the_wire"),
    [
        ("My Name", b"My Name <me@a.test>"),
        ("Doe, Jane", b'"Doe, Jane" <me@a.test>'),
        ('The "boss" \\ x', b'"The \\"boss\\" \\\\ x" <me@a.test>'),
        ("Boss <boss@x.test>", b'"Boss <boss@x.test>" <me@a.test>'),
        ("J\u00fcrgen \u5c71\u7530", None),
    ],
)
def test_from_is_a_display_name_quoted_and_encoded_as_needed(
    server: ScriptedServer, name: str, on_the_wire: bytes | None
) -> None:
    send(server, from_name=name)

    [author] = header(server)["From"].addresses
    assert (author.display_name, author.addr_spec) == (name, "me@a.test")
    [line] = [x for x in stored(server).data.split(b"\r\n") if x.startswith(b"From:")]
    assert line.isascii()
    if on_the_wire is not None:
        assert line == b"From: " + on_the_wire


def test_to_is_a_display_name_too_one_for_each_recipient(server: ScriptedServer) -> None:
    send(
        server,
        recipients=["a@b.test", "c@b.test", "e@b.test"],
        to_name=["Doe, A.", None, "\u00c9l\u00e9onore"],
    )

    shown = [(a.display_name, a.addr_spec) for a in header(server)["To"].addresses]
    assert shown == [("Doe, A.", "a@b.test"), ("", "c@b.test"), ("\u00c9l\u00e9onore", "e@b.test")]


@pytest.mark.parametrize("option", ["from_name", "to_name"])
def test_a_display_name_cannot_add_a_header_field(option: str) -> None:
    with pytest.raises(ValueError, match=option):
        mail(**{option: "x\r\nBcc: evil@x.test"})


def test_cc_stands_in_the_envelope_and_in_the_header(server: ScriptedServer) -> None:
    send(server, cc=["c1@b.test", "c2@b.test"])

    assert stored(server).recipients == ("you@b.test", "c1@b.test", "c2@b.test")
    assert header(server)["Cc"] == "c1@b.test, c2@b.test"


def test_bcc_stands_in_the_envelope_and_nowhere_else(server: ScriptedServer) -> None:
    outcome = send(server, cc="c@b.test", bcc=["secret@b.test"])

    assert stored(server).recipients == ("you@b.test", "c@b.test", "secret@b.test")
    assert "secret@b.test" in [result.address for result in outcome.recipients]
    assert b"secret" not in stored(server).data
    assert b"bcc:" not in stored(server).data.lower()  # a Message-ID may well have "bcc" in it


def test_bcc_of_a_complete_message_is_never_shown(server: ScriptedServer) -> None:
    message = email.message.EmailMessage()
    message["From"], message["To"], message["Bcc"] = "me@a.test", "you@b.test", "secret@b.test"
    message.set_content("hello")

    send(server, message=message, bcc="secret@b.test")

    assert stored(server).recipients == ("you@b.test", "secret@b.test")
    assert b"secret" not in stored(server).data
    assert message["Bcc"] == "secret@b.test", "the caller's object stays as it was"


def test_subject_defaults_to_none_in_parentheses(server: ScriptedServer) -> None:
    send(server)
    assert header(server)["Subject"] == "(none)"


@pytest.mark.parametrize("subject", ["", "0", "Hello", "Gr\u00fc\u00dfe aus K\u00f6ln \u2709"])
def test_subject_is_kept_as_it_is(server: ScriptedServer, subject: str) -> None:
    send(server, subject=subject)
    assert header(server)["Subject"] == subject


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("1 2 3\n4 5 6", b"1 2 3\r\n4 5 6\r\n"),
        ("1 2 3\r\n4 5 6\r\n", b"1 2 3\r\n4 5 6\r\n"),
        (b"octets\n", b"octets\r\n"),
        (["1 2 3", "4 5 6"], b"1 2 3\r\n4 5 6\r\n"),
        (["1 2 3\n", "4 5 6\r\n"], b"1 2 3\r\n4 5 6\r\n"),
        (["a", "", "."], b"a\r\n\r\n.\r\n"),
        ("", b""),
    ],
)
def test_smtp_data_is_a_string_or_a_list_of_lines(
    server: ScriptedServer, data: object, expected: bytes
) -> None:
    send(server, body=data)
    assert body(server) == expected


def test_smtp_data_may_be_left_out(server: ScriptedServer) -> None:
    SmtpActor.start(server.host, server.port).ask(
        SendMail(sender="me@a.test", recipients="you@b.test"), timeout=PATIENCE
    )
    assert body(server) == b""


def test_smtp_data_in_a_text_beyond_ascii_arrives_as_it_was(scripted_server: Start) -> None:
    text = "Gr\u00fc\u00dfe \u2709\nund tsch\u00fcs\n"
    for server in scripted_server(), scripted_server(polite("8BITMIME")):
        send(server, body=text)
        assert header(server).get_content() == text.replace("\n", "\r\n")


def test_the_generated_header_says_what_a_mail_needs(server: ScriptedServer) -> None:
    send(server, headers={"X-Job": "7"}, id="mail-7")

    message = header(server)
    assert message["Message-ID"] == "<mail-7@a.test>"
    assert message["Date"].datetime is not None
    assert message["MIME-Version"] == "1.0"
    assert message.get_content_type() == "text/plain"
    assert message["X-Job"] == "7"


# 0.02: the events


def test_smtp_send_success_event_names_a_signal_for_this_send(scripted_server: Start) -> None:
    mine, usual = Heard(blinker.signal("my_success")), Heard()

    outcome = send(scripted_server(), success_signal="my_success", failure_signal="my_failure")

    assert mine.all() == [("smtp_client", outcome)]
    assert usual.all() == []


def test_smtp_send_failure_event_names_a_signal_for_this_send(scripted_server: Start) -> None:
    mine, usual = Heard(blinker.signal("my_failure")), Heard()
    server = scripted_server(polite(replies={"MAIL": "550 5.7.1 not you"}))

    outcome = send(server, success_signal="my_success", failure_signal="my_failure")

    assert mine.all() == [("smtp_client", outcome)]
    assert usual.all() == []


def test_both_events_may_be_left_out(scripted_server: Start) -> None:
    usual = Heard()
    first = send(scripted_server())
    second = send(scripted_server(polite(replies={"greeting": "554 no"})))
    assert [outcome for _, outcome in usual.all()] == [first, second]


def test_smtp_timeout_defaults_to_30_seconds() -> None:
    assert DEFAULTS["timeout"] == 30.0


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan"), "30", None, True])
def test_smtp_timeout_must_be_seconds(seconds: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="timeout"):
        SmtpActor.start(timeout=seconds)


def test_smtp_timeout_counts_inactivity_not_the_whole_send(scripted_server: Start) -> None:
    # Each reply takes less than the timeout, all together take longer.
    lines = ["220 mx.test", "250 mx.test", "250 Ok", "250 Ok", "354 go"]
    commands = ["C: EHLO *", "C: MAIL *", "C: RCPT *", "C: DATA", "C: <data>"]
    script = "\n".join(
        f"S! drip {line}\n{command}" for line, command in zip(lines, commands, strict=True)
    )
    server = scripted_server(f"{script}\nS! drip 250 taken\nC: QUIT", drip_interval=0.01)

    outcome = send(server, options={"timeout": 0.4})

    assert isinstance(outcome, SendSuccess)
    assert outcome.elapsed > 0.4


def test_smtp_timeout_names_the_stage(scripted_server: Start) -> None:
    server = scripted_server("S: 220 mx\nC: EHLO *\nS! silence")

    outcome = failure(send(server, options={"timeout": SHORT}))

    assert (outcome.kind, outcome.stage) == (FailureKind.TIMEOUT, Stage.EHLO)
    assert "EHLO" in outcome.detail
    assert "0.2 s" in outcome.detail


def test_debug_puts_the_whole_session_into_the_outcome(scripted_server: Start) -> None:
    server = scripted_server(polite("PIPELINING", "SIZE"))

    outcome = send(server, options={"debug": True}, message=b"Subject: x\n\nhi\n")

    assert outcome.transcript[:3] == (
        "S: 220 mx.test ESMTP",
        "C: EHLO [127.0.0.1]",
        "S: 250-mx.test",
    )
    assert "S: 250 SIZE" in outcome.transcript, "continuation lines are shown too"
    assert "C: MAIL FROM:<me@a.test> SIZE=18" in outcome.transcript
    assert "S: 354 go ahead" in outcome.transcript
    assert "S: 250 2.0.0 taken" in outcome.transcript


def test_debug_is_off_unless_asked_for(scripted_server: Start) -> None:
    assert send(scripted_server()).transcript == ()


def test_debug_logging_is_readable(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="pykka_smtp.session")

    send(server, options={"alias": "news"}, id="mail-7")

    lines = [r.getMessage() for r in caplog.records if r.name == "pykka_smtp.session"]
    assert "news mail-7 S: 220 mx.test ESMTP" in lines
    assert "news mail-7 C: RCPT TO:<you@b.test>" in lines
    assert all("\n" not in line for line in lines)


def test_nothing_is_logged_unless_asked_for(
    scripted_server: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    send(scripted_server())
    # The outcome, which is INFO, and not a line of the session.
    assert {record.name for record in caplog.records} <= {"pykka_smtp.outcomes"}


# 0.02: the kinds of failure


def test_failure_kind_1_has_the_code_and_the_text(scripted_server: Start) -> None:
    refusal = "550-5.1.1 No such user here\r\n550 5.1.1 ask postmaster@b.test"
    outcome = failure(send(scripted_server(polite(replies={"RCPT": refusal}))))

    assert outcome.kind == 1
    assert (outcome.kind, outcome.code) == (FailureKind.SMTP, 550)
    assert outcome.text == "5.1.1 No such user here\n5.1.1 ask postmaster@b.test"
    assert outcome.reply is not None
    assert (outcome.reply.enhanced, outcome.stage) == ("5.1.1", Stage.RCPT)


def test_failure_kind_2_has_the_operation_errno_and_detail(nobody_listens: ScriptedServer) -> None:
    outcome = failure(send(nobody_listens))

    assert outcome.kind == 2
    assert outcome.kind is FailureKind.CONNECT
    assert (outcome.operation, outcome.errno) == ("connect", errno.ECONNREFUSED)
    assert f"127.0.0.1:{nobody_listens.port}: Connection refused" in outcome.detail
    assert outcome.peer is None


def test_failure_kind_2_is_also_that_of_an_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_args: object, **_kwargs: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    outcome = SmtpActor.start("nowhere.test").ask(mail(), timeout=PATIENCE)

    assert isinstance(outcome, SendFailure)
    assert outcome.kind == 2
    assert (outcome.operation, outcome.errno) == ("getaddrinfo", socket.EAI_NONAME)
    assert "nowhere.test" in outcome.detail


@pytest.mark.parametrize(("end", "number"), [("close", None), ("reset", errno.ECONNRESET)])
def test_failure_kind_3_has_the_operation_errno_and_detail(
    scripted_server: Start, end: str, number: int | None
) -> None:
    server = scripted_server(f"S: 220 mx\nC: EHLO *\nS: 250 mx\nC: MAIL *\nS! {end}")

    outcome = failure(send(server))

    assert outcome.kind == 3
    assert outcome.kind is FailureKind.CONNECTION
    assert (outcome.operation, outcome.errno) == ("read", number)
    assert outcome.stage is Stage.MAIL
    assert f"{server.host}:{server.port}" in outcome.detail


def test_failure_kind_4_has_the_stage(scripted_server: Start) -> None:
    outcome = failure(send(scripted_server("S! silence"), options={"timeout": SHORT}))

    assert outcome.kind == 4
    assert (outcome.kind, outcome.stage) == (FailureKind.TIMEOUT, Stage.GREETING)
    assert str(outcome.stage) == "greeting"


# 0.03 to 0.22


def test_smtp_body_is_a_text_under_a_generated_header(server: ScriptedServer) -> None:
    send(server, body="only the text", subject="s")
    assert header(server)["Subject"] == "s"
    assert body(server) == b"only the text\r\n"


@pytest.mark.parametrize(
    "message",
    [
        b"From: x@y.test\r\nSubject: whole\r\n\r\nas it is\r\n",
        b"From: x@y.test\nSubject: whole\n\nas it is",
        bytearray(b"From: x@y.test\r\nSubject: whole\r\n\r\nas it is\r\n"),
    ],
)
def test_a_complete_message_goes_out_as_it_is(server: ScriptedServer, message: bytes) -> None:
    send(server, message=message)
    assert stored(server).data == b"From: x@y.test\r\nSubject: whole\r\n\r\nas it is\r\n"


def test_a_complete_message_excludes_the_parts_of_one() -> None:
    with pytest.raises(ValueError, match=r"message: is complete; leave out subject, body, cc"):
        SendMail(
            sender="me@a.test",
            recipients="you@b.test",
            message=b"x",
            body="y",
            subject="z",
            cc="c@b.test",
        )


def test_smtp_ehlo_is_the_name_that_ehlo_and_helo_give(scripted_server: Start) -> None:
    server = scripted_server(polite(replies={"EHLO": "502 what?"}))
    send(server, options={"local_hostname": "client.example"})
    assert server.lines[:2] == ("EHLO client.example", "HELO client.example")


@pytest.mark.parametrize("name", ["", "a b", "x\r\nRSET", "-", "under_score"])
def test_smtp_ehlo_must_be_a_name_or_an_address_literal(name: str) -> None:
    with pytest.raises(ValueError, match=r"EHLO|local_hostname"):
        SmtpActor.start(local_hostname=name)


@pytest.mark.skipif("sys.platform != 'linux'", reason="only Linux has all of 127/8 at hand")
def test_smtp_bind_address_is_where_the_connection_comes_from(server: ScriptedServer) -> None:
    send(server, options={"source_address": ("127.0.0.2", 0)})
    assert server.sessions[0].peer == "127.0.0.2"
    assert server.lines[0] == "EHLO [127.0.0.2]"


def test_bind_port_is_used_and_an_occupied_one_is_a_failure_to_connect(
    server: ScriptedServer,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupier:
        source = occupier.getsockname()
        outcome = failure(send(server, options={"source_address": source}))

    assert (outcome.kind, outcome.errno) == (FailureKind.CONNECT, errno.EADDRINUSE)
    assert f"127.0.0.1:{source[1]}" in outcome.detail
    assert server.sessions == []


def test_context_comes_back_unchanged(scripted_server: Start) -> None:
    ticket = {"order": [7]}
    accepted = send(scripted_server(), context=ticket)
    refused = send(scripted_server(polite(replies={"MAIL": "451 later"})), context=ticket)
    assert accepted.context is ticket
    assert refused.context is ticket


def test_message_file_is_sent_without_slurping_it(server: ScriptedServer, tmp_path: Path) -> None:
    path = tmp_path / "mail.eml"
    path.write_bytes(b"Subject: file\n\n" + b".line of the file\n" * 100_000)

    send(server, message=path)

    assert stored(server).data == path.read_bytes().replace(b"\n", b"\r\n")


def test_a_message_file_that_cannot_be_read_costs_no_connection(
    server: ScriptedServer, tmp_path: Path
) -> None:
    outcome = failure(send(server, message=tmp_path / "missing.eml"))

    assert outcome.kind is FailureKind.LOCAL
    assert "missing.eml" in outcome.detail
    assert server.sessions == []


class Ticking(io.BytesIO):
    """A file that keeps how much was asked of it at a time."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.asked: list[int | None] = []

    def read(self, size: int | None = -1, /) -> bytes:
        self.asked.append(size)
        return super().read(size)


def test_file_handle_is_streamed_from_where_it_stands_and_stays_open(
    server: ScriptedServer,
) -> None:
    file = Ticking(b"skipped\n" + b"Subject: handle\n\n" + b"x" * 70 + b"\n" * 2_000_000)
    file.seek(len(b"skipped\n"))

    send(server, message=file)

    assert stored(server).data == file.getvalue()[8:].replace(b"\n", b"\r\n")
    assert not file.closed
    assert len(file.asked) > 10
    assert all(size is not None and 0 < size <= 1_000_000 for size in file.asked)


def test_file_handle_may_be_a_pipe(server: ScriptedServer) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as file:
        with os.fdopen(writer, "wb") as end:
            end.write(b"Subject: pipe\n\n.dot\n")
        send(server, message=file)

    assert stored(server).data == b"Subject: pipe\r\n\r\n.dot\r\n"


def test_file_handle_in_text_mode_is_refused() -> None:
    with pytest.raises(TypeError, match="rb"):
        mail(message=io.StringIO("text"))


TRANSCRIPT = (
    "S: 220 mx.test ESMTP",
    "C: EHLO c.test",
    "S: 250 mx.test",
    "C: MAIL FROM:<me@a.test>",
    "S: 250 2.0.0 Ok",
    "C: RCPT TO:<you@b.test>",
    "S: 250 2.1.5 Ok",
    "C: DATA",
    "S: 354 go ahead",
    "C: <18 octets of mail>",
    "C: .",
)


@pytest.mark.parametrize("verdict", ["250 2.0.0 taken", "554 5.6.0 spam"])
def test_transaction_log_has_every_line_of_success_and_failure(
    scripted_server: Start, verdict: str
) -> None:
    server = scripted_server(polite(replies={".": verdict}))

    outcome = send(
        server, options={"debug": True, "local_hostname": "c.test"}, message=b"Subject: x\n\nhi\n"
    )

    assert isinstance(outcome, SendSuccess) == verdict.startswith("2")
    assert outcome.transcript[: len(TRANSCRIPT) + 1] == (*TRANSCRIPT, f"S: {verdict}")


def test_the_error_is_one_line_that_names_server_stage_and_reply(scripted_server: Start) -> None:
    server = scripted_server(polite(replies={".": "554-5.7.1 spam\r\n554 5.7.1 go away"}))

    outcome = failure(send(server, options={"alias": "news"}, id="mail-7"))

    assert outcome.detail == (
        f"127.0.0.1:{server.port} refused the email at dot: 554 5.7.1 spam 5.7.1 go away"
    )
    assert str(outcome) == f"news: mail mail-7 not sent (SMTP at dot): {outcome.detail}"


def test_several_recipients_get_one_mail(server: ScriptedServer) -> None:
    outcome = send(server, recipients=["a@b.test", "c@b.test", "e@b.test"])

    assert stored(server).recipients == ("a@b.test", "c@b.test", "e@b.test")
    assert header(server)["To"] == "a@b.test, c@b.test, e@b.test"
    assert [result.accepted for result in outcome.recipients] == [True, True, True]


def test_spawn_free_use_needs_one_actor_and_no_thread_for_each_send(scripted_server: Start) -> None:
    together = threading.Barrier(31, timeout=PATIENCE)

    def meet(conn: Conn) -> None:
        conn.session.note("came")
        together.wait()
        polite()(conn)

    server = scripted_server(meet)
    futures = [start(server).ask(mail(), block=False) for _ in range(30)]
    server.wait_for(lambda: len(server.sessions) == 30)
    ours = [t.name for t in threading.enumerate() if t.name.startswith("pykka-smtp")]
    together.wait()

    assert all(isinstance(future.get(timeout=PATIENCE), SendSuccess) for future in futures)
    assert len(ours) <= 8, ours


# What the seed's own tests proved


def test_the_success_signal_is_sent_for_success_only(scripted_server: Start) -> None:
    successes, failures = Heard(smtp_send_success), Heard(smtp_send_failure)

    send(scripted_server(polite("SIZE 1000", "8BITMIME", "HELP")))

    assert len(successes.all()) == 1
    assert failures.all() == []


def test_15_non_ehlo_falls_back_to_helo(scripted_server: Start) -> None:
    server = scripted_server(polite(replies={"EHLO": "500 what?"}))

    outcome = send(server)

    assert isinstance(outcome, SendSuccess)
    assert [line.split()[0] for line in server.lines[:3]] == ["EHLO", "HELO", "MAIL"]


def test_15_non_ehlo_and_421_to_helo_ends_with_a_failure(scripted_server: Start) -> None:
    heard = Heard()
    server = scripted_server("S: 220 mx\nC: EHLO *\nS: 500 what?\nC: HELO *\nS: 421 bye\nC: <eof>")

    outcome = failure(send(server))
    server.wait_until_ended()

    assert (outcome.kind, outcome.code) == (FailureKind.SMTP, 421)
    assert outcome.retryable
    assert [told for _, told in heard.all()] == [outcome]


def test_20_smtp_timeout_ends_the_wait_for_a_greeting(scripted_server: Start) -> None:
    outcome = failure(send(scripted_server("S! silence"), options={"timeout": SHORT}))
    assert outcome.kind is FailureKind.TIMEOUT
    assert SHORT <= round(outcome.elapsed, 3) < SHORT + 1


def test_25_smtp_timeout_is_not_the_cause_where_the_server_closes(scripted_server: Start) -> None:
    outcome = failure(send(scripted_server("S! close"), options={"timeout": 100}))
    assert outcome.kind is FailureKind.CONNECTION
    assert outcome.elapsed < 5


@pytest.mark.parametrize(
    ("verb", "stage"), [("RCPT", Stage.RCPT), ("DATA", Stage.DATA), ("MAIL", Stage.MAIL)]
)
def test_015_5xy_fails_the_send(scripted_server: Start, verb: str, stage: Stage) -> None:
    outcome = failure(send(scripted_server(polite(replies={verb: "500 no"}))))
    assert (outcome.kind, outcome.stage, outcome.code) == (FailureKind.SMTP, stage, 500)


def test_017_a_code_of_700_breaks_the_protocol(scripted_server: Start) -> None:
    outcome = failure(send(scripted_server(polite(replies={"RCPT": "700 what"}))))
    assert outcome.kind is FailureKind.PROTOCOL
    assert "700" in outcome.detail


def test_018_and_070_a_wrong_port_is_said_in_words(nobody_listens: ScriptedServer) -> None:
    assert "Connection refused" in str(send(nobody_listens))


def test_020_all_options_together(server: ScriptedServer) -> None:
    heard = Heard(blinker.signal("all_of_it"))

    outcome = SmtpActor.start(
        server=server.host,
        port=server.port,
        alias="all",
        timeout=5,
        deadline=20,
        debug=True,
        local_hostname="my.host.test",
        source_address=("127.0.0.1", 0),
    ).ask(
        SendMail(
            sender="me@a.test",
            recipients=["you@b.test"],
            from_name="Me",
            to_name="You",
            cc="c@b.test",
            bcc="d@b.test",
            subject="s",
            body=["1", "2"],
            headers={"X-Y": "z"},
            context="c",
            success_signal="all_of_it",
            failure_signal="none_of_it",
            id="1",
        ),
        timeout=PATIENCE,
    )

    assert heard.all() == [("all", outcome)]
    assert server.lines[0] == "EHLO my.host.test"
    assert stored(server).recipients == ("you@b.test", "c@b.test", "d@b.test")
    assert body(server) == b"1\r\n2\r\n"


def test_060_the_defaults_on_the_wire(server: ScriptedServer) -> None:
    send(server)
    verbs = ("MAIL FROM:<me@a.test>", "RCPT TO:<you@b.test>", "DATA")
    assert server.lines[0].startswith("EHLO ")
    assert server.lines[1:4] == verbs


def test_080_and_085_dots_are_doubled_from_memory_and_from_a_file(
    scripted_server: Start, tmp_path: Path
) -> None:
    data = b"Subject: dots\r\n\r\n.\r\n..\r\n.leading\r\nnot.leading\r\n"
    path = tmp_path / "dots.eml"
    path.write_bytes(data)
    for message in (data, path):
        server = scripted_server()
        send(server, message=message)
        assert b"\r\n\r\n..\r\n...\r\n..leading\r\nnot.leading\r\n.\r\n" in stored(server).raw
        assert stored(server).data == data


def test_080_a_dot_that_begins_the_whole_mail_is_doubled(
    scripted_server: Start, tmp_path: Path
) -> None:
    path = tmp_path / "dot.eml"
    path.write_bytes(b".\nsecond")
    for message in (b".\nsecond", path):
        server = scripted_server()
        send(server, message=message)
        assert stored(server).raw == b"..\r\nsecond\r\n.\r\n"


def test_090_a_server_that_answers_250_to_every_line_gets_one_outcome(
    scripted_server: Start,
) -> None:
    # The seed called this a success. A 250 to DATA is none: the mail was never asked for.
    heard = Heard()
    outcome = failure(send(scripted_server(polite(replies={"DATA": "250 Ok", "QUIT": "250 Ok"}))))

    assert (outcome.kind, outcome.stage) == (FailureKind.PROTOCOL, Stage.DATA)
    assert not outcome.maybe_accepted
    assert [told for _, told in heard.all()] == [outcome]

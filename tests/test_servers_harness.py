"""The servers in tests/servers, tried with smtplib as the client."""

import contextlib
import importlib
import smtplib
import socket
import ssl
import threading
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import blinker
import pykka
import pytest
from servers.leftovers import Leftovers
from servers.require import require, require_module
from servers.scripted import (
    Action,
    Conn,
    ScriptedServer,
    ScriptMismatch,
    Start,
    Step,
    parse_script,
    polite,
)
from servers.sink import AiosmtpdServer, PostfixSmtpd, SmtpSink

ROOT = Path(__file__).parents[1]

BODY = b"Subject: dots\r\n\r\n.\r\n..b\r\nend"

TAKES_ONE = """
    # The server takes one mail.
    S: 220 mx.test ESMTP
    C: EHLO *
    S: 250 mx.test
    C: MAIL FROM:<a@b.test>*
    S: 250 2.1.0 Ok
    C: RCPT TO:<c@d.test>*
    S: 250 2.1.5 Ok
    C: DATA
    S: 354 go ahead
    C: <data>
    S: 250 2.0.0 taken
    C: QUIT
    S: 221 bye
    S! close
"""


@contextlib.contextmanager
def client(
    server: ScriptedServer | SmtpSink | PostfixSmtpd | AiosmtpdServer,
) -> Iterator[smtplib.SMTP]:
    """smtplib, whose own `with` block says QUIT even where nobody listens."""
    connection = smtplib.SMTP(server.host, server.port, local_hostname="c.test", timeout=5)
    try:
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def raw_client(server: ScriptedServer) -> Iterator[socket.socket]:
    with socket.create_connection(server.address, timeout=5) as sock:
        yield sock


def read_until(sock: socket.socket, end: bytes) -> bytes:
    seen = b""
    while not seen.endswith(end) and (octets := sock.recv(1000)):
        seen += octets
    return seen


def send(connection: smtplib.SMTP, data: bytes = BODY) -> None:
    connection.sendmail("a@b.test", ["c@d.test"], data)
    connection.quit()


# The text of scripts


def test_a_script_is_read_without_any_socket() -> None:
    steps = parse_script("# title\n\n  S: 220 mx\n C: EHLO *\nC: <data>\nS! close\nS! drip 2…")

    assert steps == [
        Step(action=Action.SEND, text="220 mx", number=3),
        Step(action=Action.EXPECT, text="EHLO *", number=4),
        Step(action=Action.DATA, number=5),
        Step(action=Action.CLOSE, number=6),
        Step(action=Action.DRIP_ON, text="2", number=7),
    ]


@pytest.mark.parametrize(
    "text", ["", "# nothing", "220 mx.test", "S! explode", "C: <dada>", "S! raw", "S! drip"]
)
def test_what_is_no_script_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="script"):
        parse_script(text)


@pytest.mark.parametrize(
    ("line", "octets"),
    [
        ("S: 250 ok", b"250 ok\r\n"),
        ("S:", b"\r\n"),
        ("S: 250 gr\u00fc\u00dfe", b"250 gr\xc3\xbc\xc3\x9fe\r\n"),
        (r"S! raw 250 \0\xff\n", b"250 \x00\xff\n"),
        ("S! drip 250 ok", b"250 ok\r\n"),
        ("S! drip 250-a…", b"250-a"),
        ("C: QUIT", b""),
    ],
)
def test_a_step_knows_the_octets_that_it_sends(line: str, octets: bytes) -> None:
    assert parse_script(line)[0].octets == octets


@pytest.mark.parametrize(
    ("pattern", "line", "fits"),
    [
        ("QUIT", "QUIT", True),
        ("QUIT", "quit", True),
        ("QUIT now", "QUIT Now", False),
        ("QUIT", "QUIT ", False),
        ("EHLO *", "EHLO [127.0.0.1]", True),
        ("EHLO [127.0.0.1]", "EHLO 1", False),
        ("MAIL FROM:<*> SIZE=*", "mail from:<a@b.test> SIZE=1", True),
        ("MAIL FROM:<*> SIZE=*", "MAIL FROM:<a@b.test>", False),
        ("RCPT TO:<a@b.test>", "RCPT TO:<A@b.test>", False),
    ],
)
def test_only_the_star_is_special_in_what_is_expected(
    pattern: str, line: str, *, fits: bool
) -> None:
    assert parse_script(f"C: {pattern}")[0].matches(line) is fits


# The scripted server


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_server_plays_its_script_and_keeps_the_mail(host: str, scripted_server: Start) -> None:
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else 2).close()
    except OSError:
        pytest.skip(f"this machine has no {host}")
    server = scripted_server(TAKES_ONE, host=host)

    with client(server) as connection:
        send(connection)

    server.wait_until_ended()
    [mail] = server.mails
    assert mail.data == BODY + b"\r\n"
    assert mail.raw == b"Subject: dots\r\n\r\n..\r\n...b\r\nend\r\n.\r\n"
    assert (mail.sender, mail.recipients) == ("a@b.test", ("c@d.test",))
    assert (mail.verdicts, server.accepted) == ([250], 1)
    assert server.lines[0] == "ehlo c.test"
    assert server.sessions[0].completed
    assert "S: 250 2.0.0 taken" in server.sessions[0].events


def test_the_mail_is_in_the_ledger_as_soon_as_the_client_has_its_reply(
    scripted_server: Start,
) -> None:
    for _ in range(20):
        server = scripted_server()
        with client(server) as connection:
            connection.sendmail("a@b.test", ["c@d.test"], BODY)
            assert server.accepted == 1


def test_a_client_that_does_not_keep_to_the_script_fails_the_test() -> None:
    with (
        pytest.raises(ScriptMismatch, match=r"'ehlo c.test'.*'HELO \*' \(line 2: C: HELO \*\)"),
        ScriptedServer("S: 220 mx\nC: HELO *\nS: 250 mx") as server,
        client(server) as connection,
        pytest.raises(smtplib.SMTPServerDisconnected),
    ):
        connection.ehlo()


def test_a_mistake_of_the_client_does_not_hide_the_tests_own_failure() -> None:
    def run() -> None:
        with ScriptedServer("S: 220 mx\nC: HELO *") as server:
            with client(server) as connection, contextlib.suppress(smtplib.SMTPException):
                connection.ehlo()
            server.wait_until_ended()
            raise KeyError

    with pytest.raises(KeyError):
        run()


def test_a_defect_in_a_script_fails_the_test() -> None:
    def script(conn: Conn) -> None:
        raise RuntimeError("oops")

    with (
        pytest.raises(ScriptMismatch, match="oops"),
        ScriptedServer(script) as server,
        raw_client(server) as sock,
    ):
        assert sock.recv(1) == b""


def test_a_client_that_leaves_early_is_told_apart_from_one_that_stays(
    scripted_server: Start,
) -> None:
    server = scripted_server(TAKES_ONE)

    with client(server) as connection:
        connection.ehlo()
    server.wait_until_ended()

    assert not server.sessions[0].completed
    assert server.sessions[0].error is None
    assert "the client left, at C: MAIL FROM:<a@b.test>*" in server.sessions[0].events[-2]


def test_each_connection_gets_the_next_script_and_the_last_one_serves_the_rest(
    scripted_server: Start,
) -> None:
    server = scripted_server("S: 421 first\nS! close", "S: 220 other\nC: QUIT\nS: 221 bye")

    with raw_client(server) as sock:
        assert sock.recv(100) == b"421 first\r\n"
    for _ in range(2):
        with client(server) as connection:
            assert connection.quit()[0] == 221

    server.wait_until_ended(3)
    assert [session.number for session in server.sessions] == [0, 1, 2]
    assert server.lines == ("quit", "quit")


def test_a_reply_before_the_dot_does_not_count_as_an_acceptance(scripted_server: Start) -> None:
    server = scripted_server(
        "S: 220 mx\nC: DATA\nS: 354 go\nS: 250 early\nS! raw 25\nC: <data>\nS! raw 0 torn\\r\\n"
        "\nS: 250-half\nS! close"
    )

    with raw_client(server) as sock:
        sock.sendall(b"DATA\r\n")
        read_until(sock, b"\r\n25")
        sock.sendall(b"x\r\n.\r\n")
        assert read_until(sock, b"half\r\n") == b"0 torn\r\n250-half\r\n"

    server.wait_until_ended()
    assert server.mails[0].verdicts == []
    assert server.accepted == 0


def test_a_refused_mail_is_kept_but_not_counted_as_accepted(scripted_server: Start) -> None:
    server = scripted_server(polite(replies={".": "554 5.6.0 no"}))

    with client(server) as connection, pytest.raises(smtplib.SMTPDataError):
        send(connection)

    assert server.mails[0].verdicts == [554]
    assert server.accepted == 0


@pytest.mark.parametrize("data", [b"", b".", b".\r\n.", b"\r\n", b"a\r\n..\r\n", b".." * 70_000])
def test_mail_data_comes_out_as_it_went_in(data: bytes, server: ScriptedServer) -> None:
    with client(server) as connection:
        send(connection, data)

    expected = data if data.endswith(b"\r\n") or not data else data + b"\r\n"
    # smtplib ends even an empty mail with a line end of its own.
    assert server.mails[0].data == (expected or b"\r\n")


def test_a_lone_dot_is_an_empty_mail_and_what_follows_is_a_command(scripted_server: Start) -> None:
    server = scripted_server(
        "S: 220 mx\nC: DATA\nS: 354 go\nC: <data>\nS: 250 ok\nC: QUIT\nS: 221 b"
    )

    with raw_client(server) as sock:
        sock.sendall(b"DATA\r\n.\r\nQUIT\r\n")
        while sock.recv(1000):
            pass

    assert server.mails[0].data == b""
    assert server.sessions[0].completed


def test_mail_data_may_come_octet_by_octet(scripted_server: Start) -> None:
    server = scripted_server("C: DATA\nC: <data>\nS: 250 ok")

    with raw_client(server) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in b"DATA\r\na\r\n..\r\n.\r\n":
            sock.sendall(bytes([octet]))
        assert sock.recv(100) == b"250 ok\r\n"

    assert server.mails[0].data == b"a\r\n.\r\n"


def test_chunks_are_read_by_their_size(scripted_server: Start) -> None:
    server = scripted_server(polite("CHUNKING"))

    with client(server) as connection:
        connection.ehlo()
        connection.mail("a@b.test")
        connection.rcpt("c@d.test")
        connection.send(b"BDAT 5\r\n\r\n.\r\n")
        assert connection.getreply()[0] == 250
        connection.send(b"BDAT 3 LAST\r\n.\r\n")
        assert connection.getreply()[0] == 250

    assert server.mails[0].data == b"\r\n.\r\n.\r\n"
    assert server.mails[0].recipients == ("c@d.test",)
    assert server.accepted == 1


def test_the_polite_server_refuses_whom_it_is_told_to(scripted_server: Start) -> None:
    server = scripted_server(polite("SIZE 100", replies={"no@d.test": "550 5.1.1 who?"}))

    with client(server) as connection:
        refused = connection.sendmail("a@b.test", ["no@d.test", "c@d.test"], BODY)
        assert connection.esmtp_features == {"size": "100"}

    assert refused == {"no@d.test": (550, b"5.1.1 who?")}
    assert server.mails[0].recipients == ("c@d.test",)


def test_the_polite_server_answers_for_each_recipient_in_lmtp(server: ScriptedServer) -> None:
    connection = smtplib.LMTP(server.host, server.port, local_hostname="c.test")
    connection.ehlo()
    connection.mail("a@b.test")
    connection.rcpt("c@d.test")
    connection.rcpt("e@d.test")
    connection.data(BODY)
    assert connection.getreply()[0] == 250
    connection.quit()

    assert server.mails[0].verdicts == [250, 250]


def test_a_closing_server_is_an_end_and_a_resetting_one_an_error(scripted_server: Start) -> None:
    server = scripted_server("S: 220 mx\nC: EHLO *\nS! close", "S: 220 mx\nC: EHLO *\nS! reset")

    with raw_client(server) as sock:
        assert sock.recv(100) == b"220 mx\r\n"
        # The octets after the line stay unread: they may not turn the close into a reset.
        sock.sendall(b"EHLO a\r\nMAIL FROM:<>\r\n")
        assert sock.recv(100) == b""
    with raw_client(server) as sock:
        assert sock.recv(100) == b"220 mx\r\n"
        sock.sendall(b"EHLO a\r\n")
        with pytest.raises(ConnectionResetError):
            sock.recv(100)

    server.wait_until_ended(2)
    assert server.sessions[0].unanswered == b"MAIL FROM:<>\r\n"


def test_a_silent_server_reads_on_and_notes_when_the_client_leaves(scripted_server: Start) -> None:
    server = scripted_server("S: 220 mx\nC: EHLO *\nS! silence")

    with raw_client(server) as sock:
        sock.sendall(b"EHLO a\r\nQUIT\r\n")
        assert sock.recv(100) == b"220 mx\r\n"
        server.wait_for(lambda: server.sessions[0].events[-1] == "S: falls silent")
        assert not server.sessions[0].ended

    server.wait_until_ended()
    assert server.sessions[0].unanswered == b"QUIT\r\n"


@pytest.mark.parametrize("deed", ["silence", "deaf", "drip 220-a…"])
def test_the_end_of_the_test_ends_a_server_that_never_answers(deed: str) -> None:
    with ScriptedServer(f"S! {deed}") as server:
        sock = socket.create_connection(server.address, timeout=5)
        server.wait_for(lambda: server.sessions)
    with sock, contextlib.suppress(ConnectionResetError):
        # Whatever came before, the end has come too.
        while sock.recv(100):
            pass
    assert server.sessions[0].ended


def test_a_dripping_server_sends_octet_by_octet(scripted_server: Start) -> None:
    seen = []
    server = scripted_server("S! drip 220 mx\nS! close", drip_interval=0.001)

    with raw_client(server) as sock:
        while octets := sock.recv(100):
            seen.append(octets)

    assert b"".join(seen) == b"220 mx\r\n"
    assert len(seen) > 1


def test_an_endless_drip_ends_when_the_client_leaves(scripted_server: Start) -> None:
    server = scripted_server("S! drip 220-…", drip_interval=0.001)

    with raw_client(server) as sock:
        assert read_until(sock, b"-----").strip(b"-") == b"220"

    server.wait_until_ended()
    assert not server.sessions[0].completed


def test_the_server_can_demand_that_the_client_leaves(scripted_server: Start) -> None:
    server = scripted_server("S: 554 no\nC: <eof>")
    with raw_client(server):
        pass
    server.wait_until_ended()
    assert server.sessions[0].completed

    def run() -> None:
        with ScriptedServer("S: 554 no\nC: <eof>") as stern, raw_client(stern) as sock:
            sock.sendall(b"QUIT\r\n")
            read_until(sock, b"never")

    with pytest.raises(ScriptMismatch, match="'QUIT' where the script expects it to leave"):
        run()


def test_a_script_may_be_a_function(scripted_server: Start) -> None:
    heard = []

    def script(conn: Conn) -> None:
        conn.send("220-mx", "220 mx")
        heard.append(conn.line("EHLO *"))
        conn.raw(b"250 mx\r\n")
        conn.reset()

    server = scripted_server(script)
    with client(server) as connection:
        assert connection.ehlo() == (250, b"mx")

    server.wait_until_ended()
    assert heard == ["ehlo c.test"]


def test_many_clients_are_served_at_once(server: ScriptedServer) -> None:
    together = threading.Barrier(20, timeout=10)

    def run() -> None:
        with client(server) as connection:
            connection.ehlo()
            together.wait()
            send(connection)

    threads = [threading.Thread(target=run) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert server.accepted == 20
    assert len(server.sessions) == 20


def test_waiting_in_vain_tells_what_happened(scripted_server: Start) -> None:
    server = scripted_server("S: 220 mx\nC: QUIT\nS: 221 bye")
    with client(server) as connection:
        connection.quit()

    with pytest.raises(AssertionError, match=r"(?s)in vain.*C: quit"):
        server.wait_for(lambda: server.mails, timeout=0.01)


def test_the_server_speaks_tls_in_the_middle_of_a_script(scripted_server: Start) -> None:
    require_module("trustme")
    trustme = importlib.import_module("trustme")
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    server = scripted_server(
        "S: 220 mx\nC: EHLO *\nS! raw 250-mx\\r\\n250 STARTTLS\\r\\n\nC: STARTTLS\nS: 220 go\n"
        "S! tls\nC: EHLO *\nS: 250 mx\nC: QUIT\nS: 221 bye",
        context=context,
    )

    with client(server) as connection:
        connection.starttls(context=trusting)
        connection.ehlo()
        connection.quit()

    server.wait_until_ended()
    assert server.sessions[0].completed
    assert server.sessions[0].tls == "TLSv1.3"


def test_a_client_that_does_not_trust_the_server_is_gone_not_wrong(scripted_server: Start) -> None:
    require_module("trustme")
    trustme = importlib.import_module("trustme")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server = scripted_server("S! tls\nC: EHLO *", context=context)

    with raw_client(server) as sock, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(sock, server_hostname="127.0.0.1")

    server.wait_until_ended()
    assert server.sessions[0].error is None
    assert not server.sessions[0].completed


# Real servers


def test_aiosmtpd_takes_refuses_and_greylists(
    aiosmtpd_server: Callable[..., AiosmtpdServer],
) -> None:
    server = aiosmtpd_server(
        replies={"no@d.test": "550 5.1.1 who?", "later@d.test": "450 4.2.0 greylisted"}
    )

    with client(server) as connection:
        refused = connection.sendmail("a@b.test", ["no@d.test", "c@d.test", "later@d.test"], BODY)

    assert {who: code for who, (code, _) in refused.items()} == {
        "no@d.test": 550,
        "later@d.test": 450,
    }
    [mail] = server.mails
    assert mail.data == BODY + b"\r\n"
    assert (mail.sender, mail.recipients) == ("a@b.test", ("c@d.test",))
    assert server.accepted == 1


def test_aiosmtpd_refuses_a_mail_and_stops_while_a_client_is_there() -> None:
    with AiosmtpdServer(replies={".": "554 5.6.0 no"}) as server:
        connection = smtplib.SMTP(server.host, server.port, "c.test", timeout=5)
        with pytest.raises(smtplib.SMTPDataError):
            connection.sendmail("a@b.test", ["c@d.test"], BODY)
        server.wait_for(lambda: len(server.mails) == 1)
    connection.close()
    assert server.accepted == 0


def test_smtp_sink_takes_mails(smtp_sink: Callable[..., SmtpSink]) -> None:
    with client(smtp_sink()) as connection:
        send(connection)


def test_smtp_sink_misbehaves_on_demand(smtp_sink: Callable[..., SmtpSink]) -> None:
    with client(smtp_sink("-r", "RCPT")) as connection:
        connection.ehlo()
        connection.mail("a@b.test")
        assert connection.rcpt("c@d.test")[0] == 450


@pytest.mark.servers  # which it does after a second's sleep
def test_smtp_sink_tells_why_it_does_not_start() -> None:
    with pytest.raises(RuntimeError, match=r"smtp-sink ended at once.*invalid option"):
        SmtpSink("-9").__enter__()


def test_postfix_delivers_what_it_took(postfix_smtpd: Callable[..., PostfixSmtpd]) -> None:
    server = postfix_smtpd(
        keep=True, replies={"no@d.test": "550 5.1.1 who?", "later@d.test": "450 4.2.0 greylisted"}
    )

    with client(server) as connection:
        refused = connection.sendmail(
            "a@b.test", ["no@d.test", "c@d.test", "later@d.test"], BODY + b"\r\n\xff"
        )
        connection.quit()
    server.wait_for(lambda: server.mails)

    assert {who: code for who, (code, _) in refused.items()} == {
        "no@d.test": 550,
        "later@d.test": 450,
    }
    [mail] = server.mails
    assert b"\r\nSubject: dots\r\n" in mail.data
    assert mail.data.endswith(b"\r\n\r\n.\r\n..b\r\nend\r\n\xff\r\n")
    assert (mail.sender, mail.recipients) == ("a@b.test", ("c@d.test",))


def test_postfix_offers_what_it_is_told_to(postfix_smtpd: Callable[..., PostfixSmtpd]) -> None:
    server = postfix_smtpd(
        withhold=("PIPELINING", "CHUNKING"),
        size_limit=2000,
        settings={"body_checks": "regexp:$config_directory/body", "smtputf8_enable": "yes"},
        tables={"body": "/virus/ REJECT no virus\n"},
    )

    with client(server) as connection:
        connection.ehlo()
        assert not connection.has_extn("PIPELINING")
        assert not connection.has_extn("CHUNKING")
        assert connection.has_extn("SMTPUTF8")
        assert connection.esmtp_features["size"] == "2000"
        with pytest.raises(smtplib.SMTPDataError, match="no virus"):
            connection.sendmail("a@b.test", ["c@d.test"], b"\r\nvirus")
        with pytest.raises(smtplib.SMTPSenderRefused, match="size"):
            connection.sendmail("a@b.test", ["c@d.test"], b"\r\n" + b"x" * 3000)


def test_postfix_offers_pipelining_and_chunking_unless_told_otherwise(
    postfix_smtpd: Callable[..., PostfixSmtpd],
) -> None:
    server = postfix_smtpd()

    with client(server) as connection:
        connection.ehlo()
        assert connection.has_extn("PIPELINING")
        assert connection.has_extn("CHUNKING")
        send(connection)
    with pytest.raises(RuntimeError, match="keep=True"):
        _ = server.mails


def test_a_missing_program_skips_here_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYKKA_SMTP_REQUIRE_SERVERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-server is not installed"):
        require("no-such-server")
    monkeypatch.setenv("PYKKA_SMTP_REQUIRE_SERVERS", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-server is not installed"):
        require("no-such-server")


# What is left behind


def test_a_forgotten_actor_is_found_and_stopped() -> None:
    before = Leftovers()
    ref = pykka.ThreadingActor.start()

    assert before.complaints(patience=0.05)[0] == f"an actor: {ref}"

    assert ref.actor_stopped.wait(5)
    assert before.complaints() == []


def test_a_forgotten_thread_is_found() -> None:
    release = threading.Event()
    before = Leftovers()
    thread = threading.Thread(target=release.wait, name="forgotten")
    thread.start()

    assert before.complaints(patience=0.05) == ["a thread: forgotten"]

    release.set()
    assert before.complaints() == []


@pytest.mark.skipif("not __import__('os').path.isdir('/proc/self/fd')", reason="needs /proc")
def test_a_forgotten_descriptor_is_found() -> None:
    before = Leftovers()
    left, right = socket.socketpair()

    [complaint] = before.complaints(patience=0.05)
    assert complaint.startswith("2 descriptors")
    assert complaint.count("socket:") == 2

    left.close()
    right.close()
    assert before.complaints() == []


def test_what_a_plain_run_leaves_out_is_run_by_ci() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    ci = (ROOT / ".ci/run").read_text()

    assert project["tool"]["pytest"]["ini_options"]["addopts"][-2:] == [
        *("-m", "not servers and not long")
    ]
    assert '"$bin/pytest" -n 4 --dist loadfile -m "servers or long"\n' in ci


def test_receivers_are_forgotten() -> None:
    before = Leftovers()
    heard: list[object] = []
    for name in ("smtp_send_success", "made by this test"):
        blinker.signal(name).connect(heard.append, weak=False)

    assert before.complaints() == []

    blinker.signal("smtp_send_success").send("sender")
    blinker.signal("made by this test").send("sender")
    assert heard == []

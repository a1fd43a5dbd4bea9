"""What is said of a mail under TLS is as true as in the clear: on slow lines, and amid breaks."""

import dataclasses
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, Self, cast

import pytest
from servers.certificates import Certificates, server_context
from servers.certificates import Tls as ServerTls
from servers.one_mail import failure
from servers.scripted import ClientGone, Conn, ScriptedServer, parse_script
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import FailureKind, Outcome, SendMail, SendSuccess, SmtpActor, Stage, verify
from pykka_smtp.actors.net import timeouts as timeouts_module
from pykka_smtp.actors.net.connecting import sockets as sockets_module
from pykka_smtp.actors.net.tls import tls as tls_module
from pykka_smtp.actors.net.wire.connection import Connection
from pykka_smtp.actors.options import options as options_module

LINE = b"a line of text, as there are many in a mail that no small buffer holds\r\n"

pytestmark = pytest.mark.usefixtures("loop_kind")

Serve = Callable[..., ScriptedServer]


def mail_of(size: int) -> SendMail:
    raw = b"Subject: x\r\n\r\n" + LINE * (size // len(LINE))
    return SendMail(sender="a@b.test", recipients="c@d.test", message=raw)


@pytest.fixture
def serve(scripted_server: Serve, certificates: Certificates) -> Serve:
    """Start a server for TLS; with ``narrow``, what its clients send waits at their side."""

    def start(*scripts: Any, narrow: bool = False, **tls: Any) -> ScriptedServer:
        asked = ServerTls(certificate=certificates.good, **tls)
        server = scripted_server(*scripts, context=server_context(asked))
        if narrow:
            # Who is accepted inherits it.
            server._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        return server

    return start


@pytest.fixture
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the system take no more than 8 KiB of what we write, as on a slow line."""
    connect = sockets_module.Connector.sock_connect

    async def narrow(self: Any, sock: socket.socket, address: Any) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        await connect(self, sock, address)

    monkeypatch.setattr(sockets_module.Connector, "sock_connect", narrow)


def send(
    server: ScriptedServer, certificates: Certificates, mail: SendMail | None = None, **options: Any
) -> Outcome:
    context = certificates.trusting()
    usual: dict[str, Any] = {"tls": "starttls", "tls_context": context, "timeout": PATIENCE}
    ref = SmtpActor.start("localhost", server.port, **usual | options)
    outcome = ref.ask(mail or mail_of(100), timeout=PATIENCE)
    assert ref.actor_stopped.wait(PATIENCE)
    return outcome


def offer_tls(conn: Conn, tls: str = "starttls") -> None:
    """Come to where TLS begins."""
    if tls == "starttls":
        script = "S: 220 mx.test\nC: EHLO *\nS: 250-mx.test\nS: 250 STARTTLS\nC: STARTTLS"
        conn.play(parse_script(f"{script}\nS: 220 go"))


def begin(conn: Conn) -> None:
    offer_tls(conn)
    conn.starttls()
    conn.play(parse_script("C: EHLO *\nS: 250 mx.test"))


def until_the_mail(conn: Conn) -> None:
    begin(conn)
    conn.play(parse_script("C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA"))


def amid_the_mail(conn: Conn) -> None:
    until_the_mail(conn)
    conn.send("354 go")


def bare(conn: Conn) -> socket.socket:
    """The TCP connection below TLS."""
    sock = socket.socket(fileno=os.dup(conn._sock.fileno()))
    sock.settimeout(PATIENCE)
    return sock


def waiting(conn: Conn) -> int:
    """How many octets have come that the server has not read."""
    with bare(conn) as sock:
        try:
            return len(sock.recv(1_000_000, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:
            return 0


# The dot is out when the operating system has it.


@pytest.mark.usefixtures("_narrow")
@pytest.mark.parametrize("size", [60_000, 120_000])
def test_a_reply_before_the_mail_data_was_sent_does_not_count(
    size: int, serve: Serve, certificates: Certificates
) -> None:
    def script(conn: Conn) -> None:
        amid_the_mail(conn)
        wait_until(lambda: waiting(conn) > 0, PATIENCE)
        conn.send("250 2.0.0 taken")
        conn.deaf()

    server = serve(script, narrow=True)

    outcome = failure(send(server, certificates, mail_of(size)))

    assert (outcome.kind, outcome.stage) == (FailureKind.PROTOCOL, Stage.BODY)
    assert not outcome.maybe_accepted


@pytest.mark.usefixtures("_narrow")
def test_a_reset_before_the_mail_has_left_leaves_no_doubt(
    serve: Serve, certificates: Certificates
) -> None:
    def script(conn: Conn) -> None:
        amid_the_mail(conn)
        wait_until(lambda: waiting(conn) > 0, PATIENCE)
        conn.reset()

    outcome = failure(send(serve(script, narrow=True), certificates, mail_of(60_000)))

    assert (outcome.kind, outcome.stage) == (FailureKind.CONNECTION, Stage.BODY)
    assert not outcome.maybe_accepted


@pytest.mark.usefixtures("_narrow")
@pytest.mark.parametrize("tls", ["starttls", "off"])
def test_a_server_that_reads_slowly_and_in_time_gets_the_mail(
    tls: str, serve: Serve, certificates: Certificates
) -> None:
    pause = threading.Event()

    def slow_body(conn: Conn) -> None:
        came = b""
        while not came.endswith(b"\r\n.\r\n"):
            came = (came + conn._sock.recv(1_500))[-5:]
            pause.wait(0.025)  # 60 kB a second
        conn.send("250 2.0.0 taken")
        conn.line("QUIT")
        conn.send("221 bye")

    def script(conn: Conn) -> None:
        if tls == "off":
            conn.play(parse_script("S: 220 mx\nC: EHLO *\nS: 250 mx\nC: MAIL *\nS: 250 ok"))
            conn.play(parse_script("C: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go"))
        else:
            amid_the_mail(conn)
        slow_body(conn)

    server = serve(script, narrow=True)
    given = {"tls": tls} | ({"tls_context": None} if tls == "off" else {})

    outcome = send(server, certificates, mail_of(120_000), timeout=1.2, **given)

    assert isinstance(outcome, SendSuccess), outcome
    assert outcome.elapsed > 1.2


# Half a record.


class Halves:
    """Seals text as the server's TLS does, and sends the record in two parts."""

    def __init__(self, conn: Conn) -> None:
        self._sock = bare(conn)
        self._came, self._going = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = conn._context
        assert context is not None
        self._tls = context.wrap_bio(self._came, self._going, server_side=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self._sock.close()

    def shake_hands(self) -> bytes:
        """Do so; return what is to be sent next: session tickets."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self.send(self._going.read())
                self._came.write(self._receive())
            else:
                return self._going.read()

    def send(self, octets: bytes) -> None:
        try:
            self._sock.sendall(octets)
        except OSError as error:
            raise ClientGone(f"write: {error}") from error

    def sealed(self, text: str) -> bytes:
        self._tls.write(text.encode() + b"\r\n")
        return self._going.read()

    def hear(self, end: bytes = b"\r\n") -> bytes:
        """Read until the client has said this."""
        text = b""
        while not text.endswith(end):
            try:
                text += self._tls.read(65_536)
            except ssl.SSLWantReadError:
                self._came.write(self._receive())
        return text

    def _receive(self) -> bytes:
        try:
            octets = self._sock.recv(65_536)
        except OSError as error:
            raise ClientGone(f"read: {error}") from error
        if not octets:
            raise ClientGone("the client left")
        return octets


def halves(conn: Conn) -> Halves:
    """Lead the session up to DATA."""
    offer_tls(conn)
    ours = Halves(conn)
    ours.send(ours.shake_hands())
    for _ in range(3):  # EHLO, MAIL, RCPT
        ours.hear()
        ours.send(ours.sealed("250 ok"))
    ours.hear()
    return ours


@pytest.mark.parametrize("cut", [1, 4, 12])
def test_a_reply_begun_before_the_dot_does_not_count(
    cut: int, serve: Serve, certificates: Certificates
) -> None:
    """The one half of the record with the 354, the other when the server likes."""
    went_on = threading.Event()

    def script(conn: Conn) -> None:
        with halves(conn) as ours:
            record = ours.sealed("354 go"), ours.sealed("250 early")
            ours.send(record[0] + record[1][:cut])
            went_on.wait(0.3)  # for a dot that must not come
            ours.send(record[1][cut:] + ours.sealed("554 spam"))
            ours.hear(b"\r\n.\r\n")

    outcome = failure(send(serve(script), certificates))

    assert (outcome.kind, outcome.stage) == (FailureKind.PROTOCOL, Stage.BODY)
    assert not outcome.maybe_accepted


@pytest.mark.usefixtures("_narrow")
def test_a_reply_begun_while_the_dot_was_buffered_does_not_count(
    serve: Serve, certificates: Certificates
) -> None:
    """The mail and the dot are written at once, and most of them have not left yet."""

    def script(conn: Conn) -> None:
        with halves(conn) as ours:
            ours.send(ours.sealed("354 go"))
            wait_until(lambda: waiting(conn) > 0, PATIENCE)
            record = ours.sealed("250 early")
            ours.send(record[:12])
            ours.hear(b"\r\n.\r\n")
            ours.send(record[12:])
            ours.send(ours.sealed("554 spam"))
            wait_until(conn._stopping.is_set, 1.0)

    outcome = failure(send(serve(script, narrow=True), certificates, mail_of(60_000)))

    assert (outcome.kind, outcome.maybe_accepted) == (FailureKind.PROTOCOL, True)


def test_a_record_of_which_the_rest_never_comes_ends_in_time(
    serve: Serve, certificates: Certificates
) -> None:
    def script(conn: Conn) -> None:
        with halves(conn) as ours:
            # At once: or the mail is out before the half record is here.
            ours.send(ours.sealed("354 go") + ours.sealed("250 early")[:12])
            conn.deaf()

    outcome = failure(send(serve(script), certificates, timeout=0.4))

    assert (outcome.kind, outcome.stage) == (FailureKind.TIMEOUT, Stage.BODY)
    assert not outcome.maybe_accepted


def test_a_verdict_with_half_a_record_behind_it_waits_for_the_rest(
    serve: Serve, certificates: Certificates
) -> None:
    def script(conn: Conn) -> None:
        with halves(conn) as ours:
            ours.send(ours.sealed("354 go"))
            ours.hear(b"\r\n.\r\n")
            record = ours.sealed("250 taken"), ours.sealed("554 spam")
            ours.send(record[0] + record[1][:7])
            ours.send(record[1][7:])
            conn.hang()

    outcome = failure(send(serve(script), certificates))

    assert (outcome.kind, outcome.stage) == (FailureKind.PROTOCOL, Stage.DOT)
    assert outcome.maybe_accepted


def test_a_session_ticket_cut_in_two_holds_nothing_for_ever(
    serve: Serve, certificates: Certificates
) -> None:
    """It is half a record, and then no reply: the session goes on."""
    held = threading.Event()

    def script(conn: Conn) -> None:
        offer_tls(conn)
        with Halves(conn) as ours:
            tickets = ours.shake_hands()
            assert len(tickets) > 100
            ours.send(tickets[:20])
            held.wait(0.2)
            ours.send(tickets[20:])
            for reply in ("250 ok", "250 ok", "250 ok", "354 go"):
                ours.hear()
                ours.send(ours.sealed(reply))
            ours.hear(b"\r\n.\r\n")
            ours.send(ours.sealed("250 taken"))
            ours.hear()
            ours.send(ours.sealed("221 bye"))

    assert isinstance(send(serve(script), certificates), SendSuccess)


# What was said before a break is its cause.


@pytest.mark.parametrize("code", [452, 554])
@pytest.mark.parametrize("end", ["reset", "close"])
def test_a_refusal_amid_the_mail_is_the_cause_however_the_server_closes(
    code: int, end: str, serve: Serve, certificates: Certificates
) -> None:
    def script(conn: Conn) -> None:
        amid_the_mail(conn)
        conn._read("mail data")
        conn.send(f"{code} 5.7.1 no more of this")
        if end == "close":
            conn._sock.close()  # with octets unread: RST
        else:
            conn.reset()

    server = serve(*[script] * 8)
    for _ in range(4):
        outcome = failure(send(server, certificates, mail_of(12_000_000)))
        assert (outcome.kind, outcome.code) == (FailureKind.SMTP, code)
        assert (outcome.stage, outcome.maybe_accepted) == (Stage.BODY, False)


@pytest.mark.parametrize("part", ["554 5.7.1 no mo", "554-5.7.1 no more\r\n", ""])
def test_an_incomplete_rejection_is_not_the_cause(
    part: str, serve: Serve, certificates: Certificates
) -> None:
    def script(conn: Conn) -> None:
        amid_the_mail(conn)
        conn._read("mail data")
        if part:
            conn.raw(part.encode())
        conn.reset()

    outcome = failure(send(serve(script), certificates, mail_of(12_000_000)))

    assert (outcome.kind, outcome.stage) == (FailureKind.CONNECTION, Stage.BODY)
    assert outcome.retryable


# The address is known whatever happens.


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("when", ["handshake", "at once", "dot"])
@pytest.mark.parametrize("how", ["reset", "close"])
def test_the_peer_has_its_address_however_the_connection_broke(
    tls: str, when: str, how: str, serve: Serve, certificates: Certificates
) -> None:
    def script(conn: Conn) -> None:
        offer_tls(conn, tls)
        if when == "handshake":
            conn._read("a ClientHello")
            getattr(conn, how)()
            return
        conn.starttls()
        if when == "at once":
            getattr(conn, how)()
            return
        if tls == "implicit":
            conn.send("220 mx.test")
        conn.play(parse_script("C: EHLO *\nS: 250 mx.test\nC: MAIL *\nS: 250 ok\nC: RCPT *"))
        conn.play(parse_script("S: 250 ok\nC: DATA\nS: 354 go\nC: <data>"))
        getattr(conn, how)()

    server = serve(script)
    outcome = failure(send(server, certificates, tls=tls))

    assert outcome.kind is FailureKind.CONNECTION
    assert outcome.peer is not None
    assert str(outcome.peer) == f"localhost[127.0.0.1]:{server.port}"
    assert (outcome.peer.tls_version is None) is (when == "handshake")
    assert outcome.maybe_accepted is (when == "dot")


# What a server says of our certificate, after the handshake as we see it.


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("ours", ["none", "unknown_client"])
def test_a_server_that_wants_another_certificate_is_told_as_that(
    tls: str, version: ssl.TLSVersion, ours: str, serve: Serve, certificates: Certificates
) -> None:
    def script(conn: Conn) -> None:
        offer_tls(conn, tls)
        conn.starttls()

    server = serve(script, client_ca=certificates.ca, client_required=True)
    assert server._context is not None
    server._context.maximum_version = version
    client = None if ours == "none" else certificates.unknown_client
    context = certificates.trusting(client)

    for _ in range(4):
        outcome = failure(send(server, certificates, tls=tls, tls_context=context))
        assert outcome.kind is FailureKind.SECURITY, outcome
        assert outcome.stage is (Stage.STARTTLS if tls == "starttls" else Stage.CONNECT)
        assert not outcome.retryable
        words = "does not accept our" if client else "wants a client certificate"
        assert words in outcome.detail
        assert "tls_context" in outcome.detail
    report = verify("localhost", server.port, tls=tls, tls_context=context, timeout=PATIENCE)
    assert str(report.peer) == f"localhost[127.0.0.1]:{server.port}"


def test_opportunistic_tls_continues_in_plaintext_if_a_certificate_is_required(
    serve: Serve, certificates: Certificates, scripted_server: Serve
) -> None:
    def script(conn: Conn) -> None:
        offer_tls(conn)
        conn.starttls()

    in_clear = parse_script(
        "S: 220 mx\nC: EHLO *\nS: 250-mx\nS: 250 STARTTLS\nC: MAIL *\nS: 250 ok\nC: RCPT *\n"
        "S: 250 ok\nC: DATA\nS: 354 go\nC: <data>\nS: 250 taken\nC: QUIT\nS: 221 bye"
    )
    server = serve(
        script, lambda conn: conn.play(in_clear), client_ca=certificates.ca, client_required=True
    )

    outcome = send(server, certificates, tls="auto", tls_context=None)

    assert isinstance(outcome, SendSuccess), outcome
    assert "without TLS" in "".join(outcome.warnings)
    failure(send(serve(script, client_ca=certificates.ca, client_required=True), certificates))


def test_an_alert_after_the_first_reply_is_a_broken_connection(
    serve: Serve, certificates: Certificates
) -> None:
    def script(conn: Conn) -> None:
        begin(conn)
        conn.line("MAIL *")
        with bare(conn) as sock:
            sock.sendall(b"\x15\x03\x03\x00\x02\x02\x28")  # in clear: it is none
        conn.deaf()

    outcome = failure(send(serve(script), certificates))

    assert (outcome.kind, outcome.stage) == (FailureKind.CONNECTION, Stage.MAIL)


# A certificate can be looked at before anything of ours goes out.


def test_nothing_is_sent_after_an_objection_to_the_certificate(
    serve: Serve, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []

    def objection(certificate: bytes) -> str:
        seen.append(certificate)
        return "not the one that was announced"

    made = tls_module.choose_tls

    def choose(*args: Any, **kwargs: Any) -> Any:
        tls = made(*args, **kwargs)
        return None if tls is None else dataclasses.replace(tls, objection=objection)

    monkeypatch.setattr(options_module, "choose_tls", choose)

    def script(conn: Conn) -> None:
        offer_tls(conn)
        conn.starttls()

    server = serve(script)
    outcome = failure(send(server, certificates))

    assert (outcome.kind, outcome.stage) == (FailureKind.SECURITY, Stage.STARTTLS)
    assert "not the one that was announced" in outcome.detail
    pem = certificates.good.chain.read_text().split("-----END CERTIFICATE-----")[0]
    assert seen == [ssl.PEM_cert_to_DER_cert(pem + "-----END CERTIFICATE-----\n")]
    assert [line for line in server.lines if line.startswith("EHLO")] == [server.lines[0]]


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_session_is_taken_up_again_with_a_context_of_the_programs_own(
    tls: str, serve: Serve, certificates: Certificates
) -> None:
    resumed: list[bool | None] = []

    def script(conn: Conn) -> None:
        offer_tls(conn, tls)
        conn.starttls()
        resumed.append(cast(ssl.SSLSocket, conn._sock).session_reused)
        if tls == "implicit":
            conn.send("220 mx.test")
        conn.play(parse_script("C: EHLO *\nS: 250 mx.test\nC: MAIL *\nS: 250 ok\nC: RCPT *"))
        conn.play(parse_script("S: 250 ok\nC: DATA\nS: 354 go\nC: <data>\nS: 250 taken"))
        conn.play(parse_script("C: QUIT\nS: 221 bye"))

    server, context = serve(script), certificates.trusting()
    for _ in range(2):
        outcome = send(server, certificates, tls=tls, tls_context=context)
        assert isinstance(outcome, SendSuccess), outcome
        assert outcome.peer is not None
        assert outcome.peer.tls_verified

    assert resumed == [False, True]


@pytest.mark.parametrize("end", ["waits", "closes", "never"])
def test_a_clean_end_sends_close_notify_without_waiting(
    end: str, serve: Serve, certificates: Certificates
) -> None:
    """RFC 8446 §6.1: each side says that it says no more."""
    heard: list[bytes] = []

    def script(conn: Conn) -> None:
        until_the_mail(conn)
        conn.play(parse_script("S: 354 go\nC: <data>\nS: 250 taken\nC: QUIT\nS: 221 bye"))
        if end == "closes":
            return
        heard.append(conn._sock.recv(100))  # b"" is TLS's farewell, an error a break
        if end == "never":
            conn.deaf()

    server = serve(script)
    outcome = send(server, certificates)

    assert isinstance(outcome, SendSuccess), outcome
    assert outcome.warnings == ()
    server.wait_for(lambda: heard or server.sessions[0].ended)
    assert heard == ([] if end == "closes" else [b""])


def test_plaintext_a_moment_after_the_220_is_an_attack(
    serve: Serve, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a packet of their own, but before our first octet of TLS."""
    start_tls, sent = Connection.start_tls, threading.Event()

    def late(self: Connection) -> None:
        may_go.set()
        assert sent.wait(PATIENCE)
        start_tls(self)

    monkeypatch.setattr(Connection, "start_tls", late)
    may_go = threading.Event()

    def script(conn: Conn) -> None:
        offer_tls(conn)
        conn.wait(may_go)
        conn.send("250 injected")
        sent.set()
        conn.hang()

    server = serve(script)
    outcome = failure(send(server, certificates))

    assert (outcome.kind, outcome.stage) == (FailureKind.SECURITY, Stage.STARTTLS)
    assert "possible response injection (RFC 3207 §6)" in outcome.detail
    server.wait_until_ended()
    assert server.sessions[0].unanswered == b""  # not even the first octet of TLS


def test_data_under_tls_before_any_command_violates_the_protocol(
    serve: Serve, certificates: Certificates
) -> None:
    def script(conn: Conn) -> None:
        offer_tls(conn)
        with Halves(conn) as ours:
            ours.send(ours.shake_hands() + ours.sealed("250 early"))
            conn.hang()

    server = serve(script)
    assert server._context is not None
    server._context.maximum_version = ssl.TLSVersion.TLSv1_2  # there, the server ends it

    outcome = failure(send(server, certificates))

    assert outcome.kind is FailureKind.PROTOCOL
    assert "sent data under TLS before any command" in outcome.detail


# Time.


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_handshake_that_hangs_has_the_time_that_our_table_gives_it(
    tls: str, serve: Serve, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(conn: Conn) -> None:
        offer_tls(conn, tls)
        conn.hang()

    table = dict(timeouts_module._RFC_5321)
    monkeypatch.setattr(timeouts_module, "_RFC_5321", table | {Stage.STARTTLS: 0.3})
    timeouts_module.make_timeouts.cache_clear()
    options_module._collect_cached.cache_clear()

    outcome = failure(send(serve(script), certificates, tls=tls, timeout_profile="rfc5321"))
    timeouts_module.make_timeouts.cache_clear()
    options_module._collect_cached.cache_clear()

    assert outcome.kind is FailureKind.TIMEOUT
    assert "timed out after 0.3 s" in outcome.detail
    assert "in the TLS handshake" in outcome.detail


STOPPED = """
import ssl, sys
import pykka_smtp
from pykka_smtp import SendMail

port, ca, limit, kind = int(sys.argv[1]), *sys.argv[2:]
options = {"tls": "starttls", "tls_context": ssl.create_default_context(cafile=ca)} if ca else {}
options |= {"timeout": 0.5} if limit == "timeout" else {"deadline": 0.9}
mail = SendMail(sender="a@b.test", recipients="c@d.test", body="hello")
options |= {"retry": pykka_smtp.NO_RETRY} if kind == "Mailer" else {}
ref = getattr(pykka_smtp, kind).start("localhost", port, **options)
outcome = ref.ask(mail)
if kind == "Mailer":
    ref.stop()
print(type(outcome).__name__, getattr(outcome, "detail", ""))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
@pytest.mark.parametrize("limit", ["timeout", "deadline"])
@pytest.mark.parametrize(
    ("kind", "encrypted"), [("SmtpActor", False), ("SmtpActor", True), ("Mailer", False)]
)
def test_a_verdict_that_came_while_the_process_stood_still_counts(
    kind: str, encrypted: bool, limit: str, loop_kind: str, serve: Serve, certificates: Certificates
) -> None:
    never = threading.Event()
    child: list[subprocess.Popen[str]] = []

    def script(conn: Conn) -> None:
        if encrypted:
            amid_the_mail(conn)
        else:
            conn.play(parse_script("S: 220 mx\nC: EHLO *\nS: 250 mx\nC: MAIL *\nS: 250 ok"))
            conn.play(parse_script("C: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go"))
        conn.body()
        never.wait(0.25)  # so that it has seen that the step has begun
        child[0].send_signal(signal.SIGSTOP)
        conn.send("250 2.0.0 taken")
        never.wait(1.2)  # that is what it stands still for
        child[0].send_signal(signal.SIGCONT)
        conn.line("QUIT")
        conn.send("221 bye")

    server = serve(script)
    ca = str(certificates.ca) if encrypted else ""
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED, str(server.port), ca, limit, kind],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYKKA_SMTP_LOOP": loop_kind},
    ) as process:
        child.append(process)
        told, _ = process.communicate(timeout=PATIENCE)

    assert told.split() == ["SendSuccess"]

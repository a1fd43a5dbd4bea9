"""TLS and AUTH on real sockets, with real certificates, on both event loops."""

import importlib.util
import itertools
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import trustme
from servers.accounts import PASSWORD, TOKEN, USER
from servers.certificates import Certificate, Certificates, Tls, server_context
from servers.scripted import Conn, ScriptedServer, parse_script
from servers.submission import MECHANISMS, AuthServer, submission
from servers.waiting import PATIENCE

from pykka_smtp import FailureKind, Outcome, SendFailure, SendMail, SendSuccess, SmtpActor, Stage
from pykka_smtp.actors.net.tls import tls as tls_module

SHORT = 0.2
"""Seconds that a server has which never answers."""
HOST = "mx.test"
MAIL = SendMail(sender="me@a.test", recipients="you@b.test", subject="Hello", body="Hello")


@pytest.fixture(autouse=True, params=["uvloop", "asyncio"])
def loop_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each test on both loops; the loop thread of the test before has ended."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    monkeypatch.setenv("PYKKA_SMTP_LOOP", request.param)
    return str(request.param)


class Net:
    """Servers under names and ports of their own, and a client that sends to them.

    Attributes:
        server: the one that was started last.
        context: what clients trust, if it is not the system's.
    """

    def __init__(self, exits: ExitStack, certificates: Certificates) -> None:
        self.server: ScriptedServer
        self.context: ssl.SSLContext | None = certificates.trusting()
        self.addresses: dict[str, tuple[str, int]] = {}
        self._exits = exits
        self._good = certificates.good

    def serve(
        self,
        *scripts: str | Callable[[Conn], object],
        certificate: Certificate | None = None,
        context: ssl.SSLContext | None = None,
        name: str = HOST,
    ) -> ScriptedServer:
        chosen = context or server_context(Tls(certificate=certificate or self._good))
        self.server = self._exits.enter_context(ScriptedServer(*scripts, context=chosen))
        self.addresses[name] = self.server.address
        return self.server

    def send(self, server: str = HOST, port: int = 587, **options: Any) -> Outcome:
        """Send a mail; return its outcome once the actor has ended."""
        options = {"tls_context": self.context, "timeout": PATIENCE} | options
        mail = options.pop("mail", MAIL)
        if "url" not in options:
            options |= {"server": server, "port": port}
        ref = SmtpActor.start(local_hostname="c.test", **options)
        outcome = ref.ask(mail, timeout=PATIENCE)
        assert ref.actor_stopped.wait(PATIENCE)
        assert isinstance(outcome, Outcome)
        if isinstance(outcome, SendSuccess):
            assert self.server.accepted == 1
        elif isinstance(outcome, SendFailure) and not outcome.maybe_accepted:
            assert self.server.accepted == 0
        return outcome

    def success(self, *args: Any, **options: Any) -> SendSuccess:
        outcome = self.send(*args, **options)
        assert isinstance(outcome, SendSuccess), outcome
        return outcome

    def failure(self, *args: Any, **options: Any) -> SendFailure:
        outcome = self.send(*args, **options)
        assert isinstance(outcome, SendFailure), outcome
        return outcome

    def insecure(
        self, stage: Stage, *args: Any, is_retryable: bool = False, **options: Any
    ) -> SendFailure:
        """Send, and see that it came to nothing for safety's sake."""
        outcome = self.failure(*args, **options)
        assert (outcome.kind, outcome.stage) == (FailureKind.SECURITY, stage), outcome
        assert outcome.retryable is is_retryable
        assert not self.said("MAIL")
        assert not self.said("AUTH")
        return outcome

    def said(self, verb: str) -> list[str]:
        return [line for line in self.server.lines if line.upper().startswith(verb)]

    @property
    def in_clear(self) -> str:
        """What was said without TLS."""
        told: list[str] = []
        for session in self.server.sessions:
            events = session.events
            starts = [at for at, event in enumerate(events) if event.startswith("TLS:")]
            told += events[: starts[0]] if starts else events
        return "\n".join(told)


@pytest.fixture
def net(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[Net]:
    with ExitStack() as exits:
        made = Net(exits, certificates)
        look_up = socket.getaddrinfo

        def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
            if host in made.addresses:
                kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
                return [(*kind, made.addresses[host])]
            return look_up(host, port, *args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield made


@pytest.fixture
def system_trusts_us(
    net: Net, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Make the CA of the tests one that the machine trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    net.context = None
    tls_module._verifying_context.cache_clear()
    yield
    tls_module._verifying_context.cache_clear()


def binding_of(certificate: Certificate) -> bytes:
    """Give the channel binding tls-server-end-point (RFC 5929 §4); ours are signed by SHA-256."""
    pem = certificate.chain.read_text().split("-----END CERTIFICATE-----")[0]
    return sha256(ssl.PEM_cert_to_DER_cert(pem + "-----END CERTIFICATE-----\n")).digest()


# The table: by option, port, credentials, and what the server does.

CLEAR, UNVERIFIED, VERIFIED = "in clear", "not verified", "verified"
NO_TLS, NO_HANDSHAKE, NO_AUTH = "starttls", "connect", "auth"  # SECURITY at

# (tls, port): without and with credentials; each by a server with STARTTLS, and one without.
TABLE = {
    ("auto", 25): ((UNVERIFIED, CLEAR), (VERIFIED, NO_TLS)),
    ("auto", 465): ((NO_HANDSHAKE, NO_HANDSHAKE), (NO_HANDSHAKE, NO_HANDSHAKE)),
    ("auto", 587): ((VERIFIED, NO_TLS), (VERIFIED, NO_TLS)),
    ("starttls", 25): ((VERIFIED, NO_TLS), (VERIFIED, NO_TLS)),
    ("starttls", 465): ((VERIFIED, NO_TLS), (VERIFIED, NO_TLS)),
    ("starttls", 587): ((VERIFIED, NO_TLS), (VERIFIED, NO_TLS)),
    ("implicit", 25): ((NO_HANDSHAKE, NO_HANDSHAKE), (NO_HANDSHAKE, NO_HANDSHAKE)),
    ("implicit", 465): ((NO_HANDSHAKE, NO_HANDSHAKE), (NO_HANDSHAKE, NO_HANDSHAKE)),
    ("implicit", 587): ((NO_HANDSHAKE, NO_HANDSHAKE), (NO_HANDSHAKE, NO_HANDSHAKE)),
    ("off", 25): ((CLEAR, CLEAR), (NO_AUTH, NO_AUTH)),
    ("off", 465): ((CLEAR, CLEAR), (NO_AUTH, NO_AUTH)),
    ("off", 587): ((CLEAR, CLEAR), (NO_AUTH, NO_AUTH)),
}
ROWS = [
    (choice, port, credentials, offer, TABLE[choice, port][credentials][not offer])
    for (choice, port), credentials, offer in itertools.product(TABLE, (False, True), (True, False))
]


@pytest.mark.usefixtures("system_trusts_us")
@pytest.mark.parametrize(("choice", "port", "credentials", "offer", "expected"), ROWS)
def test_option_port_credentials_and_server_decide(
    choice: str, port: int, credentials: bool, offer: bool, expected: str, net: Net
) -> None:
    auth = AuthServer()
    net.serve(submission("AUTH PLAIN", tls="starttls" if offer else "off", auth=auth))
    given = {"username": USER, "password": PASSWORD} if credentials else {}

    outcome = net.send(port=port, tls=choice, **given)

    assert outcome.peer is not None or expected == NO_HANDSHAKE
    if isinstance(outcome, SendFailure):
        assert (outcome.kind, outcome.stage.value) == (FailureKind.SECURITY, expected)
        assert not net.said("MAIL")
        assert auth.asked == []
    else:
        assert outcome.peer is not None
        peer = outcome.peer
        assert (peer.tls_version is None) is (expected == CLEAR)
        assert peer.tls_verified is (expected == VERIFIED)
        assert auth.who == (USER if credentials else None)
    assert "AUTH PLAIN " not in net.in_clear


@pytest.mark.usefixtures("system_trusts_us")
@pytest.mark.parametrize("credentials", [False, True])
@pytest.mark.parametrize(
    ("choice", "port"), [("auto", 465), ("implicit", 25), ("implicit", 465), ("implicit", 587)]
)
def test_tls_from_the_start_is_verified(
    choice: str, port: int, credentials: bool, net: Net
) -> None:
    auth = AuthServer()
    net.serve(submission("AUTH PLAIN", tls="implicit", auth=auth))
    given = {"username": USER, "password": PASSWORD} if credentials else {}

    outcome = net.success(port=port, tls=choice, **given)

    assert outcome.peer is not None
    assert outcome.peer.tls_verified
    assert auth.who == (USER if credentials else None)
    assert net.in_clear == ""


# The outcome's peer.


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_peer_tells_what_tls_it_was(version: ssl.TLSVersion, net: Net) -> None:
    context = server_context(Tls(certificate=net._good))
    context.minimum_version = context.maximum_version = version
    net.serve(submission(), context=context)

    peer = net.success(port=25, tls_context=None).peer

    assert peer is not None
    assert peer.tls_version == {771: "TLSv1.2", 772: "TLSv1.3"}[version]
    assert peer.tls_cipher is not None
    assert peer.tls_cipher.startswith(("TLS_", "ECDHE-"))
    assert not peer.tls_verified
    assert (peer.host, peer.address) == (HOST, "127.0.0.1")


@pytest.mark.parametrize("name", ["wrong_host", "expired", "unknown_ca"])
def test_encryption_for_want_of_better_takes_any_certificate(
    name: str, net: Net, certificates: Certificates
) -> None:
    net.serve(submission(), certificate=getattr(certificates, name))

    outcome = net.success(port=25, tls_context=None)

    assert outcome.peer is not None
    assert outcome.peer.tls_version is not None
    assert not outcome.peer.tls_verified
    assert outcome.warnings == ()


# Certificates.


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> "Odd":
    return Odd(tmp_path_factory.mktemp("odd"))


class Odd:
    """Certificates that speak for a name in a way of their own, by a CA of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA()

    def certificate(
        self, name: str, *identities: str, common_name: str | None = None
    ) -> Certificate:
        issued = self._ca.issue_cert(*identities, common_name=common_name)
        chain, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        issued.private_key_pem.write_to_path(str(key))
        chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return Certificate(chain=chain, key=key)

    def trusting(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self._ca.configure_trust(context)
        return context


REFUSED = {
    "wrong_host": "Hostname mismatch",
    "expired": "certificate has expired",
    "unknown_ca": "unable to get local issuer certificate",
}


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("name", list(REFUSED))
def test_a_certificate_that_is_not_good_ends_it(
    name: str, tls: str, net: Net, certificates: Certificates
) -> None:
    net.serve(submission("AUTH PLAIN", tls=tls), certificate=getattr(certificates, name))
    stage = Stage.CONNECT if tls == "implicit" else Stage.STARTTLS

    outcome = net.insecure(stage, tls=tls, username=USER, password=PASSWORD)

    assert f"certificate verification failed for {HOST}:587" in outcome.detail
    assert REFUSED[name] in outcome.detail


@pytest.mark.parametrize(
    ("identities", "common_name", "host", "good"),
    [
        (["other.test"], HOST, HOST, False),  # the common name is no name
        (["*.wild.test"], None, "mx.wild.test", True),
        (["*.wild.test"], None, "a.mx.wild.test", False),
        (["*.wild.test"], None, "wild.test", False),
        (["*.test"], None, HOST, False),  # a star for all of a top-level domain
        (["127.0.0.1"], None, "127.0.0.1", True),
        (["127.0.0.2"], None, "127.0.0.1", False),
        (["mx.test"], "127.0.0.1", "127.0.0.1", False),
        (["xn--bcher-kva.test"], None, "bücher.test", True),
        (["xn--bcher-kva.test"], None, "XN--BCHER-KVA.test", True),
        (["bucher.test"], None, "bücher.test", False),
        ([HOST], None, "MX.TEST.", True),
    ],
)
def test_a_certificate_must_be_for_the_host_that_was_configured(
    identities: list[str], common_name: str | None, host: str, good: bool, net: Net, odd: Odd
) -> None:
    name = f"{identities[0].replace('*', 'any')}-{common_name}"
    certificate = odd.certificate(name, *identities, common_name=common_name)
    server = net.serve(submission(), certificate=certificate, name=host)
    net.context = odd.trusting()
    port = server.port if host == "127.0.0.1" else 587

    if good:
        assert net.success(host, port, tls="starttls").peer.tls_verified  # type: ignore[union-attr]
    else:
        net.insecure(Stage.STARTTLS, host, port, tls="starttls")


@pytest.mark.parametrize(
    ("host", "sni"),
    [
        (HOST, HOST),
        ("mx.test.", HOST),
        ("bücher.test", "xn--bcher-kva.test"),
        ("127.0.0.1", None),  # RFC 6066 §3: no addresses
    ],
)
@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_the_server_is_told_the_host_that_was_configured(
    host: str, sni: str | None, tls: str, net: Net
) -> None:
    names: list[str | None] = []
    context = server_context(Tls(certificate=net._good))
    context.sni_callback = lambda sock, name, context: names.append(name)
    server = net.serve(submission(tls=tls), context=context, name=host)

    net.success(host, server.port if host == "127.0.0.1" else 587, tls=tls)

    assert names == [sni]


def old(context: ssl.SSLContext) -> ssl.SSLContext:
    """Have a context do TLS 1.1 and less."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        if context.verify_mode is ssl.CERT_NONE:  # a server's
            context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def test_tls_that_is_broken_is_not_taken(net: Net, certificates: Certificates) -> None:
    context = old(server_context(Tls(certificate=certificates.good)))
    net.serve(submission(), context=context)
    outcome = net.send(tls_context=old(certificates.trusting()))
    if isinstance(outcome, SendFailure):
        pytest.skip("this OpenSSL does no TLS 1.1 at all")
    assert outcome.peer is not None
    assert outcome.peer.tls_version == "TLSv1.1"
    net.serve(submission(), context=context)

    outcome = net.insecure(Stage.STARTTLS)
    assert "the server knows only TLS before 1.2" in outcome.detail


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_client_has_a_certificate_of_its_own(
    tls: str, net: Net, certificates: Certificates
) -> None:
    auth = AuthServer()
    required = Tls(certificate=certificates.good, client_ca=certificates.ca, client_required=True)
    net.serve(
        submission("AUTH EXTERNAL PLAIN", tls=tls, auth=auth), context=server_context(required)
    )
    net.context = certificates.trusting(certificates.client)

    net.success(tls=tls, auth=["EXTERNAL"])

    assert auth.asked == ["EXTERNAL"]
    assert auth.who == USER


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_without_the_certificate_that_is_asked_for_sends_nothing(
    version: ssl.TLSVersion, net: Net, certificates: Certificates
) -> None:
    required = Tls(certificate=certificates.good, client_ca=certificates.ca, client_required=True)
    context = server_context(required)
    context.maximum_version = version
    net.serve(submission(), context=context)

    outcome = net.failure(tls="starttls")

    # In TLS 1.3 the client has nothing more to wait for when the server's refusal comes.
    assert outcome.kind in (FailureKind.SECURITY, FailureKind.CONNECTION)
    assert not net.said("MAIL")
    assert "Operation not permitted" not in outcome.detail


# STARTTLS.


def offer_tls(conn: Conn) -> None:
    """Come as far as the handshake."""
    lines = "S: 220 mx.test\nC: EHLO *\nS: 250-mx.test\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go"
    conn.play(parse_script(lines))


def starttls_answered(*answer: bytes) -> Callable[[Conn], None]:
    """A server that offers STARTTLS and answers with these octets, in one piece each."""

    def script(conn: Conn) -> None:
        conn.play(parse_script("S: 220 mx.test\nC: EHLO *\nS: 250-mx.test\nS: 250 STARTTLS\n"))
        conn.line("STARTTLS")
        for octets in answer:
            conn.raw(octets)
        rest(conn)

    return script


def rest(conn: Conn) -> None:
    """Take the mail in clear, if it comes to that."""
    while True:
        line = conn.line()
        if line == "DATA":
            conn.send("354 go")
            conn.body()
        conn.send("250 ok" if line != "QUIT" else "221 bye")
        if line == "QUIT":
            return


@pytest.mark.parametrize("given", [{"tls": "starttls"}, {"tls": "auto", "tls_context": None}])
@pytest.mark.parametrize(
    "injected",
    [
        b"250-mx.test\r\n250 AUTH PLAIN\r\n",
        b"250 mx.test\r\n235 welcome\r\n250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n",
        b"250 mx.t",
        b"2",
        b"\n",
        b"\0",
    ],
)
def test_plaintext_after_the_220_is_an_attack(
    injected: bytes, given: dict[str, Any], net: Net
) -> None:
    net.serve(starttls_answered(b"220 go\r\n" + injected))

    outcome = net.insecure(Stage.STARTTLS, port=25, **given)

    assert "possible response injection (RFC 3207 §6)" in outcome.detail
    assert len(net.server.sessions) == 1
    net.server.wait_until_ended()
    assert net.server.sessions[0].unanswered == b""  # not even the first octet of TLS


@pytest.mark.parametrize(
    "answer", ["454 4.7.0 not now", "502 no", "501 no", "354 go", "250 ok", "221 no"]
)
def test_an_answer_that_does_not_start_tls_ends_it_where_tls_is_required(
    answer: str, net: Net
) -> None:
    net.serve(starttls_answered(f"{answer}\r\n".encode()))

    # RFC 3207 §4: 454 is "TLS not available due to temporary reason".
    is_retryable = answer.startswith("4")
    outcome = net.insecure(
        Stage.STARTTLS, is_retryable=is_retryable, username=USER, password=PASSWORD
    )

    assert answer in outcome.detail


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("454 4.7.0 not now", None),
        ("502 no", None),
        ("354 go", FailureKind.PROTOCOL),
        ("250 ok", FailureKind.PROTOCOL),
        ("421 bye", FailureKind.SMTP),
    ],
)
def test_an_answer_that_does_not_start_tls_may_be_done_without_elsewhere(
    answer: str, expected: FailureKind | None, net: Net
) -> None:
    net.serve(starttls_answered(f"{answer}\r\n".encode()))

    outcome = net.send(port=25, tls_context=None)

    if expected is None:
        assert isinstance(outcome, SendSuccess)
        assert outcome.warnings == (f"sent without TLS: the server offered it, then said {answer}",)
    else:
        assert isinstance(outcome, SendFailure)
        assert (outcome.kind, outcome.stage) == (expected, Stage.STARTTLS)


@pytest.mark.parametrize("inside", [(), ("HELP",), ("AUTH",), ("AUTH GSSAPI",)])
def test_auth_that_vanishes_under_tls_is_not_done_without(
    inside: tuple[str, ...], net: Net
) -> None:
    auth = AuthServer()
    net.serve(submission("AUTH PLAIN", auth=auth, inside=inside))

    net.insecure(Stage.AUTH, username=USER, password=PASSWORD)

    assert auth.asked == []
    assert len(net.said("EHLO")) == 2


def test_what_was_offered_before_tls_is_forgotten(net: Net) -> None:
    net.serve(submission("SIZE 9", "PIPELINING", "CHUNKING", inside=("HELP",)))

    net.success()

    assert net.said("MAIL") == ["MAIL FROM:<me@a.test>"]


def test_a_server_that_knows_no_ehlo_gets_no_credentials(net: Net) -> None:
    net.serve("S: 220 mx.test\nC: EHLO *\nS: 502 what?\nC: QUIT\nS: 221 bye")

    outcome = net.insecure(Stage.EHLO, username=USER, password=PASSWORD)

    assert "knows no EHLO, so no TLS: 502 what?" in outcome.detail


# The handshake.


def garbage(conn: Conn) -> None:
    conn._read("a ClientHello")
    conn.raw(b"This is not TLS at all.\r\n" * 10)


def alert(conn: Conn) -> None:
    conn._read("a ClientHello")
    conn.raw(b"\x15\x03\x03\x00\x02\x02\x28")  # fatal: handshake_failure


def finish(conn: Conn) -> None:
    conn._read("a ClientHello")
    conn.close()


def reset(conn: Conn) -> None:
    conn._read("a ClientHello")
    conn.reset()


def half(conn: Conn) -> None:
    conn._read("a ClientHello")
    conn.raw(b"\x16\x03\x03\x00\x7a\x02\x00")  # the beginning of a ServerHello
    conn.close()


def silence(conn: Conn) -> None:
    conn.hang()


def broken_handshake(tls: str, deed: Callable[[Conn], None]) -> Callable[[Conn], None]:
    def script(conn: Conn) -> None:
        if tls == "starttls":
            offer_tls(conn)
        deed(conn)

    return script


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize(
    ("deed", "kinds"),
    [
        (garbage, {FailureKind.SECURITY}),
        (alert, {FailureKind.SECURITY}),
        (finish, {FailureKind.CONNECTION, FailureKind.CONNECT}),
        (reset, {FailureKind.CONNECTION, FailureKind.CONNECT}),
        (half, {FailureKind.CONNECTION, FailureKind.CONNECT}),
        (silence, {FailureKind.TIMEOUT}),
    ],
)
def test_a_handshake_that_comes_to_nothing_is_told_as_what_it_is(
    deed: Callable[[Conn], None], kinds: set[FailureKind], tls: str, net: Net
) -> None:
    net.serve(broken_handshake(tls, deed))

    outcome = net.failure(
        tls=tls, username=USER, password=PASSWORD, timeout=SHORT if deed is silence else PATIENCE
    )

    assert outcome.kind in kinds, outcome
    assert outcome.stage in (Stage.STARTTLS, Stage.CONNECT)
    assert outcome.retryable is (outcome.kind is not FailureKind.SECURITY)
    assert HOST in outcome.detail
    assert "Operation not permitted" not in outcome.detail
    assert not net.said("MAIL")


@pytest.mark.parametrize("deed", [garbage, alert, finish, reset])
def test_a_handshake_that_comes_to_nothing_is_followed_by_clear_text_where_that_was_allowed(
    deed: Callable[[Conn], None], net: Net
) -> None:
    net.serve(broken_handshake("starttls", deed), submission(tls="off"))

    outcome = net.success(port=25, tls_context=None)

    assert len(net.server.sessions) == 2
    [warning] = outcome.warnings
    assert "without TLS" in warning


@pytest.mark.parametrize("name", ["wrong_host", "expired", "unknown_ca"])
def test_no_plaintext_is_sent_if_the_callers_context_rejects_the_server(
    name: str, net: Net, certificates: Certificates
) -> None:
    net.serve(submission(), certificate=getattr(certificates, name))

    net.insecure(Stage.STARTTLS, port=25)

    assert len(net.server.sessions) == 1


# How a session under TLS ends.


def cut(conn: Conn) -> None:
    """Close without TLS's own farewell (RFC 8446 §6.1), as somebody in between could."""
    socket.socket.shutdown(conn._sock, socket.SHUT_RDWR)


def before_the_mail(conn: Conn) -> None:
    offer_tls(conn)
    conn.starttls()
    conn.play(
        parse_script(
            "C: EHLO *\nS: 250 mx.test\nC: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\n"
            "C: DATA\nS: 354 go"
        )
    )


def until_the_dot(conn: Conn) -> None:
    before_the_mail(conn)
    conn.body()


@pytest.mark.parametrize("end", [cut, Conn.reset, Conn.close])
def test_a_verdict_counts_however_the_server_then_closes(
    end: Callable[[Conn], None], net: Net
) -> None:
    def script(conn: Conn) -> None:
        until_the_dot(conn)
        conn.send("250 2.0.0 taken")
        conn.line("QUIT")
        end(conn)

    net.serve(script)

    assert net.success().warnings == ()


def test_a_server_without_close_notify_does_not_delay_the_actor(net: Net) -> None:
    def script(conn: Conn) -> None:
        until_the_dot(conn)
        conn.send("250 2.0.0 taken")
        conn.line("QUIT")
        conn.send("221 bye")
        conn.deaf()

    net.serve(script)

    net.success(timeout=SHORT)


@pytest.mark.parametrize(
    "part", ["250 2.0.0 ta", "250 2.0.0 taken\r", "250-2.0.0 taken\r\n", "2", ""]
)
@pytest.mark.parametrize("end", [cut, Conn.reset, Conn.close])
def test_an_incomplete_final_reply_does_not_count(
    part: str, end: Callable[[Conn], None], net: Net
) -> None:
    def script(conn: Conn) -> None:
        until_the_dot(conn)
        if part:
            conn.raw(part.encode())
        end(conn)

    net.serve(script)

    outcome = net.failure()

    assert (outcome.kind, outcome.stage) == (FailureKind.CONNECTION, Stage.DOT)
    assert (outcome.maybe_accepted, outcome.retryable) == (True, False)


LINE = b"a line of text, as there are many in a mail that no buffer holds as a whole\n"
LARGE = SendMail(sender="me@a.test", recipients="you@b.test", message=b"x: y\n\n" + LINE * 200_000)


@pytest.mark.parametrize("end", [Conn.reset, Conn.close])
def test_a_rejection_during_the_mail_data_is_final(end: Callable[[Conn], None], net: Net) -> None:
    def script(conn: Conn) -> None:
        before_the_mail(conn)
        conn._read("mail data")
        conn.send("550 5.7.1 no more of this")
        if end is Conn.reset:
            # Else the reset may overtake the refusal.
            conn._read("more mail data")
        end(conn)

    net.serve(script)

    outcome = net.failure(mail=LARGE)

    assert (outcome.stage, outcome.maybe_accepted) == (Stage.BODY, False)
    if outcome.kind is not FailureKind.CONNECTION:  # heard before the connection broke
        assert outcome.code == 550


def test_a_positive_reply_during_the_mail_data_does_not_count(net: Net) -> None:
    def script(conn: Conn) -> None:
        before_the_mail(conn)
        conn._read("mail data")
        conn.send("250 2.0.0 taken, whatever it is")
        conn.hang()

    net.serve(script)

    outcome = net.failure(mail=LARGE)

    assert (outcome.kind, outcome.stage) == (FailureKind.PROTOCOL, Stage.BODY)


def test_octets_that_are_not_tls_end_the_connection_and_are_not_a_reply(net: Net) -> None:
    def script(conn: Conn) -> None:
        until_the_dot(conn)
        with socket.socket(fileno=conn._sock.detach()) as bare:
            bare.sendall(b"250 2.0.0 taken\r\n" * 3)

    net.serve(script)

    outcome = net.failure()

    assert (outcome.kind, outcome.stage) == (FailureKind.CONNECTION, Stage.DOT)
    assert outcome.maybe_accepted
    assert outcome.errno is None  # OpenSSL's number is not the system's
    assert "Operation not permitted" not in outcome.detail


# AUTH.


def credentials_for(name: str) -> dict[str, Any]:
    if name == "EXTERNAL":
        return {"auth": ["EXTERNAL"]}
    if name in ("XOAUTH2", "OAUTHBEARER"):
        return {"username": USER, "token": TOKEN, "auth": [name]}
    return {"username": USER, "password": PASSWORD, "auth": [name]}


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("name", MECHANISMS)
def test_each_mechanism_convinces_a_server_that_checks(
    name: str, tls: str, net: Net, certificates: Certificates
) -> None:
    if name.startswith("SCRAM"):
        pytest.importorskip("scramp")
    binding = binding_of(certificates.good) if name.endswith("-PLUS") else None
    auth = AuthServer(binding=binding)
    asking = Tls(certificate=certificates.good, client_ca=certificates.ca)
    net.serve(submission(f"AUTH {' '.join(MECHANISMS)}", tls=tls, auth=auth),
              context=server_context(asking))  # fmt: skip
    net.context = certificates.trusting(certificates.client)

    outcome = net.success(tls=tls, debug=True, **credentials_for(name))

    assert auth.who == USER
    assert auth.asked == [name]
    assert any(line.startswith(f"C: AUTH {name}") for line in outcome.transcript)


@pytest.mark.parametrize("name", [name for name in MECHANISMS if name != "EXTERNAL"])
def test_wrong_credentials_are_refused_and_shown_to_nothing_weaker(
    name: str, net: Net, certificates: Certificates
) -> None:
    if name.startswith("SCRAM"):
        pytest.importorskip("scramp")
    auth = AuthServer(users={USER: "another"}, tokens={}, binding=binding_of(certificates.good))
    if name.startswith("SCRAM") and not name.endswith("-PLUS"):
        auth = AuthServer(users={USER: "another"})
    weaker = "" if name == "LOGIN" else "LOGIN" if name == "PLAIN" else "PLAIN LOGIN"
    net.serve(submission(f"AUTH {name} {weaker}", auth=auth))
    given = credentials_for(name)
    del given["auth"]

    outcome = net.failure(**given)

    assert (outcome.kind, outcome.stage, outcome.code) == (FailureKind.SMTP, Stage.AUTH, 535)
    assert not outcome.retryable
    assert not net.said("MAIL")
    assert auth.asked == [name]


def test_a_password_goes_by_the_strongest_mechanism_that_both_know(net: Net) -> None:
    pytest.importorskip("scramp")
    auth = AuthServer(replies={"SCRAM-SHA-256": "504 5.5.4 not here", "SCRAM-SHA-1": "534 weak"})
    net.serve(submission("AUTH LOGIN PLAIN SCRAM-SHA-1 CRAM-MD5 SCRAM-SHA-256", auth=auth))

    net.success(username=USER, password=PASSWORD)

    assert auth.asked == ["SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5"]


def test_the_allow_list_is_kept_to(net: Net) -> None:
    auth = AuthServer()
    net.serve(submission("AUTH CRAM-MD5 PLAIN LOGIN", auth=auth))

    net.success(username=USER, password=PASSWORD, auth=["login"])

    assert auth.asked == ["LOGIN"]


@pytest.mark.parametrize(
    ("replies", "kind", "retryable"),
    [
        ({"AUTH": "454 4.7.0 later"}, FailureKind.SMTP, True),
        ({"AUTH": "421 4.7.0 bye"}, FailureKind.SMTP, True),
        ({"AUTH": "530 5.7.0 first STARTTLS"}, FailureKind.SMTP, False),
        ({"AUTH": "334 bW9yZQ=="}, FailureKind.PROTOCOL, True),
        ({"AUTH": "334 no base64"}, FailureKind.PROTOCOL, True),
        ({"AUTH": f"334 {'YWFh' * 3073}"}, FailureKind.PROTOCOL, True),  # 12292 octets
        ({"AUTH": "354 go"}, FailureKind.PROTOCOL, True),
    ],
)
def test_what_else_a_server_answers_to_auth(
    replies: dict[str, str], kind: FailureKind, retryable: bool, net: Net
) -> None:
    replies |= {"*": "501 5.7.0 cancelled"}
    net.serve(submission("AUTH PLAIN", replies=replies))

    outcome = net.failure(username=USER, password=PASSWORD)

    assert (outcome.kind, outcome.stage, outcome.retryable) == (kind, Stage.AUTH, retryable)
    assert not net.said("MAIL")


def test_a_false_server_that_hangs_up_is_known_as_false_all_the_same(net: Net) -> None:
    pytest.importorskip("scramp")
    auth = AuthServer()

    def script(conn: Conn) -> None:
        offer_tls(conn)
        conn.starttls()
        conn.line("EHLO *")
        conn.send("250-mx.test", "250 AUTH SCRAM-SHA-256")
        conn.send(auth.hear(conn.line()))
        conn.line()
        conn.send("334 dj1BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE9")
        conn.reset()

    net.serve(script)

    outcome = net.failure(username=USER, password=PASSWORD)

    assert (outcome.kind, outcome.stage) == (FailureKind.SECURITY, Stage.AUTH)
    assert "did not prove that it knows the password" in outcome.detail


# Tokens.


def test_a_token_is_fetched_in_a_thread_of_its_own_and_once_more_if_it_is_refused(net: Net) -> None:
    threads: list[str] = []
    tokens = iter(["stale", TOKEN])

    def fetch() -> str:
        threads.append(threading.current_thread().name)
        return next(tokens)

    auth = AuthServer()
    net.serve(submission("AUTH XOAUTH2", auth=auth))

    net.success(username=USER, token=fetch)

    assert auth.asked == ["XOAUTH2"] * 2
    assert len(threads) == 2
    assert "pykka-smtp-loop" not in threads
    assert threading.current_thread().name not in threads


@pytest.mark.parametrize("error", [RuntimeError, SystemExit, StopIteration, KeyboardInterrupt])
def test_a_callable_that_raises_is_a_local_failure_and_its_text_is_not_shown(
    error: type[BaseException], net: Net, caplog: pytest.LogCaptureFixture
) -> None:
    def fetch() -> str:
        raise error("Zx9-correct-horse")

    net.serve(submission("AUTH XOAUTH2"))

    outcome = net.failure(username=USER, token=fetch, debug=True)

    assert (outcome.kind, outcome.stage) == (FailureKind.LOCAL, Stage.AUTH)
    assert not outcome.retryable
    assert "the token callable raised" in outcome.detail
    assert not net.said("AUTH")
    shown = [repr(outcome), str(outcome), *outcome.transcript, outcome.detail, caplog.text]
    assert "Zx9" not in "".join(shown)


@pytest.mark.parametrize("returned", [None, "", "Bearer x", b"x"])
def test_a_callable_that_returns_no_token_is_a_local_failure(returned: Any, net: Net) -> None:
    net.serve(submission("AUTH XOAUTH2"))

    outcome = net.failure(username=USER, token=lambda: returned)

    assert (outcome.kind, outcome.stage) == (FailureKind.LOCAL, Stage.AUTH)
    assert "token" in outcome.detail
    assert not net.said("AUTH")


def test_a_callable_that_takes_too_long_is_not_waited_for(net: Net) -> None:
    released = threading.Event()

    def fetch() -> str:
        released.wait(PATIENCE)
        return TOKEN

    net.serve(submission("AUTH XOAUTH2"))

    outcome = net.failure(username=USER, token=fetch, timeout=SHORT)
    released.set()

    assert (outcome.kind, outcome.stage) == (FailureKind.TIMEOUT, Stage.AUTH)
    assert "the token callable took over 0.2 s" in outcome.detail
    assert not net.said("AUTH")


# Without TLS, where the caller says so.


@pytest.mark.parametrize("tls", ["off", "starttls"])
def test_on_this_machine_a_password_may_go_without_verified_tls(tls: str, net: Net) -> None:
    auth = AuthServer()
    server = net.serve(submission("AUTH PLAIN", tls=tls, auth=auth))

    net.success(
        server.host,
        server.port,
        username=USER,
        password=PASSWORD,
        allow_plaintext_auth=True,
        tls_context=None,
    )

    assert auth.who == USER


@pytest.mark.parametrize(
    "host", ["mx.test", "192.0.2.1", "localhost.test", "127.1", "0.0.0.0", "::"]
)
def test_to_another_machine_it_may_not(host: str) -> None:
    with pytest.raises(
        ValueError, match=f"allow_plaintext_auth: is for this machine only, not for {host}"
    ):
        SmtpActor.start(host, 25, username=USER, password=PASSWORD, allow_plaintext_auth=True)


def test_over_a_socket_in_the_file_system_it_may(tmp_path: Path) -> None:
    auth = AuthServer()
    path = tmp_path / "lmtp"

    def lmtp(conn: Conn) -> None:
        conn.send("220 mx.test LMTP")
        conn.line("LHLO *")
        conn.send("250-mx.test", "250 AUTH PLAIN")
        conn.send(auth.hear(conn.line()))
        rest(conn)

    with ScriptedServer(lmtp, path=path) as server:
        ref = SmtpActor.start(
            url=f"lmtp+unix://{path}",
            username=USER,
            password=PASSWORD,
            allow_plaintext_auth=True,
            timeout=PATIENCE,
        )
        outcome = ref.ask(MAIL, timeout=PATIENCE)
        assert ref.actor_stopped.wait(PATIENCE)

    assert isinstance(outcome, SendSuccess), outcome
    assert auth.who == USER
    assert len(server.mails) == 1


def test_over_a_unix_socket_a_password_is_sent_only_if_allowed(tmp_path: Path) -> None:
    path = tmp_path / "lmtp"

    def lmtp(conn: Conn) -> None:
        conn.send("220 mx.test LMTP")
        conn.line("LHLO *")
        conn.send("250-mx.test", "250 AUTH PLAIN")
        conn.line("QUIT")
        conn.send("221 bye")

    with ScriptedServer(lmtp, path=path):
        ref = SmtpActor.start(
            url=f"lmtp+unix://{path}", username=USER, password=PASSWORD, timeout=PATIENCE
        )
        outcome = ref.ask(MAIL, timeout=PATIENCE)
        assert ref.actor_stopped.wait(PATIENCE)

    assert isinstance(outcome, SendFailure)
    assert (outcome.kind, outcome.stage) == (FailureKind.SECURITY, Stage.AUTH)


# Relay URLs.

USERINFO = "user%40mx.test:p%40ss%20word%25%26%2B%3D%3A%2F%3F%23%22"


@pytest.mark.parametrize(
    ("url", "tls"),
    [
        (f"smtp://{USERINFO}@mx.test:587", "starttls"),
        (f"smtp://{USERINFO}@mx.test", "starttls"),
        (f"smtps://{USERINFO}@mx.test", "implicit"),
        (f"smtp://{USERINFO}@mx.test:2525?auth=PLAIN&tls=starttls", "starttls"),
    ],
)
def test_credentials_may_stand_in_a_relay_url(url: str, tls: str, net: Net) -> None:
    auth = AuthServer()
    net.serve(submission("AUTH PLAIN", tls=tls, auth=auth))

    net.success(url=url)

    assert auth.who == USER
    assert "AUTH" not in net.in_clear.replace("S: 250-AUTH PLAIN", "")


@pytest.mark.parametrize(
    ("url", "given"),
    [
        (f"smtp://user%40mx.test:{TOKEN}@mx.test:587?auth=XOAUTH2", {}),
        (f"smtp://user%40mx.test:{TOKEN}@mx.test:587", {"auth": ["XOAUTH2"]}),
        (f"smtp://user%40mx.test:{TOKEN}@mx.test:587", {"auth": ["xoauth2"]}),
        (f"smtp://user%40mx.test:{TOKEN}@mx.test:587", {"auth": "XOAUTH2"}),
        ("smtp://user%40mx.test@mx.test:587", {"token": TOKEN}),
        ("smtp://user%40mx.test@mx.test:587", {"token": lambda: TOKEN, "auth": ["XOAUTH2"]}),
        ("smtp://user%40mx.test@mx.test:587?auth=XOAUTH2", {"token": TOKEN}),
    ],
)
def test_a_token_may_stand_in_a_relay_url_or_beside_it(
    url: str, given: dict[str, Any], net: Net
) -> None:
    auth = AuthServer()
    net.serve(submission("AUTH XOAUTH2 PLAIN", auth=auth))

    net.success(url=url, **given)

    assert auth.asked == ["XOAUTH2"]
    assert auth.who == USER


def test_a_password_may_stand_beside_a_relay_url(net: Net) -> None:
    auth = AuthServer()
    net.serve(submission("AUTH PLAIN", auth=auth))

    net.success(url="smtp://user%40mx.test@mx.test:587", password=PASSWORD)

    assert auth.who == USER


def test_credentials_of_a_relay_url_need_tls_like_any(net: Net) -> None:
    net.serve(submission("AUTH PLAIN", tls="off"))

    net.insecure(Stage.STARTTLS, url=f"smtp://{USERINFO}@mx.test")

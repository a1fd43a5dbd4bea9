import base64
import contextlib
import importlib.util
import socket
import ssl
import struct
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from servers.certificates import Certificates, Tls, server_context
from servers.require import require_module
from servers.scripted import ScriptedServer, Start
from servers.waiting import PATIENCE

from pykka_smtp import FailureKind, Peer, SendFailure, SendMail, SendSuccess, SmtpActor, Stage
from pykka_smtp.actors.net.connecting import addresses as addresses_module
from pykka_smtp.actors.net.connecting import proxy as module
from pykka_smtp.actors.net.connecting import sockets as sockets_module
from pykka_smtp.actors.net.connecting.proxy import Proxy, check_target, parse_proxy
from pykka_smtp.actors.options.options import collect_options
from pykka_smtp.smtp.sasl.secret import Secret
from pykka_smtp.testing.polite import polite

require_module("python_socks")

USER, PASSWORD = "me", "p@ss:w/rd%"
ENCODED = "p%40ss%3Aw%2Frd%25"
GRANTED = b"\x05\0\0\x01\x7f\0\0\1\0\x19"  # by IPv4 address 127.0.0.1, port 25

Behaviour = Callable[["ProxyServer", socket.socket], object]


class Gone(Exception):  # noqa: N818 - it is no error: clients leave
    """The client left."""


class ProxyServer:
    """A proxy on the loopback interface; one thread for each connection.

    Attributes:
        asked: the hosts and ports that it was asked for.
        credentials: the users and passwords that it was shown.
        peers: the addresses of its clients.
    """

    def __init__(self, behave: Behaviour, names: dict[str, str] | None = None) -> None:
        self.asked: list[tuple[str, int]] = []
        self.credentials: list[tuple[str, str]] = []
        self.peers: list[str] = []
        self._behave = behave
        self._names = names or {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def stop(self) -> None:
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(PATIENCE)
        # The accepter has ended, so these are all.
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        for sock in self._open:
            sock.close()

    def relay(self, client: socket.socket, host: str, port: int, answer: bytes = b"") -> None:
        """Connect to the server, say yes, and carry octets both ways until one side ends."""
        server = socket.create_connection((self._names.get(host, host), port), PATIENCE)
        self._open.append(server)
        client.sendall(answer)
        back = threading.Thread(target=carry, args=(server, client))
        self._threads.append(back)
        back.start()
        carry(client, server)

    def _accept(self) -> None:
        while True:
            try:
                client, (address, _) = self._listener.accept()
            except OSError:
                return
            client.settimeout(PATIENCE)
            self._open.append(client)
            self.peers.append(address)
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, Gone):
            self._behave(self, client)


def carry(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65_536):
            other.sendall(data)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)


def read(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise Gone
        data += piece
    return data


def socks5(
    *, wants: tuple[str, str] | None = None, reply: bytes = GRANTED, in_pieces: bool = False
) -> Behaviour:
    """Make a SOCKS 5 proxy (RFC 1928, RFC 1929)."""

    def behave(proxy: ProxyServer, client: socket.socket) -> None:
        read_methods(client)
        client.sendall(b"\x05\x02" if wants else b"\x05\0")
        if wants and not show_credentials(proxy, client, wants):
            return
        host, port = read_request(client)
        proxy.asked.append((host, port))
        if reply[1]:
            client.sendall(reply)
            return
        for octet in reply if in_pieces else ():
            client.sendall(bytes([octet]))
        proxy.relay(client, host, port, b"" if in_pieces else reply)

    return behave


def read_methods(client: socket.socket) -> bytes:
    version, count = read(client, 2)
    assert version == 5
    return read(client, count)


def show_credentials(proxy: ProxyServer, client: socket.socket, wants: tuple[str, str]) -> bool:
    assert read(client, 1) == b"\x01"
    user = read(client, read(client, 1)[0]).decode()
    password = read(client, read(client, 1)[0]).decode()
    proxy.credentials.append((user, password))
    client.sendall(b"\x01\0" if (user, password) == wants else b"\x01\x01")
    return (user, password) == wants


def read_request(client: socket.socket) -> tuple[str, int]:
    version, command, reserved, kind = read(client, 4)
    assert (version, command, reserved) == (5, 1, 0)
    if kind == 3:
        host = read(client, read(client, 1)[0]).decode("ascii")
    elif kind == 4:
        host = socket.inet_ntop(socket.AF_INET6, read(client, 16))
    else:
        host = socket.inet_ntoa(read(client, 4))
    (port,) = struct.unpack("!H", read(client, 2))
    return host, port


YES = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy.test\r\n\r\n"


def http_connect(
    *, wants: tuple[str, str] | None = None, reply: bytes = YES, with_greeting: bool = False
) -> Behaviour:
    """Make an HTTP proxy (RFC 9110 §9.3.6, RFC 7617)."""

    def behave(proxy: ProxyServer, client: socket.socket) -> None:
        header = b""
        while not header.endswith(b"\r\n\r\n"):
            header += read(client, 1)
        line, *fields = header.decode("ascii").split("\r\n")
        method, target, version = line.split(" ")
        assert (method, version) == ("CONNECT", "HTTP/1.1")
        host, _, port = target.rpartition(":")
        proxy.asked.append((host.strip("[]"), int(port)))
        for field in fields:
            name, _, value = field.partition(": ")
            if name == "Proxy-Authorization":
                shown = base64.b64decode(value.removeprefix("Basic ")).decode()
                user, _, password = shown.partition(":")
                proxy.credentials.append((user, password))
        if wants and wants not in proxy.credentials:
            client.sendall(b"HTTP/1.1 407 no\r\nProxy-Authenticate: Basic\r\n\r\n")
        elif b" 200 " not in reply:
            client.sendall(reply)
        elif with_greeting:
            server = socket.create_connection(proxy.asked[-1], PATIENCE)
            proxy._open.append(server)
            client.sendall(reply + server.recv(65_536))  # in one segment
            back = threading.Thread(target=carry, args=(server, client))
            proxy._threads.append(back)
            back.start()
            carry(client, server)
        else:
            proxy.relay(client, *proxy.asked[-1], reply)

    return behave


def says(octets: bytes) -> Behaviour:
    """Make what answers this to the first octets, and then only waits."""

    def behave(_proxy: ProxyServer, client: socket.socket) -> None:
        client.recv(65_536)
        client.sendall(octets)
        while client.recv(65_536):
            pass

    return behave


def hang_up(_proxy: ProxyServer, client: socket.socket) -> None:
    client.recv(65_536)
    client.shutdown(socket.SHUT_RDWR)


def socks5_then(octets: bytes) -> Behaviour:
    """Make a SOCKS 5 proxy that answers this to the request, and then only waits."""

    def behave(_proxy: ProxyServer, client: socket.socket) -> None:
        read_methods(client)
        client.sendall(b"\x05\0")
        read_request(client)
        client.sendall(octets)
        while client.recv(65_536):
            pass

    return behave


Proxies = Callable[..., ProxyServer]


@pytest.fixture
def proxies() -> Iterator[Proxies]:
    started: list[ProxyServer] = []

    def start(behave: Behaviour, **options: Any) -> ProxyServer:
        started.append(ProxyServer(behave, **options))
        return started[-1]

    yield start
    for proxy in started:
        proxy.stop()


def send(host: str, port: int, proxy: str | None, **options: Any) -> Any:
    mail = SendMail(sender="a@b.test", recipients="c@d.test", body="hello")
    return SmtpActor.start(host, port, proxy=proxy, **options).ask(mail, timeout=PATIENCE)


BOTH = pytest.mark.parametrize(
    ("scheme", "make"), [("socks5", socks5), ("http", http_connect)], ids=["socks5", "http"]
)
on_both_loops = pytest.mark.usefixtures("loop_kind")


# Through.


@on_both_loops
@BOTH
def test_a_mail_goes_through_a_proxy(
    scripted_server: Start, proxies: Proxies, scheme: str, make: Callable[..., Behaviour]
) -> None:
    server, proxy = scripted_server(), proxies(make())

    outcome = send(server.host, server.port, f"{scheme}://127.0.0.1:{proxy.port}")

    assert isinstance(outcome, SendSuccess)
    assert proxy.asked == [server.address]
    assert server.accepted == 1
    assert outcome.peer == Peer(host=server.host, address=server.host, port=server.port)


@on_both_loops
@BOTH
def test_the_proxy_looks_the_server_up_and_we_do_not(
    server: ScriptedServer,
    proxies: Proxies,
    scheme: str,
    make: Callable[..., Behaviour],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def look_up(host: str, port: int) -> list[Any]:
        raise AssertionError(f"looked up {host}")

    monkeypatch.setattr(addresses_module, "_getaddrinfo", look_up)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    proxy = proxies(make(), names={"mx.hidden.test": "127.0.0.1"})
    monkeypatch.setattr(socket, "create_connection", _plain_connection)

    outcome = send("mx.hidden.test", server.port, f"{scheme}://127.0.0.1:{proxy.port}")

    assert isinstance(outcome, SendSuccess)
    assert proxy.asked == [("mx.hidden.test", server.port)]
    # Nobody tells which address it was.
    assert outcome.peer == Peer(host="mx.hidden.test", address="mx.hidden.test", port=server.port)


def _plain_connection(address: tuple[str, int], timeout: float) -> socket.socket:
    """Do what `socket.create_connection` does, without a look-up."""
    sock = socket.socket()
    sock.settimeout(timeout)
    sock.connect(address)
    return sock


@on_both_loops
def test_the_name_of_a_proxy_is_looked_up_where_names_are(
    scripted_server: Start, proxies: Proxies, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, proxy = scripted_server(), proxies(socks5())
    threads: list[str] = []

    def look_up(host: str, port: int) -> list[Any]:
        threads.append(f"{host} {threading.current_thread().name}")
        # Nobody listens at the first one.
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, ("127.0.0.2", port)), (*kind, ("127.0.0.1", port))]

    monkeypatch.setattr(addresses_module, "_getaddrinfo", look_up)

    outcome = send(server.host, server.port, f"socks5://proxy.test:{proxy.port}")

    assert isinstance(outcome, SendSuccess)
    [where] = threads
    assert where.startswith("proxy.test pykka-smtp-names")


@on_both_loops
@BOTH
def test_a_user_and_a_password_are_shown_to_the_proxy(
    scripted_server: Start, proxies: Proxies, scheme: str, make: Callable[..., Behaviour]
) -> None:
    server, proxy = scripted_server(), proxies(make(wants=(USER, PASSWORD)))

    outcome = send(server.host, server.port, f"{scheme}://{USER}:{ENCODED}@127.0.0.1:{proxy.port}")

    assert isinstance(outcome, SendSuccess)
    assert proxy.credentials == [(USER, PASSWORD)]


@on_both_loops
def test_a_greeting_received_together_with_the_proxys_reply_is_not_lost(
    scripted_server: Start, proxies: Proxies
) -> None:
    """In SMTP the server speaks first, and a proxy may send both at once."""
    server, proxy = scripted_server(), proxies(http_connect(with_greeting=True))

    outcome = send(server.host, server.port, f"http://127.0.0.1:{proxy.port}", timeout=5)

    assert isinstance(outcome, SendSuccess)


@on_both_loops
def test_an_answer_that_comes_octet_by_octet_is_one_answer(
    scripted_server: Start, proxies: Proxies
) -> None:
    server, proxy = scripted_server(), proxies(socks5(in_pieces=True))

    assert isinstance(
        send(server.host, server.port, f"socks5://127.0.0.1:{proxy.port}"), SendSuccess
    )


@on_both_loops
@pytest.mark.parametrize("choice", ["starttls", "implicit"])
@BOTH
def test_the_certificate_must_be_the_servers_not_the_proxys(
    scripted_server: Start,
    proxies: Proxies,
    certificates: Certificates,
    scheme: str,
    make: Callable[..., Behaviour],
    choice: str,
) -> None:
    context: ssl.SSLContext = server_context(Tls(certificate=certificates.good))
    server = scripted_server(polite("STARTTLS", implicit_tls=choice == "implicit"), context=context)
    names = {"mx.test": "127.0.0.1", "other.test": "127.0.0.1"}
    proxy = proxies(make(), names=names)
    options = {"tls": choice, "tls_context": certificates.trusting()}
    url = f"{scheme}://127.0.0.1:{proxy.port}"

    right = send("mx.test", server.port, url, **options)
    wrong = send("other.test", server.port, url, **options)

    assert isinstance(right, SendSuccess)
    assert right.peer is not None
    assert right.peer.tls_verified
    assert wrong.kind is FailureKind.SECURITY
    assert "other.test" in wrong.detail


def test_a_relay_url_names_a_proxy(scripted_server: Start, proxies: Proxies) -> None:
    server, proxy = scripted_server(), proxies(socks5(wants=(USER, PASSWORD)))
    # Encoded twice: once for the proxy's URL, once to stand in another.
    inner = f"socks5%3A%2F%2F{USER}%3A{ENCODED.replace('%', '%25')}%40127.0.0.1%3A{proxy.port}"

    outcome = send("ignored.test", 25, None, url=f"smtp://127.0.0.1:{server.port}?proxy={inner}")

    assert isinstance(outcome, SendSuccess)
    assert proxy.credentials == [(USER, PASSWORD)]


def test_the_source_address_is_where_the_proxy_is_connected_from(
    scripted_server: Start, proxies: Proxies
) -> None:
    server, proxy = scripted_server(), proxies(socks5())

    outcome = send(
        server.host,
        server.port,
        f"socks5://127.0.0.1:{proxy.port}",
        source_address=("127.0.0.6", 0),
    )

    assert isinstance(outcome, SendSuccess)
    assert proxy.peers == ["127.0.0.6"]


# Not through.


@on_both_loops
@pytest.mark.parametrize(
    ("scheme", "behave", "words", "retryable"),
    [
        ("socks5", socks5(reply=b"\x05\x02\0"), "Connection not allowed by ruleset", False),
        ("socks5", socks5(reply=b"\x05\x04\0"), "Host unreachable", True),
        ("socks5", socks5(reply=b"\x05\x05\0"), "Connection refused by destination host", True),
        ("socks5", socks5(wants=("you", "else")), "it rejected the user and password", False),
        ("socks5", says(b"\x05\xff"), "it requires other authentication", False),
        ("socks5", hang_up, "it closed the connection", True),
        ("http", http_connect(wants=("you", "else")), "407: it requires another user", False),
        ("http", http_connect(reply=b"HTTP/1.1 403 x\r\n\r\n"), "403 Forbidden", False),
        ("http", http_connect(reply=b"HTTP/1.0 502 x\r\n\r\n"), "502 Bad Gateway", True),
        ("http", hang_up, "it closed the connection", True),
    ],
)
def test_a_proxy_that_refuses_is_named_with_its_reason(
    proxies: Proxies, scheme: str, behave: Behaviour, words: str, *, retryable: bool
) -> None:
    proxy = proxies(behave)

    outcome = send("mx.test", 25, f"{scheme}://{USER}:{ENCODED}@127.0.0.1:{proxy.port}")

    assert isinstance(outcome, SendFailure)
    assert (outcome.kind, outcome.stage) == (FailureKind.CONNECT, Stage.CONNECT)
    assert outcome.operation == "proxy"
    assert outcome.detail.startswith(
        f"proxy {scheme}://127.0.0.1:{proxy.port} could not connect to mx.test:25: {words}"
    )
    assert outcome.retryable is retryable
    assert not outcome.maybe_accepted
    assert outcome.peer is None


LEAK = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@on_both_loops
@pytest.mark.parametrize(
    ("scheme", "behave"),
    [
        ("socks5", says(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
        ("socks5", says(b"220 mx.test ESMTP\r\n")),
        ("socks5", says(b"\x05\x01")),  # GSSAPI, which nobody offered
        ("socks5", says(b"\x05\x63")),
        ("socks5", socks5_then(b"\x04\0\0\x01\x7f\0\0\1\0\x19")),
        ("socks5", socks5_then(b"\x05\x77\0")),
        ("socks5", socks5_then(b"\x05\0\x01\x01")),
        ("socks5", socks5_then(b"\x05\0\0\x02")),
        ("socks5", socks5_then(b"\x05\0\0\x03\x02\xff\xfe\0\x19")),  # a name that is no UTF-8
        ("http", says(b"220 mx.test ESMTP\r\n\r\n")),
        ("http", says(b"\r\n\r\n")),
        ("http", says(b"HTTP/1.1 20\r\n\r\n")),
        ("http", says(b"HTTP/1.1 \xd9\xa2\xd9\xa0\xd9\xa0 ok\r\n\r\n")),  # 200, in Arabic
        ("http", says(b"HTTP/1.1 " + b"9" * 5000 + b" x\r\n\r\n")),
        ("http", says(b"HTTP/1.1 2000000 x\r\n\r\n")),
        ("http", says(b"HTTP/1.1 200 ok\r\n" + b"X: y\r\n" * 10_000)),
        ("http", says(f"HTTP/1.1 599 \x1b[2J {PASSWORD} {LEAK}\r\n\r\n".encode())),
        ("http", says(b"HTTP/1.1 101 x\r\n\r\n")),
    ],
)
def test_a_hostile_answer_is_one_clean_line(
    proxies: Proxies, scheme: str, behave: Behaviour
) -> None:
    proxy = proxies(behave)

    outcome = send("mx.test", 25, f"{scheme}://{USER}:{ENCODED}@127.0.0.1:{proxy.port}")

    assert (outcome.kind, outcome.operation) == (FailureKind.CONNECT, "proxy")
    assert outcome.detail.isascii()
    assert outcome.detail.isprintable()
    assert len(outcome.detail) < 200
    for secret in (PASSWORD, ENCODED, LEAK):
        assert secret not in outcome.detail


@on_both_loops
def test_a_proxy_that_is_not_there_is_named() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]

        outcome = send("mx.test", 25, f"socks5://127.0.0.1:{port}")

    assert (outcome.kind, outcome.operation) == (FailureKind.CONNECT, "proxy")
    assert outcome.detail == (
        f"cannot connect to proxy socks5://127.0.0.1:{port}: Connection refused"
    )
    assert outcome.retryable


def test_a_proxy_whose_name_is_unknown_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(_host: str, _port: int) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(addresses_module, "_getaddrinfo", look_up)

    outcome = send("mx.test", 25, "http://proxy.test:3128")

    assert (outcome.kind, outcome.operation) == (FailureKind.CONNECT, "proxy")
    assert outcome.errno == socket.EAI_NONAME
    assert outcome.detail == (
        "cannot connect to proxy http://proxy.test:3128:"
        " cannot find the address of proxy.test: Name or service not known"
    )
    assert not outcome.retryable


@on_both_loops
@pytest.mark.parametrize(
    ("scheme", "octets"),
    [("socks5", b""), ("socks5", b"\x05"), ("http", b""), ("http", b"HTTP/1.1 200 ok\r\n")],
)
def test_a_proxy_that_hangs_is_a_timeout_that_names_it(
    proxies: Proxies, scheme: str, octets: bytes
) -> None:
    proxy = proxies(says(octets))

    outcome = send("mx.test", 25, f"{scheme}://127.0.0.1:{proxy.port}", timeout=0.2)

    assert (outcome.kind, outcome.stage) == (FailureKind.TIMEOUT, Stage.CONNECT)
    assert outcome.detail == (
        f"proxy {scheme}://127.0.0.1:{proxy.port} could not connect to mx.test:25 in time"
    )
    assert outcome.retryable
    assert outcome.elapsed < 2


def test_a_send_that_is_stopped_while_the_proxy_hangs_leaves_nothing(proxies: Proxies) -> None:
    heard = threading.Event()

    def hear(_proxy: ProxyServer, client: socket.socket) -> None:
        client.recv(65_536)
        heard.set()
        while client.recv(65_536):
            pass

    proxy = proxies(hear)
    actor = SmtpActor.start("mx.test", 25, proxy=f"http://127.0.0.1:{proxy.port}")
    answer = actor.ask(SendMail(sender="a@b.test", recipients="c@d.test"), block=False)
    assert heard.wait(PATIENCE)

    actor.stop()

    outcome = answer.get(timeout=PATIENCE)
    assert isinstance(outcome, SendFailure)
    assert outcome.kind is FailureKind.CANCELLED


# Options.


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("socks5://127.0.0.1:1080", Proxy(kind="socks5", host="127.0.0.1", port=1080)),
        ("SOCKS5H://Proxy.test:1080/", Proxy(kind="socks5", host="Proxy.test", port=1080)),
        ("http://[::1]:3128", Proxy(kind="http", host="::1", port=3128)),
        (
            f"http://{USER}:{ENCODED}@p.test:80",
            Proxy(kind="http", host="p.test", port=80, username=USER, password=Secret(PASSWORD)),
        ),
    ],
)
def test_a_proxys_url_is_read(url: str, proxy: Proxy) -> None:
    assert parse_proxy(Secret(url)) == proxy


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "unknown scheme"),
        ("127.0.0.1:1080", "unknown scheme"),
        ("https://h.test:1", "unknown scheme"),
        ("socks5://h.test", "has no port"),
        ("socks5://h.test:0", "the port after"),
        ("socks5://h.test:65536", "the port after"),
        ("socks5://:1080", "names no host"),
        ("socks5://h.test:1080/x", "nothing can follow the port"),
        ("socks5://h.test:1080?x=y", "nothing can follow the port"),
        ("socks5://h.test:1080#x", "nothing can follow the port"),
        ("socks5://h.test:1080\r\nX: y", "must be percent-encoded"),
        ("socks5://h\tx.test:1080", "must be percent-encoded"),
        ("socks5://h\u00e4.test:1080", "must be percent-encoded"),
        ("http://me:hunter2%0D%0AX%3A@h.test:1", "control character"),
        ("http://me@h.test:1", "a user without a password"),
        ("http://:hunter2@h.test:1", "the user before"),
        ("http://me:@h.test:1", "the password is empty"),
        ("http://m%3Ae:hunter2@h.test:1", 'the user has a ":"'),
        ("http://me:hunter2%C3%A4@h.test:1", "the password needs to be"),
        (f"socks5://me:{'hunter2' * 40}@h.test:1", "the password needs to be"),
        (f"socks5://me:hunter2@{'h' * 2048}:1", "longer than 2048"),
    ],
)
def test_an_invalid_proxy_url_is_rejected_without_showing_it(url: str, words: str) -> None:
    hidden = Secret(url)
    with pytest.raises(ValueError, match=words) as raised:
        collect_options("mx.test", proxy=hidden)

    assert str(raised.value).startswith("proxy: ")
    assert str(raised.value).isprintable()
    # Nor do the frames below this one, for tools that report local variables.
    shown = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    below = [frame for frame in shown.stack if frame.filename != __file__]
    assert len(below) > 2
    assert "hunter2" not in "".join(str(frame.locals) for frame in below)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "lmtp+unix:///run/lmtp"}, "proxy: not available for a unix socket"),
        (
            {"server": "localhost", "allow_plaintext_auth": True, "username": "a", "password": "b"},
            "allow_plaintext_auth: is for this machine only, not for a proxy",
        ),
        ({"server": "fe80::1%eth0"}, "server: not a name that a proxy can look up"),
        ({"server": "a..b"}, "server: not a name that a proxy can look up"),
    ],
)
def test_a_proxy_does_not_go_with_everything(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SmtpActor.start(**options, proxy="socks5://127.0.0.1:1080")


def test_a_unix_socket_has_no_proxy_in_its_url_either() -> None:
    with pytest.raises(ValueError, match="the option proxy is not available for a unix socket"):
        SmtpActor.start(url="lmtp+unix:///run/lmtp?proxy=socks5://127.0.0.1:1080")


def test_a_proxy_of_the_wrong_type_is_a_type_error() -> None:
    proxy: Any = 1080

    with pytest.raises(TypeError, match="proxy: needs a str, not int"):
        SmtpActor.start(proxy=proxy)


@pytest.mark.parametrize(
    "host", ["mx.test", "mx.test.", "_x.test", "127.0.0.1", "::1", "b\u00fc.test"]
)
def test_a_proxy_can_be_told_names_and_addresses(host: str) -> None:
    check_target(host)


def test_without_the_library_the_caller_hears_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def find(_name: str) -> None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", find)

    with pytest.raises(ImportError, match=r"pip install 'pykka-smtp\[proxy\]'"):
        SmtpActor.start("mx.test", proxy="socks5://127.0.0.1:1080")


def test_a_proxy_shows_neither_user_nor_password_as_text() -> None:
    proxy = parse_proxy(Secret(f"http://{USER}:{ENCODED}@[::1]:3128"))

    assert str(proxy) == "http://[::1]:3128"
    assert PASSWORD not in repr(proxy)


def test_an_address_of_a_proxy_that_says_nothing_is_not_waited_for_long(
    scripted_server: Start, proxies: Proxies, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, proxy = scripted_server(), proxies(socks5())
    kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    monkeypatch.setattr(module, "_CONNECT_TIMEOUT", 0.2)
    connect = sockets_module.Connector._connect

    async def never_or(self: Any, sock: socket.socket, address: Any) -> None:
        if address[0] == "127.0.0.3":
            await self._loop.create_future()
        await connect(self, sock, address)

    monkeypatch.setattr(sockets_module.Connector, "_connect", never_or)
    monkeypatch.setattr(
        addresses_module,
        "_getaddrinfo",
        lambda _host, port: [(*kind, ("127.0.0.3", port)), (*kind, ("127.0.0.1", port))],
    )

    outcome = send(server.host, server.port, f"socks5://proxy.test:{proxy.port}")

    assert isinstance(outcome, SendSuccess)

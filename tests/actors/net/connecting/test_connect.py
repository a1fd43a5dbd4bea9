import asyncio
import contextlib
import errno
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohappyeyeballs
import pytest
from servers.python import python
from servers.scripted import ScriptedServer, Start
from servers.waiting import PATIENCE

from pykka_smtp import FailureKind, Peer, SendFailure, SendMail, SendSuccess, SmtpActor, Stage
from pykka_smtp.actors.loop.event_loop import event_loop
from pykka_smtp.actors.net.connecting import addresses as addresses_module
from pykka_smtp.actors.net.connecting import connect as module
from pykka_smtp.actors.net.connecting import connect_error, sockets
from pykka_smtp.actors.net.connecting.addresses import is_literal
from pykka_smtp.actors.net.connecting.connect_error import ConnectError

Answers = Callable[..., list[tuple[Any, ...]]]

pytestmark = pytest.mark.usefixtures("loop_kind")


def send(host: str, port: int, **options: Any) -> Any:
    message = SendMail(sender="a@b.test", recipients="c@d.test", body="hello")
    return SmtpActor.start(host, port, **options).ask(message, timeout=PATIENCE)


def entry(address: str, port: int) -> tuple[Any, ...]:
    """Give what getaddrinfo says of an address."""
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give a name these addresses, or make the look-up raise."""

    def answer(*addresses: tuple[str, int], error: BaseException | None = None) -> None:
        def look_up(host: str, port: int) -> list[tuple[Any, ...]]:
            if error is not None:
                raise error
            return [entry(*address) for address in addresses]

        monkeypatch.setattr(addresses_module, "_getaddrinfo", look_up)

    return answer


@pytest.fixture
def dead_port() -> int:
    """A port of the loopback interface where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")


# Addresses


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
def test_a_literal_address_needs_no_look_up(
    scripted_server: Start, resolver: Callable[..., None], host: str
) -> None:
    resolver(error=AssertionError("looked up"))
    server = scripted_server(host=host)

    outcome = send(host, server.port)

    assert isinstance(outcome, SendSuccess)
    assert outcome.peer == Peer(host=host, address=host, port=server.port)


@pytest.mark.parametrize(
    ("host", "literal"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("2001:db8::1", True),
        ("localhost", False),
        ("mail.example.org", False),
        ("127.1", False),
        ("1.2.3.4.5", False),
    ],
)
def test_what_is_an_address_and_what_is_a_name(host: str, *, literal: bool) -> None:
    assert is_literal(host) is literal


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
def test_a_literal_address_that_refuses_is_named_once(host: str, dead_port: int) -> None:
    outcome = send(host, dead_port)

    assert isinstance(outcome, SendFailure)
    assert (outcome.kind, outcome.stage) == (FailureKind.CONNECT, Stage.CONNECT)
    assert (outcome.operation, outcome.errno) == ("connect", errno.ECONNREFUSED)
    assert outcome.detail == f"cannot connect to {host}:{dead_port}: Connection refused"
    assert (outcome.retryable, outcome.maybe_accepted) == (True, False)
    assert outcome.peer is None


# Names


def test_a_name_is_looked_up_by_the_system(server: ScriptedServer) -> None:
    outcome = send("localhost", server.port)

    assert isinstance(outcome, SendSuccess)
    assert outcome.peer == Peer(host="localhost", address="127.0.0.1", port=server.port)


@pytest.mark.parametrize("live", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
@pytest.mark.parametrize("dead_first", [True, False])
def test_of_a_dead_and_a_live_address_the_live_one_gets_the_mail(
    scripted_server: Start, resolver: Callable[..., None], live: str, *, dead_first: bool
) -> None:
    server = scripted_server(host=live)
    # The other family: nobody listens at that port there.
    dead = "127.0.0.1" if live == "::1" else "127.0.0.2"
    addresses = [(dead, server.port), (live, server.port)]
    resolver(*(addresses if dead_first else reversed(addresses)))

    outcome = send("two.test", server.port)

    assert isinstance(outcome, SendSuccess)
    assert outcome.peer == Peer(host="two.test", address=live, port=server.port)


@needs_ipv6
def test_an_address_that_says_nothing_is_raced_by_the_next(
    scripted_server: Start, resolver: Callable[..., None]
) -> None:
    """RFC 8305 §5: the next attempt starts beside the first, after a quarter of a second."""
    with full_listener() as (silent, port):
        server = scripted_server(host="::1")
        resolver((silent, port), ("::1", server.port))

        outcome = send("raced.test", server.port)

    assert isinstance(outcome, SendSuccess)
    assert outcome.peer == Peer(host="raced.test", address="::1", port=server.port)
    assert 0.2 <= round(outcome.elapsed, 3) < 2


@contextlib.contextmanager
def full_listener() -> Iterator[tuple[str, int]]:
    """Listen where no more connections can be made, nor are refused."""
    with contextlib.ExitStack() as exits:
        listener = exits.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(3):
            sock = exits.enter_context(socket.socket())
            sock.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                sock.connect(("127.0.0.1", port))
        yield "127.0.0.1", port


def test_a_connection_that_is_never_made_times_out() -> None:
    with full_listener() as (host, port):
        outcome = send(host, port, timeout=0.3)

    assert (outcome.kind, outcome.stage) == (FailureKind.TIMEOUT, Stage.CONNECT)
    assert (outcome.retryable, outcome.maybe_accepted) == (True, False)


def test_when_all_addresses_fail_each_is_named_with_its_error(
    resolver: Callable[..., None], dead_port: int
) -> None:
    resolver(("127.0.0.1", dead_port), ("127.0.0.2", dead_port), ("::1", dead_port))

    outcome = send("none.test", dead_port)

    assert (outcome.kind, outcome.operation) == (FailureKind.CONNECT, "connect")
    start, *reasons = outcome.detail.replace(": ", "; ", 1).split("; ")
    assert start == f"cannot connect to none.test:{dead_port}"
    assert sorted(reasons) == [
        "127.0.0.1: Connection refused",
        "127.0.0.2: Connection refused",
        f"::1: {'Connection refused' if has_ipv6() else 'Cannot assign requested address'}",
    ]
    assert outcome.retryable


def test_a_name_with_one_dead_address_names_that_address(
    resolver: Callable[..., None], dead_port: int
) -> None:
    resolver(("127.0.0.1", dead_port))

    outcome = send("one.test", dead_port)

    assert outcome.detail == (
        f"cannot connect to one.test:{dead_port}: 127.0.0.1: Connection refused"
    )


@pytest.mark.parametrize(
    ("code", "retryable"),
    [
        (socket.EAI_NONAME, False),
        (socket.EAI_FAIL, False),
        (socket.EAI_AGAIN, True),
        (socket.EAI_MEMORY, True),
    ],
)
def test_a_name_that_cannot_be_looked_up_can_be_tried_again_if_the_resolver_says_so(
    resolver: Callable[..., None], code: int, *, retryable: bool
) -> None:
    resolver(error=socket.gaierror(code, "in the resolver's words"))

    outcome = send("no-such-host.test", 25)

    assert (outcome.kind, outcome.stage) == (FailureKind.CONNECT, Stage.CONNECT)
    assert (outcome.operation, outcome.errno) == ("getaddrinfo", code)
    assert outcome.retryable is retryable
    assert outcome.detail == (
        "cannot find the address of no-such-host.test: in the resolver's words"
    )


def test_a_machine_without_a_descriptor_to_spare_for_the_look_up_may_have_one_later(
    resolver: Callable[..., None],
) -> None:
    resolver(error=OSError(errno.EMFILE, os.strerror(errno.EMFILE)))

    outcome = send("mx.test", 25)

    assert (outcome.kind, outcome.errno) == (FailureKind.CONNECT, errno.EMFILE)
    assert outcome.detail == "cannot find the address of mx.test: Too many open files"
    assert outcome.retryable


@pytest.mark.parametrize("shortage", ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"])
def test_a_machine_without_a_descriptor_to_spare_for_the_socket_may_have_one_later(
    resolver: Callable[..., None], monkeypatch: pytest.MonkeyPatch, shortage: str
) -> None:
    number = getattr(errno, shortage)
    resolver(("127.0.0.1", 25), ("127.0.0.2", 25))

    async def none_left(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(aiohappyeyeballs, "start_connection", none_left)

    outcome = send("mx.test", 25)

    assert (outcome.kind, outcome.operation) == (FailureKind.CONNECT, "connect")
    assert outcome.errno == number
    assert outcome.detail == f"cannot connect to mx.test:25: {os.strerror(number)}"
    assert outcome.retryable


def test_an_unknown_name_is_not_worth_another_try() -> None:
    # The system's own resolver; a label of more than 63 octets goes to no name server.
    name = "x" * 64 + ".invalid"

    outcome = send(name, 25)

    assert (outcome.kind, outcome.operation) == (FailureKind.CONNECT, "getaddrinfo")
    assert not outcome.retryable
    assert outcome.detail.startswith(f"cannot find the address of {name}: ")


@pytest.mark.parametrize(
    "error",
    [LookupError("a bug"), ValueError("a bug"), MemoryError(), TypeError("a bug")],
    ids=repr,
)
def test_a_resolver_that_breaks_is_a_name_without_an_address(
    resolver: Callable[..., None], error: Exception
) -> None:
    """A program may have patched it, or replaced it: it is no defect of ours."""
    resolver(error=error)

    outcome = send("bug.test", 25)

    assert (outcome.kind, outcome.operation) == (FailureKind.CONNECT, "getaddrinfo")
    assert type(error).__name__ in outcome.detail
    assert outcome.retryable


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_a_resolver_that_would_end_the_program_ends_one_send(
    resolver: Callable[..., None], server: ScriptedServer, error: BaseException
) -> None:
    resolver(error=error)

    assert send("bug.test", 25).kind is FailureKind.CONNECT
    assert isinstance(send(server.host, server.port), SendSuccess)


ODD_ENTRIES: list[Any] = [
    (socket.AF_INET, socket.SOCK_STREAM),
    (socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP, "", ("127.0.0.1", 25)),
    (socket.AF_UNIX, socket.SOCK_STREAM, 0, "", "/nowhere"),
    (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ()),
    (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", "25")),
    (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (1, 25)),
    (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 70_000)),
    (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("a\0b", 25)),
    (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("a" * 70, 25)),
    (None, None, None, None, None),
    None,
    "127.0.0.1",
]


@pytest.mark.parametrize("odd", ODD_ENTRIES, ids=repr)
def test_what_cannot_be_connected_to_is_skipped_in_what_a_resolver_returns(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, odd: object
) -> None:
    found = [odd, entry("127.0.0.1", server.port), odd]
    monkeypatch.setattr(addresses_module, "_getaddrinfo", lambda host, port: found)

    assert isinstance(send("odd.test", server.port), SendSuccess)


@pytest.mark.parametrize("found", [None, 25, [], [None], "none", ()], ids=repr)
def test_a_resolver_without_results_is_a_connect_failure(
    monkeypatch: pytest.MonkeyPatch, found: object
) -> None:
    monkeypatch.setattr(addresses_module, "_getaddrinfo", lambda host, port: found)

    outcome = send("odd.test", 25)

    assert (outcome.kind, outcome.operation) == (FailureKind.CONNECT, "getaddrinfo")
    assert "odd.test" in outcome.detail


def test_of_a_name_that_has_addresses_without_end_only_so_many_are_looked_at(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []

    def without_end() -> Iterator[tuple[Any, ...]]:
        while True:
            given.append(None)
            yield entry("127.0.0.1", server.port)

    monkeypatch.setattr(addresses_module, "_getaddrinfo", lambda host, port: without_end())

    assert isinstance(send("many.test", server.port), SendSuccess)
    assert len(given) == addresses_module._MAX_ADDRESSES


def test_a_name_without_any_address_is_a_connect_failure(resolver: Callable[..., None]) -> None:
    resolver()

    outcome = send("empty.test", 25)

    assert outcome.kind is FailureKind.CONNECT
    assert "empty.test" in outcome.detail


# The local address


def test_the_connection_comes_from_the_source_address(server: ScriptedServer) -> None:
    assert isinstance(send(server.host, server.port, source_address=("127.0.0.7", 0)), SendSuccess)
    assert isinstance(send("localhost", server.port, source_address=("127.0.0.8", 0)), SendSuccess)

    assert [session.peer for session in server.sessions] == ["127.0.0.7", "127.0.0.8"]


@needs_ipv6
def test_an_address_of_the_other_family_is_not_tried_from_the_source_address(
    server: ScriptedServer, resolver: Callable[..., None]
) -> None:
    resolver(("::1", server.port), ("127.0.0.1", server.port))

    outcome = send("both.test", server.port, source_address=("127.0.0.9", 0))

    assert isinstance(outcome, SendSuccess)
    assert server.sessions[0].peer == "127.0.0.9"


@needs_ipv6
def test_an_ipv6_source_address_is_bound(scripted_server: Start) -> None:
    server = scripted_server(host="::1")

    assert isinstance(send("::1", server.port, source_address=("::1", 0)), SendSuccess)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_source_address_that_is_not_ours_is_named(server: ScriptedServer, host: str) -> None:
    # TEST-NET-1 (RFC 5737), which no machine has.
    outcome = send(host, server.port, source_address=("203.0.113.1", 0))

    assert outcome.kind is FailureKind.CONNECT
    assert "203.0.113.1" in outcome.detail
    assert outcome.stage is Stage.CONNECT
    assert not server.sessions


# Below the actor


def test_a_connect_error_says_what_failed_and_whether_to_try_again() -> None:
    error = ConnectError("no luck", "connect", errno.ECONNREFUSED, retryable=True)

    assert str(error) == "no luck"
    assert (error.operation, error.errno, error.retryable) == ("connect", errno.ECONNREFUSED, True)


def test_an_error_without_a_number_keeps_its_words() -> None:
    assert connect_error.reason_of(OSError("Multiple exceptions")) == "Multiple exceptions"
    assert connect_error.reason_of(OSError(errno.ECONNREFUSED, "in the loop's words")) == (
        "Connection refused"
    )


THREADS = """
import pathlib, sys
from pykka_smtp import SendMail, SmtpActor

mail = SendMail(sender="a@b.test", recipients="c@d.test")
SmtpActor.start("localhost", int(sys.argv[1])).ask(mail).raise_for_failure()
names = [path.read_text().strip() for path in pathlib.Path("/proc/self/task").glob("*/comm")]
print(len(names), "libuv-worker" in names)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_name_costs_no_threads_that_stay_for_good(server: ScriptedServer) -> None:
    """They would not survive a fork: the child crashes as it exits."""

    done = python("-c", THREADS, server.port, env={"PYKKA_SMTP_LOOP": "uvloop"})
    assert done.returncode == 0, done.stderr

    # The main thread, the loop, the dispatcher, and a worker of each kind.
    assert done.stdout.split() == ["7", "False"]


def test_an_address_with_a_scope_is_looked_up_where_names_are() -> None:
    assert not is_literal("fe80::1%eth0")


# A loop or a machine of another kind


class LoopOfAnotherKind:
    """A loop that tells of no socket when it is ready, as Windows' proactor; it connects itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.connects = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loop, name)

    def remove_writer(self, _sock: socket.socket) -> bool:
        raise NotImplementedError

    add_writer = add_reader = remove_reader = remove_writer

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        self.connects += 1
        await self.loop.sock_connect(sock, address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_loop_that_watches_no_sockets_connects_by_itself(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    made: list[LoopOfAnotherKind] = []
    thread = event_loop

    class Thread:
        is_selector_loop = True

        def __init__(self) -> None:
            self.resolver_pool = thread().resolver_pool
            made.append(LoopOfAnotherKind(thread().loop))
            self.loop = made[-1]

    for each in (module, addresses_module, sockets):
        monkeypatch.setattr(each, "event_loop", Thread)

    assert isinstance(send(host, server.port), SendSuccess)
    assert sum(loop.connects for loop in made) == 1


@pytest.mark.parametrize("number", [errno.EWOULDBLOCK, 10035])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_connect_that_would_block_goes_on(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, host: str, number: int
) -> None:
    """Windows says WSAEWOULDBLOCK where others say EINPROGRESS."""

    class Windows(socket.socket):
        def connect_ex(self, address: Any) -> int:
            said = super().connect_ex(address)
            return number if said == errno.EINPROGRESS else said

        def getpeername(self) -> Any:
            raise OSError(errno.ENOTCONN, "not yet")

    monkeypatch.setattr(socket, "socket", Windows)

    assert isinstance(send(host, server.port), SendSuccess)


def test_a_machine_without_a_local_port_to_spare_may_have_one_later(server: ScriptedServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

        outcome = send(server.host, server.port, source_address=("127.0.0.1", port))

    assert (outcome.kind, outcome.operation) == (FailureKind.CONNECT, "bind")
    assert (outcome.errno, outcome.retryable) == (errno.EADDRINUSE, True)
    assert f"127.0.0.1:{port}" in outcome.detail


def test_a_unix_socket_with_a_full_queue_is_a_connect_failure(tmp_path: Path) -> None:
    path = str(tmp_path / "lmtp")
    with contextlib.ExitStack() as exits:
        listener = exits.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(path)
        listener.listen(0)
        for _ in range(3):
            sock = exits.enter_context(socket.socket(socket.AF_UNIX))
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect(path)
        message = SendMail(sender="a@b.test", recipients="c@d.test", body="hello")

        ref = SmtpActor.start(url=f"lmtp+unix://{path}", timeout=PATIENCE)
        outcome = ref.ask(message, timeout=PATIENCE)

    assert isinstance(outcome, SendFailure)
    assert (outcome.kind, outcome.operation) == (FailureKind.CONNECT, "connect")
    assert outcome.retryable


# Words for a port of another kind


def test_a_server_that_does_not_greet_may_wait_for_tls(scripted_server: Start) -> None:
    server = scripted_server("S! silence")

    outcome = send(server.host, server.port, timeout=0.2)

    assert (outcome.kind, outcome.stage) == (FailureKind.TIMEOUT, Stage.GREETING)
    assert outcome.detail.endswith("tls='implicit'")


def test_plaintext_in_place_of_a_handshake_is_recognized(
    scripted_server: Start,
) -> None:
    server = scripted_server("S: 220 mx.test ESMTP\nS! silence")

    outcome = send(server.host, server.port, tls="implicit")

    assert (outcome.kind, outcome.stage) == (FailureKind.SECURITY, Stage.CONNECT)
    assert "the server speaks no TLS at once; use tls='starttls'" in outcome.detail

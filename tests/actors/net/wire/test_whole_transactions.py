"""When a transaction by BDAT may begin: not while anything lies in the socket unread."""

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest
from servers.certificates import Certificates, server_context
from servers.certificates import Tls as ServerTls
from servers.mailing import Mailing
from servers.scripted import Conn, ScriptedServer, parse_script
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import NO_RETRY, FailureKind, SendSuccess
from pykka_smtp.actors.net.wire.connection import Connection
from pykka_smtp.actors.net.wire.wire import ConnectionWriter
from pykka_smtp.smtp.session.step import CommandGroup, SendMailData

pytestmark = pytest.mark.usefixtures("loop_kind")

Serve = Callable[..., ScriptedServer]


@dataclass
class Named:
    """A server, by the name that is in its certificate."""

    host: str
    port: int


class Foreteller:
    """Says yes to a whole transaction before it has begun, when a test gives the word; once.

    Args:
        uses_tls: whether it does STARTTLS.
        limits: what it declares of them.
        pipelines: whether it offers PIPELINING.

    Attributes:
        word: set by the test.
        mails: how many it has taken; none on the connection on which it has foretold.
        connections: how many it has had.
    """

    def __init__(self, *, uses_tls: bool, limits: str = "", pipelines: bool = True) -> None:
        self._uses_tls = uses_tls
        first = ["PIPELINING"] if pipelines else []
        self._offers = [*first, "CHUNKING", *([f"LIMITS {limits}"] if limits else [])]
        self.word = threading.Event()
        self.mails = 0
        self.connections = 0

    def __call__(self, conn: Conn, *, before: int) -> None:
        """Talk to a client.

        Args:
            conn: the connection.
            before: how many mails come before the word.
        """
        self.connections += 1
        self.begin(conn)
        for _ in range(before):
            self._take(conn)
        if self.connections == 1:
            conn.wait(self.word)
            conn.send(*["250 2.0.0 foretold"] * 3)
            conn.hang()
        while True:
            self._take(conn)

    def begin(self, conn: Conn) -> None:
        """Greet, and say what it offers."""
        if self._uses_tls:
            conn.play(parse_script("S: 220 x\nC: EHLO *\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS"))
            conn.send("220 go")
            conn.starttls()
        else:
            conn.send("220 x")
        conn.line("EHLO *")
        conn.send("250-x", *[f"250-{one}" for one in self._offers[:-1]], f"250 {self._offers[-1]}")

    def _take(self, conn: Conn) -> None:
        line = conn.line()
        while not line.startswith(("BDAT", "DATA")):
            conn.send("250 ok")
            line = conn.line()
        if line == "DATA":
            conn.send("354 go")
            conn.body()
        else:
            conn.chunk()
        self.mails += 1
        conn.send("250 taken")


@pytest.fixture(params=["in clear", "under TLS"])
def is_tls(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "under TLS")


@pytest.fixture
def start(
    scripted_server: Serve, certificates: Certificates, mailing: Mailing, *, is_tls: bool
) -> Callable[..., tuple[Foreteller, Any]]:
    """Start a server that foretells after so many mails, and a Mailer with one connection to it."""

    def begin(before: int, limits: str = "", **options: Any) -> tuple[Foreteller, Any]:
        server = Foreteller(uses_tls=is_tls, limits=limits)
        context = server_context(ServerTls(certificate=certificates.good))
        listening = scripted_server(functools.partial(server, before=before), context=context)
        options = {"retry": NO_RETRY, "max_connections": 1, "tls": "off"} | options
        if is_tls:
            options |= {"tls": "starttls", "tls_context": certificates.trusting()}
        return server, mailing.start(Named("localhost", listening.port), **options)

    return begin


def foretell_before(number: int, server: Foreteller, patch: pytest.MonkeyPatch) -> None:
    """Have the server speak when the client has all for its so many-th transaction in one write."""
    begin = ConnectionWriter.begin_body
    bodies: list[SendMailData] = []

    def begin_late(self: ConnectionWriter, body: SendMailData) -> None:
        assert body.is_speculative
        bodies.append(body)
        if len(bodies) == number:
            server.word.set()
            assert wait_until(self.has_something_to_read, PATIENCE)
        begin(self, body)

    patch.setattr(ConnectionWriter, "begin_body", begin_late)


def test_pending_replies_before_the_first_email_of_a_session_are_not_a_success(
    start: Any, mailing: Mailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, mailer = start(0)
    foretell_before(1, server, monkeypatch)

    outcome = mailing.ask(mailer)

    assert (outcome.kind, outcome.maybe_accepted) == (FailureKind.PROTOCOL, False)
    assert "250 2.0.0 foretold" in outcome.detail
    assert outcome.retryable
    assert server.mails == 0


def test_pending_replies_before_the_second_transaction_are_not_a_success(
    start: Any, mailing: Mailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They came behind the first one's verdict, too: which of them was that, nobody knows."""
    server, mailer = start(1, limits="RCPTMAX=1")
    foretell_before(2, server, monkeypatch)

    outcome = mailing.ask(mailer, recipients=["c@d.test", "e@d.test"])

    first, second = outcome.recipients
    assert (first.accepted, first.maybe_accepted) == (False, True)
    assert (second.accepted, second.maybe_accepted, second.retryable) == (False, False, True)
    assert server.mails == 1


def test_replies_that_lie_unread_in_a_kept_connection_are_not_read_as_those_to_the_next_mail(
    start: Any, mailing: Mailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next mail goes by another connection, and not in one write any more."""
    server, mailer = start(1)
    assert isinstance(mailing.ask(mailer), SendSuccess)
    is_reusable = cast("Any", Connection.is_reusable).fget

    def look_late(self: Connection) -> bool:
        if not server.word.is_set():
            server.word.set()
            assert wait_until(self.has_something_to_read, PATIENCE)
        return bool(is_reusable(self))

    monkeypatch.setattr(Connection, "is_reusable", property(look_late))

    outcome = mailing.ask(mailer)

    assert isinstance(outcome, SendSuccess)
    assert str(outcome.reply) == "250 taken"
    assert (server.connections, server.mails) == (2, 2)


def test_a_mail_in_one_write_that_nothing_unread_precedes_goes_out_at_once(
    start: Any, mailing: Mailing
) -> None:
    server, mailer = start(3)

    outcomes = [mailing.ask(mailer) for _ in range(3)]

    assert all(isinstance(outcome, SendSuccess) for outcome in outcomes)
    assert (server.mails, server.connections) == (3, 1)


class Laggard:
    """Says yes once more than it was asked, and gives the reply to the last RCPT after the chunk.

    Each reply is then one command late, so that the one to RCPT could count as the final one.

    Args:
        uses_tls: whether it does STARTTLS.
        pipelines: whether it offers PIPELINING.

    Attributes:
        word: set by the test: the client is about to send MAIL.
        chunks: how many it has got.
    """

    def __init__(self, *, uses_tls: bool, pipelines: bool) -> None:
        self._foreteller = Foreteller(uses_tls=uses_tls, pipelines=pipelines)
        self.word = threading.Event()
        self.chunks = 0

    def __call__(self, conn: Conn) -> None:
        """Talk to a client."""
        self._foreteller.begin(conn)
        conn.wait(self.word)
        conn.send("250 2.0.0 unasked")
        conn.line("MAIL *")
        conn.send("250 2.1.0 to MAIL")
        conn.line("RCPT *")
        conn.line("BDAT *")
        conn.chunk()
        self.chunks += 1
        conn.send("250 2.1.5 to RCPT")
        conn.hang()


@pytest.mark.parametrize("pipelines", [True, False])
def test_pending_replies_before_an_email_in_several_steps_are_not_a_success(
    certificates: Certificates,
    mailing: Mailing,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_tls: bool,
    pipelines: bool,
) -> None:
    server = Laggard(uses_tls=is_tls, pipelines=pipelines)
    context = server_context(ServerTls(certificate=certificates.good))
    listening = mailing.serve(server, context=context)
    options = {"retry": NO_RETRY, "max_connections": 1, "tls": "off"}
    if is_tls:
        options |= {"tls": "starttls", "tls_context": certificates.trusting()}
    mailer = mailing.start(Named("localhost", listening.port), **options)
    carry_out = Connection._carry_out

    def carry_out_late(self: Connection, actions: list[Any]) -> None:
        """Have the server speak when the client has its MAIL ready."""
        is_mail = any(isinstance(a, CommandGroup) or b"MAIL FROM" in bytes_of(a) for a in actions)
        if is_mail and not server.word.is_set():
            server.word.set()
            assert wait_until(self.has_something_to_read, PATIENCE)
        carry_out(self, actions)

    monkeypatch.setattr(Connection, "_carry_out", carry_out_late)

    outcome = mailing.ask(mailer, body="x" * 100_000)

    assert (outcome.kind, outcome.maybe_accepted) == (FailureKind.PROTOCOL, False)
    assert "250 2.0.0 unasked" in outcome.detail
    assert server.chunks == 0


def bytes_of(action: object) -> bytes:
    return action if isinstance(action, bytes) else b""

"""A send that is stopped, wherever it is: one outcome, at once."""

import contextlib
import gc
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from pykka import ActorDeadError, ActorRegistry
from pykka._envelope import Envelope
from servers.scripted import Conn, ScriptedServer, Start, parse_script, polite
from servers.texts import up_to
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import (
    FailureKind,
    Mailer,
    SendFailure,
    SendMail,
    SendSuccess,
    SmtpActor,
    Stage,
    set_connection_limit,
)
from pykka_smtp.actors import sending_actor
from pykka_smtp.actors.net.connecting import addresses as addresses_module
from pykka_smtp.actors.net.connection_limit import connection_limit
from pykka_smtp.actors.net.data.mail_source import FileSource
from pykka_smtp.actors.net.wire.wire import ConnectionWriter
from pykka_smtp.actors.options.options import Options

AT_ONCE = 1.0


UP_TO_DATA = up_to("DATA")


def begin(conn: Conn) -> bytes:
    """Play the server up to the first octets of the mail data."""
    conn.play(parse_script(UP_TO_DATA))
    return conn._sock.recv(100)


def begins_and_goes_deaf(conn: Conn) -> None:
    begin(conn)
    conn.deaf()


def mail(**options: Any) -> SendMail:
    return SendMail(sender="a@b.test", recipients="c@d.test", **options)


def actor(server: ScriptedServer) -> Any:
    return SmtpActor.start(server.host, server.port)


def break_the_second(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """Have a module's, or a class's, function fail to make another one."""
    made: list[object] = []
    make: Any = vars(owner)[name]

    def break_it(*args: Any, **options: Any) -> Any:
        made.append(None)
        if len(made) == 2:
            raise LookupError("a bug")
        return make(*args, **options)

    monkeypatch.setattr(owner, name, break_it)


def stop_one(ref: Any) -> None:
    assert ref.stop(timeout=PATIENCE) is True


def stop_all(ref: Any) -> None:
    assert all(ActorRegistry.stop_all(timeout=PATIENCE))


@pytest.fixture(params=[stop_one, stop_all])
def stop(request: pytest.FixtureRequest) -> Callable[[Any], None]:
    """Stop an actor, in both ways."""
    chosen: Callable[[Any], None] = request.param
    return chosen


class Stopped:
    """Stops a send at a place, and looks at what comes of it."""

    def __init__(self, stop: Callable[[Any], None], outcomes: Any) -> None:
        self._stop = stop
        self._outcomes = outcomes

    def __call__(self, ref: Any, message: SendMail, ready: Callable[[], object]) -> SendFailure:
        answer = ref.ask(message, block=False)
        ready()
        began = time.monotonic()

        self._stop(ref)

        assert answer.get(timeout=0) is self._outcomes.wait_for(1)[0]
        assert time.monotonic() - began < AT_ONCE
        outcome: SendFailure = answer.get(timeout=0)
        assert outcome.kind is FailureKind.CANCELLED
        # Whatever else was to come has come when the connection is gone.
        assert ref.actor_stopped.is_set()
        return outcome


@pytest.fixture
def stopped(loop_kind: str, stop: Callable[[Any], None], outcomes: Any) -> Iterator[Stopped]:
    yield Stopped(stop, outcomes)
    assert len(outcomes.wait_for(1)) == 1


@pytest.fixture
def blackhole() -> Iterator[int]:
    """Give a port where connections are begun and never made: the listener's queue is full."""
    with contextlib.ExitStack() as exits:
        listener = exits.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]

        def is_full() -> bool:
            sock = exits.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            return not wait_until(
                lambda: sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or is_connected(sock),
                0.05,
            )

        assert any(is_full() for _ in range(10)), "this system has room for everyone"
        yield port


def any_worker() -> bool:
    return any(thread.name.startswith("pykka-smtp-files") for thread in threading.enumerate())


def is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def is_connecting(port: int) -> bool:
    """Whether a connection to the port is being made (02 is SYN_SENT), beside the fixture's."""
    return sum(
        fields[2].endswith(f":{port:04X}") and fields[3] == "02"
        for fields in map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:])
    ) >= 2  # fmt: skip


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_stop_while_it_connects(stopped: Stopped, blackhole: int, host: str) -> None:
    outcome = stopped(
        SmtpActor.start(host, blackhole),
        mail(),
        lambda: wait_until(lambda: is_connecting(blackhole), PATIENCE) or pytest.fail("no SYN"),
    )

    assert (outcome.stage, outcome.retryable) == (Stage.CONNECT, True)
    assert not outcome.maybe_accepted
    assert outcome.peer is None


def test_stop_while_the_name_is_looked_up(
    stopped: Stopped, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, answered = threading.Event(), threading.Event()

    def look_up(*args: object) -> list[Any]:
        entered.set()
        assert answered.wait(PATIENCE)
        return []

    monkeypatch.setattr(addresses_module, "_getaddrinfo", look_up)

    outcome = stopped(SmtpActor.start("slow.test", 25), mail(), lambda: entered.wait(PATIENCE))

    assert outcome.stage is Stage.CONNECT
    answered.set()


def test_stop_before_the_greeting(stopped: Stopped, scripted_server: Start) -> None:
    server = scripted_server("S! silence")

    outcome = stopped(actor(server), mail(), lambda: server.wait_for(lambda: server.transcript))

    assert outcome.stage in {Stage.CONNECT, Stage.GREETING}
    assert not outcome.maybe_accepted
    server.wait_until_ended()
    assert server.sessions[0].unanswered == b""


@pytest.mark.parametrize(
    ("script", "stage"),
    [
        ("S: 220 mx.test\nC: EHLO *\nS! silence", Stage.EHLO),
        ("S: 220 mx.test\nC: EHLO *\nS: 250 mx.test\nC: MAIL *\nS! silence", Stage.MAIL),
    ],
    ids=["ehlo", "mail"],
)
def test_stop_amid_the_commands(
    stopped: Stopped, scripted_server: Start, script: str, stage: Stage
) -> None:
    server = scripted_server(script)
    verb = stage.value.upper()

    outcome = stopped(
        actor(server),
        mail(),
        lambda: server.wait_for(lambda: any(line.startswith(verb) for line in server.lines)),
    )

    assert outcome.stage is stage
    assert not outcome.maybe_accepted
    server.wait_until_ended()
    assert server.sessions[0].unanswered == b""


def test_stop_amid_the_mail_data_of_a_server_that_reads_nothing(
    stopped: Stopped, scripted_server: Start
) -> None:
    server = scripted_server(begins_and_goes_deaf)

    outcome = stopped(
        actor(server),
        mail(message=(b"x" * 70 + b"\r\n") * 300_000),
        lambda: server.wait_for(lambda: "S: goes deaf" in server.transcript),
    )

    assert (outcome.stage, outcome.retryable, outcome.maybe_accepted) == (Stage.BODY, True, False)


def test_stop_amid_a_file_never_leaves_a_dot_behind(
    stopped: Stopped, scripted_server: Start, tmp_path: Path
) -> None:
    """A server that reads on after the stop must not find what looks like a complete mail."""
    path = tmp_path / "mail"
    path.write_bytes((b"x" * 70 + b"\r\n") * 300_000)
    may_read = threading.Event()
    seen: list[bytes] = []

    def script(conn: Conn) -> None:
        seen.append(begin(conn))
        conn.session.note("the mail begins")
        conn.wait(may_read)
        with contextlib.suppress(OSError):
            while octets := conn._sock.recv(1_000_000):
                seen[:] = [octets]

    server = scripted_server(script)

    outcome = stopped(
        actor(server),
        mail(message=path),
        lambda: server.wait_for(lambda: "the mail begins" in server.transcript),
    )

    may_read.set()
    server.wait_until_ended()
    assert (outcome.stage, outcome.maybe_accepted) == (Stage.BODY, False)
    assert not b"".join(seen).endswith(b"\r\n.\r\n")


def test_stop_after_the_dot_leaves_open_whether_the_mail_was_accepted(
    stopped: Stopped, scripted_server: Start
) -> None:
    server = scripted_server(UP_TO_DATA + "C: <data>\nS! silence")

    outcome = stopped(actor(server), mail(), lambda: server.wait_for(lambda: server.mails))

    assert (outcome.stage, outcome.maybe_accepted, outcome.retryable) == (Stage.DOT, True, False)


def test_stop_while_waiting_for_the_reply_to_quit_changes_nothing(
    loop_kind: str, stop: Callable[[Any], None], scripted_server: Start, outcomes: Any
) -> None:
    ref = actor(scripted_server(UP_TO_DATA + "C: <data>\nS: 250 taken\nC: QUIT\nS! silence"))
    outcome = ref.ask(mail(), timeout=PATIENCE)
    assert isinstance(outcome, SendSuccess)
    began = time.monotonic()

    stop(ref)

    assert time.monotonic() - began < AT_ONCE
    assert outcomes.wait_for(1) == [outcome]


def test_stop_while_a_fifo_without_writer_is_opened(
    stopped: Stopped,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Opening a named pipe waits for its writer."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    opening = threading.Event()
    really_open = FileSource.open

    def say_so_and_open(self: FileSource) -> Any:
        opening.set()
        return really_open(self)

    monkeypatch.setattr(FileSource, "open", say_so_and_open)

    outcome = stopped(
        SmtpActor.start("127.0.0.1", 25), mail(message=pipe), lambda: opening.wait(PATIENCE)
    )
    loop_thread = [t for t in threading.enumerate() if t.name == "pykka-smtp-loop"]
    for thread in loop_thread:
        thread.join(PATIENCE)

    assert outcome.stage is Stage.CONNECT
    assert not any(thread.is_alive() for thread in loop_thread)
    # Let the worker go.
    with pipe.open("wb"):
        pass
    assert wait_until(lambda: not any_worker(), PATIENCE)
    gc.collect()
    # The outcome, and nothing else.
    assert [record.name for record in caplog.records] == ["pykka_smtp.outcomes"]


def test_a_file_that_is_opened_only_after_the_stop_is_closed_again(
    stopped: Stopped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mail"
    path.write_bytes(b"Subject: x\r\n\r\n")
    opening, may_open = threading.Event(), threading.Event()
    files: list[Any] = []
    really_open = FileSource.open

    def open_late(self: FileSource) -> Any:
        opening.set()
        assert may_open.wait(PATIENCE)
        try:
            return really_open(self)
        finally:
            files.append(self._file)

    monkeypatch.setattr(FileSource, "open", open_late)
    stopped(SmtpActor.start("127.0.0.1", 25), mail(message=path), lambda: opening.wait(PATIENCE))

    may_open.set()

    assert wait_until(lambda: not any_worker(), PATIENCE)
    left_open = [file for file in files if file is not None and not file.closed]
    for file in left_open:
        file.close()
    assert left_open == []


def test_stop_before_a_mail_was_told_makes_no_outcome(loop_kind: str, outcomes: Any) -> None:
    ref = SmtpActor.start("127.0.0.1", 25)

    assert ref.stop(timeout=PATIENCE) is True

    assert outcomes.all == []


def test_stop_all_stops_a_hundred_sends_at_once_each_with_its_outcome(
    loop_kind: str, scripted_server: Start, outcomes: Any
) -> None:
    server = scripted_server("S! silence")
    refs = [actor(server) for _ in range(100)]
    for ref in refs:
        ref.tell(mail())
    server.wait_for(lambda: len(server.sessions) >= 50)
    began = time.monotonic()

    ActorRegistry.stop_all(timeout=PATIENCE)

    kinds = {outcome.kind for outcome in outcomes.wait_for(100)}
    assert time.monotonic() - began < 3 * AT_ONCE
    assert kinds == {FailureKind.CANCELLED}
    assert len({outcome.mail.id for outcome in outcomes.all}) == 100


# A second mail, a late mail


def test_a_second_mail_told_to_the_same_actor_gets_an_outcome_of_its_own(
    loop_kind: str, server: ScriptedServer, outcomes: Any
) -> None:
    ref = actor(server)
    first, second = mail(), mail()

    ref.tell(first)
    with contextlib.suppress(ActorDeadError):
        ref.tell(second)

    refused, accepted = outcomes.wait_for(2)
    assert accepted.mail is first
    assert isinstance(accepted, SendSuccess)
    assert refused.mail is second
    assert refused.kind is FailureKind.CANCELLED
    assert "sends one email" in refused.detail


def test_a_second_mail_asked_is_answered_at_once(loop_kind: str, scripted_server: Start) -> None:
    ref = actor(scripted_server("S! silence"))
    ref.tell(mail())

    outcome: Any = ref.ask(mail(), timeout=PATIENCE)

    assert (outcome.kind, outcome.retryable) == (FailureKind.CANCELLED, True)
    assert ref.stop(timeout=PATIENCE)


def test_a_mail_told_after_stop_raises(loop_kind: str, outcomes: Any) -> None:
    ref = SmtpActor.start("127.0.0.1", 25)
    ref.stop(block=False)

    with pytest.raises(ActorDeadError):
        ref.tell(mail())
    with pytest.raises(ActorDeadError):
        ref.ask(mail(), timeout=PATIENCE)
    assert ref.actor_stopped.wait(PATIENCE)
    assert outcomes.all == []


def test_mails_that_race_with_stop_raise_or_have_an_outcome(loop_kind: str, outcomes: Any) -> None:
    taken, raised = 0, 0

    for _ in range(200):
        ref = SmtpActor.start("127.0.0.1", 1)
        stopper = threading.Thread(target=lambda ref=ref: ref.stop(block=False))
        stopper.start()
        for _ in range(3):
            try:
                ref.tell(mail())
                taken += 1
            except ActorDeadError:
                raised += 1
        stopper.join(PATIENCE)

    assert len(outcomes.wait_for(taken)) == taken
    assert taken + raised == 600


def test_a_mail_that_slips_in_behind_a_stop_has_an_outcome(loop_kind: str, outcomes: Any) -> None:
    ref = SmtpActor.start("127.0.0.1", 25)
    actor: Any = ref._actor_weakref()
    ref.stop(timeout=PATIENCE)
    # As in a thread that found the inbox open, and went on only now.
    actor.actor_inbox.closed = False

    ref.actor_inbox.put(Envelope(late := mail()))

    [outcome] = outcomes.wait_for(1)
    assert outcome.mail is late
    assert outcome.kind is FailureKind.CANCELLED
    assert "before it handled the email" in outcome.detail


@pytest.mark.parametrize(
    "message", [EmailMessage(), {"to": "a@b.test"}, None], ids=lambda m: type(m).__name__
)
def test_an_smtp_actor_that_is_asked_anything_but_a_mail_says_so_and_stops(
    loop_kind: str, message: Any
) -> None:
    ref = SmtpActor.start("127.0.0.1", 25)

    with pytest.raises(TypeError) as raised:
        ref.ask(message, timeout=PATIENCE)

    assert str(raised.value) == f"an SmtpActor takes a SendMail, not {type(message).__name__}"
    assert ref.actor_stopped.wait(PATIENCE)  # or the program would not end


def test_an_smtp_actor_that_is_told_anything_but_a_mail_logs_an_error_and_stops(
    loop_kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    ref = SmtpActor.start("127.0.0.1", 25)

    ref.tell({"password": "hunter2"})

    assert ref.actor_stopped.wait(PATIENCE)
    [record] = [record for record in caplog.records if record.levelname != "DEBUG"]
    assert record.levelname == "ERROR"
    assert record.getMessage() == "an SmtpActor takes a SendMail, not dict"
    assert record.name.startswith("pykka_smtp.")  # Pykka's own logger keeps silent


def test_a_mail_told_behind_a_wrong_message_has_an_outcome(loop_kind: str, outcomes: Any) -> None:
    ref = SmtpActor.start("127.0.0.1", 1)

    try:
        ref.tell("what is this")
        ref.tell(mail())
    except ActorDeadError:
        return

    [outcome] = outcomes.wait_for(1)
    assert outcome.kind is FailureKind.CANCELLED


class OddType(type):
    """A metaclass whose classes have no hash."""

    __hash__ = None  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]


class OfOddType(metaclass=OddType):
    """A message whose type cannot be looked up in a set."""


@pytest.mark.parametrize("message", ["what is this", OfOddType()], ids=["str", "OfOddType"])
def test_a_wrong_message_does_not_end_the_send_that_is_under_way(
    loop_kind: str, scripted_server: Start, caplog: pytest.LogCaptureFixture, message: object
) -> None:
    asked, may_go_on = threading.Event(), threading.Event()

    def pauses(conn: Conn) -> None:
        asked.set()
        conn.wait(may_go_on)
        polite()(conn)

    ref = actor(scripted_server(pauses))
    answer: Any = ref.ask(mail(), block=False)
    assert asked.wait(PATIENCE)

    ref.tell(message)
    says = f"an SmtpActor takes a SendMail, not {type(message).__name__}"
    with pytest.raises(TypeError, match=says):
        ref.ask(message, timeout=PATIENCE)
    may_go_on.set()

    assert isinstance(answer.get(timeout=PATIENCE), SendSuccess)
    assert says in caplog.text


def test_a_proxy_of_an_smtp_actor_does_what_pykkas_do(loop_kind: str) -> None:
    ref = SmtpActor.start("127.0.0.1", 25)
    proxy: Any = ref.proxy()

    assert proxy.actor_urn.get(timeout=PATIENCE) == ref.actor_urn
    assert ref.is_alive()
    proxy.stop().get(timeout=PATIENCE)
    assert ref.actor_stopped.wait(PATIENCE)


def test_a_mailer_says_what_it_takes_and_goes_on(
    loop_kind: str, server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    ref = Mailer.start(server.host, server.port)

    ref.tell(EmailMessage())
    with pytest.raises(TypeError, match="a Mailer takes a SendMail, not EmailMessage"):
        ref.ask(EmailMessage(), timeout=PATIENCE)

    assert isinstance(ref.ask(mail(), timeout=PATIENCE), SendSuccess)
    assert "a Mailer takes a SendMail, not EmailMessage" in caplog.text
    ref.stop(timeout=PATIENCE)


def test_a_wrong_message_that_comes_too_late_is_logged(
    loop_kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    ref = SmtpActor.start("127.0.0.1", 25)
    actor: Any = ref._actor_weakref()
    ref.stop(timeout=PATIENCE)

    actor.on_discard("too late")

    assert "stopped before it handled 'too late'" in caplog.text


# When we break ourselves


@pytest.fixture
def limit_of_one() -> Iterator[None]:
    before = connection_limit.limit
    set_connection_limit(1)
    yield
    set_connection_limit(before)


@pytest.mark.usefixtures("limit_of_one")
def test_a_send_that_breaks_as_it_gets_its_turn_has_an_outcome_and_hurts_no_other(
    loop_kind: str, server: ScriptedServer, outcomes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_the_second(monkeypatch, sending_actor, "Session")
    refs = [actor(server) for _ in range(3)]
    for ref in refs:
        ref.tell(mail())

    try:
        found = [getattr(outcome, "kind", None) for outcome in outcomes.wait_for(3, 1.0)]
        assert all(ref.actor_stopped.wait(1.0) for ref in refs)
    finally:
        ActorRegistry.stop_all(timeout=PATIENCE)

    # Which of them is the second to have its turn is not said.
    assert sorted(found, key=str) == [FailureKind.INTERNAL, None, None]


def test_an_actor_that_fails_after_the_dot_says_that_the_mail_may_have_been_accepted(
    loop_kind: str, scripted_server: Start
) -> None:
    server = scripted_server(UP_TO_DATA + "C: <data>\nS! silence")
    ref = actor(server)
    answer: Any = ref.ask(mail(), block=False)
    server.wait_for(lambda: server.mails)

    ref.proxy().on_receive.defer()

    outcome = answer.get(timeout=PATIENCE)
    assert (outcome.kind, outcome.maybe_accepted) == (FailureKind.INTERNAL, True)
    assert outcome.stage is Stage.DOT


def test_a_defect_at_the_last_octets_of_a_mail_ends_that_send_only(
    loop_kind: str, server: ScriptedServer, outcomes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_last = ConnectionWriter._write_last
    broken: list[ConnectionWriter] = []

    def break_once(self: ConnectionWriter) -> None:
        if not broken:
            broken.append(self)
            raise ZeroDivisionError
        write_last(self)

    monkeypatch.setattr(ConnectionWriter, "_write_last", break_once)
    for _ in range(3):
        actor(server).tell(mail())

    found = outcomes.wait_for(3, PATIENCE)

    [failure] = [outcome for outcome in found if isinstance(outcome, SendFailure)]
    assert (failure.kind, failure.maybe_accepted) == (FailureKind.INTERNAL, False)
    assert server.accepted == 2


# Between two attempts: a server that hangs up on EHLO gets HELO on another connection


HANGS_UP_ON_EHLO = "S: 220 mx.test\nC: EHLO *\nS! close"


@pytest.fixture
def permits() -> Iterator[Any]:
    """Give the permits, and have all of them for the next test, whatever this one has lost."""
    yield connection_limit
    connection_limit.reset_after_fork()


def test_a_stop_between_two_attempts_has_an_outcome(
    loop_kind: str,
    scripted_server: Start,
    outcomes: Any,
    permits: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = scripted_server(HANGS_UP_ON_EHLO, "S! silence")
    closed = SmtpActor.closed

    def stop_right_before(self: SmtpActor) -> None:
        # As when the stop is handled after the verdict, and before the connection is gone.
        self._stop()
        closed(self)

    monkeypatch.setattr(SmtpActor, "closed", stop_right_before)
    actor(server).tell(mail())

    [outcome] = outcomes.wait_for(1, 1.0)

    assert outcome.kind in {FailureKind.CANCELLED, FailureKind.CONNECTION}
    assert not outcome.maybe_accepted
    assert len(server.sessions) == 1
    assert permits._in_use == 0


def test_a_second_attempt_that_breaks_as_it_begins_has_an_outcome(
    loop_kind: str,
    scripted_server: Start,
    outcomes: Any,
    permits: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = scripted_server(HANGS_UP_ON_EHLO)
    break_the_second(monkeypatch, Options, "new_connection")
    ref = actor(server)
    ref.tell(mail())

    try:
        [outcome] = outcomes.wait_for(1, 1.0)
    finally:
        ref.stop(timeout=PATIENCE)

    assert outcome.kind is FailureKind.INTERNAL
    assert permits._in_use == 0

"""`verify` among other sends: one deadline, one of the process's connections, always a report."""

import threading
import time
from collections.abc import Callable, Iterator

import pykka
import pytest
from servers.scripted import Start
from servers.waiting import wait_until

from pykka_smtp import (
    FailureKind,
    SendMail,
    ServerReport,
    SmtpActor,
    Stage,
    set_connection_limit,
    verify,
)
from pykka_smtp.actors.net.connection_limit import connection_limit
from pykka_smtp.actors.verify import VerifyActor
from pykka_smtp.testing.polite import polite
from pykka_smtp.testing.stages.conn import Conn

PATIENCE = 20.0
"""Seconds; reached only by a test that fails."""
MAIL = SendMail(sender="me@a.test", recipients="you@b.test", body="Hello")


@pytest.fixture
def one_connection() -> Iterator[None]:
    """Let the process have one connection at once."""
    before = connection_limit.limit
    set_connection_limit(1)
    yield
    set_connection_limit(before)


def in_a_thread(work: Callable[[], ServerReport]) -> Callable[[], ServerReport]:
    """Do the work in another thread; return what waits for its report."""
    reports: list[ServerReport] = []
    thread = threading.Thread(target=lambda: reports.append(work()))
    thread.start()

    def report() -> ServerReport:
        thread.join(PATIENCE)
        assert not thread.is_alive()
        return reports[0]

    return report


def test_a_second_connection_after_a_slow_first_has_what_is_left_of_the_deadline(
    scripted_server: Start,
) -> None:
    def slow_then_gone(conn: Conn) -> None:
        slowly.wait(0.5)
        conn.send("220 mx.test ESMTP")
        conn.line()  # EHLO, and it hangs up

    slowly = threading.Event()
    server = scripted_server(slow_then_gone, "S! silence")
    began = time.monotonic()

    report = verify(server.host, server.port, timeout=0.8, deadline=0.8)

    assert len(server.sessions) == 2
    assert report.failure is not None
    assert (report.failure.kind, report.failure.stage) == (FailureKind.TIMEOUT, Stage.GREETING)
    assert time.monotonic() - began < 0.8 + 1.0


@pytest.mark.usefixtures("one_connection")
def test_verify_waits_for_a_connection_of_the_process_and_then_goes_on(
    scripted_server: Start,
) -> None:
    holding = threading.Event()

    def hold(conn: Conn) -> None:
        conn.send("220 mx.test ESMTP")
        conn.line()
        holding.wait(PATIENCE)
        conn.send("554 5.3.2 no")

    busy, server = scripted_server(hold), scripted_server(polite())
    answer = SmtpActor.start(busy.host, busy.port).ask(MAIL, block=False)
    busy.wait_for(lambda: busy.lines)

    report = in_a_thread(lambda: verify(server.host, server.port))
    assert wait_until(lambda: connection_limit.has_waiters, PATIENCE)
    assert server.sessions == []
    holding.set()

    assert report().is_ready
    assert answer.get(timeout=PATIENCE) is not None


@pytest.mark.usefixtures("one_connection")
def test_verify_that_gets_no_connection_within_its_deadline_is_a_report(
    scripted_server: Start,
) -> None:
    busy, server = scripted_server("S! silence"), scripted_server()
    sender = SmtpActor.start(busy.host, busy.port)
    sender.tell(MAIL)
    busy.wait_for(lambda: busy.sessions)

    report = verify(server.host, server.port, deadline=0.2)
    sender.stop()

    assert report.failure is not None
    assert (report.failure.kind, report.failure.stage) == (FailureKind.TIMEOUT, Stage.CONNECT)
    assert report.failure.retryable
    assert report.detail == (
        "exceeded deadline=0.2 s: no connection was free; this process may have 1 at once"
        " (set_connection_limit)"
    )
    assert (report.peer, report.offers, report.transcript) == (None, (), ())
    assert server.sessions == []
    assert not connection_limit.has_waiters


def test_verify_gives_its_connection_back(scripted_server: Start) -> None:
    server = scripted_server(polite(), polite(), polite())
    before = connection_limit.limit
    set_connection_limit(1)
    try:
        reports = [verify(server.host, server.port, deadline=PATIENCE) for _ in range(3)]
    finally:
        set_connection_limit(before)

    assert [report.is_ready for report in reports] == [True] * 3


@pytest.mark.usefixtures("one_connection")
@pytest.mark.parametrize("where", ["while it waits", "while it talks"])
def test_verify_that_somebody_stops_is_a_report(scripted_server: Start, where: str) -> None:
    silent, other = scripted_server("S! silence"), scripted_server("S! silence")
    sender = SmtpActor.start(other.host, other.port)
    if where == "while it waits":
        sender.tell(MAIL)
        other.wait_for(lambda: other.sessions)
    report = in_a_thread(lambda: verify(silent.host, silent.port))
    if where == "while it waits":
        assert wait_until(lambda: connection_limit.has_waiters, PATIENCE)
    else:
        silent.wait_for(lambda: silent.sessions)

    for ref in pykka.ActorRegistry.get_by_class(VerifyActor):
        ref.stop()
    sender.stop()

    failure = report().failure
    assert failure is not None
    assert failure.kind is FailureKind.CANCELLED


def test_no_attempt_of_a_verification_sends_a_mail(scripted_server: Start) -> None:
    broken = "S: 220 x\nC: EHLO *\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS! close"
    server = scripted_server(broken, polite("STARTTLS"))

    assert verify(server.host, server.port).is_ready
    server.wait_until_ended()
    assert len(server.sessions) == 2
    assert server.mails == ()
    assert not [line for line in server.lines if line.startswith(("MAIL", "RCPT", "DATA"))]

"""Receivers that are slower than sends, or never return: what waits for them, and what does not."""

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from servers.door import Door
from servers.mailing import Mailing
from servers.scripted import ScriptedServer, polite
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import (
    FailureKind,
    Mailer,
    RetryPolicy,
    SendFailure,
    SendSuccess,
    SmtpActor,
    set_connection_limit,
    smtp_send_failure,
    smtp_send_success,
)
from pykka_smtp.actors.net.connection_limit import connection_limit
from pykka_smtp.signals.dispatcher import dispatcher
from pykka_smtp.testing import answer
from pykka_smtp.testing.polite import Polite

LIMIT = 5
CONNECTIONS = 2

Start = Callable[..., Any]


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have few outcomes be many."""
    usual = connection_limit.limit
    monkeypatch.setattr(dispatcher, "limit", LIMIT)
    set_connection_limit(CONNECTIONS)
    yield
    set_connection_limit(usual)


@pytest.fixture
def door(mailing: Mailing) -> Iterator[threading.Event]:
    """Set at the latest when the test ends."""
    made = threading.Event()
    yield made
    made.set()


class Hanging:
    """A receiver that does not return before a door is opened."""

    def __init__(self, door: threading.Event) -> None:
        self.entered = threading.Event()
        self.door = door

    def __call__(self, sender: str, **extra: Any) -> None:
        self.entered.set()
        assert self.door.wait(PATIENCE)


@pytest.fixture
def hanging(door: threading.Event) -> Hanging:
    receiver = Hanging(door)
    for one in (smtp_send_success, smtp_send_failure):
        one.connect(receiver, weak=False)
    return receiver


def fill(hanging: Hanging) -> None:
    """Have as many calls wait as may wait, behind a receiver that hangs already."""
    assert hanging.entered.wait(PATIENCE)
    for _ in range(LIMIT):
        dispatcher.submit(len, "")
    assert dispatcher.is_full


def stands_still() -> bool:
    """Whether the bound is reached, and all that was under way has ended."""
    return dispatcher.is_full and connection_limit._in_use == 0


def actor(server: Any, **options: Any) -> Any:
    return SmtpActor.start(server.host, server.port, **options)


def test_sends_wait_where_receivers_do_not_return_and_none_is_lost(
    loop_kind: str, mailing: Mailing, hanging: Hanging, server: ScriptedServer
) -> None:
    for number in range(30):
        mailing.tell(actor(server), context=number)

    assert wait_until(stands_still, PATIENCE)

    # The one that is being heard, those that wait to be, and those that were under way then.
    assert server.accepted <= 1 + LIMIT + CONNECTIONS
    assert len(connection_limit._waiting) == 30 - server.accepted
    hanging.door.set()
    assert mailing.kinds() == {"accepted": 30}


def test_a_mailer_takes_no_more_than_may_wait_where_receivers_do_not_return(
    loop_kind: str, mailing: Mailing, hanging: Hanging, server: ScriptedServer
) -> None:
    mailer = mailing.start(server, max_queued=10, max_connections=CONNECTIONS)
    mailing.tell(mailer, 8)
    fill(hanging)
    assert wait_until(lambda: mailing.statistics(mailer).in_flight == 0, PATIENCE)
    waiting = mailing.statistics(mailer).queued
    assert server.accepted <= 8 - waiting

    mailing.tell(mailer, 10 - waiting)
    refused = mailing.ask(mailer)

    assert isinstance(refused, SendFailure)
    assert (refused.kind, refused.retryable) == (FailureKind.LOCAL, True)
    assert mailing.statistics(mailer).queued == 10
    hanging.door.set()
    assert mailing.kinds() == {"accepted": 18 - waiting, "LOCAL": 1}


@pytest.mark.parametrize("kind", [SmtpActor, Mailer])
def test_what_is_under_way_is_answered_and_told_although_receivers_do_not_return(
    loop_kind: str, mailing: Mailing, hanging: Hanging, kind: Any
) -> None:
    greeting, told = Door(), threading.Event()
    server = mailing.serve(polite(), greeting)

    class Inbox:
        def tell(self, message: Any, /) -> None:
            told.set()

    mailing.ask(actor(server))
    ref = actor(server) if kind is SmtpActor else mailing.start(server)
    answer = mailing.ask_later(ref, outcome_to=Inbox())
    server.wait_for(lambda: len(server.sessions) == 2)
    fill(hanging)

    greeting.open()

    assert isinstance(answer.get(timeout=PATIENCE), SendSuccess)
    assert told.wait(PATIENCE)
    assert dispatcher.is_full


@pytest.mark.parametrize("how", ["actor", "mailer", "drain", "told and waited for"])
def test_a_receiver_that_sends_and_waits_is_not_held_up_by_itself(
    loop_kind: str, mailing: Mailing, server: ScriptedServer, how: str
) -> None:
    mailer = mailing.start(server, alias="mailer", max_connections=CONNECTIONS)
    done: list[Any] = []
    full = threading.Event()

    def send_and_wait() -> Any:
        if how == "actor":
            return mailing.ask(actor(server, alias="inner"))
        if how == "mailer":
            return mailing.ask(mailer)
        if how == "drain":
            return mailing.drain(mailer, timeout=PATIENCE)
        ref = actor(server, alias="inner")
        mailing.tell(ref)
        return ref.actor_stopped.wait(PATIENCE)

    def receiver(sender: str, **extra: Any) -> None:
        if not done:
            done.append(wait_until(stands_still, PATIENCE))
            full.set()
            done.append(send_and_wait())

    smtp_send_success.connect(receiver)
    for _ in range(12):
        mailing.tell(actor(server))
    if how in ("mailer", "drain"):
        assert full.wait(PATIENCE)
        mailing.tell(mailer, 3)

    mailing.outcomes()
    stopped, outcome = done
    assert stopped
    assert outcome is True or isinstance(outcome, SendSuccess)


@pytest.mark.parametrize("reply", ["450 4.2.0 greylisted", "452 4.5.3 too many"])
def test_a_receiver_that_waits_for_a_mail_which_is_tried_again_is_not_held_up_by_itself(
    loop_kind: str, mailing: Mailing, reply: str
) -> None:
    server = mailing.serve(Polite(moods=[answer("RCPT", reply, to="later@d.test")]))
    policy = RetryPolicy(max_attempts=2, initial_delay=0.5, jitter=0)
    mailer = mailing.start(server, max_connections=CONNECTIONS, retry=policy)
    done: list[Any] = []

    def receiver(sender: str, **extra: Any) -> None:
        if not done:
            answer = mailing.ask_later(mailer, recipients="later@d.test")
            assert wait_until(lambda: "RCPT TO:<later@d.test>" in server.lines, PATIENCE)
            for _ in range(2 * LIMIT):
                dispatcher.submit(len, "")
            done.append(dispatcher.is_full)
            done.append(answer.get(timeout=PATIENCE))

    smtp_send_success.connect(receiver)
    mailing.tell(mailer, 20)

    assert mailing.kinds() == {"accepted": 21}
    was_full, outcome = done
    assert was_full
    assert isinstance(outcome, SendSuccess)


def test_a_mail_of_a_receiver_that_is_given_up_in_the_queue_presses_no_longer(
    loop_kind: str, mailing: Mailing
) -> None:
    policy = RetryPolicy(give_up_after=0.3)
    mailer = mailing.start(mailing.serve(), rate="1/min burst 1", retry=policy)
    made = mailer._actor_weakref()
    assert made is not None

    def receiver(sender: str, **extra: Any) -> None:
        if len(mailing.mails) == 1:
            mailing.tell(mailer, 3)

    smtp_send_success.connect(receiver)
    mailing.tell(mailer)

    assert wait_until(lambda: len(mailing.mails) == 4, PATIENCE)
    assert mailing.kinds() == {"accepted": 1, "TIMEOUT": 3}
    assert made._destinations.pressing == 0


def test_receivers_that_send_two_mails_for_each_outcome_come_to_their_end(
    loop_kind: str, mailing: Mailing, server: ScriptedServer
) -> None:
    mailer = mailing.start(server, max_queued=1000)

    def doubling(sender: str, **extra: Any) -> None:
        for kind in (SmtpActor, Mailer):
            if len(mailing.mails) < 60:
                mailing.tell(actor(server) if kind is SmtpActor else mailer)

    smtp_send_success.connect(doubling)
    mailing.tell(mailer)

    assert wait_until(lambda: len(mailing.mails) == 60, PATIENCE)
    assert mailing.kinds() == {"accepted": 60}


def test_idle_connections_are_given_up_for_sends_that_waited_for_receivers(
    loop_kind: str, mailing: Mailing, hanging: Hanging, server: ScriptedServer
) -> None:
    set_connection_limit(1)
    mailer = mailing.start(server, idle_timeout=1000.0)
    mailing.tell(mailer)
    fill(hanging)
    assert wait_until(lambda: mailing.statistics(mailer).connections_idle == 1, PATIENCE)

    mailing.tell(actor(server))
    assert wait_until(lambda: connection_limit._waiting, PATIENCE)
    assert mailing.statistics(mailer).connections_idle == 1

    hanging.door.set()
    assert mailing.kinds() == {"accepted": 2}


def test_a_send_that_waits_for_receivers_can_be_stopped(
    loop_kind: str, mailing: Mailing, hanging: Hanging, server: ScriptedServer
) -> None:
    mailing.ask(actor(server))
    fill(hanging)
    ref = actor(server)
    answer = mailing.ask_later(ref)
    assert wait_until(lambda: connection_limit._waiting, PATIENCE)

    assert ref.stop(timeout=PATIENCE)

    assert answer.get(timeout=PATIENCE).kind is FailureKind.CANCELLED
    assert not connection_limit._waiting


def test_ctrl_c_ends_a_program_whose_receiver_never_returns() -> None:
    script = """
import signal, sys, threading
from pykka_smtp import SendMail, SmtpActor, smtp_send_failure
@smtp_send_failure.connect
def hangs(sender, outcome, **extra):
    print("hangs", flush=True)
    threading.Event().wait()
SmtpActor.start("127.0.0.1", 1).tell(SendMail(sender="a@b.test", recipients="c@d.test", body="x"))
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as program:
        killer = threading.Timer(PATIENCE, program.kill)
        killer.start()
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == "hangs\n"
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(0.3)
            assert program.returncode is None, "it ended although a receiver runs"
            program.send_signal(signal.SIGINT)
            assert program.wait(PATIENCE) != -signal.SIGKILL
        finally:
            killer.cancel()
            killer.join()

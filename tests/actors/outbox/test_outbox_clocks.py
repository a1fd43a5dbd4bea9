"""Somebody sets the clock, or a process stands still: no storm, no stall, nothing doubled."""

import contextlib
import datetime as dt
import os
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import pykka
import pytest
from servers.outboxes import Outboxes, mail
from servers.waiting import PATIENCE, wait_until

from benchmarks.kills import Killed, Remembering
from pykka_smtp import Drain, Find, Put, RetryPolicy, SendSuccess, StoredMail
from pykka_smtp.actors.outbox.store import clock as clocks
from pykka_smtp.testing import Server, defer

DAY = 86_400.0
LATER = dt.datetime(2999, 1, 1, tzinfo=dt.UTC)
HOURLY = RetryPolicy(
    initial_delay=3600.0, max_delay=3600.0, jitter=0.0, give_up_after=2 * DAY, at_least_once=True
)


class Clock:
    """The clock of the machine, which a test sets.

    Attributes:
        step: by how many seconds it was set.
        stood: for how many seconds the process stood still; other clocks have gone on, too.
    """

    def __init__(self) -> None:
        self.step = self.stood = 0.0
        self._real = time.time

    def __call__(self) -> float:
        return float(self._real()) + self.step + self.stood


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let a test set the clock."""
    made = Clock()
    monkeypatch.setattr(time, "time", made)
    return made


def due_in(ref: Any, name: str) -> float:
    [found] = ref.ask(Find(name=name))
    return float(found.due - time.time())


def put_off(outboxes: Outboxes, server: Any) -> tuple[Any, StoredMail]:
    """Start an outbox with an email that has to wait for an hour."""
    ref = outboxes.start(server, retry=HOURLY)
    ref.ask(Put(mail()))
    assert wait_until(lambda: [1 for one in ref.ask(Find(state="ready")) if one.attempts], PATIENCE)
    [found] = ref.ask(Find())
    assert 3590 < due_in(ref, "mail-1") <= 3600
    return ref, found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs the name of this boot")
@pytest.mark.parametrize("step", [DAY, -DAY])
def test_a_clock_that_is_set_while_it_runs_makes_no_retry_earlier_or_later(
    outboxes: Outboxes, clock: Clock, step: float
) -> None:
    with Server(defer("RCPT")) as server:
        ref, before = put_off(outboxes, server)

        clock.step = step

        assert wait_until(lambda: ref.ask(Find())[0].due != before.due, PATIENCE)
        assert 3580 < due_in(ref, "mail-1") <= 3600
        [found] = ref.ask(Find())
        assert found.put_at - before.put_at == pytest.approx(step, abs=1.0)  # so it is no older
        assert found.attempts == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs the name of this boot")
@pytest.mark.parametrize("step", [DAY, -DAY])
def test_a_clock_that_is_set_between_two_starts_makes_no_retry_earlier_or_later(
    outboxes: Outboxes, clock: Clock, step: float
) -> None:
    with Server(defer("RCPT")) as server:
        ref, before = put_off(outboxes, server)
        outboxes.stop(ref)
        clock.step = step

        ref = outboxes.start(server, retry=HOURLY)

        assert wait_until(lambda: ref.ask(Find())[0].due != before.due, PATIENCE)
        assert 3580 < due_in(ref, "mail-1") <= 3600
        assert ref.ask(Find())[0].attempts == 1


def test_after_a_start_of_the_system_nothing_waits_longer_than_it_can_have_to(
    outboxes: Outboxes, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.step = 30 * DAY  # wrong, as there was no network yet
    with Server(defer("RCPT")) as server:
        ref, _ = put_off(outboxes, server)
        outboxes.stop(ref)
        ref = outboxes.start()
        ref.ask(Put(mail(2)))
        tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
        ref.ask(Put(mail(3), not_before=tomorrow))
        outboxes.stop(ref)
    clock.step = 0.0
    monkeypatch.setattr(clocks, "boot", lambda: "another")

    with Server() as server:
        ref = outboxes.start(server, retry=HOURLY)

        [sent] = outboxes.wait_for(1)
        assert sent.mail.id == "mail-2"
        assert 3580 < due_in(ref, "mail-1") <= 3600
        [chosen] = ref.ask(Find(name="mail-3"))  # that time was chosen
        assert chosen.due == pytest.approx(tomorrow.timestamp(), abs=1.0)


@pytest.mark.parametrize("step", [DAY, -DAY])
def test_emails_go_on_while_the_clock_is_set_and_none_comes_twice(
    outboxes: Outboxes, clock: Clock, server: Any, step: float
) -> None:
    ref = outboxes.start(server)
    ref.tell_all(mail(number) for number in range(100))
    outboxes.wait_for(1)

    clock.step = step
    ref.tell_all(mail(number) for number in range(100, 150))

    assert ref.ask(Drain(timeout=PATIENCE))
    assert {type(one) for one in outboxes.wait_for(150)} == {SendSuccess}
    assert server.accepted == 150


def test_an_hour_that_a_process_stood_still_makes_it_send_what_is_due_once(
    outboxes: Outboxes, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady = clocks._steady
    monkeypatch.setattr(clocks, "_steady", lambda: steady() + clock.stood)
    with Server(defer("RCPT", times=20)) as server:
        ref = outboxes.start(server, retry=HOURLY)
        ref.tell_all(mail(number) for number in range(20))
        assert wait_until(
            lambda: sum(one.attempts for one in ref.ask(Find(state="ready"))) == 20, PATIENCE
        )

        clock.stood = 3601.0

        assert len(outboxes.wait_for(20)) == 20
        assert server.accepted == 20
        assert {one.attempts for one, _ in outboxes.heard} == {2}


def test_a_process_that_is_stopped_between_two_readings_sees_no_clock_that_was_set(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = clocks.clock_note()
    steady, stops = clocks._steady, iter([0.0, 3600.0])

    def stopped() -> float:
        clock.stood += next(stops, 0.0)
        return steady() + clock.stood

    monkeypatch.setattr(clocks, "_steady", stopped)

    assert abs(clocks.clock_note().offset - before.offset) < 1.0


def told(path: Path, server: Remembering, **more: Any) -> dict[str, Any]:
    base = {"path": str(path), "port": server.port, "connections": 3, "threads": 2}
    return base | {"at_least_once": True, "life": 0} | more


@pytest.mark.long
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
def test_nobody_takes_the_emails_of_a_process_that_stands_still(tmp_path: Path) -> None:
    path = tmp_path / "mail.db"
    with Remembering(latency=0.3) as server, contextlib.ExitStack() as programs:
        still, other = (Killed(told(path, server, life=n, threads=1)) for n in (1, 2))
        for one in (still, other):
            programs.callback(one.process.kill)
            one.wait_until_up()
        assert wait_until(lambda: len(server.arrived) > 3, PATIENCE)
        with Outboxes(tmp_path) as outboxes:
            ref = outboxes.start(alias="looks")
            in_hand = stand_still(still, path, ref)
            before = len(server.arrived)

            assert wait_until(lambda: len(server.arrived) > before + 5, PATIENCE)
            # Before those that wait: these may be many of the one that does not hear of them now.
            ref.ask(Put(mail(), priority=9), timeout=PATIENCE)
            assert outboxes.wait_for(1)[0].mail.id == "mail-1"

            assert in_hand <= owned(path, still)
            assert {one.crashes for one in ref.ask(Find(limit=10_000))} == {0}
        os.kill(still.process.pid, signal.SIGCONT)
        assert wait_until(lambda: heard(still) | heard(other) >= in_hand, PATIENCE)
        still.kill()
        other.kill()

    assert {server.arrived[name] for name in in_hand} == {1}
    assert not [name for name, _, doubts, *_ in still.life.heard + other.life.heard if doubts]


def heard(program: Killed) -> set[str]:
    return {name for name, *_ in program.life.heard}


def owned(path: Path, program: Killed) -> set[str]:
    """Return the emails that a process has in hand: others have put some of them."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        found = connection.execute(
            "SELECT m.id FROM pykka_smtp_mail m JOIN pykka_smtp_life l ON l.id = m.owner"
            " WHERE m.state IN ('claimed', 'dot') AND l.pid = ?",
            (program.process.pid,),
        ).fetchall()
    return {name for (name,) in found}


def stand_still(program: Killed, path: Path, ref: Any) -> set[str]:
    """Stop a process that has emails in hand; not in its turn: then nobody else writes.

    Returns:
        What it has in hand.
    """
    pid = program.process.pid
    for number in range(100, 200):
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)  # each of its threads has stopped then
        future = ref.ask(Put(mail(number), not_before=LATER), block=False)
        with contextlib.suppress(pykka.Timeout):
            future.get(timeout=0.5)
            if in_hand := owned(path, program):
                return in_hand
        count = len(program.life.put)
        os.kill(pid, signal.SIGCONT)
        future.get(timeout=PATIENCE)
        assert wait_until(lambda: len(program.life.put) > count, PATIENCE)  # noqa: B023 - at once
    pytest.fail("it always had its turn, or nothing in hand")

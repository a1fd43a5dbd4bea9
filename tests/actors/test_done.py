"""The one way to wait until everything is out and heard; and what `Drain` waits for."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from servers.door import Door
from servers.mailing import Mailing
from servers.python import printed
from servers.scripted import ScriptedServer
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import (
    Drain,
    Mailer,
    Outcome,
    SendMail,
    SmtpActor,
    connect_async,
    on_loop,
    smtp_send_failure,
    smtp_send_success,
    wait_until_done,
    wait_until_done_async,
)
from pykka_smtp.actors import done
from pykka_smtp.actors.loop.event_loop import event_loop
from pykka_smtp.actors.loop.future import LoopFuture

REPETITIONS = 200


def mail(**given: Any) -> SendMail:
    return SendMail(sender="me@a.test", recipients="you@b.test", body="Hello", **given)


class Slow:
    """A receiver that takes a moment, and only then counts."""

    def __init__(self) -> None:
        self.heard = 0
        self._never = threading.Event()

    def __call__(self, sender: str, outcome: Outcome, **extra: object) -> None:
        self._never.wait(0.001)
        self.heard += 1


@pytest.fixture
def slow() -> Slow:
    receiver = Slow()
    smtp_send_success.connect(receiver, weak=False)
    return receiver


def test_two_hundred_times_what_was_told_is_out_and_heard(
    loop_kind: str, server: ScriptedServer, slow: Slow
) -> None:
    for number in range(1, REPETITIONS + 1):
        SmtpActor.start(server.host, server.port).tell(mail())
        assert wait_until_done(PATIENCE) is True
        assert slow.heard == number


def test_two_hundred_times_a_drain_is_answered_after_the_receivers(
    loop_kind: str, mailing: Mailing, slow: Slow
) -> None:
    ref = mailing.start(mailing.serve())
    for number in range(1, REPETITIONS + 1):
        mailing.tell(ref)
        assert ref.ask(Drain(timeout=PATIENCE)) is True
        assert slow.heard == number


def test_two_hundred_times_an_asyncio_program_awaits_what_its_own_loop_hears(
    server: ScriptedServer,
) -> None:
    async def main() -> None:
        heard: list[Outcome] = []

        async def receiver(sender: str, outcome: Outcome, **extra: object) -> None:
            await asyncio.sleep(0)
            heard.append(outcome)

        subscription = connect_async(receiver)
        mailer = Mailer.start(server.host, server.port)
        for number in range(1, REPETITIONS + 1):
            mailer.tell(mail())
            assert await wait_until_done_async(PATIENCE)
            assert len(heard) == number
        subscription.stop()
        await mailer.stop(block=False)

    asyncio.run(main())


def test_it_waits_for_what_receivers_tell(server: ScriptedServer) -> None:
    heard: list[int] = []

    @smtp_send_success.connect
    def again(sender: str, outcome: Outcome, **extra: object) -> None:
        left: int = outcome.context
        heard.append(left)
        if left:
            SmtpActor.start(server.host, server.port).tell(mail(context=left - 1))

    for _ in range(10):
        heard.clear()
        SmtpActor.start(server.host, server.port).tell(mail(context=5))
        assert wait_until_done(PATIENCE)
        assert heard == [5, 4, 3, 2, 1, 0]


def test_a_drain_waits_for_what_receivers_tell_the_same_mailer(
    loop_kind: str, mailing: Mailing
) -> None:
    ref = mailing.start(mailing.serve())
    heard: list[int] = []

    @smtp_send_success.connect
    def again(sender: str, outcome: Outcome, **extra: object) -> None:
        left: int = outcome.context
        heard.append(left)
        if left:
            mailing.tell(ref, context=left - 1)

    for _ in range(10):
        heard.clear()
        mailing.tell(ref, context=5)
        assert ref.ask(Drain(timeout=PATIENCE)) is True
        assert heard == [5, 4, 3, 2, 1, 0]


def test_a_drain_waits_for_outcome_to_and_for_the_programs_loop(mailing: Mailing) -> None:
    ref = mailing.start(mailing.serve())

    async def main() -> None:
        got: list[Outcome] = []

        async def target(outcome: Outcome) -> None:
            await asyncio.sleep(0.01)
            got.append(outcome)

        for number in range(1, 11):
            mailing.tell(ref, outcome_to=on_loop(target))
            assert await ref.ask(Drain(timeout=PATIENCE), block=False) is True
            assert len(got) == number

    asyncio.run(main())


def test_a_drain_is_false_at_its_time_while_a_receiver_does_not_return(mailing: Mailing) -> None:
    ref = mailing.start(mailing.serve())
    entered, let_go = threading.Event(), threading.Event()

    @smtp_send_success.connect
    def stuck(sender: str, outcome: Outcome, **extra: object) -> None:
        entered.set()
        assert let_go.wait(PATIENCE)

    mailing.tell(ref)
    assert entered.wait(PATIENCE)

    assert ref.ask(Drain(timeout=0.05), timeout=PATIENCE) is False
    assert wait_until_done(0.05) is False
    drained: Any = ref.ask(Drain(), block=False)
    let_go.set()
    assert drained.get(timeout=PATIENCE) is True


def test_a_receiver_can_ask_for_a_drain_and_for_an_outcome(mailing: Mailing) -> None:
    ref = mailing.start(mailing.serve())
    answers: list[object] = []

    @smtp_send_success.connect
    def asks(sender: str, outcome: Outcome, **extra: object) -> None:
        if outcome.context == "first":
            answers.append(ref.ask(Drain(), timeout=PATIENCE))
            answers.append(mailing.ask(ref, context="second").raise_for_failure().code)

    mailing.tell(ref, context="first")

    assert wait_until_done(PATIENCE)
    assert answers == [True, 250]


@pytest.mark.parametrize("stop_first", [False, True])
def test_a_drain_of_a_mailer_that_stops_is_answered_after_the_receivers(
    mailing: Mailing, slow: Slow, door: Door, stop_first: bool
) -> None:
    ref = mailing.start(mailing.serve(door), grace=PATIENCE, max_connections=1)
    mailing.tell(ref)
    assert wait_until(lambda: mailing.statistics(ref).in_flight == 1, PATIENCE)
    drained: Any = ref.ask(Drain(), block=False)

    stopped = ref.stop(block=False)
    door.open()

    assert drained.get(timeout=PATIENCE) is True
    assert slow.heard == 1
    assert stopped.get(timeout=PATIENCE) is True


def test_it_is_false_at_its_time_and_true_once_the_server_answers(
    mailing: Mailing, door: Door
) -> None:
    ref = mailing.start(mailing.serve(door))
    SmtpActor.start("127.0.0.1", 1)  # one that was told nothing is not waited for
    mailing.tell(ref)

    began = time.monotonic()
    assert wait_until_done(0.1) is False
    assert time.monotonic() - began < 2
    assert wait_until_done(0) is False

    door.open()
    assert wait_until_done(PATIENCE) is True
    assert wait_until_done(0) is True
    for one in list(event_loop()._alive):
        if isinstance(one, SmtpActor):
            one.cancel()


def test_with_nothing_to_do_it_is_true_at_once() -> None:
    assert wait_until_done(0) is True
    assert asyncio.run(wait_until_done_async(0)) is True


def test_a_wait_that_is_cancelled_leaves_nothing_behind(mailing: Mailing, door: Door) -> None:
    ref = mailing.start(mailing.serve(door))
    mailing.tell(ref)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wait_until_done_async(), 0.05)
        assert await wait_until_done_async(0.05) is False
        door.open()
        assert await wait_until_done_async(PATIENCE)

    asyncio.run(main())


@pytest.mark.parametrize("turns", range(8))
def test_a_cancellation_that_comes_with_an_answer_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    answers: list[LoopFuture] = []

    def look() -> LoopFuture:
        answers.append(LoopFuture())
        return answers[-1]

    monkeypatch.setattr(done, "_look", look)

    async def main() -> None:
        waiting = asyncio.create_task(wait_until_done_async())
        await asyncio.sleep(0)
        answers[0].set(False)
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting}, timeout=PATIENCE)
        assert waiting.cancelled()

    asyncio.run(main())


def test_who_would_wait_for_himself_is_told_so(server: ScriptedServer) -> None:
    raised: list[BaseException] = []

    def trying(function: Callable[[], object]) -> None:
        try:
            function()
        except RuntimeError as error:
            raised.append(error)

    @smtp_send_success.connect
    def receiver(sender: str, outcome: Outcome, **extra: object) -> None:
        trying(wait_until_done)

    async def async_receiver(sender: str, outcome: Outcome, **extra: object) -> None:
        try:
            await wait_until_done_async()
        except RuntimeError as error:
            raised.append(error)

    smtp_send_success.connect(async_receiver)

    async def main() -> None:
        connect_async(async_receiver)
        SmtpActor.start(server.host, server.port).tell(mail())
        assert await wait_until_done_async(PATIENCE)

    asyncio.run(main())

    assert len(raised) == 3
    assert {str(error) for error in raised} == {
        "a receiver, or an actor, cannot wait until everything is done: it would wait for itself"
    }


def test_several_threads_can_wait_while_others_tell(loop_kind: str, mailing: Mailing) -> None:
    ref = mailing.start(mailing.serve(), max_connections=3)
    answers: list[bool] = []

    def tell_and_wait() -> None:
        for _ in range(20):
            mailing.tell(ref, 3)
            answers.append(wait_until_done(PATIENCE))

    threads = [threading.Thread(target=tell_and_wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert answers == [True] * 60
    assert len(mailing.outcomes()) == 180


def test_at_the_end_of_a_program_it_can_be_called_by_atexit(server: ScriptedServer) -> None:
    script = f"""
import atexit
from pykka_smtp import SendMail, SmtpActor, smtp_send_success, wait_until_done
@smtp_send_success.connect
def sent(sender, outcome, **extra):
    print("heard")
atexit.register(lambda: print(wait_until_done(10)))
mail = SendMail(sender="me@a.test", recipients="you@b.test")
SmtpActor.start("{server.host}", {server.port}).tell(mail)
"""
    assert printed("-c", script).split() == ["heard", "True"]


def test_a_forked_child_waits_for_its_own_only(server: ScriptedServer) -> None:
    script = f"""
import os, warnings
warnings.simplefilter("ignore")
from pykka_smtp import SendMail, SmtpActor, wait_until_done
def send():
    mail = SendMail(sender="me@a.test", recipients="you@b.test")
    SmtpActor.start("{server.host}", {server.port}).tell(mail)
send()
child = os.fork()
if not child:
    assert wait_until_done(0)
    send()
    os._exit(0 if wait_until_done(10) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), wait_until_done(10))
"""
    assert printed("-c", script).split() == ["0", "True"]


def test_failures_are_waited_for_as_successes_are(slow: Slow, dead: Callable[[], str]) -> None:
    smtp_send_failure.connect(slow)
    for number in range(1, 21):
        SmtpActor.start(url=dead()).tell(mail())
        assert wait_until_done(PATIENCE)
        assert slow.heard == number

"""Outcomes in an asyncio program's own queue, and on its own event loop."""

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from servers.python import printed
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import (
    Outcome,
    SendFailure,
    SendMail,
    connect_async,
    forward_to,
    on_loop,
    smtp_send_failure,
    smtp_send_success,
)
from pykka_smtp.signals.bus import publish
from pykka_smtp.signals.dispatcher import dispatcher
from pykka_smtp.signals.outlets import loops as module
from pykka_smtp.signals.outlets.loops import OnLoop
from pykka_smtp.smtp.words.stage import Stage
from pykka_smtp.smtp.words.verdict import FailureKind


def outcome(number: int = 0, **given: Any) -> SendFailure:
    mail = SendMail(sender="me@a.test", recipients="you@b.test", id=f"mail-{number}", **given)
    return SendFailure(
        mail=mail,
        alias="news",
        kind=FailureKind.SMTP,
        stage=Stage.RCPT,
        detail="no",
        retryable=False,
    )


def ids(outcomes: list[Outcome]) -> list[str]:
    return [one.mail.id for one in outcomes]


@pytest.fixture(autouse=True)
def clean_bus() -> Iterator[None]:
    yield
    assert dispatcher.wait_idle(PATIENCE)
    for signal in (smtp_send_success, smtp_send_failure):
        signal._clear_state()
    assert module.are_all_idle()


async def heard(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.001)


def tell_five(made: OnLoop) -> None:
    for number in range(5):
        made.tell(number)


def test_a_queue_gets_the_outcomes_of_an_email_on_its_own_loop_in_order() -> None:
    async def main() -> list[str]:
        queue: asyncio.Queue[Outcome] = asyncio.Queue()
        for number in range(200):
            publish(outcome(number, outcome_to=queue))
        return ids([await queue.get() for _ in range(200)])

    assert asyncio.run(main()) == [f"mail-{number}" for number in range(200)]


def test_a_full_queue_is_waited_for_and_order_is_kept() -> None:
    async def main() -> list[str]:
        queue: asyncio.Queue[Outcome] = asyncio.Queue(maxsize=1)
        for number in range(50):
            publish(outcome(number, outcome_to=queue))
        await heard(queue.full)
        return ids([await queue.get() for _ in range(50)])

    assert asyncio.run(main()) == [f"mail-{number}" for number in range(50)]


def test_forward_to_takes_a_queue() -> None:
    async def main() -> Outcome:
        queue: asyncio.Queue[Outcome] = asyncio.Queue()
        subscription = forward_to(queue, sender="news")
        publish(outcome())
        got = await queue.get()
        subscription.stop()
        publish(outcome(1))
        await asyncio.to_thread(dispatcher.wait_idle, PATIENCE)
        assert queue.empty()
        return got

    assert asyncio.run(main()).mail.id == "mail-0"


def test_a_function_is_called_on_the_loop_it_was_given_with() -> None:
    got: list[tuple[Outcome, int]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        made = await asyncio.to_thread(
            on_loop, lambda one: got.append((one, threading.get_ident())), loop
        )
        publish(outcome(outcome_to=made))
        await heard(lambda: bool(got))

    asyncio.run(main())
    assert [(one.mail.id, thread) for one, thread in got] == [("mail-0", threading.get_ident())]


def test_an_async_receiver_runs_on_the_programs_loop_one_outcome_after_the_other() -> None:
    events: list[tuple[str, str]] = []

    async def main() -> None:
        mine = asyncio.get_running_loop()

        async def receiver(sender: str, outcome: Outcome, **extra: object) -> None:
            assert asyncio.get_running_loop() is mine
            events.append(("begins", outcome.mail.id))
            await asyncio.sleep(0)
            events.append(("ends", outcome.mail.id))

        subscription = connect_async(receiver, smtp_send_failure)
        for number in range(3):
            publish(outcome(number))
        await heard(lambda: len(events) == 6)
        subscription.stop()

    asyncio.run(main())
    expected = [[("begins", f"mail-{n}"), ("ends", f"mail-{n}")] for n in range(3)]
    assert events == [event for pair in expected for event in pair]


def test_a_receiver_that_raises_is_logged_and_hears_the_next_outcome(
    caplog: pytest.LogCaptureFixture,
) -> None:
    got: list[str] = []

    async def receiver(sender: str, outcome: Outcome, **extra: object) -> None:
        got.append(outcome.mail.id)
        raise ValueError("a bug")

    async def main() -> None:
        connect_async(receiver)
        for number in range(3):
            publish(outcome(number))
        await heard(lambda: len(got) == 3 and module.are_all_idle())

    asyncio.run(main())
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 3
    assert "receiver raised" in errors[0].getMessage()


def test_an_outcome_for_a_loop_that_is_closed_is_logged_and_the_subscription_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def connect() -> Any:
        return connect_async(lambda *_, **__: None)

    subscription = asyncio.run(connect())
    publish(outcome())
    assert dispatcher.wait_idle(PATIENCE)

    assert "is closed; outcome not delivered: news: mail mail-0 not sent" in caplog.text
    assert not subscription.is_active


def test_what_waits_for_a_queue_when_its_loop_ends_is_logged_and_not_lost_silently(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        queue: asyncio.Queue[Outcome] = asyncio.Queue(maxsize=1)
        for number in range(4):
            publish(outcome(number, outcome_to=queue))
        await heard(queue.full)
        await asyncio.to_thread(dispatcher.wait_idle, PATIENCE)

    asyncio.run(main())

    assert module.are_all_idle()
    lines = [record.getMessage() for record in caplog.records if record.name.endswith("signals")]
    # One is in the queue, and one was being put into it.
    assert sum("was cancelled while it heard" in line for line in lines) == 1
    assert sum("outcome not delivered" in line for line in lines) == 2


def test_what_waits_for_a_loop_that_is_closed_without_a_turn_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = asyncio.new_event_loop()
    made = on_loop(lambda outcome: None, loop)
    made.tell(outcome(1))
    assert not module.are_all_idle()

    loop.close()

    assert module.are_all_idle()
    assert "outcome not delivered: news: mail mail-1" in caplog.text


def test_a_loop_that_does_not_come_to_its_outcomes_holds_up_no_more_than_so_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    loop = asyncio.new_event_loop()
    got: list[int] = []
    made = on_loop(got.append, loop)
    telling = threading.Thread(target=tell_five, args=(made,))
    telling.start()
    assert wait_until(lambda: made.waiting == 4, PATIENCE)
    assert telling.is_alive()  # it waits for room

    runs = threading.Thread(target=loop.run_forever)
    runs.start()
    telling.join(PATIENCE)
    assert wait_until(lambda: not made.waiting, PATIENCE)
    loop.call_soon_threadsafe(loop.stop)
    runs.join(PATIENCE)
    loop.close()

    assert got == list(range(5))


def test_who_waits_for_room_is_freed_when_the_loop_is_closed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 1)
    loop = asyncio.new_event_loop()
    made = on_loop(lambda outcome: None, loop)
    telling = threading.Thread(target=tell_five, args=(made,))
    telling.start()
    assert wait_until(lambda: made.waiting == 2, PATIENCE)

    loop.close()
    telling.join(PATIENCE)

    assert not telling.is_alive()
    assert len([r for r in caplog.records if "not delivered" in r.getMessage()]) == 5


def test_a_receiver_that_cancels_itself_loses_no_other_outcome() -> None:
    got: list[int] = []

    async def target(number: int) -> None:
        got.append(number)
        if number == 0:
            raise asyncio.CancelledError

    async def main() -> None:
        made = on_loop(target)
        for number in range(3):
            made.tell(number)
        await heard(lambda: not made.waiting)

    asyncio.run(main())
    assert got == [0, 1, 2]


def test_system_exit_ends_the_programs_loop_and_no_outcome_is_lost() -> None:
    got: list[int] = []
    loop = asyncio.new_event_loop()

    def target(number: int) -> None:
        got.append(number)
        if number == 0:
            raise SystemExit

    made = on_loop(target, loop)
    for number in range(3):
        made.tell(number)
    with pytest.raises(SystemExit):
        loop.run_forever()
    loop.run_until_complete(heard(lambda: not made.waiting))
    loop.close()

    assert got == [0, 1, 2]


@pytest.mark.parametrize("wrong", [5, "name"])
def test_what_takes_no_outcome_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"needs an asyncio\.Queue or a callable, not"):
        on_loop(wrong)
    with pytest.raises(TypeError, match="receiver: needs a callable"):
        connect_async(wrong)


def test_a_queue_or_function_without_a_running_loop_is_refused_with_what_to_write() -> None:
    for make in (on_loop, lambda queue: outcome(outcome_to=queue), forward_to):
        with pytest.raises(TypeError, match=r"no event loop runs in this thread: name one"):
            make(asyncio.Queue())
    with pytest.raises(TypeError, match=r"for a function, write on_loop\(function\)"):
        outcome(outcome_to=print)


def test_at_the_end_of_a_program_what_no_loop_came_to_is_logged() -> None:
    script = """
import asyncio
from pykka_smtp import on_loop
loop = asyncio.new_event_loop()
made = on_loop(print, loop)
made.tell(1)
import logging, sys
logging.basicConfig(stream=sys.stdout)
"""
    said = printed("-c", script)

    assert "1 outcomes wait for builtins.print, and its event loop does not run" in said


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_in_a_forked_child_a_loop_of_the_parent_gets_nothing_and_it_is_logged() -> None:
    script = """
import asyncio, logging, os, sys, warnings
warnings.simplefilter("ignore")
from pykka_smtp import on_loop
logging.basicConfig(stream=sys.stdout)
loop = asyncio.new_event_loop()
made = on_loop(print, loop)
child = os.fork()
made.tell("of the child" if child == 0 else "of the parent")
if child == 0:
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
loop.run_until_complete(asyncio.sleep(0))
loop.close()
"""
    lines = printed("-c", script).splitlines()

    assert len(lines) == 2
    assert "is the parent process's; outcome not delivered: of the child" in lines[0]
    assert lines[1] == "of the parent"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_does_not_wait_for_a_lock_that_a_thread_of_the_parent_held() -> None:
    script = """
import asyncio, logging, os, signal, sys, warnings
warnings.simplefilter("ignore")
from pykka_smtp import on_loop
logging.basicConfig(stream=sys.stdout)
made = on_loop(print, asyncio.new_event_loop())
with made._lock:
    child = os.fork()
    if child == 0:
        signal.alarm(5)
        made.tell("of the child")
        print(made)
        sys.stdout.flush()
        os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    assert "outcome not delivered: of the child" in printed("-c", script)


def test_a_loop_that_ends_while_a_receiver_runs_says_which_it_was(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def slow(sender: str, outcome: Outcome, **extra: object) -> None:
        with contextlib.suppress(ValueError):
            await asyncio.Event().wait()

    async def main() -> None:
        connect_async(slow)
        publish(outcome())
        await heard(lambda: bool(module._busy))
        await asyncio.sleep(0.01)

    asyncio.run(main())

    assert "slow was cancelled while it heard an outcome" in caplog.text


def test_what_comes_while_the_loop_ends_is_logged_once_and_no_task_is_destroyed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made: OnLoop

    async def slow(number: int) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            asyncio.get_running_loop().call_later(0.001, made.tell, number + 1)
            raise

    async def main() -> None:
        nonlocal made
        made = on_loop(slow)
        made.tell(0)
        await heard(lambda: made._task is not None)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    assert made._task is not None
    made._task.cancel()
    loop.run_until_complete(asyncio.sleep(0.01))  # as `asyncio.run` waits for its threads
    loop.close()

    assert module.are_all_idle()
    assert caplog.text.count("is closed; outcome not delivered: 1") == 1
    assert made._task is None


def test_an_outcome_that_is_being_heard_when_the_loop_is_closed_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def slow(number: int) -> None:
        await asyncio.Event().wait()

    async def main() -> OnLoop:
        made = on_loop(slow)
        made.tell(1)
        made.tell(2)
        await heard(lambda: made._task is not None)
        return made

    loop = asyncio.new_event_loop()
    made = loop.run_until_complete(main())
    assert made._task is not None
    made._task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()

    assert module.are_all_idle()
    assert [line.rpartition(" ")[2] for line in caplog.messages] == ["1", "2"]


def test_a_log_line_does_not_have_all_that_is_in_a_queue() -> None:
    async def described() -> str:
        queue: asyncio.Queue[str] = asyncio.Queue()
        await queue.put("something long")
        made = on_loop(queue)
        return f"{made} {made!r} {forward_to(made)}"

    assert "something long" not in asyncio.run(described())

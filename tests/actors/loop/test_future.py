"""What `ask(…, block=False)` returns can be awaited by any asyncio program, without blocking it."""

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pykka
import pytest
from servers.waiting import PATIENCE

from pykka_smtp.actors import AsyncioActor
from pykka_smtp.actors.loop.future import LoopFuture


class Teller(AsyncioActor):
    """Answers what it is told to, once it is allowed to."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[Any] = []

    def on_receive(self, message: Any) -> Any:
        if message == "later":
            self.answers.append(self.answer_later())
            return None
        if callable(message):
            return message(self)
        return message


@pytest.fixture
def ref(loop_kind: str) -> Any:
    started = Teller.start()
    yield started
    started.stop()


def answer(ref: Any, value: object) -> None:
    ref.tell(lambda actor: actor.answers.pop(0).set(value))


def kinds_of_loops() -> list[Callable[[Coroutine[Any, Any, Any]], Any]]:
    kinds: list[Callable[[Coroutine[Any, Any, Any]], Any]] = [asyncio.run]
    if "uvloop" in sys.modules:
        kinds.append(sys.modules["uvloop"].run)
    return kinds


@pytest.mark.parametrize("run", kinds_of_loops(), ids=lambda run: run.__module__)
def test_awaiting_an_answer_does_not_block_the_programs_loop(ref: Any, run: Any) -> None:
    async def main() -> tuple[object, int]:
        turns = 0
        asked = asyncio.ensure_future(ref.ask("later", block=False))
        while turns < 20:
            await asyncio.sleep(0)
            turns += 1
            assert not asked.done()
        answer(ref, "heard")
        return await asked, turns

    assert run(main()) == ("heard", 20)


def test_wait_for_gives_up_at_its_time_and_the_question_is_answered_nevertheless(ref: Any) -> None:
    async def main() -> None:
        future = ref.ask("later", block=False)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 0.05)
        assert time.monotonic() - began < 1  # without this it never came back
        assert not future._callbacks  # nobody waits any more
        answer(ref, "late")
        assert await future == "late"

    asyncio.run(main())


def test_an_answer_that_is_there_already_is_had_at_once(ref: Any) -> None:
    async def main() -> object:
        future = ref.ask("at once", block=False)
        future.get(timeout=PATIENCE)
        return await future

    assert asyncio.run(main()) == "at once"


def test_one_answer_wakes_all_who_wait_on_several_loops(ref: Any) -> None:
    future = ref.ask("later", block=False)
    ready = threading.Barrier(3)
    got: list[object] = []

    async def main() -> None:
        one, other = asyncio.ensure_future(future), asyncio.ensure_future(future)
        await asyncio.sleep(0)
        await asyncio.to_thread(ready.wait, PATIENCE)
        got.extend([await one, await other])

    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    ready.wait(PATIENCE)
    answer(ref, 7)
    for thread in threads:
        thread.join(PATIENCE)

    assert got == [7] * 4


def test_an_exception_is_raised_where_it_is_awaited(ref: Any) -> None:
    def fail(_actor: object) -> None:
        raise ValueError("no")

    async def main() -> None:
        with pytest.raises(ValueError, match="no"):
            await ref.ask(fail, block=False)

    asyncio.run(main())


def test_a_dead_actors_future_raises_and_does_not_wait_forever(loop_kind: str) -> None:
    ref = Teller.start()

    async def main() -> None:
        late = ref.ask("later", block=False)
        assert await ref.stop(block=False) is True
        with pytest.raises(pykka.ActorDeadError):
            await late
        assert await ref.stop(block=False) is False

    asyncio.run(main())


def test_what_is_made_of_futures_can_be_awaited_too(ref: Any) -> None:
    async def main() -> list[object]:
        first, second = ref.ask("later", block=False), ref.ask("later", block=False)
        waiting = asyncio.gather(first.map(lambda value: value + 1), first.join(second))
        await asyncio.sleep(0)
        answer(ref, 1)
        answer(ref, 2)
        return list(await waiting)

    assert asyncio.run(main()) == [2, [1, 2]]


def test_a_hook_that_may_wait_for_anything_blocks_a_thread_and_not_the_loop(ref: Any) -> None:
    let_go = threading.Event()
    future = LoopFuture()
    future.set_get_hook(lambda timeout: let_go.wait(PATIENCE))

    async def main() -> object:
        waiting = asyncio.ensure_future(future)
        await asyncio.sleep(0)
        let_go.set()
        return await waiting

    assert asyncio.run(main()) is True


def test_an_answer_for_a_loop_that_was_closed_is_logged(
    ref: Any, caplog: pytest.LogCaptureFixture
) -> None:
    future = ref.ask("later", block=False)
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(future._wait())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    heard = threading.Event()
    future.when_done(heard.set)

    answer(ref, 1)

    assert heard.wait(PATIENCE)
    assert "after the event loop that waited for it was closed" in caplog.text
    assert caplog.records[0].levelno == logging.WARNING
    assert future.get() == 1
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]


def test_a_future_can_be_awaited_on_the_loop_that_all_actors_share(ref: Any) -> None:
    other = Teller.start()

    def ask_the_other(actor: Any) -> None:
        async def wait(answer: Any) -> None:
            answer.set(await other.ask("heard", block=False))

        later = actor.answer_later()
        actor.task = asyncio.get_running_loop().create_task(wait(later))

    assert ref.ask(ask_the_other, timeout=PATIENCE) == "heard"
    other.stop()


def test_two_hundred_answers_that_come_while_they_are_awaited_are_all_had(ref: Any) -> None:
    async def main() -> list[int]:
        return [await ref.ask(number, block=False) for number in range(200)]

    assert asyncio.run(main()) == list(range(200))


def test_without_an_event_loop_it_says_so(ref: Any) -> None:
    future = ref.ask("later", block=False)

    with pytest.raises(RuntimeError, match="no running event loop"):
        future.__await__().send(None)

    answer(ref, 1)

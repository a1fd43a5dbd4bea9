import asyncio
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest
from servers.waiting import wait_until

from pykka_smtp.actors.workers import Workers

PATIENCE = 10.0  # seconds; reached only by a test that fails


class Gate:
    """A job that stands still until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self._open = threading.Event()

    def __call__(self) -> str:
        self.entered.set()
        assert self._open.wait(PATIENCE)
        return "through the gate"

    def open(self) -> None:
        self._open.set()


def threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("pykka-smtp-test-")]


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers("test", 3)
    yield made
    made.close()
    assert wait_until(lambda: threads() == [], PATIENCE)


def raising(error: BaseException) -> Callable[[], NoReturn]:
    def job() -> NoReturn:
        raise error

    return job


async def patiently(future: "asyncio.Future[Any]") -> Any:
    return await asyncio.wait_for(future, PATIENCE)


def test_a_job_runs_in_a_daemon_thread_and_its_result_comes_back(workers: Workers) -> None:
    async def main() -> None:
        workers.start(asyncio.get_running_loop())

        thread = await patiently(workers.run(threading.current_thread))

        assert thread.name == "pykka-smtp-test-1"
        assert thread.daemon
        assert await patiently(workers.run(divmod, 7, 2)) == (3, 1)

    asyncio.run(main())


def test_what_a_job_raises_comes_back(workers: Workers) -> None:
    error = LookupError("nothing there")

    async def main() -> None:
        workers.start(asyncio.get_running_loop())
        with pytest.raises(LookupError) as raised:
            await patiently(workers.run(raising(error)))
        assert raised.value is error

    asyncio.run(main())


@pytest.mark.parametrize(
    "error",
    [StopIteration(1), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()],
    ids=lambda error: type(error).__name__,
)
def test_what_would_end_the_waiting_task_or_the_loop_comes_back_as_a_runtime_error(
    workers: Workers, error: BaseException
) -> None:
    async def main() -> None:
        workers.start(asyncio.get_running_loop())
        with pytest.raises(RuntimeError, match=type(error).__name__):
            await patiently(workers.run(raising(error)))
        assert await patiently(workers.run(str, "next")) == "next"

    asyncio.run(main())


def test_threads_are_added_up_to_the_limit_while_the_others_are_busy(workers: Workers) -> None:
    gates = [Gate() for _ in range(5)]

    async def main() -> None:
        workers.start(asyncio.get_running_loop())
        jobs = [workers.run(gate) for gate in gates]
        assert all(gate.entered.wait(PATIENCE) for gate in gates[:3])
        assert len(threads()) == 3
        assert not any(gate.entered.is_set() for gate in gates[3:])
        for gate in gates:
            gate.open()
        assert await patiently(asyncio.gather(*jobs)) == ["through the gate"] * 5

    asyncio.run(main())


def test_one_thread_serves_one_job_after_the_other(workers: Workers) -> None:
    async def main() -> None:
        workers.start(asyncio.get_running_loop())
        for _ in range(20):
            await patiently(workers.run(str))
        assert len(threads()) == 1

    asyncio.run(main())


def test_a_hung_job_whose_asker_gave_up_does_not_hold_up_the_next(workers: Workers) -> None:
    gate = Gate()

    async def main() -> None:
        workers.start(asyncio.get_running_loop())
        hung = workers.run(gate)
        assert gate.entered.wait(PATIENCE)
        hung.cancel()
        await asyncio.sleep(0)

        assert await patiently(workers.run(str, "next")) == "next"

        gate.open()
        # The late answer is dropped, and the thread serves on.
        await patiently(asyncio.gather(*[workers.run(str) for _ in range(9)]))

    asyncio.run(main())


def test_if_no_more_threads_can_be_had_the_ones_that_there_are_do(
    workers: Workers, no_thread: Callable[[str], None]
) -> None:
    gate = Gate()

    async def main() -> None:
        workers.start(asyncio.get_running_loop())
        first = workers.run(gate)
        assert gate.entered.wait(PATIENCE)
        no_thread("pykka-smtp-test")
        second = workers.run(str, "second")
        gate.open()
        assert await patiently(asyncio.gather(first, second)) == ["through the gate", "second"]

    asyncio.run(main())


def test_jobs_that_are_queued_when_the_workers_close_still_run_and_the_threads_end(
    workers: Workers,
) -> None:
    gate, ran = Gate(), threading.Event()

    async def main() -> None:
        workers.start(asyncio.get_running_loop())
        for _ in range(3):
            workers.run(gate)
        workers.run(ran.set)
        workers.close()

    asyncio.run(main())
    # The loop is closed by now: nobody waits for an answer, but a file may need to be closed.
    gate.open()

    assert ran.wait(PATIENCE)
    assert wait_until(lambda: threads() == [], PATIENCE)


def test_an_answer_from_before_a_close_does_not_count_after_it(workers: Workers) -> None:
    gates = [Gate(), Gate()]

    async def main() -> None:
        workers.start(asyncio.get_running_loop())
        old = workers.run(gates[0])
        workers.close()
        workers.start(asyncio.get_running_loop())
        new = workers.run(gates[1])
        gates[0].open()
        await patiently(old)
        assert gates[1].entered.wait(PATIENCE)
        # Were the old answer counted, this would wait behind the new job.
        assert await patiently(workers.run(str, "next")) == "next"
        gates[1].open()
        await patiently(new)

    asyncio.run(main())


def test_the_workers_can_be_started_again_on_another_loop(workers: Workers) -> None:
    async def main() -> str:
        workers.start(asyncio.get_running_loop())
        answer: str = await patiently(workers.run(str, "served"))
        workers.close()
        return answer

    assert [asyncio.run(main()) for _ in range(3)] == ["served"] * 3


def test_workers_that_were_not_started_say_so(workers: Workers) -> None:
    with pytest.raises(RuntimeError, match="not started"):
        workers.run(str)


def test_an_idle_thread_keeps_nothing_of_its_last_job_alive(workers: Workers) -> None:
    class Payload:
        def method(self) -> "Payload":
            return self

    gone = threading.Event()

    async def main() -> None:
        workers.start(asyncio.get_running_loop())
        payload = Payload()
        weakref.finalize(payload, gone.set)
        await patiently(workers.run(payload.method))
        del payload
        await asyncio.sleep(0)

    asyncio.run(main())

    assert gone.wait(PATIENCE)

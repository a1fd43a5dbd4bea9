import asyncio
import socket
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NoReturn

import pytest
from servers.scripted import ScriptedServer, polite
from servers.waiting import PATIENCE, Gate, wait_until

from pykka_smtp import FailureKind, SendMail, SendSuccess, SmtpActor
from pykka_smtp.actors.loop import workers as module
from pykka_smtp.actors.loop.workers import Workers


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


def run(workers: Workers, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run something on a loop that has these workers."""

    async def start() -> None:
        workers.start(asyncio.get_running_loop())
        await main()

    asyncio.run(start())


async def patiently(future: "asyncio.Future[Any]") -> Any:
    return await asyncio.wait_for(future, PATIENCE)


def test_a_job_runs_in_a_daemon_thread_and_its_result_comes_back(workers: Workers) -> None:
    async def main() -> None:
        thread = await patiently(workers.run(threading.current_thread))

        assert thread.name == "pykka-smtp-test-1"
        assert thread.daemon
        assert await patiently(workers.run(divmod, 7, 2)) == (3, 1)

    run(workers, main)


def test_what_a_job_raises_comes_back(workers: Workers) -> None:
    error = LookupError("nothing there")

    async def main() -> None:
        with pytest.raises(LookupError) as raised:
            await patiently(workers.run(raising(error)))
        assert raised.value is error

    run(workers, main)


@pytest.mark.parametrize(
    "error",
    [StopIteration(1), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()],
    ids=lambda error: type(error).__name__,
)
def test_what_would_end_the_waiting_task_or_the_loop_comes_back_as_a_runtime_error(
    workers: Workers, error: BaseException
) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match=type(error).__name__):
            await patiently(workers.run(raising(error)))
        assert await patiently(workers.run(str, "next")) == "next"

    run(workers, main)


def test_threads_are_added_up_to_the_limit_while_the_others_are_busy(workers: Workers) -> None:
    gates = [Gate("through the gate") for _ in range(5)]

    async def main() -> None:
        jobs = [workers.run(gate) for gate in gates]
        assert all(gate.entered.wait(PATIENCE) for gate in gates[:3])
        assert len(threads()) == 3
        assert not any(gate.entered.is_set() for gate in gates[3:])
        for gate in gates:
            gate.open()
        assert await patiently(asyncio.gather(*jobs)) == ["through the gate"] * 5

    run(workers, main)


def test_one_thread_serves_one_job_after_the_other(workers: Workers) -> None:
    async def main() -> None:
        for _ in range(20):
            await patiently(workers.run(str))
        assert len(threads()) == 1

    run(workers, main)


def test_a_hung_job_whose_asker_gave_up_does_not_hold_up_the_next(workers: Workers) -> None:
    gate = Gate("through the gate")

    async def main() -> None:
        hung = workers.run(gate)
        assert gate.entered.wait(PATIENCE)
        hung.cancel()
        await asyncio.sleep(0)

        assert await patiently(workers.run(str, "next")) == "next"

        gate.open()
        # The late answer is dropped, and the thread serves on.
        await patiently(asyncio.gather(*[workers.run(str) for _ in range(9)]))

    run(workers, main)


def test_if_no_more_threads_can_be_had_the_ones_that_there_are_do(
    workers: Workers, no_thread: Callable[[str], None]
) -> None:
    gate = Gate("through the gate")

    async def main() -> None:
        first = workers.run(gate)
        assert gate.entered.wait(PATIENCE)
        no_thread("pykka-smtp-test")
        second = workers.run(str, "second")
        gate.open()
        assert await patiently(asyncio.gather(first, second)) == ["through the gate", "second"]

    run(workers, main)


def test_jobs_that_are_queued_when_the_workers_close_still_run_and_the_threads_end(
    workers: Workers,
) -> None:
    gate, ran = Gate("through the gate"), threading.Event()

    async def main() -> None:
        for _ in range(3):
            workers.run(gate)
        workers.run(ran.set)
        workers.close()

    run(workers, main)
    # The loop is closed by now: nobody waits for an answer, but a file may need to be closed.
    gate.open()

    assert ran.wait(PATIENCE)
    assert wait_until(lambda: threads() == [], PATIENCE)


def test_an_answer_from_before_a_close_does_not_count_after_it(workers: Workers) -> None:
    gates = [Gate("through the gate"), Gate("through the gate")]

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


# What hangs


def tick(workers: Workers, seconds: float) -> None:
    """Have the clock go on by so many seconds, as the loop tells it."""
    workers.clock += seconds  # type: ignore[attr-defined]
    workers.on_tick(workers.clock)  # type: ignore[attr-defined]


def a_while(workers: Workers) -> None:
    """Have it go on until threads that take no job are taken to hang."""
    tick(workers, 0.14)
    tick(workers, 0.14)


@pytest.fixture
def hung(workers: Workers) -> Iterator[list[Gate]]:
    """Gates that nobody opens before the test has ended."""
    workers.clock = 0.0  # type: ignore[attr-defined]
    gates = [Gate("through the gate") for _ in range(20)]
    yield gates
    for gate in gates:
        gate.open()


def test_a_job_whose_asker_was_cancelled_is_not_run(workers: Workers, hung: list[Gate]) -> None:
    ran: list[str] = []

    async def main() -> None:
        for gate in hung[:3]:
            workers.run(gate)
        assert all(gate.entered.wait(PATIENCE) for gate in hung[:3])
        unwanted = workers.run(ran.append, "unwanted")
        wanted = workers.run(ran.append, "wanted")
        unwanted.cancel()
        hung[0].open()
        await patiently(wanted)

    run(workers, main)

    assert ran == ["wanted"]


def test_jobs_that_hang_hold_up_no_other_for_long(
    workers: Workers, hung: list[Gate], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        for gate in hung[:3]:
            workers.run(gate)
        assert all(gate.entered.wait(PATIENCE) for gate in hung[:3])
        tick(workers, 0.1)
        others = [workers.run(gate) for gate in hung[3:7]]
        tick(workers, 0.1)
        assert len(threads()) == 3  # they may be only slow
        a_while(workers)

        assert all(gate.entered.wait(PATIENCE) for gate in hung[3:6])
        tick(workers, 0.1)
        a_while(workers)
        assert hung[6].entered.wait(PATIENCE)

        # Those that took their place are too many once they are back.
        for gate in hung[:7]:
            gate.open()
        await patiently(asyncio.gather(*others))
        assert await wait_on_loop(lambda: len(threads()) == 3)
        assert await patiently(workers.run(str, "next")) == "next"

    run(workers, main)

    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == "threads for test take long, or hang; there are 6 now"


def test_where_the_whole_process_stood_still_no_thread_is_taken_to_hang(
    workers: Workers, hung: list[Gate], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        jobs = [workers.run(gate) for gate in hung[:6]]
        assert all(gate.entered.wait(PATIENCE) for gate in hung[:3])
        tick(workers, 0.1)

        tick(workers, 30.0)
        assert len(threads()) == 3

        for gate in hung:
            gate.open()
        await patiently(asyncio.gather(*jobs))

    run(workers, main)

    assert caplog.records == []


async def wait_on_loop(condition: Callable[[], bool]) -> bool:
    return await asyncio.to_thread(wait_until, condition, PATIENCE)


def test_threads_that_take_one_job_after_the_other_do_not_hang(
    workers: Workers, hung: list[Gate]
) -> None:
    async def main() -> None:
        jobs = [workers.run(gate) for gate in hung]
        for number, gate in enumerate(hung[:17]):
            assert hung[number + 2].entered.wait(PATIENCE)
            gate.open()
            assert hung[number + 3].entered.wait(PATIENCE)
            a_while(workers)
            assert len(threads()) == 3
        for gate in hung[17:]:
            gate.open()
        await patiently(asyncio.gather(*jobs))

    run(workers, main)


def test_a_hanging_thread_is_not_replaced_without_queued_jobs(
    workers: Workers, hung: list[Gate]
) -> None:
    async def main() -> None:
        jobs = [workers.run(gate) for gate in hung]
        assert hung[2].entered.wait(PATIENCE)
        for job in jobs:
            job.cancel()

        a_while(workers)
        a_while(workers)

        assert len(threads()) == 3
        assert workers._jobs.empty()

    run(workers, main)


def test_threads_that_hang_are_bounded_over_all_loops(
    workers: Workers,
    hung: list[Gate],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "_MAX_THREADS", 7)

    async def main(number: int) -> None:
        workers.start(asyncio.get_running_loop())
        for gate in hung[2 * number : 2 * number + 2]:
            workers.run(gate)
        tick(workers, 0.1)
        a_while(workers)
        a_while(workers)
        workers.close()

    for number in range(8):
        asyncio.run(main(number))
        assert len(threads()) <= 7

    assert len(threads()) == 7
    # What waited for them when the loops ended is nobody's any more.
    for gate in hung:
        gate.open()
    assert wait_until(lambda: threads() == [], PATIENCE)


def test_at_the_bound_it_is_said_and_those_that_come_back_serve_on(
    workers: Workers,
    hung: list[Gate],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "_MAX_THREADS", 5)

    async def main() -> None:
        jobs = [workers.run(gate) for gate in hung[:6]]
        for _ in range(4):
            tick(workers, 0.1)
            a_while(workers)
        assert all(gate.entered.wait(PATIENCE) for gate in hung[:5])
        assert not hung[5].entered.is_set()
        for gate in hung[:6]:
            gate.open()
        await patiently(asyncio.gather(*jobs))

    run(workers, main)

    [record] = caplog.records
    assert (
        record.getMessage()
        == "threads for test take long, or hang; there are 5 now, and will be no more"
    )


def test_the_queue_is_bounded_and_cancelled_jobs_take_no_place(
    workers: Workers, hung: list[Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_JOBS", 4)

    async def main() -> None:
        for gate in hung[:3]:
            workers.run(gate)
            assert gate.entered.wait(PATIENCE)
        waiting = [workers.run(str, number) for number in range(4)]

        with pytest.raises(BlockingIOError, match="too many jobs wait for test threads"):
            await workers.run(str, "too many")
        waiting[1].cancel()

        last = workers.run(str, "fits in")
        for gate in hung:
            gate.open()
        assert await patiently(last) == "fits in"

    run(workers, main)


def test_where_no_thread_can_take_the_place_of_one_that_hangs_the_others_serve_on(
    workers: Workers, hung: list[Gate], no_thread: Callable[[str], None]
) -> None:
    async def main() -> None:
        jobs = [workers.run(gate) for gate in hung[:4]]
        assert hung[2].entered.wait(PATIENCE)
        no_thread("pykka-smtp-test")
        tick(workers, 0.1)
        a_while(workers)
        for gate in hung:
            gate.open()
        await patiently(asyncio.gather(*jobs))

    run(workers, main)


def test_an_idle_thread_keeps_nothing_of_its_last_job_alive(workers: Workers) -> None:
    class Payload:
        def method(self) -> "Payload":
            return self

    gone = threading.Event()

    async def main() -> None:
        payload = Payload()
        weakref.finalize(payload, gone.set)
        await patiently(workers.run(payload.method))
        del payload
        await asyncio.sleep(0)

    run(workers, main)

    assert gone.wait(PATIENCE)


# Through an actor


def mail() -> SendMail:
    return SendMail(sender="a@b.test", recipients="c@d.test", body="1 2 3")


@pytest.fixture
def gates() -> Iterator[list[Gate]]:
    made = [Gate("through the gate") for _ in range(8)]
    yield made
    for gate in made:
        gate.open()


def test_look_ups_that_hang_keep_no_other_name_from_being_looked_up(
    loop_kind: str, server: ScriptedServer, gates: list[Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo

    def hang(host: Any, *args: Any, **options: Any) -> Any:
        if str(host).startswith("hangs-"):
            gates[int(host[6:7])]()
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return look_up(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    refs: list[Any] = [SmtpActor.start(f"hangs-{number}.test", 25) for number in range(4)]
    answers: list[Any] = [ref.ask(mail(), block=False) for ref in refs]
    assert gates[2].entered.wait(PATIENCE)

    assert isinstance(
        SmtpActor.start("localhost", server.port).ask(mail(), timeout=PATIENCE), SendSuccess
    )

    for ref in refs:
        ref.stop(timeout=PATIENCE)
    assert {answer.get(timeout=PATIENCE).kind for answer in answers} == {FailureKind.CANCELLED}


def test_token_callables_that_hang_keep_neither_other_tokens_nor_names_from_being_got(
    loop_kind: str, scripted_server: Callable[..., ScriptedServer], gates: list[Gate]
) -> None:
    server = scripted_server(polite("AUTH XOAUTH2", replies={"AUTH": "235 2.7.0 welcome"}))

    def start(token: Callable[[], str]) -> Any:
        return SmtpActor.start(
            "localhost",
            server.port,
            username="u",
            token=token,
            tls="off",
            allow_plaintext_auth=True,
        )

    refs = [start(gate) for gate in gates[:4]]
    for ref in refs:
        ref.tell(mail())
    assert all(gate.entered.wait(PATIENCE) for gate in gates[:3])

    outcome = start(lambda: "a-token").ask(mail(), timeout=PATIENCE)

    assert isinstance(outcome, SendSuccess)
    for ref in refs:
        ref.stop(timeout=PATIENCE)

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pykka import ActorRegistry
from servers.python import python
from servers.waiting import PATIENCE, wait_until

from pykka_smtp.actors import AsyncioActor
from pykka_smtp.actors.loop import event_loop as module
from pykka_smtp.actors.loop import loop_thread
from pykka_smtp.actors.loop.event_loop import event_loop
from pykka_smtp.actors.loop.loop_thread import EventLoopThread
from pykka_smtp.actors.loop.new_loop import new_event_loop
from pykka_smtp.actors.loop.threads import main_was_interrupted
from pykka_smtp.signals.dispatcher import dispatcher


class Echo(AsyncioActor):
    """Calls the message with itself."""

    def on_receive(self, message: Any) -> Any:
        return message(self)


def ours() -> list[str]:
    return sorted(t.name for t in threading.enumerate() if t.name.startswith("pykka-smtp-"))


def has_ended() -> bool:
    return wait_until(lambda: ours() == [], PATIENCE)


def thread_of(actor: Any) -> threading.Thread:
    return threading.current_thread()


@pytest.fixture
def main_has_ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the loop believe that the main thread waits for it to end."""
    monkeypatch.setattr(loop_thread, "main_has_ended", lambda: True)
    yield
    assert has_ended()


# Start and end


def test_importing_the_package_starts_no_thread() -> None:
    script = "import threading, pykka_smtp; print(threading.active_count())"

    done = python("-c", script)

    assert (done.returncode, done.stdout) == (0, "1\n")


def test_the_threads_start_with_the_first_actor_and_end_by_themselves_after_the_last(
    loop_kind: str,
) -> None:
    assert ours() == []
    ref = Echo.start()
    ref.ask(str, timeout=PATIENCE)

    assert ours() == [
        "pykka-smtp-dispatcher",
        "pykka-smtp-files-1",
        "pykka-smtp-loop",
        "pykka-smtp-names-1",
        "pykka-smtp-new-files-1",
        "pykka-smtp-tokens-1",
    ]

    ref.stop(timeout=PATIENCE)
    assert has_ended()


def test_the_thread_comes_back_as_often_as_it_is_needed_and_leaves_no_descriptor(
    loop_kind: str,
) -> None:
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    seen = set()

    for _ in range(5):
        ref = Echo.start()
        seen.add(ref.ask(thread_of, timeout=PATIENCE))
        ref.stop(timeout=PATIENCE)
        assert has_ended()

    assert len(seen) == 5
    assert len(list(descriptors.iterdir())) == before


def test_a_program_that_starts_one_actor_after_the_other_keeps_the_thread(
    loop_kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_thread, "TICK", 0.2)
    seen = set()

    for _ in range(50):
        ref = Echo.start()
        seen.add(ref.ask(thread_of, timeout=PATIENCE))
        ref.stop(timeout=PATIENCE)

    assert len(seen) == 1


def test_starts_that_meet_the_thread_just_as_it_ends_are_never_lost(
    loop_kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_thread, "TICK", 0.0002)

    for _ in range(200):
        ref = Echo.start()
        assert ref.ask(lambda _: "served", timeout=PATIENCE) == "served"
        assert ref.stop(timeout=PATIENCE)


def test_the_loop_is_the_one_that_the_environment_asks_for(loop_kind: str) -> None:
    ref = Echo.start()

    loop: Any = ref.ask(lambda _: event_loop().loop, timeout=PATIENCE)

    assert type(loop).__module__.partition(".")[0] == loop_kind
    ref.stop(timeout=PATIENCE)


def test_without_uvloop_the_standard_librarys_loop_serves(
    loops: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with loops("uvloop"):
        monkeypatch.setitem(sys.modules, "uvloop", None)
        ref = Echo.start()

        loop: Any = ref.ask(lambda _: event_loop().loop, timeout=PATIENCE)

        assert type(loop).__module__.startswith("asyncio.")
        ref.stop(timeout=PATIENCE)


def test_there_is_no_loop_to_be_had_while_no_actor_lives() -> None:
    assert has_ended()

    with pytest.raises(RuntimeError, match="only while an AsyncioActor lives"):
        _ = event_loop().loop
    assert not event_loop().is_current()


def test_the_thread_stays_until_the_receivers_are_done(loop_kind: str) -> None:
    opened, entered = threading.Event(), threading.Event()

    def receiver() -> None:
        entered.set()
        assert opened.wait(PATIENCE)

    ref = Echo.start()
    loop_thread: Any = ref.ask(thread_of, timeout=PATIENCE)
    dispatcher.submit(receiver)
    assert entered.wait(PATIENCE)
    ref.stop(timeout=PATIENCE)

    loop_thread.join(0.1)
    assert loop_thread.is_alive()
    opened.set()
    assert has_ended()


class Pen:
    """Writes its name, in a way of the test's."""

    def __init__(self, write: Callable[[str], object], name: str) -> None:
        self._write = write
        self._name = name

    def write_now(self) -> None:
        self._write(self._name)

    def crashed(self, error: BaseException) -> None:
        """Take note of nothing."""


def test_what_is_to_be_written_in_a_turn_is_written_at_its_end_in_order(loops: Any) -> None:
    said: list[str] = []
    done = threading.Event()

    def write(name: str) -> None:
        said.append(name)
        if name == "a":  # what comes up now is for the next turn
            event_loop().write_soon(Pen(write, "c"))
        if name == "c":
            done.set()

    def turn(name: str) -> None:
        said.append(f"turn of {name}")
        event_loop().write_soon(Pen(write, name))

    def both_turns(_actor: Any) -> None:
        for name in ("a", "b"):
            event_loop().loop.call_soon(turn, name)

    with loops("asyncio"):
        ref = Echo.start()
        ref.ask(both_turns, timeout=PATIENCE)
        assert done.wait(PATIENCE)
        ref.stop(timeout=PATIENCE)
        assert has_ended()

    assert said == ["turn of a", "turn of b", "a", "b", "c"]


@pytest.mark.parametrize("error", [SystemExit(3), ValueError("defect")], ids=repr)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_writer_that_raises_does_not_keep_others_from_writing(
    loops: Any, error: BaseException
) -> None:
    said: list[str] = []
    done = threading.Event()

    def write(name: str) -> None:
        if name == "broken":
            raise error
        said.append(name)
        if name == "last":
            done.set()

    def turn(_actor: Any) -> None:
        for name in ("first", "broken", "second", "last"):
            event_loop().write_soon(Pen(write, name))

    with loops("asyncio"):
        ref = Echo.start()
        ref.ask(turn, timeout=PATIENCE)
        assert done.wait(PATIENCE)
        ref.stop(timeout=PATIENCE)
        assert has_ended()

    assert said == ["first", "second", "last"]


def test_a_loop_forgets_what_the_one_before_it_had_to_write(loops: Any) -> None:
    said: list[str] = []

    with loops("asyncio"):
        event_loop()._writers._writers.append(
            Pen(said.append, "old")
        )  # as if the loop had ended before

        ref = Echo.start()
        ref.ask(lambda _: event_loop().write_soon(Pen(said.append, "new")), timeout=PATIENCE)

        assert wait_until(lambda: said == ["new"], PATIENCE)
        ref.stop(timeout=PATIENCE)
        assert has_ended()


def test_it_is_known_which_loop_runs(loop_kind: str) -> None:
    ref = Echo.start()

    is_selector_loop = ref.ask(lambda _: event_loop().is_selector_loop, timeout=PATIENCE)

    assert is_selector_loop == (loop_kind == "asyncio")
    ref.stop(timeout=PATIENCE)


class Clock:
    """Is told the time."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.changed = threading.Condition()

    def on_tick(self, now: float) -> None:
        with self.changed:
            self.times.append(now)
            self.changed.notify_all()

    def crashed(self, error: BaseException) -> None:
        """Take note of nothing."""

    def wait_for(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.times) >= count, PATIENCE)


def test_what_is_watched_is_told_the_time_and_keeps_the_thread(loop_kind: str) -> None:
    clock = Clock()
    ref = Echo.start()
    loop: Any = ref.ask(lambda _: event_loop().loop, timeout=PATIENCE)
    ref.ask(lambda _: event_loop().add_ticking(clock), timeout=PATIENCE)
    ref.stop(timeout=PATIENCE)

    clock.wait_for(10)

    assert "pykka-smtp-loop" in ours()
    assert clock.times == sorted(clock.times)
    loop.call_soon_threadsafe(event_loop().remove_ticking, clock)
    assert has_ended()


def test_a_task_that_an_actor_left_behind_is_cancelled_and_ends_before_the_loop_does(
    loop_kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    came_to_its_end = threading.Event()

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            came_to_its_end.set()

    ref = Echo.start()
    tasks: list[asyncio.Task[None]] = []
    ref.ask(
        lambda _: tasks.append(event_loop().loop.create_task(wait_for_ever())), timeout=PATIENCE
    )
    ref.ask(str, timeout=PATIENCE)

    ref.stop(timeout=PATIENCE)

    assert has_ended()
    assert came_to_its_end.is_set()
    assert tasks[0].cancelled()
    tasks.clear()
    gc.collect()
    assert caplog.records == []


# When things go wrong


@pytest.mark.parametrize(
    "thread", [f"pykka-smtp-{name}" for name in ("loop", "names", "files", "new-files", "tokens")]
)
def test_a_start_that_fails_leaves_no_thread_and_no_loop(
    loop_kind: str, no_thread: Callable[[str], None], thread: str
) -> None:
    no_thread(thread)

    with pytest.raises(RuntimeError, match="can't start new thread"):
        Echo.start()

    assert has_ended()
    with pytest.raises(RuntimeError):
        _ = event_loop().loop


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_a_callback_that_would_end_the_loop_does_not(loop_kind: str, error: BaseException) -> None:
    def callback() -> None:
        raise error

    done = threading.Event()

    def schedule(actor: Any) -> None:
        event_loop().loop.call_soon(callback)
        event_loop().loop.call_soon(done.set)

    ref = Echo.start()
    ref.ask(schedule, timeout=PATIENCE)

    assert done.wait(PATIENCE)
    assert ref.ask(lambda _: "alive", timeout=PATIENCE) == "alive"
    ref.stop(timeout=PATIENCE)


def test_a_task_that_raises_system_exit_does_not_end_the_loop(loop_kind: str) -> None:
    async def task() -> None:
        raise SystemExit(3)

    tasks: list[asyncio.Task[None]] = []
    ref = Echo.start()
    ref.ask(lambda _: tasks.append(event_loop().loop.create_task(task())), timeout=PATIENCE)

    assert ref.ask(lambda _: "alive", timeout=PATIENCE) == "alive"
    assert wait_until(tasks[0].done, PATIENCE)
    assert isinstance(tasks[0].exception(), SystemExit)
    ref.stop(timeout=PATIENCE)


def test_a_wake_up_that_a_ctrl_c_has_swallowed_is_made_up_for(loop_kind: str) -> None:
    ref, other = Echo.start(), Echo.start()
    ref.ask(str, timeout=PATIENCE)
    # As when the interrupt comes between the flag and the call.
    with event_loop()._lock:
        event_loop()._wake_pending = True

        answer = ref.ask(lambda _: "served", block=False)
        event_loop()._wake_pending = True

    assert answer.get(timeout=PATIENCE) == "served"
    other.stop(timeout=PATIENCE)
    ref.stop(timeout=PATIENCE)


def test_a_wake_up_of_a_loop_that_has_ended_leaves_the_next_loops_actors_alone(
    loop_kind: str,
) -> None:
    ref = Echo.start()
    old = asyncio.new_event_loop()
    event_loop()._wake_pending = True

    event_loop()._run_ready(old)

    assert event_loop()._wake_pending
    old.close()
    assert ref.ask(lambda _: "alive", timeout=PATIENCE) == "alive"
    ref.stop(timeout=PATIENCE)


def test_the_loop_runs_in_no_context_of_the_program(loop_kind: str) -> None:
    # A web framework keeps a request in its context, and what a turn opens would keep it, too.
    mark: ContextVar[str] = ContextVar("mark")

    def look(actor: Any) -> str | None:
        return mark.get(None)

    mark.set("of the request that starts the loop")
    ref = Echo.start()
    first = ref.ask(look, timeout=PATIENCE)
    mark.set("of another request")
    second = ref.ask(look, timeout=PATIENCE)
    ref.stop(timeout=PATIENCE)

    assert (first, second) == (None, None)


def test_a_look_by_a_loop_that_has_ended_changes_nothing(loop_kind: str) -> None:
    ref = Echo.start()
    old = asyncio.new_event_loop()

    assert event_loop()._stop_if_idle(old) is False

    old.close()
    assert ref.ask(lambda _: "alive", timeout=PATIENCE) == "alive"
    ref.stop(timeout=PATIENCE)


def test_a_finalizer_that_starts_an_actor_while_the_loop_starts_makes_no_second_loop(
    loop_kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = new_event_loop
    started: list[Any] = []

    def make_slowly() -> asyncio.AbstractEventLoop:
        # What the garbage collector may do in the middle of anything.
        monkeypatch.setattr(loop_thread, "new_event_loop", make)
        started.append(Echo.start())
        return make()

    monkeypatch.setattr(loop_thread, "new_event_loop", make_slowly)

    started.append(Echo.start())

    threads = {ref.ask(thread_of, timeout=PATIENCE) for ref in started}
    assert len(threads) == 1
    assert ours().count("pykka-smtp-loop") == 1
    for ref in started:
        ref.stop(timeout=PATIENCE)


@pytest.fixture
def on_signal() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Have something called, once, when SIGUSR1 comes."""
    before = signal.getsignal(signal.SIGUSR1)

    def install(call: Callable[[], object]) -> None:
        def handler(_number: int, _frame: object) -> None:
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            call()

        signal.signal(signal.SIGUSR1, handler)

    yield install
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("where", ["resolver_pool", "file_pool", "file_open_pool", "token_pool"])
def test_a_signals_handler_that_sends_amid_the_start_of_the_workers_makes_no_second_loop(
    loop_kind: str, monkeypatch: pytest.MonkeyPatch, on_signal: Any, where: str
) -> None:
    started: list[Any] = []
    workers = getattr(event_loop(), where)
    start = workers.start

    def start_amid_a_signal(loop: asyncio.AbstractEventLoop) -> None:
        start(loop)
        signal.raise_signal(signal.SIGUSR1)

    monkeypatch.setattr(workers, "start", start_amid_a_signal)
    on_signal(lambda: started.append(Echo.start()))

    started.append(Echo.start())

    assert len(started) == 2
    assert len({ref.ask(thread_of, timeout=PATIENCE) for ref in started}) == 1
    assert ours().count("pykka-smtp-loop") == 1
    for ref in started:
        ref.stop(timeout=PATIENCE)


@pytest.mark.parametrize("late", [False, True])
def test_a_signals_handler_that_sends_right_before_or_after_the_start_makes_no_second_loop(
    loop_kind: str, monkeypatch: pytest.MonkeyPatch, on_signal: Any, late: bool
) -> None:
    started: list[Any] = []
    start = event_loop()._start

    def start_amid_a_signal() -> asyncio.AbstractEventLoop:
        # Python runs a handler where a function begins, and where it has returned.
        if late:
            loop = start()
            signal.raise_signal(signal.SIGUSR1)
            return loop
        signal.raise_signal(signal.SIGUSR1)
        return start()

    monkeypatch.setattr(event_loop(), "_start", start_amid_a_signal)
    on_signal(lambda: started.append(Echo.start()))

    started.append(Echo.start())

    assert len(started) == 2
    assert len({ref.ask(thread_of, timeout=PATIENCE) for ref in started}) == 1
    assert ours().count("pykka-smtp-loop") == 1
    for ref in started:
        ref.stop(timeout=PATIENCE)


def test_a_send_from_the_birth_of_a_thread_that_the_start_waits_for_does_not_hang(
    loop_kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The garbage collector may run a finalizer even there."""
    started: list[Any] = []
    set_ident = threading.Thread._set_ident  # type: ignore[attr-defined]

    def set_ident_and_send(thread: threading.Thread) -> None:
        set_ident(thread)
        if thread.name == "pykka-smtp-names-1" and not started:
            started.append(None)
            started[0] = Echo.start()

    monkeypatch.setattr(threading.Thread, "_set_ident", set_ident_and_send)

    started.append(Echo.start())

    assert len({ref.ask(thread_of, timeout=PATIENCE) for ref in started}) == 1
    for ref in started:
        ref.stop(timeout=PATIENCE)


def test_who_sent_amid_a_start_that_failed_is_served_by_the_next(
    loop_kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    early: list[Any] = []
    start = event_loop().token_pool.start

    def fail(_loop: asyncio.AbstractEventLoop) -> None:
        monkeypatch.setattr(event_loop().token_pool, "start", start)
        early.append(Echo.start())
        early.append(early[0].ask(lambda _: "served", block=False))
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(event_loop().token_pool, "start", fail)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        Echo.start()

    ref = Echo.start()

    assert early[1].get(timeout=PATIENCE) == "served"
    early[0].stop(timeout=PATIENCE)
    ref.stop(timeout=PATIENCE)


# Which loop


def type_of_loop() -> Any:
    ref = Echo.start()
    kind: Any = ref.ask(lambda _: type(event_loop().loop), timeout=PATIENCE)
    ref.stop(timeout=PATIENCE)
    return kind


def test_a_uvloop_that_is_only_half_imported_is_not_used(
    loops: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a signal's handler finds it amid the program's own import."""
    with loops("uvloop"):
        monkeypatch.setitem(sys.modules, "uvloop", ModuleType("uvloop"))

        assert issubclass(type_of_loop(), asyncio.SelectorEventLoop)


@pytest.mark.parametrize(
    ("library", "function", "module"),
    [
        ("gevent.monkey", "is_module_patched", "threading"),
        ("eventlet.patcher", "is_monkey_patched", "thread"),
    ],
)
@pytest.mark.parametrize("is_patched", [True, False])
def test_where_threads_are_greenlets_the_standard_librarys_loop_serves(
    loops: Any,
    monkeypatch: pytest.MonkeyPatch,
    library: str,
    function: str,
    module: str,
    is_patched: bool,
) -> None:
    imported = ModuleType(library)
    setattr(imported, function, lambda name: is_patched and name == module)
    with loops("uvloop"):
        monkeypatch.setitem(sys.modules, library, imported)

        assert issubclass(type_of_loop(), asyncio.SelectorEventLoop) == is_patched


def test_the_standard_loop_is_a_selectors_whatever_the_policy_says(
    loops: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where the policy makes a proactor's."""

    def other() -> Any:
        raise AssertionError("asked the policy")

    with loops("asyncio"):
        monkeypatch.setattr(asyncio, "new_event_loop", other)

        assert type_of_loop() is asyncio.SelectorEventLoop


def test_where_closed_descriptors_cannot_be_taken_uvloop_is_not_used(
    loops: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with loops("uvloop"):
        monkeypatch.setattr(os, "devnull", "/nowhere/null")

        assert issubclass(type_of_loop(), asyncio.SelectorEventLoop)


# The end of the program; from outside in test_lifecycle.py


@pytest.mark.usefixtures("main_has_ended")
def test_once_the_main_thread_has_ended_the_loop_ends_with_the_last_actor_at_once(
    loop_kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_thread, "TICK", 3600)
    ref = Echo.start()

    ref.stop(timeout=PATIENCE)

    assert has_ended()


@pytest.mark.usefixtures("main_has_ended")
def test_once_the_main_thread_has_ended_the_loop_stays_while_other_threads_run(
    loop_kind: str,
) -> None:
    may_end, results = threading.Event(), []

    def other() -> None:
        assert may_end.wait(PATIENCE)
        # From Python 3.12 on no thread starts any more at that time.
        ref = Echo.start()
        results.append(ref.ask(thread_of, timeout=PATIENCE))
        ref.stop(timeout=PATIENCE)

    thread = threading.Thread(target=other)
    ref = Echo.start()
    thread.start()
    loop_thread: Any = ref.ask(thread_of, timeout=PATIENCE)
    ref.stop(timeout=PATIENCE)

    loop_thread.join(0.1)
    may_end.set()
    thread.join(PATIENCE)

    assert results == [loop_thread]


@pytest.mark.usefixtures("main_has_ended")
def test_an_interrupted_program_has_its_actors_cancelled_and_can_start_no_more(
    loop_kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_thread", EventLoopThread())
    monkeypatch.setattr(sys, "last_type", ValueError, raising=False)
    refs = [Echo.start() for _ in range(3)]
    refs[0].ask(str, timeout=PATIENCE)
    assert all(ref.is_alive() for ref in refs)

    monkeypatch.setattr(sys, "last_type", KeyboardInterrupt)

    assert all(ref.actor_stopped.wait(PATIENCE) for ref in refs)
    with pytest.raises(RuntimeError, match="program is ending"):
        Echo.start()


def test_an_interrupt_at_a_prompt_cancels_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "last_type", KeyboardInterrupt, raising=False)
    assert main_was_interrupted()

    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)

    assert not main_was_interrupted()


def test_at_the_exit_each_actor_is_cancelled_and_its_outcome_is_waited_for(
    loop_kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    class Last(Echo):
        def on_stop(self) -> None:
            dispatcher.submit(heard.append, "last words")

    monkeypatch.setattr(module, "_thread", EventLoopThread())
    ref = Last.start()

    module._at_exit()

    assert not ref.is_alive()
    assert heard == ["last words"]
    with pytest.raises(RuntimeError, match="program is ending"):
        Echo.start()
    assert has_ended()


def test_at_the_exit_nothing_is_waited_for_where_nothing_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_thread", EventLoopThread())

    module._at_exit()

    assert ours() == []


def test_at_the_exit_an_actor_that_lives_on_a_loop_that_is_gone_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Orphan:
        cancelled = False

        def run_turn(self) -> None: ...

        def crashed(self, error: BaseException) -> None:
            """Take note of nothing."""

        def cancel(self) -> None:
            self.cancelled = True

        def abandon(self) -> None: ...

        is_busy = False

    thread, orphan = EventLoopThread(), Orphan()
    thread._alive.add(orphan)

    thread.cancel_all(PATIENCE)

    assert orphan.cancelled


# fork; with real processes in test_lifecycle.py


def test_a_forked_child_gets_a_loop_of_its_own_and_none_of_the_parents_actors(
    loop_kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Parents(Echo):
        abandoned = False

        def abandon(self) -> None:
            super().abandon()
            Parents.abandoned = True

    parents = EventLoopThread()
    monkeypatch.setattr(module, "_thread", parents)
    actor = Parents()
    parents._alive.add(actor)
    ActorRegistry.register(actor.actor_ref)

    # What os.fork calls; here both sides run in the one process that there is.
    module._before_fork()
    module._after_fork_in_child()
    parents.release_after_fork()

    assert event_loop() is not parents
    assert Parents.abandoned
    assert not actor.actor_ref.is_alive()
    assert ActorRegistry.get_all() == []
    ref = Echo.start()
    assert ref.ask(lambda _: "served", timeout=PATIENCE) == "served"
    ref.stop(timeout=PATIENCE)
    assert has_ended()


def test_a_fork_holds_the_locks_and_the_parent_goes_on(loop_kind: str) -> None:
    ref = Echo.start()
    told = threading.Event()

    module._before_fork()

    def tell() -> None:
        ref.tell(str)
        ActorRegistry.get_all()
        told.set()

    teller = threading.Thread(target=tell)
    teller.start()
    assert not told.wait(0.05)
    module._after_fork_in_parent()

    assert told.wait(PATIENCE)
    teller.join(PATIENCE)
    ref.stop(timeout=PATIENCE)

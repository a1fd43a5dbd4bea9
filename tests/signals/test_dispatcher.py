import logging
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from servers.python import printed
from servers.waiting import PATIENCE, Gate, wait_until

from pykka_smtp.signals import dispatcher as module
from pykka_smtp.signals.dispatcher import Dispatcher


class Worker:
    """A dispatcher under test, which must leave no thread behind."""

    def __init__(self) -> None:
        self.dispatcher = Dispatcher("worker-under-test")
        self.ran: list[Any] = []

    def heard(self) -> list[Any]:
        """Wait until all calls have run; return what those kept that keep something."""
        assert self.dispatcher.wait_idle(PATIENCE)
        return self.ran

    @property
    def threads(self) -> list[threading.Thread]:
        return [t for t in threading.enumerate() if t.name == "worker-under-test"]

    @property
    def all_threads(self) -> list[threading.Thread]:
        return [t for t in threading.enumerate() if t.name.startswith("worker-under-test")]

    def thread(self) -> threading.Thread:
        """Return the thread that calls run on."""
        found: list[threading.Thread] = []
        self.dispatcher.submit(lambda: found.append(threading.current_thread()))
        assert self.dispatcher.wait_idle(PATIENCE)
        return found[0]


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    assert made.dispatcher.wait_idle(PATIENCE)
    for thread in made.all_threads:
        thread.join(PATIENCE)
    assert made.all_threads == []


@pytest.fixture
def gate(worker: Worker) -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open()


def raising(exc: BaseException) -> Callable[[], None]:
    def call() -> None:
        raise exc

    return call


def no_new_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", start)


def test_calls_run_in_the_order_in_which_they_were_submitted(worker: Worker) -> None:
    for number in range(1000):
        worker.dispatcher.submit(worker.ran.append, number)

    assert worker.heard() == list(range(1000))


def test_calls_run_on_one_named_non_daemon_thread(worker: Worker) -> None:
    worker.dispatcher.hold()
    first, second = worker.thread(), worker.thread()
    worker.dispatcher.release()

    assert first is second
    assert first is not threading.current_thread()
    assert not first.daemon
    assert Dispatcher()._name == "pykka-smtp-dispatcher"
    assert first.name == "worker-under-test"


def test_no_thread_exists_before_it_is_needed(worker: Worker) -> None:
    assert worker.threads == []
    assert worker.dispatcher.is_idle


def test_a_hold_starts_the_thread_and_keeps_it_while_there_is_nothing_to_do(worker: Worker) -> None:
    worker.dispatcher.hold()
    started = worker.threads
    thread = worker.thread()

    assert started == [thread]
    assert worker.threads == [thread]

    worker.dispatcher.release()
    thread.join(PATIENCE)
    assert worker.threads == []


def test_the_thread_stays_until_the_last_of_several_holds_is_released(worker: Worker) -> None:
    worker.dispatcher.hold()
    worker.dispatcher.hold()
    thread = worker.thread()

    worker.dispatcher.release()
    assert worker.thread() is thread

    worker.dispatcher.release()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_submit_without_a_hold_starts_a_thread_that_ends_by_itself(worker: Worker) -> None:
    thread = worker.thread()

    thread.join(PATIENCE)

    assert not thread.is_alive()


def test_what_is_queued_at_the_last_release_still_runs(worker: Worker, gate: Gate) -> None:
    worker.dispatcher.hold()
    worker.dispatcher.submit(gate)
    worker.dispatcher.submit(worker.ran.append, "after the release")

    worker.dispatcher.release()
    gate.open()

    assert worker.heard() == ["after the release"]


def test_after_the_thread_has_ended_the_next_submit_starts_another(worker: Worker) -> None:
    first = worker.thread()
    first.join(PATIENCE)

    second = worker.thread()

    assert second is not first


def test_a_release_too_many_does_nothing(worker: Worker) -> None:
    worker.dispatcher.release()

    worker.dispatcher.hold()
    thread = worker.thread()
    assert worker.threads == [thread]
    worker.dispatcher.release()


@pytest.mark.parametrize(
    "exc",
    [
        ValueError("a bug"),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        BaseException("bare"),
    ],
    ids=lambda exc: type(exc).__name__,
)
def test_whatever_a_call_raises_is_logged_with_its_traceback_and_the_next_runs(
    worker: Worker, caplog: pytest.LogCaptureFixture, exc: BaseException
) -> None:
    worker.dispatcher.submit(raising(exc))
    worker.dispatcher.submit(worker.ran.append, "next")

    assert worker.heard() == ["next"]
    [record] = caplog.records
    assert (record.name, record.levelno) == ("pykka_smtp.signals", logging.ERROR)
    assert record.exc_info is not None
    assert record.exc_info[1] is exc


def test_a_logging_filter_that_raises_does_not_end_the_thread(worker: Worker) -> None:
    def broken(record: logging.LogRecord) -> bool:
        raise SystemExit("a filter is a stranger's code too")

    module.logger.addFilter(broken)
    try:
        worker.dispatcher.submit(raising(ValueError("a bug")))
        worker.dispatcher.submit(worker.ran.append, "next")
        assert worker.dispatcher.wait_idle(PATIENCE)
    finally:
        module.logger.removeFilter(broken)

    assert worker.ran == ["next"]


def test_submit_returns_at_once_while_a_call_stands_still(worker: Worker, gate: Gate) -> None:
    worker.dispatcher.submit(gate)
    assert gate.entered.wait(PATIENCE)

    for number in range(100):
        worker.dispatcher.submit(worker.ran.append, number)

    assert worker.ran == []
    assert not worker.dispatcher.is_idle
    gate.open()
    assert worker.heard() == list(range(100))


def test_a_call_can_submit_and_what_it_submits_runs_after_what_was_queued(
    worker: Worker, gate: Gate
) -> None:
    worker.dispatcher.submit(gate)
    worker.dispatcher.submit(worker.dispatcher.submit, worker.ran.append, "submitted by a call")
    worker.dispatcher.submit(worker.ran.append, "queued")

    gate.open()

    assert worker.dispatcher.wait_idle(PATIENCE)  # all but what the call submitted
    assert worker.heard() == ["queued", "submitted by a call"]


def test_two_threads_can_submit_at_once_and_nothing_is_lost_or_swapped(worker: Worker) -> None:
    def submit_many(name: str) -> None:
        for number in range(2000):
            worker.dispatcher.submit(worker.ran.append, (name, number))

    submitters = [threading.Thread(target=submit_many, args=(name,)) for name in "ab"]
    for submitter in submitters:
        submitter.start()
    for submitter in submitters:
        submitter.join(PATIENCE)

    assert worker.dispatcher.wait_idle(PATIENCE)
    for name in "ab":
        assert [number for who, number in worker.ran if who == name] == list(range(2000))


def test_submits_that_meet_the_thread_just_as_it_ends_are_never_lost(worker: Worker) -> None:
    # Without a hold each round meets the thread asleep, leaving, or gone.
    for number in range(300):
        worker.dispatcher.submit(worker.ran.append, number)
        if number % 3 == 0:
            assert worker.dispatcher.wait_idle(PATIENCE)

    assert worker.heard() == list(range(300))


class Alarm:
    """The lock that an idle thread sleeps on; says when it goes to sleep, counts what wakes it."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        self.asleep = threading.Event()
        self.rung = 0

    def acquire(self) -> None:
        self.asleep.set()
        self._lock.acquire()

    def release(self) -> None:
        self.asleep.clear()
        self.rung += 1
        self._lock.release()


@pytest.fixture
def alarm(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Alarm:
    made = Alarm(worker.dispatcher._alarm)
    monkeypatch.setattr(worker.dispatcher, "_alarm", made)
    return made


def test_a_thread_that_sleeps_is_woken_by_a_submit_and_sleeps_again(
    worker: Worker, alarm: Alarm
) -> None:
    worker.dispatcher.hold()
    assert alarm.asleep.wait(PATIENCE)
    assert worker.dispatcher.is_idle

    thread = worker.thread()

    assert alarm.asleep.wait(PATIENCE)
    assert worker.dispatcher.is_idle
    assert worker.threads == [thread]
    worker.dispatcher.release()


def test_a_thread_that_sleeps_is_woken_by_the_last_release_and_ends(
    worker: Worker, alarm: Alarm
) -> None:
    worker.dispatcher.hold()
    assert alarm.asleep.wait(PATIENCE)
    [thread] = worker.threads

    worker.dispatcher.release()

    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert alarm.rung == 1


def test_what_comes_in_the_pause_after_a_batch_is_run_without_another_wake_up(
    worker: Worker, alarm: Alarm, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.dispatcher.hold()
    assert alarm.asleep.wait(PATIENCE)
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=lambda seconds: gate()))

    worker.dispatcher.submit(worker.ran.append, 0)
    assert gate.entered.wait(PATIENCE)
    for number in range(1, 100):
        worker.dispatcher.submit(worker.ran.append, number)
    gate.open()

    assert worker.heard() == list(range(100))
    assert alarm.rung == 1
    worker.dispatcher.release()


def test_a_submit_between_the_threads_last_look_and_its_sleep_is_not_lost(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = worker.dispatcher._lock

    class LateSubmit:
        """Submits at the moment when the thread, its queue empty, goes for the lock."""

        def __init__(self) -> None:
            self.is_due = True

        def __enter__(self) -> None:
            if self.is_due and threading.current_thread() in worker.threads:
                self.is_due = False
                worker.dispatcher.submit(worker.ran.append, "late")
            lock.acquire()

        def __exit__(self, *exc: object) -> None:
            lock.release()

    monkeypatch.setattr(worker.dispatcher, "_lock", LateSubmit())

    worker.dispatcher.submit(worker.ran.append, "first")
    for thread in worker.threads:
        thread.join(PATIENCE)

    assert worker.ran == ["first", "late"]
    assert worker.dispatcher.is_idle


def test_wait_idle_is_true_at_once_when_nothing_was_submitted(worker: Worker) -> None:
    assert worker.dispatcher.wait_idle(0)
    assert worker.threads == []


def test_wait_idle_is_false_when_the_time_is_over(worker: Worker, gate: Gate) -> None:
    worker.dispatcher.submit(gate)

    assert not worker.dispatcher.wait_idle(0.01)


def test_wait_idle_does_not_wait_for_what_was_submitted_later(
    worker: Worker, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, later = Gate(), gate
    in_the_queue = threading.Event()
    submit = worker.dispatcher.submit

    def submit_and_say_so(call: Callable[..., object]) -> None:
        submit(call)
        in_the_queue.set()

    submit(first)
    monkeypatch.setattr(worker.dispatcher, "submit", submit_and_say_so)
    waited: list[bool] = []
    waiter = threading.Thread(target=lambda: waited.append(worker.dispatcher.wait_idle(PATIENCE)))
    waiter.start()
    assert in_the_queue.wait(PATIENCE)
    submit(later)

    first.open()
    waiter.join(PATIENCE)

    assert waited == [True]
    assert not worker.dispatcher.is_idle


def test_wait_idle_on_the_dispatchers_own_thread_raises_and_does_not_hang(worker: Worker) -> None:
    raised: list[BaseException] = []

    def wait_for_myself() -> None:
        try:
            worker.dispatcher.wait_idle()
        except RuntimeError as exc:
            raised.append(exc)

    worker.dispatcher.submit(wait_for_myself)

    assert worker.dispatcher.wait_idle(PATIENCE)
    [exc] = raised
    assert "cannot wait" in str(exc)


def test_an_idle_thread_keeps_nothing_of_its_last_call_alive(worker: Worker) -> None:
    class Payload:
        def method(self) -> None:
            pass

    payload = Payload()
    gone = threading.Event()
    weakref.finalize(payload, gone.set)
    worker.dispatcher.hold()

    worker.dispatcher.submit(payload.method)
    del payload

    assert gone.wait(PATIENCE)
    worker.dispatcher.release()


def test_a_finalizer_that_submits_where_the_lock_is_held_does_not_hang(worker: Worker) -> None:
    with worker.dispatcher._lock:
        worker.dispatcher.submit(worker.ran.append, "reentrant")

    assert worker.heard() == ["reentrant"]


def test_when_no_thread_can_be_started_the_submitting_thread_does_the_work(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def call() -> None:
        worker.ran.append(threading.current_thread())
        worker.dispatcher.submit(worker.ran.append, "submitted meanwhile")
        assert worker.ran[1:] == []
        raise SystemExit

    no_new_threads(monkeypatch)
    worker.dispatcher.hold()
    worker.dispatcher.submit(call)

    assert worker.ran == [threading.current_thread(), "submitted meanwhile"]
    assert worker.dispatcher.is_idle
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    monkeypatch.undo()
    assert worker.thread() is not threading.current_thread()
    worker.dispatcher.release()


def test_an_interrupt_between_two_calls_in_a_borrowed_thread_loses_no_later_call(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(call: Callable[..., object], args: tuple[Any, ...]) -> None:
        raise KeyboardInterrupt

    no_new_threads(monkeypatch)
    monkeypatch.setattr(worker.dispatcher, "_call", interrupted)
    with pytest.raises(KeyboardInterrupt):
        worker.dispatcher.submit(worker.ran.append, "hit by Ctrl-C")
    monkeypatch.undo()

    worker.dispatcher.submit(worker.ran.append, "next")

    assert worker.heard() == ["next"]


def test_once_the_interpreter_has_joined_its_threads_none_is_started(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Thread()  # stands in for a main thread that is_alive() denies
    with monkeypatch.context() as patch:
        patch.setattr(threading, "main_thread", lambda: ended)
        patch.setattr(threading, "current_thread", lambda: ended)
        worker.dispatcher.submit(worker.ran.append, "in an atexit function")

    assert worker.ran == ["in an atexit function"]
    assert worker.threads == []


@pytest.fixture
def small(worker: Worker) -> Dispatcher:
    """A dispatcher for which ten calls are many."""
    worker.dispatcher.limit = 10
    worker.dispatcher.reset_after_fork()
    return worker.dispatcher


def test_a_long_queue_is_warned_of_once_and_again_at_each_doubling(
    small: Dispatcher, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    small.running = "shop.slow_receiver"
    small.submit(gate)
    assert gate.entered.wait(PATIENCE)

    for _ in range(25):
        small.submit(len, "")

    assert [record.args for record in caplog.records] == [
        (10, "shop.slow_receiver"),
        (20, "shop.slow_receiver"),
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    gate.open()
    assert small.wait_idle(PATIENCE)


def test_it_is_full_from_its_limit_on_until_a_tenth_of_it_has_run(
    small: Dispatcher, gate: Gate
) -> None:
    told: list[bool] = []
    last = Gate()
    small.when_not_full(lambda: told.append(small.is_full))
    small.submit(gate)
    assert gate.entered.wait(PATIENCE)
    for _ in range(9):
        small.submit(last)
    assert not small.is_full

    small.submit(last)
    assert small.is_full
    small.submit(last)
    assert small.is_full
    assert told == []

    gate.open()
    assert last.entered.wait(PATIENCE)
    # One has run, and one is running: ten wait.
    assert small.is_full
    last.open()
    assert small.wait_idle(PATIENCE)
    assert told == [False]
    assert not small.is_full


def test_what_is_submitted_to_a_full_one_is_taken_and_runs(small: Dispatcher, gate: Gate) -> None:
    ran: list[int] = []
    small.submit(gate)

    for number in range(50):
        small.submit(ran.append, number)

    gate.open()
    assert small.wait_idle(PATIENCE)
    assert ran == list(range(50))


def test_a_listener_that_raises_keeps_neither_the_others_nor_the_calls_from_it(
    small: Dispatcher, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []
    small.when_not_full(raising(SystemExit(3)))
    small.when_not_full(lambda: heard.append("the other"))
    small.submit(gate)

    for _ in range(12):
        small.submit(len, "")
    gate.open()

    assert small.wait_idle(PATIENCE)
    assert heard == ["the other"]
    assert not small.is_full
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.ERROR]


def test_after_a_reset_nothing_waits_for_the_parents_receivers(
    small: Dispatcher, gate: Gate
) -> None:
    small.submit(gate)
    assert gate.entered.wait(PATIENCE)
    for _ in range(20):
        small.submit(len, "")
    assert small.is_full

    small.reset_after_fork()

    assert not small.is_full


# The second thread


def test_what_is_posted_waits_for_nothing_that_was_submitted(worker: Worker, gate: Gate) -> None:
    posted = Gate()
    worker.dispatcher.submit(gate)
    assert gate.entered.wait(PATIENCE)

    worker.dispatcher.post(posted)

    assert posted.entered.wait(PATIENCE)
    assert posted.thread is not None
    assert posted.thread.name == "worker-under-test-inboxes"
    assert not posted.thread.daemon
    gate.open()
    assert not worker.dispatcher.wait_idle(0.01)
    assert not worker.dispatcher.is_idle
    posted.open()


def test_the_second_thread_ends_with_the_first_and_exists_only_if_something_was_posted(
    worker: Worker,
) -> None:
    def second() -> list[threading.Thread]:
        return [t for t in threading.enumerate() if t.name == "worker-under-test-inboxes"]

    worker.dispatcher.hold()
    worker.thread()
    assert second() == []

    for number in range(100):
        worker.dispatcher.post(worker.ran.append, number)
    assert worker.heard() == list(range(100))
    [thread] = second()

    worker.dispatcher.release()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_what_is_posted_fills_it_too_and_says_so_when_there_is_room(
    small: Dispatcher, gate: Gate
) -> None:
    told = threading.Event()
    small.when_not_full(told.set)
    small.post(gate)
    assert gate.entered.wait(PATIENCE)

    for _ in range(10):
        small.post(len, "")

    assert small.is_full
    assert not told.is_set()
    gate.open()
    assert told.wait(PATIENCE)
    assert small.wait_idle(PATIENCE)
    assert not small.is_full


def test_where_the_second_thread_cannot_start_the_first_does_its_work(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    worker.dispatcher.hold()
    no_new_threads(monkeypatch)

    worker.dispatcher.post(lambda: names.append(threading.current_thread().name))

    assert worker.dispatcher.wait_idle(PATIENCE)
    assert names == ["worker-under-test"]
    worker.dispatcher.release()


def test_it_knows_the_threads_that_calls_run_on(worker: Worker) -> None:
    found: list[bool] = []
    for give in (worker.dispatcher.submit, worker.dispatcher.post):
        give(lambda: found.append(worker.dispatcher.is_current()))

    assert worker.dispatcher.wait_idle(PATIENCE)
    assert found == [True, True]
    assert not worker.dispatcher.is_current()


# What breaks in here


@pytest.mark.parametrize("name", ["_wake", "_start"])
def test_a_call_that_was_taken_runs_although_waking_the_thread_has_failed_once(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    usual, failures = getattr(worker.dispatcher, name), [MemoryError()]

    def fails_once() -> object:
        if failures:
            raise failures.pop()
        return usual()

    monkeypatch.setattr(worker.dispatcher, name, fails_once)

    worker.dispatcher.submit(worker.ran.append, "heard")

    assert worker.dispatcher.wait_idle(PATIENCE)
    assert (worker.ran, failures) == (["heard"], [])


def test_a_thread_in_which_something_of_ours_breaks_goes_on_and_says_so(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    usual, failures = worker.dispatcher._sleep_or_end, [MemoryError()]

    def fails_once(*, stay: bool) -> None:
        if failures:
            raise failures.pop()
        usual(stay=stay)

    monkeypatch.setattr(worker.dispatcher, "_sleep_or_end", fails_once)
    worker.dispatcher.hold()
    thread = worker.thread()
    worker.dispatcher.submit(worker.ran.append, "heard")
    assert worker.dispatcher.wait_idle(PATIENCE)

    assert worker.thread() is thread
    assert worker.ran == ["heard"]
    assert wait_until(lambda: "the dispatcher failed, and goes on" in caplog.text, PATIENCE)
    worker.dispatcher.release()


def test_a_reset_forgets_the_queue_the_thread_and_the_holds(worker: Worker, gate: Gate) -> None:
    worker.dispatcher.hold()
    worker.dispatcher.submit(gate)
    worker.dispatcher.submit(worker.ran.append, "the parent's")
    assert gate.entered.wait(PATIENCE)

    worker.dispatcher.reset_after_fork()

    assert worker.dispatcher.is_idle
    thread = worker.thread()
    assert thread is not gate.thread
    thread.join(PATIENCE)  # no hold is left, so it ends by itself
    assert not thread.is_alive()
    worker.dispatcher.hold()
    gate.open()
    assert gate.thread is not None
    gate.thread.join(PATIENCE)
    assert not gate.thread.is_alive()
    assert worker.ran == []
    worker.dispatcher.release()


def test_a_reset_while_another_thread_had_the_lock_leaves_no_deadlock(worker: Worker) -> None:
    taken, done = threading.Event(), threading.Event()
    lock = worker.dispatcher._lock

    def holder() -> None:
        with lock:
            taken.set()
            assert done.wait(PATIENCE)

    thread = threading.Thread(target=holder)
    thread.start()
    assert taken.wait(PATIENCE)

    worker.dispatcher.reset_after_fork()

    assert worker.thread() is not None
    done.set()
    thread.join(PATIENCE)


def run_script(script: str) -> list[str]:
    """Run `script` in an interpreter of its own, and return what it printed."""
    return printed("-c", script).splitlines()


def test_a_program_that_ends_right_after_a_submit_still_has_the_call_run() -> None:
    assert run_script(
        "from pykka_smtp.signals.dispatcher import dispatcher\ndispatcher.submit(print, 'heard')\n"
    ) == ["heard"]


def test_a_call_that_is_submitted_by_an_atexit_function_runs() -> None:
    assert run_script(
        "import atexit\n"
        "from pykka_smtp.signals.dispatcher import dispatcher\n"
        "atexit.register(dispatcher.submit, print, 'heard')\n"
    ) == ["heard"]


def test_a_call_that_is_submitted_while_the_interpreter_joins_its_threads_runs() -> None:
    assert run_script(
        "import threading\n"
        "from pykka_smtp.signals.dispatcher import dispatcher\n"
        "def late():\n"
        "    threading.main_thread().join()\n"
        "    dispatcher.submit(print, 'heard')\n"
        "threading.Thread(target=late).start()\n"
    ) == ["heard"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_a_forked_child_has_a_thread_of_its_own_and_nothing_of_the_parents_queue() -> None:
    assert run_script(
        "import os, threading, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "from pykka_smtp.signals.dispatcher import dispatcher\n"
        "gate = threading.Event()\n"
        "dispatcher.hold()\n"
        "dispatcher.submit(gate.wait)\n"
        "dispatcher.submit(lambda: print('queued in the parent', flush=True))\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    dispatcher.submit(lambda: print('heard in the child', flush=True))\n"
        "    os._exit(0 if dispatcher.wait_idle(10) else 1)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
        "gate.set()\n"
        "dispatcher.release()\n"
    ) == ["heard in the child", "queued in the parent"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_a_receiver_can_fork_and_the_child_runs_only_what_it_submits_itself() -> None:
    assert run_script(
        "import os, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "from pykka_smtp.signals.dispatcher import dispatcher\n"
        "def say(text):\n"
        "    os.write(1, (text + chr(10)).encode())\n"
        "def fork():\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        dispatcher.submit(say, 'child')\n"
        "        return\n"
        "    os.waitpid(child, 0)\n"
        "dispatcher.submit(fork)\n"
        "dispatcher.submit(say, 'parent')\n"
    ) == ["child", "parent"]

"""Pykka's semantics, on Pykka's own actor type and on ours; and each difference by name.

A message here is a function: the actor that receives it calls it with itself.
"""

import asyncio
import gc
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pykka
import pytest
from pykka import ActorDeadError, ActorRef, ActorRegistry, ThreadingActor
from pykka._envelope import Envelope
from servers.waiting import PATIENCE, Gate, wait_until

from pykka_smtp.actors import AsyncioActor
from pykka_smtp.actors.loop.event_loop import event_loop

Message = Callable[[Any], Any]


class Journal:
    """What happened in an actor, in order."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._notes: list[Any] = []

    def note(self, what: Any) -> None:
        with self._changed:
            self._notes.append(what)
            self._changed.notify_all()

    @property
    def notes(self) -> list[Any]:
        with self._changed:
            return list(self._notes)

    def wait_for(self, what: Any) -> list[Any]:
        with self._changed:
            assert self._changed.wait_for(lambda: what in self._notes, PATIENCE), self._notes
            return list(self._notes)


class Inner:
    """An attribute that a proxy can look into."""

    def __init__(self) -> None:
        self.depth = 2

    def deepen(self) -> int:
        self.depth += 1
        return self.depth


class Behaviour:
    """An actor's behaviour, to be mixed with an actor type."""

    def __init__(self, journal: Journal, raises: dict[str, BaseException] | None = None) -> None:
        super().__init__()
        self.journal = journal
        self.raises = raises or {}
        self.born_in = threading.current_thread()
        self.colour = "red"
        self.inner = Inner()
        pykka.traversable(self.inner)

    def _hook(self, name: str) -> None:
        self.journal.note(name)
        if name in self.raises:
            raise self.raises[name]

    def on_start(self) -> None:
        self._hook("on_start")

    def on_stop(self) -> None:
        self._hook("on_stop")

    def on_failure(self, kind: Any, value: Any, traceback: Any) -> None:
        self.journal.note((kind, value, traceback is not None))
        self._hook("on_failure")

    def on_discard(self, message: Any) -> None:
        self.journal.note(("discarded", message))
        self._hook("on_discard")

    def on_receive(self, message: Any) -> Any:
        if callable(message):
            return message(self)
        self.journal.note(message)
        return message

    def double(self, number: int, *, plus: int = 0) -> int:
        return number * 2 + plus

    def fail(self, error: BaseException) -> NoReturn:
        raise error


class OfThread(Behaviour, ThreadingActor):
    pass


class OfLoop(Behaviour, AsyncioActor):
    pass


Start = Callable[..., ActorRef[Any]]


@pytest.fixture(params=["threading", "uvloop", "asyncio"])
def actor_class(request: pytest.FixtureRequest, loops: Any) -> Iterator[type[Any]]:
    """Give the same actor in each type, and ours on both loops."""
    if request.param == "threading":
        yield OfThread
    else:
        with loops(request.param):
            yield OfLoop


@pytest.fixture
def journal() -> Journal:
    return Journal()


def stop_all() -> None:
    ActorRegistry.stop_all(timeout=PATIENCE)


@pytest.fixture
def start(actor_class: type[Any], journal: Journal) -> Iterator[Start]:
    """Start actors of the type under test; they are stopped after the test."""
    yield lambda *args, **kwargs: actor_class.start(journal, *args, **kwargs)
    stop_all()


@pytest.fixture
def start_ours(loop_kind: str, journal: Journal) -> Iterator[Start]:
    """Start actors of our type only."""
    yield lambda *args, **kwargs: OfLoop.start(journal, *args, **kwargs)
    stop_all()


@pytest.fixture
def gate(start: Start) -> Iterator[Gate]:
    """Open the gate before the actors are stopped, or they never would."""
    made = Gate()
    yield made
    made.open()


def raising(error: BaseException) -> Message:
    def message(actor: Any) -> NoReturn:
        raise error

    return message


def thread_of(actor: Any) -> threading.Thread:
    return threading.current_thread()


# What is the same: messages


def test_ask_gives_what_on_receive_returns(start: Start) -> None:
    assert start().ask(lambda _: 6 * 7, timeout=PATIENCE) == 42


def test_ask_without_blocking_gives_a_future_that_keeps_its_value(start: Start) -> None:
    future = start().ask(lambda _: "answer", block=False)

    assert future.get(timeout=PATIENCE) == "answer"
    assert future.get(timeout=0) == "answer"


def test_tell_returns_at_once_and_its_messages_are_handled_in_order(
    start: Start, journal: Journal, gate: Gate
) -> None:
    ref = start()
    ref.tell(gate)
    assert gate.entered.wait(PATIENCE)

    for number in range(300):
        ref.tell(number)

    assert journal.notes == ["on_start"]
    gate.open()
    ref.ask(lambda _: None, timeout=PATIENCE)
    assert journal.notes == ["on_start", *range(300)]


def test_ask_raises_timeout_when_the_answer_takes_too_long(start: Start, gate: Gate) -> None:
    ref = start()
    ref.tell(gate)

    with pytest.raises(pykka.Timeout):
        ref.ask(lambda _: None, timeout=0.01)


def test_the_answer_to_an_ask_that_timed_out_can_still_be_got(start: Start, gate: Gate) -> None:
    future = (ref := start()).ask(gate, block=False)
    with pytest.raises(pykka.Timeout):
        future.get(timeout=0.01)

    gate.open()

    assert future.get(timeout=PATIENCE) is None
    assert ref.is_alive()


def test_an_exception_under_ask_goes_to_the_asker_and_the_actor_lives_on(
    start: Start, journal: Journal
) -> None:
    ref = start()
    error = LookupError("nothing there")

    with pytest.raises(LookupError) as raised:
        ref.ask(raising(error), timeout=PATIENCE)

    assert raised.value is error
    assert raised.traceback[-1].name == "message"
    assert ref.ask(lambda _: "alive", timeout=PATIENCE) == "alive"
    assert journal.notes == ["on_start"]


def test_an_exception_under_tell_calls_on_failure_and_ends_the_actor_without_on_stop(
    start: Start, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    ref = start()
    error = ValueError("a bug")

    ref.tell(raising(error))

    assert ref.actor_stopped.wait(PATIENCE)
    journal.wait_for("on_failure")
    assert journal.notes == ["on_start", (ValueError, error, True), "on_failure"]
    assert ref not in ActorRegistry.get_all()
    assert [record.name for record in caplog.records if record.levelno == logging.ERROR] == [
        "pykka"
    ]


def test_a_message_that_nobody_expects_is_logged_and_answered_with_none(
    actor_class: type[Any], caplog: pytest.LogCaptureFixture
) -> None:
    plain: Any = type("Plain", (actor_class.__bases__[1],), {})
    ref = plain.start()

    assert ref.ask("what is this", timeout=PATIENCE) is None

    assert "Unexpected message received" in caplog.text
    ref.stop(timeout=PATIENCE)


def test_an_actor_can_tell_itself(start: Start, journal: Journal) -> None:
    ref = start()

    ref.tell(lambda actor: actor.actor_ref.tell("to myself"))

    assert journal.wait_for("to myself") == ["on_start", "to myself"]


def test_many_threads_that_tell_one_actor_lose_nothing_and_keep_their_order(
    start: Start, journal: Journal
) -> None:
    ref = start()

    def tell_all(name: str) -> None:
        for number in range(1000):
            ref.tell((name, number))

    threads = [threading.Thread(target=tell_all, args=(name,)) for name in "abcdef"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    ref.ask(lambda _: None, timeout=PATIENCE)

    for name in "abcdef":
        assert [note[1] for note in journal.notes if note[0] == name] == list(range(1000))
    assert len(journal.notes) == 6001


# What is the same: the life of an actor


def test_init_runs_in_the_callers_thread_and_all_else_in_another(start: Start) -> None:
    ref = start()

    assert ref.proxy().born_in.get(timeout=PATIENCE) is threading.current_thread()
    assert ref.ask(thread_of, timeout=PATIENCE) is not threading.current_thread()


def test_on_start_runs_before_the_first_message(start: Start, journal: Journal) -> None:
    start().ask("first", timeout=PATIENCE)

    assert journal.notes == ["on_start", "first"]


def test_stop_handles_what_was_told_before_and_then_calls_on_stop(
    start: Start, journal: Journal, gate: Gate
) -> None:
    ref = start()
    ref.tell(gate)
    ref.tell("told before")
    stopped = ref.stop(block=False)
    assert ref.is_alive()

    gate.open()

    assert stopped.get(timeout=PATIENCE) is True
    assert not ref.is_alive()
    assert ref not in ActorRegistry.get_all()
    assert journal.notes == ["on_start", "told before", "on_stop"]


def test_a_second_stop_says_that_the_actor_was_dead(start: Start, journal: Journal) -> None:
    ref = start()

    assert ref.stop(timeout=PATIENCE) is True
    assert ref.stop(timeout=PATIENCE) is False
    assert journal.notes == ["on_start", "on_stop"]


def test_two_stops_in_a_queue_are_both_answered_and_on_stop_runs_once(
    start: Start, journal: Journal, gate: Gate
) -> None:
    ref = start()
    ref.tell(gate)
    first, second = ref.stop(block=False), ref.stop(block=False)

    gate.open()

    assert pykka.get_all([first, second], timeout=PATIENCE) == [True, True]
    assert journal.notes == ["on_start", "on_stop"]


def test_stop_without_blocking_can_time_out(start: Start, gate: Gate) -> None:
    ref = start()
    ref.tell(gate)

    with pytest.raises(pykka.Timeout):
        ref.stop(timeout=0.01)


def test_an_actor_can_stop_itself(start: Start, journal: Journal) -> None:
    ref = start()

    ref.tell(lambda actor: actor.stop())

    assert ref.actor_stopped.wait(PATIENCE)
    assert journal.wait_for("on_stop") == ["on_start", "on_stop"]


def test_a_dead_actor_refuses_messages(start: Start) -> None:
    ref = start()
    ref.stop(timeout=PATIENCE)

    with pytest.raises(ActorDeadError):
        ref.tell("too late")
    with pytest.raises(ActorDeadError):
        ref.ask("too late", timeout=PATIENCE)
    future = ref.ask("too late", block=False)
    with pytest.raises(ActorDeadError):
        future.get(timeout=PATIENCE)


def test_an_ask_behind_a_stop_raises_in_the_asker(start: Start, gate: Gate) -> None:
    ref = start()
    ref.tell(gate)
    ref.stop(block=False)

    future = ref.ask("behind the stop", block=False)
    gate.open()

    with pytest.raises(ActorDeadError):
        future.get(timeout=PATIENCE)


def test_an_ask_behind_a_failure_raises_in_the_asker(start: Start, gate: Gate) -> None:
    ref = start()
    ref.tell(gate)
    ref.tell(raising(ValueError("a bug")))
    behind, stop = ref.ask("behind", block=False), ref.stop(block=False)

    gate.open()

    with pytest.raises(ActorDeadError):
        behind.get(timeout=PATIENCE)
    assert stop.get(timeout=PATIENCE) is True


def test_an_exception_in_on_start_ends_the_actor(start: Start, journal: Journal) -> None:
    ref = start({"on_start": ValueError("cannot start")})

    assert ref.actor_stopped.wait(PATIENCE)
    with pytest.raises(ActorDeadError):
        ref.ask("too late", timeout=PATIENCE)
    assert ref not in ActorRegistry.get_all()


@pytest.mark.parametrize("hook", ["on_stop", "on_failure"])
def test_an_exception_in_the_last_hook_is_logged(
    start: Start, hook: str, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    error = ValueError(f"in {hook}")
    ref = start({hook: error})

    ref.tell(raising(LookupError()) if hook == "on_failure" else lambda actor: actor.stop())
    journal.wait_for(hook)

    assert ref.actor_stopped.wait(PATIENCE)
    assert pykka.ActorRegistry.get_by_urn(ref.actor_urn) is None
    # Its thread may still be at the log line.
    with pytest.raises(ActorDeadError):
        ref.ask("anything", timeout=PATIENCE)


def test_an_actor_that_has_stopped_can_be_collected_though_its_ref_is_kept(start: Start) -> None:
    ref = start()
    actor = ref._actor_weakref
    ref.stop(timeout=PATIENCE)

    # Its thread may still be on its way out of it.
    assert wait_until(lambda: gc.collect() >= 0 and actor() is None, PATIENCE)


# What is the same: proxies


def test_a_proxy_reads_sets_and_calls(start: Start) -> None:
    proxy = start().proxy()

    assert proxy.colour.get(timeout=PATIENCE) == "red"
    proxy.colour = "blue"
    assert proxy.colour.get(timeout=PATIENCE) == "blue"
    assert proxy.double(4, plus=1).get(timeout=PATIENCE) == 9
    assert proxy.double.defer(4) is None


def test_a_proxy_looks_into_traversable_attributes(start: Start) -> None:
    proxy = start().proxy()

    assert proxy.inner.deepen().get(timeout=PATIENCE) == 3
    proxy.inner.depth = 7
    assert proxy.inner.depth.get(timeout=PATIENCE) == 7


def test_a_method_that_raises_through_a_proxy_raises_in_the_caller_and_the_actor_lives(
    start: Start,
) -> None:
    proxy = start().proxy()

    with pytest.raises(KeyError):
        proxy.fail(KeyError("x")).get(timeout=PATIENCE)
    with pytest.raises(AttributeError):
        proxy.no_such_thing  # noqa: B018 - the look-up is what raises
    assert proxy.actor_ref.is_alive()


def test_a_deferred_method_that_raises_ends_the_actor(start: Start, journal: Journal) -> None:
    ref = start()

    ref.proxy().fail.defer(KeyError("x"))

    assert ref.actor_stopped.wait(PATIENCE)
    journal.wait_for("on_failure")


def test_a_proxy_can_stop_its_actor_and_then_none_can_be_had(start: Start) -> None:
    ref = start()
    ref.proxy().stop().get(timeout=PATIENCE)

    assert ref.actor_stopped.wait(PATIENCE)
    with pytest.raises(ActorDeadError):
        ref.proxy()


# What is the same: the registry


def test_the_registry_finds_actors_by_class_name_and_urn(
    start: Start, actor_class: type[Any]
) -> None:
    one, two = start(), start()

    assert ActorRegistry.get_by_class(actor_class) == [one, two]
    assert ActorRegistry.get_by_class(Behaviour) == [one, two]  # type: ignore[type-var]
    assert ActorRegistry.get_by_class_name(actor_class.__name__) == [one, two]
    assert ActorRegistry.get_by_urn(two.actor_urn) is two
    assert ActorRegistry.get_all() == [one, two]


def test_a_broadcast_reaches_all_or_those_of_a_class(
    start: Start, actor_class: type[Any], journal: Journal
) -> None:
    one, two = start(), start()

    ActorRegistry.broadcast("to all")
    ActorRegistry.broadcast("by class", actor_class)
    ActorRegistry.broadcast("by name", actor_class.__name__)
    ActorRegistry.broadcast("to nobody", "NoSuchActor")

    for ref in (one, two):
        ref.ask(lambda _: None, timeout=PATIENCE)
    notes = [note for note in journal.notes if note != "on_start"]
    assert sorted(notes) == ["by class"] * 2 + ["by name"] * 2 + ["to all"] * 2


def test_stop_all_stops_the_youngest_first(start: Start, journal: Journal) -> None:
    def rename(name: str) -> Message:
        def message(actor: Any) -> None:
            actor.on_stop = lambda: actor.journal.note(name)

        return message

    for name in "abc":
        start().ask(rename(name), timeout=PATIENCE)

    assert ActorRegistry.stop_all(timeout=PATIENCE) == [True, True, True]
    assert journal.notes == ["on_start"] * 3 + ["c", "b", "a"]
    assert ActorRegistry.get_all() == []


def test_stop_all_without_blocking_gives_futures(start: Start) -> None:
    start(), start()

    stops = ActorRegistry.stop_all(block=False)

    assert pykka.get_all(stops, timeout=PATIENCE) == [True, True]


# What is the same: futures


def test_futures_can_be_mapped_filtered_joined_and_reduced(start: Start) -> None:
    ref = start()

    def ask(value: Any) -> Any:
        return ref.ask(lambda _: value, block=False)

    assert ask(20).map(lambda n: n + 1).get(timeout=PATIENCE) == 21
    assert ask([1, 2, 3]).filter(lambda n: n > 1).get(timeout=PATIENCE) == [2, 3]
    assert ask(1).join(ask(2)).get(timeout=PATIENCE) == [1, 2]
    assert ask([1, 2, 3]).reduce(lambda a, b: a + b).get(timeout=PATIENCE) == 6


def test_a_future_can_be_awaited_on_another_event_loop(start: Start) -> None:
    ref = start()

    async def ask() -> Any:
        return await ref.ask(lambda _: "awaited", block=False)

    assert asyncio.run(ask()) == "awaited"


@pytest.mark.parametrize("other", [OfThread, OfLoop])
def test_an_actor_with_a_thread_can_ask_any_actor(
    start: Start, journal: Journal, other: type[Any]
) -> None:
    asked = other.start(Journal())
    asker = OfThread.start(Journal())

    answer = asker.ask(lambda _: asked.ask(lambda _: "asked", timeout=PATIENCE), timeout=PATIENCE)

    assert answer == "asked"


# The differences that asyncio_actor.py names


def test_all_asyncio_actors_share_one_non_daemon_thread(start_ours: Start) -> None:
    one, two = start_ours(), start_ours()

    threads: list[Any] = [ref.ask(thread_of, timeout=PATIENCE) for ref in (one, two)]

    assert threads[0] is threads[1]
    assert threads[0].name == "pykka-smtp-loop"
    assert not threads[0].daemon


def test_an_exception_in_on_start_calls_on_failure_too(start_ours: Start, journal: Journal) -> None:
    error = ValueError("cannot start")

    ref = start_ours({"on_start": error})

    assert ref.actor_stopped.wait(PATIENCE)
    assert journal.wait_for("on_failure") == ["on_start", (ValueError, error, True), "on_failure"]


ENDS_ALL_IN_PYKKA = [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), BaseException("bare")]


@pytest.mark.parametrize("error", ENDS_ALL_IN_PYKKA, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["tell", "ask", "on_start", "on_stop", "on_failure"])
def test_a_base_exception_stops_this_actor_and_not_every_actor_of_the_process(
    start_ours: Start, journal: Journal, where: str, error: BaseException
) -> None:
    ours, of_pykka = start_ours(), OfThread.start(Journal())

    ref = start_ours({where: error})
    match where:
        case "tell":
            ref.tell(raising(error))
        case "ask":
            with pytest.raises(type(error)):
                ref.ask(raising(error), timeout=PATIENCE)
        case "on_stop":
            ref.stop(timeout=PATIENCE)
        case "on_failure":
            ref.tell(raising(ValueError("a bug")))

    assert ref.actor_stopped.wait(PATIENCE)
    journal.wait_for("on_stop" if where == "on_stop" else "on_failure")
    assert ours.ask(lambda _: "alive", timeout=PATIENCE) == "alive"
    assert of_pykka.ask(lambda _: "alive", timeout=PATIENCE) == "alive"
    assert ActorRegistry.get_all() == [ours, of_pykka]


def test_a_message_told_behind_a_stop_raises_instead_of_vanishing(
    start_ours: Start, journal: Journal
) -> None:
    gate, ref = Gate(), start_ours()
    ref.tell(gate)
    assert gate.entered.wait(PATIENCE)
    stop = ref.stop(block=False)
    assert ref.is_alive()

    with pytest.raises(ActorDeadError, match="asked to stop"):
        ref.tell("behind the stop")

    gate.open()
    assert stop.get(timeout=PATIENCE) is True
    assert journal.notes == ["on_start", "on_stop"]


def test_a_told_message_that_the_actor_did_not_live_to_handle_goes_to_on_discard(
    start_ours: Start, journal: Journal
) -> None:
    gate, ref = Gate(), start_ours()
    ref.tell(gate)
    ref.tell(raising(ValueError("a bug")))
    ref.tell("left over")

    gate.open()

    journal.wait_for(("discarded", "left over"))


def test_a_message_that_meets_the_stop_in_the_inbox_goes_to_on_discard_even_after_the_end(
    start_ours: Start, journal: Journal
) -> None:
    ref = start_ours()
    actor: Any = ref._actor_weakref()
    ref.stop(timeout=PATIENCE)
    # As in a thread that found the inbox open, and went on only now.
    actor.actor_inbox.closed = False

    ref.actor_inbox.put(Envelope("late"))

    journal.wait_for(("discarded", "late"))


def test_a_message_to_a_lost_actor_raises(start_ours: Start) -> None:
    ref = start_ours()
    inbox: Any = ref.actor_inbox
    ref.stop(timeout=PATIENCE)
    assert wait_until(lambda: gc.collect() >= 0 and inbox.actor() is None, PATIENCE)
    inbox.closed = False
    future: pykka.ThreadingFuture[Any] = pykka.ThreadingFuture()

    with pytest.raises(ActorDeadError):
        inbox.put(Envelope("late"))
    inbox.put(Envelope("late", reply_to=future))

    with pytest.raises(ActorDeadError):
        future.get(timeout=PATIENCE)


def test_a_non_blocking_stop_may_come_too_late(start_ours: Start) -> None:
    gate, ref = Gate(), start_ours()
    ref.tell(gate)
    ref.tell(lambda actor: (actor.stop(), actor.stop()))

    gate.open()

    assert ref.stop(timeout=PATIENCE) is True


def test_by_default_a_discarded_message_is_logged(
    loop_kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Plain(AsyncioActor):
        def on_receive(self, message: Any) -> Any:
            return message(self)

    gate, ref = Gate(), Plain.start()
    ref.tell(gate)
    ref.tell(raising(ValueError("a bug")))
    ref.tell("left over")
    stop = ref.stop(block=False)

    gate.open()

    assert stop.get(timeout=PATIENCE) is True
    [record] = [r for r in caplog.records if r.name == "pykka_smtp.actors"]
    assert record.levelno == logging.WARNING
    assert "'left over'" in record.getMessage()


def test_on_discard_may_raise_and_the_other_messages_are_discarded_all_the_same(
    start_ours: Start, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    gate, ref = Gate(), start_ours({"on_discard": SystemExit(3)})
    ref.tell(gate)
    ref.tell(raising(ValueError("a bug")))
    ref.tell("one")
    ref.tell("two")
    asked = ref.ask("three", block=False)

    gate.open()

    with pytest.raises(ActorDeadError):
        asked.get(timeout=PATIENCE)
    assert [note[1] for note in journal.notes if note[0] == "discarded"] == ["one", "two"]
    assert caplog.text.count("on_discard in OfLoop") == 2


def test_the_answer_to_an_ask_can_be_left_for_later_and_given_by_any_thread(
    start_ours: Start,
) -> None:
    ref = start_ours()
    answers: list[Any] = []
    asked = ref.ask(lambda actor: answers.append(actor.answer_later()), block=False)
    assert ref.ask(lambda _: "meanwhile", timeout=PATIENCE) == "meanwhile"
    with pytest.raises(pykka.Timeout):
        asked.get(timeout=0)

    answers[0].set("later")

    assert asked.get(timeout=PATIENCE) == "later"


def test_a_later_answer_can_be_an_exception(start_ours: Start) -> None:
    def message(actor: Any) -> None:
        error = LookupError("nothing there")
        actor.answer_later().set_exception((LookupError, error, None))

    with pytest.raises(LookupError, match="nothing there"):
        start_ours().ask(message, timeout=PATIENCE)


def test_of_several_later_answers_the_first_counts(start_ours: Start) -> None:
    def message(actor: Any) -> None:
        answer = actor.answer_later()
        answer.set("first")
        answer.set("second")
        answer.set_exception((ValueError, ValueError("third"), None))

    assert start_ours().ask(message, timeout=PATIENCE) == "first"


def test_what_on_receive_returns_does_not_count_once_the_answer_is_left_for_later(
    start_ours: Start,
) -> None:
    def message(actor: Any) -> str:
        actor.answer_later().set("later")
        return "returned"

    assert start_ours().ask(message, timeout=PATIENCE) == "later"


def test_a_later_answer_to_a_tell_goes_nowhere(start_ours: Start, journal: Journal) -> None:
    def message(actor: Any) -> None:
        actor.answer_later().set("to nobody")
        actor.journal.note("answered")

    ref = start_ours()
    ref.tell(message)

    assert journal.wait_for("answered") == ["on_start", "answered"]
    assert ref.ask(lambda _: "alive", timeout=PATIENCE) == "alive"


def test_an_answer_that_was_not_given_when_the_actor_stops_becomes_an_actor_dead_error(
    start_ours: Start,
) -> None:
    ref = start_ours()
    asked = ref.ask(lambda actor: actor.answer_later(), block=False)

    ref.stop(timeout=PATIENCE)

    with pytest.raises(ActorDeadError, match="before it answered"):
        asked.get(timeout=PATIENCE)


def test_an_exception_after_the_answer_was_left_for_later_is_a_failure_of_the_actor(
    start_ours: Start, journal: Journal
) -> None:
    def message(actor: Any) -> None:
        actor.answer_later()
        raise ValueError("a bug")

    asked = start_ours().ask(message, block=False)

    with pytest.raises(ActorDeadError):
        asked.get(timeout=PATIENCE)
    journal.wait_for("on_failure")


def test_answer_later_needs_a_message_and_is_for_one_answer_each(start_ours: Start) -> None:
    def message(actor: Any) -> None:
        actor.answer_later()
        actor.answer_later()

    class Early(OfLoop):
        def on_start(self) -> None:
            self.answer_later()

    ref = start_ours()
    with pytest.raises(ActorDeadError):
        ref.ask(message, timeout=PATIENCE)
    journal = Journal()
    Early.start(journal)
    [(kind, error, _), _] = journal.wait_for("on_failure")
    assert kind is RuntimeError
    assert "while a message is being handled" in str(error)


@pytest.mark.parametrize(
    "wait",
    [
        lambda ref: ref.ask(str),
        lambda ref: ref.ask(str, block=False).get(),
        lambda ref: ref.stop(),
        lambda ref: ref.proxy().colour.get(),
        lambda _: ActorRegistry.stop_all(),
    ],
    ids=["ask", "get", "stop", "proxy", "stop_all"],
)
def test_to_wait_on_the_loop_thread_raises_instead_of_waiting_for_ever(
    start_ours: Start, wait: Message
) -> None:
    ref, other = start_ours(), start_ours()

    with pytest.raises(RuntimeError, match="must not wait for a future"):
        ref.ask(lambda _: wait(other), timeout=PATIENCE)


def test_a_future_that_is_there_already_can_be_got_on_the_loop_thread(start_ours: Start) -> None:
    ref, other = start_ours(), start_ours()
    future = other.ask(lambda _: "there", block=False)
    future.get(timeout=PATIENCE)

    assert ref.ask(lambda _: future.get(), timeout=PATIENCE) == "there"


def test_an_actor_can_be_started_by_another(start_ours: Start) -> None:
    journal = Journal()

    ref: Any = start_ours().ask(lambda _: OfLoop.start(journal), timeout=PATIENCE)

    assert ref.ask(lambda _: "child", timeout=PATIENCE) == "child"


# What only our type has to care for


def test_an_actor_with_a_long_inbox_lets_the_others_have_their_turn(start_ours: Start) -> None:
    order: list[str] = []
    gate, busy, other = Gate(), start_ours(), start_ours()
    other.ask(str, timeout=PATIENCE)
    busy.tell(gate)
    assert gate.entered.wait(PATIENCE)
    for _ in range(1000):
        busy.tell(lambda _: order.append("busy"))
    other.tell(lambda _: order.append("other"))

    gate.open()
    busy.ask(lambda _: None, timeout=PATIENCE)

    assert order.count("busy") == 1000
    # The turn under way, and the next, which was due before the other's.
    assert order.index("other") < 200


def test_thousands_of_actors_live_at_once_on_the_one_thread(start_ours: Start) -> None:
    before = threading.active_count()

    refs = [start_ours() for _ in range(3000)]
    answers = [ref.ask(lambda actor: actor.actor_urn, block=False) for ref in refs]

    assert pykka.get_all(answers, timeout=PATIENCE) == [ref.actor_urn for ref in refs]
    # The loop, the dispatcher, and one worker of each kind.
    assert threading.active_count() <= before + 6
    stops: Any = [ref.stop(block=False) for ref in refs]
    assert all(pykka.get_all(stops, timeout=PATIENCE))
    assert ActorRegistry.get_all() == []


@pytest.mark.parametrize(
    "thread", ["pykka-smtp-loop", "pykka-smtp-names", "pykka-smtp-files", "pykka-smtp-new-files"]
)
def test_an_actor_that_cannot_be_started_does_not_stay_registered_and_the_next_can_be(
    start_ours: Start, no_thread: Any, monkeypatch: pytest.MonkeyPatch, thread: str
) -> None:
    no_thread(thread)

    with pytest.raises(RuntimeError, match="can't start new thread"):
        start_ours()

    assert ActorRegistry.get_all() == []
    assert ActorRegistry.stop_all(timeout=PATIENCE) == []
    monkeypatch.undo()
    assert start_ours().ask(lambda _: "alive", timeout=PATIENCE) == "alive"


def test_an_actor_whose_repr_raises_does_no_harm_when_it_fails(
    start_ours: Start, journal: Journal
) -> None:
    class Nameless(OfLoop):
        def __str__(self) -> str:
            if self.journal.notes:
                raise SystemExit("no name any more")
            return "still has a name"

    other = OfLoop.start(Journal())
    ref = Nameless.start(journal)
    gate = Gate()
    ref.tell(gate)
    ref.tell(raising(ValueError("a bug")))
    ref.tell("left over")
    asked = ref.ask("behind", block=False)
    neighbour = other.ask(lambda _: "alive", block=False)

    gate.open()

    with pytest.raises(ActorDeadError):
        asked.get(timeout=PATIENCE)
    assert ref.actor_stopped.wait(PATIENCE)
    journal.wait_for("on_failure")
    assert neighbour.get(timeout=PATIENCE) == "alive"
    assert ActorRegistry.get_all() == [other]


def test_a_logging_filter_that_raises_does_no_harm_when_an_actor_fails(
    start_ours: Start, journal: Journal
) -> None:
    def broken(record: logging.LogRecord) -> bool:
        raise SystemExit("a filter is a stranger's code too")

    logger = logging.getLogger("pykka")
    other, ref = start_ours(), start_ours()
    logger.addFilter(broken)
    try:
        ref.tell(raising(ValueError("a bug")))
        assert ref.actor_stopped.wait(PATIENCE)
        journal.wait_for("on_failure")
    finally:
        logger.removeFilter(broken)

    assert other.ask(lambda _: "alive", timeout=PATIENCE) == "alive"
    assert ActorRegistry.get_all() == [other]


def test_a_finalizer_that_tells_where_the_loops_lock_is_held_does_not_hang(
    start_ours: Start, journal: Journal
) -> None:
    ref = start_ours()
    done = threading.Event()

    def finalize() -> None:
        with event_loop()._lock:
            ref.tell("from a finalizer")
        done.set()

    threading.Thread(target=finalize, daemon=True).start()

    assert done.wait(PATIENCE)
    journal.wait_for("from a finalizer")


def test_cancel_reaches_an_actor_whose_wake_up_was_lost_to_a_ctrl_c(
    start_ours: Start, journal: Journal
) -> None:
    ref = start_ours()
    ref.ask(str, timeout=PATIENCE)
    actor = ref._actor_weakref()
    assert actor is not None
    # As when the interrupt comes after the flag is set, and before the loop is told.
    actor.actor_inbox.scheduled = True

    actor.cancel()

    assert ref.actor_stopped.wait(PATIENCE)


def test_the_inbox_can_be_read_as_pykka_says(start_ours: Start) -> None:
    inbox = OfLoop(Journal()).actor_inbox
    envelope = Envelope("message")

    assert inbox.empty()
    inbox.envelopes.append(envelope)
    assert not inbox.empty()
    assert inbox.get() is envelope

import asyncio
import gc
import logging
import sys
import threading
from contextlib import nullcontext

import blinker
import pytest
from servers.published import (
    ActorDeadError,
    Inbox,
    Recorder,
    RestlessSignal,
    SilentlyDeadInbox,
    bus_left_clean,
    connected,
    failure,
    settle,
    success,
)
from servers.waiting import PATIENCE

from pykka_smtp.signals.bus import publish, smtp_send_failure, smtp_send_success
from pykka_smtp.signals.outcome import Outcome, SendFailure, SendSuccess

clean_bus = bus_left_clean


def logged_by_the_bus(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return the log records without those of outcomes, which have a logger of their own."""
    return [record for record in caplog.records if record.name != "pykka_smtp.outcomes"]


# The two signals


def test_the_signals_are_those_of_their_names_in_blinkers_default_namespace() -> None:
    assert blinker.signal("smtp_send_success") is smtp_send_success
    assert blinker.signal("smtp_send_failure") is smtp_send_failure


def test_a_success_is_sent_by_the_success_signal_with_the_alias_as_sender() -> None:
    sent, not_sent = connected(smtp_send_success), connected(smtp_send_failure)
    outcome = success("news")

    publish(outcome)
    settle()

    assert sent.heard == [("news", outcome)]
    assert not_sent.heard == []


def test_a_failure_is_sent_by_the_failure_signal_with_the_alias_as_sender() -> None:
    sent, not_sent = connected(smtp_send_success), connected(smtp_send_failure)
    outcome = failure("news")

    publish(outcome)
    settle()

    assert not_sent.heard == [("news", outcome)]
    assert sent.heard == []


def test_receivers_run_on_the_dispatchers_thread_and_not_on_the_publishers() -> None:
    recorder = connected(smtp_send_success)

    publish(success())
    settle()

    assert recorder.threads == ["pykka-smtp-dispatcher"]


def test_a_receiver_for_one_alias_does_not_get_the_others() -> None:
    recorder = connected(smtp_send_success, sender="news")
    mine = success("NEWS".lower())  # equal, not identical

    publish(success("smtp_client"))
    publish(mine)
    settle()

    assert recorder.outcomes == [mine]


def test_outcomes_are_delivered_in_the_order_of_publication() -> None:
    heard: list[str] = []
    for signal in (smtp_send_success, smtp_send_failure):
        signal.connect(lambda _, outcome: heard.append(outcome.mail.id), weak=False)

    for number in range(200):
        publish(failure(id=str(number)) if number % 3 else success(id=str(number)))
    settle()

    assert heard == [str(number) for number in range(200)]


def test_two_threads_can_publish_at_once_and_every_outcome_is_heard_once() -> None:
    recorder = connected(smtp_send_success)

    def publish_many(alias: str) -> None:
        for number in range(500):
            publish(success(alias, id=str(number)))

    threads = [threading.Thread(target=publish_many, args=(alias,)) for alias in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    settle()

    for alias in "ab":
        ids = [outcome.mail.id for sender, outcome in recorder.heard if sender == alias]
        assert ids == [str(number) for number in range(500)]


def test_no_thread_is_started_without_receivers() -> None:
    elsewhere = connected(smtp_send_failure)

    publish(success())

    assert [t.name for t in threading.enumerate() if t.name == "pykka-smtp-dispatcher"] == []
    assert elsewhere.heard == []


# What receivers do


@pytest.mark.parametrize(
    "exc",
    [ValueError("a bug"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()],
    ids=lambda exc: type(exc).__name__,
)
def test_a_receiver_that_raises_is_logged_by_name_and_stops_no_other(
    caplog: pytest.LogCaptureFixture, exc: BaseException
) -> None:
    def raising_receiver(sender: str, **extra: object) -> None:
        raise exc

    # blinker calls them in no known order, so there is one more on either side of it.
    before = connected(smtp_send_success)
    smtp_send_success.connect(raising_receiver)
    after = connected(smtp_send_success)
    outcome = success()

    publish(outcome)
    publish(outcome)
    settle()

    assert before.outcomes == after.outcomes == [outcome, outcome]
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    text = caplog.records[0].getMessage()
    assert "raising_receiver" in text
    assert "smtp_send_success" in text
    assert caplog.records[0].exc_info is not None
    assert caplog.records[0].exc_info[1] is exc


def test_a_receiver_that_has_the_wrong_parameters_is_logged_and_stops_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def no_outcome(sender: str) -> None:
        raise AssertionError("it cannot be called")

    smtp_send_success.connect(no_outcome)
    recorder = connected(smtp_send_success)

    publish(success())
    settle()

    assert len(recorder.heard) == 1
    assert "no_outcome" in caplog.text
    assert "TypeError" in caplog.text


def test_a_raising_receiver_is_named_even_if_it_can_say_nothing_of_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Mute:
        def __call__(self, sender: str, **extra: object) -> None:
            raise ValueError("a bug")

        def __repr__(self) -> str:
            raise ValueError("another")

    receiver = Mute()
    smtp_send_success.connect(receiver)

    publish(success())
    settle()

    assert "Mute object at" in caplog.text


def test_a_raising_receiver_of_a_signal_without_a_name_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    signal = blinker.Signal()

    class Shouting:
        def __call__(self, sender: str, **extra: object) -> None:
            raise ValueError("a bug")

        def __repr__(self) -> str:
            return "<SHOUTING>"

    receiver = Shouting()
    signal.connect(receiver)

    publish(success(success_signal=signal))
    settle()

    assert "<SHOUTING>" in caplog.text
    assert "Signal object at" in caplog.text


def test_a_slow_receiver_delays_later_receivers_and_never_the_publisher() -> None:
    entered, let_go = threading.Event(), threading.Event()

    def slow(sender: str, **extra: object) -> None:
        entered.set()
        assert let_go.wait(PATIENCE)

    smtp_send_success.connect(slow)
    later = connected(smtp_send_failure)
    publish(success())
    assert entered.wait(PATIENCE)

    for _ in range(100):
        publish(failure())

    assert later.heard == []
    let_go.set()
    settle()
    assert len(later.heard) == 100


def test_a_receiver_can_send_again_and_wait_for_what_becomes_of_it() -> None:
    # As ask() does it: the second outcome reaches the waiting receiver without the dispatcher.
    waited: list[bool] = []
    heard_by_others = connected(smtp_send_failure)

    def resend(sender: str, **extra: object) -> None:
        answered = threading.Event()

        def send_again() -> None:
            publish(failure("again"))
            answered.set()

        sending = threading.Thread(target=send_again)
        sending.start()
        waited.append(answered.wait(PATIENCE))
        sending.join(PATIENCE)

    smtp_send_success.connect(resend)

    publish(success())
    settle()
    settle()

    assert waited == [True]
    assert [sender for sender, _ in heard_by_others.heard] == ["again"]


def test_a_receiver_can_publish_itself() -> None:
    recorder = connected(smtp_send_failure)

    def receiver(sender: str, **extra: object) -> None:
        publish(failure("from a receiver"))

    smtp_send_success.connect(receiver)

    publish(success())
    settle()
    settle()

    assert [sender for sender, _ in recorder.heard] == ["from a receiver"]


def test_a_coroutine_receiver_is_run_to_its_end_on_the_dispatchers_thread() -> None:
    heard: list[tuple[str, Outcome, str]] = []

    async def receiver(sender: str, outcome: Outcome, **extra: object) -> None:
        await asyncio.sleep(0)
        heard.append((sender, outcome, threading.current_thread().name))

    smtp_send_success.connect(receiver)
    outcome = success()

    publish(outcome)
    settle()

    assert heard == [("smtp_client", outcome, "pykka-smtp-dispatcher")]


@pytest.mark.parametrize("exc", [ValueError("a bug"), SystemExit(3)], ids=["Exception", "Exit"])
def test_a_coroutine_receiver_that_raises_stops_no_other(
    caplog: pytest.LogCaptureFixture, exc: BaseException
) -> None:
    async def raising_coroutine(sender: str, **extra: object) -> None:
        await asyncio.sleep(0)
        raise exc

    smtp_send_success.connect(raising_coroutine)
    recorder = connected(smtp_send_success)

    publish(success())
    settle()

    assert len(recorder.heard) == 1
    assert "raising_coroutine" in caplog.text


def test_a_coroutine_that_cannot_be_run_is_closed_and_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With no thread to be had, an event loop's own thread may have to run the receivers; there
    # asyncio starts no second loop. Left open, the coroutine would be reported as never awaited.
    async def receiver(sender: str, **extra: object) -> None:
        raise AssertionError("it cannot run here")

    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    async def publish_from_a_loop() -> None:
        publish(success())

    smtp_send_success.connect(receiver)
    recorder = connected(smtp_send_success)
    monkeypatch.setattr(threading.Thread, "start", start)

    asyncio.run(publish_from_a_loop())
    gc.collect()

    assert len(recorder.heard) == 1
    assert "running event loop" in caplog.text


def test_a_weak_receiver_that_was_collected_is_not_called_and_not_missed() -> None:
    heard: list[Outcome] = []
    recorder = connected(smtp_send_success)

    def weak(sender: str, outcome: Outcome, **extra: object) -> None:
        heard.append(outcome)

    smtp_send_success.connect(weak)
    publish(success())
    settle()
    del weak
    gc.collect()

    publish(success())
    settle()

    assert len(heard) == 1
    assert len(recorder.heard) == 2


def test_a_receiver_that_was_collected_after_the_publish_does_not_hinder_the_others() -> None:
    entered, let_go = threading.Event(), threading.Event()

    def slow(sender: str, **extra: object) -> None:
        entered.set()
        assert let_go.wait(PATIENCE)

    class Short:
        def receive(self, sender: str, **extra: object) -> None:
            raise AssertionError("it was collected")

    smtp_send_failure.connect(slow)
    publish(failure())
    assert entered.wait(PATIENCE)
    short = Short()
    smtp_send_success.connect(short.receive)
    publish(success())

    del short
    gc.collect()
    let_go.set()
    settle()

    assert not smtp_send_success.receivers


@pytest.mark.parametrize("muted_when", ["published", "delivered"])
def test_a_signal_muted_at_publication_or_delivery_is_not_sent(
    muted_when: str,
) -> None:
    entered, let_go = threading.Event(), threading.Event()

    def slow(sender: str, **extra: object) -> None:
        entered.set()
        assert let_go.wait(PATIENCE)

    smtp_send_failure.connect(slow)
    recorder = connected(smtp_send_success)
    publish(failure())
    assert entered.wait(PATIENCE)
    with smtp_send_success.muted() if muted_when == "published" else nullcontext():
        publish(success())

    with smtp_send_success.muted() if muted_when == "delivered" else nullcontext():
        let_go.set()
        settle()

    assert recorder.heard == []


def test_each_receiver_gets_an_outcome_once_although_blinkers_tables_change() -> None:
    signal = RestlessSignal(looks=3)
    recorders = [connected(signal) for _ in range(5)]

    publish(success(success_signal=signal))
    settle()

    assert [len(recorder.heard) for recorder in recorders] == [1] * 5
    assert signal.looks == 0


def test_tables_that_never_come_to_rest_are_given_up_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    signal = RestlessSignal(looks=1_000_000)
    connected(signal)

    publish(success(success_signal=signal))
    settle()

    assert "NOT delivered" in caplog.text


def test_connecting_and_disconnecting_meanwhile_neither_loses_nor_doubles_an_outcome() -> None:
    recorder = connected(smtp_send_success)
    done = threading.Event()
    errors: list[BaseException] = []

    def hammer() -> None:
        number = 0
        try:
            while not done.is_set():
                number += 1
                receiver = Recorder()
                smtp_send_success.connect(receiver, sender=f"alias-{number % 50}")
                smtp_send_success.disconnect(receiver)
        except BaseException as exc:
            errors.append(exc)

    hammering = threading.Thread(target=hammer)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        hammering.start()
        for number in range(1000):
            publish(success(f"alias-{number % 50}", id=str(number)))
        settle()
    finally:
        done.set()
        hammering.join(PATIENCE)
        sys.setswitchinterval(interval)

    assert errors == []
    assert [outcome.mail.id for outcome in recorder.outcomes] == [str(n) for n in range(1000)]


# A send's own signals


def test_a_send_with_its_own_signals_does_not_use_the_default_ones() -> None:
    defaults = [connected(smtp_send_success), connected(smtp_send_failure)]
    mine = connected(blinker.signal("test-sent"))
    mine_failed = connected(blinker.signal("test-failed"))
    names = {"success_signal": "test-sent", "failure_signal": "test-failed"}

    publish(success(**names))
    publish(failure(**names))
    settle()

    assert [type(outcome) for outcome in mine.outcomes] == [SendSuccess]
    assert [type(outcome) for outcome in mine_failed.outcomes] == [SendFailure]
    assert [recorder.heard for recorder in defaults] == [[], []]


def test_a_send_that_names_one_signal_uses_the_default_for_the_other() -> None:
    default = connected(smtp_send_failure)

    publish(failure(success_signal="test-sent"))
    settle()

    assert len(default.heard) == 1


def test_a_send_can_give_its_signal_as_an_object() -> None:
    signal = blinker.Signal()
    recorder = connected(signal)

    publish(failure(failure_signal=signal))
    settle()

    assert len(recorder.heard) == 1


def test_publishing_on_an_unknown_name_makes_no_signal() -> None:
    publish(success(success_signal="test-never-heard-of"))
    settle()

    assert "test-never-heard-of" not in blinker.default_namespace


# outcome_to


def test_outcome_to_is_told_the_outcome_on_the_dispatchers_second_thread() -> None:
    inbox = Inbox()
    outcome = failure(outcome_to=inbox)

    publish(outcome)
    settle()

    assert inbox.messages == [outcome]
    assert inbox.threads == ["pykka-smtp-dispatcher-inboxes"]


def test_outcome_to_does_not_wait_for_a_receiver_that_does_not_return() -> None:
    let_go, told = threading.Event(), threading.Event()
    entered = threading.Event()

    class Signalling(Inbox):
        def tell(self, message: object) -> None:
            super().tell(message)
            told.set()

    def hangs(sender: str, **extra: object) -> None:
        entered.set()
        assert let_go.wait(PATIENCE)

    smtp_send_success.connect(hangs)
    publish(success())
    assert entered.wait(PATIENCE)

    publish(success(outcome_to=Signalling()))

    was_told = told.wait(PATIENCE)
    let_go.set()
    assert was_told


@pytest.mark.parametrize("exc", [ValueError("a bug"), SystemExit(3)], ids=["Exception", "Exit"])
def test_a_signal_of_the_programs_own_class_that_raises_is_logged_and_never_reaches_the_publisher(
    caplog: pytest.LogCaptureFixture, exc: BaseException
) -> None:
    class Broken(blinker.Signal):
        @property
        def is_muted(self) -> bool:
            raise exc

        @is_muted.setter
        def is_muted(self, value: bool) -> None: ...

    inbox = Inbox()
    broken, others = Broken(), connected(smtp_send_failure)
    broken.connect(others, weak=False)

    publish(success(success_signal=broken, outcome_to=inbox))
    publish(failure())
    settle()

    assert [type(outcome) for outcome in others.outcomes] == [SendFailure]
    assert len(inbox.messages) == 1
    [record] = logged_by_the_bus(caplog)
    assert "raised; outcome not delivered" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is exc


def test_an_inbox_that_cannot_say_whether_it_is_alive_is_told_and_its_error_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Confused(Inbox):
        def is_alive(self) -> bool:
            raise ValueError("who knows")

        def tell(self, message: object) -> None:
            super().tell(message)
            raise OSError("closed")

    inbox = Confused()

    publish(success(outcome_to=inbox))
    settle()

    assert len(inbox.messages) == 1
    [record] = logged_by_the_bus(caplog)
    assert "raised; outcome possibly lost" in record.getMessage()


def test_outcome_to_is_told_as_well_as_the_receivers_and_even_if_the_signal_is_muted() -> None:
    inbox = Inbox()
    recorder = connected(smtp_send_success)

    publish(success(outcome_to=inbox))
    with smtp_send_success.muted():
        publish(success(outcome_to=inbox))
        settle()

    assert len(inbox.messages) == 2
    assert len(recorder.heard) <= 1


def test_outcome_to_is_told_even_if_the_sends_own_signal_does_not_exist() -> None:
    inbox = Inbox()

    publish(success(outcome_to=inbox, success_signal="test-never-heard-of"))
    settle()

    assert len(inbox.messages) == 1


@pytest.mark.parametrize("end", [ActorDeadError("gone"), OSError("closed")], ids=["named", "asked"])
def test_a_stopped_outcome_to_is_logged_and_receivers_still_run(
    caplog: pytest.LogCaptureFixture, end: Exception
) -> None:
    class Dead(SilentlyDeadInbox):
        def tell(self, message: object) -> None:
            raise end

    recorder = connected(smtp_send_success)

    with caplog.at_level(logging.INFO):
        publish(success(outcome_to=Dead()))
        settle()

    assert len(recorder.heard) == 1
    [record] = logged_by_the_bus(caplog)
    assert record.levelno == logging.INFO
    assert "the inbox has stopped" in record.getMessage()
    assert record.exc_info is None


@pytest.mark.parametrize("exc", [ValueError("a bug"), SystemExit(3)], ids=["Exception", "Exit"])
def test_an_outcome_to_that_raises_is_logged_and_receivers_still_run(
    caplog: pytest.LogCaptureFixture, exc: BaseException
) -> None:
    class Broken(Inbox):
        def tell(self, message: object) -> None:
            raise exc

    recorder = connected(smtp_send_success)

    publish(success(outcome_to=Broken()))
    settle()

    assert len(recorder.heard) == 1
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.exc_info is not None
    assert record.exc_info[1] is exc

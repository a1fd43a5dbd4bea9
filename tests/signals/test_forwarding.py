import gc
import logging

import blinker
import pytest
from servers.published import (
    DeadInbox,
    Inbox,
    RestlessSignal,
    SilentlyDeadInbox,
    bus_left_clean,
    failure,
    settle,
    success,
)

from pykka_smtp.signals.bus import TRIES, publish, smtp_send_failure, smtp_send_success
from pykka_smtp.signals.forwarding import forward_to

clean_bus = bus_left_clean


def test_forward_to_posts_both_kinds_of_outcome_by_default() -> None:
    inbox = Inbox()
    sent, not_sent = success(), failure()

    forward_to(inbox)
    gc.collect()  # nobody but the signals keeps the forwarding
    publish(sent)
    publish(not_sent)
    settle()

    assert inbox.messages == [sent, not_sent]


def test_forward_to_posts_only_what_comes_on_the_given_signals() -> None:
    inbox = Inbox()
    outcome, mine = failure(), success(success_signal="test-sent")

    forward_to(inbox, smtp_send_failure, "test-sent")
    publish(success())
    publish(outcome)
    publish(mine)
    settle()

    assert inbox.messages == [outcome, mine]


def test_forward_to_posts_only_what_the_given_sender_sent() -> None:
    inbox = Inbox()
    mine = success("news")

    forward_to(inbox, sender="news")
    publish(success("smtp_client"))
    publish(mine)
    settle()

    assert inbox.messages == [mine]


def test_a_forwarding_that_was_stopped_posts_nothing_more() -> None:
    inbox = Inbox()
    forwarding = forward_to(inbox, sender="news")
    assert forwarding.is_active

    forwarding.stop()
    forwarding.stop()
    publish(success("news"))
    settle()

    assert not forwarding.is_active
    assert inbox.messages == []
    assert not smtp_send_success.receivers
    assert not smtp_send_failure.receivers


def test_a_forwarding_that_is_stopped_while_an_outcome_is_on_its_way_does_not_post_it() -> None:
    inbox = Inbox()
    signal = blinker.Signal()
    forwarding = forward_to(inbox, signal)
    [receiver] = list(signal.receivers_for("news"))

    forwarding.stop()
    receiver("news", outcome=success("news"))

    assert inbox.messages == []


def test_stopping_one_forwarding_of_a_ref_leaves_its_others() -> None:
    inbox = Inbox()
    kept = forward_to(inbox, smtp_send_success)

    forward_to(inbox, smtp_send_success).stop()
    publish(success())
    settle()

    assert kept.is_active
    assert len(inbox.messages) == 1


@pytest.mark.parametrize(("ref", "told"), [(DeadInbox(), 1), (SilentlyDeadInbox(), 0)])
def test_a_dead_actor_is_forgotten_at_the_next_outcome(
    caplog: pytest.LogCaptureFixture, ref: Inbox, told: int
) -> None:
    forwarding = forward_to(ref)

    with caplog.at_level(logging.DEBUG, logger="pykka_smtp.signals"):
        publish(success())
        publish(success())
        publish(failure())
        settle()

    assert not forwarding.is_active
    assert len(ref.messages) == told
    assert not smtp_send_success.receivers
    assert not smtp_send_failure.receivers
    [record] = [record for record in caplog.records if record.name == "pykka_smtp.signals"]
    assert record.levelno == logging.DEBUG
    assert "the inbox has stopped" in record.getMessage()


def test_an_actor_that_is_alive_and_raises_is_logged_and_not_forgotten(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Full(Inbox):
        def is_alive(self) -> bool:
            return True

        def tell(self, message: object) -> None:
            raise ValueError("the inbox is full")

    forwarding = forward_to(Full())

    publish(success())
    settle()

    assert forwarding.is_active
    assert "the inbox is full" in caplog.text


def test_forwarding_to_something_without_tell_raises_in_the_caller() -> None:
    with pytest.raises(TypeError, match="tell"):
        forward_to(object())  # type: ignore[arg-type]


def test_a_forwarding_says_what_it_does() -> None:
    forwarding = forward_to(Inbox(), "smtp_send_success", blinker.Signal())

    assert repr(forwarding).startswith("<Subscription of smtp_send_success, <blinker.base.Signal")
    assert repr(forwarding).endswith(" to the inbox, active>")
    forwarding.stop()
    assert repr(forwarding).endswith(" to the inbox, stopped>")


def test_a_stop_disconnects_in_full_although_blinkers_tables_change() -> None:
    signal = RestlessSignal(looks=0)
    forwarding = forward_to(Inbox(), signal, sender="news")
    signal.looks = 3

    forwarding.stop()

    assert not signal.receivers
    assert [bucket for bucket in signal._by_sender.values() if bucket] == []


def test_a_stop_that_cannot_disconnect_still_posts_nothing_more() -> None:
    inbox = Inbox()
    signal = RestlessSignal(looks=0)
    forwarding = forward_to(inbox, signal)
    signal.looks = TRIES

    forwarding.stop()
    publish(success(success_signal=signal))
    settle()

    assert inbox.messages == []

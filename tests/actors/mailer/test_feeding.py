"""`tell_all`: any number of emails, as fast as they go out."""

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pykka import ActorDeadError
from servers.door import Door
from servers.mailing import Mailing
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import Drain, Outcome, SendMail, smtp_send_success, wait_until_done


def newsletter(mailing: Mailing, count: int) -> Iterator[SendMail]:
    """Make mails as they are asked for."""
    for number in range(count):
        made = mailing.mail(context=number)
        mailing.mails.append(made)
        yield made


def test_more_emails_than_may_wait_are_all_accepted(loop_kind: str, mailing: Mailing) -> None:
    ref: Any = mailing.start(mailing.serve(), max_queued=10, max_connections=2)

    assert ref.tell_all(newsletter(mailing, 200), at_most=10) == 200

    assert ref.ask(Drain(timeout=PATIENCE)) is True
    assert mailing.kinds() == {"accepted": 200}


def test_none_is_refused_because_fewer_may_be_queued(loop_kind: str, mailing: Mailing) -> None:
    ref: Any = mailing.start(mailing.serve(), max_queued=3, max_connections=2)

    assert ref.tell_all(newsletter(mailing, 200), at_most=100) == 200

    assert ref.ask(Drain(timeout=PATIENCE)) is True
    assert mailing.kinds() == {"accepted": 200}


def test_no_more_are_taken_than_there_is_room_for(mailing: Mailing, door: Door) -> None:
    ref: Any = mailing.start(mailing.serve(door), max_connections=2)
    telling = threading.Thread(
        target=ref.tell_all, args=(newsletter(mailing, 20),), kwargs={"at_most": 5}
    )
    telling.start()

    assert wait_until(lambda: mailing.statistics(ref).submitted == 5, PATIENCE)
    assert len(mailing.mails) == 5
    door.open()
    telling.join(PATIENCE)

    assert ref.ask(Drain(timeout=PATIENCE)) is True
    assert mailing.kinds() == {"accepted": 20}


def test_a_mailer_that_is_stopped_meanwhile_ends_it_and_each_told_has_an_outcome(
    mailing: Mailing, door: Door
) -> None:
    ref: Any = mailing.start(mailing.serve(door), max_connections=2, grace=0.01)
    raised: list[BaseException] = []

    def tell() -> None:
        try:
            ref.tell_all(newsletter(mailing, 20), at_most=5)
        except ActorDeadError as error:
            raised.append(error)

    telling = threading.Thread(target=tell)
    telling.start()
    assert wait_until(lambda: mailing.statistics(ref).submitted == 5, PATIENCE)
    ref.stop(timeout=PATIENCE)
    telling.join(PATIENCE)

    assert len(raised) == 1
    mailing.mails.pop()  # the one that was taken, and not told
    assert mailing.kinds() == {"CANCELLED": 5}


def test_an_email_that_cannot_be_made_says_how_many_were_told_before(mailing: Mailing) -> None:
    ref: Any = mailing.start(mailing.serve())

    def mails() -> Iterator[SendMail]:
        yield from newsletter(mailing, 3)
        raise ValueError("row 4: no address")

    with pytest.raises(ValueError, match="row 4") as caught:
        ref.tell_all(mails())

    assert caught.value.__notes__ == ["tell_all: 3 emails were told before"]
    assert ref.ask(Drain(timeout=PATIENCE)) is True
    assert mailing.kinds() == {"accepted": 3}


def test_a_receiver_can_tell_many(mailing: Mailing) -> None:
    ref: Any = mailing.start(mailing.serve(), max_connections=1, max_queued=3)
    told: list[int] = []

    @smtp_send_success.connect
    def tells(sender: str, outcome: Outcome, **extra: object) -> None:
        if outcome.context == "first":
            told.append(ref.tell_all(newsletter(mailing, 20), at_most=3))

    mailing.tell(ref, context="first")

    assert wait_until_done(PATIENCE)
    assert told == [20]
    assert mailing.kinds() == {"accepted": 21}


def test_a_failure_of_one_told_so_is_not_taken_for_heard(
    mailing: Mailing, caplog: pytest.LogCaptureFixture
) -> None:
    ref: Any = mailing.start(mailing.serve("S! close"), retry=None)
    ref.stop(timeout=PATIENCE)
    with pytest.raises(ActorDeadError):
        ref.tell_all([mailing.mail()])

    ref = mailing.start(mailing.serve("S! silence"), grace=0.01)
    ref.tell_all(newsletter(mailing, 1))
    ref.stop(timeout=PATIENCE)
    assert wait_until_done(PATIENCE)
    [record] = [r for r in caplog.records if r.name == "pykka_smtp.outcomes"]
    assert record.levelno == logging.WARNING


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "3"])
def test_a_wrong_bound_is_refused(mailing: Mailing, wrong: Any) -> None:
    ref: Any = mailing.start(mailing.serve())

    with pytest.raises((ValueError, TypeError), match="at_most"):
        ref.tell_all([], at_most=wrong)


def test_what_is_no_mail_is_told_so_at_once(mailing: Mailing) -> None:
    ref: Any = mailing.start(mailing.serve())

    with pytest.raises(TypeError, match="a Mailer takes a SendMail, not str"):
        ref.tell_all(["mail"])

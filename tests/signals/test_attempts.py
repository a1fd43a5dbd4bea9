"""Several attempts at one mail, summed up; and the signal that says that another will follow."""

import datetime as dt
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import blinker
import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers.waiting import PATIENCE

from pykka_smtp.signals.attempts import MAX_TRANSCRIPT, MAX_WARNINGS, Attempts
from pykka_smtp.signals.bus import (
    publish_retry,
    smtp_send_failure,
    smtp_send_retry,
    smtp_send_success,
)
from pykka_smtp.signals.dispatcher import dispatcher
from pykka_smtp.signals.forwarding import forward_to
from pykka_smtp.signals.outcome import Outcome, SendFailure, SendSuccess
from pykka_smtp.signals.send_mail import SendMail
from pykka_smtp.smtp.words.reply import Reply
from pykka_smtp.smtp.words.stage import Stage
from pykka_smtp.smtp.words.verdict import FailureKind, RecipientResult

MAIL = SendMail(sender="me@a.test", recipients=["you@b.test", "her@b.test"], message=b"Hello\r\n")
YOU, HER = MAIL.all_recipients
LATER = Reply(450, ("4.2.0 greylisted",))
TAKEN = Reply(250, ("taken",))


def result(address: str, *, accepted: bool = False, maybe: bool = False) -> RecipientResult:
    return RecipientResult(
        address=address, accepted=accepted, maybe_accepted=maybe, retryable=not (accepted or maybe)
    )


def failure(*results: RecipientResult, detail: str = "no", maybe: bool = False) -> SendFailure:
    return SendFailure(
        mail=MAIL,
        alias="m",
        recipients=results,
        kind=FailureKind.CONNECTION,
        stage=Stage.DOT if maybe else Stage.MAIL,
        detail=detail,
        retryable=not maybe,
        maybe_accepted=maybe,
        elapsed=1.0,
    )


def success(*results: RecipientResult) -> SendSuccess:
    return SendSuccess(mail=MAIL, alias="m", recipients=results, reply=TAKEN, elapsed=1.0)


def summed_up(*outcomes: SendSuccess | SendFailure) -> Outcome:
    attempts = Attempts()
    for outcome in outcomes:
        attempts.add(outcome)
    return attempts.combined_outcome(MAIL.all_recipients)


def test_one_attempt_is_the_outcome_as_it_is() -> None:
    only = failure(result(YOU), result(HER))

    assert summed_up(only) is only


def test_a_mail_that_some_have_is_a_success_with_one_result_for_each_recipient() -> None:
    outcome = summed_up(
        success(result(YOU, accepted=True), result(HER)), failure(result(HER), detail="gone")
    )

    assert isinstance(outcome, SendSuccess)
    assert [(r.address, r.accepted) for r in outcome.recipients] == [(YOU, True), (HER, False)]
    assert (outcome.attempts, outcome.elapsed, outcome.warnings) == (2, 2.0, ("gone",))


def test_a_mail_that_an_earlier_attempt_may_have_brought_there_stays_in_doubt() -> None:
    outcome = summed_up(
        failure(result(YOU, maybe=True), result(HER, maybe=True), maybe=True),
        failure(result(YOU), result(HER), detail="refused"),
    )

    assert isinstance(outcome, SendFailure)
    assert (outcome.maybe_accepted, outcome.retryable) == (True, False)
    assert outcome.detail == "refused; an earlier attempt may have been accepted"
    assert [(r.maybe_accepted, r.retryable) for r in outcome.recipients] == [(True, False)] * 2


def test_a_later_acceptance_replaces_maybe_accepted() -> None:
    outcome = summed_up(
        failure(result(YOU, maybe=True), result(HER, maybe=True), maybe=True),
        success(result(YOU, accepted=True), result(HER)),
    )

    assert isinstance(outcome, SendSuccess)
    assert [(r.accepted, r.maybe_accepted) for r in outcome.recipients] == [
        (True, False),
        (False, True),
    ]


def test_a_mail_in_doubt_that_is_given_up_stays_in_doubt() -> None:
    attempts = Attempts()
    attempts.add(failure(result(YOU, maybe=True), result(HER, maybe=True), maybe=True))
    attempts.give_up(failure(result(YOU), result(HER), detail="stopped before it was sent"))

    outcome = attempts.combined_outcome(MAIL.all_recipients)

    assert isinstance(outcome, SendFailure)
    assert (outcome.maybe_accepted, outcome.retryable, outcome.attempts) == (True, False, 1)


def test_a_mail_given_up_without_doubt_is_not_in_doubt() -> None:
    attempts = Attempts()
    attempts.add(failure(result(YOU), result(HER)))
    attempts.give_up(failure(result(YOU), result(HER), detail="stopped before it was sent"))

    outcome = attempts.combined_outcome(MAIL.all_recipients)

    assert isinstance(outcome, SendFailure)
    assert (outcome.maybe_accepted, outcome.retryable) == (False, True)
    assert outcome.detail == "stopped before it was sent"


def test_the_success_is_the_first_there_was_and_later_ones_add_their_recipients() -> None:
    first = replace(success(result(YOU, accepted=True), result(HER)), reply=Reply(250, ("first",)))
    second = replace(success(result(HER, accepted=True)), reply=Reply(250, ("second",)))

    outcome = summed_up(first, second)

    assert isinstance(outcome, SendSuccess)
    assert outcome.refused == ()
    assert outcome.reply == Reply(250, ("first",))
    assert (outcome.attempts, outcome.warnings) == (2, ())


def test_a_success_after_failures_is_a_success() -> None:
    outcome = summed_up(
        failure(result(YOU), result(HER)),
        failure(result(YOU), result(HER)),
        success(result(YOU, accepted=True), result(HER, accepted=True)),
    )

    assert isinstance(outcome, SendSuccess)
    assert (outcome.attempts, outcome.elapsed, outcome.warnings) == (3, 3.0, ())


def test_a_failure_is_the_last_there_was() -> None:
    outcome = summed_up(
        failure(result(YOU), result(HER), detail="first"),
        replace(
            failure(result(YOU), result(HER), detail="second"),
            kind=FailureKind.SMTP,
            reply=LATER,
            retryable=True,
        ),
    )

    assert isinstance(outcome, SendFailure)
    assert (outcome.kind, outcome.detail, outcome.code) == (FailureKind.SMTP, "second", 450)
    assert (outcome.attempts, outcome.elapsed) == (2, 2.0)
    assert outcome.retryable


def test_each_recipient_has_the_result_of_the_last_attempt_at_him() -> None:
    refused = RecipientResult(address=YOU, accepted=False, reply=Reply(550, ("no",)))
    later = RecipientResult(address=HER, accepted=False, reply=LATER, retryable=True)
    gone = RecipientResult(address=HER, accepted=False, reply=Reply(551, ("gone",)))

    outcome = summed_up(failure(refused, later), failure(gone))

    assert outcome.recipients == (refused, gone)


def test_an_address_that_was_given_twice_has_two_results() -> None:
    attempts = Attempts()
    attempts.add(failure(result(YOU)))
    attempts.add(success(result(YOU, accepted=True)))

    outcome = attempts.combined_outcome([YOU, HER, YOU])

    assert [(r.address, r.accepted) for r in outcome.recipients] == [
        (YOU, True),
        (HER, False),
        (YOU, True),
    ]


def test_the_transcript_is_that_of_all_attempts_in_order() -> None:
    attempts = [
        replace(failure(result(YOU), result(HER)), transcript=("C: a", "S: b")),
        replace(failure(result(YOU), result(HER)), transcript=("C: c",)),
    ]

    assert summed_up(*attempts).transcript == ("C: a", "S: b", "C: c")


def test_the_transcripts_of_many_attempts_do_not_grow_without_bound() -> None:
    attempts = Attempts()
    for number in range(1000):
        lines = tuple(f"C: {number} {line} " + "x" * 90 for line in range(20))
        attempts.add(replace(failure(result(YOU), result(HER)), transcript=lines))
    note, *lines_kept = attempts.combined_outcome([YOU, HER]).transcript

    assert len(attempts._transcript) == len(lines_kept) < MAX_TRANSCRIPT / 90
    assert sum(map(len, lines_kept)) <= MAX_TRANSCRIPT
    assert note == f"({20_000 - len(lines_kept)} lines of earlier attempts are left out)"
    assert lines_kept[-1].startswith("C: 999 19 ")


def test_warnings_add_up_to_a_bound_and_the_last_ones_stay() -> None:
    outcomes = [
        replace(failure(result(YOU), result(HER)), warnings=(f"warning {number}",))
        for number in range(MAX_WARNINGS + 5)
    ]

    outcome = summed_up(*outcomes)

    assert len(outcome.warnings) == MAX_WARNINGS
    assert outcome.warnings[-1] == f"warning {MAX_WARNINGS + 4}"
    assert outcome.attempts == MAX_WARNINGS + 5


def test_a_mail_that_some_have_and_that_is_given_up_says_why_there_was_no_other_attempt() -> None:
    attempts = Attempts()
    attempts.add(success(result(YOU, accepted=True), result(HER)))
    attempts.give_up(failure(result(YOU), result(HER), detail="stopped before it was sent"))

    outcome = attempts.combined_outcome(MAIL.all_recipients)

    assert isinstance(outcome, SendSuccess)
    assert [r.accepted for r in outcome.recipients] == [True, False]
    assert (outcome.warnings, outcome.attempts) == (("stopped before it was sent",), 1)


FATES = st.sampled_from(["accepted", "later", "doubt", "refused"])


@given(steps=st.lists(st.tuples(FATES, FATES), min_size=1, max_size=6), gives_up=st.booleans())
def test_the_sum_of_any_attempts_is_true(steps: list[tuple[str, str]], *, gives_up: bool) -> None:
    attempts = Attempts()
    history: dict[str, list[str]] = {YOU: [], HER: []}
    tried = [YOU, HER]
    for step in steps:
        fates = {
            address: fate
            for address, fate in zip((YOU, HER), step, strict=True)
            if address in tried
        }
        for address, fate in fates.items():
            history[address].append(fate)
        results = [
            RecipientResult(
                address=address,
                accepted=fate == "accepted",
                maybe_accepted=fate == "doubt",
                retryable=fate == "later",
            )
            for address, fate in fates.items()
        ]
        is_success = any(r.accepted for r in results)
        maybe = not is_success and any(r.maybe_accepted for r in results)
        attempts.add(success(*results) if is_success else failure(*results, maybe=maybe))
        tried = [address for address, fate in fates.items() if fate in ("later", "doubt")]
        if not tried:
            break
    if gives_up:
        attempts.give_up(failure(result(YOU), result(HER), detail="too late"))

    outcome = attempts.combined_outcome([YOU, HER])

    assert [r.address for r in outcome.recipients] == [YOU, HER]
    for r in outcome.recipients:
        fates_of = history[r.address]
        assert r.accepted is ("accepted" in fates_of)
        assert r.maybe_accepted is ("doubt" in fates_of and "accepted" not in fates_of)
        assert not (r.retryable and (r.accepted or r.maybe_accepted))
    assert isinstance(outcome, SendSuccess) is any("accepted" in f for f in history.values())
    if isinstance(outcome, SendFailure):
        assert outcome.maybe_accepted is any(r.maybe_accepted for r in outcome.recipients)
        assert not (outcome.maybe_accepted and outcome.retryable)


# smtp_send_retry

WHEN = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)


class Heard:
    """A receiver that keeps what it hears."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.threads: list[str] = []

    def __call__(self, sender: str, **given: Any) -> None:
        self.threads.append(threading.current_thread().name)
        self.calls.append((sender, given))


@pytest.fixture
def heard() -> Iterator[Heard]:
    receiver = Heard()
    with smtp_send_retry.connected_to(receiver):
        yield receiver


def wait_for_the_dispatcher() -> None:
    """Wait until all that was submitted so far is out."""
    done = threading.Event()
    dispatcher.submit(done.set)
    assert done.wait(PATIENCE)


def test_the_retry_signal_tells_the_outcome_of_the_attempt_its_number_and_when(
    heard: Heard,
) -> None:
    outcome = failure(result(YOU))
    publish_retry(outcome, 3, WHEN)
    wait_for_the_dispatcher()

    assert heard.calls == [("m", {"outcome": outcome, "attempt": 3, "next_time": WHEN})]
    assert heard.threads != [threading.current_thread().name]


def test_the_retry_signal_can_be_had_by_its_name_and_by_its_sender() -> None:
    mine, others = Heard(), Heard()
    with (
        blinker.signal("smtp_send_retry").connected_to(mine, sender="m"),
        smtp_send_retry.connected_to(others, sender="another"),
    ):
        publish_retry(failure(result(YOU)), 1, WHEN)
        wait_for_the_dispatcher()

    assert len(mine.calls) == 1
    assert others.calls == []


def test_a_retry_is_not_an_outcome() -> None:
    outcomes, told = Heard(), []

    class Inbox:
        def tell(self, message: Any, /) -> None:
            told.append(message)

    mail = SendMail(sender="me@a.test", recipients=YOU, body="x", outcome_to=Inbox())
    with (
        smtp_send_success.connected_to(outcomes),
        smtp_send_failure.connected_to(outcomes),
        smtp_send_retry.connected_to(lambda *_args, **_given: None),
    ):
        publish_retry(replace(failure(result(YOU)), mail=mail), 1, WHEN)
        wait_for_the_dispatcher()

    assert outcomes.calls == []
    assert told == []


def test_a_retry_without_receivers_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    submitted: list[Any] = []
    monkeypatch.setattr(type(dispatcher), "submit", lambda _self, *args: submitted.append(args))

    publish_retry(failure(result(YOU)), 1, WHEN)
    with smtp_send_retry.connected_to(Heard()), smtp_send_retry.muted():
        publish_retry(failure(result(YOU)), 1, WHEN)

    assert submitted == []


def test_a_receiver_of_retries_that_raises_does_not_keep_the_others_from_it(
    heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    def raises(_sender: str, **_given: Any) -> None:
        raise SystemExit(1)

    with smtp_send_retry.connected_to(raises):
        publish_retry(failure(result(YOU)), 1, WHEN)
        publish_retry(failure(result(YOU)), 2, WHEN)
        wait_for_the_dispatcher()

    assert [given["attempt"] for _, given in heard.calls] == [1, 2]
    assert "receiver" in caplog.text
    assert "smtp_send_retry" in caplog.text


def test_a_receiver_of_retries_may_be_a_coroutine_function() -> None:
    attempts: list[int] = []

    async def receive(_sender: str, *, attempt: int, **_given: Any) -> None:
        attempts.append(attempt)

    with smtp_send_retry.connected_to(receive):
        publish_retry(failure(result(YOU)), 7, WHEN)
        wait_for_the_dispatcher()

    assert attempts == [7]


def test_retries_are_forwarded_to_an_inbox_on_request() -> None:
    told: list[Any] = []

    class Inbox:
        def tell(self, message: Any, /) -> None:
            told.append(message)

    outcome = failure(result(YOU))
    forwarding = forward_to(Inbox(), "smtp_send_retry")
    try:
        publish_retry(outcome, 1, WHEN)
        wait_for_the_dispatcher()
    finally:
        forwarding.stop()

    assert told == [outcome]

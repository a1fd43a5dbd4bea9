"""How a Mailer tries again: whom, when, how often, and what the program hears of it."""

import datetime as dt
import itertools
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from servers.mailer_fixtures import Retries
from servers.mailing import Clock, Mailing, ours
from servers.moody import Moody
from servers.scripted import ScriptedServer, polite
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import (
    NO_RETRY,
    Dsn,
    FailureKind,
    RetryPolicy,
    SendFailure,
    SendSuccess,
    Stage,
    smtp_send_failure,
    smtp_send_retry,
    smtp_send_success,
)
from pykka_smtp.actors.net.connection_limit import connection_limit

SOON = RetryPolicy(max_attempts=5, initial_delay=0.01, multiplier=1, max_delay=0.01, jitter=0)
HOUR = RetryPolicy(initial_delay=3600.0, jitter=0)
LATER, NO = "450 4.2.0 not now", "550 5.1.1 who?"
A, B, C = "a@d.test", "b@d.test", "c@d.test"

OFFERS = [(), ("PIPELINING",), ("PIPELINING", "CHUNKING")]


def rcpts(server: ScriptedServer) -> list[list[str]]:
    """The recipients that were named in each transaction, in order."""
    found: list[list[str]] = []
    for line in server.lines:
        if line.startswith("MAIL"):
            found.append([])
        elif line.startswith("RCPT"):
            found[-1].append(line.partition("<")[2].partition(">")[0])
    return found


def accepted(outcome: Any) -> list[bool]:
    return [result.accepted for result in outcome.recipients]


# Whom


@pytest.mark.parametrize("offers", OFFERS, ids=str)
def test_only_deferred_recipients_are_retried(mailing: Mailing, offers: tuple[str, ...]) -> None:
    server = mailing.serve(Moody(*offers, answers={B: [NO], C: [LATER, LATER]}))
    ref = mailing.start(server, retry=SOON, max_connections=1)

    outcome = mailing.ask(ref, recipients=[A, B, C])

    assert isinstance(outcome, SendSuccess)
    assert accepted(outcome) == [True, False, True]
    assert [result.address for result in outcome.refused] == [B]
    assert outcome.attempts == 3
    assert rcpts(server) == [[A, B, C], [C], [C]]
    assert [mail.recipients for mail in server.mails if mail.accepted] == [(A,), (C,)]


@pytest.mark.parametrize(
    ("where", "answer"), [("MAIL", LATER), ("RCPT", LATER), (".", LATER), ("RCPT", "552 full")]
)
def test_an_email_that_no_recipient_has_is_retried_for_all(
    mailing: Mailing, where: str, answer: str
) -> None:
    server, ref = mailing.begin(Moody(answers={where: [answer] * 2}), retry=SOON, max_connections=1)

    outcome = mailing.ask(ref, recipients=[A, B])

    assert isinstance(outcome, SendSuccess)
    assert accepted(outcome) == [True, True]
    assert rcpts(server)[-1] == [A, B]
    assert server.accepted == 1


@pytest.mark.parametrize(
    ("answers", "stage"),
    [({"MAIL": [NO]}, Stage.MAIL), ({"RCPT": [NO]}, Stage.RCPT), ({".": ["552 big"]}, Stage.DOT)],
)
def test_what_was_refused_for_good_is_not_tried_again(
    mailing: Mailing, retries: Retries, answers: dict[str, list[str]], stage: Stage
) -> None:
    server, ref = mailing.begin(Moody(answers=answers), retry=SOON)

    outcome = mailing.ask(ref)

    assert isinstance(outcome, SendFailure)
    assert (outcome.stage, outcome.attempts, outcome.retryable) == (stage, 1, False)
    assert len(rcpts(server)) == 1
    assert retries.all == []


def test_a_mail_that_cannot_be_sent_as_asked_is_not_tried_again(mailing: Mailing) -> None:
    server, ref = mailing.begin(polite("SIZE 100"), retry=SOON)

    outcome = mailing.ask(ref, body="x" * 1000)

    assert (outcome.kind, outcome.attempts) == (FailureKind.LOCAL, 1)
    assert rcpts(server) == []


def test_recipients_of_all_fields_and_those_given_twice_have_their_results(
    mailing: Mailing,
) -> None:
    server = mailing.serve(Moody(answers={A: [LATER], C: [LATER]}))
    ref = mailing.start(server, retry=SOON, max_connections=1)

    outcome = mailing.ask(ref, recipients=[A, B, A], cc=B, bcc=C)

    assert outcome.attempts == 2
    assert [result.address for result in outcome.recipients] == list(outcome.mail.all_recipients)
    assert all(accepted(outcome))
    assert rcpts(server) == [[A, B, C], [A, C]]


def test_recipients_who_are_tried_again_keep_what_was_asked_for_them(mailing: Mailing) -> None:
    """The others' original recipients are none of theirs, and no reason to fail."""
    server, ref = mailing.begin(Moody("DSN", answers={B: [LATER]}), retry=SOON, max_connections=1)
    dsn = Dsn(notify="failure", orcpt={A: "first@x.test", B: "second@x.test"})

    outcome = mailing.ask(ref, recipients=[A, B], dsn=dsn)

    assert isinstance(outcome, SendSuccess), outcome
    assert accepted(outcome) == [True, True]
    assert [line for line in server.lines if "b@d" in line] == [
        "RCPT TO:<b@d.test> NOTIFY=FAILURE ORCPT=rfc822;second@x.test"
    ] * 2


def test_more_recipients_than_the_server_takes_at_a_time_are_told_apart(mailing: Mailing) -> None:
    """RFC 5321 §4.5.3.1.10: 452 is said to each one too many; they come five by five."""
    to = [f"u{number}@d.test" for number in range(12)]
    crowd = Moody(answers={path: ["452 too many recipients"] for path in to[5:]})
    server, ref = mailing.begin(crowd, retry=SOON, max_connections=1)

    outcome = mailing.ask(ref, recipients=to)

    assert all(accepted(outcome))
    assert outcome.attempts == 1
    assert rcpts(server) == [to, to[5:10], to[10:]]


# How often, and until when


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_a_mail_is_given_up_after_so_many_attempts(
    mailing: Mailing, retries: Retries, attempts: int
) -> None:
    server = mailing.serve(Moody(answers={"RCPT": [LATER] * 9}))
    policy = RetryPolicy(max_attempts=attempts, initial_delay=0.01, jitter=0)
    ref = mailing.start(server, retry=policy, max_connections=1)

    outcome = mailing.ask(ref)

    assert isinstance(outcome, SendFailure)
    assert (outcome.kind, outcome.code) == (FailureKind.SMTP, 450)
    assert outcome.attempts == attempts
    assert outcome.retryable  # by somebody who has more patience
    assert len(rcpts(server)) == attempts
    assert retries.attempts == list(range(1, attempts))
    assert mailing.statistics(ref).retries == attempts - 1


def test_a_mail_is_given_up_when_the_next_attempt_would_come_too_late(mailing: Mailing) -> None:
    server = mailing.serve(Moody(answers={"RCPT": [LATER] * 1000}))
    policy = RetryPolicy(
        max_attempts=1000, initial_delay=0.05, multiplier=1, jitter=0, give_up_after=0.3
    )
    ref = mailing.start(server, retry=policy, max_connections=1)

    began = time.monotonic()
    outcome = mailing.ask(ref)
    took = time.monotonic() - began

    assert (outcome.kind, outcome.code) == (FailureKind.SMTP, 450)
    assert 2 <= outcome.attempts <= 7
    assert 0.2 < took < 5
    assert len(rcpts(server)) == outcome.attempts


def test_a_pause_that_is_longer_than_the_patience_is_not_begun(
    mailing: Mailing, retries: Retries
) -> None:
    server = mailing.serve(Moody(answers={"RCPT": [LATER]}))
    ref = mailing.start(server, retry=RetryPolicy(initial_delay=60.0, give_up_after=30.0))

    with Clock(5.0):
        outcome = mailing.ask(ref)

    assert (outcome.code, outcome.attempts) == (450, 1)
    assert retries.all == []


def test_some_have_it_and_the_others_are_given_up_is_a_success_that_says_who(
    mailing: Mailing,
) -> None:
    server, ref = mailing.begin(Moody(answers={B: [LATER] * 9}), retry=SOON, max_connections=1)

    outcome = mailing.ask(ref, recipients=[A, B])

    assert isinstance(outcome, SendSuccess)
    assert [(r.address, r.retryable) for r in outcome.refused] == [(B, True)]
    assert outcome.attempts == 5
    assert len(outcome.warnings) == 4
    assert rcpts(server) == [[A, B], [B], [B], [B], [B]]


def test_the_last_refusal_of_each_recipient_is_the_one_that_is_told(mailing: Mailing) -> None:
    server = mailing.serve(Moody(answers={A: [LATER, NO], B: [LATER, LATER, "551 gone"]}))
    ref = mailing.start(server, retry=SOON, max_connections=1)

    outcome = mailing.ask(ref, recipients=[A, B])

    assert isinstance(outcome, SendFailure)
    assert outcome.attempts == 3
    assert [result.reply and result.reply.code for result in outcome.recipients] == [550, 551]
    assert not outcome.retryable
    assert rcpts(server) == [[A, B], [A, B], [B]]


def test_the_pauses_are_those_of_the_policy(mailing: Mailing) -> None:
    moody = Moody(answers={"RCPT": [LATER] * 3})
    server = mailing.serve(moody)
    policy = RetryPolicy(initial_delay=0.05, multiplier=3, jitter=0)
    ref = mailing.start(server, retry=policy, max_connections=1)

    mailing.ask(ref)

    pauses = [b - a for a, b in itertools.pairwise(moody.times)]
    for pause, asked in zip(pauses, (0.05, 0.15, 0.45), strict=True):
        assert asked - 0.01 < pause < asked + 1.0


def test_the_time_that_a_mail_waits_is_no_part_of_what_it_took(mailing: Mailing) -> None:
    server = mailing.serve(Moody(answers={"RCPT": [LATER]}))
    ref = mailing.start(server, retry=RetryPolicy(initial_delay=0.5, jitter=0))

    began = time.monotonic()
    outcome = mailing.ask(ref)
    took = time.monotonic() - began

    assert took >= 0.49
    assert 0 < outcome.elapsed < took - 0.25  # the loop's clock is coarse on a busy machine
    waited = mailing.statistics(ref).latency_max
    assert waited is not None
    assert waited >= 0.49  # but it is of what the program waited


def test_connections_that_break_before_the_dot_are_tried_again(mailing: Mailing) -> None:
    moody = Moody(answers={"greeting": ["421 busy"], "MAIL": ["close"], "RCPT": ["close"]})
    server, ref = mailing.begin(moody, retry=SOON)

    outcome = mailing.ask(ref)

    assert isinstance(outcome, SendSuccess)
    assert outcome.attempts == 4
    assert len(server.sessions) == 4


def test_a_server_that_does_not_know_rset_costs_a_connection_and_no_mail(mailing: Mailing) -> None:
    """What it refuses is not the mail, of which it has heard nothing."""
    moody = Moody(answers={A: [NO], "RSET": ["502 5.5.1 what?"]})
    server, ref = mailing.begin(moody, retry=NO_RETRY, max_connections=1)

    first, second = mailing.ask(ref, recipients=A), mailing.ask(ref, recipients=B)

    assert first.code == 550
    assert isinstance(second, SendSuccess), second
    assert len(server.sessions) == 2


# In doubt


def test_a_mail_that_the_server_may_have_is_not_tried_again(
    mailing: Mailing, retries: Retries
) -> None:
    server, ref = mailing.begin(Moody(answers={".": ["close"]}), retry=SOON)

    outcome = mailing.ask(ref)

    assert outcome.maybe_accepted
    assert (outcome.kind, outcome.attempts) == (FailureKind.CONNECTION, 1)
    assert retries.all == []
    assert len(server.mails) == 1


def test_at_least_once_retries_a_maybe_accepted_email(
    mailing: Mailing,
) -> None:
    server = mailing.serve(Moody(answers={".": ["close", "close"]}))
    policy = RetryPolicy(initial_delay=0.01, at_least_once=True)
    ref = mailing.start(server, retry=policy)

    outcome = mailing.ask(ref)

    assert isinstance(outcome, SendSuccess)
    assert outcome.attempts == 3
    assert len(server.mails) == 3
    assert server.accepted == 1


def test_a_mail_in_doubt_stays_in_doubt_if_it_is_refused_later(mailing: Mailing) -> None:
    server = mailing.serve(Moody(answers={".": ["close", "554 no"]}))
    ref = mailing.start(server, retry=RetryPolicy(initial_delay=0.01, at_least_once=True))

    outcome = mailing.ask(ref)

    assert isinstance(outcome, SendFailure)
    assert (outcome.code, outcome.attempts) == (554, 2)
    assert (outcome.maybe_accepted, outcome.retryable) == (True, False)


@pytest.mark.parametrize(("at_least_once", "again"), [(False, [B]), (True, [A, B, C])])
def test_of_a_mail_that_some_may_have_only_the_others_are_tried_again(
    mailing: Mailing, *, at_least_once: bool, again: list[str]
) -> None:
    server = mailing.serve(Moody(answers={B: [LATER], ".": ["close"]}))
    policy = RetryPolicy(initial_delay=0.01, at_least_once=at_least_once)
    ref = mailing.start(server, retry=policy, max_connections=1)

    outcome = mailing.ask(ref, recipients=[A, B, C])

    assert rcpts(server) == [[A, B, C], again]
    assert isinstance(outcome, SendSuccess)
    assert accepted(outcome) == [at_least_once, True, at_least_once]
    assert [r.maybe_accepted for r in outcome.recipients] == [
        not at_least_once,
        False,
        not at_least_once,
    ]


# From files

MAIL = b"Subject: hello\r\n\r\n" + b"".join(b"line %d\r\n" % n for n in range(1000))


def test_a_mail_from_a_path_is_read_again(mailing: Mailing, tmp_path: Path) -> None:
    path = tmp_path / "mail.eml"
    path.write_bytes(MAIL)
    server, ref = mailing.begin(Moody(answers={".": [LATER, LATER]}), retry=SOON, max_connections=1)

    outcome = mailing.ask(ref, message=path)

    assert isinstance(outcome, SendSuccess)
    assert outcome.attempts == 3
    assert [mail.data for mail in server.mails] == [MAIL] * 3


def test_a_mail_from_an_open_file_is_not_tried_again(
    mailing: Mailing, tmp_path: Path, retries: Retries
) -> None:
    path = tmp_path / "mail.eml"
    path.write_bytes(MAIL)
    server, ref = mailing.begin(Moody(answers={".": [LATER]}), retry=SOON)

    with path.open("rb") as file:
        outcome = mailing.ask(ref, message=file)
        assert not file.closed

    assert isinstance(outcome, SendFailure)
    assert (outcome.code, outcome.attempts) == (450, 1)
    assert outcome.retryable  # by who has the mail, and can give it again
    assert retries.all == []
    assert [mail.data for mail in server.mails] == [MAIL]


def test_a_path_that_is_gone_at_the_second_attempt_ends_it(
    mailing: Mailing, tmp_path: Path
) -> None:
    path = tmp_path / "mail.eml"
    path.write_bytes(MAIL)
    server = mailing.serve(Moody(answers={".": [LATER]}))
    ref = mailing.start(server, retry=RetryPolicy(initial_delay=0.2, jitter=0))

    asked = mailing.ask_later(ref, message=path)
    server.wait_for(lambda: server.mails and server.mails[0].verdicts)
    path.unlink()
    outcome = asked.get(timeout=PATIENCE)

    assert (outcome.kind, outcome.attempts) == (FailureKind.LOCAL, 2)


# The signal


def test_the_retry_signal_tells_of_each_attempt_but_the_last(
    mailing: Mailing, retries: Retries
) -> None:
    server = mailing.serve(Moody(answers={B: [LATER, "451 still not"]}))
    policy = RetryPolicy(initial_delay=0.1, multiplier=2, jitter=0)
    ref = mailing.start(server, retry=policy, max_connections=1, alias="news")

    outcome = mailing.ask(ref, recipients=[A, B])
    first, second = retries.wait_for(2)

    assert [first["sender"], second["sender"]] == ["news", "news"]
    assert retries.attempts == [1, 2]
    assert isinstance(first["outcome"], SendSuccess)  # for A
    assert accepted(first["outcome"]) == [True, False]
    assert isinstance(second["outcome"], SendFailure)
    assert [r.address for r in second["outcome"].recipients] == [B]
    assert second["outcome"].code == 451
    assert first["outcome"].mail is second["outcome"].mail is outcome.mail
    for heard, pause in ((first, 0.1), (second, 0.2)):
        assert heard["next_time"].tzinfo is dt.UTC
        ahead = (heard["next_time"] - heard["heard_at"]).total_seconds()
        assert pause - 2.0 < ahead <= pause


def test_the_retry_signal_comes_before_the_outcome(mailing: Mailing) -> None:
    said: list[str] = []
    told: list[Any] = []
    done = threading.Event()

    class Inbox:
        def tell(self, message: Any, /) -> None:
            told.append(message)
            done.set()

    def hear(_sender: str, **given: Any) -> None:
        said.append("retry" if "attempt" in given else "outcome")

    ref = mailing.begin(Moody(answers={"RCPT": [LATER, LATER]}), retry=SOON)[1]
    with (
        smtp_send_retry.connected_to(hear),
        smtp_send_success.connected_to(hear),
        smtp_send_failure.connected_to(hear),
    ):
        mailing.tell(ref, outcome_to=Inbox())
        (outcome,) = mailing.outcomes()
        assert done.wait(PATIENCE)
        assert wait_until(lambda: len(said) == 3, PATIENCE)

    assert said == ["retry", "retry", "outcome"]
    assert told == [outcome]


def test_a_receiver_of_retries_that_takes_its_time_delays_no_attempt(mailing: Mailing) -> None:
    may_go_on = threading.Event()

    def slow(_sender: str, **_given: Any) -> None:
        assert may_go_on.wait(PATIENCE)

    ref = mailing.begin(Moody(answers={"RCPT": [LATER, LATER]}), retry=SOON)[1]
    with smtp_send_retry.connected_to(slow):
        outcome = mailing.ask(ref)
        may_go_on.set()
        mailing.outcomes()

    assert isinstance(outcome, SendSuccess)


# Waiting


def test_a_mail_that_waits_holds_neither_a_connection_nor_a_thread(
    mailing: Mailing, retries: Retries
) -> None:
    server = mailing.serve(Moody(answers={"RCPT": [LATER] * 50}))
    ref = mailing.start(server, retry=HOUR, idle_timeout=0.05)
    mailing.statistics(ref)  # it is at work by now
    before = ours()

    mailing.tell(ref, 50)
    retries.wait_for(50)
    server.wait_until_ended()

    statistics = mailing.statistics(ref)
    assert (statistics.waiting_for_retry, statistics.queued, statistics.in_flight) == (50, 0, 0)
    assert wait_until(lambda: connection_limit._in_use == 0, PATIENCE)
    assert mailing.statistics(ref).connections_idle == 0
    assert set(ours()) <= {*before, "pykka-smtp-dispatcher"}
    assert mailing.so_far() == []


def test_what_waits_is_cancelled_by_a_stop_and_is_not_tried_again(
    mailing: Mailing, retries: Retries
) -> None:
    server, ref = mailing.begin(Moody(answers={"RCPT": [LATER] * 3}), retry=HOUR)
    mailing.tell(ref, 3)
    retries.wait_for(3)

    with Clock(5.0):
        ref.stop(timeout=PATIENCE)

    for outcome in mailing.outcomes():
        assert isinstance(outcome, SendFailure)
        assert (outcome.kind, outcome.attempts) == (FailureKind.CANCELLED, 1)
        assert (outcome.retryable, outcome.maybe_accepted) == (True, False)
    assert len(rcpts(server)) == 3


def test_a_mail_that_some_have_is_a_success_also_if_the_rest_is_cancelled(
    mailing: Mailing, retries: Retries
) -> None:
    server, ref = mailing.begin(Moody(answers={B: [LATER]}), retry=HOUR)
    mailing.tell(ref, recipients=[A, B])
    retries.wait_for(1)
    ref.stop(timeout=PATIENCE)

    (outcome,) = mailing.outcomes()

    assert isinstance(outcome, SendSuccess)
    assert accepted(outcome) == [True, False]
    assert outcome.recipients[1].retryable
    assert outcome.warnings == ("stopped before it was sent",)
    assert len(server.mails) == 1


def test_mails_that_wait_do_not_keep_others_from_going(mailing: Mailing, retries: Retries) -> None:
    ref = mailing.begin(Moody(answers={A: [LATER] * 20}), retry=HOUR, max_connections=2)[1]
    mailing.tell(ref, 20, recipients=A)
    retries.wait_for(20)

    with Clock(5.0):
        outcome = mailing.ask(ref, recipients=B)

    assert isinstance(outcome, SendSuccess)
    ref.stop(timeout=PATIENCE)


def test_many_mails_that_come_back_have_one_outcome_each(
    loop_kind: str, mailing: Mailing, retries: Retries
) -> None:
    greylist = {f"u{number}@d.test": [LATER] * (number % 4) for number in range(60)}
    server, ref = mailing.begin(Moody("PIPELINING", answers=greylist), retry=SOON)

    for number in range(60):
        mailing.tell(ref, recipients=f"u{number}@d.test", context=number)

    outcomes = mailing.outcomes()
    assert all(isinstance(outcome, SendSuccess) for outcome in outcomes)
    assert [outcome.attempts for outcome in outcomes] == [number % 4 + 1 for number in range(60)]
    assert server.accepted == 60
    retries.wait_for(90)
    statistics = mailing.statistics(ref)
    assert (statistics.retries, statistics.sent, statistics.submitted) == (90, 60, 60)

"""What follows an attempt, as a table."""

from collections.abc import Sequence
from typing import Any

import pytest
from servers.outboxes import mail

from pykka_smtp import (
    FailureKind,
    RecipientResult,
    Reply,
    RetryPolicy,
    SendFailure,
    SendSuccess,
    Stage,
)
from pykka_smtp.actors.outbox.rules.decisions import (
    Again,
    Back,
    Facts,
    Told,
    after_attempt,
    give_up,
    in_doubt,
)

POLICY = RetryPolicy(
    max_attempts=3, initial_delay=10, multiplier=2, max_delay=100, jitter=0, give_up_after=1000
)
YES, LATER, NO = Reply(250, ("ok",)), Reply(450, ("later",)), Reply(550, ("no",))
A, B = "a@x.test", "b@x.test"


def result(address: str, how: str) -> RecipientResult:
    return {
        "yes": RecipientResult(address=address, accepted=True, reply=YES),
        "later": RecipientResult(address=address, accepted=False, reply=LATER, retryable=True),
        "no": RecipientResult(address=address, accepted=False, reply=NO),
        "maybe": RecipientResult(address=address, accepted=False, maybe_accepted=True),
    }[how]


def outcome(results: Sequence[RecipientResult], **given: Any) -> Any:
    common: dict[str, Any] = {
        "mail": mail(recipients=[A, B]),
        "alias": "a",
        "recipients": tuple(results),
    }
    if any(one.accepted for one in results):
        return SendSuccess(reply=YES, **(common | given))
    maybe = any(one.maybe_accepted for one in results)
    values: dict[str, Any] = {
        "kind": FailureKind.CONNECTION if maybe else FailureKind.SMTP,
        "stage": Stage.DOT,
        "detail": "it failed",
        "retryable": all(one.retryable for one in results),
        "maybe_accepted": maybe,
    }
    return SendFailure(**(values | common | given))


def facts(**given: Any) -> Facts:
    values: dict[str, Any] = {"addresses": (A, B), "left": (A, B), "put_at": 100.0}
    return Facts(**(values | given))


@pytest.mark.parametrize(
    ("results", "at_least_once", "left", "doubts"),
    [
        (("yes", "yes"), True, (), 0),
        (("yes", "no"), True, (), 0),
        (("no", "no"), True, (), 0),
        (("yes", "later"), True, (B,), 0),
        (("later", "no"), True, (A,), 0),
        (("later", "later"), False, (A, B), 0),
        (("maybe", "maybe"), True, (A, B), 1),
        (("maybe", "maybe"), False, (), 0),
        (("maybe", "no"), True, (A,), 1),
    ],
)
def test_the_recipients_that_may_be_tried_again_are(
    results: tuple[str, str], at_least_once: bool, left: tuple[str, ...], doubts: int
) -> None:
    made = [result(address, how) for address, how in zip((A, B), results, strict=True)]

    decision = after_attempt(facts(at_least_once=at_least_once), outcome(made), POLICY, 110.0, 0.5)

    if left:
        assert isinstance(decision, Again)
        assert (decision.left, decision.doubts, decision.due) == (left, doubts, 120.0)
        assert decision.past is not None
        assert decision.past.count == 1
    else:
        assert isinstance(decision, Told)
        assert [one.accepted for one in decision.outcome.recipients] == [
            how == "yes" for how in results
        ]


def test_the_last_attempt_is_the_last_and_all_of_them_are_one_outcome() -> None:
    known = facts()
    for attempt in range(3):
        how = "yes" if attempt == 0 else "later"
        made = [result(address, "later" if address == B else how) for address in known.left]
        decision = after_attempt(known, outcome(made), POLICY, 110.0 + attempt, 0.5)
        if isinstance(decision, Again):
            known = facts(left=decision.left, past=decision.past, doubts=decision.doubts)

    assert isinstance(decision, Told)
    assert isinstance(decision.outcome, SendSuccess)
    assert decision.outcome.attempts == 3
    assert [one.address for one in decision.outcome.refused] == [B]


@pytest.mark.parametrize("expires", [115.0, 120.0])
def test_no_attempt_comes_when_the_mail_is_useless(expires: float) -> None:
    made = [result(A, "later"), result(B, "later")]

    assert isinstance(after_attempt(facts(expires=expires), outcome(made), POLICY, 110, 0.5), Told)


def test_a_cancelled_attempt_is_none_unless_the_end_was_out() -> None:
    cancelled = {"kind": FailureKind.CANCELLED}
    made = [result(A, "later"), result(B, "later")]
    assert after_attempt(facts(), outcome(made, **cancelled), POLICY, 1.0, 0.5) == Back()

    made = [result(A, "maybe"), result(B, "maybe")]
    again = after_attempt(facts(), outcome(made, **cancelled), POLICY, 1.0, 0.5)
    assert isinstance(again, Again)
    assert (again.due, again.doubts) == (1.0, 1)
    told = after_attempt(facts(at_least_once=False), outcome(made, **cancelled), POLICY, 1.0, 0.5)
    assert isinstance(told, Told)


def test_a_dead_relay_counts_no_attempt_until_the_mail_is_too_old() -> None:
    made = [result(A, "later"), result(B, "later")]
    dead = outcome(made, attempts=0, kind=FailureKind.CONNECT)

    decision = after_attempt(facts(), dead, POLICY, 200.0, 0.5)
    assert isinstance(decision, Again)
    assert (decision.due, decision.past, decision.left) == (210.0, None, (A, B))
    late = after_attempt(facts(), dead, POLICY, 1095.0, 0.5)
    assert isinstance(late, Told)


def test_a_failure_after_a_doubt_says_that_a_copy_may_be_there() -> None:
    told = after_attempt(
        facts(doubts=2), outcome([result(A, "no"), result(B, "no")]), POLICY, 1.0, 0.5
    )

    assert isinstance(told, Told)
    failure = told.outcome
    assert isinstance(failure, SendFailure)
    assert (failure.doubts, failure.maybe_accepted, failure.retryable) == (2, True, False)
    assert "an earlier attempt may have been accepted" in failure.detail


def test_a_success_after_a_doubt_says_how_many_copies_there_may_be() -> None:
    told = after_attempt(
        facts(doubts=2), outcome([result(A, "yes"), result(B, "yes")]), POLICY, 1.0, 0.5
    )

    assert isinstance(told, Told)
    assert told.outcome.doubts == 2


def test_what_is_given_up_or_in_doubt_has_its_earlier_recipients() -> None:
    first = after_attempt(
        facts(), outcome([result(A, "yes"), result(B, "later")]), POLICY, 1.0, 0.5
    )
    assert isinstance(first, Again)
    known = facts(left=first.left, past=first.past, at_least_once=False)

    told = in_doubt(known, outcome([result(B, "maybe")]))
    assert isinstance(told.outcome, SendSuccess)
    assert [one.maybe_accepted for one in told.outcome.recipients] == [False, True]

    second = after_attempt(
        facts(), outcome([result(A, "later"), result(B, "later")]), POLICY, 1.0, 0.5
    )
    assert isinstance(second, Again)
    known = facts(left=second.left, past=second.past)
    told = give_up(known, outcome([result(A, "later"), result(B, "later")], attempts=0))
    assert told.outcome.attempts == 1

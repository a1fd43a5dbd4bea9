"""Several attempts at one mail, summed up."""

from pykka_smtp.signals.attempts import Attempts
from pykka_smtp.signals.outcome import Outcome, SendFailure, SendSuccess
from pykka_smtp.signals.send_mail import SendMail
from pykka_smtp.smtp.reply import Reply
from pykka_smtp.smtp.stage import Stage
from pykka_smtp.smtp.verdict import FailureKind, RecipientResult

MAIL = SendMail(sender="me@a.test", recipients=["you@b.test", "her@b.test"], message=b"Hello\r\n")
YOU, HER = MAIL.all_recipients
LATER = Reply(450, ("4.2.0 greylisted",))


def result(address: str, *, accepted: bool = False, maybe: bool = False) -> RecipientResult:
    return RecipientResult(
        address=address,
        accepted=accepted,
        maybe_accepted=maybe,
        retryable=not (accepted or maybe),
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
    return SendSuccess(mail=MAIL, alias="m", recipients=results, elapsed=1.0)


def summed_up(*outcomes: SendSuccess | SendFailure) -> Outcome:
    attempts = Attempts()
    for outcome in outcomes:
        attempts.add(outcome)
    return attempts.sum_up(MAIL.all_recipients)


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
    assert outcome.maybe_accepted
    assert not outcome.retryable
    assert outcome.detail == "refused; an earlier attempt may have been accepted"
    assert [(r.maybe_accepted, r.retryable) for r in outcome.recipients] == [(True, False)] * 2


def test_the_doubt_is_over_for_those_who_have_it_in_the_end() -> None:
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

    outcome = attempts.sum_up(MAIL.all_recipients)

    assert isinstance(outcome, SendFailure)
    assert outcome.maybe_accepted
    assert not outcome.retryable
    assert outcome.attempts == 1


def test_a_mail_given_up_without_doubt_is_not_in_doubt() -> None:
    attempts = Attempts()
    attempts.add(failure(result(YOU), result(HER)))
    attempts.give_up(failure(result(YOU), result(HER), detail="stopped before it was sent"))

    outcome = attempts.sum_up(MAIL.all_recipients)

    assert isinstance(outcome, SendFailure)
    assert (outcome.maybe_accepted, outcome.retryable) == (False, True)
    assert outcome.detail == "stopped before it was sent"

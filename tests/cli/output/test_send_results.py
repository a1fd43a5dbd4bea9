"""What an outcome comes to: rows, counts, summary and exit status."""

from typing import Any

import pytest

from pykka_smtp import (
    FailureKind,
    Outcome,
    RecipientResult,
    Reply,
    SendFailure,
    SendMail,
    SendSuccess,
    Stage,
)
from pykka_smtp.cli.output.results import Row, Tally, is_about_relay, row_not_tried, rows_of

A, B = "a@x.test", "b@x.test"
MAIL = SendMail(sender="me@example.com", recipients=(A, B), body="Hello")
NO = Reply(550, ("5.1.1 who?",))
LATER = Reply(450, ("4.2.0 later",))


def result(address: str = A, reply: Reply | None = None, **more: Any) -> RecipientResult:
    return RecipientResult(address=address, accepted=False, reply=reply, **more)


def failure(kind: FailureKind, stage: Stage, *results: RecipientResult, **more: Any) -> SendFailure:
    fields: dict[str, Any] = {"retryable": False, "detail": "so it went", "alias": "x"} | more
    return SendFailure(
        mail=MAIL, kind=kind, stage=stage, recipients=results or (result(),), **fields
    )


REFUSED = failure(FailureKind.SMTP, Stage.RCPT, result(reply=NO), reply=NO)
PASSING = failure(FailureKind.TIMEOUT, Stage.GREETING, retryable=True)
NO_HOST = failure(FailureKind.CONNECT, Stage.CONNECT, operation="getaddrinfo")
NO_HOST_NOW = failure(FailureKind.CONNECT, Stage.CONNECT, operation="getaddrinfo", retryable=True)
NOBODY = failure(FailureKind.CONNECT, Stage.CONNECT, operation="connect", retryable=True)
BAD_PASSWORD = failure(FailureKind.SMTP, Stage.AUTH, result(reply=NO), reply=NO)
NO_AUTH_NOW = failure(
    FailureKind.SMTP, Stage.AUTH, result(reply=LATER, retryable=True), reply=LATER, retryable=True
)
UNSAFE = failure(FailureKind.SECURITY, Stage.STARTTLS)
DEFECT = failure(FailureKind.INTERNAL, Stage.MAIL)
DOUBT = failure(FailureKind.CONNECTION, Stage.DOT, result(maybe_accepted=True), maybe_accepted=True)
CANCELLED = failure(FailureKind.CANCELLED, Stage.CONNECT, retryable=True)


def tally_of(*outcomes: Outcome | None, total: int | None = None) -> Tally:
    """Count outcomes; None stands for a recipient who was not tried."""
    tally = Tally(len(outcomes) if total is None else total)
    for outcome in outcomes:
        rows = [row_not_tried(A, "so it went")] if outcome is None else rows_of(outcome)
        for row in rows:
            tally.add(row, outcome)
    return tally


def test_of_several_recipients_each_has_a_row_with_what_was_said_of_him() -> None:
    yes = RecipientResult(address=B, accepted=True, reply=Reply(251, ("will forward",)))
    success = SendSuccess(
        mail=MAIL,
        alias="x",
        recipients=(result(reply=NO), yes, result("c@x.test", retryable=True)),
        reply=Reply(250, ("2.0.0 taken", "as 4F2A")),
        warnings=("odd", "the relay left amid the mail"),
        elapsed=1.23456,
        attempts=2,
    )

    rows = list(rows_of(success))

    both: dict[str, Any] = {"attempts": 2, "elapsed": 1.235}
    assert rows[:2] == [
        Row(
            address=A,
            result="refused",
            code=550,
            enhanced="5.1.1",
            text="5.1.1 who?",
            kind="SMTP",
            **both,
        ),
        Row(address=B, result="accepted", code=251, text="will forward", **both),
    ]
    assert (rows[2].result, rows[2].retryable) == ("failed", True)


def test_a_recipient_of_whom_no_reply_speaks_has_our_own_words() -> None:
    [row] = rows_of(PASSING)
    assert (row.text, row.code, row.kind) == ("so it went", None, "TIMEOUT")


def test_doubt_falls_on_those_of_whom_it_is_said_or_else_on_all() -> None:
    named = failure(
        FailureKind.CONNECTION,
        Stage.DOT,
        result(maybe_accepted=True),
        result(B, NO),
        maybe_accepted=True,
    )
    unnamed = failure(FailureKind.INTERNAL, Stage.DOT, result(), result(B), maybe_accepted=True)

    assert [row.result for row in rows_of(named)] == ["maybe", "failed"]
    assert [row.result for row in rows_of(unnamed)] == ["maybe", "maybe"]
    assert not any(row.retryable for row in [*rows_of(named), *rows_of(unnamed)])


def test_a_mail_that_never_left_its_queue_had_no_attempt() -> None:
    [row] = rows_of(CANCELLED)

    assert (row.result, row.attempts, row.retryable) == ("not sent", 0, True)


@pytest.mark.parametrize(
    ("outcome", "is_it"),
    [
        (NOBODY, True),
        (NO_HOST, True),
        (UNSAFE, True),
        (BAD_PASSWORD, True),
        (PASSING, True),
        (REFUSED, False),
        (DOUBT, False),
        (CANCELLED, False),
        (failure(FailureKind.LOCAL, Stage.CONNECT), False),
        (failure(FailureKind.TIMEOUT, Stage.RCPT), False),
        (SendSuccess(mail=MAIL, alias="x", reply=Reply(250, ("taken",))), False),
    ],
)
def test_what_happens_before_the_mail_is_about_the_relay(outcome: Outcome, *, is_it: bool) -> None:
    assert is_about_relay(outcome) is is_it


YES = SendSuccess(
    mail=MAIL,
    alias="x",
    recipients=(RecipientResult(address=A, accepted=True),),
    reply=Reply(250, ("taken",)),
)


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([YES], 0),
        ([YES, REFUSED], 69),
        ([YES, PASSING], 75),
        ([YES, DOUBT], 75),
        ([DOUBT, REFUSED], 69),
        ([PASSING, REFUSED], 69),
        ([CANCELLED], 75),
        ([None], 75),
        # Authentication, and what is no safer, comes before all else.
        ([BAD_PASSWORD, None, None], 77),
        ([UNSAFE, NO_HOST, REFUSED, DEFECT], 77),
        ([NO_AUTH_NOW], 75),
        # An unknown host only if that is all there is, but for those who were not tried.
        ([NO_HOST, None, CANCELLED], 68),
        ([YES, NO_HOST], 68),
        ([NO_HOST, NOBODY], 69),
        ([NO_HOST_NOW], 75),
        ([NOBODY, None], 75),
        # A defect comes before what was refused.
        ([DEFECT, REFUSED], 70),
    ],
)
def test_the_status_is_the_first_that_applies(outcomes: list[Outcome | None], status: int) -> None:
    assert tally_of(*outcomes).status() == status
    # In whatever order they came.
    assert tally_of(*reversed(outcomes)).status() == status


def test_not_all_is_well_while_some_have_no_result() -> None:
    assert tally_of(YES, total=2).status() == 75


def test_the_summary_counts_reasons_and_gives_an_example_of_each() -> None:
    tally = tally_of(YES, REFUSED, REFUSED, PASSING, DOUBT, None)
    tally.retries = 3

    assert tally.summary(2.0) == [
        "recipients  6  in 2.0 s, 2.5/s, 3 tried again",
        "accepted    1",
        "refused     2  for good",
        "failed      1  of these 1 may pass later",
        "maybe       1  find out before you send it again",
        "not sent    1  their turn did not come",
        "",
        "2  SMTP at rcpt: 550 5.1.1, as of a@x.test: 5.1.1 who?",
        "1  TIMEOUT at greeting, as of a@x.test: so it went",
        "1  CONNECTION at dot, as of a@x.test: so it went",
        "1  CANCELLED, as of a@x.test: not tried: so it went",
    ]


def test_very_many_reasons_are_summed_up() -> None:
    replies = [Reply(500 + number, ("no",)) for number in range(99)]
    refused = [
        failure(FailureKind.SMTP, Stage.RCPT, result(reply=reply), reply=reply) for reply in replies
    ]

    lines = tally_of(*refused).summary(1.0)

    assert len(lines) == 6 + 20 + 1
    assert lines[6].startswith("79  other reasons, as of a@x.test: ")

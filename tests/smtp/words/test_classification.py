"""What each reply code means at each stage: the table, against one that was written apart."""

import pytest

from pykka_smtp.smtp.words.classification import EHLO_UNKNOWN, SERVICE_CLOSING, ReplyClass, classify
from pykka_smtp.smtp.words.stage import Stage
from pykka_smtp.smtp.words.verdict import FailureKind

# From the RFCs, by the first digit, then the codes of which an RFC says something else. The
# columns: 2yz, 3yz, 4yz, 5yz. "go": obeyed; "later": refused now; "no": refused for good;
# "what?": makes no sense here, and nothing was accepted; "doubt": nobody knows.
BY_FIRST_DIGIT = """
    greeting   what?  what?  later  no
    ehlo       go     what?  later  no
    mail       go     what?  later  no
    rcpt       go     what?  later  no
    data       what?  go     later  no
    body       what?  what?  later  no
    dot        go     doubt  later  no
    quit       go     what?  later  no
"""
BY_CODE = {
    ("greeting", 220): "go",  # RFC 5321 §4.3.2: the only reply that opens a session
    ("rcpt", 552): "later",  # RFC 5321 §4.5.3.1.10: too many recipients
}
MEANINGS = {
    "go": ReplyClass.POSITIVE,
    "later": ReplyClass.TRANSIENT,
    "no": ReplyClass.PERMANENT,
    "what?": ReplyClass.UNEXPECTED,
    "doubt": ReplyClass.AMBIGUOUS,
}
TABLE = {row.split()[0]: row.split()[1:] for row in BY_FIRST_DIGIT.strip().splitlines()}


@pytest.mark.parametrize("stage", TABLE)
def test_every_reply_code_means_what_the_rfcs_say_at_every_stage(stage: str) -> None:
    wrong = {
        code: found
        for code in range(200, 600)
        if (found := classify(Stage(stage), code))
        is not MEANINGS[BY_CODE.get((stage, code), TABLE[stage][code // 100 - 2])]
    }

    assert wrong == {}


def test_the_table_has_every_stage_in_which_a_mail_can_be_refused() -> None:
    # Connecting has no replies; TLS and authentication have their own rules.
    others = {Stage.CONNECT, Stage.STARTTLS, Stage.AUTH}
    assert {Stage(stage) for stage in TABLE} == set(Stage) - others


def test_a_meaning_that_is_a_failure_says_what_to_tell_the_program() -> None:
    assert ReplyClass.TRANSIENT.value == (FailureKind.SMTP, True, False)
    assert ReplyClass.PERMANENT.value == (FailureKind.SMTP, False, False)
    assert ReplyClass.UNEXPECTED.value == (FailureKind.PROTOCOL, True, False)
    assert ReplyClass.AMBIGUOUS.value == (FailureKind.PROTOCOL, False, True)


def test_nothing_is_both_perhaps_accepted_and_to_be_tried_again() -> None:
    failures = [found.value for found in ReplyClass if found is not ReplyClass.POSITIVE]

    assert not any(retryable and doubt for _, retryable, doubt in failures)


@pytest.mark.parametrize("stage", TABLE)
def test_a_server_that_is_closing_is_to_be_tried_again(stage: str) -> None:
    assert classify(Stage(stage), SERVICE_CLOSING) is ReplyClass.TRANSIENT


def test_only_four_codes_say_that_ehlo_is_not_known() -> None:
    assert sorted(EHLO_UNKNOWN) == [500, 501, 502, 504]

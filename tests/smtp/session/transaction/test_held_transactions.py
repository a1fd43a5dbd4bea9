"""A transaction in one write that has not begun: what comes now was said behind the one before."""

import pytest
from conversations.kept_rig import SPECULATIVE, KeptRig

from pykka_smtp.smtp.words.verdict import Accepted, FailureKind

OK = "250 ok"
TO = ("a@x.test", "b@x.test", "c@x.test")


def held(mails: int) -> KeptRig:
    """Have so many transactions of a mail taken, while the next one does not begin."""
    rig = KeptRig(*TO, offers=[*SPECULATIVE, "LIMITS RCPTMAX=1"])
    rig.greet()
    for number in range(mails):
        rig.holds = number == mails - 1
        rig.say(OK, OK, "250 taken")
    assert rig.body is not None
    rig.said.clear()
    return rig


@pytest.mark.parametrize("said", [b"250 taken\r\n", b"554 spam\r\n", b"\xff\r\n"])
def test_what_is_said_before_it_begins_leaves_the_last_verdict_in_doubt(said: bytes) -> None:
    rig = held(1)
    rig.hear(said)

    assert rig.said == b""
    assert rig.failed.kind is FailureKind.PROTOCOL
    assert [(r.maybe_accepted, r.retryable) for r in rig.failed.recipients] == [
        (True, False),
        (False, True),
        (False, True),
    ]


def test_verdicts_before_the_last_one_stand() -> None:
    rig = held(2)
    rig.hear(b"554 spam\r\n")

    assert isinstance(rig.verdict, Accepted)
    recipients = rig.verdict.recipients
    assert [(r.accepted, r.maybe_accepted) for r in recipients] == [
        (True, False),
        (False, True),
        (False, False),
    ]


@pytest.mark.parametrize("how", ["eof", "lose", "time_out"])
def test_half_a_reply_that_never_ends_leaves_the_last_verdict_in_doubt(how: str) -> None:
    rig = held(1)
    rig.hear(b"25")
    getattr(rig, how)()

    assert rig.failed.maybe_accepted


@pytest.mark.parametrize("how", ["eof", "lose", "time_out"])
def test_an_end_without_a_word_leaves_the_last_verdict(how: str) -> None:
    rig = held(1)
    getattr(rig, how)()

    assert isinstance(rig.verdict, Accepted)
    assert [r.accepted for r in rig.verdict.recipients] == [True, False, False]


def test_an_end_by_421_leaves_the_last_verdict() -> None:
    rig = held(1)
    rig.hear(b"421 closing\r\n")

    assert isinstance(rig.verdict, Accepted)
    assert [r.accepted for r in rig.verdict.recipients] == [True, False, False]


def test_a_first_transaction_that_has_not_begun_leaves_no_doubt() -> None:
    rig = KeptRig(*TO)
    rig.holds = True
    rig.greet()
    rig.hear(b"250 early\r\n250 early\r\n")

    assert (rig.failed.kind, rig.failed.maybe_accepted) == (FailureKind.PROTOCOL, False)
    assert rig.delivery.session_was_stale(rig.failed)


def test_half_a_reply_holds_it_back() -> None:
    rig = KeptRig(*TO)
    rig.holds = True
    rig.greet()
    assert rig.dialog.may_end_mail_data

    rig.hear(b"25")

    assert not rig.dialog.may_end_mail_data


@pytest.mark.parametrize("verdicts", [("250 taken", "550 no"), ("550 no", "250 taken")])
def test_by_lmtp_what_is_said_before_it_begins_leaves_all_last_verdicts_in_doubt(
    verdicts: tuple[str, ...],
) -> None:
    rig = KeptRig(*TO, offers=["PIPELINING", "CHUNKING", "LIMITS RCPTMAX=2"], is_lmtp=True)
    rig.greet()
    rig.say(OK, OK, OK)
    rig.send_body()
    rig.holds = True
    rig.say(*verdicts)
    rig.said.clear()

    rig.hear(b"250 taken\r\n")

    assert rig.said == b""
    assert rig.failed.kind is FailureKind.PROTOCOL
    assert rig.told == ["doubt", "doubt", "later"]

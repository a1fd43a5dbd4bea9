"""LMTP (RFC 2033): one verdict for each recipient."""

import itertools

import pytest
from conversations.esmtp_rig import EsmtpRig
from conversations.rig import MAIL, SERVER

from pykka_smtp.smtp.mail.mail_data import encode_whole
from pykka_smtp.smtp.words.stage import Stage
from pykka_smtp.smtp.words.verdict import Accepted, FailureKind

TO = ("u1@d.test", "u2@d.test", "u3@d.test")
OK = "250 ok"


def sent(*to: str, rcpts: tuple[str, ...] = (), pipelining: bool = False) -> EsmtpRig:
    """Come as far as the dot."""
    to = to or TO
    offers = ["PIPELINING"] if pipelining else []
    rig = EsmtpRig(*to, offers=offers, is_lmtp=True).greet()
    rig.say(OK, *(rcpts or [OK] * len(to)), "354 go")
    assert rig.lines() == ["MAIL FROM:<a@b.test>", *(f"RCPT TO:<{path}>" for path in to), "DATA"]
    assert rig.data() == encode_whole(MAIL) + b".\r\n"
    return rig


def replies(rig: EsmtpRig) -> list[str | None]:
    assert rig.verdict is not None
    return [None if r.reply is None else str(r.reply) for r in rig.verdict.recipients]


# The greeting


@pytest.mark.parametrize(
    ("reply", "again"), [("500 this is SMTP", False), ("502 no", False), ("451 later", True)]
)
def test_a_server_that_refuses_lhlo_is_asked_nothing_else(reply: str, *, again: bool) -> None:
    rig = EsmtpRig(*TO, is_lmtp=True)
    rig.connect()
    rig.say("220 mx.test", reply)

    # RFC 2033 §4.1: neither HELO nor EHLO may be said here.
    assert rig.lines() == ["LHLO c.test", "QUIT"]
    assert (rig.failed.kind, rig.failed.stage) == (FailureKind.SMTP, Stage.EHLO)
    assert rig.failed.retryable is again
    assert rig.failed.detail == f"{SERVER} refused the email at ehlo: {reply}"


def test_what_lhlo_offers_counts_like_what_ehlo_offers() -> None:
    rig = EsmtpRig(*TO, offers=["PIPELINING", "SIZE 5"], is_lmtp=True).greet()

    assert rig.failed.kind is FailureKind.LOCAL
    assert "takes emails of up to 5 octets" in rig.failed.detail


# One verdict for each


def test_the_outcome_comes_with_the_last_verdict() -> None:
    rig = sent()
    rig.say("250 for u1", "250 for u2")
    assert rig.verdict is None
    rig.say("250 for u3")

    assert rig.told == ["accepted"] * 3
    # The one that was given on this recipient, not the answer to RCPT.
    assert replies(rig) == ["250 for u1", "250 for u2", "250 for u3"]
    assert str(rig.accepted.reply) == "250 for u3"
    assert rig.lines() == ["QUIT"]


def test_verdicts_may_come_all_at_once() -> None:
    rig = sent(pipelining=True)
    rig.hear(b"250 one\r\n550-not\r\n550 you\r\n250 three\r\n")

    assert rig.told == ["accepted", "refused 550", "accepted"]
    assert replies(rig) == ["250 one", "550 not you", "250 three"]


WORDS = {"250": "accepted", "450": "later 450", "552": "refused 552"}


@pytest.mark.parametrize("codes", list(itertools.product(WORDS, repeat=3)), ids="-".join)
def test_each_recipient_has_his_own_verdict_whatever_the_others_have(
    codes: tuple[str, ...],
) -> None:
    rig = sent()
    rig.say(*(f"{code} text" for code in codes))

    # 552 is "too many recipients" at RCPT; as a verdict it is what it says.
    assert rig.told == [WORDS[code] for code in codes]
    assert rig.lines() == ["QUIT"]
    if "250" in codes:
        assert isinstance(rig.verdict, Accepted)
        return
    failed = rig.failed
    assert (failed.kind, failed.stage) == (FailureKind.SMTP, Stage.DOT)
    assert failed.retryable is ("450" in codes)
    assert failed.reply is not None
    assert failed.reply.code == (450 if "450" in codes else 552)


def test_who_was_refused_at_rcpt_has_no_verdict() -> None:
    rig = sent(rcpts=(OK, "550 who?", OK))
    rig.say("250 for u1", "450 for u3")

    assert replies(rig) == ["250 for u1", "550 who?", "450 for u3"]
    assert rig.told == ["accepted", "refused 550", "later 450"]


def test_a_single_recipient_has_a_single_verdict() -> None:
    rig = sent("u1@d.test")
    rig.say("251 forwarded")

    assert replies(rig) == ["251 forwarded"]
    assert rig.lines() == ["QUIT"]


def test_no_mail_data_is_sent_without_recipients() -> None:
    rig = EsmtpRig(*TO, offers=["PIPELINING"], is_lmtp=True).greet()
    rig.say(OK, "550 a", "550 b", "450 c")
    assert rig.told == ["refused 550", "refused 550", "later 450"]
    rig.say("503 no valid recipients", "221 bye")

    assert rig.lines()[-1] == "QUIT"
    assert not rig.body


# A connection that ends too early


@pytest.mark.parametrize("end", ["lose", "eof", "time_out"])
@pytest.mark.parametrize(
    ("heard", "told"),
    [
        ((), ["doubt", "doubt", "doubt"]),
        (("250 one",), ["accepted", "doubt", "doubt"]),
        (("550 one",), ["refused 550", "doubt", "doubt"]),
        (("450 one", "250 two"), ["later 450", "accepted", "doubt"]),
        (("450 one", "552 two"), ["later 450", "refused 552", "doubt"]),
    ],
    ids=str,
)
def test_who_has_no_verdict_when_the_connection_ends_is_in_doubt(
    heard: tuple[str, ...], told: list[str], end: str
) -> None:
    rig = sent()
    rig.say(*heard)
    getattr(rig, end)()

    assert rig.told == told
    if "accepted" in told:
        (warning,) = rig.accepted.warnings
        assert warning.endswith("; the email may have been accepted")
    else:
        assert (rig.failed.maybe_accepted, rig.failed.retryable) == (True, False)
    assert rig.closed is not None


def test_a_partial_final_reply_does_not_count() -> None:
    rig = sent()
    rig.hear(b"250 one\r\n250-two\r\n250 ")
    rig.eof()

    assert rig.told == ["accepted", "doubt", "doubt"]


def test_a_server_that_goes_down_amid_the_verdicts_has_refused_one_recipient() -> None:
    rig = sent()
    rig.say("250 one", "421 going down")
    assert rig.verdict is None
    rig.eof()

    # Of those who come after him it has said nothing.
    assert rig.told == ["accepted", "later 421", "doubt"]
    assert rig.closed is not None


@pytest.mark.parametrize(
    ("third", "told"), [("421 going down", "later 421"), ("250 three", "accepted")]
)
def test_verdicts_may_follow_421(third: str, told: str) -> None:
    rig = sent()
    rig.say("550 one", "421 going down", third)

    assert rig.told == ["refused 550", "later 421", told]
    assert rig.closed is not None
    assert rig.lines() == []


def test_nonsense_amid_the_verdicts_is_doubt_from_there_on() -> None:
    rig = sent()
    rig.say("250 one", "354 go on")

    assert rig.told == ["accepted", "doubt", "doubt"]
    assert rig.closed is not None


@pytest.mark.parametrize("codes", ["250 250 250 250", "550 250 250 250", "250 250 250 550"])
def test_a_verdict_too_many_puts_all_in_doubt(codes: str) -> None:
    rig = sent()
    rig.hear(b"".join(f"{code} text\r\n".encode() for code in codes.split()))

    # One of them is none, and nobody knows which.
    assert rig.told == ["doubt", "doubt", "doubt"]
    assert rig.failed.maybe_accepted


def test_a_verdict_too_many_leaves_those_of_another_transaction_alone() -> None:
    rig = EsmtpRig(*TO, offers=["LIMITS RCPTMAX=1"], is_lmtp=True).greet()
    rig.say(OK, OK, "354 go")
    rig.lines()
    rig.data()
    rig.say("250 one", OK, OK, "354 go")
    rig.lines()
    rig.data()
    rig.hear(b"250 two\r\n250 and more\r\n")

    assert rig.told == ["accepted", "doubt", "later"]


def test_a_verdict_whose_text_says_otherwise_is_believed_and_noted() -> None:
    rig = sent("u1@d.test", "u2@d.test")
    rig.say("250 5.2.2 full", "250 2.0.0 taken")

    assert rig.told == ["accepted", "accepted"]
    (warning,) = rig.accepted.warnings
    assert "whose text says otherwise" in warning


def test_a_refusal_amid_the_mail_data_is_for_all() -> None:
    rig = EsmtpRig(*TO, is_lmtp=True).greet()
    rig.say(OK, OK, "550 who?", OK, "354 go", "452 full")

    assert rig.told == ["later 452", "refused 550", "later 452"]
    assert rig.failed.stage is Stage.BODY


# Several transactions


def test_verdicts_are_those_of_their_transaction() -> None:
    rig = EsmtpRig(*TO, offers=["LIMITS RCPTMAX=2"], is_lmtp=True).greet()
    rig.say(OK, OK, OK, "354 go")
    rig.lines()
    rig.data()
    rig.say("450 one", "250 two", OK, OK, "354 go")
    assert rig.lines() == ["MAIL FROM:<a@b.test>", "RCPT TO:<u3@d.test>", "DATA"]
    rig.data()
    rig.say("550 three")

    assert replies(rig) == ["450 one", "250 two", "550 three"]
    assert str(rig.accepted.reply) == "250 two"


def test_a_transaction_whose_verdicts_are_all_bad_is_followed_by_rset() -> None:
    rig = EsmtpRig(*TO, offers=["LIMITS RCPTMAX=2"], is_lmtp=True).greet()
    rig.say(OK, OK, OK, "354 go")
    rig.lines()
    rig.data()
    rig.say("550 one", "550 two")
    assert rig.line() == "RSET"
    rig.say(OK, OK, OK, "354 go")
    rig.lines()
    rig.data()
    rig.lose()

    assert rig.told == ["refused 550", "refused 550", "doubt"]
    assert rig.failed.maybe_accepted

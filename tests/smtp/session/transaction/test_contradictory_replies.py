"""A server that refuses a transaction that came in one write, and then says yes to the mail."""

import itertools
from collections.abc import Callable

import pytest
from conversations.kept_rig import SPECULATIVE, KeptRig
from servers.twins import Twin

from pykka_smtp.smtp.words.stage import Stage
from pykka_smtp.smtp.words.verdict import Accepted, FailureKind

CODES = (250, 251, 354, 421, 450, 452, 550, 552)
TO = ("u0@d.test", "u1@d.test")

ENDS: dict[str, Callable[[KeptRig], None]] = {
    "eof": KeptRig.eof,
    "lost": KeptRig.lose,
    "silence": KeptRig.time_out,
    "cancelled": lambda rig: rig.perform(rig.dialog.cancel()),
    "too late": lambda rig: rig.perform(rig.dialog.timed_out(300.0, whole=True)),
    "rubbish": lambda rig: rig.hear(b"\xff\r\n"),
    "421": lambda rig: rig.hear(b"421 bye\r\n"),
}


def speculative(*to: str, is_slow: bool = False, limits: str = "") -> KeptRig:
    """Come as far as the transaction is out, or is on its way."""
    rig = KeptRig(*to, is_slow=is_slow, offers=[*SPECULATIVE, limits] if limits else SPECULATIVE)
    rig.greet()
    return rig


def over(rig: KeptRig) -> bool:
    return bool(rig.closed or rig.released)


def said(codes: tuple[int, ...]) -> bytes:
    return b"".join(b"%d text\r\n" % code for code in codes)


def feed(rig: KeptRig, octets: bytes, cut: str) -> int:
    """Let replies be heard until it is over; return how many of them were."""
    pieces = [octets] if cut == "whole" else [bytes([octet]) for octet in octets]
    if cut == "by line":
        pieces = octets.splitlines(keepends=True)
    heard = b""
    for piece in pieces:
        if over(rig):
            break
        rig.hear(piece)
        heard += piece
    return heard.count(b"\n")


def is_yes(code: int) -> bool:
    return code < 300


def check(rig: KeptRig, heard: tuple[int, ...], recipients: int) -> None:
    """Compare with what a careful reader makes of the replies: to MAIL, each RCPT, and BDAT."""
    told = [word.partition(" ")[0] for word in rig.told]
    verdict = heard[recipients + 1] if len(heard) == recipients + 2 else None
    rcpts = heard[1 : recipients + 1]
    for number, word in enumerate(told):
        own = rcpts[number] if number < len(rcpts) else None
        if word == "accepted":
            assert verdict is not None
            assert own is not None
            assert is_yes(heard[0])
            assert is_yes(own)
            assert is_yes(verdict)
        elif word in {"later", "refused"}:
            # Nobody may be told so whom the server may have on its list.
            is_own = own is not None and own >= 400 and own != 421
            somebody = any(word in {"accepted", "doubt"} for word in told)
            is_leaving = 421 in heard[: recipients + 1]
            is_answered = verdict is not None and verdict >= 400
            assert is_answered or is_leaving or (is_own and somebody), told
            if verdict is not None and is_yes(verdict):
                assert is_own
                assert somebody
    if verdict is not None and is_yes(verdict):
        assert set(told) & {"accepted", "doubt"}
    if rig.verdict and not isinstance(rig.verdict, Accepted):
        assert rig.verdict.maybe_accepted is ("doubt" in told)
        assert not (rig.verdict.maybe_accepted and rig.verdict.retryable)


@pytest.mark.parametrize(
    ("recipients", "cut"),
    [
        *((1, "whole"), (1, "by line"), (1, "octet by octet")),
        # 4096 conversations, each of which is played several times.
        pytest.param(2, "whole", marks=pytest.mark.long),
        *((2, "by line"), (2, "octet by octet")),
    ],
)
def test_no_yes_to_the_mail_is_lost_behind_a_refusal_whatever_the_server_says(
    recipients: int, cut: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if cut != "whole":  # they are cut here; nobody else need cut them again
        monkeypatch.setattr(Twin, "cut_every", 0)
    # In pieces, 421 is the last that is heard: it says that the server leaves.
    ended: tuple[int, ...] = (0,)
    for codes in itertools.product(CODES, repeat=recipients + 2):
        if codes[: len(ended)] == ended:
            continue  # nothing but what nobody hears is different from the last one
        rig = speculative(*TO[:recipients])
        ended = codes[: feed(rig, said(codes), cut)]
        if not over(rig):
            rig.eof()
        heard = codes
        if cut != "whole":
            last = codes.index(421) if 421 in codes[:-1] else len(codes)
            heard = codes[: last + 1]
        if 354 not in heard:
            check(rig, heard, recipients)
        else:  # nothing behind it is heard
            assert "accepted" not in rig.told
            assert "doubt" in rig.told or 421 in heard[: heard.index(354)]


@pytest.mark.parametrize("end", list(ENDS))
@pytest.mark.parametrize("refusal", [450, 550])
@pytest.mark.parametrize("refused_at", ["MAIL", "RCPT"])
@pytest.mark.parametrize("recipients", [1, 2])
def test_an_end_between_a_refusal_and_the_reply_to_the_mail_leaves_doubt(
    recipients: int, refused_at: str, refusal: int, end: str
) -> None:
    codes = (refusal,) if refused_at == "MAIL" else (250, *[refusal] * recipients)
    for more in range(recipients + 2 - len(codes)):
        rig = speculative(*TO[:recipients])
        rig.hear(said(codes) + said((503,) * more))
        is_answer = end == "421" and len(codes) + more == recipients + 1
        ENDS[end](rig)

        assert rig.closed is not None
        if is_answer:  # 421 to the mail is a refusal, too
            assert not rig.failed.maybe_accepted
            continue
        assert rig.told == ["doubt"] * recipients
        assert (rig.failed.maybe_accepted, rig.failed.retryable) == (True, False)
        assert f"{refusal} text" in rig.failed.detail
        assert "may have been accepted" in rig.failed.detail


@pytest.mark.parametrize("end", [end for end in ENDS if end != "421"])
@pytest.mark.parametrize("codes", [(450,), (550,), (250, 450), (250, 550), (421,)])
def test_a_refusal_before_the_mail_was_out_leaves_no_doubt_however_it_ends(
    codes: tuple[int, ...], end: str
) -> None:
    rig = speculative(TO[0], is_slow=True)
    rig.hear(said(codes))
    if rig.closed is None:
        ENDS[end](rig)

    assert rig.told == [f"refused {codes[-1]}" if codes[-1] >= 500 else f"later {codes[-1]}"]
    assert (rig.failed.maybe_accepted, rig.failed.kind) == (False, FailureKind.SMTP)
    assert rig.closed is not None
    assert rig.closed.reset


@pytest.mark.parametrize(
    ("codes", "told", "stage"),
    [
        ((550, 503, 503), "refused 550", Stage.MAIL),
        ((451, 503, 503), "later 451", Stage.MAIL),
        ((451, 250, 554), "later 451", Stage.MAIL),
        ((451, 503, 421), "later 451", Stage.MAIL),
        ((250, 550, 503), "refused 550", Stage.RCPT),
        ((250, 450, 554), "later 450", Stage.RCPT),
        ((250, 450, 421), "later 450", Stage.RCPT),
    ],
)
def test_a_refusal_that_the_reply_to_the_mail_confirms_is_a_plain_one(
    codes: tuple[int, ...], told: str, stage: Stage
) -> None:
    rig = speculative()
    rig.hear(said(codes))

    assert rig.told == [told]
    assert rig.failed.stage is stage
    assert (rig.failed.kind, rig.failed.maybe_accepted) == (FailureKind.SMTP, False)
    assert not rig.released


def test_an_acceptance_after_a_rejection_reports_both_as_doubtful() -> None:
    rig = speculative()
    rig.hear(b"451 4.3.0 not now\r\n503 no\r\n250 2.0.0 queued\r\n")

    assert (rig.failed.kind, rig.failed.stage) == (FailureKind.PROTOCOL, Stage.DOT)
    assert rig.failed.reply is None
    assert rig.failed.detail == (
        "mx.test:25 refused the email at mail: 451 4.3.0 not now; but mx.test:25 said"
        " 250 2.0.0 queued to the mail data; the email may have been accepted"
    )


# Several transactions in one session


@pytest.mark.parametrize("codes", [(451, 503, 250), (550, 250, 250), (250, 450, 250)])
@pytest.mark.parametrize("number", range(3))
def test_a_yes_after_a_refusal_in_one_of_several_transactions_leaves_its_recipients_in_doubt(
    number: int, codes: tuple[int, ...]
) -> None:
    rig = speculative("u0@d.test", "u1@d.test", "u2@d.test", limits="LIMITS RCPTMAX=1 MAILMAX=9")
    for _ in range(number):
        rig.hear(said((250, 250, 250)))
    rig.hear(said(codes))

    assert rig.told == ["accepted"] * number + ["doubt"] + ["later"] * (2 - number)
    assert rig.closed is not None
    if number:
        assert not any("can't begin" in warning for warning in rig.accepted.warnings)
        assert "may have been accepted" in rig.accepted.warnings[-1]
    else:
        assert rig.failed.maybe_accepted


@pytest.mark.parametrize("end", [end for end in ENDS if end != "421"])
def test_an_end_after_a_refusal_in_the_second_transaction_leaves_doubt_for_its_recipients_alone(
    end: str,
) -> None:
    rig = speculative("u0@d.test", "u1@d.test", "u2@d.test", limits="LIMITS RCPTMAX=1")
    rig.hear(said((250, 250, 250)))
    rig.hear(said((550,)))
    ENDS[end](rig)

    assert rig.told == ["accepted", "doubt", "later"]

"""What a server was found to do wrong, and what its other sessions make of it."""

import pytest
from conversations.esmtp_rig import EsmtpRig
from conversations.kept_rig import SPECULATIVE, KeptRig
from conversations.rig import MAIL, SERVER

from pykka_smtp.smtp.mail.content import CompleteContent
from pykka_smtp.smtp.session.dialog.idle_dialog import IdleDialog
from pykka_smtp.smtp.session.opening.session import Session, TlsPolicy
from pykka_smtp.smtp.words.quirks import Quirks
from pykka_smtp.smtp.words.stage import Stage
from pykka_smtp.smtp.words.verdict import FailureKind

OK = "250 ok"


def session(quirks: Quirks, *, is_lmtp: bool = False) -> Session:
    return Session(server=SERVER, ehlo_name="c.test", is_lmtp=is_lmtp, quirks=quirks)


def kept(quirks: Quirks, *, is_lmtp: bool = False, **given: object) -> KeptRig:
    rig = KeptRig(session=session(quirks, is_lmtp=is_lmtp), is_lmtp=is_lmtp, **given)  # type: ignore[arg-type]
    rig.greet()
    return rig


# How a server is found out


@pytest.mark.parametrize("octets", [b"250 taken, I said\r\n", b"554 spam\r\n", b"2", b"\r\n"])
def test_an_unsolicited_reply_while_idle_is_remembered(octets: bytes) -> None:
    quirks = Quirks()

    IdleDialog(quirks).receive_data(octets)

    assert quirks.sends_unsolicited


@pytest.mark.parametrize("octets", [b"421 idle\r\n", b"4", b"42", b"421"])
def test_421_and_closing_is_not_an_unsolicited_reply_quirk(octets: bytes) -> None:
    quirks = Quirks()
    rest = IdleDialog(quirks)

    rest.receive_data(octets)
    rest.receive_eof()

    assert not quirks.sends_unsolicited


@pytest.mark.parametrize("surplus", [OK, "554 spam"])
@pytest.mark.parametrize("replies", [[OK, OK, "250 taken"], [OK, OK, "554 no"]])
def test_a_reply_behind_the_verdict_is_remembered(replies: list[str], surplus: str) -> None:
    quirks = Quirks()
    rig = kept(quirks)

    rig.hear("".join(f"{reply}\r\n" for reply in [*replies, surplus]).encode())

    assert quirks.sends_unsolicited


def test_a_yes_after_a_refusal_may_be_the_reply_to_something_else() -> None:
    quirks = Quirks()
    rig = kept(quirks)
    rig.say("554 the second reply to the mail before", OK, OK)

    assert rig.told == ["doubt"]
    assert quirks.sends_unsolicited


@pytest.mark.parametrize("end", [KeptRig.eof, KeptRig.time_out])
def test_an_end_after_a_refusal_says_nothing_of_the_kind(end: object) -> None:
    quirks = Quirks()
    rig = kept(quirks)
    rig.say("451 later")
    end(rig)  # type: ignore[operator]

    assert not quirks.sends_unsolicited


def test_a_rejection_during_the_mail_data_is_not_a_quirk() -> None:
    quirks = Quirks()
    rig = kept(quirks, offers=())
    rig.say(OK, OK, "354 go", "552 too big")

    assert rig.told == ["refused 552"]
    assert not quirks.sends_unsolicited


# What comes of it


def test_nothing_goes_out_in_one_write_to_a_server_that_sends_unsolicited_replies() -> None:
    rig = kept(Quirks(sends_unsolicited=True))

    assert rig.lines() == ["MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>", "DATA"]
    rig.say(OK, OK, "354 go")
    rig.data()
    rig.say("250 taken")

    assert rig.told == ["accepted"]
    assert not rig.released
    assert rig.lines() == ["QUIT"]


def test_a_reply_too_many_shows_where_354_should_be() -> None:
    rig = kept(Quirks(sends_unsolicited=True))
    rig.say("250 the second reply to the mail before", OK, OK)

    assert rig.told[0].startswith("later")
    assert (rig.failed.kind, rig.failed.maybe_accepted) == (FailureKind.PROTOCOL, False)


def test_a_server_without_chunking_may_be_used_again_all_the_same() -> None:
    rig = kept(Quirks(sends_unsolicited=True), offers=("PIPELINING",))
    rig.say(OK, OK, "354 go")
    rig.said.clear()
    rig.data()
    rig.say("250 taken")

    assert rig.released


def test_lmtp_likewise() -> None:
    rig = kept(Quirks(sends_unsolicited=True), is_lmtp=True)
    rig.say(OK, OK, "354 go")
    rig.said.clear()
    rig.data()
    rig.say("250 taken")

    assert rig.told == ["accepted"]
    assert not rig.released


def test_what_only_a_chunk_can_carry_still_goes_by_bdat_but_alone() -> None:
    data = b"a\0b" + b"x" * 2000
    offers = [*SPECULATIVE, "BINARYMIME", "8BITMIME"]
    rig = kept(Quirks(sends_unsolicited=True), offers=offers, content=CompleteContent(data))

    assert len(rig.lines()) == 2
    rig.say(OK, OK)
    assert rig.line() == f"BDAT {len(data)} LAST"
    rig.chunk()
    rig.say("250 taken")
    assert rig.told == ["accepted"]
    assert not rig.released


# A server that leaves kept connections without a word


def after_a_mail(quirks: Quirks) -> KeptRig:
    """Have one mail taken, and begin the next on the same session."""
    first = kept(quirks)
    first.say(OK, OK, "250 taken")
    assert first.released
    return KeptRig(session=first.session).resume()


def test_a_server_that_leaves_amid_a_whole_transaction_gets_it_step_by_step_on_kept_ones() -> None:
    quirks = Quirks()
    rig = after_a_mail(quirks)
    assert rig.speculative()[0] == "MAIL FROM:<a@b.test>"
    rig.eof()
    assert rig.told == ["doubt"]
    assert quirks.closes_without_reply

    again = after_a_mail(quirks)  # the first of a session goes in one write as before
    assert again.lines() == ["MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>"]
    again.eof()

    assert not again.failed.maybe_accepted
    assert again.delivery.session_was_stale(again.failed)  # another connection, and no attempt less


def test_whoever_answers_or_has_no_mail_before_or_is_slow_has_not_left_without_a_word() -> None:
    quirks = Quirks()
    rig = kept(quirks)
    rig.eof()
    assert rig.told == ["doubt"]
    rig = after_a_mail(quirks)
    rig.say(OK)
    rig.eof()
    assert rig.told == ["doubt"]
    rig = after_a_mail(quirks)
    rig.time_out()
    assert rig.told == ["doubt"]
    rig = after_a_mail(quirks)
    rig.hear(b"421 idle\r\n")
    rig.eof()

    assert not quirks.closes_without_reply


# BDAT that a server does not know


@pytest.mark.parametrize("code", [500, 501, 502, 503])
@pytest.mark.parametrize("is_speculative", [True, False])
def test_after_bdat_was_refused_there_is_an_attempt_by_data(
    code: int, *, is_speculative: bool
) -> None:
    quirks = Quirks()
    rig = kept(quirks, offers=SPECULATIVE if is_speculative else ["CHUNKING"])
    rig.say(OK, OK)
    if not is_speculative:
        rig.said.clear()
        rig.chunk() if rig.body else None
    rig.say(f"{code} what?")

    assert rig.failed.detail == f"{SERVER} offers CHUNKING, but refused BDAT: {code} what?"
    second = rig.delivery.fallback(rig.failed)
    assert second is not None
    assert quirks.rejects_bdat
    again = KeptRig(session=second.session)
    again.delivery, again.dialog = second, type(again.dialog)(second, again._note)
    again.greet()
    assert again.lines()[-1] == "DATA"
    assert again.delivery.fallback(rig.failed) is None


def test_bdat_that_is_refused_before_the_mail_is_out_is_the_same() -> None:
    rig = EsmtpRig(offers=["CHUNKING"])
    rig.greet()
    rig.say(OK, OK, "502 what?")  # the chunk is still here

    assert rig.failed.stage is Stage.BODY
    assert rig.delivery.fallback(rig.failed) is not None


@pytest.mark.parametrize("replies", [["550 no", "503 no", "503 no"], [OK, "550 who?", "503 no"]])
def test_503_to_a_chunk_without_recipients_does_not_switch_off_bdat(replies: list[str]) -> None:
    rig = kept(Quirks())
    rig.say(*replies)

    assert rig.delivery.fallback(rig.failed) is None


@pytest.mark.parametrize("reply", ["552 too big", "554 spam", "451 later", "421 bye"])
def test_what_speaks_of_the_mail_is_no_refusal_of_bdat(reply: str) -> None:
    rig = kept(Quirks())
    rig.say(OK, OK, reply)

    assert rig.delivery.fallback(rig.failed) is None


def test_an_email_accepted_for_a_recipient_is_not_sent_again_by_data() -> None:
    quirks = Quirks()
    rig = KeptRig(
        "u0@d.test", "u1@d.test", session=session(quirks), offers=[*SPECULATIVE, "LIMITS RCPTMAX=1"]
    )
    rig.greet()
    rig.say(OK, OK, "250 taken", OK, OK, "502 what?")

    assert rig.told == ["accepted", "refused 502"]


def test_a_chunk_in_lmtp_that_one_recipient_took_is_not_sent_again() -> None:
    rig = KeptRig("u0@d.test", "u1@d.test", is_lmtp=True, offers=SPECULATIVE)
    rig.greet()
    rig.say(OK, OK, OK)
    rig.said.clear()
    if rig.body is not None:
        rig.chunk()
    rig.say("250 taken", "503 not for this one")

    assert rig.told == ["accepted", "refused 503"]


# A second attempt that fails, too


@pytest.mark.parametrize(
    ("kind", "stage", "warning"),
    [
        (FailureKind.CONNECTION, Stage.EHLO, "hung up on EHLO; tried again with HELO"),
        (FailureKind.SECURITY, Stage.STARTTLS, "the handshake failed; tried again without TLS"),
    ],
)
def test_the_first_cause_stays_in_the_detail_if_the_second_attempt_fails(
    kind: FailureKind, stage: Stage, warning: str
) -> None:
    first = Session(server=SERVER, ehlo_name="c.test", tls_policy=TlsPolicy.OPPORTUNISTIC)
    second = first.fallback(kind, stage, "what happened first")
    assert second is not None

    rig = KeptRig(session=second)
    rig.perform(rig.dialog.fail(FailureKind.CONNECT, f"cannot connect to {SERVER}: refused"))

    assert rig.failed.kind is FailureKind.CONNECT
    assert rig.failed.detail == (
        f"cannot connect to {SERVER}: refused; before that: what happened first"
    )
    assert warning in rig.failed.warnings[0]
    assert MAIL  # nothing of which went out
    assert not rig.stream

"""421 that nobody has asked for (RFC 5321 §3.8): what it leaves of the mail that is under way.

It is the end: nothing behind it counts. Behind the verdict it leaves the verdict; before the mail
was out it is no reply to the mail, and the server has taken it for nobody.
"""

import pytest
from conversations.esmtp_rig import EsmtpRig
from conversations.kept_rig import KeptRig

from pykka_smtp.smtp.words.stage import Stage

TO = ("a@x.test", "b@x.test", "c@x.test")
FINAL = b"250 taken\r\n421 closing\r\n250 what?\r\n"


def amid_mail(rig: EsmtpRig, recipients: int) -> EsmtpRig:
    """Come as far as the mail data."""
    rig.greet().say(*["250 ok"] * (1 + recipients), "354 go")
    assert rig.body is not None
    return rig


def half_out(rig: EsmtpRig, early: bytes) -> EsmtpRig:
    """Have the mail's end wait in the system's buffers, while the server begins to speak."""
    assert rig.dialog.may_end_mail_data
    rig.body = None
    rig.hear(early)
    rig.dialog.mail_data_sent()
    return rig


@pytest.mark.parametrize("cut", range(len(FINAL)))
def test_whatever_comes_behind_421_behind_the_verdict_the_verdict_is_the_same(cut: int) -> None:
    """Or it would depend on how the octets were cut: who hears 421 waits for nothing more."""
    rig = amid_mail(EsmtpRig(*TO[:1]), 1)
    assert rig.send_body()

    for piece in (FINAL[:cut], FINAL[cut:]):
        if rig.closed is None:
            rig.hear(piece)

    assert rig.told == ["accepted"]
    assert rig.closed is not None


@pytest.mark.parametrize("behind", [b"25", b"250 what?\r\n", b"\0\xff\r\n", b"421 again\r\n"])
def test_a_mail_in_one_write_is_taken_if_421_comes_behind_the_verdict(behind: bytes) -> None:
    rig = KeptRig(*TO[:1])
    rig.greet()
    rig.hear(b"250 ok\r\n250 ok\r\n250 taken\r\n421 closing\r\n" + behind)

    assert rig.told == ["accepted"]
    assert rig.closed is not None


def test_an_end_that_is_one_recipient_s_own_reply_hides_nothing_behind_it() -> None:
    """RFC 2033 §4.2: 421 is owed here, and a reply too many leaves open which was whose."""
    rig = amid_mail(EsmtpRig(*TO[:2], is_lmtp=True), 2)
    assert rig.send_body()
    rig.hear(FINAL)

    assert rig.told == ["doubt", "doubt"]


@pytest.mark.parametrize("cut", range(1, len(b"421 closing\r\n")))
@pytest.mark.parametrize("recipients", [1, 2, 3])
@pytest.mark.parametrize("is_lmtp", [False, True])
def test_an_end_that_began_before_the_mail_was_out_is_a_refusal_for_all(
    cut: int, recipients: int, *, is_lmtp: bool
) -> None:
    """It can't be the reply to a mail that the server had not got: not to one recipient's either.

    RFC 2033 §4.2 has a reply for each recipient after the dot. This one came before it.
    """
    said = b"421 closing\r\n"
    rig = half_out(amid_mail(EsmtpRig(*TO[:recipients], is_lmtp=is_lmtp), recipients), said[:cut])
    rig.hear(said[cut:])

    assert rig.told == ["later 421"] * recipients
    assert rig.failed.reply is not None
    assert (rig.failed.maybe_accepted, rig.failed.retryable) == (False, True)


@pytest.mark.parametrize("early", [b"2", b"250 ok\r"])
def test_any_other_reply_that_began_before_the_mail_was_out_leaves_doubt_for_all(
    early: bytes,
) -> None:
    """Also if 421 follows it at once: that may be the first recipient's, or the second's."""
    rig = half_out(amid_mail(EsmtpRig(*TO[:2], is_lmtp=True), 2), early)
    rig.hear(b"250 ok\r\n"[len(early) :] + b"421 closing\r\n")

    assert rig.told == ["doubt", "doubt"]
    assert rig.failed.stage is not Stage.MAIL

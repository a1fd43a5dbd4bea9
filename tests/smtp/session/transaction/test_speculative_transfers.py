"""Bold transfers: MAIL, RCPT and the whole mail in one write, before anybody has said yes."""

import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest
from conversations.kept_rig import SPECULATIVE, KeptRig
from conversations.rig import MAIL
from hypothesis import assume, event, example, given
from hypothesis import strategies as st

from pykka_smtp.smtp.mail.content import CompleteContent, StreamedContent
from pykka_smtp.smtp.mail.mail_data import MailFacts
from pykka_smtp.smtp.session.transaction.speculation import MAX_SPECULATIVE_SIZE
from pykka_smtp.smtp.words.stage import Stage
from pykka_smtp.smtp.words.verdict import Accepted, Failed, FailureKind

OK = "250 ok"
TAKEN = "250 taken"
TO = ("u0@d.test", "u1@d.test", "u2@d.test")
FACTS = MailFacts(size=5, eight_bit=False, nul=False, longest_line=3)


def speculative(*to: str, is_slow: bool = False, **given: Any) -> KeptRig:
    """Come as far as the transaction is out, or is on its way."""
    rig = KeptRig(*to, is_slow=is_slow, **given)
    rig.greet()
    return rig


def after(rig: KeptRig, *to: str, **given: Any) -> KeptRig:
    """Begin another mail on the session that one has left."""
    assert rig.released
    return KeptRig(*to, session=rig.session, **given).resume()


# What goes out


def test_a_whole_transaction_is_one_write() -> None:
    rig = speculative(*TO)

    assert rig.writes[1:] == [
        b"MAIL FROM:<a@b.test>\r\n"
        b"RCPT TO:<u0@d.test>\r\n"
        b"RCPT TO:<u1@d.test>\r\n"
        b"RCPT TO:<u2@d.test>\r\n"
        b"BDAT %d LAST\r\n" % len(MAIL) + MAIL
    ]


def test_no_dot_is_doubled_none_is_added_and_line_ends_are_crlf() -> None:
    rig = speculative(content=CompleteContent(b".\n..a\rb\n."))

    assert rig.chunks == [b".\r\n..a\r\nb\r\n.\r\n"]
    assert rig.speculative()[-1] == "BDAT 14 LAST"


def test_a_binary_mail_goes_out_octet_for_octet() -> None:
    data = b"a\0\n\r" + b"x" * 2000
    rig = speculative(
        offers=[*SPECULATIVE, "BINARYMIME", "8BITMIME"], content=CompleteContent(data)
    )

    assert rig.chunks == [data]
    assert rig.speculative()[0] == "MAIL FROM:<a@b.test> BODY=BINARYMIME"


def test_the_transcript_has_the_transaction_in_order() -> None:
    rig = speculative(*TO[:2])
    rig.say(OK, OK, OK, TAKEN)

    assert rig.trace[5:] == [
        "C: MAIL FROM:<a@b.test>",
        "C: RCPT TO:<u0@d.test>",
        "C: RCPT TO:<u1@d.test>",
        f"C: BDAT {len(MAIL)} LAST",
        f"C: <{len(MAIL)} octets of mail>",
        "S: 250 ok",
        "S: 250 ok",
        "S: 250 ok",
        "S: 250 taken",
    ]


def sized(size: int) -> CompleteContent:
    """Make a mail of so many octets, line ends included."""
    lines, rest = divmod(size, 64)
    mail = b"x" * 62 + b"\r\n"
    return CompleteContent(mail * lines + (b"y" * (rest - 2) + b"\r\n" if rest else b""))


@pytest.mark.parametrize(
    ("size", "is_speculative"),
    [
        (100, True),
        (MAX_SPECULATIVE_SIZE, True),
        (MAX_SPECULATIVE_SIZE + 3, False),
        (200_000, False),
    ],
)
def test_a_mail_over_64_kib_waits_for_the_recipients(*, size: int, is_speculative: bool) -> None:
    rig = speculative(content=sized(size))

    assert (f"BDAT {size} LAST" in rig.trace[-2]) is is_speculative
    if not is_speculative:
        assert rig.lines() == ["MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>"]
        rig.say(OK, OK)
        assert rig.line() == f"BDAT {size} LAST"


@pytest.mark.parametrize(
    ("given_options", "group"),
    [
        ({"offers": ["CHUNKING"]}, ["MAIL"]),
        ({"offers": ["PIPELINING"]}, ["MAIL", "RCPT", "DATA"]),
        ({"keeps": False}, ["MAIL", "RCPT"]),
        ({"is_lmtp": True}, ["MAIL", "RCPT"]),
        ({"content": StreamedContent(FACTS)}, ["MAIL", "RCPT"]),
        ({"content": StreamedContent(None)}, ["MAIL", "RCPT", "DATA"]),
        ({"content": CompleteContent(b"")}, ["MAIL", "RCPT", "DATA"]),
    ],
    ids=["no groups", "no chunks", "not kept", "LMTP", "a file", "a pipe", "empty"],
)
def test_others_are_not_speculative(given_options: dict[str, Any], group: list[str]) -> None:
    rig = speculative(**given_options)

    assert [line.partition(" ")[0] for line in rig.lines()] == group
    assert rig.body is None


def test_a_transaction_that_begins_with_rset_is_not_speculative() -> None:
    # Were RSET refused, and the rest taken, nobody would know what became of the mail.
    rig = speculative(content=sized(MAX_SPECULATIVE_SIZE + 3))
    rig.say(OK, "550 who?")
    assert rig.released

    again = after(rig)
    assert again.lines() == ["RSET", "MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>"]
    again.say(OK, OK, OK)
    assert again.line() == f"BDAT {len(MAIL)} LAST"
    again.chunk()
    again.say(TAKEN)
    assert again.told == ["accepted"]
    assert after(again).speculative()[0] == "MAIL FROM:<a@b.test>"


# Replies, in order


def test_the_replies_are_those_to_the_commands_in_their_order() -> None:
    rig = speculative(*TO)
    rig.say("250 sender", "251 first", "550 second", "250 third")
    assert rig.verdict is None
    rig.say("250 the mail")

    assert rig.told == ["accepted", "refused 550", "accepted"]
    assert rig.accepted.reply.text == "the mail"
    assert [result.reply and result.reply.text for result in rig.accepted.recipients] == [
        "first",
        "second",
        "third",
    ]
    assert rig.released


def test_all_replies_may_come_at_once_or_octet_by_octet() -> None:
    replies = b"250 ok\r\n250-a\r\n250 b\r\n250 taken\r\n"
    whole = speculative()
    whole.hear(replies)
    cut = speculative()
    for octet in replies:
        assert cut.verdict is None
        cut.hear(bytes([octet]))

    assert whole.verdict == cut.verdict
    assert whole.told == ["accepted"]
    assert whole.released
    assert cut.released


def test_many_mails_follow_one_another_on_a_session() -> None:
    rig = speculative()
    for number in range(50):
        assert rig.speculative()[0] == "MAIL FROM:<a@b.test>"
        rig.say(OK, OK, f"250 number {number}")
        assert rig.accepted.reply.text == f"number {number}"
        rig = after(rig)


# Refused


@pytest.mark.parametrize(
    ("reply", "told"), [("451 not now", "later 451"), ("550 no", "refused 550")]
)
def test_where_mail_is_refused_nobody_has_it(reply: str, told: str) -> None:
    rig = speculative(*TO[:2])
    rig.say(reply, "503 no sender", "503 no sender")
    assert rig.verdict is None  # the server may have taken the mail all the same
    rig.say("503 nobody")

    assert rig.told == [told] * 2
    assert (rig.failed.stage, rig.failed.maybe_accepted) == (Stage.MAIL, False)
    assert not rig.released
    assert bytes(rig.said).endswith(b"QUIT\r\n")


def test_where_all_recipients_are_refused_nobody_has_it() -> None:
    rig = speculative(*TO)
    rig.say(OK, "550 who?", "450 full")
    rig.say("552 too many")
    assert rig.verdict is None
    rig.say("503 nobody")

    assert rig.told == ["refused 550", "later 450", "later 552"]
    assert (rig.failed.stage, rig.failed.maybe_accepted) == (Stage.RCPT, False)
    assert not rig.released
    assert bytes(rig.said).endswith(b"QUIT\r\n")


@pytest.mark.parametrize("refused_at", ["MAIL", "RCPT"])
def test_a_session_in_which_a_chunk_was_refused_is_not_kept(refused_at: str) -> None:
    # Exchange 2000 answered 503, and then took the lines of the mail for commands. Their replies
    # would be taken for those to the next mail, and some of them may be 250.
    rig = speculative()
    rig.say(*(["550 no", "503 no"] if refused_at == "MAIL" else [OK, "550 no"]), "503 nobody")
    assert not rig.released
    rig.said.clear()
    rig.say("500 Subject: what?")

    assert rig.closed is not None
    assert rig.told == ["refused 550"]


def test_a_chunk_accepted_after_all_rejections_is_maybe_accepted() -> None:
    rig = speculative()
    rig.say(OK, "550 who?", "250 taken, for nobody")

    assert rig.told == ["doubt"]
    assert rig.failed.maybe_accepted
    assert rig.closed is not None
    assert not rig.released


@pytest.mark.parametrize(
    ("reply", "told"),
    [("452 full", "later 452"), ("554 no", "refused 554"), ("552 too big", "refused 552")],
)
def test_where_the_chunk_is_refused_nobody_has_it(reply: str, told: str) -> None:
    rig = speculative(*TO[:2])
    rig.say(OK, OK, "550 who?", reply)

    assert rig.told == [told, "refused 550"]
    assert (rig.failed.stage, rig.failed.maybe_accepted) == (Stage.DOT, False)
    assert not rig.released
    assert bytes(rig.said).endswith(b"QUIT\r\n")


@pytest.mark.parametrize("place", range(4))
def test_421_ends_it_and_all_may_be_tried_again(place: int) -> None:
    rig = speculative(*TO[:2])
    rig.say(*[OK] * place, "421 closing")

    assert rig.told == ["later 421"] * 2
    assert not rig.failed.maybe_accepted
    assert not rig.released
    assert rig.closed is not None


@pytest.mark.parametrize("recipients", [1, 2, 3])
def test_replies_after_421_are_read_up_to_the_final_one(recipients: int) -> None:
    # A server that says that it leaves, and goes on, may have taken the mail.
    rig = speculative(*TO[:recipients])
    rig.hear(b"421 closing\r\n" + b"250 ok\r\n" * recipients)
    assert rig.told == ["later 421"] * recipients
    assert rig.closed is not None

    rig = speculative(*TO[:recipients])
    rig.hear(b"421 closing\r\n" + b"250 ok\r\n" * (recipients + 1))
    assert rig.told == ["doubt"] * recipients
    assert rig.closed is not None


def test_recipients_rejected_before_421_stay_rejected() -> None:
    rig = speculative(*TO)
    rig.say(OK, "550 who?", OK, "421 closing")

    assert rig.told == ["refused 550", "later 421", "later 421"]


# Nobody knows (RFC 1047)

ENDS: dict[str, tuple[Callable[[KeptRig], None], FailureKind]] = {
    "eof": (KeptRig.eof, FailureKind.CONNECTION),
    "lost": (KeptRig.lose, FailureKind.CONNECTION),
    "silence": (KeptRig.time_out, FailureKind.TIMEOUT),
    "cancelled": (lambda rig: rig.perform(rig.dialog.cancel()), FailureKind.CANCELLED),
    "rubbish": (lambda rig: rig.hear(b"\r\n"), FailureKind.PROTOCOL),
}
SO_FAR = {
    (): ["doubt", "doubt", "doubt"],
    ("250",): ["doubt", "doubt", "doubt"],
    ("250", "250"): ["doubt", "doubt", "doubt"],
    ("250", "550"): ["refused 550", "doubt", "doubt"],
    ("250", "450", "250"): ["later 450", "doubt", "doubt"],
    ("250", "550", "250", "450"): ["refused 550", "doubt", "later 450"],
    ("250", "250", "250", "250"): ["doubt", "doubt", "doubt"],
}


@pytest.mark.parametrize("end", list(ENDS))
@pytest.mark.parametrize("so_far", list(SO_FAR), ids=" ".join)
def test_a_complete_transfer_without_a_reply_is_maybe_accepted(
    so_far: tuple[str, ...], end: str
) -> None:
    rig = speculative(*TO)
    rig.say(*so_far)
    ending, kind = ENDS[end]
    ending(rig)

    assert rig.told == SO_FAR[so_far]
    assert rig.failed.kind is kind
    assert (rig.failed.maybe_accepted, rig.failed.retryable) == (True, False)
    assert "may have been accepted" in rig.failed.detail
    assert not rig.released


@pytest.mark.parametrize("end", list(ENDS))
@pytest.mark.parametrize("so_far", list(SO_FAR), ids=" ".join)
def test_an_incomplete_transfer_is_never_maybe_accepted(so_far: tuple[str, ...], end: str) -> None:
    rig = speculative(*TO, is_slow=True)
    rig.say(*so_far)
    ENDS[end][0](rig)

    assert rig.told == [told.replace("doubt", "later") for told in SO_FAR[so_far]]
    assert (rig.failed.maybe_accepted, rig.failed.retryable) == (False, True)
    assert rig.closed is not None
    assert rig.closed.reset  # what the system still has must not go out


@pytest.mark.parametrize("end", [end for end in ENDS if end != "rubbish"])
def test_after_the_verdict_an_end_changes_nothing(end: str) -> None:
    rig = speculative(*TO[:2])
    rig.say(OK, "550 a", "550 b", "503 nobody")
    ENDS[end][0](rig)

    assert rig.told == ["refused 550"] * 2
    assert not rig.failed.maybe_accepted
    assert rig.closed is not None


@pytest.mark.parametrize("reply", ["354 go", "300 what?"])
@pytest.mark.parametrize("place", range(4))
def test_a_reply_that_makes_no_sense_leaves_doubt_once_the_mail_is_out(
    reply: str, place: int
) -> None:
    # A server that answers MAIL or RCPT with 354 may take the mail all the same.
    rig = speculative(*TO[:2])
    rig.say(*[OK] * place, reply)

    assert rig.told == ["doubt", "doubt"]
    assert (rig.failed.kind, rig.failed.maybe_accepted) == (FailureKind.PROTOCOL, True)
    assert not rig.failed.retryable
    assert not rig.released


@pytest.mark.parametrize("reply", ["354 go", "421 closing"])
def test_a_session_that_ends_before_the_mail_is_out_is_reset_so_that_the_rest_stays_here(
    reply: str,
) -> None:
    # Else the system would send it all the same, and the server might take the mail.
    rig = speculative(is_slow=True)
    rig.say(reply)

    assert rig.told[0].startswith("later")
    assert rig.closed is not None
    assert rig.closed.reset


@pytest.mark.parametrize("place", range(3))
def test_a_reply_that_makes_no_sense_leaves_no_doubt_before_the_mail_is_out(place: int) -> None:
    rig = speculative(*TO[:2], is_slow=True)
    rig.say(*[OK] * place, "354 go")

    assert [told[:5] for told in rig.told] == ["later"] * 2
    assert (rig.failed.kind, rig.failed.maybe_accepted) == (FailureKind.PROTOCOL, False)


# Before the octets are out


def test_replies_may_come_while_the_octets_are_on_their_way() -> None:
    rig = speculative(*TO[:2], is_slow=True)
    rig.say(OK, OK)
    rig.flush()
    rig.say("550 who?", TAKEN)

    assert rig.told == ["accepted", "refused 550"]
    assert rig.released


def test_a_reply_before_the_end_of_mail_data_does_not_count() -> None:
    rig = speculative(is_slow=True)
    rig.say(OK, OK, "250 taken, already")

    assert (rig.failed.kind, rig.failed.maybe_accepted) == (FailureKind.PROTOCOL, False)
    assert rig.told == ["later"]
    assert rig.closed is not None
    assert rig.closed.reset


@pytest.mark.parametrize("reply", [b"250 taken\r\n", b"554 no\r\n"])
@pytest.mark.parametrize("place", [1, 3, 4, 10])
def test_a_reply_begun_before_the_mail_data_was_sent_does_not_count(
    reply: bytes, place: int
) -> None:
    rig = speculative(*TO[:2], is_slow=True)
    rig.say(OK, OK, "550 who?")
    rig.hear(reply[: min(place, len(reply) - 1)])
    rig.flush()
    rig.hear(reply[min(place, len(reply) - 1) :])

    assert rig.told == ["doubt", "refused 550"]
    assert (rig.failed.kind, rig.failed.maybe_accepted) == (FailureKind.PROTOCOL, True)
    assert not rig.released


@pytest.mark.parametrize(("reply", "told"), [("452 full", "later 452"), ("554 no", "refused 554")])
def test_a_refusal_of_the_chunk_before_it_is_out_is_the_verdict(reply: str, told: str) -> None:
    rig = speculative(is_slow=True)
    rig.say(OK, OK, reply)

    assert rig.told == [told]
    assert not rig.failed.maybe_accepted
    assert rig.closed is not None
    assert rig.closed.reset


def test_where_mail_is_refused_before_the_octets_are_out_the_rest_of_them_may_go() -> None:
    rig = speculative(is_slow=True)
    rig.say("550 no")
    assert rig.verdict is None
    assert rig.closed is None
    rig.flush()
    rig.say("503 no", "503 no")

    assert rig.told == ["refused 550"]
    assert not rig.failed.maybe_accepted
    assert bytes(rig.said).endswith(b"QUIT\r\n")
    assert not rig.released


def test_a_part_of_a_reply_before_the_octets_are_out_becomes_the_reply_it_is() -> None:
    # It is owed: MAIL is answered, whenever the last octet of the chunk went.
    rig = speculative(is_slow=True)
    rig.hear(b"25")
    rig.flush()
    rig.hear(b"0 ok\r\n250 ok\r\n250 taken\r\n")

    assert rig.told == ["accepted"]


@pytest.mark.parametrize("reply", ["550 not you", "451 not now", "250 what?"])
def test_what_comes_with_the_extensions_is_no_answer_to_the_mail(reply: str) -> None:
    rig = KeptRig()
    rig.connect()
    rig.say("220 mx.test")
    rig.said.clear()
    rig.hear(f"250-mx.test\r\n250-PIPELINING\r\n250 CHUNKING\r\n{reply}\r\n".encode())

    assert (rig.failed.kind, rig.failed.retryable) == (FailureKind.PROTOCOL, True)
    assert rig.lines() == []


# Too many replies


@pytest.mark.parametrize("behind", [b"250 again\r\n", b"550 no\r\n", b"2", b"\r\n", b"rubbish"])
def test_data_right_after_the_final_reply_is_maybe_accepted(behind: bytes) -> None:
    # One of all these replies was none of ours, and nobody knows which.
    rig = speculative(*TO[:2])
    rig.hear(b"250 ok\r\n250 ok\r\n550 no\r\n250 taken\r\n" + behind)
    if rig.verdict is None:
        rig.eof()

    assert rig.told == ["doubt", "refused 550"]
    assert rig.failed.maybe_accepted
    assert not rig.released


def test_421_right_behind_the_verdict_leaves_the_verdict() -> None:
    rig = speculative()
    rig.hear(b"250 ok\r\n250 ok\r\n250 taken\r\n421 closing\r\n")

    assert rig.told == ["accepted"]
    assert not rig.released
    assert rig.closed is not None


def test_a_reply_too_many_in_a_refused_transaction_ends_the_session() -> None:
    rig = speculative()
    rig.hear(b"550 no\r\n503 no\r\n503 no\r\n250 surprise\r\n")

    assert rig.told == ["refused 550"]
    assert rig.closed is not None
    assert not rig.released


# In several batches


def batches(count: int, **given: Any) -> KeptRig:
    return speculative(*TO[:count], offers=[*SPECULATIVE, "LIMITS RCPTMAX=1"], **given)


def test_each_batch_is_one_write_after_the_verdict_on_the_one_before() -> None:
    rig = batches(3)
    for number, path in enumerate(TO):
        assert rig.speculative() == [
            "MAIL FROM:<a@b.test>",
            f"RCPT TO:<{path}>",
            f"BDAT {len(MAIL)} LAST",
        ]
        assert rig.verdict is None
        rig.say(OK, OK, f"250 batch {number}")

    assert rig.told == ["accepted"] * 3
    assert rig.accepted.reply.text == "batch 2"
    assert rig.chunks == [MAIL] * 3
    assert rig.released


def test_a_batch_that_is_in_doubt_leaves_the_others_as_they_are() -> None:
    rig = batches(3)
    rig.say(OK, OK, TAKEN, OK)
    rig.eof()

    assert rig.told == ["accepted", "doubt", "later"]
    assert "may have been accepted" in rig.accepted.warnings[-1]


def test_the_first_batch_in_doubt_makes_a_failure_and_the_others_may_be_tried_again() -> None:
    rig = batches(3)
    rig.eof()

    assert rig.told == ["doubt", "later", "later"]
    assert (rig.failed.maybe_accepted, rig.failed.retryable) == (True, False)


def test_a_batch_that_has_not_begun_is_in_no_doubt() -> None:
    rig = batches(2)
    rig.say(OK, OK)
    rig.hear(b"250 taken\r\n2")  # a part of a reply: nothing goes out, and no verdict is trusted
    rig.eof()

    assert rig.told == ["doubt", "later"]


def test_a_batch_that_is_on_its_way_is_in_no_doubt_though_the_one_before_is_there() -> None:
    rig = batches(2)
    rig.is_slow = True
    rig.say(OK, OK, TAKEN)
    assert rig.body is not None
    rig.eof()

    assert rig.told == ["accepted", "later"]


@pytest.mark.parametrize(
    "replies", [("550 no", "503 no", "503 no"), (OK, "550 who?", "503 no"), (OK, OK, "554 no")]
)
def test_after_a_chunk_that_was_refused_no_batch_follows(replies: tuple[str, ...]) -> None:
    rig = batches(3)
    rig.speculative()
    rig.say(OK, OK, TAKEN)
    rig.speculative()
    rig.say(*replies)

    assert rig.told[0] == "accepted"
    assert rig.told[1].startswith("refused 5")
    assert rig.told[2] == "later"
    assert "can't begin another transaction" in rig.accepted.warnings[0]
    assert rig.lines() in ([], ["QUIT"])
    assert not rig.released


def test_the_limit_of_mails_in_a_session_counts_speculative_ones() -> None:
    rig = speculative(*TO, offers=[*SPECULATIVE, "LIMITS RCPTMAX=1 MAILMAX=2"])
    rig.say(OK, OK, TAKEN, OK, OK, TAKEN)

    assert rig.told == ["accepted", "accepted", "later"]
    assert not rig.released


# Whatever the server does

CODES = st.one_of(
    *[st.just(250)] * 12,
    st.sampled_from([250, 251, 354, 421, 450, 451, 503, 550, 552, 554]),
    st.integers(200, 599),
)
ENDINGS: tuple[Callable[[KeptRig], None], ...] = (
    KeptRig.eof,
    KeptRig.lose,
    KeptRig.time_out,
    lambda rig: rig.perform(rig.dialog.cancel()),
    lambda rig: rig.perform(rig.dialog.timed_out(300.0, whole=True)),
)


def fate(codes: list[int], *, recipients: int, is_out: bool, is_clean: bool) -> list[str]:
    """Say what is true of each recipient, by the codes of the replies that came, in order.

    Args:
        codes: of complete replies: to MAIL, to each RCPT, to BDAT.
        recipients: how many there are.
        is_out: whether the last octet of the chunk went out.
        is_clean: whether nothing came behind the reply to BDAT.
    """
    fates: dict[int, str] = {}
    end = recipients + 1  # the place of the reply to BDAT
    refused_at: int | None = None  # where the whole transaction was refused
    refusal = ""
    is_leaving = False
    for place, code in enumerate(codes[: end + 1]):
        word = "later" if code < 500 else "refused"
        if refused_at is not None:
            if not is_out:
                break
            is_yes = code < 300
            if 300 <= code <= 399 or (place == end and is_yes):
                return ["doubt"] * recipients
            if code == 421 and place < end and not is_leaving:
                return ["doubt"] * recipients
        elif 300 <= code <= 399:
            break  # nobody knows what it means, and nothing more is heard
        elif code == 421 or (code >= 400 and place in (0, end)):
            refused_at, refusal, is_leaving = place, word, code == 421
        elif code >= 400:
            fates[place - 1] = "later" if code == 552 else word
            if len(fates) == recipients:
                refused_at = place
        elif place == end and is_out and is_clean:
            refused_at, refusal = place, "accepted"
    if refused_at is None:
        refusal = "doubt" if is_out else "later"
    elif is_out and not is_leaving and len(codes) <= end:
        return ["doubt"] * recipients  # refused, but nobody knows what it made of the mail
    return [fates.get(number, refusal) for number in range(recipients)]


def cut(octets: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(octets), *(place % (len(octets) + 1) for place in places)})
    return [octets[a:b] for a, b in itertools.pairwise(edges)]


@example(codes=[250, 250, 552], recipients=2, length=99, cuts=[], flush=0, end=0, more=b"250 x\r\n")
@example(codes=[250, 250, 250], recipients=1, length=40, cuts=[], flush=0, end=0, more=b"")
@example(codes=[354, 250, 250], recipients=1, length=40, cuts=[], flush=0, end=0, more=b"")
@example(codes=[550, 250, 250], recipients=1, length=40, cuts=[], flush=0, end=0, more=b"")
@given(
    codes=st.lists(CODES, max_size=5) | st.lists(CODES, min_size=3, max_size=5),
    recipients=st.integers(1, 3),
    length=st.one_of(*[st.just(1000)] * 5, st.integers(0, 60)),
    cuts=st.lists(st.integers(0, 60), max_size=4),
    flush=st.one_of(*[st.just(0)] * 3, st.integers(0, 4)),
    end=st.integers(0, len(ENDINGS) - 1),
    more=st.sampled_from([b"", b"", b"", b"2", b"250 more\r\n", b"421 bye\r\n", b"\xff\r\n"]),
)
def test_a_speculative_transfer_has_one_verdict_and_it_is_true(
    *,
    codes: list[int],
    recipients: int,
    length: int,
    cuts: list[int],
    flush: int,
    end: int,
    more: bytes,
) -> None:
    """The server gives these replies, up to some octet, in these pieces; then something ends it.

    The operating system takes the transaction when so many pieces have come.
    """
    rig = speculative(*TO[:recipients], is_slow=flush > 0)
    replies = b"".join(b"%d text\r\n" % code for code in codes) + more
    heard = b""
    is_out, is_early = flush == 0, False
    for number, piece in enumerate(cut(replies[:length], cuts), 1):
        if rig.closed or rig.released:
            break
        heard += piece
        rig.hear(piece)
        if number == flush and not (rig.closed or rig.released):
            rig.flush()
            is_out = True
            codes_so_far, rest = read(heard, recipients + 2)
            is_early = len(codes_so_far) == recipients + 1 and rest != b""
    # Who had no room gets a transaction of its own: see below.
    assume(len(rig.writes) < 3 or not rig.writes[2].startswith(b"MAIL FROM:"))
    if not (rig.closed or rig.released):
        ENDINGS[end](rig)

    assert rig.verdict is not None
    assert rig.dialog.is_over
    judge_wire(rig, recipients)
    judge_verdict(rig, heard, recipients, is_out=is_out, is_early=is_early)


@pytest.mark.parametrize("end", ENDINGS)
def test_who_had_no_room_is_in_doubt_once_a_second_transfer_is_out_and_nothing_comes(
    end: Callable[[KeptRig], None],
) -> None:
    rig = speculative(*TO[:2])
    rig.hear(b"250 ok\r\n250 ok\r\n552 too many\r\n250 taken\r\n")
    end(rig)

    assert [write.count(b"RCPT") for write in rig.writes[1:]] == [2, 1]
    assert isinstance(rig.verdict, Accepted)
    assert [one.accepted for one in rig.verdict.recipients] == [True, False]
    assert [one.maybe_accepted for one in rig.verdict.recipients] == [False, True]


def judge_wire(rig: KeptRig, recipients: int) -> None:
    """One write with the whole transaction, or none; then QUIT at most."""
    transaction = b"".join(
        [
            b"MAIL FROM:<a@b.test>\r\n",
            *[b"RCPT TO:<%b>\r\n" % path.encode() for path in TO[:recipients]],
            b"BDAT %d LAST\r\n" % len(MAIL),
            MAIL,
        ]
    )
    wire = rig.writes[1:]
    assert wire in ([], [transaction], [transaction, b"QUIT\r\n"])
    if rig.released:
        assert wire == [transaction]
        assert isinstance(rig.verdict, Accepted)


def judge_verdict(
    rig: KeptRig, heard: bytes, recipients: int, *, is_out: bool, is_early: bool
) -> None:
    """Compare with what a person finds in the octets that the dialog heard."""
    verdict = rig.verdict
    assert verdict is not None
    codes, rest = read(heard, recipients + 2)
    if is_early and codes[recipients + 1 :] != [421]:
        codes = codes[: recipients + 1]  # what began before the mail was out is no verdict on it
    # RFC 5321 §3.8: nothing but 421 may be unsolicited.
    is_clean = rest == b"" or re.match(rb"421 [^\n]*\r\n", rest) is not None
    truth = fate(codes, recipients=recipients, is_out=is_out, is_clean=is_clean)
    told = [word.partition(" ")[0] for word in rig.told]
    assert told == truth
    if isinstance(verdict, Accepted):
        assert 200 <= codes[recipients + 1] <= 299
        assert verdict.reply.code == codes[recipients + 1]
        assert is_out
        event("accepted")
        return
    assert isinstance(verdict, Failed)
    assert verdict.maybe_accepted is ("doubt" in told)
    assert not (verdict.maybe_accepted and verdict.retryable)
    assert verdict.detail.isprintable()
    event(f"{verdict.kind.name} at {verdict.stage}")


def read(octets: bytes, most: int) -> tuple[list[int], bytes]:
    """Read so many replies, one line each; return their codes, and the octets behind them."""
    codes: list[int] = []
    while len(codes) < most and (match := re.match(rb"([2-5][0-9][0-9]) [^\n]*\r\n", octets)):
        codes.append(int(match[1]))
        octets = octets[match.end() :]
    return codes, octets

"""Mail data in a chunk: CHUNKING and BINARYMIME (RFC 3030)."""

import datetime as dt

import pytest
from conversations.esmtp_rig import EsmtpRig
from conversations.rig import MAIL, SERVER
from hypothesis import given
from hypothesis import strategies as st

from pykka_smtp.smtp.mail.compose import TextEmail
from pykka_smtp.smtp.mail.content import CompleteContent, ComposedContent, Content, StreamedContent
from pykka_smtp.smtp.mail.mail_data import MailFacts
from pykka_smtp.smtp.words.stage import Stage
from pykka_smtp.smtp.words.verdict import FailureKind

CHUNKING = ("CHUNKING", "PIPELINING")
BINARY = (*CHUNKING, "BINARYMIME", "8BITMIME")
TO = ("c@d.test", "e@d.test")


def ready(
    *to: str,
    offers: tuple[str, ...] = CHUNKING,
    content: Content | None = None,
    is_lmtp: bool = False,
) -> EsmtpRig:
    """Come as far as the chunk."""
    recipients = to or TO[:1]
    rig = EsmtpRig(*recipients, offers=offers, content=content, is_lmtp=is_lmtp).greet()
    rig.say("250 ok", *["250 ok"] * len(recipients))
    assert rig.lines()[0].startswith("MAIL FROM:<a@b.test>")
    return rig


def bdat(rig: EsmtpRig) -> str:
    """Return the BDAT line, which came with the order to send the chunk."""
    return [line for line in rig.trace if "BDAT" in line][-1].removeprefix("C: ")


# What goes out


def test_where_chunks_are_taken_the_mail_is_one() -> None:
    rig = EsmtpRig(offers=["CHUNKING"]).greet()
    assert rig.line() == "MAIL FROM:<a@b.test>"
    rig.say("250 ok")
    assert rig.line() == "RCPT TO:<c@d.test>"
    rig.say("250 ok")

    assert rig.line() == f"BDAT {len(MAIL)} LAST"
    assert rig.chunk() == MAIL  # no dot is doubled, and none is added
    rig.say("250 taken")
    assert rig.accepted.reply.lines == ("taken",)
    assert rig.lines() == ["QUIT"]


def test_the_chunk_is_in_no_group() -> None:
    # Somebody may not be taken: nothing of the mail goes out before that is known.
    rig = EsmtpRig(*TO, offers=CHUNKING).greet()
    assert rig.lines() == ["MAIL FROM:<a@b.test>", *(f"RCPT TO:<{path}>" for path in TO)]
    rig.say("250 ok", "250 ok")
    assert rig.lines() == []
    assert rig.body is None
    rig.say("550 who?")

    assert rig.line() == f"BDAT {len(MAIL)} LAST"
    rig.chunk()
    rig.say("250 taken")
    assert rig.told == ["accepted", "refused 550"]


@pytest.mark.parametrize("offer", ["chunking", "Chunking", "CHUNKING 1000"])
def test_the_keyword_counts_in_any_case_and_whatever_follows_it(offer: str) -> None:
    assert bdat(ready(offers=(offer,))) == f"BDAT {len(MAIL)} LAST"


@pytest.mark.parametrize("offer", ["XCHUNKING", "CHUNKINGX", "BINARYMIME"])
def test_without_the_keyword_the_mail_goes_out_by_data(offer: str) -> None:
    rig = ready(offers=(offer,))
    assert not any("BDAT" in line for line in rig.trace)


@pytest.mark.parametrize(
    ("mail", "chunk"),
    [
        (b"a", b"a\r\n"),
        (b"a\r\n", b"a\r\n"),
        (b".", b".\r\n"),
        (b"..\n.\n", b"..\r\n.\r\n"),
        (b"a\rb\nc\r\nd", b"a\r\nb\r\nc\r\nd\r\n"),
        (b"a\n.\nMAIL FROM:<x@y>\n", b"a\r\n.\r\nMAIL FROM:<x@y>\r\n"),
    ],
)
def test_the_size_is_that_of_what_goes_out_and_bare_line_ends_do_not(
    mail: bytes, chunk: bytes
) -> None:
    rig = ready(content=CompleteContent(mail))

    assert bdat(rig) == f"BDAT {len(chunk)} LAST"
    rig.said.clear()
    assert rig.chunk() == chunk
    rig.say("250 taken")
    assert rig.told == ["accepted"]


def test_an_empty_mail_goes_out_by_data() -> None:
    # With an empty chunk, nobody could look for an early reply before the mail is complete.
    rig = EsmtpRig(offers=CHUNKING, content=CompleteContent(b"")).greet()

    assert rig.lines()[-1] == "DATA"
    rig.say("250 ok", "250 ok", "354 go")
    assert rig.data() == b".\r\n"


@given(mail=st.binary(min_size=1, max_size=300), big=st.booleans(), binary=st.booleans())
def test_the_size_is_exact_whatever_the_mail_is(*, mail: bytes, big: bool, binary: bool) -> None:
    if big:
        mail = (mail + b"\r") * 100  # over what is scanned and written in one go
    offers = BINARY if binary else ("CHUNKING", "8BITMIME")
    rig = EsmtpRig(offers=offers, content=CompleteContent(mail)).greet()
    if rig.verdict is not None:
        assert not binary
        assert rig.failed.kind is FailureKind.LOCAL
        return
    rig.say("250 ok", "250 ok")
    rig.said.clear()

    chunk = rig.chunk()
    assert bdat(rig) == f"BDAT {len(chunk)} LAST"
    assert chunk == mail or b"\n" not in chunk.replace(b"\r\n", b"")


def test_a_composed_content_can_be_sent_by_bdat() -> None:
    letter = TextEmail(
        from_address="a@b.test",
        to=((None, "c@d.test"),),
        subject="Hello",
        body=".\n" + "gr\u00fc\u00dfe",
        date=dt.datetime(2026, 11, 23, tzinfo=dt.UTC),
        message_id="<1@b.test>",
    )
    rig = ready(offers=BINARY, content=ComposedContent(letter))
    rig.said.clear()

    assert rig.chunk() == letter.render(eight_bit=True)
    assert bdat(rig) == f"BDAT {len(rig.chunks[0])} LAST"


def test_a_stream_of_known_size_is_a_chunk_and_another_is_not() -> None:
    facts = MailFacts(size=5, eight_bit=False, nul=False, longest_line=3)

    assert bdat(ready(content=StreamedContent(facts))) == "BDAT 5 LAST"
    # BDAT says first how much will come; for one that nobody has read, there is DATA.
    rig = EsmtpRig(offers=CHUNKING, content=StreamedContent(None)).greet()
    assert rig.lines() == ["MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>", "DATA"]


# BINARYMIME


@pytest.mark.parametrize(
    "mail", [b"a\0b", b"x" * 999, b"x" * 2000 + b"\n.\r\0\n", b"\r" * 5 + b"\0" + b"\n"]
)
def test_a_binary_mail_goes_out_octet_for_octet(mail: bytes) -> None:
    rig = EsmtpRig(offers=(*BINARY, "SIZE"), content=CompleteContent(mail)).greet()

    assert rig.line() == f"MAIL FROM:<a@b.test> BODY=BINARYMIME SIZE={len(mail)}"
    rig.say("250 ok", "250 ok")
    assert rig.lines()[-1] == f"BDAT {len(mail)} LAST"
    assert rig.chunk() == mail
    rig.say("250 taken")
    assert rig.told == ["accepted"]


@pytest.mark.parametrize("mail", [b"a\r\n", b"\xff", b"x" * 998])
def test_a_mail_that_is_not_binary_is_not_sent_as_such(mail: bytes) -> None:
    rig = EsmtpRig(offers=BINARY, content=CompleteContent(mail)).greet()

    assert rig.line().startswith("MAIL FROM:<a@b.test>")
    assert not any("BODY=BINARYMIME" in line for line in rig.trace)


@pytest.mark.parametrize(
    "offers", [("CHUNKING",), ("BINARYMIME",), ("BINARYMIME", "8BITMIME", "SIZE"), ()], ids=str
)
@pytest.mark.parametrize(
    ("mail", "said"), [(b"a\0b", "the email has a NUL octet"), (b"x" * 999, "a line of 999 octets")]
)
def test_a_binary_mail_is_not_sent_without_both_extensions(
    mail: bytes, said: str, offers: tuple[str, ...]
) -> None:
    # RFC 3030 §3: BINARYMIME needs CHUNKING; without it the offer is worth nothing.
    rig = EsmtpRig(offers=offers, content=CompleteContent(mail)).greet()

    assert rig.lines() == ["QUIT"]
    assert (rig.failed.kind, rig.failed.stage) == (FailureKind.LOCAL, Stage.MAIL)
    assert said in rig.failed.detail


@pytest.mark.parametrize("facts", [{"nul": True}, {"longest_line": 999}], ids=str)
def test_a_binary_file_is_not_sent_at_all(facts: dict[str, int]) -> None:
    # What is streamed goes out line by line.
    content = StreamedContent(
        MailFacts(**{"size": 5, "eight_bit": False, "nul": False, "longest_line": 3, **facts})  # type: ignore[arg-type]
    )
    rig = EsmtpRig(offers=BINARY, content=content).greet()

    assert rig.failed.kind is FailureKind.LOCAL


# What the server answers


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ("250 ok", "accepted"),
        ("251 ok", "accepted"),
        ("452 full", "later 452"),
        ("421 going down", "later 421"),
        ("554 no", "refused 554"),
        ("503 what?", "refused 503"),
        ("354 go on", "doubt"),
    ],
)
def test_the_reply_to_the_last_chunk_is_the_verdict(reply: str, told: str) -> None:
    rig = ready()
    rig.said.clear()
    rig.chunk()
    rig.say(reply)

    assert rig.told == [told]
    if told[:5] in ("later", "refus"):
        assert (rig.failed.stage, rig.failed.maybe_accepted) == (Stage.DOT, False)
    # RFC 3030 §2: what a server did with a chunk that it refused is over; no DATA instead.
    assert not any("DATA" in line.split() for line in rig.lines())


@pytest.mark.parametrize("end", ["lose", "eof", "time_out"])
def test_no_reply_to_the_last_chunk_is_doubt(end: str) -> None:
    rig = ready(*TO)
    rig.said.clear()
    rig.chunk()
    getattr(rig, end)()

    assert rig.told == ["doubt", "doubt"]
    assert (rig.failed.stage, rig.failed.maybe_accepted) == (Stage.DOT, True)


@pytest.mark.parametrize("end", ["lose", "eof", "time_out"])
def test_an_incomplete_chunk_is_not_an_email(end: str) -> None:
    rig = ready()
    getattr(rig, end)()

    assert rig.told == ["later"]
    assert (rig.failed.stage, rig.failed.maybe_accepted) == (Stage.BODY, False)


@pytest.mark.parametrize(
    ("reply", "told"), [("552 too much", "refused 552"), ("452 full", "later 452")]
)
def test_a_refusal_that_comes_before_the_chunk_is_out_ends_it(reply: str, told: str) -> None:
    rig = ready()
    rig.said.clear()
    rig.say(reply)

    assert rig.told == [told]
    assert rig.failed.stage is Stage.BODY
    # The rest of the chunk must not come: the server would take it for commands, or for the mail.
    assert not rig.said
    assert not rig.dialog.may_end_mail_data
    assert rig.closed is not None
    assert rig.closed.reset


def test_a_positive_reply_before_the_chunk_was_sent_does_not_count() -> None:
    rig = ready()
    rig.say("250 taken")

    assert (rig.failed.kind, rig.failed.stage) == (FailureKind.PROTOCOL, Stage.BODY)
    assert rig.told == ["later"]
    assert rig.closed is not None


def test_a_part_of_an_early_reply_holds_the_last_octets_back() -> None:
    rig = ready()
    rig.said.clear()
    rig.hear(b"55")

    assert not rig.send_body()
    rig.hear(b"2 too much\r\n")
    assert rig.told == ["refused 552"]


def test_two_replies_to_one_chunk_are_no_verdict() -> None:
    rig = ready()
    rig.said.clear()
    rig.chunk()
    rig.hear(b"250 first\r\n554 second\r\n")

    assert rig.told == ["doubt"]
    assert rig.failed.kind is FailureKind.PROTOCOL


def test_no_chunk_is_sent_when_all_recipients_were_rejected() -> None:
    rig = EsmtpRig(*TO, offers=CHUNKING).greet()
    rig.say("250 ok", "550 who?", "450 full")

    assert rig.told == ["refused 550", "later 450"]
    assert not rig.chunks
    assert rig.lines()[-1] == "QUIT"


def test_a_chunk_that_was_refused_is_the_last_of_its_session() -> None:
    # A server that has refused a chunk before its end may answer the end of it, too: then each
    # reply would be taken for the one before, and the next chunk for taken.
    rig = EsmtpRig(*TO, offers=("CHUNKING", "LIMITS RCPTMAX=1")).greet()
    rig.say("250 ok", "250 ok")
    rig.lines()
    rig.chunk()
    rig.say("452 full")

    assert rig.told == ["later 452", "later"]
    assert rig.lines() == ["QUIT"]


def test_an_lmtp_server_gives_a_verdict_on_a_chunk_for_each_recipient() -> None:
    rig = ready(*TO, is_lmtp=True)
    rig.said.clear()
    rig.chunk()
    rig.say("250 for c")
    assert rig.verdict is None
    rig.say("550 not for e")

    assert rig.told == ["accepted", "refused 550"]


@pytest.mark.parametrize("reply", ["554 no", "552 5.3.4 too big", "452 full", "504 no such"])
def test_a_refusal_of_a_chunk_names_the_server_and_bdat(reply: str) -> None:
    rig = ready()
    rig.said.clear()
    rig.chunk()
    rig.say(reply)

    assert rig.failed.detail == f"{SERVER} refused the email at BDAT: {reply}"


def test_a_refusal_of_a_chunk_that_came_too_early_names_bdat_as_well() -> None:
    rig = ready()
    rig.said.clear()
    rig.say("552 5.3.4 too big")

    assert rig.failed.detail == f"{SERVER} refused the email at BDAT: 552 5.3.4 too big"


def test_a_binary_mail_whose_chunk_is_not_known_has_no_second_attempt_by_data() -> None:
    rig = ready(offers=BINARY, content=CompleteContent(b"a\0b\r\n"))
    rig.said.clear()
    rig.chunk()
    rig.say("502 5.5.1 what?")

    assert rig.failed.detail == f"{SERVER} refused the email at BDAT: 502 5.5.1 what?"
    assert rig.dialog._delivery.fallback(rig.failed) is None  # type: ignore[attr-defined]

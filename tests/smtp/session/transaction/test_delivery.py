"""One mail on its way: what MAIL declares, what is not sent at all, and the verdicts' words."""

import datetime as dt

import pytest
from conversations.rig import SERVER, Rig

from pykka_smtp.smtp.mail.compose import TextEmail
from pykka_smtp.smtp.mail.content import CompleteContent, ComposedContent, Content, StreamedContent
from pykka_smtp.smtp.mail.mail_data import MailFacts
from pykka_smtp.smtp.words.reply import Reply
from pykka_smtp.smtp.words.stage import Stage
from pykka_smtp.smtp.words.verdict import MAX_DETAIL, Accepted, Failed, FailureKind

ALL = ("8BITMIME", "SMTPUTF8", "SIZE 1000")
UTF8 = "jos\u00e9@d.test"


def greeted(*extensions: str, to: str = "c@d.test", content: Content | None = None) -> Rig:
    rig = Rig(to, content=content).connect()
    rig.hear(b"220 mx.test\r\n")
    assert rig.line() == "EHLO c.test"
    lines = ["mx.test", *extensions]
    rig.hear("".join(f"250-{line}\r\n" for line in lines[:-1]).encode())
    rig.hear(f"250 {lines[-1]}\r\n".encode())
    return rig


def facts(*, size: int = 5, eight_bit: bool = False, nul: bool = False, line: int = 3) -> MailFacts:
    return MailFacts(size=size, eight_bit=eight_bit, nul=nul, longest_line=line)


def failure(rig: Rig) -> Failed:
    assert isinstance(rig.verdict, Failed)
    return rig.verdict


# MAIL


@pytest.mark.parametrize(
    ("extensions", "mail", "parameters"),
    [
        ((), b"abc", ""),
        (ALL, b"abc", " SIZE=5"),
        (("SIZE",), b"abc\r\n", " SIZE=5"),
        (("SIZE 0",), b"abc\n.\n", " SIZE=8"),  # doubled dots do not count (RFC 1870 §5)
        (("SIZE 5",), b"abc", " SIZE=5"),
        (("8BITMIME",), b"abc", ""),
        (("8BITMIME",), b"\xff", " BODY=8BITMIME"),
        (ALL, b"\xff", " BODY=8BITMIME SIZE=3"),
        (ALL, b"", " SIZE=0"),
        (ALL, b"x" * 998, " SIZE=1000"),
    ],
)
def test_mail_declares_what_the_server_wants_to_know(
    extensions: tuple[str, ...], mail: bytes, parameters: str
) -> None:
    rig = greeted(*extensions, content=CompleteContent(mail))

    assert rig.line() == f"MAIL FROM:<a@b.test>{parameters}"


def test_mail_declares_smtputf8_for_an_address_that_needs_it() -> None:
    rig = greeted(*ALL, to=UTF8, content=CompleteContent(b"\xff"))

    assert rig.line() == "MAIL FROM:<a@b.test> SMTPUTF8 BODY=8BITMIME SIZE=3"


def test_mail_declares_smtputf8_for_a_header_that_needs_it() -> None:
    content = CompleteContent(b"a", needs_smtputf8=True)

    assert greeted(*ALL, content=content).line() == "MAIL FROM:<a@b.test> SMTPUTF8 SIZE=3"
    assert "SMTPUTF8" in failure(greeted("8BITMIME", content=content)).detail


@pytest.mark.parametrize(
    ("extensions", "parameters"), [((), ""), (("8BITMIME", "SIZE 1"), " BODY=8BITMIME")]
)
def test_an_unread_stream_declares_the_most_it_may_need(
    extensions: tuple[str, ...], parameters: str
) -> None:
    rig = greeted(*extensions, content=StreamedContent(None))

    assert rig.line() == f"MAIL FROM:<a@b.test>{parameters}"


def test_a_mail_that_can_be_encoded_is_encoded_where_the_server_takes_no_8_bit_data() -> None:
    rig = greeted("SIZE", content=CompleteContent(b"\xff", seven_bit=b"=FF"))

    assert rig.line() == "MAIL FROM:<a@b.test> SIZE=5"


# What is not sent


@pytest.mark.parametrize(
    ("extensions", "content", "to", "said"),
    [
        (("SIZE 4",), CompleteContent(b"abc"), "c@d.test", f"{SERVER} takes emails of up to 4 "),
        (("SMTPUTF8",), CompleteContent(b"\xff"), "c@d.test", "8BITMIME"),
        ((), CompleteContent(b"\xff"), "c@d.test", f"{SERVER} takes no 8-bit mail"),
        (("8BITMIME",), CompleteContent(b"a"), UTF8, f"{SERVER} takes no addresses beyond ASCII"),
        (ALL, CompleteContent(b"a\0b"), "c@d.test", "NUL"),
        (ALL, CompleteContent(b"x" * 999), "c@d.test", "a line of 999 octets"),
        (ALL, StreamedContent(facts(nul=True)), "c@d.test", "NUL"),
        (ALL, StreamedContent(facts(line=999)), "c@d.test", "a line of 999 octets"),
        (ALL, StreamedContent(facts(size=1001)), "c@d.test", "this one has 1001"),
        ((), StreamedContent(facts(eight_bit=True)), "c@d.test", "8BITMIME"),
    ],
)
def test_a_mail_that_the_server_cannot_take_is_not_offered(
    extensions: tuple[str, ...], content: Content, to: str, said: str
) -> None:
    rig = greeted(*extensions, to=to, content=content)
    rig.hear(b"221 bye\r\n")

    failed = failure(rig)
    assert rig.lines() == ["QUIT"]
    assert (failed.kind, failed.stage) == (FailureKind.LOCAL, Stage.MAIL)
    assert (failed.retryable, failed.maybe_accepted) == (False, False)
    assert failed.reply is None
    assert said in failed.detail
    assert [result.reply for result in failed.recipients] == [None]


# Verdicts


def test_a_detail_is_one_line_that_people_can_read_whatever_it_is_made_of() -> None:
    rig = Rig().connect()

    rig.perform(rig.dialog.fail(FailureKind.INTERNAL, "one\ntwo\r\x1b[2J\u2028three" + "x" * 9999))

    detail = failure(rig).detail
    assert detail.startswith("one two  [2J three")
    assert detail.isprintable()
    assert len(detail) == MAX_DETAIL
    assert detail.endswith("...")


def test_a_long_reply_is_cut_in_the_detail_but_not_in_the_verdict() -> None:
    rig = Rig().connect()

    rig.hear(b"554-" + b"a" * 1000 + b"\r\n" + b"554 " + b"b" * 1000 + b"\r\n")

    failed = failure(rig)
    assert len(failed.detail) == MAX_DETAIL
    assert failed.reply == Reply(554, ("a" * 1000, "b" * 1000))


def test_a_detail_that_is_cut_still_says_that_the_mail_may_have_been_accepted() -> None:
    rig = greeted()
    rig.hear(b"250 ok\r\n")
    rig.hear(b"250 ok\r\n")
    rig.hear(b"354 go\r\n")
    assert rig.send_body()

    rig.hear(b"354 " + b"x" * 1000 + b"\r\n")

    assert failure(rig).detail.endswith("xxx...; the email may have been accepted")


def test_a_warning_comes_once() -> None:
    rig = Rig().connect()
    for octets in (b"220 a\n", b"250-a\n", b"250 b\n", b"550 no\n"):
        rig.hear(octets)

    assert failure(rig).warnings == (f"{SERVER} ends lines in LF alone (RFC 5321 \u00a72.3.8)",)


def test_a_contradiction_is_noted_only_where_it_says_that_an_accepted_mail_was_refused() -> None:
    rig = greeted("ENHANCEDSTATUSCODES")
    rig.hear(b"250 5.1.0 odd\r\n")
    rig.hear(b"250 4.1.5 odd\r\n")
    rig.hear(b"354 2.0.0 odd\r\n")
    assert rig.send_body()
    rig.hear(b"250 4.7.1 odd\r\n")

    assert isinstance(rig.verdict, Accepted)
    (warning,) = rig.verdict.warnings
    assert warning.endswith("250 4.7.1 odd")
    assert warning.isprintable()


@pytest.mark.parametrize(
    ("kind", "retryable"),
    [
        (FailureKind.CONNECT, True),
        (FailureKind.CONNECTION, True),
        (FailureKind.TIMEOUT, True),
        (FailureKind.PROTOCOL, True),
        (FailureKind.CANCELLED, True),
        (FailureKind.SECURITY, False),
        (FailureKind.LOCAL, False),
        (FailureKind.INTERNAL, False),
    ],
)
def test_what_may_pass_is_to_be_tried_again(kind: FailureKind, *, retryable: bool) -> None:
    rig = Rig().connect()

    rig.perform(rig.dialog.fail(kind, "a reason", operation="read", errno=5))

    failed = failure(rig)
    assert failed.kind is kind
    assert failed.retryable is retryable
    assert (failed.operation, failed.errno) == ("read", 5)
    assert failed.detail == "a reason"


@pytest.mark.parametrize("retryable", [True, False])
def test_whoever_does_the_io_may_know_better_whether_to_try_again(*, retryable: bool) -> None:
    rig = Rig()

    rig.perform(rig.dialog.fail(FailureKind.CONNECT, "no such host", retryable=retryable))

    failed = failure(rig)
    assert failed.stage is Stage.CONNECT
    assert failed.retryable is retryable
    assert not rig.stream


def test_a_mail_that_was_perhaps_accepted_is_not_to_be_tried_again_whoever_says_so() -> None:
    rig = greeted()
    for octets in (b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
        rig.hear(octets)
    assert rig.send_body()

    rig.perform(rig.dialog.fail(FailureKind.CONNECTION, "gone", retryable=True))

    assert failure(rig).maybe_accepted
    assert not failure(rig).retryable


def test_the_content_composed_for_this_server_is_sent() -> None:

    letter = TextEmail(
        from_address="a@b.test",
        to=((None, "c@d.test"),),
        subject="Hello",
        body="gr\u00fc\u00dfe",
        date=dt.datetime(2026, 11, 23, tzinfo=dt.UTC),
        message_id="<1@b.test>",
    )
    rig = greeted("SIZE", content=ComposedContent(letter))
    for octets in (b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
        rig.hear(octets)

    assert rig.lines()[0] == f"MAIL FROM:<a@b.test> SIZE={len(letter.render(eight_bit=False))}"
    assert rig.data().endswith(b"\r\n\r\ngr=C3=BC=C3=9Fe\r\n.\r\n")

"""What of an email DKIM covers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykka_smtp import SendMail, Unsubscribe
from pykka_smtp.smtp.mail.dkim.digest import (
    MOST_HEADER,
    Digester,
    UnsignableError,
    digest_of,
    in_lines,
)

MAIL = b"From: a@b.test\r\nTo: c@d.test\r\nSubject: x\r\n\r\nHello\r\n"


def names_of(data: bytes) -> list[str]:
    return sorted(digest_of(data).names)


def test_fields_that_an_email_has_once_cannot_be_added() -> None:
    # Each name once for the field, and once for the one that is not there.
    assert names_of(MAIL) == ["from", "from", "subject", "subject", "to", "to"]


def test_a_field_that_may_come_again_is_covered_as_often_as_it_is_there() -> None:
    data = b"Resent-To: a@b.test\r\nResent-To: c@d.test\r\n" + MAIL

    assert names_of(data).count("resent-to") == 2
    # The last one first (RFC 6376 §5.4.2).
    fields = digest_of(data).fields
    assert fields.index(b"resent-to:c@d.test") < fields.index(b"resent-to:a@b.test")


def test_what_changes_on_the_way_is_not_covered() -> None:
    trace = b"Return-Path: <a@b.test>\r\nReceived: x\r\nDKIM-Signature: v=1\r\nX-Any: 1\r\n"

    assert digest_of(trace + MAIL) == digest_of(MAIL)


def test_both_fields_of_a_one_click_unsubscription_are_covered() -> None:
    mail = SendMail(
        sender="a@b.test", recipients="c@d.test", unsubscribe=Unsubscribe(url="https://b.test/u/1")
    )

    covered = names_of(mail.as_bytes())
    assert "list-unsubscribe" in covered
    assert "list-unsubscribe-post" in covered


def test_an_email_without_an_author_is_not_signed() -> None:
    for data in (b"To: a@b.test\r\n\r\nFrom: x@y.test\r\n", b"", b"\r\nFrom: a@b.test\r\n"):
        with pytest.raises(UnsignableError, match="no From"):
            digest_of(data)
        digester = Digester()
        digester.feed(data)
        with pytest.raises(UnsignableError, match="no From"):
            digester.finish()


@pytest.mark.parametrize(
    ("before", "line"),
    [
        (b" ", 1),
        (b"\t\r\n", 1),
        (b" X: y\r\n", 1),
        (b"From a@b.test Wed Dec  2 10:00:00 2026\r\n", 1),
        (b"X: y\r\n z\r\njunk\r\n", 3),
        (b": y\r\n", 1),
        (b"A B: y\r\n", 1),
        (b"\xc3\xbc: y\r\n", 1),
    ],
)
def test_an_email_with_a_line_that_is_no_field_is_not_signed(before: bytes, line: int) -> None:
    with pytest.raises(UnsignableError, match=f"^line {line} of its header is no field"):
        digest_of(before + MAIL)
    digester = Digester()
    with pytest.raises(UnsignableError, match=f"^line {line} of its header is no field"):
        digester.feed(before + MAIL)


def test_a_header_without_a_body_is_signed() -> None:
    for data in (b"From: a@b.test\r\n", b"From: a@b.test\r\n\r\n"):
        digester = Digester()
        digester.feed(data)
        assert digester.finish() == digest_of(data)


def test_a_header_without_an_end_is_given_up_soon() -> None:
    endless = b"X: y\r\n" * (MOST_HEADER // 6 + 1)
    with pytest.raises(UnsignableError, match="longer than 1048576 octets"):
        digest_of(endless + b"\r\nx")
    digester = Digester()
    for _ in range(MOST_HEADER // 60_000):
        digester.feed(endless[:60_000])
    with pytest.raises(UnsignableError, match="longer than 1048576 octets"):
        digester.feed(endless[:60_000])


@given(
    st.lists(st.sampled_from([b"a", b"\r\n", b"\n", b"\r", b" ", b"To: x", b"\r\n\r\n"])),
    st.integers(1, 9),
)
def test_a_stream_has_the_digest_of_the_whole(pieces: list[bytes], size: int) -> None:
    data = MAIL + b"".join(pieces)
    digester = Digester()
    for start in range(0, len(data), size):
        digester.feed(data[start : start + size])

    assert digester.finish() == digest_of(in_lines(data))

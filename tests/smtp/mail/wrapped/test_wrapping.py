"""Emails are taken apart into header and content, and no octet of the content gets lost."""

import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykka_smtp.smtp.mail.wrapped.wrapping import (
    UnprotectableError,
    apart,
    check_signable,
    encrypted_by_pgp,
    signed_by_smime,
    steady,
)

PLAIN = b"Content-Type: text/plain; charset=us-ascii\r\n"


def test_the_fields_of_the_content_go_into_it_and_the_others_stay_outside() -> None:
    head, content = apart(
        b"From: a@b.test\nContent-Type: text/html;\n charset=utf-8\nSubject: x\n y\n"
        b"CONTENT-transfer-encoding: 8bit\nMIME-Version: 1.0\n\nbody"
    )

    assert head == b"From: a@b.test\r\nSubject: x\r\n y\r\nMIME-Version: 1.0\r\n"
    assert content == (
        b"Content-Type: text/html;\r\n charset=utf-8\r\n"
        b"CONTENT-transfer-encoding: 8bit\r\n\r\nbody\r\n"
    )


@pytest.mark.parametrize(
    ("data", "head", "body"),
    [
        (b"From: a\r\n\r\nx\r\n", b"From: a\r\nMIME-Version: 1.0\r\n", b"x\r\n"),
        (b"From: a\r\n", b"From: a\r\nMIME-Version: 1.0\r\n", b""),
        (b"From: a", b"From: a\r\nMIME-Version: 1.0\r\n", b""),
        (b"\nonly a body", b"MIME-Version: 1.0\r\n", b"only a body\r\n"),
        (b"From: a\n\n\n\n", b"From: a\r\nMIME-Version: 1.0\r\n", b"\r\n\r\n"),
    ],
)
def test_what_has_no_mime_gets_it(data: bytes, head: bytes, body: bytes) -> None:
    assert apart(data) == (head, PLAIN + b"\r\n" + body)


@pytest.mark.parametrize("name", ["DKIM-Signature", "arc-seal"])
def test_a_signature_that_the_wrapper_would_break_is_refused(name: str) -> None:
    with pytest.raises(UnprotectableError, match="a DKIM signature already"):
        apart(f"From: a\r\n{name}: v=1\r\n\r\nx\r\n".encode())


@pytest.mark.parametrize("body", [b"x \r\n", b"x\t\r\n", b"From x\r\n", b"x\r\nFrom x\r\n"])
def test_a_text_that_servers_change_is_put_into_quoted_printable(body: bytes) -> None:
    made = steady(PLAIN + b"Content-Transfer-Encoding: 7bit\r\n\r\n" + body)

    head, _, text = made.partition(b"\r\n\r\n")
    assert head == PLAIN + b"Content-Transfer-Encoding: quoted-printable"
    assert b" \r\n" not in text
    assert b"\t\r\n" not in text
    assert not text.startswith(b"From ")
    assert b"\nFrom " not in text
    assert quopri.decodestring(text) == body


@pytest.mark.parametrize(
    "part",
    [
        PLAIN + b"Content-Transfer-Encoding: 7bit\r\n\r\nx y\r\n\r\n z\r\nFromage\r\n",
        b"Content-Type: application/x\r\nContent-Transfer-Encoding: 7bit\r\n\r\nx \r\n",
        PLAIN + b"\r\nnot said how, so nothing is touched \r\n",
        b"\r\n--boundary\r\n",
    ],
)
def test_all_else_stays_as_it_is(part: bytes) -> None:
    assert steady(part) == part


@given(st.text(st.sampled_from("From \tx=\u00fc\r\n"), max_size=200))
def test_any_text_in_quoted_printable_keeps_its_words_and_short_lines(text: str) -> None:
    from pykka_smtp.smtp.mail.mail_data import encode_whole

    body = encode_whole(text.encode("ascii", "replace"), transparent=False)
    made = steady(PLAIN + b"Content-Transfer-Encoding: 7bit\r\n\r\n" + body)

    head, _, written = made.partition(b"\r\n\r\n")
    assert b"\nFrom " not in b"\n" + written
    assert b" \r\n" not in written
    if b"quoted-printable" in head:
        assert quopri.decodestring(written) == body
        assert max(map(len, written.split(b"\r\n"))) <= 76
    else:
        assert written == body


@pytest.mark.parametrize(
    ("body", "why"),
    [(b"\xff", "8-bit data"), (b"\0", "8-bit data"), (b"x" * 999, "more than 998 octets")],
)
def test_what_would_not_arrive_as_it_was_is_not_signed(body: bytes, why: str) -> None:
    check_signable(PLAIN + b"\r\n" + b"x" * 998)
    with pytest.raises(UnprotectableError, match=why):
        check_signable(PLAIN + b"\r\n" + body)


def test_white_space_at_a_line_s_end_is_steady_whichever_field_comes_last() -> None:
    encoding = b"Content-Transfer-Encoding: 7bit\r\n"
    for head in (PLAIN + encoding + b"Content-Language: en\r\n", encoding + PLAIN):
        made = steady(head + b"\r\nFrom me \r\n")

        assert made.partition(b"\r\n\r\n")[2] == b"=46rom =\r\nme=20\r\n", made
        assert b"Content-Transfer-Encoding: quoted-printable\r\n" in made


def test_no_line_of_a_wrapper_is_long() -> None:
    made = [
        signed_by_smime(PLAIN + b"\r\nx\r\n", b"s" * 2000, "0" * 24),
        encrypted_by_pgp(b"-----BEGIN\n" + b"x" * 64 + b"\n", "0" * 24),
    ]

    for content in made:
        assert b"\n" not in content.replace(b"\r\n", b"")
        assert max(map(len, content.split(b"\r\n"))) <= 78

"""The relaxed forms of header and body."""

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykka_smtp.smtp.mail.dkim.relaxed import RelaxedBody, relaxed_fields
from pykka_smtp.smtp.mail.mail_data import encode_whole

bodies = st.lists(st.sampled_from([b"a", b" ", b"\t", b"\n", b"  ", b"\n\n", b"bc"]), max_size=40)


def by_the_letter(body: bytes) -> bytes:
    """RFC 6376 §3.4.4, word by word."""
    lines = [re.sub(rb"[ \t]+", b" ", line.rstrip(b" \t")) for line in body.split(b"\r\n")]
    text = re.sub(rb"(\r\n)*\Z", b"", b"\r\n".join(lines))
    return text + b"\r\n" if text else b""


def digest(*pieces: bytes) -> bytes:
    body = RelaxedBody()
    for piece in pieces:
        body.feed(piece)
    return body.digest()


def test_the_rfc_s_own_example_comes_out_as_it_says() -> None:
    header = b"A: X\r\nB : Y\t\r\n\tZ  \r\n"

    assert relaxed_fields(header) == [(b"a", b"a:X"), (b"b", b"b:Y Z")]
    assert digest(b" C \r\nD \t E\r\n\r\n\r\n") == hashlib.sha256(b" C\r\nD E\r\n").digest()


def test_the_hash_of_an_empty_body_is_that_of_nothing() -> None:
    for body in (b"", b"\r\n", b"\r\n\r\n \r\n\t\r\n"):
        assert digest(body) == hashlib.sha256(b"").digest()


@given(bodies, st.integers(0, 1000))
def test_any_body_is_hashed_as_the_rfc_says_however_it_is_cut(
    pieces: list[bytes], seed: int
) -> None:
    body = encode_whole(b"".join(pieces), transparent=False)
    expected = hashlib.sha256(by_the_letter(body)).digest()

    assert digest(body) == expected
    # Anywhere but within a CRLF, which is never cut.
    words = re.findall(rb"\r\n|[^\r]", body)
    cut = seed % (len(words) + 1)
    assert digest(b"".join(words[:cut]), b"".join(words[cut:])) == expected
    assert digest(*words) == expected


@pytest.mark.parametrize("around", [65_535, 65_536, 65_537])
def test_a_block_never_ends_within_a_line_end(around: int) -> None:
    for body in (b"x" * (around - 1) + b"\r\ny", b"x" * (around - 2) + b" \r\n\r\ny\r\n"):
        assert digest(body) == hashlib.sha256(by_the_letter(body)).digest()


def test_a_hundred_thousand_empty_lines_count_only_if_something_follows() -> None:
    lines = b"\r\n" * 100_000

    assert digest(b"x", lines) == hashlib.sha256(b"x\r\n").digest()
    assert digest(b"x", lines, b"y") == hashlib.sha256(b"x" + lines + b"y\r\n").digest()


def test_what_is_no_field_is_none() -> None:
    assert relaxed_fields(b"\r\nFrom: a\r\n") == []
    assert relaxed_fields(b"From the first line\r\nTo: x\r\n") == [(b"to", b"to:x")]

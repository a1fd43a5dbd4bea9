"""Line ends, transparency and facts: the same however a mail is cut."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pykka_smtp.smtp.mail.mail_data import (
    MailDataEncoder,
    MailFacts,
    MailScanner,
    encode_whole,
    scan,
)

# Mostly line ends and dots: where all the difficulty is.
MAILS = st.one_of(
    st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a", b"\xff", b"\0"])).map(b"".join),
    st.binary(),
)
LARGE = 40_000  # octets: more than is treated in one piece


def reference(data: bytes, *, transparent: bool) -> bytes:
    """What the RFCs say, one octet at a time."""
    lines = re.split(rb"\r\n|\r|\n", data)
    if lines[-1] == b"":
        lines.pop()
    dot = b"." if transparent else b""
    return b"".join((dot if line[:1] == b"." else b"") + line + b"\r\n" for line in lines)


def unstuff(data: bytes) -> bytes:
    """What a server makes of it, RFC 5321 §4.5.2."""
    return re.sub(rb"(\A|\r\n)\.", rb"\1", data)


def encode_chunks(chunks: list[bytes], *, transparent: bool = True) -> bytes:
    encoder = MailDataEncoder(transparent=transparent)
    return b"".join([encoder.encode(chunk) for chunk in chunks]) + encoder.finish()


def scan_chunks(chunks: list[bytes]) -> MailFacts:
    scanner = MailScanner()
    for chunk in chunks:
        scanner.feed(chunk)
    return scanner.finish()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = [*sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


CASES = [
    ("an empty mail stays empty", b"", b""),
    ("a final CRLF is added", b"a", b"a\r\n"),
    ("a final CRLF is not added twice", b"a\r\n", b"a\r\n"),
    ("a final LF becomes the final CRLF", b"a\n", b"a\r\n"),
    ("a final CR becomes the final CRLF", b"a\r", b"a\r\n"),
    ("a lone line end is an empty line", b"\n", b"\r\n"),
    ("bare LF becomes CRLF", b"a\nb\r\n", b"a\r\nb\r\n"),
    ("bare CR becomes CRLF", b"a\rb\r\n", b"a\r\nb\r\n"),
    ("CR CR LF is two line ends", b"a\r\r\nb\r\n", b"a\r\n\r\nb\r\n"),
    ("LF CR is two line ends", b"a\n\rb\r\n", b"a\r\n\r\nb\r\n"),
    ("a lone dot survives", b".", b"..\r\n"),
    ("two dots survive", b"..", b"...\r\n"),
    ("a dot before text survives", b".b", b"..b\r\n"),
    ("two dots before text survive", b"..b", b"...b\r\n"),
    ("a dot in the middle of a line stays single", b"a.b\r\n", b"a.b\r\n"),
    ("a dot after an empty line is doubled", b"a\r\n\r\n.\r\n", b"a\r\n\r\n..\r\n"),
    ("LF . LF cannot smuggle", b"a\n.\nQUIT\n", b"a\r\n..\r\nQUIT\r\n"),
    ("LF . CRLF cannot smuggle", b"a\n.\r\nQUIT\r\n", b"a\r\n..\r\nQUIT\r\n"),
    ("CR . CR cannot smuggle", b"a\r.\rQUIT\r", b"a\r\n..\r\nQUIT\r\n"),
    ("CRLF . CRLF cannot smuggle", b"a\r\n.\r\nQUIT\r\n", b"a\r\n..\r\nQUIT\r\n"),
    (
        "no other control character ends a line",
        b"a\x0b.\x0c.\x85.\x1c.\n",
        b"a\x0b.\x0c.\x85.\x1c.\r\n",
    ),
]
by_title = pytest.mark.parametrize(
    ("data", "wire"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)


@by_title
def test_a_whole_mail_is_encoded(data: bytes, wire: bytes) -> None:
    assert encode_whole(data) == wire


@by_title
def test_every_single_cut_gives_the_same(data: bytes, wire: bytes) -> None:
    for place in range(len(data) + 1):
        assert encode_chunks([data[:place], data[place:]]) == wire


@by_title
def test_octet_by_octet_gives_the_same(data: bytes, wire: bytes) -> None:
    assert encode_chunks([data[i : i + 1] for i in range(len(data))]) == wire


@by_title
def test_the_server_reads_the_dots_that_were_written(data: bytes, wire: bytes) -> None:
    assert unstuff(wire) == encode_whole(data, transparent=False)


@pytest.mark.parametrize("data", [b".", b"..", b".b", b"..b", b"a\r\n.\r\n"])
def test_bdat_has_no_transparency(data: bytes) -> None:
    assert encode_whole(data, transparent=False).rstrip() == data.rstrip()
    assert encode_chunks([data], transparent=False).rstrip() == data.rstrip()


@given(MAILS, st.booleans())
def test_encoding_agrees_with_the_rfcs_read_octet_by_octet(data: bytes, transparent: bool) -> None:
    assert encode_whole(data, transparent=transparent) == reference(data, transparent=transparent)


@given(MAILS, st.booleans(), st.lists(st.integers(0, 10**6), max_size=8))
@example(b"a\r\n.b", False, [2])
@example(b"a\r\n.b", True, [3])
def test_cuts_never_change_what_is_written(
    data: bytes, transparent: bool, places: list[int]
) -> None:
    chunks = cut(data, places)
    assert b"".join(chunks) == data
    assert encode_chunks(chunks, transparent=transparent) == encode_whole(
        data, transparent=transparent
    )


@given(MAILS, st.lists(st.integers(0, 10**6), max_size=8))
def test_what_goes_out_never_has_a_bare_cr_or_lf_nor_ends_early(
    data: bytes, places: list[int]
) -> None:
    wire = encode_chunks(cut(data, places))
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", wire)
    assert b"\r\n.\r\n" not in b"\r\n" + wire
    assert wire.endswith(b"\r\n") or not data


@given(MAILS)
def test_removing_the_dots_gives_back_the_normalised_mail(data: bytes) -> None:
    assert unstuff(encode_whole(data)) == reference(data, transparent=False)


@given(MAILS.filter(bool), st.booleans())
def test_a_large_mail_is_encoded_and_scanned_as_a_small_one(data: bytes, transparent: bool) -> None:
    large = data * (LARGE // len(data) + 1)
    assert encode_whole(large, transparent=transparent) == reference(large, transparent=transparent)
    assert scan(large) == scan_chunks([large[:1], large[1:]]) == facts_of(large)


def test_a_chunk_may_be_a_memoryview() -> None:
    encoder = MailDataEncoder()
    parts = [memoryview(b"a\r"), memoryview(b"\n.b"), memoryview(b"")]
    assert b"".join(map(encoder.encode, parts)) + encoder.finish() == b"a\r\n..b\r\n"
    scanner = MailScanner()
    for part in parts:
        scanner.feed(part)
    assert scanner.finish().size == len(b"a\r\n.b\r\n")


def test_a_cr_at_the_end_of_a_chunk_waits_for_its_lf() -> None:
    encoder = MailDataEncoder()
    assert encoder.encode(b"a\r") == b"a"
    assert encoder.encode(b"") == b""
    assert encoder.encode(b"\nb") == b"\r\nb"


def test_a_finished_encoder_takes_no_more() -> None:
    encoder = MailDataEncoder()
    assert encoder.finish() == b""
    with pytest.raises(RuntimeError, match="use a new MailDataEncoder"):
        encoder.encode(b"a")
    with pytest.raises(RuntimeError, match="use a new MailDataEncoder"):
        encoder.finish()


def facts_of(data: bytes) -> MailFacts:
    wire = reference(data, transparent=False)
    return MailFacts(
        size=len(wire),
        eight_bit=max(data, default=0) > 127,
        nul=0 in data,
        longest_line=max(map(len, wire.split(b"\r\n"))),
        is_plain=reference(data, transparent=True) == data,
    )


@given(MAILS)
def test_facts_are_those_of_the_normalised_mail(data: bytes) -> None:
    assert scan(data) == facts_of(data)


@given(MAILS, st.lists(st.integers(0, 10**6), max_size=8))
@example(b"\r\n", [1])
@example(b"a\r\n\nb", [2])
@example(b"a\r\nb", [2, 2])
@example(b"a\r\n\n", [2, 3])
def test_cuts_never_change_the_facts(data: bytes, places: list[int]) -> None:
    assert scan_chunks(cut(data, places)) == scan(data)


def test_facts_of_a_mail_are_told() -> None:
    assert scan(b"a\n.bcd\xe9\r\0") == MailFacts(
        size=len(b"a\r\n.bcd\xe9\r\n\0\r\n"), eight_bit=True, nul=True, longest_line=5
    )
    nothing = MailFacts(size=0, eight_bit=False, nul=False, longest_line=0, is_plain=True)
    assert scan(b"") == nothing


def test_a_line_longer_than_any_slice_is_measured_whole() -> None:
    assert scan(b"ab" + b"x" * LARGE + b"\r\nc").longest_line == LARGE + 2

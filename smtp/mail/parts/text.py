"""The octets of a text, and their transfer encoding (RFC 2045 §6)."""

import binascii
from collections.abc import Sequence
from typing import cast

from ..mail_data import MailFacts

MAX_LINE = 998
"""Octets of a line, RFC 5322 §2.1.1."""

_QP_LINE = 76  # characters, RFC 2045 §6.7 (5)


def lines_of(body: object) -> tuple[str | bytes, ...]:
    """Return `body` as a tuple of lines; raise if it is not a list of lines."""
    kind = type(body).__name__
    if isinstance(body, bytearray | memoryview) or not isinstance(body, Sequence):
        raise TypeError(f"body: must be a str, bytes or a sequence of lines, not {kind}")
    lines = tuple(cast("Sequence[object]", body))
    for number, line in enumerate(lines, 1):
        if not isinstance(line, str | bytes):
            raise TypeError(
                f"body: line {number} must be a str or bytes, not {type(line).__name__}"
            )
    return cast("tuple[str | bytes, ...]", lines)


def octets_of(body: str | bytes | Sequence[str | bytes], what: str = "body") -> bytes:
    """Return a text as octets, with any line ends.

    Args:
        body: the text, or its lines.
        what: the name of the value in the error.

    Raises:
        ValueError: it has a NUL, or a lone surrogate.
    """
    if isinstance(body, (str, bytes)):
        octets = _utf8(body, what)
    else:
        # Both calls together drop one line end: LF, CR or CRLF.
        octets = b"\r\n".join(
            _utf8(line, what).removesuffix(b"\n").removesuffix(b"\r") for line in body
        )
    if b"\0" in octets:
        raise ValueError(
            f"{what}: NUL at octet {octets.index(0)}; not allowed in text (RFC 2045 §2.8)"
        )
    return octets


def _utf8(text: str | bytes, what: str) -> bytes:
    if isinstance(text, bytes):
        return text
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{what}: lone surrogate at position {error.start}; it is no Unicode text"
        ) from error


def in_lines(octets: bytes) -> tuple[bytes, MailFacts]:
    """Return the octets of a text with CRLF after each line, and their facts.

    Args:
        octets: with any line ends, and without NUL.

    Returns:
        The text, and its facts; a longest line of up to `MAX_LINE` octets is a bound.
    """
    if b"\r" in octets:
        octets = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if octets and not octets.endswith(b"\n"):
        octets += b"\n"
    longest = _longest_line(octets)
    is_plain = b"\n." not in octets and octets[:1] != b"."
    octets = octets.replace(b"\n", b"\r\n")
    return octets, MailFacts(len(octets), not octets.isascii(), False, longest, is_plain)


def _longest_line(octets: bytes) -> int:
    """Return a bound for the lines, which end in LF: if it is above `MAX_LINE`, one is so long."""
    size, begin = len(octets), 0
    # From the begin of a line to the last one that begins within reach: all between are shorter.
    while size - begin > MAX_LINE:
        end = octets.rfind(b"\n", begin, begin + MAX_LINE + 1)
        if end < 0:
            return max(map(len, octets.split(b"\n")))
        begin = end + 1
    return min(size, MAX_LINE)


def describe(text: bytes, facts: MailFacts) -> tuple[str, bytes]:
    """Return the charset of `text`, and its encoding for a server with 8BITMIME."""
    if not facts.eight_bit:
        charset, encoding = "us-ascii", b"7bit"
    else:
        encoding = b"8bit"
        try:
            text.decode()
            charset = "utf-8"
        except UnicodeDecodeError:
            charset = "unknown-8bit"  # RFC 1428 §3
    if facts.longest_line > MAX_LINE:
        encoding = b"quoted-printable"
    return charset, encoding


def to_quoted_printable(text: bytes) -> bytes:
    """Return `text`, whose line ends are all CRLF, as quoted-printable (RFC 2045 §6.7)."""
    encoded = binascii.b2a_qp(text)
    if b"=20\r" not in encoded and (b"\t" not in text or b"=09\r" not in encoded):
        return encoded
    # `binascii` leaves a line one character too long if it ends in an encoded space or TAB.
    lines = encoded.split(b"\r\n")
    return b"\r\n".join(
        [line if len(line) <= _QP_LINE else b"%b=\r\n%b" % (line[:-3], line[-3:]) for line in lines]
    )

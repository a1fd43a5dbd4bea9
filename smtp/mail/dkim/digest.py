"""What of an email is signed: fields of its header, and the hash of its body."""

import re
from dataclasses import dataclass
from functools import lru_cache

from ..mail_data import MailDataEncoder, encode_whole
from .relaxed import Field, RelaxedBody, relaxed_fields

MOST_HEADER = 1_048_576
"""Octets of a header that may be signed: it is held in memory, unlike a body."""

ONCE = frozenset(
    (
        *(b"from", b"sender", b"reply-to", b"to", b"cc", b"subject", b"date", b"message-id"),
        *(b"in-reply-to", b"references", b"mime-version", b"content-type"),
        *(b"content-transfer-encoding",),
    )
)
"""Fields that an email has once (RFC 5322 §3.6, RFC 2045 §3). Where it has one, the signature
covers that there is no second one, which an email program might show instead (RFC 6376 §8.15)."""
SIGNED = ONCE | frozenset(
    (
        *(b"auto-submitted", b"content-description", b"content-disposition", b"content-id"),
        *(b"content-language", b"feedback-id", b"importance", b"list-archive", b"list-help"),
        *(b"list-id", b"list-owner", b"list-post", b"list-subscribe", b"list-unsubscribe"),
        *(b"list-unsubscribe-post", b"precedence", b"priority", b"require-recipient-valid-since"),
        *(b"resent-cc", b"resent-date", b"resent-from", b"resent-message-id", b"resent-reply-to"),
        *(b"resent-sender", b"resent-to", b"x-priority"),
    )
)
"""Fields that are signed (RFC 6376 §5.4.1, RFC 8058 §4): what a reader sees or a program acts on,
and nothing that is changed or added on the way."""

_END = b"\r\n\r\n"
# Possessive: there is one way to match, so the time is linear.
_HEADER = re.compile(rb"(?:[!-9;-~]++[ \t]*+:[^\r]*+\r\n(?:[ \t][^\r]*+\r\n)*+)*+")
_TOO_LONG = f"its header is longer than {MOST_HEADER} octets"


class UnsignableError(ValueError):
    """An email cannot be signed; the text says why."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What of an email is signed. The same for all keys.

    Attributes:
        names: the names of the signed fields as ``h=`` has them, each as often as it counts.
        fields: these fields in relaxed form, in this order.
        body_hash: the SHA-256 hash of the body in relaxed form.
        author: the field From in relaxed form.
    """

    names: tuple[str, ...]
    fields: bytes
    body_hash: bytes
    author: bytes


class Digester:
    """Makes the `Digest` of an email that comes piece by piece."""

    def __init__(self) -> None:
        self._encoder = MailDataEncoder(transparent=False)
        self._header: bytearray | None = bytearray()  # None once it is complete
        self._fields: list[Field] = []
        self._body = RelaxedBody()

    def feed(self, piece: bytes) -> None:
        """Add the next octets of the email.

        Args:
            piece: with any line ends, cut anywhere.

        Raises:
            UnsignableError: the header is too long, or has a line that is no field.
        """
        self._feed_lines(self._encoder.encode(piece))

    def _feed_lines(self, piece: bytes) -> None:
        if self._header is None:
            self._body.feed(piece)
            return
        seen = max(0, len(self._header) - len(_END))
        self._header += piece
        end = self._header.find(_END, seen)
        if end < 0 and len(self._header) <= MOST_HEADER:
            return
        if not -1 < end <= MOST_HEADER:
            raise UnsignableError(_TOO_LONG)
        self._fields = _fields_of(bytes(self._header[: end + 2]))
        body, self._header = bytes(self._header[end + len(_END) :]), None
        self._body.feed(body)

    def finish(self) -> Digest:
        """Return the digest of all that was fed.

        Raises:
            UnsignableError: there is no From (RFC 6376 §5.4), or a line that is no field.
        """
        self._feed_lines(self._encoder.finish())
        if self._header is not None:
            self._fields = _fields_of(bytes(self._header))
        return _digest(self._fields, self._body)


def digest_of(data: bytes) -> Digest:
    """Return the digest of a complete email.

    Args:
        data: the email, whose line ends are all CRLF.

    Raises:
        UnsignableError: there is no From, or a line of the header is no field, or it is too long.
    """
    end = data.find(_END, 0, MOST_HEADER)
    if end < 0 and len(data) > MOST_HEADER:
        raise UnsignableError(_TOO_LONG)
    header = data if end < 0 else data[: end + 2]
    body = RelaxedBody()
    body.feed(b"" if end < 0 else data[end + 4 :])
    return _digest(_fields_of(header), body)


def in_lines(data: bytes) -> bytes:
    """Return a complete email as it is signed: all its line ends are CRLF.

    Args:
        data: with any line ends.
    """
    return encode_whole(data, transparent=False)


def _fields_of(header: bytes) -> list[Field]:
    """Return the fields of a header; raise if a line is none.

    The first line would become a part of the signature, which is put in front of it, if it begins
    with white space. Others end the header for some servers on the way, and for those who verify.
    """
    found = _HEADER.match(header)
    if found and found.end() < len(header) and not header.startswith(b"\r\n"):
        line = header.count(b"\r\n", 0, found.end()) + 1
        raise UnsignableError(f"line {line} of its header is no field such as Subject: text")
    return relaxed_fields(header)


def _digest(fields: list[Field], body: RelaxedBody) -> Digest:
    # From the last to the first, for of several with one name the last counts first: §5.4.2.
    signed = [field for field in reversed(fields) if field[0] in SIGNED]
    author = None
    for name, text in signed:
        if name == b"from":
            author = text
    if author is None:
        raise UnsignableError("its header has no From")
    names = _names_of(tuple([name for name, _ in signed]))
    text = b"\r\n".join([text for _, text in signed])
    return Digest(names, text + b"\r\n", body.digest(), author)


@lru_cache(maxsize=256)  # a program's emails have the same few fields
def _names_of(names: tuple[bytes, ...]) -> tuple[str, ...]:
    """Return what ``h=`` names: the fields, and once more each that must not be there twice."""
    return tuple([name.decode("ascii") for name in (*names, *sorted(ONCE.intersection(names)))])

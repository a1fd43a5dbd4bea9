"""MIME entities: a text, a file, or several of them, encoded once (RFC 2045, RFC 2046).

They are immutable, and always in ASCII: one form of an email suits every server, and a signature
covers it. So one entity can be part of any number of emails.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..mail_data import MailFacts, encode_whole, scan
from .base64_lines import encoded_size
from .base64_lines import in_lines as in_base64_lines
from .text import MAX_LINE, in_lines, octets_of, to_quoted_printable

_LINE = 76  # characters of a line of base64, RFC 2045 §6.8
_ASCII = bytes(range(128))
_QP_SHARE = 6
"""Where more than one octet in so many is not ASCII, base64 is shorter than quoted-printable."""


@dataclass(frozen=True, slots=True)
class FileBody:
    """The content of a file in base64, which is read and encoded while the email is sent.

    Attributes:
        path: the file.
    """

    path: str


Segment = bytes | FileBody
"""A piece of an email, in the form in which it goes out."""


@dataclass(frozen=True, slots=True)
class Entity:
    """A part of an email with its header: all of ``Content-…``, an empty line, and its body.

    Attributes:
        segments: what it consists of; together, lines that end in CRLF.
        facts: those of all segments but files.
    """

    segments: tuple[Segment, ...] = field(repr=False)
    facts: MailFacts = field(compare=False)


def facts_of(entity: Entity, sizes: Sequence[int] = ()) -> MailFacts:
    """Return the facts of an entity, with its files.

    Args:
        entity: the entity.
        sizes: octets of each file, before they are encoded.
    """
    facts = entity.facts
    if not sizes:
        return facts
    return MailFacts(
        facts.size + sum(map(encoded_size, sizes)),
        facts.eight_bit,
        facts.nul,
        max(facts.longest_line, _LINE),
        facts.is_plain,
    )


def text_entity(text: str | bytes, content_type: str, *fields: str, utf8: bool = False) -> Entity:
    """Return a text, in the shortest encoding that any server takes.

    Args:
        text: a str, or octets; with any line ends.
        content_type: such as ``"text/html"``, perhaps with parameters; charset is added.
        fields: further fields of its header, complete.
        utf8: whether octets are known to be in UTF-8.

    Raises:
        ValueError: it has a NUL, or a lone surrogate.
    """
    octets, facts = in_lines(octets_of(text))
    charset, encoding = "us-ascii", "7bit"
    longest, is_plain = facts.longest_line, facts.is_plain
    if facts.eight_bit:
        charset = "utf-8" if utf8 or isinstance(text, str) or _is_utf8(octets) else "unknown-8bit"
    if facts.eight_bit or longest > MAX_LINE:
        longest = _LINE
        if len(octets.translate(None, _ASCII)) > len(octets) // _QP_SHARE:
            encoding, octets, is_plain = "base64", in_base64_lines(octets), True
        else:
            encoding, octets = "quoted-printable", to_quoted_printable(octets)
            is_plain = is_plain and b"=\r\n." not in octets  # where a long line was broken
    fields = (f"Content-Type: {content_type}; charset={charset}", *fields)
    return _single(fields, encoding, octets, longest, is_plain)


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False  # then RFC 1428 §3 has a name for it
    return True


def file_entity(body: bytes | FileBody, *fields: str) -> Entity:
    """Return octets of any kind.

    Args:
        body: in base64, as `in_lines` returns it; or a file.
        fields: its header but for Content-Transfer-Encoding, complete.
    """
    head = _head(fields, "base64")
    facts = header_facts(head)
    if isinstance(body, bytes):
        facts.size += len(body)
        facts.longest_line = max(facts.longest_line, _LINE)
    return Entity((head, body), facts)


def email_entity(octets: bytes, *fields: str) -> Entity | None:
    """Return an email within an email; None if it had to be encoded (RFC 2046 §5.2.1).

    Args:
        octets: the email.
        fields: the header of the entity, but for Content-Transfer-Encoding.
    """
    octets = encode_whole(octets, transparent=False)
    facts = scan(octets)
    if facts.eight_bit or facts.nul or facts.longest_line > MAX_LINE:
        return None
    return _single(fields, "7bit", octets, facts.longest_line, facts.is_plain)


def multipart(kind: str, boundary: str, entities: Sequence[Entity], *parameters: str) -> Entity:
    """Return one entity of several (RFC 2046 §5.1).

    Args:
        kind: ``"mixed"``, ``"alternative"``, ``"related"`` or another subtype.
        boundary: what separates them; it must not be in any of them.
        entities: at least one.
        parameters: further parameters of Content-Type, such as ``'type="text/html"'``.
    """
    lines = [f"Content-Type: multipart/{kind}", *parameters, f'boundary="{boundary}"\r\n']
    opening = ";\r\n ".join(lines).encode()
    between = f"\r\n--{boundary}\r\n".encode()
    closing = f"\r\n--{boundary}--\r\n".encode()
    segments: list[Segment] = [opening]
    size = len(opening) + len(closing) + len(between) * len(entities)
    longest = _longest_line(opening)
    is_plain = True
    for entity in entities:
        segments.append(between)
        segments += entity.segments
        facts = entity.facts
        size += facts.size
        is_plain = is_plain and facts.is_plain
        longest = max(longest, facts.longest_line)
    segments.append(closing)
    return Entity(tuple(segments), MailFacts(size, False, False, longest, is_plain))


@functools.lru_cache(maxsize=64)
def _head(fields: tuple[str, ...], encoding: str) -> bytes:
    text = "\r\n".join((*fields, f"Content-Transfer-Encoding: {encoding}", "", ""))
    return text.encode("ascii")


def _single(
    fields: tuple[str, ...], encoding: str, octets: bytes, longest: int, is_plain: bool
) -> Entity:
    head = _head(fields, encoding)
    longest = max(_longest_line(head), longest)
    octets = head + octets
    return Entity((octets,), MailFacts(len(octets), False, False, longest, is_plain))


def header_facts(head: bytes) -> MailFacts:
    """Return the facts of a header, without a look at each of its octets.

    Args:
        head: complete lines without NUL. A name of a field can begin with a dot.
    """
    # An address may be in UTF-8.
    is_plain = b"\n." not in head and head[:1] != b"."
    return MailFacts(len(head), not head.isascii(), False, _longest_line(head), is_plain)


def _longest_line(head: bytes) -> int:
    """Return how long a line is at most."""
    size = len(head)
    return size if size <= MAX_LINE else max(map(len, head.split(b"\r\n")))

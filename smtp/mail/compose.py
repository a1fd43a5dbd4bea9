"""A text email, composed from its parts (RFC 5322, RFC 2045).

`TextEmail` is the fast way for plain text: `email.message` takes a millisecond for what takes some
microseconds here. An email of several MIME parts is given as a complete message instead.

Every part is checked when the `TextEmail` is made, and none can add a field to the header. The date
and the id are passed in: nothing here reads a clock.
"""

import binascii
import datetime as dt
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import cast

from .header import (
    check_address,
    check_name,
    check_text,
    date_field,
    given_field,
    has_several,
    mailbox_field,
    message_id_field,
    text_field,
)
from .mail_data import MailFacts, encode_whole, scan

Mailbox = tuple[str | None, str]
"""A display name, or None, and an address."""

_MAX_LINE = 998  # octets, RFC 5322 §2.1.1

# Generated fields that a field of the caller's may replace.
_GENERATED = ("from", "to", "cc", "subject", "date", "message-id", "content-type")
# RFC 5322 §3.6 allows each of these at most once.
_ONCE = frozenset((*_GENERATED, "sender", "reply-to", "in-reply-to", "references"))
_NONE: tuple[()] = ()  # as most mails have them: no copies, no fields of their own
_NO_ADDRESS = frozenset(("", "<>"))
# Generated fields that cannot be replaced, because they must describe the body correctly.
_OURS = frozenset(("mime-version", "content-transfer-encoding"))

# RFC 2045 §6.4: a body of these types must not be encoded.
_COMPOSITE = re.compile(r"content-type:\s*(?:multipart|message)\b", re.IGNORECASE)

# A line of quoted-printable that `binascii` leaves one character too long.
_QP_OVERLONG = re.compile(rb"^([^\r\n]{74})(=20|=09)\r$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEmail:
    """A text email: make it, then call `render` once the server's extensions are known.

    There is no Bcc: blind recipients appear in the envelope only.

    Args:
        from_address: address of the author. May be empty or ``<>`` if `headers` has a From.
        from_name: the author's display name, or None.
        to: display name (or None) and address of each recipient to be shown in To.
        cc: the same for Cc.
        subject: one line of text.
        body: the text. A str is sent as UTF-8. A sequence is a list of lines: one line end of
            each is dropped, then they are joined by CRLF. Line ends within become CRLF, and CRLF
            is added at the end if it is missing.
        headers: more header fields, as pairs of name and value. One with the name of a generated
            field replaces it, at its place; MIME-Version and Content-Transfer-Encoding cannot be
            replaced. Values are sent as given, with encoded words for text that is not ASCII.
        date: when the email was written, with time zone.
        message_id: ``<unique@host>``, with the angle brackets.

    Raises:
        TypeError: a part has the wrong type.
        ValueError: a part cannot be sent as it is, or would change another part.
    """

    from_address: str
    from_name: str | None = None
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    subject: str
    body: str | bytes | Sequence[str | bytes] = field(repr=False)
    headers: tuple[tuple[str, str], ...] = ()
    date: dt.datetime
    message_id: str
    _head: bytes = field(init=False, repr=False, compare=False)
    _text: bytes = field(init=False, repr=False, compare=False)
    _encoding: bytes = field(init=False, repr=False, compare=False)
    _facts: MailFacts = field(init=False, repr=False, compare=False)  # of the text

    def __post_init__(self) -> None:
        if not isinstance(self.body, str | bytes):
            _set(self, "body", _lines(self.body))
        _set(self, "to", _mailboxes("to", self.to))
        _set(self, "cc", _mailboxes("cc", self.cc))
        _set(self, "headers", _headers(self.headers))
        text = encode_whole(_octets(self.body), transparent=False)
        facts = scan(text)
        charset, encoding = _describe(text, facts)
        head = "\r\n".join((*self._fields(charset, encoding), ""))
        _set(self, "_head", head.encode())
        _set(self, "_text", text)
        _set(self, "_encoding", encoding)
        _set(self, "_facts", facts)

    def _fields(self, charset: str, encoding: bytes) -> list[str]:
        """Return the header's fields, except Content-Transfer-Encoding: the server decides it."""
        given, others = _given(self.headers)
        fields = [
            self._author(given),
            _recipients("To", self.to),
            _recipients("Cc", self.cc),
            text_field("Subject", check_text("subject", self.subject)),
            date_field(self.date),
            message_id_field(self.message_id),
            f"Content-Type: text/plain; charset={charset}",
        ]
        # A field of the caller's replaces the generated one, at the same place.
        if given:
            fields = [given.get(name, line) for name, line in zip(_GENERATED, fields, strict=True)]
        content_type = fields.pop()
        if encoding != b"7bit" and _COMPOSITE.match(content_type):
            raise ValueError(
                "header Content-Type: a multipart body must be ASCII, in lines of at most "
                f"{_MAX_LINE} octets; give the complete email instead, as message="
            )
        return [*filter(None, fields), *others, "MIME-Version: 1.0", content_type]

    def _author(self, given: dict[str, str]) -> str:
        """Return From; empty if the caller gave no address but a From field in `headers`."""
        name = None if self.from_name is None else check_text("from_name", self.from_name)
        if self.from_address in _NO_ADDRESS:
            if "from" in given:
                return ""
            raise ValueError(
                "from_address: where the reverse-path is null, the email needs a From in headers="
            )
        address = check_address("from_address", self.from_address)
        return mailbox_field("From", ((name, address),))

    @property
    def has_8bit_headers(self) -> bool:
        """Whether the header has an address that needs SMTPUTF8 (RFC 6531 §3.2).

        That is one whose local part is not ASCII; domains are written with A-labels.
        """
        return not self._head.isascii()

    def date_back(self, date: dt.datetime, message_id: str) -> None:
        """Give it the date and Message-ID of the email of which it is a copy.

        Args:
            date: when the email was written, with time zone.
            message_id: its Message-ID, with the angle brackets.
        """
        head = self._head
        for old, new in (
            (date_field(self.date), date_field(date)),
            (message_id_field(self.message_id), message_id_field(message_id)),
        ):
            # Not found where a field of the caller's has replaced it.
            head = head.replace(f"\r\n{old}\r\n".encode(), f"\r\n{new}\r\n".encode(), 1)
        _set(self, "_head", head)
        _set(self, "date", date)
        _set(self, "message_id", message_id)

    def render(self, *, eight_bit: bool) -> bytes:
        """Return the complete message, with CRLF line ends and without dot-stuffing.

        Args:
            eight_bit: whether the server offers 8BITMIME (RFC 6152). If not, a body that is not
                ASCII is sent as quoted-printable. So is always a body with a line of more than
                998 octets.
        """
        return self.render_with_facts(eight_bit=eight_bit)[0]

    def render_with_facts(self, *, eight_bit: bool) -> tuple[bytes, MailFacts]:
        """Return what `render` does, and its facts, without another look at the whole text.

        Args:
            eight_bit: as for `render`.
        """
        encoding, text, of_text = self._encoding, self._text, self._facts
        if encoding == b"8bit" and not eight_bit:
            encoding = b"quoted-printable"
        if encoding == b"quoted-printable":
            text = to_quoted_printable(text)
            of_text = scan(text)
        head = b"%bContent-Transfer-Encoding: %b\r\n\r\n" % (self._head, encoding)
        of_head = scan(head)
        facts = MailFacts(
            of_head.size + of_text.size,
            of_head.eight_bit or of_text.eight_bit,
            of_head.nul or of_text.nul,
            max(of_head.longest_line, of_text.longest_line),
            of_head.is_plain and of_text.is_plain,
        )
        return head + text, facts


_set = object.__setattr__  # a frozen dataclass needs it to normalise its own fields


def _recipients(name: str, mailboxes: tuple[Mailbox, ...]) -> str:
    return mailbox_field(name, mailboxes) if mailboxes else ""


def _lines(body: object) -> tuple[str | bytes, ...]:
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


def _octets(body: str | bytes | Sequence[str | bytes]) -> bytes:
    """Return the body as octets, with any line ends."""
    if isinstance(body, str | bytes):
        octets = _utf8(body)
    else:
        # Both calls together drop one line end: LF, CR or CRLF.
        octets = b"\r\n".join(_utf8(line).removesuffix(b"\n").removesuffix(b"\r") for line in body)
    if b"\0" in octets:
        raise ValueError(
            f"body: NUL at octet {octets.index(0)}; not allowed in text (RFC 2045 §2.8)"
        )
    return octets


def _utf8(text: str | bytes) -> bytes:
    if isinstance(text, bytes):
        return text
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"body: lone surrogate at position {error.start}; it is no Unicode text"
        ) from error


def _describe(text: bytes, facts: MailFacts) -> tuple[str, bytes]:
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
    if facts.longest_line > _MAX_LINE:
        encoding = b"quoted-printable"
    return charset, encoding


def to_quoted_printable(text: bytes) -> bytes:
    """Return `text`, whose line ends are all CRLF, as quoted-printable (RFC 2045 §6.7)."""
    return _QP_OVERLONG.sub(rb"\1=\r\n\2\r", binascii.b2a_qp(text))


def _pairs(name: str, what: str, value: object) -> Iterable[tuple[object, object]]:
    """Return the pairs in `value`; raise if it is not a list of pairs."""
    kind = type(value).__name__
    if not isinstance(value, list | tuple):
        raise TypeError(f"{name}: must be a tuple of pairs {what}, not {kind}")
    pairs: list[tuple[object, object]] = []
    for number, item in enumerate(cast("Sequence[object]", value), 1):
        pair = cast("tuple[object, ...]", item)
        if not isinstance(item, list | tuple) or len(pair) != 2:
            raise TypeError(f"{name}: must be a tuple of pairs {what}; item {number} is none")
        pairs.append((pair[0], pair[1]))
    return pairs


def _mailboxes(name: str, value: object) -> tuple[Mailbox, ...]:
    """Return the mailboxes of one field, checked."""
    if value is _NONE:
        return _NONE
    mailboxes = [
        (
            None if phrase is None else check_text(f"{name}_name", phrase),
            check_address(name, address),
        )
        for phrase, address in _pairs(name, "(display name or None, address)", value)
    ]
    return tuple(mailboxes)


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    """Return the fields of the caller's, checked."""
    if value is _NONE:
        return _NONE
    headers = tuple(
        (check_name(name), check_text(f"header {name}", text, tab=True))
        for name, text in _pairs("headers", "(name, value)", value)
    )
    for name, _ in headers:
        if name.lower() in _OURS:
            raise ValueError(f"headers: {name} cannot be given; it is made from the body")
    return headers


def _given(headers: tuple[tuple[str, str], ...]) -> tuple[dict[str, str], list[str]]:
    """Return the fields that replace a generated one, by lower-case name, and the others."""
    replacing: dict[str, str] = {}
    others: list[str] = []
    seen: set[str] = set()
    for name, value in headers:
        key = name.lower()
        if key in _ONCE:
            if key in seen:
                raise ValueError(
                    f"headers: {name} is there twice; an email has one (RFC 5322 §3.6)"
                )
            seen.add(key)
        if key == "sender" and has_several(value):
            raise ValueError(f"headers: {name} has several addresses; it has one (RFC 5322 §3.6.2)")
        line = given_field(name, value)
        if key in _GENERATED:
            replacing[key] = line
        else:
            others.append(line)
    return replacing, others

"""A text email, composed from its parts (RFC 5322, RFC 2045).

`TextEmail` is the fast way for plain text: `email.message` takes a millisecond for what takes some
microseconds here. An email of several MIME parts is a `parts.parts_email.PartsEmail`.
"""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from .header import date_field, message_id_field
from .mail_data import MailFacts, scan
from .parts.entity import header_facts
from .parts.head import Head
from .parts.text import MAX_LINE, describe, in_lines, lines_of, octets_of, to_quoted_printable

# RFC 2045 §6.4: a body of these types must not be encoded.
_COMPOSITE = re.compile(r"content-type:\s*(?:multipart|message)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEmail(Head):
    """A text email: make it, then call `render` once the server's extensions are known.

    Args:
        body: the text. A str is sent as UTF-8. A sequence is a list of lines: one line end of
            each is dropped, then they are joined by CRLF. Line ends within become CRLF, and CRLF
            is added at the end if it is missing.

    Raises:
        TypeError: a part has the wrong type.
        ValueError: a part cannot be sent as it is, or would change another part.
    """

    body: str | bytes | Sequence[str | bytes] = field(repr=False)
    _head: bytes = field(init=False, repr=False, compare=False)
    _text: bytes = field(init=False, repr=False, compare=False)
    _encoding: bytes = field(init=False, repr=False, compare=False)
    _facts: MailFacts = field(init=False, repr=False, compare=False)  # of the text

    def __post_init__(self) -> None:
        if not isinstance(self.body, (str, bytes)):
            _set(self, "body", lines_of(self.body))
        self._check()
        text, facts = in_lines(octets_of(self.body))
        charset, encoding = describe(text, facts)
        fields = self._lines(f"Content-Type: text/plain; charset={charset}")
        if encoding != b"7bit" and _COMPOSITE.match(fields[-1]):
            raise ValueError(
                "header Content-Type: a multipart body must be ASCII, in lines of at most "
                f"{MAX_LINE} octets; give the complete email instead, as message="
            )
        _set(self, "_head", "\r\n".join((*fields, "")).encode())
        _set(self, "_text", text)
        _set(self, "_encoding", encoding)
        _set(self, "_facts", facts)

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
        return head + text, header_facts(head).before(of_text)


_set = object.__setattr__  # a frozen dataclass needs it to normalise its own fields

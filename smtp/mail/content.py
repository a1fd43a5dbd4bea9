"""What is mailed, in the form that the server can take (RFC 6152, RFC 1870)."""

from dataclasses import dataclass, replace
from typing import Protocol

from .compose import TextEmail
from .mail_data import MailFacts, scan

MAX_TEXT_LINE = 998
"""Octets in a line of mail data, without CRLF (RFC 5321 §4.5.3.1.6)."""


@dataclass(slots=True)
class Rendition:
    """A mail as it is to go out.

    Attributes:
        data: the mail, or None for one that is streamed: then whoever does the I/O has it.
        facts: its size and needs, or None for a stream that could be read only once.
        is_binary: whether it goes out octet for octet, which only BDAT can do (RFC 3030 §3).
        may_be_eight_bit: whether a stream, of which nothing is known, may have 8-bit data.
        is_signed: whether nobody may re-encode it, as a signature covers its octets.
    """

    data: bytes | None
    facts: MailFacts | None
    is_binary: bool = False
    may_be_eight_bit: bool = True
    is_signed: bool = False


class Content(Protocol):
    """A mail that can be rendered for a server."""

    @property
    def needs_smtputf8(self) -> bool:
        """Whether header fields have raw UTF-8, which only SMTPUTF8 permits (RFC 6532)."""
        ...

    def render(self, *, eight_bit: bool, binary: bool = False) -> Rendition:
        """Return the mail in a form that the server takes.

        A mail that cannot be re-encoded comes back as it is; its facts then say so.

        Args:
            eight_bit: whether the server takes 8-bit data (RFC 6152).
            binary: whether it takes any octets (RFC 3030).
        """
        ...


@dataclass(frozen=True, slots=True)
class ComposedContent:
    """A text mail that is composed for the server."""

    letter: TextEmail

    @property
    def needs_smtputf8(self) -> bool:
        """Whether an address in the header is beyond ASCII."""
        return self.letter.has_8bit_headers

    def render(self, *, eight_bit: bool, binary: bool = False) -> Rendition:  # noqa: ARG002
        """Compose the mail, as quoted-printable where the server takes no 8-bit data."""
        data = self.letter.render(eight_bit=eight_bit)
        return Rendition(data, scan(data))


@dataclass(slots=True)
class CompleteContent:
    """A complete mail, octet for octet as it was given, but for its line ends.

    Nobody changes it. It is not frozen, as that makes it slow to make, and most mails have one.

    Attributes:
        data: the mail.
        seven_bit: the same mail in ASCII, or None where nobody may re-encode it.
        has_utf8_header: whether its header is known to have raw UTF-8. What is given as octets has
            whatever the caller put there.
        is_signed: whether it is known to be signed, so that nobody may re-encode it.
    """

    data: bytes
    seven_bit: bytes | None = None
    has_utf8_header: bool = False
    is_signed: bool = False

    @property
    def needs_smtputf8(self) -> bool:
        """Whether its header is known to have raw UTF-8."""
        return self.has_utf8_header

    def render(self, *, eight_bit: bool, binary: bool = False) -> Rendition:
        """Return the mail, in ASCII if there is such a form and the server needs it."""
        data = self.data if eight_bit or self.seven_bit is None else self.seven_bit
        facts = scan(data)
        if binary and (facts.nul or facts.longest_line > MAX_TEXT_LINE):
            return Rendition(data, replace(facts, size=len(data)), is_binary=True)
        return Rendition(data, facts, is_signed=self.is_signed)


@dataclass(frozen=True, slots=True)
class StreamedContent:
    """A complete mail that whoever does the I/O reads piece by piece.

    Attributes:
        facts: what a first reading found, or None for a stream that can be read only once.
    """

    facts: MailFacts | None

    @property
    def needs_smtputf8(self) -> bool:
        """False: what a complete mail has in its header is the caller's affair."""
        return False

    def render(self, *, eight_bit: bool, binary: bool = False) -> Rendition:  # noqa: ARG002
        """Return what is known of the mail."""
        return Rendition(None, self.facts, may_be_eight_bit=eight_bit or self.facts is not None)

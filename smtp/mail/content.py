"""The content of an email, in the form that the server can take (RFC 6152, RFC 1870)."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from .compose import TextEmail
from .mail_data import MailFacts, scan

if TYPE_CHECKING:
    from .parts.parts_email import PartsEmail

MAX_TEXT_LINE = 998
"""Octets in a line of mail data, without CRLF (RFC 5321 §4.5.3.1.6)."""


@dataclass(slots=True)
class Rendition:
    """An email in the form in which it is sent.

    Attributes:
        data: the message, or None if the I/O layer streams it from a source of its own.
        facts: its size and needs, or None for a stream that can be read only once.
        is_binary: whether it is sent octet for octet, which only BDAT can do (RFC 3030 §3).
        may_be_eight_bit: whether a stream without `facts` may have 8-bit data.
        is_signed: whether it must not be re-encoded, because a signature covers its octets.
    """

    data: bytes | None
    facts: MailFacts | None
    is_binary: bool = False
    may_be_eight_bit: bool = True
    is_signed: bool = False


class Content(Protocol):
    """The content of an email that can be rendered for a server."""

    @property
    def needs_smtputf8(self) -> bool:
        """Whether header fields have raw UTF-8, which only SMTPUTF8 permits (RFC 6532)."""
        ...

    def render(self, *, eight_bit: bool, binary: bool = False) -> Rendition:
        """Return the email in a form that the server takes.

        An email that cannot be re-encoded is returned as it is; its facts then show that.

        Args:
            eight_bit: whether the server takes 8-bit data (RFC 6152).
            binary: whether it takes any octets (RFC 3030).
        """
        ...


@dataclass(frozen=True, slots=True)
class ComposedContent:
    """An email that is composed for the server."""

    email: "TextEmail | PartsEmail"

    @property
    def needs_smtputf8(self) -> bool:
        """Whether an address in the header has a local part that is not ASCII."""
        return self.email.has_8bit_headers

    def render(self, *, eight_bit: bool, binary: bool = False) -> Rendition:  # noqa: ARG002
        """Return the composed email; in ASCII if the server takes no 8-bit data."""
        return Rendition(*self.email.render_with_facts(eight_bit=eight_bit))


@dataclass(slots=True)
class CompleteContent:
    """A complete message, octet for octet as it was given, except for its line ends.

    Treat it as immutable. It is not frozen, because frozen dataclasses are slow to make, and most
    emails have one.

    Attributes:
        data: the message.
        seven_bit: the same message in ASCII, or None if there is no such form.
        needs_smtputf8: whether its header is known to have raw UTF-8. The header of a message
            given as bytes is not examined.
        is_signed: whether it is known to be signed, so that it must not be re-encoded.
        facts: those of `data`, if they are known.
    """

    data: bytes
    seven_bit: bytes | None = None
    needs_smtputf8: bool = False
    is_signed: bool = False
    facts: MailFacts | None = None

    def render(self, *, eight_bit: bool, binary: bool = False) -> Rendition:
        """Return the message, in ASCII if there is such a form and the server needs it."""
        data = self.data if eight_bit or self.seven_bit is None else self.seven_bit
        facts = self.facts if self.facts is not None and data is self.data else scan(data)
        if binary and (facts.nul or facts.longest_line > MAX_TEXT_LINE):
            return Rendition(data, replace(facts, size=len(data)), is_binary=True)
        return Rendition(data, facts, is_signed=self.is_signed)


@dataclass(frozen=True, slots=True)
class StreamedContent:
    """A complete message that the I/O layer reads piece by piece.

    Attributes:
        facts: what a first pass over it found, or None for a stream that can be read only once.
        needs_smtputf8: whether its header is known to have raw UTF-8. The header of a complete
            message is not examined.
    """

    facts: MailFacts | None
    needs_smtputf8: bool = False

    def render(self, *, eight_bit: bool, binary: bool = False) -> Rendition:  # noqa: ARG002
        """Return what is known of the message."""
        return Rendition(None, self.facts, may_be_eight_bit=eight_bit or self.facts is not None)

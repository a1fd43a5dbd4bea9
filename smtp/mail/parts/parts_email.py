"""An email of several parts: texts, images that they embed, files (RFC 2046, RFC 2387)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..mail_data import MailFacts
from .entity import Entity, FileBody, Segment, facts_of, header_facts, multipart
from .head import Head

MOST_IN_ONE = 1_048_576
"""Octets of an email that is put together in memory; a larger one goes out piece by piece."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsEmail(Head):
    """An email that is not just text.

    What is signed as a whole is `segments`; what S/MIME and PGP wrap is `entity`.

    Args:
        entity: its content, which may be part of other emails as well.
    """

    entity: Entity = field(repr=False)
    _head: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._check()
        *lines, content_type = self._lines("")
        if content_type:
            raise ValueError(
                "headers: Content-Type cannot be given; it is made from html, attachments and the"
                " like"
            )
        object.__setattr__(self, "_head", "\r\n".join((*lines, "")).encode())

    @property
    def has_8bit_headers(self) -> bool:
        """Whether the header has an address that needs SMTPUTF8 (RFC 6531 §3.2)."""
        return not self._head.isascii()

    @property
    def needs_smtputf8(self) -> bool:
        """The same, as a `Content` has it."""
        return self.has_8bit_headers

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The complete message: octets, with CRLF line ends, and files between them."""
        return (self._head, *self.entity.segments)

    @property
    def files(self) -> tuple[FileBody, ...]:
        """The files that are read while it is sent."""
        return tuple([each for each in self.entity.segments if type(each) is FileBody])

    @property
    def is_streamed(self) -> bool:
        """Whether it is too large to be put together in memory, or has files to be read."""
        return self.entity.facts.size > MOST_IN_ONE or bool(self.files)

    def facts(self, sizes: Sequence[int] = ()) -> MailFacts:
        """Return the facts of the whole.

        Args:
            sizes: octets of each of `files`.
        """
        return header_facts(self._head).before(facts_of(self.entity, sizes))

    def render_with_facts(self, *, eight_bit: bool) -> tuple[bytes, MailFacts]:  # noqa: ARG002
        """Return the message and its facts: one form, in ASCII, for all servers.

        Args:
            eight_bit: makes no difference.
        """
        return b"".join((self._head, *self.entity.segments)), self.facts()  # type: ignore[arg-type]


def nested(
    *,
    texts: Sequence[Entity],
    inline: Sequence[Entity] = (),
    others: Sequence[Entity] = (),
    files: Sequence[Entity] = (),
    unique: str,
) -> Entity:
    """Return parts as clients expect them, without levels of only one part.

    Args:
        texts: the same in several forms, the best last; the HTML is the last one.
        inline: what the HTML embeds.
        others: further forms, such as an invitation.
        files: what is attached.
        unique: letters and digits that no text contains, such as 96 random bits.
    """
    forms = list(texts)
    if inline:
        kind = 'type="text/html"'  # of the root, RFC 2387 §3.1
        forms[-1] = multipart("related", f"=_1_{unique}", (forms[-1], *inline), kind)
    forms += others
    if len(forms) > 1:
        forms = [multipart("alternative", f"=_2_{unique}", forms)]
    if not files and forms:
        return forms[0]
    return multipart("mixed", f"=_3_{unique}", (*forms, *files))

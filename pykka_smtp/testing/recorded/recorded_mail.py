"""`RecordedMail`: an email that was recorded, with its parts decoded."""

import email
import email.policy
import functools
from dataclasses import dataclass
from email.message import EmailMessage

from ...actors.net.outlets.record import KeptMail


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part of an email that is not its text.

    Attributes:
        filename: its name; empty if it has none.
        content_type: such as ``"image/png"``.
        content: its octets, decoded.
    """

    filename: str
    content_type: str
    content: bytes


class RecordedMail:
    """An email as a server would have received it.

    Attributes:
        sender: the reverse-path; ``"<>"`` for the null reverse-path.
        recipients: the recipients that were accepted, those of Bcc among them.
        data: the octets of the message, with CRLF.
        parameters: those of MAIL, such as ``"BODY=8BITMIME RET=HDRS"``.
        recipient_parameters: those of each recipient, such as ``"NOTIFY=NEVER"``.
    """

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    parameters: str
    recipient_parameters: tuple[str, ...]

    def __init__(self, kept: KeptMail) -> None:
        """Make one of what an outlet has kept."""
        self._kept = kept  # its identity is that of this email
        self.sender = kept.sender or "<>"
        self.recipients = kept.recipients
        self.data = kept.data
        self.parameters = kept.parameters
        self.recipient_parameters = kept.rcpt_parameters

    def __repr__(self) -> str:
        return f"<RecordedMail {self.subject!r} to {', '.join(self.recipients)}>"

    @functools.cached_property
    def message(self) -> EmailMessage:
        """The message, parsed: ``mail.message["Reply-To"]``."""
        return email.message_from_bytes(self.data, policy=email.policy.default)

    @property
    def subject(self) -> str:
        """The subject, decoded; empty if there is none."""
        return str(self.message["Subject"] or "")

    @property
    def text(self) -> str:
        """The plain text, with LF; empty if there is none."""
        return self._body("plain")

    @property
    def html(self) -> str:
        """The HTML, with LF; empty if there is none."""
        return self._body("html")

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The attachments, and what HTML embeds, in order."""
        bodies = [self.message.get_body((kind,)) for kind in ("plain", "html")]
        found: list[Attachment] = []
        for part in self.message.walk():
            if part.is_multipart() or any(part is body for body in bodies):
                continue
            content = part.get_payload(decode=True)
            found.append(
                Attachment(
                    part.get_filename() or "",
                    part.get_content_type(),
                    content if isinstance(content, bytes) else b"",
                )
            )
        return tuple(found)

    def _body(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        return "" if part is None else str(part.get_content()).replace("\r\n", "\n")

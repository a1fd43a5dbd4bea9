"""The email that ``pykka-smtp send`` composes from ``--from``, ``--body``, ``--attach`` ..."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...signals import SendMail
from ...signals.composing.attachment import Attachment
from ...signals.composing.from_html import FROM_HTML
from ...signals.composing.html import Html
from ...signals.composing.parts_file import PartsFile
from ...signals.tellable import Tellable
from ...smtp.mail.address import check_mailbox
from ...smtp.mail.domain import AddressError
from ...smtp.mail.parts.parts_email import PartsEmail
from .mailbox import read_mailbox
from .recipients import Named


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenMail:
    """An email of its parts. Each copy has its recipients in To, and its own Message-ID.

    Attributes:
        author: the content of From: an address, or name and address.
        subject: one line.
        body: the text; None to make it of the HTML.
        html: the same as HTML, or None.
        inline: what the HTML embeds, by name.
        attachments: files.
    """

    author: str
    subject: str
    body: str | None = field(repr=False)
    html: Html | None = None
    inline: Mapping[str, Attachment] = field(default_factory=dict[str, Attachment])
    attachments: Sequence[Attachment] = ()

    @property
    def sender(self) -> str:
        """The address in From.

        Raises:
            AddressError: there is not exactly one address, or it is invalid.
        """
        return self._split()[1]

    def make(
        self, *, sender: str, to: Sequence[Named], outcome_to: Tellable | None = None
    ) -> SendMail:
        """Return this email to some recipients.

        Args:
            sender: the reverse-path.
            to: the recipients, whose names are shown in To.
            outcome_to: receives the outcome.

        Raises:
            ValueError: a part can't be sent.
        """
        name, address = self._split()
        return SendMail(
            sender=sender,
            recipients=to,
            from_name=name if sender == address else None,
            # An author that is not the sender: bounces go to the sender.
            headers=() if sender == address else {"From": self.author},
            subject=self.subject,
            body=FROM_HTML if self.body is None else self.body,
            html=self.html,
            inline=self.inline,
            attachments=self.attachments,
            outcome_to=outcome_to,
        )

    def size_for(self, sender: str, to: Named) -> int:
        """Return the size in bytes of the email to one recipient, as the server will count it.

        Raises:
            ValueError: a part can't be sent.
        """
        made = self.make(sender=sender, to=[to])
        if made.content is not None:
            return len(made.content.render(eight_bit=True).data or b"")
        assert isinstance(made.source, PartsEmail)
        parts = PartsFile(made.source)
        parts.close()
        return parts.facts.size

    def _split(self) -> tuple[str | None, str]:
        mailbox = read_mailbox(self.author)
        if mailbox is None:
            raise AddressError("needs one address, or one name and address: Name <address>")
        return mailbox[0], check_mailbox(mailbox[1])


def read_files(
    html: str | None, inline: Sequence[str], attach: Sequence[str]
) -> tuple[Html | None, dict[str, Attachment], list[Attachment]]:
    """Read the files that an email is made of.

    Args:
        html: the name of a file with HTML in UTF-8, or None.
        inline: what the HTML embeds, each as ``NAME=FILE``.
        attach: names of files to attach.

    Raises:
        OSError: a file can't be read; it names the file.
        ValueError: one has the wrong form.
    """
    page = None
    if html is not None:
        try:
            page = Html(Path(html).read_bytes().decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise ValueError(f"{html} is not UTF-8") from None
    images: dict[str, Attachment] = {}
    for text in inline:
        name, is_named, path = text.partition("=")
        if not is_named:
            raise ValueError(f"--inline needs NAME=FILE, not {text}")
        images[name] = Attachment(Path(path))
    return page, images, [Attachment(Path(name)) for name in attach]

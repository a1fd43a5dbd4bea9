"""The email that ``pykka-smtp send`` composes from ``--from``, ``--subject`` and ``--body``."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...signals import SendMail
from ...signals.tellable import Tellable
from ...smtp.mail.address import check_mailbox
from ...smtp.mail.domain import AddressError
from .mailbox import read_mailbox
from .recipients import Named


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenMail:
    """A text email. Each copy has its recipients in To, and its own Message-ID.

    Attributes:
        author: the content of From: an address, or name and address.
        subject: one line.
        body: the text.
    """

    author: str
    subject: str
    body: str = field(repr=False)

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
            body=self.body,
            outcome_to=outcome_to,
        )

    def size_for(self, sender: str, to: Named) -> int:
        """Return the size in bytes of the email to one recipient, as the server will count it.

        Raises:
            ValueError: a part can't be sent.
        """
        content = self.make(sender=sender, to=[to]).content
        assert content is not None
        return len(content.render(eight_bit=True).data or b"")

    def _split(self) -> tuple[str | None, str]:
        mailbox = read_mailbox(self.author)
        if mailbox is None:
            raise AddressError("needs one address, or one name and address: Name <address>")
        return mailbox[0], check_mailbox(mailbox[1])

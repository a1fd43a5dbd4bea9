"""A rig for connections that are kept: several mails on one session, and speculative transfers."""

from collections.abc import Sequence
from typing import Self

from pykka_smtp.smtp.mail.content import CompleteContent, Content
from pykka_smtp.smtp.mail.delivery_options import NO_OPTIONS, DeliveryOptions
from pykka_smtp.smtp.mail.envelope import Envelope
from pykka_smtp.smtp.mail.mail_data import encode_whole
from pykka_smtp.smtp.session.dialog.dialog import Dialog
from pykka_smtp.smtp.session.opening.session import Session
from pykka_smtp.smtp.session.step import Action, Close, CommandGroup, Release, SendMailData
from pykka_smtp.smtp.session.transaction.delivery import Delivery
from pykka_smtp.smtp.words.verdict import Accepted, Failed

from .esmtp_rig import EsmtpRig
from .rig import MAIL, SERVER

SPECULATIVE = ("PIPELINING", "CHUNKING")
"""What a server offers that takes a whole transaction in one write."""


class KeptRig(EsmtpRig):
    """Drives the dialog of one mail of several on the same session.

    Attributes:
        session: what is known of the session; give it to the next one.
        released: whether the dialog has left the connection to the next mail.
        writes: what went out, write by write.
        is_slow: whether the operating system takes nothing of such a transfer before `flush`.
    """

    def __init__(
        self,
        *recipients: str,
        offers: Sequence[str] = SPECULATIVE,
        session: Session | None = None,
        is_lmtp: bool = False,
        sender: str = "a@b.test",
        content: Content | None = None,
        options: DeliveryOptions = NO_OPTIONS,
        keeps: bool = True,
        is_slow: bool = False,
    ) -> None:
        super().__init__(*recipients, offers=offers, is_lmtp=is_lmtp)
        self.session = session or Session(server=SERVER, ehlo_name="c.test", is_lmtp=is_lmtp)
        self.released = False
        self.writes: list[bytes] = []
        self.is_slow = is_slow
        self.delivery = Delivery(
            self.session,
            Envelope.of(sender, recipients or ("c@d.test",), options),
            content or CompleteContent(MAIL),
            keep_open=keeps,
        )
        self.dialog = Dialog(self.delivery, self._note)

    def resume(self) -> Self:
        """Begin on the session that another mail has left."""
        self.perform(self.dialog.start_next())
        return self

    def perform(self, actions: list[Action]) -> None:
        """Do what the dialog asks for."""
        for action in actions:
            assert self.closed is None, f"{action!r} after the close"
            assert not self.released, f"{action!r} after the release"
            match action:
                case bytes():
                    assert self.body is None, "a command amid the mail data"
                    self.write(action)
                case SendMailData(is_speculative=True):
                    assert self.verdict is None, "mail data after the verdict"
                    self.body = action
                    if self.holds:
                        continue
                    assert self.dialog.may_end_mail_data
                    self.dialog.begin_held()
                    if not self.is_slow:
                        self.flush()
                case SendMailData():
                    assert self.verdict is None, "mail data after the verdict"
                    if action.head:
                        self.write(action.head)
                    self.body = action
                case CommandGroup():
                    if not self.holds:
                        self.begin_held(action)
                case Accepted() | Failed():
                    assert self.verdict is None, "a second verdict"
                    self.verdict = action
                case Release():
                    assert self.verdict is not None, "a release without a verdict"
                    assert self.body is None, "a release amid the mail data"
                    self.released = True
                case Close():
                    assert self.verdict is not None, "a close without a verdict"
                    self.closed = action
                case _:
                    raise AssertionError(f"{action!r} in a session without TLS")
        assert self.dialog.verdict is self.verdict
        assert self.dialog.is_over is bool(self.closed or self.released)

    def flush(self) -> None:
        """Have the operating system take a speculative transfer: commands and mail in one write."""
        assert self.body is not None
        assert self.body.is_speculative
        assert self.body.is_chunk
        rendition = self.body.rendition
        assert rendition.data is not None
        data = (
            rendition.data
            if rendition.is_binary
            else encode_whole(rendition.data, transparent=False)
        )
        self.chunks.append(data)
        self.write(self.body.head + data)
        self.body = None
        self.dialog.mail_data_sent()

    def write(self, octets: bytes) -> None:
        """Let octets go out."""
        self.writes.append(octets)
        super().write(octets)

    def speculative(self) -> list[str]:
        """Take a whole transaction, which came in one write; return its commands."""
        chunk = self.chunks[-1]
        assert self.writes[-1].endswith(chunk)
        assert bytes(self.said) == self.writes[-1], "the transaction is not one write"
        commands = self.writes[-1].removesuffix(chunk).decode().split("\r\n")
        assert commands.pop() == ""
        assert commands[-1] == f"BDAT {len(chunk)} LAST"
        self.said.clear()
        return commands

"""A rig for connections that are kept: several mails on one session, and speculative transfers."""

from collections.abc import Sequence
from typing import Self, Unpack

from pykka_smtp.smtp.mail.mail_data import encode_whole
from pykka_smtp.smtp.session.step import Action, Release, RunCallable, SendMailData, StartTls

from .esmtp_rig import Chosen, EsmtpRig

SPECULATIVE = ("PIPELINING", "CHUNKING")
"""What a server offers that takes a whole transaction in one write."""


class KeptRig(EsmtpRig):
    """Drives the dialog of one mail of several on the same session.

    Attributes:
        session: what is known of the session; give it to the next one.
        writes: what went out, write by write.
        is_slow: whether the operating system takes nothing of such a transfer before `flush`.
    """

    def __init__(
        self,
        *recipients: str,
        offers: Sequence[str] = SPECULATIVE,
        is_lmtp: bool = False,
        is_slow: bool = False,
        **chosen: Unpack[Chosen],
    ) -> None:
        chosen.setdefault("keeps", True)
        super().__init__(*recipients, offers=offers, is_lmtp=is_lmtp, **chosen)
        self.writes: list[bytes] = []
        self.is_slow = is_slow

    def resume(self) -> Self:
        """Begin on the session that another mail has left."""
        self.perform(self.dialog.start_next())
        return self

    def do(self, action: Action) -> None:
        """Do one thing that the dialog asks for."""
        match action:
            case SendMailData(is_speculative=True):
                assert self.verdict is None, "mail data after the verdict"
                self.body = action
                if self.holds:
                    return
                assert self.dialog.may_end_mail_data
                self.dialog.begin_held()
                if not self.is_slow:
                    self.flush()
            case Release():
                assert self.verdict is not None, "a release without a verdict"
                assert self.body is None, "a release amid the mail data"
                self.released = True
            case StartTls() | RunCallable():
                raise AssertionError(f"{action!r} in a session without TLS")
            case _:
                super().do(action)

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

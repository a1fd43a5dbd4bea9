"""A rig for what a server offers: extensions, LMTP, chunks, several transactions."""

from collections.abc import Sequence
from typing import TypedDict, Unpack

from pykka_smtp.smtp.mail.content import Content
from pykka_smtp.smtp.mail.delivery_options import DeliveryOptions
from pykka_smtp.smtp.mail.mail_data import encode_whole
from pykka_smtp.smtp.session.opening.session import Session
from pykka_smtp.smtp.words.verdict import Accepted, Failed

from .rig import Rig


class Chosen(TypedDict, total=False):
    """Of what else a rig is told, what these are told, too."""

    sender: str
    content: Content | None
    options: DeliveryOptions
    session: Session | None
    keeps: bool


class EsmtpRig(Rig):
    """A rig whose server offers extensions, or speaks LMTP.

    Attributes:
        chunks: the octets of each BDAT that was sent.
    """

    def __init__(
        self,
        *recipients: str,
        offers: Sequence[str] = (),
        is_lmtp: bool = False,
        **chosen: Unpack[Chosen],
    ) -> None:
        super().__init__(*recipients, is_lmtp=is_lmtp, **chosen)
        self.chunks: list[bytes] = []
        self._offers = offers
        self._hello = "LHLO c.test" if is_lmtp else "EHLO c.test"

    def greet(self, *, tls: bool | None = None) -> "EsmtpRig":
        """Come as far as the server's extensions.

        Args:
            tls: whether the server is verified, or None: without TLS.
        """
        if tls is not None:
            self.dialog.tls_is_up(verified=tls)
        self.connect()
        self.hear(b"220 mx.test\r\n")
        assert self.line() == self._hello
        lines = ["mx.test", *self._offers]
        text = "".join(f"250-{line}\r\n" for line in lines[:-1]) + f"250 {lines[-1]}\r\n"
        self.hear(text.encode())
        return self

    def say(self, *replies: str) -> "EsmtpRig":
        """The server says these, one after the other."""
        for reply in replies:
            self.hear(reply.encode() + b"\r\n")
        return self

    def send_body(self) -> bool:
        """Write the mail data, by DATA or BDAT, if the dialog allows it."""
        assert self.body is not None
        if not self.dialog.may_end_mail_data:
            return False
        rendition, is_chunk = self.body.rendition, self.body.is_chunk
        data = rendition.data or b""
        if not rendition.is_binary:
            data = encode_whole(data, transparent=not is_chunk)
        if is_chunk:
            self.chunks.append(data)
        self.write(data if is_chunk else data + b".\r\n")
        self.body = None
        self.dialog.mail_data_sent()
        return True

    def chunk(self) -> bytes:
        """Take the chunk, which the client writes now; BDAT was taken before."""
        assert not self.said, f"unexpected before the chunk: {self.said!r}"
        assert self.send_body()
        assert bytes(self.said) == self.chunks[-1]
        self.said.clear()
        return self.chunks[-1]

    @property
    def accepted(self) -> Accepted:
        """The verdict, which is a good one."""
        assert isinstance(self.verdict, Accepted), self.verdict
        return self.verdict

    @property
    def failed(self) -> Failed:
        """The verdict, which is not."""
        assert isinstance(self.verdict, Failed), self.verdict
        return self.verdict

    @property
    def told(self) -> list[str]:
        """What became of each recipient, in a word or two."""
        assert self.verdict is not None
        words: list[str] = []
        for result in self.verdict.recipients:
            assert not (result.accepted and (result.maybe_accepted or result.retryable))
            assert not (result.maybe_accepted and result.retryable)
            if result.accepted:
                words.append("accepted")
            elif result.maybe_accepted:
                words.append("doubt")
            else:
                code = "" if result.reply is None else f" {result.reply.code}"
                words.append(("later" if result.retryable else "refused") + code)
        return words

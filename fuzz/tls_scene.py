"""What a session of the TLS target is about, by choice: how TLS is done, and how slow the line."""

import functools
from dataclasses import dataclass

from pykka_smtp.actors.net.data.mail_source import FileSource
from pykka_smtp.smtp.mail.content import CompleteContent, Content, StreamedContent
from pykka_smtp.smtp.mail.envelope import Envelope
from pykka_smtp.smtp.session.opening.session import TlsPolicy

from .choices import Choices
from .scene import Mail, Scene, Source
from .tls_server import KINDS

TIMEOUT = 2.0
"""Seconds that a step may take."""

_WAYS = (*["starttls"] * 4, "implicit", "off", "off", "off")
_KINDS = (*["1.3"] * 9, *["1.2"] * 5, "1.3 from scratch", "not trusted")
_PLAIN = ("PIPELINING", "8BITMIME", "SIZE 10240000")
_OFFERS = (
    *(_PLAIN, _PLAIN, (), (*_PLAIN, "CHUNKING"), (*_PLAIN, "CHUNKING"), ("8BITMIME",)),
    *(("CHUNKING", "BINARYMIME"), (*_PLAIN, "LIMITS RCPTMAX=1")),
    (*_PLAIN, "CHUNKING", "LIMITS RCPTMAX=1"),
)
_LINE = b"." + b"x" * 70 + b"\r\n"
_MAILS = (
    b"Subject: x\r\n\r\n.\r\nHello\r\n",
    b"Subject: x\r\n\r\n" + _LINE * 40,
    b"Subject: x\r\n\r\n" + _LINE * 100,
    b"Subject: x\r\n\r\n" + _LINE * 300,
    b"Subject: x\n\nwith bare LF\n.\n",
    b"",
    b"Subject: x\r\n\r\n" + (b"z" * 798 + b"\r\n") * 30,
)
_PORTIONS = (None, 1000, 300, 700, 100, 4096, 30, 1500)
"""Octets that the system takes at a time, or None for all there are."""
_PIECES = (0, 0, 500, 3000)
"""Octets that a file gives at a time, or 0 where the mail is in memory."""
_MORE = (0, 0, 1, 2)
"""How many mails follow the first."""


@dataclass(frozen=True, slots=True)
class TlsScene:
    """The circumstances of one session.

    Attributes:
        way: how the client does TLS: one of ``tls``'s values.
        kind: one of `KINDS`.
        is_selector: whether the loop is the standard library's.
        is_lmtp: whether it is LMTP.
        portion: octets that the system takes at a time, or None for all.
        offers: what the server offers.
        mails: what is to be sent.
    """

    way: str
    kind: str
    is_selector: bool
    is_lmtp: bool
    portion: int | None
    offers: tuple[str, ...]
    mails: tuple[Mail, ...]

    def as_scene(self) -> Scene:
        """What the server and the judge of the other target need to know."""
        is_clear = self.way == "off"
        return Scene(
            mails=self.mails,
            is_lmtp=self.is_lmtp,
            tls=TlsPolicy.OFF if is_clear else TlsPolicy.REQUIRED,
            is_implicit=self.way == "implicit",
            is_verified=not is_clear,
            authentication=None,
            redactor=None,
            secret=None,
            is_secret_known=False,
            may_show=False,
            offers=(self.offers if is_clear else ("STARTTLS", *self.offers), self.offers),
        )


def choose_scene(choices: Choices) -> TlsScene:
    """Choose a scene; the plain one if nothing is left to choose by."""
    # Few octets, each for several choices, so that short inputs come as far as the moves.
    how, is_selector = divmod(choices.below(16), 2)
    slow, kind = divmod(choices.below(128), 16)
    lmtp, offers = divmod(choices.below(72), 9)
    more, keeps = divmod(choices.below(8), 2)
    mails = tuple(_choose_mail(choices) for _ in range(1 + _MORE[more]))
    for number, mail in enumerate(mails, 1):
        mail.keeps = number < len(mails) or bool(keeps)
    assert set(_KINDS) == set(KINDS)
    return TlsScene(
        way=_WAYS[how],
        kind=_KINDS[kind],
        is_selector=bool(is_selector),
        is_lmtp=lmtp == 7,
        portion=_PORTIONS[slow],
        offers=_OFFERS[offers],
        mails=mails,
    )


def _choose_mail(choices: Choices) -> Mail:
    rest, number = divmod(choices.below(252), len(_MAILS))
    count, piece = divmod(rest, len(_PIECES))
    data = _MAILS[number]
    content, is_file = _content(data, bool(_PIECES[piece] and data))
    return Mail(
        envelope=_envelope(("c@d.test", "e@d.test", "f@d.test")[: 1 + count % 3]),
        content=content,
        piece=_PIECES[piece] * is_file,
        data=data,
    )


@functools.cache
def _envelope(recipients: tuple[str, ...]) -> Envelope:
    return Envelope.of("a@b.test", recipients)


@functools.cache
def _content(data: bytes, is_file: bool) -> tuple[Content, bool]:
    if not is_file:
        return CompleteContent(data), False
    return StreamedContent(FileSource(Source(data, 4096, is_seekable=True)).open()), True

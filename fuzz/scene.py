"""What a session is about, by choice: the mails, the client's options, the server's offers."""

import base64
import datetime as dt
import functools
import io
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pykka_smtp.actors.net.data.mail_source import FileSource
from pykka_smtp.actors.options.credentials import Redact, authentication
from pykka_smtp.smtp.mail.compose import TextEmail
from pykka_smtp.smtp.mail.content import CompleteContent, ComposedContent, Content, StreamedContent
from pykka_smtp.smtp.mail.delivery_options import NO_OPTIONS, DeliverBy, DeliveryOptions, Dsn
from pykka_smtp.smtp.mail.envelope import Envelope
from pykka_smtp.smtp.sasl.secret import Secret
from pykka_smtp.smtp.session.opening.authentication import Authentication
from pykka_smtp.smtp.session.opening.session import TlsPolicy

from .choices import Choices

USER = "user@a.test"
PASSWORD = "s3cr3t/P\u00e4ss+w0rd~of?mine"
TOKEN = "ya29.t0ken/of+mine~for?tests"

_OFFERS = (
    *("PIPELINING", "8BITMIME", "CHUNKING", "BINARYMIME", "SMTPUTF8", "STARTTLS", "DSN"),
    *("ENHANCEDSTATUSCODES", "REQUIRETLS", "MT-PRIORITY MIXER", "DELIVERBY 30"),
    "FUTURERELEASE 86400 2030-01-01T00:00:00Z",
)
_SIZES = ("SIZE 10240000", "SIZE", "SIZE 0", "SIZE 20", "SIZE 1x", "SIZE \u0663")
_LIMITS = (
    *("", "", "LIMITS RCPTMAX=1", "LIMITS RCPTMAX=2 MAILMAX=2", "LIMITS RCPTMAX=0"),
    *("LIMITS MAILMAX=1 RCPTMAX=3", "LIMITS RCPTMAX=x"),
)
_AUTHS = (
    *("", "AUTH PLAIN LOGIN", "AUTH CRAM-MD5", "AUTH LOGIN", "AUTH=PLAIN LOGIN", "AUTH EXTERNAL"),
    *(
        "AUTH XOAUTH2 OAUTHBEARER",
        "AUTH XOAUTH2",
        "AUTH PLAIN LOGIN CRAM-MD5",
        "AUTH",
        "auth plain",
    ),
    "AUTH SCRAM-SHA-256 PLAIN",
)
_PLAIN = 1 << len(_OFFERS) | 0b11  # PIPELINING, 8BITMIME, and a size

_MORE = (0, 1, 2, 3, 0, 0, 1, 1)
"""How many mails follow the first."""

_LETTER_DATE = dt.datetime(2024, 2, 29, 12, 0, tzinfo=dt.UTC)
_MAILS = (
    b"Subject: x\r\n\r\n.\r\nHello\r\n",
    b"Subject: x\n\n.\n..\n\r.\r\nMAIL FROM:<evil@x.test>\n.\r\nend",
    b"",
    b".",
    b".\r\n",
    b"Subject: \xc3\xa4\r\n\r\n\xff\xfe\r\n",
    b"Subject: x\r\n\r\na\0b\r\n",
    b"Subject: x\r\n\r\n" + b"y" * 1200 + b"\r\n.\r\n",
    b"Subject: x\r\n\r\n\xe4\0" + b"." * 1200,
    b"Subject: x\r\n\r\n" + (b"z" * 798 + b"\r\n") * 82,  # over 64 KiB
)
_MOST_READS = 256
"""In how many pieces a file is read, at most or so."""
_OPTIONS = (
    *[NO_OPTIONS] * 20,
    DeliveryOptions(dsn=Dsn(notify=("failure", "delay"), ret="hdrs", envid="a+b=c", orcpt=True)),
    DeliveryOptions(dsn=Dsn(notify="never"), priority=-3),
    DeliveryOptions(deliver_by=DeliverBy(seconds=120, on_expiry="notify", trace=True)),
    DeliveryOptions(hold_for=60, priority=9),
    DeliveryOptions(require_tls=True),
)
_FORWARD_PATHS = (
    *("c@d.test", "r1@d.test", "postmaster", '"a b>"@d.test', "x@[192.0.2.1]", "r5@d.test"),
    *("\u5c71@d.test", "u@\u5c71.test"),
)


class Source(io.BytesIO):
    """A file that gives its octets in pieces of a chosen size, and perhaps only once."""

    def __init__(self, data: bytes, piece: int, *, is_seekable: bool) -> None:
        super().__init__(data)
        self._piece = piece
        self._is_seekable = is_seekable

    def read(self, _size: int | None = -1, /) -> bytes:
        """Read a piece, whatever size was asked for: as a pipe does."""
        return super().read(self._piece)

    def seekable(self) -> bool:
        """Whether it can be read again."""
        return self._is_seekable


@dataclass(slots=True, kw_only=True)
class Mail:
    """One mail of a session.

    Attributes:
        envelope: who sends to whom.
        content: the mail.
        piece: octets that a file gives at a time, where the mail is read from one.
        data: what is read there.
        keeps: whether the client leaves the session to another mail.
    """

    envelope: Envelope
    content: Content
    piece: int = 0
    data: bytes = b""
    keeps: bool = False

    def open_source(self, *, is_seekable: bool) -> FileSource:
        """Return the file that the mail is read from, at its beginning."""
        source = FileSource(Source(self.data, self.piece, is_seekable=is_seekable))
        source.open()
        return source


@dataclass(slots=True, kw_only=True)
class Scene:
    """The circumstances of one session.

    Attributes:
        mails: what is to be sent in it, one after the other; at least one.
        is_lmtp: whether it is LMTP.
        tls: what to do about TLS.
        is_implicit: whether the connection begins with TLS.
        is_verified: whether the server's certificate is good.
        authentication: how to authenticate, or None.
        redactor: masks secrets, or None.
        secret: the password or token, or None.
        is_secret_known: whether the client knows it yet; nobody can mask what he does not know.
        may_show: whether the secret may be shown to anybody.
        offers: what the server offers: before TLS, and under it.
        sends_unsolicited: whether the server was found to say more than it was asked for.
    """

    mails: tuple[Mail, ...]
    is_lmtp: bool
    tls: TlsPolicy
    is_implicit: bool
    is_verified: bool
    authentication: Authentication | None
    redactor: Redact | None
    secret: str | None
    is_secret_known: bool
    may_show: bool
    offers: tuple[tuple[str, ...], tuple[str, ...]]
    sends_unsolicited: bool = False


def choose_scene(choices: Choices) -> Scene:
    """Choose a scene; the plain one if nothing is left to choose by."""
    is_lmtp = choices.one_in(4)
    tls = choices.pick((TlsPolicy.OFF, TlsPolicy.OFF, *TlsPolicy))
    is_implicit = tls is TlsPolicy.REQUIRED and choices.one_in(2)
    is_verified = not choices.one_in(4)
    chosen = choices.pick(_CREDENTIALS) if choices.one_in(4) else None
    auths = _AUTHS if chosen is None or choices.one_in(8) else chosen.fitting
    clear = _choose_offers(choices, auths)
    if tls is not TlsPolicy.OFF and not choices.one_in(4):
        clear = ("STARTTLS", *clear)
    made, redactor = (None, None) if chosen is None else _authentication(chosen)
    first = _choose_mail(choices)
    # Under TLS a server often offers something else, AUTH above all.
    offers = clear, _choose_offers(choices, auths) if choices.one_in(2) else clear
    mails = (first, *_choose_more(choices, first))
    if choices.one_in(3):
        offers = (_with_speculative(offers[0]), _with_speculative(offers[1]))
    return Scene(
        mails=mails,
        is_lmtp=is_lmtp,
        tls=tls,
        is_implicit=is_implicit,
        is_verified=is_verified,
        authentication=made,
        redactor=redactor,
        secret=None if chosen is None else chosen.secret,
        is_secret_known=chosen is not None and chosen.what != "callable",
        may_show=chosen is not None and chosen.may_show,
        offers=offers,
        sends_unsolicited=choices.below(12) == 11,
    )


def _with_speculative(offers: tuple[str, ...]) -> tuple[str, ...]:
    """Offer what a mail needs that goes out before anybody has said yes."""
    return tuple(dict.fromkeys(("PIPELINING", "CHUNKING", *offers)))


def _choose_mail(choices: Choices) -> Mail:
    data = choices.pick((*[_MAILS[0]] * 8, *_MAILS))
    content, piece = _choose_content(choices, data)
    return Mail(envelope=_choose_envelope(choices), content=content, piece=piece, data=data)


def _choose_more(choices: Choices, first: Mail) -> list[Mail]:
    """Choose how many mails follow, and which sessions are left to another."""
    more = [_choose_mail(choices) for _ in range(choices.pick(_MORE))]
    for mail in (first, *more):
        mail.keeps = bool(more) or choices.one_in(2)
    if more:
        more[-1].keeps = choices.one_in(2)
    return more


def _choose_offers(choices: Choices, auths: Sequence[str]) -> tuple[str, ...]:
    bits = choices.below(1 << len(_OFFERS) + 1) ^ _PLAIN
    offers = [name for number, name in enumerate(_OFFERS) if bits & 1 << number]
    offers += [choices.pick(_SIZES)] if bits & 1 << len(_OFFERS) else []
    offers += filter(None, (choices.pick(_LIMITS), choices.pick(auths)))
    return tuple(offers)


def _choose_envelope(choices: Choices) -> Envelope:
    first, count = choices.below(len(_FORWARD_PATHS)), choices.below(5) + 1
    paths = (_FORWARD_PATHS * 2)[first : first + count]
    options = choices.pick(_OPTIONS)
    return Envelope.of(
        choices.pick(("a@b.test", "a@b.test", "<>", "\u00fc@b.test")), paths, options
    )


def _choose_content(choices: Choices, data: bytes) -> tuple[Content, int]:
    """Return the content, and in what pieces it is read, if it is."""
    match choices.below(5):
        case 1:
            return ComposedContent(_letter(data.replace(b"\0", b""))), 0
        case 2 | 3 as which if data:  # an empty file is refused before anything else
            # Thousands of reads of one email would find nothing that hundreds do not.
            piece = max(choices.below(64) + 1, len(data) // _MOST_READS)
            file = Source(data, piece, is_seekable=which == 2)
            return StreamedContent(FileSource(file).open()), piece
        case 4:
            return CompleteContent(data, b"Subject: x\r\n\r\nin ASCII\r\n"), 0
        case _:
            return CompleteContent(data), 0


@functools.cache
def _letter(body: bytes) -> TextEmail:
    return TextEmail(
        from_address="a@b.test",
        to=(("C, \u00e4", "c@d.test"),),
        subject="x",
        body=body,
        date=_LETTER_DATE,
        message_id="<1@b.test>",
    )


# Credentials.


def _call() -> str:
    return TOKEN


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What the client knows.

    Attributes:
        what: the password, the token, a function that returns the token, or nothing.
        allowed: the mechanisms that may be used, or None for all.
        fitting: what a server should offer.
        may_show: whether the secret may be shown to anybody.
    """

    what: str
    allowed: tuple[str, ...] | None
    fitting: tuple[str, ...]
    may_show: bool = False

    @property
    def secret(self) -> str | None:
        """The password or token."""
        return {"password": PASSWORD, "nothing": None}.get(self.what, TOKEN)


_CREDENTIALS: Sequence[_Chosen] = (
    _Chosen("password", ("PLAIN",), ("AUTH PLAIN LOGIN", "AUTH=PLAIN")),
    _Chosen("password", ("LOGIN",), ("AUTH LOGIN", "auth plain Login")),
    _Chosen("password", ("CRAM-MD5",), ("AUTH CRAM-MD5", "AUTH PLAIN CRAM-MD5")),
    _Chosen(
        "password", ("PLAIN", "LOGIN", "CRAM-MD5"), ("AUTH LOGIN", "AUTH PLAIN"), may_show=True
    ),
    _Chosen("password", None, ("AUTH PLAIN LOGIN CRAM-MD5", "AUTH PLAIN", "AUTH LOGIN")),
    _Chosen("password", None, ("AUTH PLAIN", "AUTH LOGIN PLAIN", "AUTH SCRAM-SHA-256 PLAIN")),
    _Chosen("token", None, ("AUTH XOAUTH2", "AUTH OAUTHBEARER XOAUTH2")),
    _Chosen("callable", None, ("AUTH XOAUTH2", "AUTH OAUTHBEARER XOAUTH2")),
    _Chosen("callable", ("XOAUTH2",), ("AUTH XOAUTH2",), may_show=True),
    _Chosen("nothing", ("EXTERNAL",), ("AUTH EXTERNAL PLAIN",)),
)


@functools.cache
def _authentication(chosen: _Chosen) -> tuple[Authentication, Redact] | tuple[None, None]:
    return authentication(
        USER,
        Secret(PASSWORD) if chosen.what == "password" else None,
        TOKEN if chosen.what == "token" else _call if chosen.what == "callable" else None,
        chosen.allowed,
        host="mx.test",
        port=25,
        allow_unsafe=chosen.may_show,
    ) or (None, None)


def _forms(secret: str) -> tuple[str, ...]:
    octets = secret.encode()
    plain: Sequence[bytes] = (
        octets,
        b"\0%b\0%b" % (USER.encode(), octets),
        b"%b\0%b\0%b" % (USER.encode(), USER.encode(), octets),
        b"user=%b\x01auth=Bearer %b\x01\x01" % (USER.encode(), octets),
    )
    encodings: Sequence[Callable[[bytes], bytes]] = (base64.b64encode, base64.urlsafe_b64encode)
    encoded = [encode(text).decode().rstrip("=") for text in plain for encode in encodings]
    return (secret, *encoded, octets.hex(), urllib.parse.quote(secret, safe=""), repr(secret)[1:-1])


_FORMS = {secret: tuple({form.lower() for form in _forms(secret)}) for secret in (PASSWORD, TOKEN)}


def leaks(text: str, secret: str | None) -> bool:
    """Whether the secret shows in a text, plain or in one of its usual encodings."""
    if secret is None:
        return False
    text = text.lower()
    return any(form in text for form in _FORMS[secret])

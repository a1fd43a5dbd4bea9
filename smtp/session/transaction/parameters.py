"""The requirements of an email, checked against the server's extensions, as MAIL parameters."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from ...mail.address import to_ascii_domain
from ...mail.content import MAX_TEXT_LINE, Content, Rendition
from ...mail.delivery_options import NO_OPTIONS, DeliveryOptions, Dsn
from ...mail.envelope import Envelope
from ...words.command import Command, mail, rcpt
from ...words.extensions import Extensions
from ...words.stage import Stage
from ..opening.session import Session
from ..refusal import SecurityTooWeak, Unsendable

_MAX_NUMBER = 9
"""Digits of the limits in RFC 2852 §4 and RFC 4865 §4."""


@dataclass(slots=True)
class PreparedMail:
    """An email prepared for one server; the same in each transaction.

    Attributes:
        rendition: the mail data to send.
        mail: the MAIL command.
        is_chunked: whether the mail data is sent by BDAT (RFC 3030).
        is_utf8: whether addresses may be sent in UTF-8 (RFC 6531).
        dsn: the notifications to request with each recipient, or None.
    """

    rendition: Rendition
    mail: Command
    is_chunked: bool
    is_utf8: bool
    dsn: Dsn | None

    @property
    def is_read_once(self) -> bool:
        """Whether it can be sent in one transaction only, as its source can be read only once."""
        return self.rendition.facts is None

    @property
    def size(self) -> int:
        """Octets of the message (RFC 1870 §5); 0 if unknown."""
        return 0 if self.rendition.facts is None else self.rendition.facts.size

    def rcpt(self, path: str) -> Command:
        """Return the RCPT command for a recipient."""
        if not (self.is_utf8 or path.isascii()):
            path = to_ascii_domain(path)
        return rcpt(path) if self.dsn is None else rcpt(path, *self.dsn.for_rcpt(path))


def prepare(session: Session, envelope: Envelope, content: Content) -> PreparedMail:
    """Return the email in the form in which this server can take it.

    Adds a warning to the session for each requested option that the server does not offer and
    that is not essential.

    Args:
        session: the open session, before MAIL.
        envelope: the sender, the recipients, and the requested options.
        content: the content of the email.

    Raises:
        Unsendable: the email needs an extension that the server does not offer.
        SecurityTooWeak: the session is less secure than the email requires.
    """
    extensions, options = session.extensions, envelope.options
    chunking = extensions.chunking
    rendition = content.render(
        eight_bit=extensions.eight_bit_mime, binary=chunking and "BINARYMIME" in extensions
    )
    has_utf8 = content.needs_smtputf8
    if has_utf8 and not extensions.smtputf8:
        raise Unsendable(_no_smtputf8(session, envelope, rendition))
    _check_rendition(session, rendition)
    is_utf8 = has_utf8 or envelope.needs_smtputf8
    parameters = _mail_parameters(session, rendition, is_utf8=is_utf8)
    dsn = None
    if options is not NO_OPTIONS:
        parameters += _option_parameters(session, options)
        dsn = options.dsn if "DSN" in extensions else None
    sender = envelope.reverse_path
    # RFC 6531 §3.2: without SMTPUTF8 only ASCII addresses may be sent; but a domain has an ASCII
    # form, its A-labels, which is the same domain.
    return PreparedMail(
        rendition,
        mail(sender if is_utf8 else to_ascii_domain(sender), *parameters),
        chunking and _fits_a_chunk(rendition) and _may_be_chunked(session, rendition),
        is_utf8,
        dsn,
    )


def prepare_plain(
    extensions: Extensions, envelope: Envelope, content: Content
) -> tuple[Rendition, bytes, int] | None:
    """Return the mail data, the octets of MAIL and RCPT, and the size, or None.

    They are those of `prepare`. None means that `prepare` must decide: the email has addresses
    beyond ASCII, options, or mail data for which the server's limits matter.

    Args:
        extensions: what the server offers.
        envelope: the sender, the recipients, and the requested options.
        content: the content of the email.
    """
    sender, paths = envelope.reverse_path, envelope.forward_paths
    is_for_one = len(paths) == 1
    addresses = f"{sender}{paths[0]}" if is_for_one else f"{sender}{''.join(paths)}"
    if (
        envelope.options is not NO_OPTIONS
        or not (addresses.isascii() and addresses.isprintable())  # the last guard, as `Command`'s
        or content.needs_smtputf8
    ):
        return None
    rendition = content.render(
        eight_bit=extensions.eight_bit_mime,
        binary=extensions.chunking and "BINARYMIME" in extensions,
    )
    facts, limit = rendition.facts, extensions.size_limit
    if (
        facts is None
        or rendition.data is None
        or rendition.is_binary
        or facts.nul
        or facts.longest_line > MAX_TEXT_LINE
        or (facts.eight_bit and not extensions.eight_bit_mime)
        or not facts.size
        or (limit is not None and facts.size > limit)
    ):
        return None
    body = " BODY=8BITMIME" if facts.eight_bit else ""
    size = f" SIZE={facts.size}" if extensions.offers_size else ""
    rcpts = paths[0] if is_for_one else ">\r\nRCPT TO:<".join(paths)
    group = f"MAIL FROM:<{sender}>{body}{size}\r\nRCPT TO:<{rcpts}>\r\n"
    return rendition, group.encode(), facts.size


def _may_be_chunked(session: Session, rendition: Rendition) -> bool:
    """Whether BDAT is safe with this server.

    If it has sent unsolicited replies, DATA is safer: a surplus reply is noticed instead of 354.
    """
    return rendition.is_binary or not session.quirks.sends_unsolicited


def _fits_a_chunk(rendition: Rendition) -> bool:
    """Whether the mail data can be sent as one chunk: its size is known, and is not 0.

    An empty chunk is complete with its BDAT command: the final reply could come before the dialog
    has checked for replies that were sent too early.
    """
    return rendition.facts is not None and rendition.facts.size > 0


def _check_rendition(session: Session, rendition: Rendition) -> None:
    """Check that the server can take the mail data as it is."""
    facts = rendition.facts
    if facts is None or rendition.is_binary:
        return
    if facts.nul:
        raise Unsendable(
            "the email has a NUL octet, which this server cannot take; encode the part"
        )
    if facts.longest_line > MAX_TEXT_LINE:
        raise Unsendable(
            f"the email has a line of {facts.longest_line} octets, over {MAX_TEXT_LINE};"
            " encode the part as quoted-printable or base64"
        )
    if facts.eight_bit and not session.extensions.eight_bit_mime:
        # Re-encoding breaks a signature, and a relay may re-encode 8-bit parts (RFC 1847 §2.1).
        advice = (
            "the email is signed; encode it to 7 bits before it is signed"
            if rendition.is_signed
            else "encode the parts as quoted-printable or base64"
        )
        raise Unsendable(f"{session.server} takes no 8-bit mail (no 8BITMIME); {advice}")


def _no_smtputf8(session: Session, envelope: Envelope, rendition: Rendition) -> str:
    """Return the detail for a header with raw UTF-8, which only SMTPUTF8 permits, with advice."""
    if envelope.needs_smtputf8 or not rendition.is_signed:
        what, advice = "addresses beyond ASCII", "use ASCII addresses"
    else:
        what = "UTF-8 in the header"
        advice = "the email is signed; write its header in ASCII before it is signed"
    return f"{session.server} takes no {what} (no SMTPUTF8); {advice}"


def _mail_parameters(session: Session, rendition: Rendition, *, is_utf8: bool) -> list[str]:
    """Return the parameters of MAIL that describe the mail data."""
    extensions, facts = session.extensions, rendition.facts
    parameters: list[str] = []
    if is_utf8:
        if not extensions.smtputf8:
            raise Unsendable(
                f"{session.server} takes no addresses beyond ASCII (no SMTPUTF8);"
                " use ASCII addresses"
            )
        parameters.append("SMTPUTF8")  # RFC 6531 §3.4
    if rendition.is_binary:
        parameters.append("BODY=BINARYMIME")  # RFC 3030 §3
    elif facts.eight_bit if facts is not None else extensions.eight_bit_mime:
        # A stream that can be read only once may have 8-bit data, so it is declared if allowed.
        parameters.append("BODY=8BITMIME")  # RFC 6152 §2
    if facts is not None and extensions.offers_size:
        limit = extensions.size_limit
        if limit is not None and facts.size > limit:
            raise Unsendable(
                f"{session.server} takes emails of up to {limit} octets; this one has {facts.size}"
            )
        parameters.append(f"SIZE={facts.size}")  # RFC 1870 §5
    return parameters


def _option_parameters(session: Session, options: DeliveryOptions) -> Iterator[str]:
    """Yield the parameters of MAIL for the delivery options.

    An option that changes when, how, or whether the email is delivered must be offered, or nothing
    is sent. One that only changes the notifications of the sender, or the speed, is not essential.
    """
    if options.require_tls:
        _check_require_tls(session)
        yield "REQUIRETLS"  # RFC 8689 §2
    yield from _hold(session, options)
    yield from _deliver_by(session, options)
    if options.priority is not None:
        if "MT-PRIORITY" in session.extensions:
            yield f"MT-PRIORITY={options.priority}"  # RFC 6710 §3
        else:
            _warn(session, "offers no MT-PRIORITY (RFC 6710): the email went without its priority")
    if options.dsn is not None:
        yield from _dsn(session, options.dsn)


def _check_require_tls(session: Session) -> None:
    """Require verified TLS and a server that offers REQUIRETLS (RFC 8689 §4.2.1)."""
    if not session.is_verified:
        raise SecurityTooWeak(
            Stage.MAIL,
            f"the email requires verified TLS, and the session with {session.server} has none;"
            " connect with tls='starttls' or tls='implicit'",
        )
    if "REQUIRETLS" not in session.extensions:
        raise SecurityTooWeak(
            Stage.MAIL,
            f"{session.server} offers no REQUIRETLS: it would not promise to pass the email on"
            " under TLS only",
        )


def _hold(session: Session, options: DeliveryOptions) -> Iterator[str]:
    """Yield the parameter for a hold (RFC 4865).

    Without FUTURERELEASE the email would be delivered at once, which is too early.
    """
    parameter = options.hold
    if parameter is None:
        return
    server, extensions = session.server, session.extensions
    if "FUTURERELEASE" not in extensions:
        raise Unsendable(
            f"{server} offers no FUTURERELEASE: it would deliver the email at once;"
            " send it when its time has come"
        )
    seconds, until = _limits_of_hold(extensions)
    hold_for, hold_until = options.hold_for, options.hold_until
    if hold_for is not None and seconds is not None and hold_for > seconds:
        raise Unsendable(f"{server} holds emails for up to {seconds} s; hold_for is {hold_for}")
    if hold_until is not None and until is not None and hold_until > until:
        raise Unsendable(f"{server} holds emails until {until}; hold_until is {hold_until}")
    yield parameter


def _limits_of_hold(extensions: Extensions) -> tuple[int | None, dt.datetime | None]:
    """Return how long, and until when, a server holds emails; None for an invalid limit."""
    longest, _, latest = extensions.parameter("FUTURERELEASE").partition(" ")
    try:
        until = dt.datetime.fromisoformat(latest.strip().upper())  # RFC 3339 §5.6
    except ValueError:
        return _number(longest), None
    return _number(longest), until if until.utcoffset() is not None else None


def _deliver_by(session: Session, options: DeliveryOptions) -> Iterator[str]:
    """Yield the parameter for delivery within a time (RFC 2852).

    An email that must be returned if it is late is not sent to a server without DELIVERBY, which
    does not watch the time. One with ``"notify"`` is sent, without notification (§4.1.4).
    """
    wish = options.deliver_by
    if wish is None:
        return
    server, extensions = session.server, session.extensions
    must_return = wish.on_expiry == "return"
    if "DELIVERBY" not in extensions:
        if must_return:
            raise Unsendable(
                f"{server} offers no DELIVERBY: it would deliver the email after its time;"
                " use on_expiry='notify' if that will do"
            )
        _warn(session, "offers no DELIVERBY (RFC 2852): it will not tell if the email is late")
        return
    least = _number(extensions.parameter("DELIVERBY"))
    if must_return and least is not None and wish.seconds < least:
        raise Unsendable(
            f"{server} takes at least {least} s to deliver an email; deliver_by is {wish.seconds}"
        )
    yield wish.parameter


def _dsn(session: Session, dsn: Dsn) -> Iterator[str]:
    """Yield the parameters of MAIL for notifications (RFC 3461 §4.3, §4.4)."""
    if "DSN" in session.extensions:
        yield from dsn.for_mail
    elif dsn.is_never:
        _warn(session, "offers no DSN (RFC 3461): it may send notifications all the same")
    elif not dsn.is_empty:
        _warn(session, "offers no DSN (RFC 3461): it was not asked for notifications")


def _warn(session: Session, what: str) -> None:
    session.warnings += (f"{session.server} {what}",)


def _number(text: str) -> int | None:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_NUMBER):
        return None
    return int(text)

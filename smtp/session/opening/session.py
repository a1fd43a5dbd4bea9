"""The session around a mail transaction: greeting, EHLO, STARTTLS, AUTH, QUIT (RFC 5321 §3)."""

import enum
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ...words.classification import (
    EHLO_UNKNOWN,
    NAME_REFUSED,
    SERVICE_CLOSING,
    ReplyClass,
    classify,
)
from ...words.command import GREETING, QUIT, STARTTLS, ehlo, helo, lhlo
from ...words.extensions import Extensions
from ...words.quirks import Quirks
from ...words.reply import Reply
from ...words.shown import one_line
from ...words.stage import Stage
from ...words.verdict import FailureKind
from ..refusal import Refused, SecurityTooWeak, raise_unless_positive
from ..step import Script, StartTls

if TYPE_CHECKING:
    from ...sasl.secret import SessionRedactor
    from .authentication import Authentication


class TlsPolicy(enum.Enum):
    """What to do about TLS on a connection that begins without it."""

    OFF = "never"
    OPPORTUNISTIC = "encrypt if offered, without verification (RFC 7435)"
    OFFERED = "use it if it is offered, and then require it"
    REQUIRED = "use it, or send nothing"


_NONE = Extensions()
_MAX_FIRST = 200
"""Characters of the first address's failure in a detail: the last address's must fit, too."""
_BY_CHUNKS = frozenset({"CHUNKING", "BINARYMIME"})


@dataclass(slots=True, kw_only=True)
class Session:
    """The state of one session.

    Attributes:
        server: the server's name for messages: ``"mail.example.org:25"``.
        ehlo_name: the client's name or address literal in EHLO (RFC 5321 §4.1.1.1).
        extensions: what the server offers now.
        is_lmtp: whether the server speaks LMTP (RFC 2033).
        tls_policy: what to do about TLS.
        is_encrypted: whether TLS is established.
        is_verified: whether the server's certificate was verified, name included.
        channel_binding: data that binds authentication to this TLS (RFC 5929), or None.
        authentication: how to authenticate, or None.
        redactor: redacts secrets in replies, or None if there are none.
        without: keywords of extensions that are not used, even if the server offers them.
        quirks: protocol faults that the server has shown, in other sessions, too.
        use_ehlo: whether to send EHLO; False for a server that closed the connection at it.
        injection_suspected: whether an attacker may have changed what the server sent.
        is_open: whether a transaction may begin: greeting, EHLO, TLS and AUTH are done.
        transactions: how many transactions there were (RFC 9422 §4.1).
        needs_reset: whether a failed transaction still needs RSET.
        refused: a rejection after which the session went on, for example with another AUTH
            mechanism. It is the cause of the failure if the server then closes the connection.
        earlier: why the previous attempt failed, if this session is its fallback.
        first: the failure at the server's first address, until another address works.
        warnings: oddities that did not affect the verdict, one line each.
        session_warnings: how many of `warnings` belong to the session, and not to one email.
    """

    server: str
    ehlo_name: str
    extensions: Extensions = _NONE
    is_lmtp: bool = False
    tls_policy: TlsPolicy = TlsPolicy.OFF
    is_encrypted: bool = False
    is_verified: bool = False
    channel_binding: bytes | None = field(default=None, repr=False)
    authentication: "Authentication | None" = None
    redactor: "SessionRedactor | None" = field(default=None, repr=False)
    without: frozenset[str] = frozenset()
    quirks: Quirks = field(default_factory=Quirks)
    use_ehlo: bool = True
    injection_suspected: bool = False
    is_open: bool = False
    transactions: int = 0
    needs_reset: bool = False
    refused: Refused | None = None
    earlier: str = ""
    first: str = ""
    warnings: tuple[str, ...] = ()
    session_warnings: int = 0

    @property
    def may_be_reused(self) -> bool:
        """Whether another email may follow in a session with this server.

        With DATA, a surplus reply is noticed at the latest when it comes instead of 354. With
        BDAT, it would be taken for the reply to the next command, and all replies after it would
        be shifted by one, up to the final reply of the next email.
        """
        return not (self.quirks.sends_unsolicited and self.extensions.chunking)

    @property
    def is_used_up(self) -> bool:
        """Whether the server allows no further transaction in it (RFC 9422 §4.1)."""
        most = self.extensions.mail_max
        return most is not None and self.transactions >= most

    def warn(self, warning: str) -> None:
        """Add a warning, unless it is there already."""
        if warning not in self.warnings:
            self.warnings += (warning,)

    def note_refusal(self, refused: Refused | None) -> None:
        """Store a rejection after which the session goes on; None once the step has succeeded."""
        self.refused = refused

    def fallback(self, kind: FailureKind, stage: Stage, detail: str = "") -> "Session | None":
        """Return a session that requires less of the server, to be tried after a failure, or None.

        A server that closes the connection at EHLO may know HELO (RFC 5321 §3.2). One that offers
        TLS but fails the handshake may take the email in plaintext, under opportunistic TLS only
        (RFC 7435 §3). A third fallback, from BDAT to DATA, is `by_data`.

        Args:
            kind: why the session failed. The email was not accepted in it.
            stage: how far it had come.
            detail: the same, for people.
        """
        if kind is FailureKind.CONNECTION and stage is Stage.EHLO and self._may_fall_back_to_helo:
            warning = f"{self.server} hung up on EHLO; tried again with HELO"
            return self._downgraded(detail, warning, use_ehlo=False)
        if (
            kind in (FailureKind.SECURITY, FailureKind.CONNECTION)
            and stage is Stage.STARTTLS
            and self.tls_policy is TlsPolicy.OPPORTUNISTIC
            and self.authentication is None
            and not self.injection_suspected
        ):
            warning = (
                f"{self.server} offers TLS, but the handshake failed; tried again without TLS"
                f" ({detail})"
            )
            return self._downgraded(detail, warning, tls_policy=TlsPolicy.OFF)
        return None

    def elsewhere(self, address: str, detail: str) -> "Session":
        """Return a session like this one, for another address of the server.

        Args:
            address: the address of this session.
            detail: why this session failed, for people.
        """
        return replace(
            self,
            extensions=_NONE,
            is_encrypted=False,
            is_verified=False,
            channel_binding=None,
            redactor=None,
            refused=None,
            first=self.first or one_line(f"{address}: {detail}", _MAX_FIRST),
            warnings=(*self.warnings, f"went on from {address} to another address: {detail}"),
        )

    def by_data(self, detail: str) -> "Session":
        """Return a session in which emails are sent by DATA, as the server does not know BDAT.

        Args:
            detail: how the server rejected BDAT, for people.
        """
        self.quirks.rejects_bdat = True
        warning = f"{self.server} offers CHUNKING, but refused BDAT; tried again by DATA"
        return self._downgraded(detail, warning)

    @property
    def unused(self) -> frozenset[str]:
        """The keywords of extensions that are not used, whatever the server offers."""
        return self.without | _BY_CHUNKS if self.quirks.rejects_bdat else self.without

    @property
    def _may_fall_back_to_helo(self) -> bool:
        """Whether HELO is sufficient: no LMTP, no TLS so far, and neither TLS nor AUTH required."""
        return not (
            self.is_lmtp
            or self.is_encrypted
            or self.tls_policy is TlsPolicy.REQUIRED
            or self.authentication is not None
        )

    def _downgraded(
        self,
        detail: str,
        warning: str,
        *,
        use_ehlo: bool | None = None,
        tls_policy: TlsPolicy | None = None,
    ) -> "Session":
        return Session(
            server=self.server,
            ehlo_name=self.ehlo_name,
            is_lmtp=self.is_lmtp,
            tls_policy=tls_policy or self.tls_policy,
            authentication=self.authentication,
            redactor=self.redactor,
            without=self.without,
            quirks=self.quirks,
            use_ehlo=self.use_ehlo if use_ehlo is None else use_ehlo,
            earlier=detail,
            warnings=(warning,),
        )


def open_session(session: Session) -> Script:
    """Run the session up to the first transaction: greeting, EHLO, and STARTTLS and AUTH if needed.

    Raises:
        Refused: the server rejected a step.
        SecurityTooWeak: the session is less secure than configured.
    """
    raise_unless_positive(Stage.GREETING, (yield GREETING))
    yield from _send_ehlo(session)
    if session.tls_policy is not TlsPolicy.OFF and not session.is_encrypted:
        yield from _start_tls(session)
    if session.authentication is not None:
        yield from session.authentication.script(
            session.server,
            session.extensions,
            is_safe=session.is_verified,
            binding=session.channel_binding,
            note=session.note_refusal,
        )
    session.is_open = True
    session.first = ""  # this address works: a later failure is about the email
    session.session_warnings = len(session.warnings)


def _send_ehlo(session: Session) -> Script:
    if session.is_lmtp:
        reply = yield lhlo(session.ehlo_name)
    elif not session.use_ehlo:
        yield from _send_helo(session)
        return
    else:
        reply = yield ehlo(session.ehlo_name)
        if reply.code in EHLO_UNKNOWN or reply.code in NAME_REFUSED:
            yield from _fall_back_to_helo(session, reply)
            return
    _check_ehlo_reply(session, reply)
    session.extensions = Extensions.from_reply(reply, session.unused)


def _check_ehlo_reply(session: Session, reply: Reply) -> None:
    cause = classify(Stage.EHLO, reply.code)
    if cause is ReplyClass.POSITIVE:
        return
    refused = Refused(Stage.EHLO, reply, cause)
    if reply.code == SERVICE_CLOSING:
        refused.detail = (
            f"{session.server} closed at EHLO: {reply} (if it does not like our name"
            f" {session.ehlo_name!r}, set local_hostname)"
        )
    raise refused


def _fall_back_to_helo(session: Session, reply: Reply) -> Script:
    """Send HELO (RFC 5321 §3.2), once: nothing is left for a server that knows neither.

    501, 504 and 550 mostly do not mean that the server does not know EHLO, but that it rejects the
    client's name (RFC 5321 §4.1.4) or the client. If HELO is sufficient, it may still accept that.
    """
    is_name_refused = reply.code in NAME_REFUSED
    refused = _refused_name(session, reply, is_sure=reply.code != 550) if is_name_refused else None
    needs_tls, needs_auth = session.tls_policy is TlsPolicy.REQUIRED, session.authentication
    if refused is not None and (needs_tls or needs_auth):
        raise refused
    if needs_tls and not session.is_encrypted:
        raise SecurityTooWeak(Stage.EHLO, f"{session.server} knows no EHLO, so no TLS: {reply}")
    if needs_auth:
        raise SecurityTooWeak(Stage.EHLO, f"{session.server} knows no EHLO, so no AUTH: {reply}")
    session.refused = refused
    yield from _send_helo(session)
    session.refused = None


def _send_helo(session: Session) -> Script:
    reply = yield helo(session.ehlo_name)
    session.extensions = _NONE
    if session.refused is not None and reply.code >= 400 and reply.code != SERVICE_CLOSING:
        raise session.refused  # that of EHLO: HELO's reply, such as 503, would hide the cause
    if reply.code in NAME_REFUSED:
        raise _refused_name(session, reply, is_sure=True)
    _check_ehlo_reply(session, reply)


def _refused_name(session: Session, reply: Reply, *, is_sure: bool) -> Refused:
    """Return the rejection of the client's name in EHLO or HELO."""
    refused = Refused(Stage.EHLO, reply, ReplyClass.PERMANENT)
    if is_sure:
        refused.detail = (
            f"{session.server} refused our name {session.ehlo_name!r} at EHLO: {reply};"
            " set local_hostname"
        )
    return refused


def _start_tls(session: Session) -> Script:
    required = session.tls_policy is TlsPolicy.REQUIRED
    if "STARTTLS" not in session.extensions:
        if required and session.extensions.is_masked:
            raise SecurityTooWeak(
                Stage.STARTTLS,
                f"{session.server} offers no STARTTLS: a firewall on the way masks it (XXXXXXXA);"
                " turn off its SMTP inspection, or use tls='implicit' on port 465",
            )
        if required:
            detail = f"{session.server} offers no STARTTLS"
            if session.authentication is not None and "AUTH" not in session.extensions:
                detail += (
                    " and no AUTH; if it needs no password, as a development server, leave it out"
                )
            raise SecurityTooWeak(Stage.STARTTLS, detail)
        return
    reply = yield STARTTLS
    if reply.code == 220:  # RFC 3207 §4
        yield StartTls()
        # RFC 3207 §4.2: what was learned before TLS may come from an attacker.
        session.extensions = _NONE
        yield from _send_ehlo(session)
        return
    if reply.code == SERVICE_CLOSING:
        raise Refused(Stage.STARTTLS, reply, ReplyClass.TRANSIENT)
    if required:
        # RFC 3207 §4: 454 is "TLS not available due to temporary reason".
        detail = f"{session.server} did not start TLS: {reply}"
        raise SecurityTooWeak(Stage.STARTTLS, detail, is_retryable=reply.is_transient)
    if not (reply.is_transient or reply.is_permanent):
        raise Refused(Stage.STARTTLS, reply, ReplyClass.UNEXPECTED)
    session.warnings += (f"sent without TLS: the server offered it, then said {reply}",)


def close_session() -> Script:
    """Send QUIT (RFC 5321 §4.1.1.10). The server's reply does not matter."""
    yield QUIT

"""The session around a mail transaction: greeting, EHLO, STARTTLS, AUTH, QUIT (RFC 5321 §3)."""

import enum
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..words.classification import EHLO_UNKNOWN, NAME_REFUSED, SERVICE_CLOSING, ReplyClass, classify
from ..words.command import GREETING, QUIT, STARTTLS, ehlo, helo, lhlo
from ..words.extensions import Extensions
from ..words.quirks import Quirks
from ..words.reply import Reply
from ..words.shown import one_line
from ..words.stage import Stage
from ..words.verdict import FailureKind
from .refusal import Refused, SecurityTooWeak, check
from .step import Script, StartTls

if TYPE_CHECKING:
    from ..sasl.secret import SessionRedactor
    from .authentication import Authentication


class TlsPolicy(enum.Enum):
    """What to do about TLS on a connection that begins without it."""

    OFF = "never"
    OPPORTUNISTIC = "use it if it is to be had (RFC 7435)"
    OFFERED = "use it if it is offered, and then insist on it"
    REQUIRED = "use it, or send nothing"


_NONE = Extensions()
_MOST_FIRST = 200
"""Characters of what became of the first address: what became of the last must have room."""
_BY_CHUNKS = frozenset({"CHUNKING", "BINARYMIME"})


@dataclass(slots=True, kw_only=True)
class Session:
    """What is known of one session.

    Attributes:
        server: the server as people know it, for messages: ``"mail.example.org:25"``.
        ehlo_name: the name or address literal that we give of ourselves (RFC 5321 §4.1.1.1).
        extensions: what the server offers now.
        is_lmtp: whether the server speaks LMTP (RFC 2033).
        tls_policy: what to do about TLS.
        is_encrypted: whether TLS is up.
        is_verified: whether the server's certificate was verified, name included.
        channel_binding: data that binds authentication to this TLS (RFC 5929), or None.
        authentication: how to authenticate, or None.
        redactor: masks secrets in what the server says, or None where nobody has any.
        without: keywords of extensions that are not used, though the server may offer them.
        quirks: what the server was found to do wrong, also in other sessions.
        use_ehlo: whether the server is asked by EHLO; False for one that hung up on it.
        injection_suspected: whether somebody may have changed what the server said.
        is_open: whether a mail may follow: all that comes before the first has been said.
        mails: how many transactions there were (RFC 9422 §4.1).
        needs_reset: whether a transaction is under way that came to nothing.
        refused: a refusal that was got round so far, as by another mechanism of AUTH. It stays the
            cause if the server hangs up then.
        earlier: why the attempt before this one failed, if this is the second one, which asks
            less of the server.
        first: what became of the first address of the server's, until another one does better.
        warnings: what was odd but did not matter, one line each.
        session_warnings: how many of them are of the session, not of one mail in it.
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
    mails: int = 0
    needs_reset: bool = False
    refused: Refused | None = None
    earlier: str = ""
    first: str = ""
    warnings: tuple[str, ...] = ()
    session_warnings: int = 0

    @property
    def may_be_reused(self) -> bool:
        """Whether another mail may follow in a session with such a server.

        By DATA, a reply too many would be seen at the latest where 354 should be. By BDAT, it
        would be taken for the reply to the next command, and so on to the end of the next mail.
        """
        return not (self.quirks.speaks_unasked and self.extensions.chunking)

    @property
    def is_used_up(self) -> bool:
        """Whether the server allows no further transaction in it (RFC 9422 §4.1)."""
        most = self.extensions.mail_max
        return most is not None and self.mails >= most

    def warn(self, warning: str) -> None:
        """Note what is odd but does not matter; once is enough."""
        if warning not in self.warnings:
            self.warnings += (warning,)

    def note_refusal(self, refused: Refused | None) -> None:
        """Note a refusal that is got round, or that it was."""
        self.refused = refused

    def fallback(self, kind: FailureKind, stage: Stage, detail: str = "") -> "Session | None":
        """Return a session that asks less of a server that broke off, or None.

        There are three: a server that drops the connection at EHLO may know HELO (RFC 5321 §3.2);
        one that offers TLS but can't do it may take the mail in clear, where TLS is only to be
        used if it is to be had (RFC 7435 §3); and one that does not know BDAT may know DATA.

        Args:
            kind: why the attempt failed. Nothing of the mail was taken in it.
            stage: how far it had come.
            detail: the same, for people.
        """
        if kind is FailureKind.CONNECTION and stage is Stage.EHLO and self._may_fall_back_to_helo:
            warning = f"{self.server} hung up on EHLO; tried again with HELO"
            return self._second(detail, warning, use_ehlo=False)
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
            return self._second(detail, warning, tls_policy=TlsPolicy.OFF)
        return None

    def elsewhere(self, address: str, detail: str) -> "Session":
        """Return a session like this one, for another address of the server's.

        Args:
            address: where this one was.
            detail: what became of it.
        """
        return replace(
            self,
            extensions=_NONE,
            is_encrypted=False,
            is_verified=False,
            channel_binding=None,
            redactor=None,
            refused=None,
            first=self.first or one_line(f"{address}: {detail}", _MOST_FIRST),
            warnings=(*self.warnings, f"went on from {address} to another address: {detail}"),
        )

    def by_data(self, detail: str) -> "Session":
        """Return a session in which mails go out by DATA, for a server that does not know BDAT.

        Args:
            detail: how the server refused BDAT, for people.
        """
        self.quirks.refuses_chunks = True
        warning = f"{self.server} offers CHUNKING, but refused BDAT; tried again by DATA"
        return self._second(detail, warning)

    @property
    def unused(self) -> frozenset[str]:
        """The keywords of extensions that are not used, whatever the server offers."""
        return self.without | _BY_CHUNKS if self.quirks.refuses_chunks else self.without

    @property
    def _may_fall_back_to_helo(self) -> bool:
        """Whether HELO would do."""
        return not (
            self.is_lmtp
            or self.is_encrypted
            or self.tls_policy is TlsPolicy.REQUIRED
            or self.authentication is not None
        )

    def _second(
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
    """Hear the greeting, introduce ourselves, start TLS, authenticate: as the policy has it.

    Raises:
        Refused: the server does not want us.
        SecurityTooWeak: the session is not as safe as was asked for.
    """
    check(Stage.GREETING, (yield GREETING))
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
    session.first = ""  # this address is good: what comes now is about the mail
    session.session_warnings = len(session.warnings)


def _send_ehlo(session: Session) -> Script:
    if session.is_lmtp:
        reply = yield lhlo(session.ehlo_name)
    elif not session.use_ehlo:
        yield from _say_helo(session)
        return
    else:
        reply = yield ehlo(session.ehlo_name)
        if reply.code in EHLO_UNKNOWN or reply.code in NAME_REFUSED:
            yield from _introduce_to_old_server(session, reply)
            return
    _check_introduction(session, reply)
    session.extensions = Extensions.from_reply(reply, session.unused)


def _check_introduction(session: Session, reply: Reply) -> None:
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


def _introduce_to_old_server(session: Session, reply: Reply) -> Script:
    """Say HELO (RFC 5321 §3.2). Once: a server that knows neither is not asked again.

    501, 504 and 550 do not say that the server knows no EHLO, but mostly that it does not like
    our name (RFC 5321 §4.1.4), or us. Where HELO would do, it may still be content with that.
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
    yield from _say_helo(session)
    session.refused = None


def _say_helo(session: Session) -> Script:
    reply = yield helo(session.ehlo_name)
    session.extensions = _NONE
    if session.refused is not None and reply.code >= 400 and reply.code != SERVICE_CLOSING:
        raise session.refused  # of EHLO: HELO's 503 would hide it
    if reply.code in NAME_REFUSED:
        raise _refused_name(session, reply, is_sure=True)
    _check_introduction(session, reply)


def _refused_name(session: Session, reply: Reply, *, is_sure: bool) -> Refused:
    """Return the refusal of the name that EHLO or HELO gave of us."""
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
        # RFC 3207 §4.2: what was learned before TLS may come from somebody else.
        session.extensions = _NONE
        yield from _send_ehlo(session)
        return
    if reply.code == SERVICE_CLOSING:
        raise Refused(Stage.STARTTLS, reply, ReplyClass.TRANSIENT)
    if required:
        # RFC 3207 §4: 454 is "TLS not available due to temporary reason".
        detail = f"{session.server} did not start TLS: {reply}"
        raise SecurityTooWeak(Stage.STARTTLS, detail, is_passing=reply.is_transient)
    if not (reply.is_transient or reply.is_permanent):
        raise Refused(Stage.STARTTLS, reply, ReplyClass.UNEXPECTED)
    session.warnings += (f"sent without TLS: the server offered it, then said {reply}",)


def close_session() -> Script:
    """Take leave (RFC 5321 §4.1.1.10). Whatever the server answers changes nothing."""
    yield QUIT

"""The session around a mail transaction: greeting, EHLO, STARTTLS, AUTH, QUIT (RFC 5321 §3)."""

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .classification import CLOSING, EHLO_UNKNOWN, Meaning
from .command import GREETING, QUIT, STARTTLS, ehlo, helo, lhlo
from .extensions import Extensions
from .refusal import Insecure, Refused, check
from .reply import Reply
from .stage import Stage
from .step import Handshake, Script
from .verdict import FailureKind

if TYPE_CHECKING:
    from .authentication import Authentication
    from .secret import Masking


class TlsPolicy(enum.Enum):
    """What to do about TLS on a connection that begins without it."""

    OFF = "never"
    OPPORTUNISTIC = "use it if it is to be had (RFC 7435)"
    OFFERED = "use it if it is offered, and then insist on it"
    REQUIRED = "use it, or send nothing"


_NONE = Extensions()


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
        masking: masks secrets in what the server says, or None where nobody has any.
        knows_ehlo: whether the server is asked by EHLO; False for one that hung up on it.
        is_suspect: whether somebody may have changed what the server said.
        is_open: whether a mail may follow: all that comes before the first has been said.
        mails: how many transactions there were (RFC 9422 §4.1).
        needs_reset: whether a transaction is under way that came to nothing.
        warnings: what was odd but did not matter, one line each.
        lasting: how many of them are of the session, not of one mail in it.
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
    masking: "Masking | None" = field(default=None, repr=False)
    knows_ehlo: bool = True
    is_suspect: bool = False
    is_open: bool = False
    mails: int = 0
    needs_reset: bool = False
    warnings: tuple[str, ...] = ()
    lasting: int = 0

    @property
    def is_used_up(self) -> bool:
        """Whether the server allows no further transaction in it (RFC 9422 §4.1)."""
        most = self.extensions.mail_max
        return most is not None and self.mails >= most

    def humbler(self, kind: FailureKind, stage: Stage) -> "Session | None":
        """Return a session that asks less of a server that broke off, or None.

        There are two: a server that drops the connection at EHLO may know HELO (RFC 5321 §3.2),
        and one that offers TLS but can't do it may take the mail in clear, where TLS is only to
        be used if it is to be had (RFC 7435 §3).
        """
        if kind is FailureKind.CONNECTION and stage is Stage.EHLO and self._needs_nothing:
            return self._without(f"{self.server} hung up on EHLO; it got HELO", knows_ehlo=False)
        if (
            kind in (FailureKind.SECURITY, FailureKind.CONNECTION)
            and stage is Stage.STARTTLS
            and self.tls_policy is TlsPolicy.OPPORTUNISTIC
            and self.authentication is None
            and not self.is_suspect
        ):
            warning = f"sent without TLS: {self.server} offers it, but the handshake failed"
            return self._without(warning, tls_policy=TlsPolicy.OFF)
        return None

    @property
    def _needs_nothing(self) -> bool:
        """Whether HELO would do."""
        return not (
            self.is_lmtp
            or self.is_encrypted
            or self.tls_policy is TlsPolicy.REQUIRED
            or self.authentication is not None
        )

    def _without(
        self, warning: str, *, knows_ehlo: bool = True, tls_policy: TlsPolicy | None = None
    ) -> "Session":
        return Session(
            server=self.server,
            ehlo_name=self.ehlo_name,
            is_lmtp=self.is_lmtp,
            tls_policy=tls_policy or self.tls_policy,
            knows_ehlo=knows_ehlo,
            warnings=(*self.warnings, warning),
        )


def open_session(session: Session) -> Script:
    """Hear the greeting, introduce ourselves, start TLS, authenticate: as the policy has it.

    Raises:
        Refused: the server does not want us.
        Insecure: the session is not as safe as was asked for.
    """
    check(Stage.GREETING, (yield GREETING))
    yield from _introduce(session)
    if session.tls_policy is not TlsPolicy.OFF and not session.is_encrypted:
        yield from _start_tls(session)
    if session.authentication is not None:
        yield from session.authentication.script(
            session.server,
            session.extensions,
            is_safe=session.is_verified,
            binding=session.channel_binding,
        )
    session.is_open = True
    session.lasting = len(session.warnings)


def _introduce(session: Session) -> Script:
    if session.is_lmtp:
        reply = yield lhlo(session.ehlo_name)
    elif not session.knows_ehlo:
        reply = yield helo(session.ehlo_name)
    else:
        reply = yield ehlo(session.ehlo_name)
        if reply.code in EHLO_UNKNOWN:
            yield from _introduce_to_old_server(session, reply)
            return
    check(Stage.EHLO, reply)
    session.extensions = Extensions.from_reply(reply) if session.knows_ehlo else _NONE


def _introduce_to_old_server(session: Session, reply: Reply) -> Script:
    """Say HELO (RFC 5321 §3.2). Once: a server that knows neither is not asked again."""
    if session.tls_policy is TlsPolicy.REQUIRED and not session.is_encrypted:
        raise Insecure(Stage.EHLO, f"{session.server} knows no EHLO, so no TLS: {reply}")
    if session.authentication is not None:
        raise Insecure(Stage.EHLO, f"{session.server} knows no EHLO, so no AUTH: {reply}")
    check(Stage.EHLO, (yield helo(session.ehlo_name)))
    session.extensions = _NONE


def _start_tls(session: Session) -> Script:
    required = session.tls_policy is TlsPolicy.REQUIRED
    if "STARTTLS" not in session.extensions:
        if required:
            raise Insecure(Stage.STARTTLS, f"{session.server} offers no STARTTLS")
        return
    reply = yield STARTTLS
    if reply.code == 220:  # RFC 3207 §4
        yield Handshake()
        # RFC 3207 §4.2: what was learned before TLS may come from somebody else.
        session.extensions = _NONE
        yield from _introduce(session)
        return
    if reply.code == CLOSING:
        raise Refused(Stage.STARTTLS, reply, Meaning.TRANSIENT)
    if required:
        raise Insecure(Stage.STARTTLS, f"{session.server} did not start TLS: {reply}")
    if not (reply.is_transient or reply.is_permanent):
        raise Refused(Stage.STARTTLS, reply, Meaning.NONSENSE)
    session.warnings += (f"sent without TLS: the server offered it, then said {reply}",)


def close_session() -> Script:
    """Take leave (RFC 5321 §4.1.1.10). Whatever the server answers changes nothing."""
    yield QUIT

"""How to do TLS with one server: the context, and the name that its certificate must have."""

import functools
import ssl
import time
import weakref
from collections import OrderedDict
from dataclasses import dataclass

from ..smtp.session import TlsPolicy
from ..smtp.shown import shown

TLS_CHOICES = ("auto", "starttls", "implicit", "off")
_IMPLICIT_PORT = 465  # RFC 8314 §3.3
_SUBMISSION_PORT = 587  # RFC 6409


@dataclass(frozen=True, slots=True)
class Tls:
    """How to do TLS.

    Attributes:
        policy: what to do about a connection that begins without it.
        is_implicit: whether the connection begins with TLS.
        context: the context.
        server_hostname: the reference name: the host as it was configured (RFC 9525), never one
            that a look-up gave.
    """

    policy: TlsPolicy
    is_implicit: bool
    context: ssl.SSLContext
    server_hostname: str

    @property
    def is_verified(self) -> bool:
        """Whether a connection that comes about has been verified, name included."""
        return self.context.verify_mode is ssl.CERT_REQUIRED and self.context.check_hostname


_MOST_SESSIONS = 256
"""Servers whose TLS session is remembered."""
_SESSION_LIFETIME = 3600.0
"""Seconds: a certificate that was good is looked at again after that."""


class _Sessions:
    """The last TLS session with each server, to be taken up again (RFC 8446 §2.2).

    That spares both sides the costly part of the handshake. A session is only ever offered to the
    name with which it began, by the context that has verified that name, if it verifies at all.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[ssl.SSLSession, float]] = OrderedDict()

    def of(self, name: str) -> ssl.SSLSession | None:
        """Return the session to offer to a server, or None."""
        session, since = self._known.get(name, (None, 0.0))
        return session if time.monotonic() < since + _SESSION_LIFETIME else None

    def remember(self, name: str, session: ssl.SSLSession) -> None:
        """Take the place of the last session with that server."""
        self._known[name] = session, time.monotonic()
        self._known.move_to_end(name)
        if len(self._known) > _MOST_SESSIONS:
            self._known.popitem(last=False)


_sessions: "weakref.WeakKeyDictionary[ssl.SSLContext, _Sessions]" = weakref.WeakKeyDictionary()


class _ResumingObject(ssl.SSLObject):
    """A TLS connection that takes up the last session with its server, if the server agrees."""

    _has_begun = False

    def do_handshake(self) -> None:
        """Offer the session with the first flight."""
        if not self._has_begun:
            self._has_begun = True
            known = _sessions.get(self.context)
            session = known.of(self.server_hostname or "") if known is not None else None
            if session is not None:
                self.session = session
        super().do_handshake()


def remember_session(tls_object: object) -> None:
    """Note the session of a connection, for the next one to the same server.

    To be called once the server has said something under TLS: only then has it given what the
    session can be taken up with (RFC 8446 §4.6.1).

    Args:
        tls_object: the connection's.
    """
    if isinstance(tls_object, _ResumingObject):
        session, known = tls_object.session, _sessions.get(tls_object.context)
        if known is not None and session is not None and session.has_ticket:
            known.remember(tls_object.server_hostname or "", session)


def choose_tls(
    choice: str,
    context: ssl.SSLContext | None,
    *,
    host: str,
    port: int,
    has_credentials: bool,
    may_do_without: bool,
) -> Tls | None:
    """Decide about TLS, or None for a connection without.

    Args:
        choice: one of `TLS_CHOICES`.
        context: the caller's own, or None for the default.
        host: the server's name or address, as configured.
        port: its port.
        has_credentials: whether there are credentials to protect.
        may_do_without: whether they may be sent without TLS.
    """
    implicit = choice == "implicit" or (choice == "auto" and port == _IMPLICIT_PORT)
    required = (
        implicit
        or choice == "starttls"
        or port == _SUBMISSION_PORT
        or (has_credentials and not may_do_without)
    )
    if choice == "off":
        return None
    if required:
        policy, context = TlsPolicy.REQUIRED, context or _verifying_context()
    elif context is None:
        policy, context = TlsPolicy.OPPORTUNISTIC, _opportunistic_context()
    else:
        # Whoever has a context of his own does not want clear text where it refuses a server.
        policy = TlsPolicy.OFFERED
    return Tls(
        policy=policy,
        is_implicit=implicit,
        context=context,
        server_hostname=_reference_name(host),
    )


@functools.cache
def _verifying_context() -> ssl.SSLContext:
    return _no_worse(ssl.create_default_context())


@functools.cache
def _opportunistic_context() -> ssl.SSLContext:
    """Make a context for RFC 7435: encryption without verification rather than clear text."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return _no_worse(context)


def _no_worse(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996
    context.options |= ssl.OP_NO_RENEGOTIATION  # a server has no reason to ask for one
    context.hostname_checks_common_name = False  # RFC 9525 §2
    context.sslobject_class = _ResumingObject
    _sessions[context] = _Sessions()
    return context


def _reference_name(host: str) -> str:
    """Return the name that the certificate must have, as it goes into SNI.

    Raises:
        ValueError: it has no A-label.
    """
    name = host.partition("%")[0]  # a certificate knows nothing of our interfaces (RFC 4007 §11)
    name = name.removesuffix(".")  # RFC 6066 §3
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise ValueError(f"server: not a host name: {shown(host)}") from error

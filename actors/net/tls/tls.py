"""How to use TLS with one server: the context, and the name that its certificate must have."""

import contextlib
import functools
import math
import ssl
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from ....smtp.session.opening.session import TlsPolicy
from ....smtp.words.shown import shown
from .channel import TlsChannel

TLS_CHOICES = ("auto", "starttls", "implicit", "off")
_IMPLICIT_PORT = 465  # RFC 8314 §3.3
_SUBMISSION_PORT = 587  # RFC 6409


@dataclass(frozen=True, slots=True)
class Tls:
    """How to use TLS with one server.

    Attributes:
        policy: the policy for a connection that begins without TLS.
        is_implicit: whether the connection begins with TLS.
        context: the context.
        server_hostname: the reference name: the configured host (RFC 9525), never a name from a
            look-up.
        objection: called with the server's certificate, in DER, after the context has accepted it
            and before anything is sent under TLS; returns a reason to reject it, or None.
    """

    policy: TlsPolicy
    is_implicit: bool
    context: ssl.SSLContext
    server_hostname: str
    objection: Callable[[bytes], str | None] | None = None

    @property
    def is_verified(self) -> bool:
        """Whether each established connection is verified, name included."""
        return self.context.verify_mode is ssl.CERT_REQUIRED and self.context.check_hostname


_MAX_SESSIONS = 256
"""Servers whose TLS session is kept, for each context."""
_SESSION_LIFETIME = 3600.0
"""Seconds until the certificate is verified again, by a full handshake."""

_MIN_AGE = 60.0
"""Seconds until the session of a server is read again, if it gave none, or did not resume it."""

_SessionKey = tuple[str, ssl.VerifyMode, bool]
# The session or None, when it was stored, and when a session of this server was last read.
_Known = tuple[ssl.SSLSession | None, float, float]
_UNKNOWN: _Known = (None, 0.0, -math.inf)


class _Sessions:
    """The last TLS session with each server, for resumption (RFC 8446 §2.2).

    Resumption saves both sides the expensive part of the handshake, and skips the verification of
    the certificate. So a session is only offered to the name with which it began, by the context
    that verified that name, and only while the context's verification settings are the same.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[_SessionKey, _Known] = OrderedDict()

    def of(self, key: _SessionKey) -> ssl.SSLSession | None:
        """Return the session to offer to a server, or None."""
        session, since, _ = self._known.get(key, _UNKNOWN)
        return session if time.monotonic() < since + _SESSION_LIFETIME else None

    def was_just_asked(self, key: _SessionKey) -> bool:
        """Whether the server's session was read so recently that reading it again is useless."""
        asked = self._known.get(key, _UNKNOWN)[2]
        return time.monotonic() < asked + _MIN_AGE

    def remember(self, key: _SessionKey, session: ssl.SSLSession | None) -> None:
        """Store the server's session in place of its last one, or note that it gave none."""
        now = time.monotonic()
        last, since, _ = self._known.get(key, _UNKNOWN)
        self._known[key] = (last, since, now) if session is None else (session, now, now)
        self._known.move_to_end(key)
        if len(self._known) > _MAX_SESSIONS:
            self._known.popitem(last=False)


_sessions: "weakref.WeakKeyDictionary[ssl.SSLContext, _Sessions]" = weakref.WeakKeyDictionary()


def open_channel(tls: Tls) -> TlsChannel:
    """Return a channel that resumes the last session with its server, if the server agrees.

    The context is not changed, because it may be the program's.

    Args:
        tls: how to use TLS.
    """
    try:
        known = _sessions.get(tls.context)
    except TypeError:  # a program's own context class, whose objects are not hashable
        known = None
    session = None if known is None else known.of(_session_key(tls))
    return TlsChannel(tls.context, tls.server_hostname, session)


def remember_session(tls: Tls, channel: TlsChannel) -> None:
    """Store the session of a connection, for the next connection to the same server.

    Call it once the server has sent data under TLS: its ticket has arrived by then (RFC 8446
    §4.6.1).

    The session of a resumed connection is not stored. Its certificate would not be verified for
    another hour, and so on forever. Also, Python copies a session by serializing it, certificate
    included, which costs as much as the rest of such a handshake. So an observer can see the same
    ticket twice (RFC 8446 §C.4), which tells no more than the client's address does.

    Args:
        tls: how TLS was used.
        channel: the channel of the connection.
    """
    if channel.is_resumed:
        return
    with contextlib.suppress(TypeError):
        known = _sessions.setdefault(tls.context, _Sessions())
        key = _session_key(tls)
        # Before Python 3.12.8 and 3.13.1, each read of `SSLSocket.session` leaks some kilobytes.
        if not known.was_just_asked(key):
            known.remember(key, channel.session)


def _session_key(tls: Tls) -> _SessionKey:
    context = tls.context
    return tls.server_hostname, context.verify_mode, context.check_hostname


def choose_tls(
    choice: str,
    context: ssl.SSLContext | None,
    *,
    host: str,
    port: int,
    has_credentials: bool,
    may_do_without: bool,
) -> Tls | None:
    """Return how to use TLS, or None for never.

    Args:
        choice: one of `TLS_CHOICES`.
        context: the caller's own, or None for the default.
        host: the server's name or address, as configured.
        port: its port.
        has_credentials: whether there are credentials to protect.
        may_do_without: whether credentials may be sent without TLS.
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
        # With its own context, a program does not want plaintext if the context rejects a server.
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
    """Return a context for RFC 7435: encryption without verification, rather than plaintext."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return _no_worse(context)


def _no_worse(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996
    context.options |= ssl.OP_NO_RENEGOTIATION  # a server has no reason to ask for one
    context.hostname_checks_common_name = False  # RFC 9525 §2
    return context


def _reference_name(host: str) -> str:
    """Return the name that the certificate must have, in the form for SNI.

    Raises:
        ValueError: the host is not ASCII, and has no A-label.
    """
    name = host.partition("%")[0]  # the zone of an address is local (RFC 4007 §11)
    name = name.removesuffix(".")  # RFC 6066 §3
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise ValueError(f"server: not a host name: {shown(host)}") from error

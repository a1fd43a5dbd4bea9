"""How to do TLS with one server: the context, and the name that its certificate must have."""

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
    """How to do TLS.

    Attributes:
        policy: what to do about a connection that begins without it.
        is_implicit: whether the connection begins with TLS.
        context: the context.
        server_hostname: the reference name: the host as it was configured (RFC 9525), never one
            that a look-up gave.
        objection: called with the server's certificate, in DER, once the context has taken it, and
            before anything is sent under TLS; returns what is wrong with it, in a few words, or
            None.
    """

    policy: TlsPolicy
    is_implicit: bool
    context: ssl.SSLContext
    server_hostname: str
    objection: Callable[[bytes], str | None] | None = None

    @property
    def is_verified(self) -> bool:
        """Whether a connection that comes about has been verified, name included."""
        return self.context.verify_mode is ssl.CERT_REQUIRED and self.context.check_hostname


_MOST_SESSIONS = 256
"""Servers whose TLS session is remembered, for each context."""
_SESSION_LIFETIME = 3600.0
"""Seconds: a certificate that was good is looked at again after that."""

_LEAST_AGE = 60.0
"""Seconds until a server is asked for another session, after one that it does not take up again, or
that it did not give."""

_SessionKey = tuple[str, ssl.VerifyMode, bool]
# The session, if there is one; since when; and when its server was last asked for one.
_Known = tuple[ssl.SSLSession | None, float, float]
_UNKNOWN: _Known = (None, 0.0, -math.inf)


class _Sessions:
    """The last TLS session with each server, to be taken up again (RFC 8446 §2.2).

    That spares both sides the costly part of the handshake, in which a certificate is looked at:
    so a session is only ever offered to the name with which it began, by the context that has
    verified that name, and only while that context asks for no more than it did then.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[_SessionKey, _Known] = OrderedDict()

    def of(self, key: _SessionKey) -> ssl.SSLSession | None:
        """Return the session to offer to a server, or None."""
        session, since, _ = self._known.get(key, _UNKNOWN)
        return session if time.monotonic() < since + _SESSION_LIFETIME else None

    def was_just_asked(self, key: _SessionKey) -> bool:
        """Whether a server was asked for a session so lately that to ask again is of no use."""
        asked = self._known.get(key, _UNKNOWN)[2]
        return time.monotonic() < asked + _LEAST_AGE

    def remember(self, key: _SessionKey, session: ssl.SSLSession | None) -> None:
        """Take the place of the last session with that server, or note that it gave none."""
        now = time.monotonic()
        last, since, _ = self._known.get(key, _UNKNOWN)
        self._known[key] = (last, since, now) if session is None else (session, now, now)
        self._known.move_to_end(key)
        if len(self._known) > _MOST_SESSIONS:
            self._known.popitem(last=False)


_sessions: "weakref.WeakKeyDictionary[ssl.SSLContext, _Sessions]" = weakref.WeakKeyDictionary()


def open_channel(tls: Tls) -> TlsChannel:
    """Make a channel that takes up the last session with its server, if the server agrees.

    The context stays as it is: it may be the program's.

    Args:
        tls: how to do TLS.
    """
    try:
        known = _sessions.get(tls.context)
    except TypeError:  # a program's own class of contexts: one that can't be looked up
        known = None
    session = None if known is None else known.of(_session_key(tls))
    return TlsChannel(tls.context, tls.server_hostname, session)


def remember_session(tls: Tls, channel: TlsChannel) -> None:
    """Note the session of a connection, for the next one to the same server.

    To be called once the server has said something under TLS: only then has it given what the
    session can be taken up with (RFC 8446 §4.6.1).

    A session that was taken up stays as it was noted: its successor would do without a look at the
    certificate for another hour, and so on for ever. And Python copies a session by writing all of
    it out, certificate included, which costs as much as the rest of such a handshake. That somebody
    who watches sees the same ticket twice (RFC 8446 §C.4) tells him nothing: he sees our address.

    Args:
        tls: how TLS was done.
        channel: the connection's.
    """
    if channel.is_resumed:
        return
    with contextlib.suppress(TypeError):
        known = _sessions.setdefault(tls.context, _Sessions())
        key = _session_key(tls)
        # Before Python 3.12.8 and 3.13.1 each look leaks some kilobytes (SSLSocket.session).
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
    """Decide about TLS; return None for a connection without.

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

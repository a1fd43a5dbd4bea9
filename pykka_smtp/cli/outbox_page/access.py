"""Who may see the operator's page, and act on it."""

import hmac
import http.cookies
import ipaddress
import secrets
import threading
import time
from collections.abc import Callable, Collection

TOKEN = "PYKKA_SMTP_PAGE_TOKEN"  # noqa: S105 - its name
"""The environment variable with a token."""
MIN_TOKEN = 16
"""Characters of a token at least."""
_SESSION = 12 * 3600.0
"""Seconds that a login lasts."""
_MOST_SESSIONS = 100


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, and nobody else can connect to it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def made_token() -> str:
    """Return a new token."""
    return secrets.token_urlsafe(24)


class Access:
    """Knows the token, who has shown it, and which names this server goes by. From any thread.

    Args:
        token: what to show to be let in; None to let in everybody who can connect.
        names: names of this server besides ``localhost`` and IP addresses.
        clock: the time in seconds.

    Attributes:
        csrf: what a request that changes something must repeat: another site cannot read it.
    """

    def __init__(
        self,
        token: str | None,
        names: Collection[str] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token = token
        self._names = {"localhost", *(name.lower() for name in names)}
        self._clock = clock
        self._sessions: dict[str, float] = {}
        self._lock = threading.Lock()
        self.csrf: str = secrets.token_urlsafe(24)

    def __repr__(self) -> str:
        return f"<Access {'with' if self._token else 'without'} a token>"

    def is_own_name(self, host: str | None) -> bool:
        """Whether a request's Host names this server.

        A page elsewhere can have its own name lead to this address, and would then be of the same
        origin (DNS rebinding). It cannot do that to an IP address, or to a name of ours.

        Args:
            host: the header's value. Its port does not count: there may be a tunnel.
        """
        name = (host or "").strip().lower()
        name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def is_csrf(self, value: str | None) -> bool:
        """Whether a request has repeated `csrf`."""
        return value is not None and _is_same(value, self.csrf)

    def log_in(self, token: str) -> str | None:
        """Return a new session for the right token; None for another one."""
        if self._token is None or not _is_same(token, self._token):
            return None
        session = secrets.token_urlsafe(24)
        with self._lock:
            while len(self._sessions) >= _MOST_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[session] = self._clock() + _SESSION
        return session

    def is_let_in(self, cookies: str | None, name: str) -> bool:
        """Whether a request may see the emails.

        Args:
            cookies: its header ``Cookie``.
            name: the name of ours.
        """
        if self._token is None:
            return True
        jar = http.cookies.SimpleCookie()
        try:
            jar.load(cookies or "")
        except http.cookies.CookieError:
            return False
        given = jar[name].value if name in jar else ""
        now = self._clock()
        with self._lock:
            for session in [s for s, ends in self._sessions.items() if ends <= now]:
                del self._sessions[session]
            sessions = list(self._sessions)
        return any(_is_same(given, session) for session in sessions)


def _is_same(given: str, wanted: str) -> bool:
    """Compare in a time that tells nothing about what is wanted."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())

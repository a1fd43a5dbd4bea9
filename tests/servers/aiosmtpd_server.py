"""aiosmtpd, a server written in Python, on a thread of this process."""

import asyncio
import hmac
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from pykka_smtp.testing.talk.ledger import ReceivedMail

from .accounts import USERS
from .certificates import Tls, server_context
from .delivered import MARKER
from .require import require_module

MECHANISMS = ("PLAIN", "LOGIN")
"""What it can offer."""
STOP = 5.0
"""Seconds that its connections have to end."""


class AiosmtpdServer:
    """aiosmtpd on a free loopback port.

    Args:
        replies: what to say instead of yes: by recipient, such as ``{"no@x.test": "550 5.1.1
            who?", "later@x.test": "450 4.2.0 greylisted"}``; ``"."`` is the reply to a mail,
            and in LMTP ``". c@d.test"`` that for one recipient.
        host: ``"127.0.0.1"`` or ``"::1"``.
        tls: how it speaks TLS, or None if it does not.
        auth: the mechanisms that it offers, of `MECHANISMS`; under TLS only if ``tls`` is given.
            Mails are then for those who logged in.
        users: passwords by name.
        lmtp: speak LMTP.
        options: for aiosmtpd's ``SMTP``, such as ``data_size_limit=1000``.

    Attributes:
        host: where it listens.
        port: a free port, chosen by the system.
    """

    def __init__(
        self,
        *,
        replies: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        tls: Tls | None = None,
        auth: Sequence[str] = (),
        users: Mapping[str, str] = USERS,
        lmtp: bool = False,
        **options: Any,
    ) -> None:
        require_module("aiosmtpd")
        if unknown := set(auth) - set(MECHANISMS):
            raise ValueError(f"aiosmtpd cannot offer {unknown}, only {', '.join(MECHANISMS)}")
        self.host = host
        self.port = 0
        self._options = options
        self._handler = _Handler(dict(replies or {}), lmtp=lmtp)
        self._tls = tls
        self._auth = tuple(auth)
        self._users = dict(users)
        self._lmtp = lmtp

    def __enter__(self) -> Self:
        """Start it, and wait until it listens."""
        self._controller = self._make_controller()
        self._controller.start()
        self.port = self._controller.port
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop it, and join its thread."""
        self._controller.hang_up()
        self._controller.stop()

    @property
    def mails(self) -> tuple[ReceivedMail, ...]:
        """The mails that came whole; the data without transparency, the raw octets unknown."""
        with self._handler.changed:
            return tuple(self._handler.mails)

    @property
    def accepted(self) -> int:
        """How many mails it took."""
        return sum(mail.accepted for mail in self.mails)

    def wait_for(self, predicate: Callable[[], object], timeout: float = 5.0) -> None:
        """Wait until the predicate holds; it is asked after each mail.

        Raises:
            AssertionError: it did not hold within the seconds given.
        """
        with self._handler.changed:
            if not self._handler.changed.wait_for(predicate, timeout):
                raise AssertionError(f"waited {timeout} s in vain; mails: {self._handler.mails}")

    def _make_controller(self) -> Any:
        options = dict(self._options)
        if self._tls is not None:
            # STARTTLS is a matter of the protocol, implicit TLS one of the socket.
            name = "ssl_context" if self._tls.implicit else "tls_context"
            options[name] = server_context(self._tls)
        if self._auth:
            options["authenticator"] = self._authenticate
            options["auth_exclude_mechanism"] = set(MECHANISMS) - set(self._auth)
            # Of implicit TLS it does not know.
            options["auth_require_tls"] = self._tls is not None and not self._tls.implicit
        elif self._tls is not None:
            options["auth_exclude_mechanism"] = MECHANISMS
        return _controller(
            self._handler, self.host, options, lmtp=self._lmtp, auth_required=bool(self._auth)
        )

    def _authenticate(
        self, server: Any, session: Any, envelope: Any, mechanism: str, login: Any
    ) -> Any:
        from aiosmtpd.smtp import AuthResult

        password = self._users.get(login.login.decode(), "")
        known = password and hmac.compare_digest(password.encode(), login.password)
        # "Handled" would mean that we had sent the refusal.
        return AuthResult(success=bool(known), handled=False)


class _Handler:
    """aiosmtpd's hooks; they run in its thread."""

    def __init__(self, replies: dict[str, str], *, lmtp: bool) -> None:
        self.changed = threading.Condition()
        self.mails: list[ReceivedMail] = []
        self._replies = replies
        self._lmtp = lmtp

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Any, address: str, rcpt_options: list[str]
    ) -> str:
        if address in self._replies:
            return self._replies[address]
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        data = envelope.original_content
        reply = self._replies.get(".", "250 2.0.0 taken")
        if MARKER.encode() in data:
            reply = "554 5.6.0 The content is refused"
        whom = envelope.rcpt_tos if self._lmtp else [""]
        replies = [self._replies.get(f". {who}", reply) for who in whom]
        mail = ReceivedMail(
            sender=envelope.mail_from,
            recipients=tuple(envelope.rcpt_tos),
            data=data,
            raw=b"",
            verdicts=[int(reply[:3]) for reply in replies],
        )
        with self.changed:
            self.mails.append(mail)
            self.changed.notify_all()
        # RFC 2033 §4.2: one reply for each recipient.
        return "\r\n".join(replies)


def _controller(
    handler: _Handler, host: str, options: dict[str, Any], *, lmtp: bool, auth_required: bool
) -> Any:
    from aiosmtpd.controller import Controller
    from aiosmtpd.lmtp import LMTP
    from aiosmtpd.smtp import SMTP

    class FreePort(Controller):
        """A Controller whose port the system chooses, and which can hang up on its clients."""

        def __init__(self) -> None:
            super().__init__(handler, hostname=host, port=0, **options)
            self._sessions: list[Any] = []

        def factory(self) -> Any:
            session = (LMTP if lmtp else SMTP)(handler, **self.SMTP_kwargs)
            # As an argument it would give a warning where there is no TLS.
            session._auth_required = auth_required
            self._sessions.append(session)
            return session

        def _trigger_server(self) -> None:
            assert isinstance(self.server, asyncio.Server)
            self.port = self.server.sockets[0].getsockname()[1]
            # All that it takes; a handshake might need a certificate that we do not have.
            socket.create_connection((host, self.port), STOP).close()

        def hang_up(self) -> None:
            """Close what clients left open: from Python 3.12 on, stopping would wait for them."""
            asyncio.run_coroutine_threadsafe(self._hang_up(), self.loop).result(STOP)

        async def _hang_up(self) -> None:
            assert self.server is not None
            self.server.close()
            for session in self._sessions:
                if session.transport is not None:
                    session.transport.abort()
            # The transports close in the loop's next round.
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    return FreePort()

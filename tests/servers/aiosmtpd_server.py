"""aiosmtpd, a server written in Python, on a thread of this process."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from .require import require_module
from .session import ReceivedMail

STOP = 5.0
"""Seconds that its connections have to end."""


class AiosmtpdServer:
    """aiosmtpd on a free loopback port.

    Args:
        replies: what to say instead of yes: by recipient, such as ``{"no@x.test": "550 5.1.1
            who?", "later@x.test": "450 4.2.0 greylisted"}``; ``"."`` is the reply to a mail.
        host: ``"127.0.0.1"`` or ``"::1"``.
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
        **options: Any,
    ) -> None:
        require_module("aiosmtpd")
        self.host = host
        self.port = 0
        self._options = options
        self._handler = _Handler(dict(replies or {}))

    def __enter__(self) -> Self:
        """Start it, and wait until it listens."""
        self._controller = _controller(self._handler, self.host, self._options)
        self._controller.start()
        self.port = self._controller.port
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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


class _Handler:
    """aiosmtpd's hooks; they run in its thread."""

    def __init__(self, replies: dict[str, str]) -> None:
        self.changed = threading.Condition()
        self.mails: list[ReceivedMail] = []
        self._replies = replies

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Any, address: str, rcpt_options: list[str]
    ) -> str:
        if address in self._replies:
            return self._replies[address]
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        reply = self._replies.get(".", "250 2.0.0 taken")
        mail = ReceivedMail(
            sender=envelope.mail_from,
            recipients=tuple(envelope.rcpt_tos),
            data=envelope.original_content,
            raw=b"",
            verdicts=[int(reply[:3])],
        )
        with self.changed:
            self.mails.append(mail)
            self.changed.notify_all()
        return reply


def _controller(handler: _Handler, host: str, options: dict[str, Any]) -> Any:
    from aiosmtpd.controller import Controller

    class FreePort(Controller):
        """A Controller whose port the system chooses, and which can hang up on its clients."""

        def __init__(self) -> None:
            super().__init__(handler, hostname=host, port=0, **options)
            self._sessions: list[Any] = []

        def factory(self) -> Any:
            session = super().factory()  # type: ignore[no-untyped-call]
            self._sessions.append(session)
            return session

        def _trigger_server(self) -> None:
            assert isinstance(self.server, asyncio.Server)
            self.port = self.server.sockets[0].getsockname()[1]
            super()._trigger_server()  # type: ignore[no-untyped-call]

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

"""The servers that the demo sends to: one that does its work, and three that do not.

All listen on free ports of the loopback interface, and nowhere else.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

HOST = "127.0.0.1"
NOBODY = "nobody@example.org"
"""A recipient that the good server refuses for good."""
GREYLISTED = "later@example.org"
"""A recipient that the good server refuses for now."""

_REFUSALS = {
    NOBODY: "550 5.1.1 no such mailbox here",
    GREYLISTED: "450 4.2.0 greylisted",
}
PATIENCE = 5.0
"""Seconds that a server has to start, or to stop."""
_ROUNDS = 10
"""Rounds of the servers' event loop that taking a connection may need, or closing one."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the servers listen.

    Attributes:
        good: aiosmtpd, which takes mails for all but two recipients.
        nobody: a port on which no server listens.
        silent: a server that takes connections and says nothing.
        dropping: a server that takes the mail, and hangs up instead of answering the final dot.
    """

    good: int
    nobody: int
    silent: int
    dropping: int


@contextlib.contextmanager
def running() -> Generator[Ports]:
    """Run the servers while the block runs.

    Raises:
        OSError: the loopback interface cannot be used.
    """
    with contextlib.ExitStack() as exits:
        good = _GoodServer()
        exits.callback(good.stop, no_assert=True)
        exits.callback(good.hang_up)
        good.start()
        # Bound, so that no other program gets the port, but nobody listens on it.
        nobody = exits.enter_context(socket.socket())
        nobody.bind((HOST, 0))
        # The system takes connections for whoever listens; that he never looks is his affair.
        silent = exits.enter_context(socket.create_server((HOST, 0)))
        dropping = exits.enter_context(_dropping(good.loop))
        yield Ports(
            good=good.port,
            nobody=_port_of(nobody),
            silent=_port_of(silent),
            dropping=dropping,
        )


class _Handler:
    """What the good server thinks of recipients and mails; aiosmtpd's names."""

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if address in _REFUSALS:
            return _REFUSALS[address]
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(  # noqa: N802
        self, _server: SMTP, _session: Session, _envelope: Envelope
    ) -> str:
        return "250 2.0.0 taken"


class _GoodServer(Controller):
    """aiosmtpd on a free port, on a thread of its own."""

    def __init__(self) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType] - half typed
            _Handler(), hostname=HOST, port=0, server_hostname="mx.example.org"
        )
        self._sessions: list[SMTP] = []

    def factory(self) -> SMTP:
        session = cast(SMTP, super().factory())  # type: ignore[no-untyped-call]
        self._sessions.append(session)
        return session

    def _trigger_server(self) -> None:
        # The first moment in which the port that the system chose is known.
        self.port = _port_of(cast(asyncio.Server, self.server).sockets[0])
        super()._trigger_server()  # type: ignore[no-untyped-call]

    def hang_up(self) -> None:
        """Close what an interrupted demo has left open; otherwise stopping would complain."""
        if self.server is not None:
            transports = lambda: [session.transport for session in self._sessions]  # noqa: E731
            _run(_hang_up(self.server, transports), self.loop)


class _HangsUpAfterTheDot(asyncio.Protocol):
    """One connection of the server that drops mails: it never answers the final dot."""

    def __init__(self, everyone: "list[_HangsUpAfterTheDot]") -> None:
        self.transport: asyncio.Transport | None = None
        self._rest = b""
        self._is_mail_data = False
        everyone.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(b"220 mx.example.org ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        for line in lines:
            self._hear(line)

    def _hear(self, line: bytes) -> None:
        transport = cast(asyncio.Transport, self.transport)
        if not self._is_mail_data:
            self._is_mail_data = line.upper() == b"DATA"
            transport.write(b"354 go ahead\r\n" if self._is_mail_data else b"250 Ok\r\n")
        elif line == b".":
            transport.close()


@contextlib.contextmanager
def _dropping(loop: asyncio.AbstractEventLoop) -> Generator[int]:
    """Run the server that hangs up, on the event loop of another; give its port."""
    everyone: list[_HangsUpAfterTheDot] = []
    server = _run(loop.create_server(lambda: _HangsUpAfterTheDot(everyone), HOST, 0), loop)
    try:
        yield _port_of(server.sockets[0])
    finally:
        _run(_hang_up(server, lambda: [each.transport for each in everyone]), loop)


async def _hang_up(
    server: asyncio.AbstractServer,
    transports: Callable[[], Sequence[asyncio.BaseTransport | None]],
) -> None:
    # The clients have gone by now. Connections that they made a moment ago are taken first: asyncio
    # loses the socket of one that is being taken while its server closes.
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)
    server.close()
    for _ in range(_ROUNDS):
        for transport in transports():
            if transport is not None:
                cast(asyncio.Transport, transport).abort()
        await asyncio.sleep(0)


def _run(coroutine: Coroutine[Any, Any, _T], loop: asyncio.AbstractEventLoop) -> _T:
    """Run a coroutine on the servers' thread, and wait for it."""
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result(PATIENCE)


def _port_of(sock: Any) -> int:
    port: int = sock.getsockname()[1]
    return port

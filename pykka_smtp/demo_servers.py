"""The servers that the demo sends to: one that does its work, and three that do not.

All listen on free ports of the loopback interface, and nowhere else.
"""

import asyncio
import contextlib
import socket
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, cast

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

    def _trigger_server(self) -> None:
        # The first moment in which the port that the system chose is known.
        self.port = _port_of(cast(asyncio.Server, self.server).sockets[0])
        super()._trigger_server()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def _dropping(loop: asyncio.AbstractEventLoop) -> Generator[int]:
    """Run the server that hangs up, on the event loop of another; give its port."""
    starting = asyncio.start_server(_hang_up_after_the_dot, HOST, 0)
    server = asyncio.run_coroutine_threadsafe(starting, loop).result(PATIENCE)
    try:
        yield _port_of(server.sockets[0])
    finally:
        asyncio.run_coroutine_threadsafe(_close(server), loop).result(PATIENCE)


async def _close(server: asyncio.Server) -> None:
    server.close()


async def _hang_up_after_the_dot(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(b"220 mx.example.org ESMTP\r\n")
    is_mail_data = False
    # The client may break it off as well, when the demo is interrupted.
    with contextlib.suppress(ConnectionError):
        while line := await reader.readline():
            if is_mail_data:
                if line == b".\r\n":
                    break
                continue
            is_mail_data = line.upper() == b"DATA\r\n"
            writer.write(b"354 go ahead\r\n" if is_mail_data else b"250 Ok\r\n")
    writer.close()


def _port_of(sock: Any) -> int:
    port: int = sock.getsockname()[1]
    return port

"""A server within the process: transports that answer what is written to them. No network.

Connections of pykka-smtp get them in place of the loop's own, so what is measured is the program's
own work on its loop thread. Their part of it is as small as can be: a few microseconds a mail.
"""

import asyncio
import re
import socket
from collections.abc import Callable, Sequence
from typing import Any

from pykka_smtp.actors.net.connecting.connect import Reached
from pykka_smtp.actors.net.wire import connecting_wire

_GREETING = b"220 mx.test ESMTP\r\n"
_OK, _KNOWN, _GO_AHEAD = b"250 2.1.0 Ok\r\n", b"250 2.1.5 Ok\r\n", b"354 Go ahead\r\n"
_TAKEN, _BYE = b"250 2.0.0 Ok\r\n", b"221 2.0.0 Bye\r\n"
_WELCOME = b"235 2.7.0 Authentication successful\r\n"
_BDAT = re.compile(rb"BDAT ([0-9]+) LAST\r\n")
_PATH = re.compile(rb"<([^>]*)>")


class AnsweringServer:
    """What all its connections share: what it offers, and how much it has taken.

    Args:
        offers: lines of its reply to EHLO, besides the usual ones.
        tells: whether it puts addresses and queue ids into its replies, as real servers do.

    Attributes:
        mails: how many it took.
        known: what a transport's `get_extra_info` knows.
    """

    def __init__(self, offers: Sequence[str] = (), *, tells: bool = False) -> None:
        lines = [*("mx.test", "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SIZE"), *offers]
        text = "".join(f"250-{line}\r\n" for line in lines[:-1]) + f"250 {lines[-1]}\r\n"
        self.offers = text.encode()
        self.tells = tells
        self.mails = 0
        self.held: list[tuple[AnsweringTransport, bytes]] | None = None
        # It is polled, as that of a real connection is, and never has anything to read.
        self._socket, self._other_end = socket.socketpair()
        here = ("127.0.0.1", 25)
        self.known = {"socket": self._socket, "peername": here, "sockname": here}

    async def connect(
        self, factory: Callable[[Reached], Any], *_address: object, **_options: object
    ) -> None:
        """Connect a protocol, as `pykka_smtp.actors.net.connecting.connect.connect` does."""
        protocol = factory(Reached())
        transport = AnsweringTransport(self, protocol, asyncio.get_running_loop())
        protocol.connection_made(transport)
        transport.answer(_GREETING)

    def replace_network(self) -> None:
        """Let all connections of this process be made to this server, from now on."""
        setattr(connecting_wire, "connect", self.connect)  # noqa: B010 - it has another type

    def hold(self) -> None:
        """Keep all answers until `release`, so that nothing goes on meanwhile."""
        self.held = []

    def release(self) -> None:
        """Give the answers that were kept, and from now on each at once. On the loop thread."""
        held, self.held = self.held or [], None
        for transport, replies in held:
            transport.answer(replies)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        self._other_end.close()


class AnsweringTransport:
    """One connection, with what a connection of pykka-smtp uses of an `asyncio.Transport`.

    It relies on the client's writing each group of commands, and each mail, in one piece.
    """

    def __init__(
        self, server: AnsweringServer, protocol: Any, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._server = server
        self._receive = protocol.data_received
        self._lose = protocol.connection_lost
        self._call_soon = loop.call_soon
        self._is_closing = False
        self._is_data_due = False
        self._replies = b""  # not given until the chunk is here, too
        self._octets_due = 0  # of the chunk

    def answer(self, replies: bytes) -> None:
        """Let the client receive something, in a turn of its own."""
        held = self._server.held
        if held is None:
            self._call_soon(self._receive, replies)
        else:
            held.append((self, replies))

    def write(self, data: bytes) -> None:
        """Take what the client writes."""
        if self._is_data_due:
            assert data.endswith(b"\r\n.\r\n"), "needs the whole email in one piece"
            self._is_data_due = False
            self.answer(self._verdict())
        elif self._octets_due:
            self._take_octets(len(data))
        elif data.startswith((b"MAIL", b"BDAT")):
            self._take_group(data)
        elif data.startswith(b"EHLO"):
            self.answer(self._server.offers)
        elif data.startswith(b"AUTH"):
            self.answer(_WELCOME)
        else:
            assert data.startswith(b"QUIT"), data
            self.answer(_BYE)

    def _take_group(self, data: bytes) -> None:
        """Answer to a group that ends in RCPT, in DATA, or in a chunk."""
        begun = _BDAT.search(data)
        commands = data if begun is None else data[: begun.start()]
        replies = b""
        if commands and self._server.tells:
            sender, *recipients = _PATH.findall(commands)
            replies = b"250 2.1.0 <%b>... Sender ok\r\n" % sender
            replies += b"".join([b"250 2.1.5 <%b>... Recipient ok\r\n" % to for to in recipients])
        elif commands:
            replies = _OK + _KNOWN * commands.count(b"\r\nRCPT ")
        if begun is not None:
            self._replies = replies
            self._octets_due = int(begun[1])
            self._take_octets(len(data) - begun.end())
        elif data.endswith(b"\r\nDATA\r\n"):
            self._is_data_due = True
            self.answer(replies + _GO_AHEAD)
        else:
            self.answer(replies)

    def _take_octets(self, count: int) -> None:
        self._octets_due -= count
        if not self._octets_due:
            self.answer(self._replies + self._verdict())

    def _verdict(self) -> bytes:
        server = self._server
        server.mails += 1
        if server.tells:
            return b"250 2.0.0 Ok: queued as 4bX%08XzQ\r\n" % server.mails
        return _TAKEN

    def close(self) -> None:
        """Close: the protocol hears of it in a turn of its own."""
        if not self._is_closing:
            self._is_closing = True
            self._call_soon(self._lose, None)

    abort = close

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return self._is_closing

    def get_extra_info(self, name: str) -> object:
        """Return the socket, or an address."""
        return self._server.known.get(name)

    def get_write_buffer_size(self) -> int:
        """Return 0: all is out at once."""
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing: it never asks the client to pause."""

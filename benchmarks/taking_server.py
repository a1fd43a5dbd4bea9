"""A server that takes every mail, as fast as it is told to, and counts.

Arguments, all optional: ``chunking``: whether it offers CHUNKING; ``latency``: seconds until its
verdict on a mail; ``rate``: mails a second that it takes at most; ``free``: how many mails it
takes at once before these two hold; ``certificate``: a file with a key and a chain, for STARTTLS.
Command: ``report``: says what it has counted.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from .measure import Stopwatch, arguments
from .serving import say, serve

_END = b"\r\n.\r\n"
_TAKEN = b"250 2.0.0 Ok\r\n"


class Counts:
    """What is counted over all connections.

    Attributes:
        mails: verdicts given.
        connections: how many there were.
        held: mails that wait for their verdict.
        most_held: at most.
        handshakes: how many connections have done TLS.
        resumed: how many of these resumed an earlier session.
    """

    def __init__(self) -> None:
        self.mails = 0
        self.connections = 0
        self.held = 0
        self.most_held = 0
        self.handshakes = 0
        self.resumed = 0


class TakingServer:
    """What all sessions share."""

    def __init__(
        self,
        *,
        chunking: bool = False,
        latency: float = 0.0,
        rate: float = 0.0,
        free: int = 0,
        certificate: str = "",
    ) -> None:
        self.counts = Counts()
        self.chunking = chunking
        self.context: ssl.SSLContext | None = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)
        self._latency = latency
        self._interval = 1 / rate if rate else 0.0
        self._free = free
        self._next = 0.0
        self._watch: Stopwatch | None = None

    def connected(self) -> None:
        """Count a connection; the first starts the clock of the processor time."""
        self._watch = self._watch or Stopwatch()
        self.counts.connections += 1

    def holds(self, accept: Callable[[], None]) -> bool:
        """Whether a mail has to wait for its verdict; then this is called when it is due."""
        if self._free:
            self._free -= 1
            return False
        if not self._latency and not self._interval:
            return False
        loop = asyncio.get_running_loop()
        due = loop.time() + self._latency
        if self._interval:
            self._next = due = max(due, self._next + self._interval)
        self.counts.held += 1
        self.counts.most_held = max(self.counts.most_held, self.counts.held)
        loop.call_at(due, self._release, accept)
        return True

    def _release(self, accept: Callable[[], None]) -> None:
        self.counts.held -= 1
        accept()

    def report(self, _command: str) -> None:
        """Say what was counted, and the seconds of processor time since the first connection."""
        say(**vars(self.counts), cpu=self._watch.cpu() if self._watch else 0.0)


class Taking(asyncio.Protocol):
    """A session. What it has to say to all that came at once goes out in one write."""

    transport: Any  # asyncio.Transport; uvloop's is none by its class

    def __init__(self, server: TakingServer) -> None:
        self._server = server
        self._buffer = b""
        self._take: Callable[[], bytes | None] = self._take_command
        self._missing = 0
        self._is_last = False
        self._is_held = False
        self._has_ended = False
        self._has_tls = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self.transport = transport
        self._server.connected()
        self.transport.write(b"220 server.example.org ESMTP\r\n")

    def connection_lost(self, _exc: Exception | None) -> None:
        """Say no more."""
        self._has_ended = True

    def data_received(self, data: bytes) -> None:
        """Answer all that has come, as far as it is complete."""
        self._buffer = self._buffer + data if self._buffer else data
        self._go_on()

    def _go_on(self) -> None:
        replies = []
        while not (self._is_held or self._has_ended) and (reply := self._take()) is not None:
            replies.append(reply)
        if replies:
            self.transport.write(b"".join(replies))
        if self._has_ended:
            self.transport.close()

    def _take_command(self) -> bytes | None:
        """Take a command; return what to say, or None if there is none yet."""
        line, end, rest = self._buffer.partition(b"\r\n")
        if not end:
            return None
        self._buffer = rest
        verb = line[:4].upper()
        if verb == b"BDAT":
            words = line.split()
            self._missing, self._is_last = int(words[1]), len(words) > 2
            self._take = self._take_chunk
            return b""
        if verb == b"DATA":
            self._take = self._take_data
            return b"354 Go on\r\n"
        if verb == b"EHLO":
            return self._offers()
        if verb == b"STAR" and self._server.context is not None:
            self.transport.pause_reading()
            self._buffer = b""
            self._handshake = asyncio.ensure_future(self._start_tls(self._server.context))
            return b"220 2.0.0 Go on\r\n"
        if verb == b"QUIT":
            self._has_ended = True
            return b"221 2.0.0 Bye\r\n"
        return b"250 2.0.0 Ok\r\n"

    def _offers(self) -> bytes:
        keywords = ["PIPELINING", "8BITMIME"]
        if self._server.chunking:
            keywords.append("CHUNKING")
        if self._server.context is not None and not self._has_tls:
            keywords.append("STARTTLS")
        lines = [*[f"250-{keyword}" for keyword in keywords], "250 ENHANCEDSTATUSCODES"]
        return ("250-server.example.org\r\n" + "\r\n".join(lines) + "\r\n").encode()

    def _take_data(self) -> bytes | None:
        at = self._buffer.find(_END)
        if at < 0:
            self._buffer = self._buffer[1 - len(_END) :]
            return None
        self._buffer = self._buffer[at + len(_END) :]
        return self._verdict()

    def _take_chunk(self) -> bytes | None:
        taken = min(self._missing, len(self._buffer))
        self._buffer = self._buffer[taken:]
        self._missing -= taken
        if self._missing:
            return None
        self._take = self._take_command
        return self._verdict() if self._is_last else _TAKEN

    def _verdict(self) -> bytes:
        self._take = self._take_command
        if self._server.holds(self._accept):
            self._is_held = True
            return b""
        self._server.counts.mails += 1
        return _TAKEN

    def _accept(self) -> None:
        self._is_held = False
        if not self._has_ended:
            self._server.counts.mails += 1
            self.transport.write(_TAKEN)
            self._go_on()

    async def _start_tls(self, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(self.transport, self, context, server_side=True)
        except OSError:  # the client has gone, or likes the certificate not; its own to report
            return
        assert transport is not None
        self.transport, self._has_tls = transport, True
        self._server.counts.handshakes += 1
        self._server.counts.resumed += transport.get_extra_info("ssl_object").session_reused


if __name__ == "__main__":
    shared = TakingServer(**arguments())
    serve(lambda: Taking(shared), shared.report)

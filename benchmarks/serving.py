"""What our own servers share: a loop, a port, a talk with whoever started them, a little SMTP.

A server says where it listens, in JSON on its standard output, and whatever else it has to say
later. It takes commands, a word in a line, from its standard input, and ends where that ends: it
never outlives whoever started it.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from .measure import raise_descriptor_limit
from .processes import HOST


def say(**facts: object) -> None:
    """Tell whoever started this server."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def serve(
    factory: Callable[[], asyncio.Protocol], on_command: Callable[[str], object] = str
) -> None:
    """Serve until the standard input ends.

    Args:
        factory: makes a protocol for each connection.
        on_command: called with each word that comes from the standard input.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C ends whoever started us, and so us
    raise_descriptor_limit()
    try:
        import uvloop
    except ImportError:
        loop_factory = None
    else:
        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_serve(factory, on_command))


async def _serve(
    factory: Callable[[], asyncio.Protocol], on_command: Callable[[str], object]
) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(factory, HOST, 0, backlog=4096)
    ended = asyncio.Event()

    def heard() -> None:
        words = os.read(sys.stdin.fileno(), 4096).decode().split()
        if not words:
            loop.remove_reader(sys.stdin.fileno())
            ended.set()
        for word in words:
            on_command(word)

    loop.add_reader(sys.stdin.fileno(), heard)
    say(port=server.sockets[0].getsockname()[1])
    await ended.wait()
    server.close()


_REPLIES = {
    "greeting": b"220 server.example.org ESMTP\r\n",
    "ehlo": b"250-server.example.org\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
    "mail": b"250 2.1.0 Ok\r\n",
    "rcpt": b"250 2.1.5 Ok\r\n",
    "data": b"354 Go on\r\n",
    "body": b"",
    "dot": b"250 2.0.0 Ok\r\n",
    "quit": b"221 2.0.0 Bye\r\n",
    "other": b"250 2.0.0 Ok\r\n",
}
STAGES = tuple(stage for stage in _REPLIES if stage != "other")
"""Where a session can stand; each is reached once."""
_END = b"\r\n.\r\n"


class Session(asyncio.Protocol):
    """Just enough of a server: greets, offers PIPELINING, and takes everything."""

    transport: Any  # asyncio.Transport; uvloop's is none by its class

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self.transport = transport
        self._buffer = b""
        self._in_body = False
        self.reach("greeting")

    def data_received(self, data: bytes) -> None:
        """Answer all commands that have come."""
        self._buffer += data
        while not self.transport.is_closing() and self._take():
            pass

    def _take(self) -> bool:
        """Take one command, or the end of the mail data; return whether there was one."""
        if self._in_body:
            body, end, rest = self._buffer.partition(_END)
            if body:
                self.reach("body")
            if not end:
                self._buffer = self._buffer[1 - len(_END) :]
                return False
            self._buffer, self._in_body = rest, False
            self.reach("dot")
            return True
        line, end, rest = self._buffer.partition(b"\n")
        if not end:
            return False
        self._buffer = rest
        verb = line[:4].decode("latin-1").lower()
        self._in_body = verb == "data"
        self.reach(verb if verb in _REPLIES else "other")
        return True

    def reach(self, stage: str) -> None:
        """Answer as is right; a subclass may do something else."""
        self.transport.write(_REPLIES[stage])
        if stage == "quit":
            self.transport.close()

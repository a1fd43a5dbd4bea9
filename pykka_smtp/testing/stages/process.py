"""A server in a process of its own, at full speed: all its sessions on one event loop.

It says where it listens, in JSON on its standard output, and whatever else it has to say later. It
takes commands, a word in a line, from its standard input, and ends where that ends: it never
outlives whoever started it.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import struct
import sys
from collections.abc import Callable
from typing import Any

from ..talk.acts import Act, Commands, Deed, Drip, Hold, Pause, Wait
from ..talk.ledger import Ledger
from .pushed import Pushed, Talking

HOST = "127.0.0.1"
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER, on, 0 seconds: close() sends RST."""
_LOOK = 0.01
"""Seconds between two looks at an event of threads."""
_DRIP = 0.004


class Served(Pushed, asyncio.Protocol):
    """A session on an event loop.

    Args:
        server: whose talk it is.
        ledger: see `Pushed`.
        context: for TLS.

    Attributes:
        transport: where it says something.
    """

    transport: Any  # asyncio.Transport; uvloop's is none by its class

    def __init__(
        self,
        server: Talking,
        ledger: Ledger | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(server, ledger)
        self._context = context
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; comes once more when TLS is up."""
        is_first = not hasattr(self, "transport")
        self.transport = transport
        if is_first:
            self.begin()

    def data_received(self, data: bytes) -> None:
        """Hear the client, and answer."""
        act = self._act
        if type(act) is Commands and self.ledger is None and not self._came:
            # One command of those that are answered unseen: nearly all that ever comes.
            reply = act.replies.get(data[:4])
            if reply is not None and data.find(b"\r\n") == len(data) - 2:
                act.last = data[:4]
                self.transport.write(reply)
                return
        self.receive(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Say no more."""
        self.is_over = True

    def say(self, octets: bytes) -> None:
        """Let octets go out."""
        self.transport.write(octets)

    def end(self, deed: Deed) -> None:
        """Close, in one way or the other, or say nothing more."""
        match deed:
            case Deed.CLOSE:
                self.transport.close()
            case Deed.RESET:
                self.break_off()
            case Deed.DEAF:
                self.transport.pause_reading()
            case _:
                pass

    def break_off(self) -> None:
        """End it with RST."""
        self.is_over = True
        sock = self.transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()

    def do(self, act: Act) -> None:
        """Do something that takes its time."""
        loop = asyncio.get_running_loop()
        match act:
            case Drip():
                self._drip(act, 0)
            case Pause(seconds):
                loop.call_later(seconds, self.done)
            case Wait(event):
                if event.is_set():
                    self.done()
                else:
                    loop.call_later(_LOOK, self.do, act)
            case Hold(begin):
                begin(self.done)
            case Deed.TLS:
                self.transport.pause_reading()  # start_tls() goes on
                self._came.take_all()
                self._task = loop.create_task(self._shake_hands())
            case _:
                raise NotImplementedError(act)

    def _drip(self, act: Drip, place: int) -> None:
        if self.is_over or self.transport.is_closing():
            return
        octets = act.octets[place : place + 1]
        if self.ledger is not None:
            self.ledger.went(octets)
        self.say(octets)
        if place + 1 < len(act.octets) or act.is_endless:
            place = min(place + 1, len(act.octets) - 1)
            interval = _DRIP if act.interval is None else act.interval
            asyncio.get_running_loop().call_later(interval, self._drip, act, place)
        else:
            self.done()

    async def _shake_hands(self) -> None:
        assert self._context is not None, "TLS without a context"
        transport = None
        # The client has gone, or does not like the certificate; that is its own to report.
        with contextlib.suppress(OSError):
            transport = await asyncio.get_running_loop().start_tls(
                self.transport, self, self._context, server_side=True
            )
        if transport is None:
            self.is_over: bool = True
            return
        self.transport = transport
        self.tls: str | None = str(transport.get_extra_info("ssl_object").version())
        self.done(True)


def say(**facts: object) -> None:
    """Tell whoever started this server."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def serve(
    factory: Callable[[], asyncio.Protocol],
    on_command: Callable[[str], object] = str,
    *,
    receive_buffer: int | None = None,
) -> None:
    """Serve until the standard input ends.

    Args:
        factory: makes a protocol for each connection, such as `Served`.
        on_command: called with each word that comes from the standard input.
        receive_buffer: octets that the system keeps of what comes and is not read yet.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C ends whoever started us, and so us
    try:
        import uvloop
    except ImportError:
        loop_factory = None
    else:
        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_serve(factory, on_command, receive_buffer))


async def _serve(
    factory: Callable[[], asyncio.Protocol],
    on_command: Callable[[str], object],
    receive_buffer: int | None,
) -> None:
    loop = asyncio.get_running_loop()
    listener = socket.create_server((HOST, 0), backlog=4096)
    if receive_buffer is not None:  # who is accepted inherits it
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    server = await loop.create_server(factory, sock=listener, backlog=4096)
    ended = asyncio.Event()

    def heard() -> None:
        words = os.read(sys.stdin.fileno(), 4096).decode().split()
        if not words:
            loop.remove_reader(sys.stdin.fileno())
            ended.set()
        for word in words:
            on_command(word)

    loop.add_reader(sys.stdin.fileno(), heard)
    say(port=listener.getsockname()[1])
    await ended.wait()
    server.close()

"""A proxy that makes a server seem far away, and counts how often the two sides take turns.

Arguments: ``target``: the server's port; ``delay``: seconds that anything takes in each
direction. Command: ``report``: says, once all connections have ended, for how many of them it
counted what.

A connection to the proxy itself stands at once. The server hears of it a delay later, as it does
of the last packet of a TCP handshake, so that its greeting takes a full round trip.
"""

import asyncio
from collections import deque
from typing import Any

from pykka_smtp.testing.stages.process import say

from .measure import arguments
from .processes import HOST
from .serving import serve

_PATIENCE = 100
"""How often `report` looks whether the last connection has ended."""
_INTERVAL = 0.05
"""Seconds between two of these looks."""


class DelayedLine:
    """One direction: what goes in comes out later, in order."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[float, bytes]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.transport: Any = None

    def put(self, data: bytes) -> None:
        """Send octets; none at all stand for the end."""
        self._queue.append((self._loop.time() + self._delay, data))
        self.flush()

    def flush(self) -> None:
        """Deliver what is due, and come back for the rest."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queue and self.transport is not None and not self.transport.is_closing():
            due, data = self._queue[0]
            if due > self._loop.time():
                self._timer = self._loop.call_at(due, self.flush)
                return
            self._queue.popleft()
            if data:
                self.transport.write(data)
            else:
                self.transport.close()


class Counts:
    """What is counted over all connections."""

    def __init__(self) -> None:
        self.connections = 0
        self.open = 0
        self.turns = 0
        self.turns_before_quit = 0
        self.writes = 0


class Near(asyncio.Protocol):
    """The client's side."""

    def __init__(self, counts: Counts, port: int, delay: float) -> None:
        self.counts = counts
        self.client_speaks = True  # until the greeting comes
        self._port = port
        self._delay = delay
        self._said_quit = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the other side, a delay later."""
        self.counts.open += 1
        self.counts.connections += 1
        self.to_server = DelayedLine(self._delay)
        self.to_client = DelayedLine(self._delay)
        self.to_client.transport = transport
        self._task = asyncio.ensure_future(self._open())

    async def _open(self) -> None:
        await asyncio.sleep(self._delay)
        await asyncio.get_running_loop().create_connection(lambda: Far(self), HOST, self._port)

    def data_received(self, data: bytes) -> None:
        """Pass on what the client says."""
        self.counts.writes += 1
        self.client_speaks = True
        if data[:4].upper() == b"QUIT":
            self._said_quit = True
        self.to_server.put(data)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Pass on the end."""
        self.counts.open -= 1
        self.to_server.put(b"")

    def server_speaks(self) -> None:
        """Count a turn, if it is one: the client spoke, and now the server does."""
        if self.client_speaks:
            self.client_speaks = False
            self.counts.turns += 1
            self.counts.turns_before_quit += not self._said_quit


class Far(asyncio.Protocol):
    """The server's side."""

    def __init__(self, near: Near) -> None:
        self._near = near

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the client's octets through."""
        self._near.to_server.transport = transport
        self._near.to_server.flush()

    def data_received(self, data: bytes) -> None:
        """Pass on what the server says."""
        self._near.server_speaks()
        self._near.to_client.put(data)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Pass on the end."""
        self._near.to_client.put(b"")


async def _report(counts: Counts) -> None:
    for _ in range(_PATIENCE):
        if not counts.open:
            break
        await asyncio.sleep(_INTERVAL)
    say(**vars(counts))


def main(target: int, delay: float) -> None:
    """Run the proxy."""
    counts = Counts()
    tasks: list[asyncio.Task[None]] = []
    serve(
        lambda: Near(counts, target, delay),
        lambda _command: tasks.append(asyncio.ensure_future(_report(counts))),
    )


if __name__ == "__main__":
    main(**arguments())

"""A network for the TLS target: a loop and a transport of either kind, that do what they are told.

The socket below is a real one, so that what looks at it, or reads from it, is the real thing, too.
"""

import errno
import os
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from .violation import insist

TICK = 0.4
"""Seconds between two looks at the clock: few enough for nobody to think that we stood still."""
_HIGH = 65_536  # asyncio's default, and uvloop's


class Task:
    """Runs a coroutine that waits for nothing."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine

    def run(self) -> None:
        """Run it, unless it was cancelled."""
        try:
            self._coroutine.send(None)
        except (StopIteration, RuntimeError):
            return  # it has ended; or it was cancelled
        insist(holds=False, what="a coroutine waits for what never comes")

    def cancel(self) -> None:
        """Don't run it."""
        self._coroutine.close()


class Workers:
    """Stands for the threads that read files."""

    async def run(self, function: Callable[[], Any]) -> Any:
        """Call it at once."""
        return function()


class Loop:
    """The event loop and its thread, as far as a connection knows them.

    Args:
        is_selector: whether it writes at once, as the standard library's does, or at the end of a
            turn, as uvloop does.

    Attributes:
        is_connecting: whether the next task is the connecting, which somebody else does.
    """

    def __init__(self, *, is_selector: bool) -> None:
        self.is_selector_loop = is_selector
        self.is_connecting = True
        self.file_pool = self.file_open_pool = Workers()
        self._now = 0.0
        self._watched: list[Any] = []
        self._soon: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._writers: list[Any] = []
        self._tasks: list[Task] = []
        self._flushes: list[Transport] = []

    @property
    def loop(self) -> "Loop":
        """Itself: one fake is enough for both."""
        return self

    def time(self) -> float:
        """The time, in seconds."""
        return self._now

    def call_soon(self, function: Callable[..., object], *args: Any) -> None:
        """Call something in the next turn."""
        self._soon.append((function, args))

    def create_task(self, coroutine: Coroutine[Any, Any, Any]) -> Task:
        """Run a coroutine in the next turn."""
        task = Task(coroutine)
        self._tasks.append(task)
        if self.is_connecting:
            self.is_connecting = False
            task.cancel()
        else:
            self.call_soon(task.run)
        return task

    def close(self) -> None:
        """Forget what was to be run."""
        for task in self._tasks:
            task.cancel()

    def add_ticking(self, watched: Any) -> None:
        """Show something the clock from now on."""
        if watched not in self._watched:
            self._watched.append(watched)

    def remove_ticking(self, watched: Any) -> None:
        """Show it no more."""
        if watched in self._watched:
            self._watched.remove(watched)

    def write_soon(self, writer: Any) -> None:
        """Have something written at the end of this turn."""
        if not self._writers:
            self.call_soon(self._write_all)
        self._writers.append(writer)

    def _write_all(self) -> None:
        writers, self._writers = self._writers, []
        for writer in writers:
            writer.write_now()

    def flush_soon(self, transport: "Transport") -> None:
        """Have a transport give the system what it has, at the end of this turn."""
        if transport not in self._flushes:
            self._flushes.append(transport)

    def turn(self) -> None:
        """Call what was to be called; what comes of it has its turn later."""
        for _ in range(len(self._soon)):
            function, args = self._soon.popleft()
            function(*args)
        flushes, self._flushes = self._flushes, []
        for transport in flushes:
            transport.flush()

    def advance(self, seconds: float = TICK) -> None:
        """Let time go by, and have all look at the clock."""
        self._now += seconds
        for watched in list(self._watched):
            watched.on_tick(self._now)


class Line:
    """One TCP connection, as the client's operating system has it.

    Args:
        hear: takes what has left the client.

    Attributes:
        room: how many octets the system would take now, or None for any number.
        is_reset: whether the server has reset it.
        waiting: octets of the server's that have come and that nobody has read.
    """

    def __init__(self, hear: Callable[[bytes], None]) -> None:
        self._hear = hear
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        self.room: int | None = None
        self.is_reset = False
        self.waiting = 0

    def fileno(self) -> int:
        """Our end."""
        return self._ours.fileno()

    def setsockopt(self, *_args: object) -> None:
        """Nothing to do."""

    def take(self, octets: bytes) -> int:
        """Take what there is room for; return how many octets that is."""
        if self.is_reset:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        count = len(octets)
        if self.room is not None:
            count = min(self.room, count)
            self.room -= count
        if count:
            self._hear(octets[:count])
        return count

    def put(self, octets: bytes) -> None:
        """Let octets of the server's come."""
        self._theirs.sendall(octets)
        self.waiting += len(octets)

    def put_end(self) -> None:
        """Let the server's FIN come."""
        self._theirs.shutdown(socket.SHUT_WR)

    def read(self, most: int) -> bytes:
        """Read what has come."""
        return os.read(self._ours.fileno(), most)

    def close(self) -> None:
        """Close both ends."""
        self._ours.close()
        self._theirs.close()


class Transport:
    """The client's transport: asyncio's for selectors, or uvloop's.

    Args:
        loop: the loop, which says what kind it is.
        line: what is below.
        protocol: the connection.
    """

    def __init__(self, loop: Loop, line: Line, protocol: Any) -> None:
        self._loop = loop
        self._line = line
        self._protocol = protocol
        self._buffer = bytearray()
        self._is_at_system = False  # uvloop's: what is left waits until the system takes more
        self._high, self._low = _HIGH, _HIGH // 4
        self._is_paused = False
        self._is_closing = False
        self._is_lost = False

    def get_extra_info(self, name: str) -> object:
        """The socket, and whose it is."""
        return {"socket": self._line, "peername": ("192.0.2.1", 25)}.get(name)

    def get_write_buffer_size(self) -> int:
        """Octets that the system has not taken yet."""
        return len(self._buffer)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Say when to pause the protocol, and when to have it go on."""
        self._high = _HIGH if high is None else high
        self._low = self._high // 4 if low is None else low
        self._maybe_pause()

    def is_closing(self) -> bool:
        """Whether it is closed, or will be."""
        return self._is_closing

    def write(self, data: bytes) -> None:
        """Write at once, or at the end of the turn."""
        if self._is_lost:
            return
        if self._loop.is_selector_loop:
            if not self._buffer:
                data = data[self._send(data) :]
            if data and not self._is_lost:
                self._buffer += data
                self._maybe_pause()
            return
        self._buffer += data
        if len(self._buffer) > self._high and not (self._is_paused or self._is_at_system):
            self._send_buffer()
            self._maybe_pause()
        elif self._buffer:
            self._maybe_pause()
            self._loop.flush_soon(self)

    def flush(self) -> None:
        """Give the system what it has not got yet."""
        if not (self._is_lost or self._is_at_system):
            self.writable()

    def writable(self) -> None:
        """The system takes more."""
        if self._is_lost or not self._buffer:
            return
        self._send_buffer()
        if self._is_paused and len(self._buffer) <= self._low and not self._is_lost:
            self._is_paused = False
            self._protocol.resume_writing()
        if self._is_closing and not (self._is_lost or self._buffer):
            self._lose(None)

    def close(self) -> None:
        """Close once all is written."""
        if not self._is_closing:
            self._is_closing = True
            if not self._buffer:
                self._lose(None)

    def abort(self) -> None:
        """Close at once."""
        self.break_off(None)

    def break_off(self, error: OSError | None) -> None:
        """It breaks."""
        self._buffer.clear()
        self._is_closing = True
        if not self._is_lost:
            self._lose(error)

    def _lose(self, error: OSError | None) -> None:
        self._is_lost = True
        self._loop.call_soon(self._protocol.connection_lost, error)

    def _send(self, octets: bytes) -> int:
        try:
            return self._line.take(octets)
        except OSError as error:
            self.break_off(error)
            return 0

    def _send_buffer(self) -> None:
        del self._buffer[: self._send(bytes(self._buffer))]
        self._is_at_system = bool(self._buffer)

    def _maybe_pause(self) -> None:
        if len(self._buffer) > self._high and not self._is_paused:
            self._is_paused = True
            self._protocol.pause_writing()

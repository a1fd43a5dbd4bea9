"""The transport of a session within the process, from the connection to the sink.

It controls the flow as a socket's transport does: what the sink has not taken counts as unwritten.
So the end of the mail data is "sent" once the sink has all of it, and only then the sink is told
that it is complete. An email that is cancelled, or that fails, before is never taken.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from ...loop import guard
from ...loop.event_loop import event_loop
from .inner_server import InnerServer
from .outlet import Broken, Outlet, Rejected, Sink

_HIGH = 262_144
"""Bytes that may be unwritten before the connection is asked to pause."""

T = TypeVar("T")


class Client(guard.Guarded, Protocol):
    """The methods of a connection that this transport calls, all on the loop thread."""

    def data_received(self, data: bytes) -> None:
        """Called with replies."""
        ...

    def connection_lost(self, exc: Exception | None) -> None:
        """Called last, when the transport is closed."""
        ...

    def eof_received(self) -> None:
        """Called when the server's side closes."""
        ...

    def pause_writing(self) -> None:
        """Called when too much is unwritten."""
        ...

    def resume_writing(self) -> None:
        """Called when that is written."""
        ...

    def outlet_failed(self, broken: Broken) -> None:
        """Called when the outlet does not work."""
        ...

    def time_out_now(self) -> None:
        """Called to let the timeout of the present step expire."""
        ...


class InnerTransport(asyncio.Transport):
    """The transport of one session. On the loop thread only."""

    def __init__(self, client: Client, outlet: Outlet) -> None:
        """Prepare a session; `begin` sends the greeting.

        Args:
            client: the connection.
            outlet: what takes the emails.
        """
        super().__init__()
        self._client = client
        self._outlet = outlet
        self._server = InnerServer(outlet)
        self._loop = event_loop().loop
        self._unread = b""
        self._size = 0  # of what is unread, or not taken by the sink
        self._high = _HIGH
        self._low = _HIGH // 4
        self._is_paused = False
        self._is_closing = False
        self._is_scheduled = False
        self._sink: Sink | None = None
        self._feeding: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Send the greeting, soon."""
        self._loop.call_soon(guard.call, self._client, self._say, self._server.greeting)

    @property
    def is_silent(self) -> bool:
        """Whether the client waits for a reply that will not come."""
        return self._server.is_silent

    # What a connection calls

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        """Take octets; they are read in a callback of their own, as a socket's would be."""
        if self._is_closing:
            return
        self._unread += data
        self._size += len(data)
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(guard.call, self._client, self._read)
        self._pause_if_full()

    def get_write_buffer_size(self) -> int:
        """Return the number of octets that were not taken yet."""
        return self._size

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set from how many octets on the client is paused, and until how many."""
        self._high = _HIGH if high is None else high
        self._low = self._high // 4 if low is None else low
        self._pause_if_full()

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ARG002 - asyncio's
        """Return the default: there is no socket, and no address."""
        return default

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._is_closing

    def close(self) -> None:
        """Close. What was not taken by now is not taken any more."""
        if not self._is_closing:
            self._is_closing = True
            self._loop.call_soon(guard.call, self._client, self._client.connection_lost, None)
        self._drop_sink()

    def abort(self) -> None:
        """Close."""
        self.close()

    # The session

    def _pause_if_full(self) -> None:
        if self._size > self._high and not self._is_paused:
            self._is_paused = True
            self._client.pause_writing()

    def _note_taken(self, count: int) -> None:
        self._size -= count
        if self._is_paused and self._size <= self._low:
            self._is_paused = False
            self._client.resume_writing()

    def _say(self, octets: bytes) -> None:
        if octets and not self._is_closing:
            self._client.data_received(octets)

    def _read(self) -> None:
        self._is_scheduled = False
        if self._is_closing:
            return
        server = self._server
        octets, self._unread = self._unread, b""
        before = len(server.data)
        replies = server.receive(octets)
        if server.is_in_data and self._feeding is None:
            assert server.taken is not None
            if self._sink is None:
                self._sink = self._outlet.sink(server.taken)
            if server.data or server.is_complete:
                self._feeding = self._loop.create_task(guard.run(self._client, self._feed))
        self._note_taken(len(octets) - (len(server.data) - before))
        self._say(replies)
        if server.is_silent and server.plan is not None and server.plan.times_out:
            self._client.time_out_now()

    async def _feed(self) -> None:
        """Pass the mail data to the sink; at its end, reply as the sink says."""
        server, sink = self._server, self._sink
        if sink is None:  # closed before this task began
            self._feeding = None
            return
        try:
            while server.data:
                data = bytes(server.data)
                server.data.clear()
                await self._run(sink.write, data)
                if self._is_closing:
                    return
                self._note_taken(len(data))
            # The client has heard that all is written, and counts on a reply from now on.
            if not server.is_complete or self._is_closing:
                return
            text = await self._run(sink.finish)
        except Rejected as rejected:
            self._end_mail(f"{rejected.reply}\r\n".encode("ascii", "replace"))
        except Broken as broken:
            self._client.outlet_failed(broken)
        except BlockingIOError:
            self._end_mail(b"451 4.3.2 too many emails wait for their threads\r\n")
        else:
            if server.plan is not None and server.plan.loses_the_answer:
                self._client.eof_received()
            else:
                self._end_mail(f"250 2.0.0 {text}\r\n".encode("ascii", "replace"))
        finally:
            self._feeding = None

    def _end_mail(self, reply: bytes) -> None:
        self._drop_sink()
        self._server.next_transaction()
        self._say(reply)

    async def _run(self, function: Callable[..., T], *args: object) -> T:
        pool = self._outlet.pool()
        return function(*args) if pool is None else await pool.run(function, *args)

    def _drop_sink(self) -> None:
        sink = self._sink
        if sink is None:
            return
        guard.surely(sink.stop)
        pool = self._outlet.pool()
        if pool is None:
            guard.surely(sink.discard)
        else:
            pool.surely(sink.discard)
        self._sink = None

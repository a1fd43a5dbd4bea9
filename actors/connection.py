"""One connection: it carries a dialog's octets, and keeps its time.

Program → actor → dialog → wire: this is the wire. It performs the actions that the dialog asks
for, tells it what comes back, and knows no SMTP.
"""

import asyncio
import contextlib
import logging
import os
import select
import socket
import struct
from collections.abc import Iterator
from typing import Any, Protocol

from ..signals.outcome import Peer
from ..smtp.content import Rendition
from ..smtp.dialog import Action, Close, Dialog, SendBody
from ..smtp.verdict import FailureKind, Verdict
from .connect import ConnectError, SourceAddress, connect
from .event_loop import event_loop
from .mail_source import PIECE, FileSource, SourceError, pieces_of

_logger = logging.getLogger("pykka_smtp.actors")

_FAREWELL = 5.0
"""Seconds at most that a server may take over what follows the verdict, which is only QUIT."""
_LAST_READS = 16
"""How often a broken connection is read from, for what the server said before it broke."""
_SMALL = 64
"""Octets that may still go out when a connection is reset: a lone dot, no mail."""
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER, on, 0 seconds: close() sends RST


class Owner(Protocol):
    """Who uses a connection: an actor."""

    def decided(self, verdict: Verdict) -> None:
        """Hear the verdict; comes exactly once."""
        ...

    def closed(self) -> None:
        """Hear that the connection is gone; comes exactly once, after the verdict."""
        ...

    def connected(self, local_address: str) -> None:
        """Hear that the connection stands; comes before the dialog begins."""
        ...


class Connection(asyncio.Protocol):
    """Connects to a server and runs one dialog. Lives on the loop thread.

    Call `open` once. Everything else follows, and ends in `Owner.closed`.
    """

    def __init__(
        self,
        owner: Owner,
        dialog: Dialog,
        *,
        host: str,
        port: int,
        timeout: float,
        deadline: float,
        source: FileSource | None = None,
    ) -> None:
        """Prepare a connection.

        Args:
            owner: who hears of it.
            dialog: the conversation to carry.
            host: the server's name or address.
            port: its port.
            timeout: seconds for each step.
            deadline: seconds for the whole.
            source: the mail data, when the dialog's rendition has none.
        """
        self._owner = owner
        self._dialog = dialog
        self._host = host
        self._port = port
        self._timeout = timeout
        self._deadline = deadline
        self._source = source
        self._loop = event_loop().loop
        self._transport: Any = None  # asyncio.Transport; uvloop's is none by its class
        self._connecting: asyncio.Task[None] | None = None
        self._pieces: Iterator[bytes] | None = None
        self._reading = False  # whether a piece of the source is being read
        self._held = b""  # the last piece so far, not yet written
        self._body_begun = False
        self._dot_written = False
        self._written = 0  # octets of mail data
        self._taken = 0  # how many of them the operating system had taken when last looked at
        self._paused = False
        self._step = 0
        self._step_due = 0.0
        self._whole_due = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._is_closed = False

    def open(self, source_address: SourceAddress | None = None) -> None:
        """Start the clock and connect.

        Args:
            source_address: the local address and port to connect from, or None.
        """
        event_loop().hold()
        now = self._loop.time()
        self._whole_due = now + self._deadline
        self._step_due = now + self._timeout
        self._set_alarm()
        self._connecting = self._loop.create_task(self._connect(source_address))

    def cancel(self) -> None:
        """Give up at once, whatever is under way."""
        self._perform(self._dialog.cancel())

    def abandon(self) -> None:
        """Let go of the socket in a forked child, which must not keep the parent's open."""
        with contextlib.suppress(OSError, AttributeError):
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, self._transport.get_extra_info("socket").fileno())
            os.close(null)

    @property
    def peer(self) -> Peer | None:
        """The server, or None while there is no connection."""
        if self._transport is None:
            return None
        name = self._transport.get_extra_info("peername")
        address = str(name[0]) if isinstance(name, tuple) else self._host
        return Peer(host=self._host, address=address, port=self._port)

    async def _connect(self, source_address: SourceAddress | None) -> None:
        try:
            await connect(lambda: self, self._host, self._port, source_address)
        except ConnectError as error:
            self._connecting = None
            self._perform(
                self._dialog.fail(
                    FailureKind.CONNECT,
                    str(error),
                    operation=error.operation,
                    errno=error.errno,
                    retryable=error.passing,
                )
            )
        except Exception as error:
            self._connecting = None
            self._break(error)
        else:
            self._connecting = None

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the dialog."""
        self._transport = transport
        if self._dialog.is_over:  # given up while the connection was being made
            self._transport.abort()
            return
        try:
            name = self._transport.get_extra_info("sockname")
            self._owner.connected(str(name[0]) if isinstance(name, tuple) else "")
            self._perform(self._dialog.connected())
        except Exception as error:
            self._break(error)

    def data_received(self, data: bytes) -> None:
        """Let the dialog judge what the server said."""
        try:
            self._perform(self._dialog.receive_data(data))
        except Exception as error:
            self._break(error)

    def eof_received(self) -> None:
        """Tell the dialog that nothing more will come."""
        self._perform(self._dialog.receive_eof())

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the dialog, after all that the server said before."""
        if not self._dialog.is_over:
            if exc is not None:
                self._read_last_words()
            number = exc.errno if isinstance(exc, OSError) else None
            reason = os.strerror(number) if number else str(exc or "closed")
            self._perform(self._dialog.connection_lost("read", number, reason))
        self._finish()

    def pause_writing(self) -> None:
        """Read no more of the mail: the server does not keep up."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on: the operating system has taken all that was written."""
        self._paused = False
        if self._dot_written:
            self._dot_is_out()
        else:
            self._pump()

    # What the dialog asks for.

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, bytes):
                self._transport.write(action)
            elif isinstance(action, SendBody):
                self._begin_body(action.rendition)
            elif isinstance(action, Close):
                self._close(reset=action.reset)
            else:
                self._owner.decided(action)
        if self._dialog.steps != self._step:
            self._next_step()

    def _close(self, *, reset: bool) -> None:
        transport = self._transport
        if transport is None:
            if self._connecting is not None:
                self._connecting.cancel()
            # Not at once: whoever asked may still be at work with this connection.
            self._loop.call_soon(self._finish)
            return
        if reset:
            with contextlib.suppress(OSError, AttributeError):
                transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, _RESET
                )
            if self._body_begun or transport.get_write_buffer_size() > _SMALL:
                # What the server has not read by now, it must not get any more.
                transport.abort()
                return
        transport.close()
        # A server that reads no more would keep even this open.
        self._step_due = self._whole_due = self._loop.time() + _FAREWELL

    def _break(self, error: Exception) -> None:
        """End on a defect of ours: with an outcome, like everything."""
        _logger.error("defect in the connection to %s:%s", self._host, self._port, exc_info=error)
        self._perform(
            self._dialog.fail(
                FailureKind.INTERNAL, f"defect in pykka-smtp: {type(error).__name__}: {error}"
            )
        )

    def _finish(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._source is not None:
            event_loop().files.run(self._source.close)
        self._pieces = None
        event_loop().release()
        self._owner.closed()

    # The mail data.

    def _begin_body(self, rendition: Rendition) -> None:
        self._body_begun = True
        if rendition.data is not None:
            self._pieces = pieces_of(rendition.data)
            if len(rendition.data) > PIECE:
                self._transport.set_write_buffer_limits(high=PIECE, low=0)
        self._pump()

    def _pump(self) -> None:
        """Write mail data for as long as the server takes it.

        The last piece is held back: it goes out together with the dot.
        """
        if self._pieces is None:
            if self._source is not None and not self._reading and not self._paused:
                self._reading = True
                self._loop.create_task(self._read_on())
            return
        while not self._paused and not self._dialog.is_over:
            piece = next(self._pieces, None)
            if piece is None:
                self._end_body()
                return
            self._write_held()
            self._held = piece

    async def _read_on(self) -> None:
        """Read the next piece in a worker thread, and write the one before."""
        assert self._source is not None
        try:
            piece = await event_loop().files.run(self._source.read)
        except SourceError as error:
            # RFC 5321 §4.1.1.4: with the dot, the server would take a part for the whole.
            self._perform(self._dialog.fail(FailureKind.LOCAL, str(error)))
            return
        except Exception as error:
            self._break(error)
            return
        finally:
            self._reading = False
        if self._dialog.is_over:
            return
        if piece is None:
            self._end_body()
        else:
            self._write_held()
            self._held = piece
            self._pump()

    def _write_held(self) -> None:
        if self._held:
            self._written += len(self._held)
            self._transport.write(self._held)
            self._held = b""

    def _end_body(self) -> None:
        """Write the last piece and the final dot, unless the server has spoken meanwhile.

        A reply counts as the verdict only if it comes after the dot has gone out. So nothing may
        be here to read when it goes out, and nothing may wait to be written before it.
        """
        if not self._dialog.may_send_dot:
            return  # a part of an early reply is here; the rest of it decides
        if self._has_something_to_read():
            self._loop.call_soon(self._end_body)
            return
        transport = self._transport
        if transport.get_write_buffer_size():
            transport.set_write_buffer_limits(high=0)  # resume_writing() when all is out
            return
        last = self._held + b".\r\n"
        self._held = b""
        self._written += len(last)
        transport.write(last)
        self._dot_written = True
        if transport.get_write_buffer_size():
            transport.set_write_buffer_limits(high=0)
        else:
            self._dot_is_out()

    def _dot_is_out(self) -> None:
        if not self._dialog.is_over:
            self._dot_written = False
            self._dialog.dot_sent()
            self._next_step()

    def _has_something_to_read(self) -> bool:
        poll = select.poll()
        try:
            poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
            return bool(poll.poll(0))
        except (OSError, ValueError):
            return False

    def _read_last_words(self) -> None:
        """Hear what the server said before it broke the connection while we were writing.

        A refusal in the middle of the mail data, then a reset: the refusal is the cause.
        """
        if self._transport.get_extra_info("ssl_object") is not None:
            return
        with contextlib.suppress(OSError, AttributeError, ValueError):
            number = self._transport.get_extra_info("socket").fileno()
            for _ in range(_LAST_READS):
                data = os.read(number, 65_536)
                if not data:
                    return
                self.data_received(data)

    # Time.

    def _next_step(self) -> None:
        self._step = self._dialog.steps
        now = self._loop.time()
        if self._dialog.verdict is None:
            self._step_due = now + self._timeout
        else:
            self._step_due = self._whole_due = min(self._whole_due, now + _FAREWELL)
            self._set_alarm()

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_at(min(self._step_due, self._whole_due), self._ring)

    def _ring(self) -> None:
        """Look whether time is up. (A step that went on has only moved its due time.)"""
        self._alarm = None
        now = self._loop.time()
        if self._dialog.is_over:
            if now >= self._whole_due:
                if self._transport is not None:
                    self._transport.abort()
                return
        elif now >= self._whole_due:
            self._perform(self._dialog.time_out(self._deadline, whole=True))
        elif now >= self._step_due and not self._has_moved(now):
            self._perform(self._dialog.time_out(self._timeout))
        if not self._is_closed:
            self._set_alarm()

    def _has_moved(self, now: float) -> bool:
        """Whether the operating system took some mail data since the last look."""
        if not self._body_begun or self._dialog.verdict is not None:
            return False
        taken = self._written - self._transport.get_write_buffer_size()
        if taken <= self._taken:
            return False
        self._taken = taken
        self._step_due = now + self._timeout
        return True

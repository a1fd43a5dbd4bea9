"""One connection: it carries a dialog's octets, and keeps its time.

Program → actor → dialog → wire: this is the wire. It performs the actions that the dialog asks
for, tells it what comes back, and knows no SMTP.
"""

import asyncio
import contextlib
import functools
import logging
import os
import select
import socket
import ssl
import struct
from collections.abc import Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..signals.outcome import Peer
from ..smtp.dialog import Action, Close, Dialog, RunCallable, SendBody, StartTls
from ..smtp.stage import Stage
from ..smtp.verdict import FailureKind, Verdict
from .connect import ConnectError, SourceAddress, connect, is_literal
from .event_loop import event_loop
from .mail_source import PIECE, FileSource, SourceError, pieces_of
from .timeouts import MIN_DATA_RATE, Timeouts
from .tls import Tls

if TYPE_CHECKING:
    from .proxy import Proxy

_logger = logging.getLogger("pykka_smtp.actors")

_FAREWELL = 5.0
"""Seconds at most that a server may take over what follows the verdict, which is only QUIT."""
_LAST_READS = 16
"""How often a broken connection is read from, for what the server said before it broke."""
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER, on, 0 seconds: close() sends RST
# Used on the loop thread only. Windows has none.
_poll = select.poll() if hasattr(select, "poll") else None


class Owner(Protocol):
    """Who uses a connection: an actor."""

    def decided(self, verdict: Verdict) -> None:
        """Hear the verdict; comes exactly once."""
        ...

    def closed(self) -> None:
        """Hear that the connection is gone; comes exactly once, after the verdict."""
        ...

    def connected(self) -> None:
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
        timeouts: Timeouts,
        tls: Tls | None = None,
        unix_path: str | None = None,
        proxy: "Proxy | None" = None,
        source: FileSource | None = None,
    ) -> None:
        """Prepare a connection.

        Args:
            owner: who hears of it.
            dialog: the conversation to carry.
            host: the server's name or address.
            port: its port.
            timeouts: how long each step, and the whole, may take.
            tls: how to do TLS, if it comes to that.
            unix_path: the path of a unix socket to connect to, instead of host and port.
            proxy: the proxy to go through.
            source: the mail data, when the dialog's rendition has none.
        """
        self._owner = owner
        self._dialog = dialog
        self._host = host
        self._port = port
        self._timeouts = timeouts
        self._deadline = timeouts.deadline
        self._tls = tls
        self._unix_path = unix_path
        self._proxy = proxy
        self._source = source
        self._loop = event_loop().loop
        self._transport: Any = None  # asyncio.Transport; uvloop's is none by its class
        self._connecting: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None  # what takes its time
        self._is_upgrading = False
        self._pieces: Iterator[bytes] | None = None
        self._reading = False  # whether a piece of the source is being read
        self._held = b""  # the last piece so far, not yet written
        self._final = b""  # what ends the mail data
        self._body_begun = False
        self._dot_written = False
        self._written = 0  # octets of mail data
        self._taken = 0  # how many of them the operating system had taken when last looked at
        self._paused = False
        self._step = -1
        self._step_began = 0.0
        self._whole_due = 0.0
        self._farewell_due: float | None = None
        self._is_closed = False

    def open(self, source_address: SourceAddress | None = None, began: float | None = None) -> None:
        """Start the clock and connect.

        Args:
            source_address: the local address and port to connect from, or None.
            began: when the whole began, on the loop's clock. Default: now.
        """
        event_loop().watch(self)
        self._whole_due = (self._loop.time() if began is None else began) + self._deadline
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
        # Which address a proxy has connected to, nobody tells.
        is_known = is_literal(self._host) or self._proxy is not None
        address = self._host if is_known else self._address("peername")
        tls = self._transport.get_extra_info("ssl_object")
        if tls is None:
            return Peer(host=self._host, address=address, port=self._port)
        cipher = tls.cipher()
        return Peer(
            host=self._host,
            address=address,
            port=self._port,
            tls_version=tls.version(),
            tls_cipher=cipher[0] if cipher else None,
            tls_verified=self._tls is not None and self._tls.is_verified,
        )

    @property
    def local_address(self) -> str:
        """Our own address, or an empty string if it is not known."""
        return self._address("sockname")

    def _address(self, which: str) -> str:
        name = self._transport.get_extra_info(which)
        return str(cast("tuple[object, ...]", name)[0]) if isinstance(name, tuple) else ""

    async def _connect(self, source_address: SourceAddress | None) -> None:
        dial = None
        if self._proxy is not None:
            from .proxy import connect_through  # late: few have one

            limit = self._timeouts.stages[Stage.CONNECT]
            dial = functools.partial(
                connect_through, self._proxy, self._host, self._port, limit, source_address
            )
        try:
            await connect(
                lambda: self,
                self._host,
                self._port,
                source_address,
                tls=self._tls if self._tls is not None and self._tls.is_implicit else None,
                unix_path=self._unix_path,
                dial=dial,
            )
        except ssl.SSLError as error:
            self._connecting = None
            self._perform(self._dialog.fail(FailureKind.SECURITY, self._tls_failed(error)))
        except ConnectError as error:
            self._connecting = None
            self._perform(
                self._dialog.fail(
                    FailureKind.TIMEOUT if error.is_timeout else FailureKind.CONNECT,
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
            self._owner.connected()
            if self._tls is not None and self._tls.is_implicit:
                self._dialog.tls_is_up(
                    verified=self._tls.is_verified, binding=self._channel_binding()
                )
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
            # The number of an SSLError is OpenSSL's, not the system's.
            is_tls = isinstance(exc, ssl.SSLError)
            number = exc.errno if isinstance(exc, OSError) and not is_tls else None
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
        try:
            self._carry_out(actions)
        except Exception as error:
            self._break(error)

    def _carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, bytes):
                self._transport.write(action)
            elif isinstance(action, SendBody):
                self._begin_body(action)
            elif isinstance(action, Close):
                self._close(reset=action.reset)
            elif isinstance(action, StartTls):
                self._hold(self._start_tls())
            elif isinstance(action, RunCallable):
                self._hold(self._run_callable(action))
            else:
                self._owner.decided(action)

    def _close(self, *, reset: bool) -> None:
        transport = self._transport
        if transport is None:
            if self._connecting is not None:
                self._connecting.cancel()
            # Not at once: whoever asked may still be at work with this connection.
            self._loop.call_soon(self._finish)
            return
        if self._is_upgrading:
            # In a handshake the transport is not ours, and tells us nothing.
            transport.abort()
            if self._task is not None:
                self._task.cancel()
            self._loop.call_soon(self._finish)
            return
        if reset:
            with contextlib.suppress(OSError, AttributeError):
                transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, _RESET
                )
            # What the server has not read by now, it must not get any more.
            transport.abort()
        else:
            transport.close()

    def fail(self, error: BaseException) -> None:
        """End on a defect of the owner's: with a verdict, like everything."""
        self._break(error)

    def _break(self, error: BaseException) -> None:
        """End on a defect of ours: with an outcome, like everything."""
        _logger.error("defect in the connection to %s:%s", self._host, self._port, exc_info=error)
        detail = f"defect in pykka-smtp: {type(error).__name__}: {error}"
        try:
            self._carry_out(self._dialog.fail(FailureKind.INTERNAL, detail))
        except Exception:
            _logger.exception("and another while ending it")
            self._finish()

    def _finish(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._task is not None:
            self._task.cancel()
        event_loop().unwatch(self)
        self._owner.closed()

    def _hold(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run something of this connection's; asyncio itself keeps tasks only weakly."""
        self._task = self._loop.create_task(coroutine)

    # What takes its time.

    async def _start_tls(self) -> None:
        """Start TLS on the connection that stands (RFC 3207)."""
        tls = self._tls
        assert tls is not None
        self._is_upgrading = True
        try:
            transport = await self._loop.start_tls(
                self._transport, self, tls.context, server_hostname=tls.server_hostname
            )
        except ssl.SSLError as error:
            self._perform(self._dialog.fail(FailureKind.SECURITY, self._tls_failed(error)))
        except OSError as error:
            self._perform(
                self._dialog.connection_lost("read", error.errno, f"in the TLS handshake: {error}")
            )
        except Exception as error:
            self._break(error)
        else:
            self._transport = transport
            self._is_upgrading = False
            try:
                self._perform(
                    self._dialog.tls_started(
                        verified=tls.is_verified, binding=self._channel_binding()
                    )
                )
            except Exception as error:
                self._break(error)

    def _channel_binding(self) -> bytes | None:
        tls_object = self._transport.get_extra_info("ssl_object")
        if self._dialog.needs_channel_binding and tls_object is not None:
            from .scram import server_end_point

            return server_end_point(tls_object.getpeercert(binary_form=True) or b"")
        return None

    def _tls_failed(self, error: ssl.SSLError) -> str:
        if isinstance(error, ssl.SSLCertVerificationError):
            return (
                f"the certificate of {self._host}:{self._port} is not good:"
                f" {error.verify_message or error.reason}"
            )
        return f"no TLS with {self._host}:{self._port}: {error.reason or error}"

    async def _run_callable(self, action: RunCallable) -> None:
        """Call a function of the program's in a worker thread: it may block."""
        try:
            result = await event_loop().names.run(action.function)
        except Exception as error:
            # Not its text: it may have the secret in it.
            _logger.warning("the token callable raised %s", type(error).__name__)
            detail = f"the token callable raised {type(error).__name__}"
            self._perform(self._dialog.fail(FailureKind.LOCAL, detail))
            return
        try:
            self._perform(self._dialog.supply(result))
        except Exception as error:
            self._break(error)

    # The mail data.

    def _begin_body(self, action: SendBody) -> None:
        rendition = action.rendition
        self._body_begun = True
        self._final = b"" if action.is_chunk else b".\r\n"
        if self._source is not None:
            self._source.begin(
                transparent=not action.is_chunk, may_be_eight_bit=rendition.may_be_eight_bit
            )
        if rendition.data is not None:
            self._pieces = pieces_of(
                rendition.data, transparent=not action.is_chunk, binary=rendition.is_binary
            )
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
                self._hold(self._read_on())
            return
        while not self._paused and not self._dialog.is_over:
            if self._held and self._has_something_to_read():
                # First of all: it may be a refusal. To write on may break the connection, and
                # under TLS what was not read by then is lost.
                self._loop.call_soon(self._pump)
                return
            if self._transport.is_closing():
                return  # it broke: connection_lost() is on its way
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
        if self._transport.is_closing():
            return  # it broke: connection_lost() is on its way
        if not self._dialog.may_send_dot:
            return  # a part of an early reply is here; the rest of it decides
        if self._has_something_to_read():
            self._loop.call_soon(self._end_body)
            return
        transport = self._transport
        if transport.get_write_buffer_size():
            transport.set_write_buffer_limits(high=0)  # resume_writing() when all is out
            return
        last = self._held + self._final
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
            self._taken = self._written
            self._dialog.dot_sent()

    def _has_something_to_read(self) -> bool:
        try:
            number = self._transport.get_extra_info("socket").fileno()
            if _poll is None:
                return bool(select.select([number], [], [], 0)[0])
            _poll.register(number, select.POLLIN)
            try:
                return bool(_poll.poll(0))
            finally:
                _poll.unregister(number)
        except (OSError, ValueError, AttributeError):
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

    def look_at_clock(self, now: float) -> None:
        """See whether the server was too slow. Called every `TICK` seconds."""
        if self._is_closed:
            return
        try:
            self._look_at_clock(now)
        except Exception as error:
            self._break(error)

    def _look_at_clock(self, now: float) -> None:
        dialog = self._dialog
        if dialog.steps != self._step:
            self._step = dialog.steps
            self._step_began = now
            if dialog.verdict is not None and self._farewell_due is None:
                self._farewell_due = now + min(self._timeouts.stages[Stage.QUIT], _FAREWELL)
        if self._farewell_due is not None:
            if now >= self._farewell_due:
                self._drop()
        elif now >= self._whole_due:
            self._perform(dialog.time_out(self._deadline, whole=True))
        else:
            limit = self._timeouts.stages[dialog.stage]
            if now >= self._step_began + limit and not self._has_moved(now):
                self._perform(dialog.time_out(limit))

    def _drop(self) -> None:
        """Leave without a good-bye: the mail is decided, and the server says no more."""
        if self._dialog.is_over:
            if self._transport is not None:
                self._transport.abort()
        else:
            self._perform(self._dialog.time_out(_FAREWELL))

    def _has_moved(self, now: float) -> bool:
        """Whether the server takes the mail data, and fast enough."""
        if not self._body_begun:
            return False
        taken = self._written - self._transport.get_write_buffer_size()
        if taken - self._taken < MIN_DATA_RATE * (now - self._step_began):
            return False
        self._taken = taken
        self._step_began = now
        return True

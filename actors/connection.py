"""One connection: it carries dialogs, one after the other, and keeps their time.

Program → actor → dialog → wire: this is the wire. It performs the actions that a dialog asks for,
tells it what comes back, and knows no SMTP.
"""

import asyncio
import contextlib
import functools
import logging
import os
import socket
import ssl
import struct
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..signals.outcome import Peer
from ..smtp.dialog import Action, Close, Dialog, Release, RunCallable, SendBody, StartTls
from ..smtp.rest import Rest
from ..smtp.stage import Stage
from ..smtp.verdict import Accepted, Failed, FailureKind, Verdict
from .connect import ConnectError, connect, is_literal
from .event_loop import event_loop
from .mail_source import FileSource
from .tls import remember_session
from .wire import Wire

if TYPE_CHECKING:
    from .options import Options

_logger = logging.getLogger("pykka_smtp.actors")

_FAREWELL = 5.0
"""Seconds at most that a server may take over what follows the verdict, which is only QUIT."""
_CLOSING = 1.0
"""Seconds at most that closing may take once nothing is left to be said."""
_LAST_READS = 16
"""How often a broken connection is read from, for what the server said before it broke."""
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER, on, 0 seconds: close() sends RST


@functools.lru_cache(maxsize=64)  # most sends have the same few servers
def _plain_peer(host: str, address: str, port: int) -> Peer:
    return Peer(host=host, address=address, port=port)


class Owner(Protocol):
    """Who uses a connection: an actor, for as long as a dialog lasts; or who keeps it."""

    def connected(self) -> None:
        """Hear that the connection stands; comes before the first dialog begins."""
        ...

    def decided(self, verdict: Verdict) -> None:
        """Hear the verdict; comes exactly once for each dialog."""
        ...

    def released(self) -> None:
        """Hear that the dialog is over and the connection may serve another."""
        ...

    def closed(self) -> None:
        """Hear that the connection is gone; comes exactly once, after the verdict."""
        ...


class Connection(Wire):
    """Connects to a server and carries dialogs. Lives on the loop thread.

    Call `run`. Everything else follows, and ends in `Owner.closed`, or in `Owner.released`: then
    the connection can be given to another owner by `run`, or to a keeper by `rest`.

    Attributes:
        served: how many dialogs it has carried before this one.
    """

    def __init__(self, options: "Options") -> None:
        """Prepare a connection.

        Args:
            options: where to connect to and how: server, port, unix_path, proxy, source_address,
                tls, timeouts.
        """
        super().__init__()
        self.served = 0
        self._options = options
        self._loop = event_loop().loop
        self._owner: Owner = cast("Owner", None)
        self._dialog: Dialog = cast("Dialog", None)
        self._connecting: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None  # what takes its time
        self._is_upgrading = False
        self._peer: Peer | None = None
        self._step = -1
        self._step_began = 0.0
        self._whole_due = 0.0
        self._farewell_due: float | None = None
        self._is_closed = False

    def run(
        self,
        owner: Owner,
        dialog: Dialog,
        *,
        source: FileSource | None = None,
        began: float | None = None,
    ) -> None:
        """Start the clock, connect if need be, and carry a dialog.

        Args:
            owner: who hears of it.
            dialog: the conversation to carry.
            source: the mail data, when the dialog's rendition has none.
            began: when the whole began, on the loop's clock. Default: now.
        """
        self._owner = owner
        self._dialog = dialog
        self._source = source
        began = self._loop.time() if began is None else began
        self._whole_due = began + self._options.timeouts.deadline
        event_loop().watch(self)
        if self._transport is None:
            self._connecting = self._loop.create_task(self._connect())
            return
        self.served += 1
        self._writer = None
        self._written = self._taken = 0
        self._step = -1
        try:
            self._carry_out(dialog.resumed())
        except Exception as error:
            self._break(error)

    def rest(self, keeper: Owner) -> None:
        """Have somebody else keep the connection until it is used again: who hears if it closes.

        Args:
            keeper: who keeps it.
        """
        self._owner = keeper
        self._dialog = cast("Dialog", Rest(self._dialog.quirks))

    @property
    def is_usable(self) -> bool:
        """Whether a connection that was released still stands, and the server says nothing."""
        return not (self._is_closed or self._transport.is_closing() or self.has_something_to_read())

    def cancel(self) -> None:
        """Give up at once, whatever is under way."""
        self.perform(self._dialog.cancel())

    def discard(self) -> None:
        """Close a connection that is not used again; what the server said meanwhile is heard."""
        if not (self._is_closed or self._transport.is_closing()):
            self._read_last_words()
        self.cancel()

    def abandon(self) -> None:
        """Let go of the socket in a forked child, which must not keep the parent's open."""
        with contextlib.suppress(OSError, AttributeError):
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, self._transport.get_extra_info("socket").fileno())
            os.close(null)

    @property
    def peer(self) -> Peer | None:
        """The server, or None while there is no connection."""
        if self._peer is None and self._transport is not None:
            self._peer = self._look_at_peer()
        return self._peer

    def _look_at_peer(self) -> Peer:
        options, tls = self._options, self._transport.get_extra_info("ssl_object")
        # Which address a proxy has connected to, nobody tells.
        is_known = options.proxy is not None or is_literal(options.server)
        address = options.server if is_known else self._address("peername")
        if tls is None:
            return _plain_peer(options.server, address, options.port)
        cipher = tls.cipher()
        remember_session(tls)
        return Peer(
            host=options.server,
            address=address,
            port=options.port,
            tls_version=tls.version(),
            tls_cipher=cipher[0] if cipher else None,
            tls_verified=options.tls is not None and options.tls.is_verified,
        )

    @property
    def local_address(self) -> str:
        """Our own address, or an empty string if it is not known."""
        return self._address("sockname")

    def _address(self, which: str) -> str:
        name = self._transport.get_extra_info(which)
        return str(cast("tuple[object, ...]", name)[0]) if isinstance(name, tuple) else ""

    async def _connect(self) -> None:
        options, dial = self._options, None
        if options.proxy is not None:
            from .proxy import connect_through  # late: few have one

            dial = functools.partial(
                connect_through,
                options.proxy,
                options.server,
                options.port,
                options.timeouts.stages[Stage.CONNECT],
                options.source_address,
            )
        try:
            await connect(
                lambda: self,
                options.server,
                options.port,
                options.source_address,
                tls=options.tls if options.tls is not None and options.tls.is_implicit else None,
                unix_path=options.unix_path,
                dial=dial,
            )
        except ssl.SSLError as error:
            self._connecting = None
            self.perform(self._dialog.fail(FailureKind.SECURITY, self._tls_failed(error)))
        except ConnectError as error:
            self._connecting = None
            self.perform(
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
            tls = self._options.tls
            if tls is not None and tls.is_implicit:
                self._dialog.tls_is_up(verified=tls.is_verified, binding=self._channel_binding())
            self._carry_out(self._dialog.connected())
        except Exception as error:
            self._break(error)

    def data_received(self, data: bytes) -> None:
        """Let the dialog judge what the server said."""
        try:
            self._carry_out(self._dialog.receive_data(data))
        except Exception as error:
            self._break(error)

    def eof_received(self) -> None:
        """Tell the dialog that nothing more will come."""
        self.perform(self._dialog.receive_eof())

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the dialog, after all that the server said before."""
        if not self._dialog.is_over:
            if exc is not None:
                self._read_last_words()
            # The number of an SSLError is OpenSSL's, not the system's.
            is_tls = isinstance(exc, ssl.SSLError)
            number = exc.errno if isinstance(exc, OSError) and not is_tls else None
            reason = os.strerror(number) if number else str(exc or "closed")
            self.perform(self._dialog.connection_lost("read", number, reason))
        self._finish()

    # What the dialog asks for.

    def perform(self, actions: list[Action]) -> None:
        """Do what the dialog asks for; a defect of ours ends it."""
        try:
            self._carry_out(actions)
        except Exception as error:
            self._break(error)

    def _carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, bytes):
                self.write_commands(action)
            elif isinstance(action, SendBody):
                self.begin_body(action)
            elif isinstance(action, Accepted | Failed):
                self._owner.decided(action)
            elif isinstance(action, Release):
                self._release()
            elif isinstance(action, Close):
                self._close(reset=action.reset)
            elif isinstance(action, StartTls):
                self.hold(self._start_tls())
            else:
                self.hold(self._run_callable(action))

    def _release(self) -> None:
        event_loop().unwatch(self)
        self._source = self._farewell_due = None
        self._owner.released()

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
            if self._farewell_due is None:
                # With TLS it takes both sides to close (RFC 8446 §6.1), and the server may not
                # care to. Nobody else looks at the time of a connection that rests.
                self._farewell_due = self._loop.time() + _CLOSING
                event_loop().watch(self)
            self.flush()
            transport.close()

    def fail(self, error: BaseException) -> None:
        """End on a defect of the owner's: with a verdict, like everything."""
        self._break(error)

    def _break(self, error: BaseException) -> None:
        """End on a defect of ours: with an outcome, like everything."""
        _logger.error("defect in the connection to %s", self._options.name, exc_info=error)
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

    def hold(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run something of this connection's; asyncio itself keeps tasks only weakly."""
        self._task = self._loop.create_task(coroutine)

    # What takes its time.

    async def _start_tls(self) -> None:
        """Start TLS on the connection that stands (RFC 3207)."""
        tls = self._options.tls
        assert tls is not None
        if self._dialog.is_over or self._transport.is_closing():
            return  # it broke before this task had its turn; whoever saw that ends it
        self._is_upgrading = True
        limit = self._options.timeouts.stages[Stage.STARTTLS]
        try:
            transport = await self._loop.start_tls(
                self._transport,
                self,
                tls.context,
                server_hostname=tls.server_hostname,
                # Ours is the limit that counts; the loop's own, of a minute, may be shorter.
                ssl_handshake_timeout=limit + 1.0,
            )
        except ssl.SSLError as error:
            self.perform(self._dialog.fail(FailureKind.SECURITY, self._tls_failed(error)))
        except OSError as error:
            self.perform(
                self._dialog.connection_lost("read", error.errno, f"in the TLS handshake: {error}")
            )
        except Exception as error:
            self._break(error)
        else:
            self._transport = transport
            self._is_upgrading = False
            self._peer = self._poll = None
            try:
                self._carry_out(
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
                f"the certificate of {self._options.name} is not good:"
                f" {error.verify_message or error.reason}"
            )
        return f"no TLS with {self._options.name}: {error.reason or error}"

    async def _run_callable(self, action: RunCallable) -> None:
        """Call a function of the program's in a worker thread: it may block."""
        try:
            result = await event_loop().names.run(action.function)
        except Exception as error:
            # Not its text: it may have the secret in it.
            _logger.warning("the token callable raised %s", type(error).__name__)
            detail = f"the token callable raised {type(error).__name__}"
            self.perform(self._dialog.fail(FailureKind.LOCAL, detail))
            return
        try:
            self._carry_out(self._dialog.supply(result))
        except Exception as error:
            self._break(error)

    def unreadable(self, detail: str) -> None:
        """Give the mail up: its source can't be read."""
        self.perform(self._dialog.fail(FailureKind.LOCAL, detail))

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
                self._farewell_due = now + min(self._options.timeouts.stages[Stage.QUIT], _FAREWELL)
        if self._farewell_due is not None:
            if now >= self._farewell_due:
                self._drop()
        elif now >= self._whole_due:
            self.perform(dialog.time_out(self._options.timeouts.deadline, whole=True))
        else:
            limit = self._options.timeouts.stages[dialog.stage]
            if now < self._step_began + limit:
                return
            if self.has_moved(self._step_began, now):
                self._step_began = now
            else:
                self.perform(dialog.time_out(limit))

    def _drop(self) -> None:
        """Leave without a good-bye: the mail is decided, and the server says no more."""
        if self._dialog.is_over:
            if self._transport is not None:
                self._transport.abort()
        else:
            self.perform(self._dialog.time_out(_FAREWELL))

"""One connection: it carries dialogs, one after the other, and keeps their time.

Program → actor → dialog → wire: this is the wire. It performs the actions that a dialog asks for,
tells it what comes back, and knows no SMTP.
"""

import asyncio
import contextlib
import dataclasses
import functools
import logging
import os
import socket
import struct
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from ...signals.outcome import Peer
from ...smtp.session.dialog import Dialog
from ...smtp.session.rest import Rest
from ...smtp.session.step import Action, Close, Release, RunCallable, SendMailData, StartTls
from ...smtp.words.stage import Stage
from ...smtp.words.verdict import Accepted, Failed, FailureKind, Verdict
from ..loop import guard
from ..loop.event_loop import event_loop
from .connect import Address, ConnectError, Reached, connect, is_literal
from .connection_limit import Permit
from .mail_source import FileSource
from .timed_wire import TimedWire

if TYPE_CHECKING:
    from .target import Target

_logger = logging.getLogger("pykka_smtp.actors")

_CLOSING = 1.0
"""Seconds at most that closing may take once nothing is left to be said."""
_MOST_TRIED = 5
"""Addresses of a server's at which one send is tried: each may take the time of a whole step."""
_IN_HANDSHAKE = "in the TLS handshake: "
_CLOSED = "the server closed the connection"
_VERDICTS = (Accepted, Failed)
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
        """Hear that the connection is gone; comes after the verdict, once unless it raises."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """Which addresses of a server's a connection is to be made to.

    Attributes:
        addresses: those to be tried, in order; empty for all that its name has.
        tried: those where others have been, and in vain.
    """

    addresses: Sequence[Address] = ()
    tried: tuple[str, ...] = ()


_ANY = Route()


class Connection(TimedWire):
    """Connects to a server and carries dialogs. Lives on the loop thread.

    Call `run`. Everything else follows, and ends in `Owner.closed`, or in `Owner.released`: then
    the connection can be given to another owner by `run`, or to a keeper by `rest`.

    Attributes:
        served: how many dialogs it has carried before this one.
        permit: the right to be open, which goes with the connection; None if it has gone on.
        tried: the addresses of the server's where others have been, and in vain.
    """

    # At first, once for all connections: many carry one mail.
    served = 0
    permit: Permit | None = None
    _reached_at: Address | None = None
    _owner: Owner = cast("Owner", None)
    _dialog: Dialog = cast("Dialog", None)
    _connecting: asyncio.Task[None] | None = None
    _task: asyncio.Task[None] | None = None  # what takes its time
    _address: str | None = None  # the server's, as it was when the connection was made
    _peer: Peer | None = None
    _is_closed = False
    _is_finished = False  # and all who have to know do
    _is_leaving = False  # TLS's farewell is said, and the server's is waited for

    def __init__(self, options: "Target", route: Route = _ANY) -> None:
        """Prepare a connection.

        Args:
            options: where to connect to and how: server, port, unix_path, proxy, source_address,
                tls, timeouts.
            route: to which of the server's addresses. Default: to any.
        """
        super().__init__()
        self._is_closed = False
        self.tried = route.tried
        self._addresses = route.addresses
        self._options = options
        self._loop = event_loop().loop

    def run(
        self,
        owner: Owner,
        dialog: Dialog,
        *,
        source: FileSource | None = None,
        began: float | None = None,
    ) -> None:
        """Start the clock, connect if need be, and carry a dialog.

        A connection that has carried one before has to be seen to be usable right before it.

        Args:
            owner: who hears of it.
            dialog: the conversation to carry.
            source: the mail data, when the dialog's rendition has none.
            began: when the whole began, on the loop's clock. Default: now.
        """
        self._owner = owner
        self._dialog = dialog
        self._source = source
        self.start_clock(self._loop.time(), began)
        event_loop().watch(self)
        if self._transport is None:
            self._connecting = self._loop.create_task(guard.run(self, self._connect))
            return
        self.served += 1
        self._writer = self._last = None
        self._written = self._taken = 0
        self._has_looked = True  # `is_usable` has
        self.perform(dialog.resumed())
        self._has_looked = False

    def rest(self, keeper: Owner) -> None:
        """Have somebody else keep the connection until it is used again: who hears if it closes.

        Args:
            keeper: who keeps it.
        """
        self._owner = keeper
        self._dialog = cast("Dialog", Rest(self._dialog.quirks))

    @property
    def is_gone(self) -> bool:
        """Whether the connection is closed."""
        return self._is_closed

    @property
    def is_usable(self) -> bool:
        """Whether a connection that was released still stands, and the server says nothing."""
        if self._is_closed or self._transport.is_closing() or self.has_something_to_read():
            return False
        return self._tls is None or not (self._tls.has_part or self._tls.is_closed)

    def elsewhere(self) -> Route | None:
        """Return the route to the next address of the server's, if there is one to be tried.

        RFC 5321 §5.1: a client tries the addresses in order until a delivery attempt succeeds.
        """
        if not self._addresses or self._address is None or self._loop.time() >= self._whole_due:
            return None
        tried = (*self.tried, self._address)
        if len(tried) >= _MOST_TRIED:
            return None
        return Route(self._addresses, tried)

    def again(self) -> Route:
        """Return the route to the same address."""
        addresses = () if self._reached_at is None else (self._reached_at,)
        return Route(addresses, self.tried)

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
    def address(self) -> str:
        """The server's address, or an empty string if it is not known."""
        return self._address or ""

    @property
    def peer(self) -> Peer | None:
        """The server, or None if there never was a connection."""
        if self._peer is None and self._address is not None:
            self._peer = self._describe_peer(self._address)
        return self._peer

    def _describe_peer(self, address: str) -> Peer:
        options, tls = self._options, self._tls
        if tls is None or not tls.is_up:
            return _plain_peer(options.server, address, options.port)
        return Peer(
            host=options.server,
            address=address,
            port=options.port,
            tls_version=tls.version,
            tls_cipher=tls.cipher,
            tls_verified=options.tls is not None and options.tls.is_verified,
        )

    @property
    def local_address(self) -> str:
        """Our own address, or an empty string if it is not known."""
        return self._name_of("sockname")

    def _name_of(self, which: str) -> str:
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
                self._reached,
                options.server,
                options.port,
                options.source_address,
                addresses=self._addresses,
                unix_path=options.unix_path,
                dial=dial,
            )
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
        else:
            self._connecting = None

    def _reached(self, reached: Reached) -> "Connection":
        self._reached_at, self._addresses = reached.here, reached.left
        return self

    # What the transport calls.

    @guard.guarded
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin TLS, or the dialog."""
        self._transport = transport
        if self._dialog.is_over:  # given up while the connection was being made
            self._transport.abort()
            return
        # Which address a proxy has connected to, nobody tells.
        is_known = self._options.proxy is not None or is_literal(self._options.server)
        self._address = self._options.server if is_known else self._name_of("peername")
        self._owner.connected()
        if self._options.tls is not None and self._options.tls.is_implicit:
            self.start_tls()
        else:
            self._carry_out(self._dialog.connected())

    def data_received(self, data: bytes) -> None:
        """Let the dialog judge what the server said."""
        # Guarded by hand, as `perform` is: these two are called for each thing that a server says.
        try:
            if self._tls is None:
                self._carry_out(self._dialog.receive_data(data))
            else:
                self.receive_tls(data)
        except BaseException as error:
            guard.end(self, error)

    @guard.guarded
    def eof_received(self) -> None:
        """Tell the dialog that nothing more will come."""
        if self.is_shaking_hands:
            self.perform(self._dialog.connection_lost("read", None, _IN_HANDSHAKE + _CLOSED))
        else:
            self.said_farewell()

    def said_farewell(self) -> None:
        """Tell the dialog that the server says no more."""
        if self._is_leaving:
            self._transport.close()
        else:
            self.perform(self._dialog.receive_eof())

    @guard.guarded
    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the dialog, after all that the server said before."""
        if exc is not None:
            self._read_last_words()
        if not self._dialog.is_over:
            number = exc.errno if isinstance(exc, OSError) else None
            reason = os.strerror(number) if number else str(exc or "closed")
            if self.is_shaking_hands:
                reason = _IN_HANDSHAKE + reason
            self.perform(self._dialog.connection_lost("read", number, reason))
        self._finish()

    # What the dialog asks for.

    def perform(self, actions: list[Action]) -> None:
        """Do what the dialog asks for; an error of ours ends it."""
        try:
            self._carry_out(actions)
        except BaseException as error:
            guard.end(self, error)

    def _carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, bytes):
                self.write_commands(action)
            elif isinstance(action, SendMailData):
                self.begin_body(action)
            elif isinstance(action, _VERDICTS):
                self._owner.decided(action)
            elif isinstance(action, Release):
                self._release()
            elif isinstance(action, Close):
                self._close(reset=action.reset)
            elif isinstance(action, StartTls):
                self.start_tls()
            else:
                self.hold(self._run_callable, action)

    def _release(self) -> None:
        event_loop().unwatch(self)
        self._source = self._farewell_due = None
        if self._tls is not None:
            self.note_session()
        self._owner.released()

    def _close(self, *, reset: bool) -> None:
        if self._is_closed:
            return
        transport = self._transport
        if transport is None:
            if self._connecting is not None:
                self._connecting.cancel()
            # Not at once: whoever asked may still be at work with this connection.
            self._loop.call_soon(guard.call, self, self._finish)
            return
        self.note_session()
        if reset:
            self._abort()  # what the server has not read by now, it must not get any more
        else:
            if self._farewell_due is None:
                # Nobody else looks at the time of a connection that rests.
                self._farewell_due = self._loop.time() + _CLOSING
                event_loop().watch(self)
            self.flush()
            if self._tls is not None and not transport.is_closing():
                transport.write(self._tls.close())
                if not self._tls.is_closed:
                    # It takes both sides to close (RFC 8446 §6.1). A server that has not heard
                    # ours when the connection is gone complains; one may not care to say its own.
                    self._is_leaving = True
                    self._farewell_due = min(self._farewell_due, self._loop.time() + _CLOSING)
                    return
            transport.close()

    def crashed(self, error: BaseException) -> None:
        """End on an error of ours: with an outcome, like everything. See `guard.Guarded`.

        The outcome is what the dialog knows: a verdict that is there counts.
        """
        guard.each(lambda: self._decide_in_spite_of(error), self._abort, self._finish)

    def _decide_in_spite_of(self, error: BaseException) -> None:
        dialog = self._dialog
        if dialog is None or self._is_finished:  # pyright: ignore[reportUnnecessaryComparison]
            return
        if not dialog.is_over:
            if self._dot_written and self._is_all_out:
                dialog.dot_sent()  # it was about to be told so
            detail = f"internal error in pykka-smtp: {type(error).__name__}: {error}"
            dialog.fail(FailureKind.INTERNAL, detail)
        if dialog.verdict is not None:
            self._owner.decided(dialog.verdict)

    def _abort(self) -> None:
        """Close the socket: the server must not take what it has for a complete mail."""
        transport, connecting = self._transport, self._connecting
        if transport is None:
            if connecting is not None and connecting is not asyncio.current_task():
                connecting.cancel()
        else:
            with contextlib.suppress(OSError, AttributeError):
                transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, _RESET
                )
            transport.abort()

    def _finish(self) -> None:
        """Let go of everything. If it breaks, it goes on the second time."""
        if self._is_finished:
            return
        self._is_closed = True
        if self._task is not None:
            self._task.cancel()
        event_loop().unwatch(self)
        owner, permit = self._owner, self.permit
        if owner is not None:  # pyright: ignore[reportUnnecessaryComparison] - not before `run`
            owner.closed()
            permit = self.permit
        if permit is not None:
            permit.release()
        self._is_finished = True

    def hold(self, function: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
        """Run something of this connection's; asyncio itself keeps tasks only weakly."""
        self._task = self._loop.create_task(guard.run(self, function, *args))

    # What takes its time.

    async def _run_callable(self, action: RunCallable) -> None:
        """Call a function of the program's in a worker thread: it may block."""
        try:
            result = await event_loop().tokens.run(action.function)
        except Exception as error:
            # Not its text: it may have the secret in it.
            _logger.warning("the token callable raised %s", type(error).__name__)
            detail = f"the token callable raised {type(error).__name__}"
            self.perform(self._dialog.fail(FailureKind.LOCAL, detail))
            return
        self._carry_out(self._dialog.supply(result))

    def unreadable(self, detail: str) -> None:
        """Give the mail up: its source can't be read."""
        self.perform(self._dialog.fail(FailureKind.LOCAL, detail))


def name_addresses(failed: Failed, connection: Connection) -> Failed:
    """Say in a failure which addresses of the server's were tried before, if others were.

    Args:
        failed: what became of the last attempt.
        connection: that attempt's.
    """
    if not connection.tried or connection.served:  # by now this address has taken mails
        return failed
    before = ", ".join(connection.tried)
    return dataclasses.replace(failed, detail=f"{failed.detail} (tried before: {before})")

"""One connection: it carries dialogs, one after the other, and keeps their time.

Program → actor → dialog → wire: this is the wire. It performs the actions that a dialog asks for,
tells it what comes back, and knows no SMTP.

Each class that it is built on knows one thing: `ConnectionWriter` what is written and when,
`TlsWire` TLS, `TimedWire` the time, `ConnectingWire` the server's addresses, `ClosingWire` the end.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from ...smtp.session.dialog import Dialog
from ...smtp.session.idle_dialog import IdleDialog
from ...smtp.session.step import Action, Close, Release, RunCallable, SendMailData, StartTls
from ...smtp.words.verdict import Accepted, Failed, FailureKind
from ..loop import guard
from ..loop.event_loop import event_loop
from .addresses import is_literal
from .closing_wire import ClosingWire
from .mail_source import FileSource
from .owner import Owner
from .route import ANY, Route

if TYPE_CHECKING:
    from .target import Target

_logger = logging.getLogger("pykka_smtp.actors")

_IN_HANDSHAKE = "in the TLS handshake: "
_CLOSED = "the server closed the connection"
_VERDICTS = (Accepted, Failed)


class Connection(ClosingWire):
    """Connects to a server and carries dialogs. Lives on the loop thread.

    Call `run`. Everything else follows, and ends in `Owner.closed`, or in `Owner.released`: then
    the connection can be given to another owner by `run`, or to a keeper by `rest`.

    Attributes:
        served: how many dialogs it has carried before this one.
        permit: the right to be open, which goes with the connection; None if it has gone on.
        tried: the addresses of the server's where others have been, and in vain.
    """

    _dialog: Dialog = cast("Dialog", None)  # at first, once for all connections

    def __init__(self, options: "Target", route: Route = ANY) -> None:
        """Prepare a connection.

        Args:
            options: where to connect to and how: server, port, unix_path, proxy, source_address,
                tls, timeouts.
            route: to which of the server's addresses. Default: to any.
        """
        super().__init__()
        self._is_closed = False
        self.tried: tuple[str, ...] = route.tried
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

        A connection that has carried one before has to be seen to be reusable right before it.

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
        event_loop().add_ticking(self)
        if self._transport is None:
            self._connecting = self._loop.create_task(guard.run(self, self._connect))
            return
        self.served += 1
        self._writer = self._last = None
        self._written = self._flushed = 0
        self.perform(dialog.start_next())
        self._has_looked = False

    def rest(self, keeper: Owner) -> None:
        """Have somebody else keep the connection until it is used again: who hears if it closes.

        Args:
            keeper: who keeps it.
        """
        self._owner = keeper
        self._dialog = cast("Dialog", IdleDialog(self._dialog.quirks))

    @property
    def is_reusable(self) -> bool:
        """Whether a connection that was released is still open, and nothing is there to read."""
        return self.is_still_open and not self.has_something_to_read()

    def look(self) -> bool:
        """Return `is_reusable`; `run` comes next, before anything else has a turn."""
        self._has_looked = is_reusable = self.is_reusable
        return is_reusable

    @property
    def is_still_open(self) -> bool:
        """Whether a connection that was released is open as far as is known.

        That is enough in the callback in which it was released: all input has just been read.
        """
        if self._is_closed or self._transport.is_closing():
            return False
        return self._tls is None or not (self._tls.has_part or self._tls.is_closed)

    def cancel(self) -> None:
        """Give up at once, whatever is under way."""
        self.perform(self._dialog.cancel())

    def discard(self) -> None:
        """Close a connection that is not used again; what the server said meanwhile is heard."""
        if not (self._is_closed or self._transport.is_closing()):
            self._read_pending_replies()
        self.cancel()

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

    @guard.guarded
    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the dialog, after all that the server said before."""
        if exc is not None:
            self._read_pending_replies()
        if not self._dialog.is_over:
            number = exc.errno if isinstance(exc, OSError) else None
            reason = os.strerror(number) if number else str(exc or "closed")
            if self.is_shaking_hands:
                reason = _IN_HANDSHAKE + reason
            self.perform(self._dialog.connection_lost("read", number, reason))
        self._finish()

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
                self.spawn(self._run_callable, action)

    def _release(self) -> None:
        event_loop().remove_ticking(self)
        self._source = self._close_at = None
        if self._tls is not None:
            self.note_session()
        self._owner.released()

    def spawn(self, function: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
        """Run something of this connection's; asyncio itself keeps tasks only weakly."""
        self._task = self._loop.create_task(guard.run(self, function, *args))

    async def _run_callable(self, action: RunCallable) -> None:
        """Call a function of the program's in a worker thread: it may block."""
        try:
            result = await event_loop().token_pool.run(action.function)
        except Exception as error:
            # Not its text: it may have the secret in it.
            _logger.warning("the token callable raised %s", type(error).__name__)
            detail = f"the token callable raised {type(error).__name__}"
            self.perform(self._dialog.fail(FailureKind.LOCAL, detail))
            return
        self._carry_out(self._dialog.callable_returned(result))

    def source_failed(self, detail: str) -> None:
        """Give the mail up: its source can't be read."""
        self.perform(self._dialog.fail(FailureKind.LOCAL, detail))

"""One connection: it runs dialogs, one after the other, and enforces their timeouts.

Program → actor → dialog → connection. A connection performs the actions that a dialog returns,
passes it the bytes received, and knows no SMTP.

Each of its base classes does one thing: `ConnectionWriter` writes, `TlsWire` does TLS, `TimedWire`
checks timeouts, `ConnectingWire` connects, `ClosingWire` closes.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from ....smtp.session.dialog.dialog import Dialog
from ....smtp.session.dialog.idle_dialog import IdleDialog
from ....smtp.session.step import (
    Action,
    Close,
    CommandGroup,
    Release,
    RunCallable,
    SendMailData,
    StartTls,
)
from ....smtp.words.stage import Stage
from ....smtp.words.verdict import Accepted, Failed, FailureKind
from ...loop import guard
from ...loop.event_loop import event_loop
from ..connecting.addresses import is_literal
from ..connecting.route import ANY, Route
from ..data.mail_source import FileSource
from .closing_wire import ClosingWire
from .owner import Owner

if TYPE_CHECKING:
    from ..target import Target

_logger = logging.getLogger("pykka_smtp.actors")

_IN_HANDSHAKE = "in the TLS handshake: "
_CLOSED = "the server closed the connection"

_READ_SIZE = 16 * 1024
"""The most that one read takes from a socket, in bytes."""


class Connection(ClosingWire):
    """Connects to a server and runs dialogs. For use on the loop thread only.

    Call `run`. The connection then calls its `Owner`, last `Owner.closed` or `Owner.released`.
    After `released` the connection is idle: `run` gives it to another owner with a dialog,
    `set_idle` to one without.

    Attributes:
        served: how many dialogs it has run before this one.
        permit: the permit to be open, released with the connection; None if another has it.
        tried: addresses of the server at which earlier connections of this send failed.
    """

    served: int = 0
    _dialog: Dialog = cast("Dialog", None)  # until `run`

    def __init__(self, options: "Target", route: Route = ANY) -> None:
        """Store the arguments; `run` connects.

        Args:
            options: where to connect to and how: server, port, unix_path, proxy, source_address,
                tls, timeouts.
            route: which of the server's addresses to try. Default: all.
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
        """Start the deadline, connect if necessary, and run a dialog.

        Check `is_reusable` right before, if the connection has run another dialog.

        Args:
            owner: receives the callbacks.
            dialog: the dialog to run.
            source: the mail data, if the dialog's rendition has none.
            began: when the attempt began, on the loop's clock. Default: now.
        """
        self._owner = owner
        self._dialog = dialog
        self._source = source
        now = self._loop.time()
        self._whole_due = (now if began is None else began) + self._options.timeouts.deadline
        self._looked, self._step = now, -1
        if not self._is_ticking:
            event_loop().add_ticking(self)
            self._is_ticking = True
        if self._transport is None:
            self._connecting = self._loop.create_task(guard.run(self, self._connect))
            return
        self.served += 1
        self._writer = self._last = None
        self._written = self._flushed = 0
        try:
            self._carry_out(dialog.start_next())
        except BaseException as error:
            guard.end(self, error)
        self._has_looked = False

    def set_idle(self, owner: Owner) -> None:
        """Make the connection idle, until `run` is called again.

        Args:
            owner: its owner meanwhile, which is called if it closes.
        """
        event_loop().remove_ticking(self)
        self._is_ticking = False
        self._owner = owner
        self._dialog = cast("Dialog", IdleDialog(self._dialog.quirks))

    @property
    def is_connected(self) -> bool:
        """Whether it has been connected, so that the next dialog begins at once."""
        return self._transport is not None

    @property
    def is_reusable(self) -> bool:
        """Whether a released connection is still open, without an unsolicited reply to read."""
        return self.is_still_open and not self.has_something_to_read()

    def look(self) -> bool:
        """Return `is_reusable`. Call `run` right after it, in the same callback."""
        self._has_looked = is_reusable = self.is_reusable
        return is_reusable

    @property
    def is_still_open(self) -> bool:
        """Whether a released connection is still open, as far as is known.

        Enough in the callback that released it, because all input has just been read.
        """
        if self._is_closed or self._transport.is_closing():
            return False
        return self._tls is None or not (self._tls.has_part or self._tls.is_closed)

    @property
    def progress(self) -> tuple[Stage, int]:
        """How far the dialog has come, and the octets of mail data that have left this process."""
        waits = 0 if self._transport is None else self._transport.get_write_buffer_size()
        return self._dialog.stage, max(0, self._written - waits)

    def cancel(self) -> None:
        """Cancel the dialog at once, in whatever state."""
        self.perform(self._dialog.cancel())

    def discard(self) -> None:
        """Close an idle connection, after reading what the server has sent meanwhile."""
        if not (self._is_closed or self._transport.is_closing()):
            self._read_pending_replies()
        self.cancel()

    @guard.guarded
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called when connected: start TLS, or the dialog."""
        self._transport = transport
        if hasattr(transport, "max_size"):
            # Each read of the standard loop allocates as much, by default 256 KiB: too much for
            # malloc's own memory, so each would cost two system calls. Replies are short.
            transport.max_size = _READ_SIZE  # pyright: ignore[reportAttributeAccessIssue]
        if self._dialog.is_over:  # cancelled while connecting
            self._transport.abort()
            return
        # A proxy does not report the address that it has connected to.
        is_known = self._options.proxy is not None or is_literal(self._options.server)
        self._address = self._options.server if is_known else self._name_of("peername")
        self._owner.connected()
        if self._options.tls is not None and self._options.tls.is_implicit:
            self.start_tls()
        else:
            self._carry_out(self._dialog.connected())

    def data_received(self, data: bytes) -> None:
        """Called with bytes from the server: pass them to TLS or to the dialog."""
        # Not decorated with `guarded`, like `perform`: both are called for each reply, and the
        # decorator costs another call.
        try:
            if self._tls is None:
                self._carry_out(self._dialog.receive_data(data))
            else:
                self.receive_tls(data)
        except BaseException as error:
            guard.end(self, error)

    @guard.guarded
    def eof_received(self) -> None:
        """Called when the server has closed its side."""
        if self.is_shaking_hands:
            self.perform(self._dialog.connection_lost("read", None, _IN_HANDSHAKE + _CLOSED))
        else:
            self.end_of_input()

    @guard.guarded
    def connection_lost(self, exc: Exception | None) -> None:
        """Called when the socket is closed: pass pending replies, then the loss, to the dialog."""
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
        """Perform the actions that the dialog returned. An internal error ends the connection."""
        try:
            self._carry_out(actions)
        except BaseException as error:
            guard.end(self, error)

    def _carry_out(self, actions: list[Action]) -> None:
        action: Any  # its type is known by `kind`: none has subclasses
        for one in actions:
            kind, action = type(one), one
            if kind is bytes:
                self.write_commands(action)
            elif kind is SendMailData:
                self.begin_body(action)
            elif kind is Accepted or kind is Failed:
                self._owner.decided(action)
            elif kind is Release:
                self._release()
            elif kind is Close:
                self._close(reset=action.reset)
            elif kind is StartTls:
                self.start_tls()
            elif kind is CommandGroup:
                self.write_held(action)
            else:
                self.spawn(self._run_callable, action)

    def _release(self) -> None:
        self._source = self._close_at = None
        if self._tls is not None:
            self.note_session()
        self._owner.released()

    def spawn(self, function: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
        """Run a coroutine as a task of this connection; asyncio keeps weak references only."""
        self._task = self._loop.create_task(guard.run(self, function, *args))

    async def _run_callable(self, action: RunCallable) -> None:
        """Call the program's token callable in a worker thread, because it may block."""
        try:
            result = await event_loop().token_pool.run(action.function)
        except Exception as error:
            # Without the exception's text, which may contain the secret.
            _logger.warning("the token callable raised %s", type(error).__name__)
            detail = f"the token callable raised {type(error).__name__}"
            self.perform(self._dialog.fail(FailureKind.LOCAL, detail))
            return
        self._carry_out(self._dialog.callable_returned(result))

    def source_failed(self, detail: str) -> None:
        """Fail the dialog, because the source of the email can't be read."""
        self.perform(self._dialog.fail(FailureKind.LOCAL, detail))

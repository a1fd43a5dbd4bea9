"""How a connection ends: in order, by RST, or after an internal error."""

import asyncio
import contextlib
import os
import socket
import struct
from typing import cast

from ....smtp.words.verdict import FailureKind
from ...loop import guard
from ...loop.event_loop import event_loop
from ..connection_limit import Permit
from .connecting_wire import ConnectingWire
from .owner import Owner

_CLOSING = 1.0
"""Seconds at most for closing once everything is written: one round trip for the server's TLS
close_notify, which many servers never send. No email waits for it, but a permit is in use."""
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER, on, 0 seconds: close() sends RST


class ClosingWire(ConnectingWire):
    """The part of a `Connection` that closes it, and notifies its owner."""

    # Initial values are on the class: many connections carry one email.
    permit: Permit | None = None
    _owner: Owner = cast("Owner", None)
    _task: asyncio.Task[None] | None = None  # the one of `spawn`
    _is_closed = False
    _is_finished = False  # closed, and the owner was called
    _is_ticking = False  # while it has a dialog, or closes
    _is_leaving = False  # TLS close_notify was sent, the server's is outstanding

    @property
    def is_closed(self) -> bool:
        """Whether the connection is closed."""
        return self._is_closed

    def end_of_input(self) -> None:
        """Called at the end of the server's input, TLS's or TCP's: pass it to the dialog."""
        if self._is_leaving:
            self._transport.close()
        else:
            self.perform(self._dialog.receive_eof())

    def _close(self, *, reset: bool) -> None:
        if self._is_closed:
            return
        transport = self._transport
        if transport is None:
            if self._connecting is not None:
                self._connecting.cancel()
            # Not at once: the caller may still be using this connection.
            self._loop.call_soon(guard.call, self, self._finish)
            return
        self.note_session()
        if reset:
            self._abort()  # the server must not get what it has not read by now
        else:
            if self._close_at is None:
                # An idle connection gets no clock ticks.
                self._close_at = self._loop.time() + _CLOSING
                event_loop().add_ticking(self)
                self._is_ticking = True
            self.flush()
            if self._tls is not None and not transport.is_closing():
                transport.write(self._tls.close())
                if not self._tls.is_closed:
                    # Each side sends close_notify (RFC 8446 §6.1). A server that has not read ours
                    # when the connection is closed logs an error; some never send their own.
                    self._is_leaving = True
                    self._close_at = min(self._close_at, self._loop.time() + _CLOSING)
                    return
            transport.close()

    def crashed(self, error: BaseException) -> None:
        """Abort after an internal error, with a verdict. See `guard.Guarded`.

        If the dialog has a verdict already, that one counts.
        """
        guard.each(lambda: self._decide_in_spite_of(error), self._abort, self._finish)

    def _decide_in_spite_of(self, error: BaseException) -> None:
        dialog = self._dialog
        if dialog is None or self._is_finished:  # pyright: ignore[reportUnnecessaryComparison]
            return
        if not dialog.is_over:
            if self._dot_written and self._is_all_out:
                dialog.mail_data_sent()  # this call was due next
            detail = f"internal error in pykka-smtp: {type(error).__name__}: {error}"
            dialog.fail(FailureKind.INTERNAL, detail)
        if dialog.verdict is not None:
            self._owner.decided(dialog.verdict)

    def _abort(self) -> None:
        """Abort the socket by RST: the server must not take a part for a complete email."""
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
        """Release everything, and call the owner. May be called again if it raised."""
        if self._is_finished:
            return
        self._is_closed = True
        if self._task is not None:
            self._task.cancel()
        event_loop().remove_ticking(self)
        owner, permit = self._owner, self.permit
        if owner is not None:  # pyright: ignore[reportUnnecessaryComparison] - not before `run`
            owner.closed()
            permit = self.permit
        if permit is not None:
            permit.release()
        self._is_finished = True

    def abandon(self) -> None:
        """Close the socket in a forked child, which must not keep the parent's open."""
        with contextlib.suppress(OSError, AttributeError):
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, self._transport.get_extra_info("socket").fileno())
            os.close(null)

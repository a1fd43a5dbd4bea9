"""How a connection ends: by a good-bye, by force, or on an error of ours."""

import asyncio
import contextlib
import os
import socket
import struct
from typing import cast

from ...smtp.words.verdict import FailureKind
from ..loop import guard
from ..loop.event_loop import event_loop
from .connecting_wire import ConnectingWire
from .connection_limit import Permit
from .owner import Owner

_CLOSING = 1.0
"""Seconds at most that closing may take once nothing is left to be said."""
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER, on, 0 seconds: close() sends RST


class ClosingWire(ConnectingWire):
    """The part of a `Connection` that closes it, and sees to it that all hear of that."""

    # At first, once for all connections: many carry one mail.
    permit: Permit | None = None
    _owner: Owner = cast("Owner", None)
    _task: asyncio.Task[None] | None = None  # what takes its time
    _is_closed = False
    _is_finished = False  # and all who have to know do
    _is_leaving = False  # TLS's farewell is said, and the server's is waited for

    @property
    def is_gone(self) -> bool:
        """Whether the connection is closed."""
        return self._is_closed

    def said_farewell(self) -> None:
        """Tell the dialog that the server says no more."""
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
            # Not at once: whoever asked may still be at work with this connection.
            self._loop.call_soon(guard.call, self, self._finish)
            return
        self.note_session()
        if reset:
            self._abort()  # what the server has not read by now, it must not get any more
        else:
            if self._close_at is None:
                # Nobody else looks at the time of a connection that rests.
                self._close_at = self._loop.time() + _CLOSING
                event_loop().add_ticking(self)
            self.flush()
            if self._tls is not None and not transport.is_closing():
                transport.write(self._tls.close())
                if not self._tls.is_closed:
                    # It takes both sides to close (RFC 8446 §6.1). A server that has not heard
                    # ours when the connection is gone complains; one may not care to say its own.
                    self._is_leaving = True
                    self._close_at = min(self._close_at, self._loop.time() + _CLOSING)
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
                dialog.mail_data_sent()  # it was about to be told so
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
        event_loop().remove_ticking(self)
        owner, permit = self._owner, self.permit
        if owner is not None:  # pyright: ignore[reportUnnecessaryComparison] - not before `run`
            owner.closed()
            permit = self.permit
        if permit is not None:
            permit.release()
        self._is_finished = True

    def abandon(self) -> None:
        """Let go of the socket in a forked child, which must not keep the parent's open."""
        with contextlib.suppress(OSError, AttributeError):
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, self._transport.get_extra_info("socket").fileno())
            os.close(null)

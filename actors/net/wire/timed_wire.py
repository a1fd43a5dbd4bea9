"""The timeouts of a connection: for each step, for the attempt (deadline), and for QUIT.

Before a timeout counts, pending input is read from the socket: the server may have replied.
"""

import contextlib
import math
import os
from typing import TYPE_CHECKING

from ....smtp.words.stage import Stage
from .tls_wire import TlsWire

if TYPE_CHECKING:
    from ..target import Target

_QUIT_TIMEOUT = 5.0
"""Seconds at most for what follows the verdict, which is only QUIT: the email is decided, but the
actor and its permit wait for it. A server that is alive replies within a round trip."""
_LAST_READS = 16
"""How often the socket is read for replies sent before the connection was lost or a timeout
expired: 16 reads of 64 KiB are a megabyte, more than all replies may have. It bounds the work for a
server that never stops sending."""
_LATE = 0.5
"""Seconds between two clock ticks after which this process was late, not the server: it was
suspended, or the loop thread was blocked."""
_RELAY_PORT = 25  # implicit TLS is not used on this port


class TimedWire(TlsWire):
    """The part of a `Connection` that enforces its timeouts."""

    _options: "Target"
    _is_closed: bool

    # Initial values are on the class: many connections carry one email. `Connection.run` sets them.
    _step = -1  # the dialog's, at the last tick; -1 before the first
    _step_began = 0.0
    _whole_due = 0.0  # when the deadline expires
    _close_at: float | None = None
    _looked = 0.0  # the time of the last tick

    def data_received(self, data: bytes) -> None:
        """Called with bytes from the server."""
        raise NotImplementedError

    def eof_received(self) -> None:
        """Called when the server has closed its side."""
        raise NotImplementedError

    def restart_clock(self) -> None:
        """Restart the timeout of the current step."""
        self._step = -1

    def on_tick(self, now: float) -> None:
        """Called every `TICK` seconds, on the loop thread, to check the timeouts."""
        if self._is_closed:
            return
        dialog = self._dialog
        if dialog.steps != self._step:
            self._step = dialog.steps
            self._step_began = now
            if dialog.verdict is not None and self._close_at is None:
                self._close_at = now + min(self._options.timeouts.stages[Stage.QUIT], _QUIT_TIMEOUT)
        looked, self._looked = self._looked, now
        if self._close_at is not None:
            if now >= self._close_at:
                self._stop_waiting_for_quit()
        elif now < self._whole_due and now < self._step_began + self._limit:
            return
        elif now - looked > _LATE:
            # Input that arrived meanwhile is read first; the next tick decides.
            self._looked = math.inf
        elif not self._has_come_on(now):
            self._time_out(now)

    @property
    def _limit(self) -> float:
        """The timeout of this step, in seconds."""
        stage = Stage.STARTTLS if self.is_shaking_hands else self._dialog.stage
        return self._options.timeouts.stages[stage]

    def _has_come_on(self, now: float) -> bool:
        """Whether the server made progress that was not noticed yet: a reply, or data read."""
        dialog, step = self._dialog, self._step
        if self._read_pending_replies():
            self.eof_received()
        if self._is_closed or dialog is not self._dialog or dialog.verdict is not None:
            return True
        if now >= self._whole_due:
            return False
        if self._step != step or dialog.steps != step:
            return True
        if self.made_progress(self._step_began, now):
            self._step_began = now
            return True
        return False

    def _time_out(self, now: float) -> None:
        dialog, hint = self._dialog, ""
        if self.is_shaking_hands:
            hint = ", in the TLS handshake"
        elif self._tls is None and dialog.stage is Stage.GREETING and self._may_want_tls:
            hint = "; if it speaks TLS from the first octet on, use tls='implicit'"
        if now >= self._whole_due:
            deadline = self._options.timeouts.deadline
            self.perform(dialog.timed_out(deadline, whole=True, hint=hint))
        else:
            self.perform(dialog.timed_out(self._limit, hint=hint))

    @property
    def _may_want_tls(self) -> bool:
        """Whether a server that sends no greeting may be waiting for implicit TLS."""
        options = self._options
        return options.tls is not None and not options.is_lmtp and options.port != _RELAY_PORT

    def _stop_waiting_for_quit(self) -> None:
        """Close without waiting for the reply to QUIT: the email is decided."""
        if self._dialog.is_over:
            if self._transport is not None:
                self._transport.abort()
        else:
            self.perform(self._dialog.timed_out(_QUIT_TIMEOUT))

    def _read_pending_replies(self) -> bool:
        """Read replies that the loop has not read yet, and pass them to the dialog.

        A rejection during the mail data explains the RST after it. A final reply that arrived
        while this process was suspended is not late.

        Returns:
            Whether the server has closed the connection.
        """
        with contextlib.suppress(OSError, AttributeError, ValueError):
            number = self._transport.get_extra_info("socket").fileno()
            for _ in range(_LAST_READS):
                if self._dialog.is_over:
                    break
                data = os.read(number, 65_536)
                if not data:
                    return True
                self.data_received(data)
        return False

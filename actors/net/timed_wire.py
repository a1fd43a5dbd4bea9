"""How long a connection gives its server: for each step, for the whole, and for the good-bye.

Time is up only for a server that has said nothing: what lies in the socket is read first.
"""

import contextlib
import math
import os
from typing import TYPE_CHECKING

from ...smtp.words.stage import Stage
from .tls_wire import TlsWire

if TYPE_CHECKING:
    from .target import Target

_QUIT_TIMEOUT = 5.0
"""Seconds at most that a server may take over what follows the verdict, which is only QUIT."""
_LAST_READS = 16
"""How often a socket is read from, for what the server said before the connection broke, or before
its time was up: a megabyte, which is more than all replies may have."""
_LATE = 0.5
"""Seconds between two looks at the clock after which it was not the server that was slow, but us:
the whole process stood still."""
_RELAY_PORT = 25  # nobody speaks TLS there from the start


class TimedWire(TlsWire):
    """The half of a `Connection` that keeps the time."""

    _options: "Target"
    _is_closed: bool

    # At first, once for all connections: many carry one mail.
    _step = -1  # the dialog's, when somebody last looked
    _step_began = 0.0
    _whole_due = 0.0
    _close_at: float | None = None
    _looked = 0.0  # when somebody last looked at the clock

    def data_received(self, data: bytes) -> None:
        """Let the dialog judge what the server said."""
        raise NotImplementedError

    def eof_received(self) -> None:
        """Tell the dialog that nothing more will come."""
        raise NotImplementedError

    def start_clock(self, now: float, began: float | None) -> None:
        """Begin to keep the time of a dialog.

        Args:
            now: the time, on the loop's clock.
            began: when the whole began, if that was before.
        """
        self._whole_due = (now if began is None else began) + self._options.timeouts.deadline
        self._looked = now
        self._step = -1

    def restart_clock(self) -> None:
        """Give what begins now the whole time of a step."""
        self._step = -1

    def on_tick(self, now: float) -> None:
        """See whether the server was too slow. Called every `TICK` seconds."""
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
            # What has come meanwhile has its turn first; the next look is on time.
            self._looked = math.inf
        elif not self._has_come_on(now):
            self._time_out(now)

    @property
    def _limit(self) -> float:
        """Seconds that this step may take."""
        stage = Stage.STARTTLS if self.is_shaking_hands else self._dialog.stage
        return self._options.timeouts.stages[stage]

    def _has_come_on(self, now: float) -> bool:
        """Whether the server has done something that nobody has seen yet."""
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
        """Whether a server that does not greet may wait for us to begin TLS."""
        options = self._options
        return options.tls is not None and not options.is_lmtp and options.port != _RELAY_PORT

    def _stop_waiting_for_quit(self) -> None:
        """Leave without a good-bye: the mail is decided, and the server says no more."""
        if self._dialog.is_over:
            if self._transport is not None:
                self._transport.abort()
        else:
            self.perform(self._dialog.timed_out(_QUIT_TIMEOUT))

    def _read_pending_replies(self) -> bool:
        """Hear what the server has said, and the loop has not read yet.

        A refusal in the middle of the mail data, then a reset: the refusal is the cause. A verdict
        that came while the process stood still: the server was not slow, we were.

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

"""The gate before the end of an email: it opens once the file says that the end may be out.

So a process that dies leaves a file in which it is known of which emails a server may have got all;
and whoever has lost an email to another process cannot complete it.
"""

import time
from collections.abc import Callable
from typing import Any

from ....signals.outcome import Outcome
from ....smtp.session.dialog.dialog import Dialog
from ...mailer.connections.pooled_smtp_actor import PooledSmtpActor
from ...net.wire.connection import Connection
from ..store.errors import OutboxError
from ..store.notes import Note
from .entry import Entry
from .passing import Passing

Mark = Callable[[Entry, Callable[[bool | OutboxError], object]], object]
"""Has an email marked in the file, and calls a function with whether it is still this process's."""


class MarkGate:
    """The gate of one email, for all attempts until its next outcome. On the loop thread.

    Args:
        entry: the email.
        mark: marks it.
        expire: is called if it has expired before its end went out.
        passing: gives it a place, without which nothing passes.

    Attributes:
        is_passed: whether its end may be out.
    """

    __slots__ = (
        *("_entry", "_expire", "_has_place", "_is_begun", "_mark", "_passing", "_result"),
        *("_waiting", "is_passed"),
    )

    def __init__(
        self, entry: Entry, mark: Mark, expire: Callable[[Entry], object], passing: Passing
    ) -> None:
        self.is_passed: bool = False
        self._entry = entry
        self._mark = mark
        self._expire = expire
        self._passing = passing
        self._has_place = False
        self._is_begun = False
        self._result: bool | OutboxError | None = None
        self._waiting: list[Callable[[], object]] = []

    def begin(self) -> None:
        """Begin to mark: the transaction begins, and its end is some round trips away."""
        if not self._is_begun:
            self._is_begun = True
            self._mark(self._entry, self._marked)

    def ask(self, then: Callable[[], object]) -> bool | None:
        """See `net.wire.wire.Gate`."""
        self.begin()
        if self._result is True and not self._has_place:
            self._enter()
        if self._result is None or (self._result is True and not self._has_place):
            self._waiting.append(then)
            return None
        return self._result is True

    def _enter(self) -> None:
        if self._may_pass() and self._passing.enter(self):
            self._has_place = self.is_passed = True

    def _may_pass(self) -> bool:
        if self.is_passed:
            return True  # with an earlier session, which had no room for all recipients
        entry = self._entry
        if entry.facts.expires is not None and entry.has_expired(time.time()):
            self._expire(entry)
        if entry.is_dropped:
            self._result = False
            return False
        return True

    def take_place(self) -> bool:
        """Take the place that is free now; return False if nothing is to go out any more."""
        self._has_place = self._may_pass()
        self.is_passed |= self._has_place
        return self._has_place

    def go_on(self) -> None:
        """Have the attempt ask again."""
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then()

    def leave_line(self) -> None:
        """Forget an attempt that waits, as it has ended. May be called again."""
        if self._waiting:
            self._waiting = []
            self._passing.leave_line(self)

    def turn_back(self) -> None:
        """Have an attempt that waits for its place look again: nothing is to go out any more."""
        if self._waiting and self._result is not None:
            self._passing.leave_line(self)
            self.go_on()

    def outcome_written(self, _result: object) -> None:
        """Give the place back: the outcome is in the file, or nobody tries that any more."""
        self._passing.is_written(self._entry.seq)
        self.free()

    def note_outcome(self, outcome: Note) -> None:
        """Note an outcome before it is written, and give the place back."""
        if self.is_passed and self._passing.note(outcome):
            self.free()

    def free(self) -> None:
        """Give the place back, if there is one. May be called again."""
        if self._has_place:
            self._has_place = False
            self._passing.free()

    @property
    def is_shut(self) -> bool:
        """Whether it will not open."""
        return self._result is not None and self._result is not True

    @property
    def is_lost(self) -> bool:
        """Whether the email is another process's by now, or cancelled."""
        return self._result is False

    @property
    def why_not(self) -> str:
        """See `net.wire.wire.Gate`."""
        if isinstance(self._result, OutboxError):
            return str(self._result)
        return "it has expired or was cancelled, or another process has taken it over"

    def lose(self) -> None:
        """Have it never open, unless it is open: the email is somebody else's by now."""
        self._is_begun = True
        self._marked(False)

    def _marked(self, result: bool | OutboxError) -> None:
        if self._result is not None:
            return
        self._result = result
        self.go_on()


class GatedSmtpActor(PooledSmtpActor):
    """An attempt whose end waits for the gate of its email."""

    _gate: MarkGate

    def begin(self, now: float) -> None:
        """See `PooledSmtpActor`."""
        # The observer is a `Sending`, the answer an `Ended`.
        observer: Any = self._observer
        self._gate = observer.in_flight[self].job.answer.entry.gate
        super().begin(now)

    def _run(self, dialog: Dialog, connection: Connection) -> None:
        connection.gate = self._gate
        if connection.served or connection.is_connected:
            self._gate.begin()  # the transaction begins at once
        super()._run(dialog, connection)

    def connected(self) -> None:
        """See `SendingActor`: the transaction begins soon."""
        self._gate.begin()
        super().connected()

    def _report(self, outcome: Outcome) -> None:
        super()._report(outcome)
        if self.left is not None:
            # The email has no connection until the next session, and must not keep others waiting.
            self._gate.free()

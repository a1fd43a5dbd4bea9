"""The gate before the end of an email: it opens once the file says that the end may be out.

So a process that dies leaves a file in which it is known of which emails a server may have got all;
and whoever has lost an email to another process cannot complete it.
"""

import time
from collections.abc import Callable
from typing import Any

from ....smtp.session.dialog.dialog import Dialog
from ...mailer.connections.pooled_smtp_actor import PooledSmtpActor
from ...net.wire.connection import Connection
from ..store.errors import OutboxError
from .entry import Entry

Mark = Callable[[Entry, Callable[[bool | OutboxError], object]], object]
"""Has an email marked in the file, and calls a function with whether it is still this process's."""


class MarkGate:
    """The gate of one email, for all attempts until its next outcome. On the loop thread.

    Args:
        entry: the email.
        mark: marks it.
        expire: is called if it has expired before its end went out.
    """

    __slots__ = ("_entry", "_expire", "_is_begun", "_mark", "_result", "_waiting", "is_passed")

    def __init__(self, entry: Entry, mark: Mark, expire: Callable[[Entry], object]) -> None:
        self.is_passed: bool = False  # its end may be on the wire
        self._entry = entry
        self._mark = mark
        self._expire = expire
        self._is_begun = False
        self._result: bool | OutboxError | None = None
        self._waiting: list[Callable[[], object]] = []

    @property
    def is_begun(self) -> bool:
        """Whether it is being marked, or is."""
        return self._is_begun

    def begin(self) -> None:
        """Begin to mark: the transaction begins, and its end is some round trips away."""
        if not self._is_begun:
            self._is_begun = True
            self._mark(self._entry, self._marked)

    def ask(self, then: Callable[[], object]) -> bool | None:
        """See `net.wire.wire.Gate`."""
        self.begin()
        if self._result is None:
            self._entry.has_waited = True
            self._waiting.append(then)
            return None
        if self._result is True and not self.is_passed:
            self._pass()
        return self._result is True

    def _pass(self) -> None:
        entry = self._entry
        if entry.facts.expires is not None and entry.has_expired(time.time()):
            self._expire(entry)
        if entry.is_dropped:
            self._result = False
        else:
            self.is_passed = True

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
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then()


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

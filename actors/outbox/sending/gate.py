"""The gate before the end of an email: it opens once the file says that the end may be out.

So a process that dies leaves a file in which it is known of which emails a server may have got all;
and whoever has lost an email to another process cannot complete it.
"""

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
    """

    __slots__ = ("_entry", "_is_begun", "_mark", "_result", "_waiting")

    def __init__(self, entry: Entry, mark: Mark) -> None:
        self._entry = entry
        self._mark = mark
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
        return self._result is True

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
        return "it was cancelled, or another process has taken it over"

    def _marked(self, result: bool | OutboxError) -> None:
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

"""Which emails are marked in the file, and when: some before they have a connection."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ..store.errors import OutboxError
from ..thread.ops import Kind
from .entry import Entry

_AHEAD = 8
"""Emails for each connection that are marked, and have no outcome in the file, at most. None that
is only marked is doubled by a kill; but its outcome then speaks of doubt where there is none."""
_FAST = 4
"""Outcomes per second, for each connection, from which on emails are marked ahead."""
Marked = Callable[[bool | OutboxError], object]


class Marking:
    """Has emails marked. On the loop thread.

    One that is marked ahead goes as soon as it has a connection, and not an fsync later. Only what
    goes out within a moment is: if the process dies, these are in doubt.

    Args:
        submit: has something done with the file.
        connections: how many emails may be in flight at one relay.
    """

    def __init__(
        self,
        submit: Callable[[Kind, Any, Callable[[Any], object]], object],
        connections: int,
    ) -> None:
        self._submit = submit
        self._connections = connections
        self._most = (1 + _AHEAD) * connections
        self._enough = self._most - connections  # so that they are marked several at a time
        self._marked = 0
        self._ended = 0  # since the last tick
        self._is_fast = False
        self._in_line: dict[int, Entry] = {}  # not marked yet, by number
        self._together: list[tuple[int, Marked]] | None = None

    def mark(self, entry: Entry, then: Marked) -> None:
        """Mark an email.

        Args:
            entry: the email.
            then: is called with whether it is still this process's.
        """
        entry.is_marked = True
        self._marked += 1
        self._in_line.pop(entry.seq, None)
        if self._together is not None:
            self._together.append((entry.seq, then))
        else:
            self._mark_all([(entry.seq, then)])

    def _mark_all(self, some: list[tuple[int, Marked]]) -> None:
        if some:
            done = functools.partial(_have_marked, some)
            self._submit(Kind.MARK, [seq for seq, _ in some], done)

    def add(self, entry: Entry) -> None:
        """Note an email that waits for a connection: it is marked when it is near its turn."""
        self._in_line[entry.seq] = entry
        self._go_on()

    def _go_on(self) -> None:
        """Mark emails that come next, some together."""
        line = self._in_line
        if not (line and self._is_fast) or self._marked > self._enough:
            return
        together = self._together = []
        while line and self._marked < self._most:
            line.pop(next(iter(line))).gate.begin()
        self._together = None
        self._mark_all(together)

    def forget(self, entry: Entry) -> None:
        """Count no more an email that is no longer in memory."""
        self._marked -= entry.is_marked
        self._in_line.pop(entry.seq, None)
        self._ended += 1
        self._go_on()

    def is_told(self) -> None:
        """Count no more an email that was marked, now that its outcome is in the file."""
        self._marked -= 1
        self._go_on()

    def on_tick(self, pace: float, seconds: float) -> float:
        """Follow the pace; return what it is.

        Args:
            pace: the recent outcomes per second.
            seconds: since the last tick.
        """
        if self._ended > self._connections:
            # The mean of the last seconds lags behind while the pace goes up.
            pace = max(pace, self._ended / max(seconds, 0.1))
        self._ended = 0
        self._is_fast = pace >= _FAST * self._connections
        self._go_on()
        return pace


def _have_marked(some: Sequence[tuple[int, Marked]], result: set[int] | OutboxError) -> None:
    raised: BaseException | None = None
    for seq, then in some:
        try:
            then(result if isinstance(result, OutboxError) else seq not in result)
        except BaseException as error:  # the others must go on
            raised = error
    if raised is not None:
        raise raised

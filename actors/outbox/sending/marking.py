"""Which emails are marked in the file, and when: some before they have a connection."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from ..thread.ops import Kind
from .entry import Entry

_MOST_AHEAD = 8
"""Emails for each connection that are marked, and have no outcome in the file, at most. None that
is only marked is doubled by a kill; but its outcome then speaks of doubt where there is none."""
_AHEAD = 0.5
"""Seconds of work that are worth a mark ahead."""


class Marking:
    """Has emails marked. On the loop thread.

    Each then goes as soon as it has a connection, and not an fsync later. Only what goes out within
    a moment is marked ahead, and may be sent twice: if the process dies, these are in doubt.

    Args:
        submit: has something done with the file.
        entries: the emails in memory, by number.
        connections: how many emails may be in flight.
    """

    def __init__(
        self,
        submit: Callable[[Kind, Any, Callable[[Any], object]], object],
        entries: Mapping[int, Entry],
        connections: int,
    ) -> None:
        self._submit = submit
        self._entries = entries
        self._connections = connections
        self._ahead = 2 * connections
        self._marked = self._most = 0
        self._ended = self._waited = 0  # since the last tick
        self._is_fast = False
        self._in_line: deque[Entry] = deque()  # not marked yet

    def mark(self, entry: Entry, then: Callable[[Any], object]) -> None:
        """Mark an email, and call a function with the result."""
        entry.is_marked = True
        self._marked += 1
        self._submit(Kind.MARK, entry.seq, then)

    def add(self, entry: Entry) -> None:
        """Note an email that waits for a connection: it is marked when it is near its turn."""
        self._in_line.append(entry)
        self.go_on()

    def go_on(self) -> None:
        """Mark emails that come next."""
        line = self._in_line
        while line:
            entry = line[0]
            is_next = entry.seq in self._entries and not entry.gate.is_begun
            if is_next and (not self._is_fast or self._marked >= self._most):
                break
            line.popleft()
            if is_next:
                entry.gate.begin()

    def forget(self, entry: Entry) -> None:
        """Count no more an email that is no longer in memory."""
        self._marked -= entry.is_marked
        self._ended += 1
        self._waited += entry.has_waited
        self.go_on()

    def is_told(self) -> None:
        """Count no more an email that was marked, now that its outcome is in the file."""
        self._marked -= 1
        self.go_on()

    def on_tick(self, pace: float, seconds: float) -> float:
        """Follow the pace; return what it is.

        Args:
            pace: the recent outcomes per second.
            seconds: since the last tick.
        """
        ended, self._ended = self._ended, 0
        waited, self._waited = self._waited, 0
        # The mean of the last seconds lags behind while the pace goes up.
        pace, connections = max(pace, ended / max(seconds, 0.1)), self._connections
        self._is_fast = pace * _AHEAD >= 2 * connections
        # Besides those in flight: one half is being marked while the other goes out.
        # More, while the disk is slow: as many as are needed for few to wait at their gates.
        if self._is_fast and waited > ended // 8:
            self._ahead = min(_MOST_AHEAD * connections, self._ahead + self._ahead // 2)
        else:
            self._ahead = max(2 * connections, self._ahead - self._ahead // 8)
        self._most = connections + self._ahead
        return pace

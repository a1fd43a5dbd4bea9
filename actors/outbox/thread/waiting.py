"""Operations that wait for the thread of the file."""

import threading
from collections import deque
from collections.abc import Sequence

from .ops import IMPATIENT, Kind, Op

_MOST_PUTS = 256
"""Emails that are put in one turn."""


class Waiting:
    """Two queues: puts, and all else. Anybody adds; one thread takes out."""

    def __init__(self) -> None:
        self._others: deque[Op] = deque()
        self._puts: deque[Op] = deque()
        self._taken = 0
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._others or self._puts)

    @property
    def count(self) -> int:
        """How many were ever added."""
        with self._lock:
            return self._taken + len(self._others) + len(self._puts)

    @property
    def has_many_puts(self) -> bool:
        """Whether there are as many as one turn takes."""
        return len(self._puts) >= _MOST_PUTS

    @property
    def writes(self) -> bool:
        """Whether any of them writes."""
        return bool(self._puts) or any(op.kind is not Kind.LOOK for op in self._others.copy())

    def add(self, op: Op) -> None:
        """Add one. Without the lock, for which the loop thread would often wait."""
        (self._puts if op.kind is Kind.PUT else self._others).append(op)

    def add_again(self, ops: Sequence[Op]) -> None:
        """Add some that were taken already, before all others."""
        with self._lock:
            self._others.extendleft(reversed(ops))
            self._taken -= len(ops)

    def take(self) -> list[Op]:
        """Take those of a turn."""
        with self._lock:  # others append without it, but only who has it takes out
            ops = [self._others.popleft() for _ in range(len(self._others))]
            # Not all puts, if there are many: what goes out now does not wait for them.
            ops += [self._puts.popleft() for _ in range(min(len(self._puts), _MOST_PUTS))]
            self._taken += len(ops)
        return ops

    def take_late(self, before: float) -> list[Op]:
        """Take those that somebody may be waiting for, and that were added before a time.

        Args:
            before: the time, on the monotonic clock.
        """
        late: list[Op] = []
        with self._lock:
            for queue in (self._puts, self._others):
                if not queue or queue[0].since > before:
                    continue
                for op in queue.copy():
                    if op.kind in IMPATIENT and op.since <= before:
                        queue.remove(op)
                        late.append(op)
            self._taken += len(late)
        return late

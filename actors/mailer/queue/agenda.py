"""A schedule: a heap with one entry for each item, however often its time changes.

Pure arithmetic: the time is passed in, in seconds of a clock that never goes back, and nothing
here waits. Use an instance on one thread only.
"""

import heapq
import itertools
import math
from typing import Any, Generic, Protocol, TypeVar

NEVER = math.inf


class Scheduled(Protocol):
    """What an agenda has entries of.

    Attributes:
        looks_at: when it is to be looked at; `NEVER` if it has no entry.
        entry: the agenda's own.
    """

    looks_at: float
    entry: list[Any] | None


ItemT = TypeVar("ItemT", bound=Scheduled)

_SPARE = 16
"""Stale entries that are not worth building a new heap for."""


class Agenda(Generic[ItemT]):
    """Items by the time at which to look at them.

    A new time leaves the old entry where it is, stale, as a heap gives up nothing but its first.
    Where stale entries are more than the others, the heap is built anew; so it has at most
    twice as many entries as there are items, and a few.

    Attributes:
        next_time: when the first item is due, or before that; `NEVER` if there is none.
    """

    __slots__ = ("_heap", "_order", "_stale", "next_time")

    def __init__(self) -> None:
        self._heap: list[list[Any]] = []  # [when, order, item, or None if stale]
        self._order = itertools.count()
        self._stale = 0
        self.next_time: float = NEVER

    def __len__(self) -> int:
        """The number of entries in the heap, stale ones included."""
        return len(self._heap)

    def set(self, item: ItemT, when: float) -> None:
        """Have an item looked at then, and no longer when it was to be before.

        Args:
            item: it.
            when: the time.
        """
        if item.entry is not None:
            self.discard(item)
        entry = item.entry = [when, next(self._order), item]
        item.looks_at = when
        heapq.heappush(self._heap, entry)
        self.next_time = min(self.next_time, when)

    def discard(self, item: ItemT) -> None:
        """Have an item not looked at any more.

        Args:
            item: it; it may have no entry.
        """
        entry, item.entry = item.entry, None
        item.looks_at = NEVER
        if entry is None:
            return
        entry[2] = None
        self._stale += 1
        if self._stale > _SPARE and 2 * self._stale > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2] is not None]
            heapq.heapify(self._heap)
            self._stale = 0

    def pop_due(self, now: float) -> ItemT | None:
        """Take out the item whose time has come first, or return None if none has.

        Args:
            now: the time.
        """
        if now < self.next_time:
            return None
        found: ItemT | None = None
        heap = self._heap
        while heap and found is None and heap[0][0] <= now:
            found = heapq.heappop(heap)[2]
            if found is None:
                self._stale -= 1
            else:
                found.entry = None
                found.looks_at = NEVER
        self.next_time = heap[0][0] if heap else NEVER
        return found

    def clear(self) -> None:
        """Forget all entries; those of their items are for the caller to forget."""
        self._heap.clear()
        self._stale = 0
        self.next_time = NEVER

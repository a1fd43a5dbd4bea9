"""The destinations of a `Mailer`: the queued parts of emails, and which destination is next.

A destination is one relay or several alternative ones, and the parts queued for them. It is in one
of three states. No operation but `repair` iterates over all destinations.

* *active*: a part may be sendable now. Active destinations are in a ring, and take turns by deficit
  round robin (Shreedhar and Varghese, 1995): a part costs by its size, and at most a turn's credit,
  so each turn sends at least one. A destination that can send no more until an attempt has ended
  continues its turn then, as its connections are open.
* *waiting*: nothing can be sent before a known time, or before an attempt has ended. The agenda
  has one entry for each, however many parts it has, for the first time that matters: a token, a
  probe, the next attempt of a part, or the time to give up a part.
* *idle*: it has no part. It is removed, and what was learned of its hosts is kept, up to a bound.

Pure arithmetic: the time is passed in, in seconds of a monotonic clock, and nothing here waits. Use
an instance on one thread only.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Generic

from ..capacity.capacity import Capacity
from ..capacity.memory import Memory, Remembered
from .agenda import NEVER, Agenda
from .destination import MAX_COST, Destination, PartT


class Destinations(Generic[PartT]):
    """All destinations of a `Mailer`.

    Args:
        draw: returns random numbers from 0 to less than 1.
        give_up_after: seconds after its submission when a queued part is given up; None for never.
        waits_for_probes: whether parts wait for the probe of a dead destination. If not, a dead
            destination with parts is added to `hopeless`.
        memory: what is kept of idle destinations.

    Attributes:
        queued: the number of parts that wait for their turn.
        retries: the number of parts that wait for the time of their next attempt.
        pressing: how many of the queued parts are pressing.
        dead: the dead relays of the destinations in use.
        hopeless: see `waits_for_probes`.
        agenda: when to check each destination, even if nothing happens until then.
        memory: as given.
    """

    pressing: int
    queued: int
    retries: int

    def __init__(
        self,
        draw: Callable[[], float],
        *,
        give_up_after: float | None = None,
        waits_for_probes: bool = True,
        memory: Memory | None = None,
    ) -> None:
        self.queued = self.retries = self.pressing = 0
        self.dead: dict[Capacity, None] = {}
        self.hopeless: list[Destination[PartT]] = []
        self.memory: Memory = Memory() if memory is None else memory
        self._draw = draw
        self._give_up_after = NEVER if give_up_after is None else give_up_after
        self._waits_for_probes = waits_for_probes
        self._in_use: dict[Hashable, Destination[PartT]] = {}
        self._ring: deque[Destination[PartT]] = deque()
        # The destinations in the ring whose parts need not wait until receivers have caught up.
        self._urgent: deque[Destination[PartT]] = deque()
        self.agenda: Agenda[Destination[PartT]] = Agenda()
        self._due: list[Destination[PartT]] = []  # just taken out of the agenda
        self._order = itertools.count()

    def __iter__(self) -> Iterator[Destination[PartT]]:
        """Iterate over those in use. Only for rare operations: there may be many."""
        return iter(self._in_use.values())

    @property
    def is_any_active(self) -> bool:
        """Whether a part may be sendable now."""
        return bool(self._ring)

    def find(self, key: Hashable) -> Destination[PartT] | None:
        """Return a destination if it is in use, else None.

        Args:
            key: its key.
        """
        return self._in_use.get(key)

    def add(self, key: Hashable, relays: Sequence[tuple[str, Capacity]]) -> Destination[PartT]:
        """Take a destination into use, with what was learned of its hosts; return it.

        Args:
            key: its key; None for the one that stays in use without a part.
            relays: its relays, each with its name, in the order in which to try them.
        """
        destination = self._in_use[key] = Destination(key, relays, self._draw)
        if key is not None:
            for known in self.memory.take(key):
                for host, relay in relays:
                    if host == known.host:
                        relay.window, relay.bucket = known.window, known.bucket
                        relay.last_failure = known.last_failure
                        self.note_death(relay)
        return destination

    def note_death(self, relay: Capacity) -> None:
        """Update `dead` for a relay."""
        if relay.is_dead:
            self.dead[relay] = None
        else:
            self.dead.pop(relay, None)

    def append(self, part: PartT) -> bool:
        """Queue a part after the others; return whether to check now what can be sent."""
        destination = part.destination
        self.queued += 1
        is_first = destination.queue.append(part)
        if part.submitted_at + self._give_up_after < destination.looks_at:
            self.agenda.set(destination, part.submitted_at + self._give_up_after)
        if not is_first or destination.is_active:
            return False
        self.activate(destination)
        return True

    def prepend(self, part: PartT) -> None:
        """Queue a part before all others that have the same choice of relays."""
        destination = part.destination
        self.queued += 1
        if part.is_pressing:
            self.pressing += 1
            destination.pressing += 1
        destination.queue.prepend(part, part.avoid)
        if part.submitted_at + self._give_up_after < destination.looks_at:
            self.agenda.set(destination, part.submitted_at + self._give_up_after)
        self.activate(destination)

    def bind(self, part: PartT) -> None:
        """Queue a part whose attempt has begun for a place at its relay, before all others."""
        part.destination.queue.bind(part, part.relay)
        self.activate(part.destination)

    def unbind(self, part: PartT) -> None:
        """Undo `bind`, if the part still waits for a place at its relay."""
        part.destination.queue.unbind(part)

    def put_off(self, part: PartT, when: float) -> None:
        """Store a part until the time of its next attempt.

        Args:
            part: the part.
            when: the time.
        """
        destination = part.destination
        heapq.heappush(destination.retries, (when, next(self._order), part))
        self.retries += 1
        if when < destination.looks_at:
            self.agenda.set(destination, when)

    def activate(self, destination: Destination[PartT]) -> None:
        """Put a destination into the ring, because a part was added, or an attempt has ended."""
        if not destination.is_active:
            destination.is_active = True
            if destination.deficit > 0:
                # It could not use up its turn. It continues now, as its connections are open.
                self._ring.appendleft(destination)
            else:
                destination.deficit = MAX_COST
                self._ring.append(destination)
        if not destination.is_urgent and (destination.pressing or destination.queue.bound):
            destination.is_urgent = True
            self._urgent.append(destination)

    def pick(self, now: float, *, only_urgent: bool = False) -> PartT | None:
        """Take out the next part that can be sent now; it counts as in flight to ``part.relay``.

        Args:
            now: the time.
            only_urgent: take only from destinations with a pressing part, or with one whose attempt
                has begun.
        """
        while ring := self._urgent or (None if only_urgent else self._ring):
            destination = ring[0]
            queue = destination.queue
            if only_urgent and not destination.pressing:
                picked = queue.pick_bound(now)
            else:
                picked = queue.pick(now)
            if picked is None:
                self._block(ring, now)
                continue
            part, number = picked
            part.relay = number
            if part.late is None:
                self.queued -= 1
                if part.is_pressing:
                    self.pressing -= 1
                    destination.pressing -= 1
            if len(self._in_use) > 1:
                self._charge(ring, part.cost)
            return part
        return None

    def _charge(self, ring: deque[Destination[PartT]], cost: int) -> None:
        """Subtract a part's cost from the current turn; at its end, the next turn begins."""
        destination = ring[0]
        destination.deficit -= cost
        if destination.deficit <= 0:
            destination.deficit += MAX_COST
            ring.rotate(-1)

    def _block(self, ring: deque[Destination[PartT]], now: float) -> None:
        """Take the first destination out of a ring, because nothing can be sent there now."""
        destination = ring.popleft()
        if ring is self._urgent:
            destination.is_urgent = False
            return  # it is in the other ring as well
        destination.is_active = False
        if not self._waits_for_probes and destination.are_all_dead:
            self.hopeless.append(destination)
            return
        queue = destination.queue
        ready = queue.next_time(now)
        if ready is not None and ready < destination.looks_at:
            self.agenda.set(destination, ready)
        if destination.is_mixed:
            self._reschedule(destination)
        if destination.key is not None and not len(queue):
            destination.deficit = 0
            self.retire(destination)

    def look_at_due(self, now: float) -> bool:
        """Activate the destinations that are due. Call `take_expired` once parts were picked.

        Args:
            now: the time.

        Returns:
            Whether there was any.
        """
        while (destination := self.agenda.pop_due(now)) is not None:
            self._due.append(destination)
            retries = destination.retries
            while retries and retries[0][0] <= now:
                part = heapq.heappop(retries)[2]
                self.retries -= 1
                if part.is_pressing:
                    self.prepend(part)
                else:
                    destination.is_mixed = True
                    self.append(part)
            if len(destination.queue) or destination.queue.bound:
                self.activate(destination)
        return bool(self._due)

    def take_expired(self, now: float) -> list[tuple[Destination[PartT], list[PartT]]]:
        """Take out the parts at the head of a queue that have waited for too long.

        Args:
            now: the time.

        Returns:
            The parts, by destination.
        """
        expired: list[tuple[Destination[PartT], list[PartT]]] = []
        while self._due:
            destination = self._due.pop()
            if self._give_up_after < NEVER:
                found = destination.queue.take_expired(now, self._give_up_after)
                if found:
                    self._count_out(destination, found)
                    self.activate(destination)
                    expired.append((destination, found))
            self._reschedule(destination)
        return expired

    def _reschedule(self, destination: Destination[PartT]) -> None:
        """Schedule the next retry or give-up of a part. Relays are scheduled by `_block`."""
        destination.is_mixed = destination.is_mixed and len(destination.queue) > 0
        when = destination.queue.oldest_head + self._give_up_after
        if destination.retries:
            when = min(when, destination.retries[0][0])
        if when < destination.looks_at:
            self.agenda.set(destination, when)

    def take_all(
        self, destination: Destination[PartT], *, with_retries: bool = True
    ) -> list[PartT]:
        """Take out the parts of a destination, in order.

        Args:
            destination: the destination.
            with_retries: also take those that wait for the time of their next attempt.
        """
        found = destination.queue.take_all()
        self._count_out(destination, found)
        if with_retries:
            retries = [part for _, _, part in destination.retries]
            destination.retries.clear()
            self.retries -= len(retries)
            found += retries
        return found

    def _count_out(self, destination: Destination[PartT], parts: list[PartT]) -> None:
        self.queued -= len(parts)
        pressing = sum(part.is_pressing for part in parts)
        self.pressing -= pressing
        destination.pressing -= pressing

    def retire(self, destination: Destination[PartT]) -> None:
        """Remove a destination without parts and connections; keep what was learned of its hosts.

        Args:
            destination: any; nothing happens if it is still used, or is permanent.
        """
        key = destination.key
        if key is None or destination.is_active or self._in_use.get(key) is not destination:
            return  # if active, `_block` calls this again
        if not destination.is_unused:
            return
        self.agenda.discard(destination)
        pairs = zip(destination.hosts, destination.relays, strict=True)
        self.memory.keep(
            key,
            tuple(
                Remembered(host, relay.window, relay.bucket, relay.last_failure)
                for host, relay in pairs
            ),
        )
        del self._in_use[key]
        for relay in destination.relays:
            self.dead.pop(relay, None)

    def retire_key(self, key: Hashable) -> None:
        """Call `retire` for a key, because the last idle connection was closed.

        Args:
            key: the key of the destination.
        """
        destination = self._in_use.get(key)
        if destination is not None:
            self.retire(destination)

    def repair(self, now: float) -> None:
        """Recompute all counts and schedules, because an error may have left them inconsistent.

        Args:
            now: the time.
        """
        self._ring.clear()
        self._urgent.clear()
        self.agenda.clear()
        self._due.clear()
        self.hopeless.clear()
        self.queued = self.retries = self.pressing = 0
        for destination in self._in_use.values():
            destination.is_active = destination.is_urgent = False
            destination.entry, destination.looks_at = None, NEVER
            destination.pressing = sum(part.is_pressing for part in destination.queue)
            self.queued += len(destination.queue)
            self.retries += len(destination.retries)
            self.pressing += destination.pressing
            self.activate(destination)
            self.agenda.set(destination, now)

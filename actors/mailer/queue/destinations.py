"""Where the parts of mails wait, and whose turn it is: the destinations of a `Mailer`.

A destination is a plan, one relay or several of which one does, and the parts that wait for them.
It is in one of these states, and nothing here looks at all of them:

* *active*: a part may go, as far as is known. Active ones stand in a ring, and have their turns by
  deficit round robin (Shreedhar and Varghese, 1995): a part costs by its size, and no part costs
  more than a turn is worth, so each turn sends one at least. One that may send no more before an
  attempt has ended goes on with its turn then: its connections are open.
* *waiting*: nothing may go before a moment that is known, or before an attempt has ended. The
  agenda has one entry for each, however many parts it has, for the first moment that matters: a
  token, a probe, the next attempt at a part, or the time to give one up.
* *idle*: it has no part. It is forgotten, but for what was learned of its hosts; and that has a
  bound.

Pure arithmetic: the time is passed in, in seconds of a clock that never goes back, and nothing
here waits. Use an instance on one thread only.
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
        draw: gives random numbers from 0 to less than 1.
        patience: seconds after it was told from which on a part does not wait; None for ever.
        waits_for_probes: whether parts wait for a destination that is dead. Else those that have
            some are put into `hopeless`.
        memory: what is remembered of idle ones.

    Attributes:
        queued: parts that wait for their turn.
        retries: parts that wait for the time of their next attempt.
        pressing: those among the queued that are pressing.
        dead: the relays that are dead, of those in use.
        hopeless: see `waits_for_probes`.
        agenda: when to look again, though nothing may have happened until then.
        memory: as given.
    """

    pressing: int
    queued: int
    retries: int

    def __init__(
        self,
        draw: Callable[[], float],
        *,
        patience: float | None = None,
        waits_for_probes: bool = True,
        memory: Memory | None = None,
    ) -> None:
        self.queued = self.retries = self.pressing = 0
        self.dead: dict[Capacity, None] = {}
        self.hopeless: list[Destination[PartT]] = []
        self.memory: Memory = Memory() if memory is None else memory
        self._draw = draw
        self._patience = NEVER if patience is None else patience
        self._waits_for_probes = waits_for_probes
        self._in_use: dict[Hashable, Destination[PartT]] = {}
        self._ring: deque[Destination[PartT]] = deque()
        # Those of them with parts that need not wait until receivers have caught up.
        self._urgent: deque[Destination[PartT]] = deque()
        self.agenda: Agenda[Destination[PartT]] = Agenda()
        self._due: list[Destination[PartT]] = []  # taken out of the agenda just now
        self._order = itertools.count()

    def __iter__(self) -> Iterator[Destination[PartT]]:
        """Give those that are in use. Only for what is rare: there may be many."""
        return iter(self._in_use.values())

    @property
    def is_any_active(self) -> bool:
        """Whether a part may go, as far as is known."""
        return bool(self._ring)

    def find(self, key: Hashable) -> Destination[PartT] | None:
        """Return a destination if it is in use.

        Args:
            key: what it is known by.
        """
        return self._in_use.get(key)

    def add(self, key: Hashable, relays: Sequence[tuple[str, Capacity]]) -> Destination[PartT]:
        """Return a destination, which is in use from now on, with what was learned of its hosts.

        Args:
            key: what it is known by; None for the one that stays in use without a part.
            relays: its relays, each with its name, in the order in which they are to be tried.
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
        """Know whether a relay is dead."""
        if relay.is_dead:
            self.dead[relay] = None
        else:
            self.dead.pop(relay, None)

    def append(self, part: PartT) -> bool:
        """Let a part wait behind the others; return whether to look what may go."""
        destination = part.destination
        self.queued += 1
        is_first = destination.queue.append(part)
        if part.submitted_at + self._patience < destination.looks_at:
            self.agenda.set(destination, part.submitted_at + self._patience)
        if not is_first or destination.is_active:
            return False
        self.activate(destination)
        return True

    def prepend(self, part: PartT) -> None:
        """Let a part wait before all others that have the same choice of relays."""
        destination = part.destination
        self.queued += 1
        if part.is_pressing:
            self.pressing += 1
            destination.pressing += 1
        destination.queue.prepend(part, part.avoid)
        if part.submitted_at + self._patience < destination.looks_at:
            self.agenda.set(destination, part.submitted_at + self._patience)
        self.activate(destination)

    def bind(self, part: PartT) -> None:
        """Let a part that was let go before wait for a place at its relay, before all others."""
        part.destination.queue.bind(part, part.relay)
        self.activate(part.destination)

    def unbind(self, part: PartT) -> None:
        """Let a part wait no more that waits for a place at its relay, if it does."""
        part.destination.queue.unbind(part)

    def put_off(self, part: PartT, when: float) -> None:
        """Let a part wait for the time of its next attempt.

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
        """Look what may go there: a part has come, or an attempt has ended."""
        if not destination.is_active:
            destination.is_active = True
            if destination.deficit > 0:
                # It could not use up its turn. Now that it may, it has connections to go on with.
                self._ring.appendleft(destination)
            else:
                destination.deficit = MAX_COST
                self._ring.append(destination)
        if not destination.is_urgent and (destination.pressing or destination.queue.bound):
            destination.is_urgent = True
            self._urgent.append(destination)

    def pick(self, now: float, *, only_urgent: bool = False) -> PartT | None:
        """Take out the next part that may go now; it counts as on its way to ``part.relay``.

        Args:
            now: the time.
            only_urgent: take a part only where a pressing one waits, or one that was let go before.
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
        """Take what a part costs from its destination's turn; at its end, the next one's begins."""
        destination = ring[0]
        destination.deficit -= cost
        if destination.deficit <= 0:
            destination.deficit += MAX_COST
            ring.rotate(-1)

    def _block(self, ring: deque[Destination[PartT]], now: float) -> None:
        """Take the first out of a ring: nothing may go there now."""
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
        """Activate those whose time has come; `take_expired` next, when what may go has gone.

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
        """Take out the parts that have waited for too long, where no other stands before them.

        Args:
            now: the time.

        Returns:
            The parts of each destination that has some.
        """
        expired: list[tuple[Destination[PartT], list[PartT]]] = []
        while self._due:
            destination = self._due.pop()
            if self._patience < NEVER:
                found = destination.queue.take_expired(now, self._patience)
                if found:
                    self._count_out(destination, found)
                    self.activate(destination)
                    expired.append((destination, found))
            self._reschedule(destination)
        return expired

    def _reschedule(self, destination: Destination[PartT]) -> None:
        """See that the agenda has an entry for whatever time brings, but for relays."""
        destination.is_mixed = destination.is_mixed and len(destination.queue) > 0
        when = destination.queue.oldest_head + self._patience
        if destination.retries:
            when = min(when, destination.retries[0][0])
        if when < destination.looks_at:
            self.agenda.set(destination, when)

    def take_all(
        self, destination: Destination[PartT], *, with_retries: bool = True
    ) -> list[PartT]:
        """Take out the parts that wait for a destination, in their order.

        Args:
            destination: which.
            with_retries: those that wait for the time of their next attempt, too.
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
        """Forget a destination that has no part and no connection, but for what was learned.

        Args:
            destination: any; nothing happens to one that is in use, or is permanent.
        """
        key = destination.key
        if key is None or destination.is_active or self._in_use.get(key) is not destination:
            return  # `_block` comes back to it
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
        """Do as `retire`: the last idle connection is gone.

        Args:
            key: what the destination is known by.
        """
        destination = self._in_use.get(key)
        if destination is not None:
            self.retire(destination)

    def repair(self, now: float) -> None:
        """Count anew, and look at all anew: an error may have left anything half done.

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

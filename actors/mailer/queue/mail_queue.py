"""The queued emails of a `Mailer`: which may go to which relay now, and when to check again.

Emails with the same choice of relays are in one line, in order, and the lines are independent. So
an email only waits for what all emails after it in its line wait for, too. There is one line for
the emails that may go to any relay, and one for each set of relays that has failed an email. Among
relays with weights, one is drawn for an email as soon as any of them is free. From then on the
email is in that relay's part of the line, and does not delay the others.

If nothing can be sent, each line waits for the end of an attempt, or for a time that the relays
know: `next_time` is the first of these times. It is always later than now, because `pick` is called
first, until no relay that is ready has an email to send.

Pure arithmetic: the time is passed in, in seconds of a monotonic clock, and nothing here waits. Use
a queue on one thread only.
"""

import bisect
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from ..capacity.capacity import Capacity


class Waiting(Protocol):
    """A queued email.

    Attributes:
        submitted_at: when it was submitted, on the same clock.
    """

    submitted_at: float


MailT = TypeVar("MailT", bound=Waiting)

NO_RELAYS: frozenset[int] = frozenset()


class MailQueue(Generic[MailT]):
    """Emails queued for a relay.

    Args:
        relays: the relays, in the order in which to try them. The first usable one gets the email,
            and if it is only busy, the email waits for it. If it has a weight, one of the relays
            with weights is drawn.
        draw: returns random numbers from 0 to less than 1.

    Attributes:
        bound: by the number of a relay, the emails whose attempt there has begun.
    """

    __slots__ = ("_draw", "_main", "_only", "_others", "_relays", "bound")

    def __init__(self, relays: Sequence[Capacity], draw: Callable[[], float]) -> None:
        self._relays = relays
        self._only = relays[0] if len(relays) == 1 else None
        self._draw = draw
        self._main: _Line[MailT] = _Line(relays, NO_RELAYS)
        self._others: dict[frozenset[int], _Line[MailT]] = {}  # without empty ones
        self.bound: dict[int, deque[MailT]] = {}  # without empty ones

    def __len__(self) -> int:
        """The number of queued emails, without those that are bound to a relay."""
        if self._only is not None:
            return len(self._main.undrawn)
        return sum(map(len, self._lines()))

    def __iter__(self) -> Iterator[MailT]:
        """Iterate over all, line after line, without those that are bound to a relay."""
        return itertools.chain.from_iterable(self._lines())

    def append(self, mail: MailT) -> bool:
        """Queue an email after the others that may go to any relay.

        Returns:
            Whether it is the first of them, so that the caller must check what can be sent.
        """
        mails = self._main.undrawn
        is_first = not mails
        mails.append(mail)
        return is_first

    def prepend(self, mail: MailT, avoid: frozenset[int] = NO_RELAYS) -> None:
        """Queue an email before all others that have the same choice of relays.

        Args:
            mail: the email.
            avoid: the numbers of the relays that have failed it. It goes to one of these only
                while no other is usable.
        """
        line = self._main
        if avoid and self._only is None:
            line = self._others.get(avoid) or _Line(self._relays, avoid)
            self._others[avoid] = line
        line.undrawn.appendleft(mail)

    def bind(self, mail: MailT, number: int) -> None:
        """Queue an email for a place at one relay, before all others.

        Args:
            mail: the email.
            number: the number of the relay.
        """
        self.bound.setdefault(number, deque()).append(mail)

    def unbind(self, mail: MailT) -> bool:
        """Remove an email that was bound to a relay; return whether it was."""
        for number, mails in self.bound.items():
            if mail in mails:
                mails.remove(mail)
                if not mails:
                    del self.bound[number]
                return True
        return False

    def pick(self, now: float) -> tuple[MailT, int] | None:
        """Remove and return the next email that can be sent now; it counts as in flight then.

        Args:
            now: the time.

        Returns:
            The email, and the number of its relay; or None.
        """
        if self.bound and (bound := self.pick_bound(now)) is not None:
            return bound
        only = self._only
        if only is not None:
            mails = self._main.undrawn
            # Most often it is full, which is seen without a call.
            if mails and only.busy < only.most and only.try_acquire(now):
                return mails.popleft(), 0
            return None
        waits = self._waits(now)
        if min(waits) > 0:
            return None
        usable = self._usable(waits)
        for line in self._lines():
            found = line.pick(usable, waits, self._draw)
            if found is None:
                continue
            if line.avoid and not line:
                del self._others[line.avoid]
            acquired = self._relays[found[1]].try_acquire(now)
            assert acquired, "a relay without wait must be acquirable"
            return found
        return None

    def pick_bound(self, now: float) -> tuple[MailT, int] | None:
        """Do as `pick`, but only with emails that are bound to a relay."""
        for number, mails in self.bound.items():
            if self._relays[number].try_acquire(now):
                mail = mails.popleft()
                if not mails:
                    del self.bound[number]
                return mail, number
        return None

    def next_time(self, now: float) -> float | None:
        """Return when to check again, even if nothing happens until then.

        Args:
            now: the time, at which `pick` has just returned None.

        Returns:
            A time later than `now`; None to wait for a new email or the end of an attempt.
        """
        only = self._only
        if only is not None:
            if only.busy >= only.most or not (self._main.undrawn or self.bound):
                return None
            wait = only.seconds_until_ready(now)
        else:
            waits = self._waits(now)
            usable = self._usable(waits)
            wait = min((line.wait(usable, waits) for line in self._lines()), default=math.inf)
            wait = min([wait, *(waits[number] for number in self.bound)])
        return now + wait if 0 < wait < math.inf else None

    @property
    def oldest_head(self) -> float:
        """When the oldest email at the head of a line was submitted; `math.inf` if none is."""
        if self._only is not None:
            mails = self._main.undrawn
            return mails[0].submitted_at if mails else math.inf
        return min((line.oldest_head for line in self._lines()), default=math.inf)

    def take_expired(self, now: float, give_up_after: float) -> list[MailT]:
        """Remove and return those at the head of a line that were queued for too long.

        Args:
            now: the time.
            give_up_after: seconds after its submission when an email is given up.
        """
        found: list[MailT] = []
        for line in list(self._lines()):
            found += line.take_expired(now - give_up_after)
            if line.avoid and not line:
                del self._others[line.avoid]
        return found

    def take_all(self) -> list[MailT]:
        """Remove and return all, in order."""
        found = [mail for line in self._lines() for mail in line.take_all()]
        self._others.clear()
        return found

    def _lines(self) -> "Iterator[_Line[MailT]]":
        # Emails that a relay has failed come first, because they have been queued for longer.
        return itertools.chain(self._others.values(), (self._main,))

    def _waits(self, now: float) -> list[float]:
        return [relay.seconds_until_ready(now) for relay in self._relays]

    def _usable(self, waits: Sequence[float]) -> list[int]:
        """Return the relays that are not dead, or may be probed now."""
        return [
            number
            for number, relay in enumerate(self._relays)
            if waits[number] <= 0 or not relay.is_dead
        ]


class _Line(Generic[MailT]):
    """Emails that have the same choice of relays.

    Args:
        relays: all of them.
        avoid: the numbers of the relays that have failed these emails.

    Attributes:
        avoid: as given.
        undrawn: the emails for which no relay is drawn, in order.
    """

    __slots__ = ("_drawn", "_draws", "_relays", "avoid", "undrawn")

    def __init__(self, relays: Sequence[Capacity], avoid: frozenset[int]) -> None:
        self.avoid = avoid
        self.undrawn: deque[MailT] = deque()
        self._relays = relays
        # By relay; each email with the number of its draw, which restores the order.
        self._drawn: dict[int, deque[tuple[int, MailT]]] = {}  # without empty ones
        self._draws = 0

    def __len__(self) -> int:
        if not self._drawn:
            return len(self.undrawn)
        return len(self.undrawn) + sum(map(len, self._drawn.values()))

    def __iter__(self) -> Iterator[MailT]:
        yield from self.undrawn
        for drawn in self._drawn.values():
            for _, mail in drawn:
                yield mail

    def _choice(self, usable: Sequence[int]) -> Sequence[int]:
        """Return the relays that an email may go to: one, or several with weights to draw from.

        Args:
            usable: the numbers of the relays that are alive, or may be probed, in order.
        """
        # A relay that has failed this email is better than none.
        numbers = [n for n in usable if n not in self.avoid] if self.avoid else usable
        numbers = numbers or usable
        if not numbers or self._relays[numbers[0]].weight is None:
            # Emails wait for a busy relay: those after it are used only if it is dead.
            return numbers[:1]
        return [n for n in numbers if self._relays[n].weight is not None]

    def pick(
        self, usable: Sequence[int], waits: Sequence[float], draw: Callable[[], float]
    ) -> tuple[MailT, int] | None:
        """Remove the next email that may go now, if any, and return it with its relay.

        Args:
            usable: as for `_choice`.
            waits: the seconds until each relay is ready.
            draw: returns random numbers.
        """
        choice = self._choice(usable)
        if self._drawn:
            self._undraw(choice)
            for number in choice:
                if waits[number] <= 0 and number in self._drawn:
                    return self._pop_drawn(number), number
        if all(waits[number] > 0 for number in choice):
            return None
        # A relay is drawn once for each email, however often this is called.
        while self.undrawn:
            number = choice[0]
            if len(choice) > 1:
                number = self._by_weight(choice, draw())
            mail = self.undrawn.popleft()
            if waits[number] <= 0:
                return mail, number
            self._draws += 1
            self._drawn.setdefault(number, deque()).append((self._draws, mail))
        return None

    def wait(self, usable: Sequence[int], waits: Sequence[float]) -> float:
        """Return the seconds until an email can be sent, if none can now; `math.inf` for never.

        Args:
            usable: as for `_choice`.
            waits: the seconds until each relay is ready.
        """
        if not self:
            return math.inf
        least = math.inf
        for number in self._choice(usable):
            if waits[number] < least and (self.undrawn or number in self._drawn):
                least = waits[number]
        for number, wait in enumerate(waits):
            # A dead relay that an email would go to when a probe is due.
            if wait < least and number not in usable:
                then = [*usable]
                bisect.insort(then, number)
                if number in self._choice(then):
                    least = wait
        return least

    @property
    def oldest_head(self) -> float:
        """When the oldest email at a head was submitted; `math.inf` if there is none."""
        heads = [mails[0][1].submitted_at for mails in self._drawn.values()]
        if self.undrawn:
            heads.append(self.undrawn[0].submitted_at)
        return min(heads, default=math.inf)

    def take_expired(self, submitted_before: float) -> Iterator[MailT]:
        """Remove and yield those at the head that were submitted then, or earlier."""
        while self.undrawn and self.undrawn[0].submitted_at <= submitted_before:
            yield self.undrawn.popleft()
        for number, mails in list(self._drawn.items()):
            while mails and mails[0][1].submitted_at <= submitted_before:
                yield self._pop_drawn(number)

    def take_all(self) -> Iterator[MailT]:
        """Remove and yield all, in order."""
        self._undraw(())
        mails, self.undrawn = self.undrawn, deque()
        yield from mails

    def _pop_drawn(self, number: int) -> MailT:
        mails = self._drawn[number]
        _, mail = mails.popleft()
        if not mails:
            del self._drawn[number]
        return mail

    def _undraw(self, choice: Sequence[int]) -> None:
        """Put back emails drawn for a relay that is not in the choice any more."""
        lost = [number for number in self._drawn if number not in choice]
        if lost:
            mails = sorted(itertools.chain.from_iterable(map(self._drawn.pop, lost)), key=_drawn_as)
            self.undrawn.extendleft(mail for _, mail in reversed(mails))

    def _by_weight(self, choice: Sequence[int], drawn: float) -> int:
        sums = list(itertools.accumulate(self._relays[n].weight or 0.0 for n in choice))
        return choice[bisect.bisect(sums, drawn * sums[-1], hi=len(sums) - 1)]


def _drawn_as(entry: "tuple[int, MailT]") -> int:
    return entry[0]

"""One relay of a `Mailer`: how to reach it, its open connections, and what it can take."""

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from ..signals.outcome import Outcome, SendFailure
from ..smtp.session import Session
from ..smtp.stage import BEFORE_THE_MAIL
from ..smtp.verdict import FailureKind, Verdict
from .concurrency import ConcurrencyWindow
from .connection import Connection
from .connection_limit import connection_limit
from .event_loop import event_loop
from .options import Options
from .pacing import Rate, TokenBucket

# What says nothing about the relay: the mail was at fault, or we were, or nobody.
_NOT_THE_RELAYS = frozenset({FailureKind.LOCAL, FailureKind.CANCELLED, FailureKind.INTERNAL})

_TURN = 10
"""Mails after which a connection is left if somebody else waits for its permit. To open another
then costs each of them little; to wait for a long queue to end would cost some of them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a `Mailer` allows itself with each relay.

    Attributes:
        max_connections: connections at once.
        first_connections: the same at first, until the relay has shown that it takes more.
        max_mails_per_connection: mails on one connection.
        idle_timeout: seconds that a connection may wait for the next mail.
        rate: mails a second, or None.
    """

    max_connections: int
    first_connections: int
    max_mails_per_connection: int
    idle_timeout: float
    rate: Rate | None


class Kept:
    """A connection that waits for the next mail; it is its owner meanwhile.

    Attributes:
        connection: the connection, with a permit of the connection limit.
        session: what is known of the session on it.
        since: when it began to wait, on the loop's clock.
    """

    __slots__ = ("_relay", "connection", "session", "since")

    def __init__(self, relay: "Relay", connection: Connection, session: Session) -> None:
        self._relay = relay
        self.connection = connection
        self.session = session
        self.since = event_loop().loop.time()
        connection.rest(self)
        connection_limit.offer(self, self._give_up)

    def _give_up(self) -> None:
        """Close: somebody else waits for a permit. May be called from any thread."""
        event_loop().loop.call_soon_threadsafe(self.close)

    def close(self) -> None:
        """Take leave of the server, unless the connection is in use again."""
        if self._relay.forget(self):
            self.leave()

    def leave(self) -> None:
        """Take leave of the server."""
        self.connection.cancel()

    def connected(self) -> None:
        """Nothing to do: it has been for long."""

    def decided(self, verdict: Verdict) -> None:
        """Nothing to do: there is no mail."""

    def released(self) -> None:
        """Nothing to do: nobody uses it."""

    def closed(self) -> None:
        """Give the permit back: the connection is gone."""
        self._relay.forget(self)
        connection_limit.take_back(self)
        connection_limit.release()


class Relay:
    """One relay. Lives on the loop thread.

    Attributes:
        options: how to reach it.
        weight: how often it is chosen among others, or None for one that is tried in order.
        window: how many mails may be on their way to it.
        busy: how many are.
        last_failure: why a mail failed that could not reach it, in one line.
    """

    def __init__(self, options: Options, limits: Limits, weight: float | None = None) -> None:
        self.options = options
        self.weight = weight
        self.window = ConcurrencyWindow(limits.max_connections, first=limits.first_connections)
        self.busy = 0
        self.last_failure = ""
        self._limits = limits
        self._bucket: TokenBucket | None = None
        self._idle: dict[Kept, None] = {}  # in the order in which they began to wait
        # The connection that became free just now: mostly, the next mail is here already.
        self._free: tuple[Connection, Session] | None = None

    @property
    def idle(self) -> int:
        """How many connections wait for the next mail."""
        return len(self._idle)

    @property
    def _most(self) -> int:
        # Those above the process's limit would only wait for one another's connections.
        return min(self._limits.max_connections, connection_limit.limit)

    def may_begin(self, now: float) -> bool:
        """Whether a mail may go there now. If so, it counts as on its way: `begin` it.

        Args:
            now: the time, on the loop's clock.
        """
        if self.busy >= self._most:
            return False
        if self._bucket is None:
            if self._limits.rate is None:
                return self.window.may_begin(self.busy, now)
            self._bucket = TokenBucket(self._limits.rate, now)
        if not self._bucket.take(now):
            return False
        if self.window.may_begin(self.busy, now):
            return True
        self._bucket.give_back()
        return False

    def is_worth_trying(self, now: float) -> bool:
        """Whether it is alive, or dead and due for a probe.

        Args:
            now: the time, on the loop's clock.
        """
        revives_at = self.window.revives_at
        return not self.window.is_dead or (revives_at is not None and revives_at <= now)

    def wait(self, now: float) -> float | None:
        """Return in how many seconds a mail may go there, if only time is what it takes.

        Args:
            now: the time, on the loop's clock.
        """
        revives_at = self.window.revives_at
        if revives_at is not None:
            return max(0.0, revives_at - now)
        if self._bucket is None or self.busy >= min(self.window.limit, self._most):
            return None
        return self._bucket.wait(now)

    def ended(self, outcome: Outcome, since: float, now: float) -> None:
        """Learn from what became of a mail.

        Args:
            outcome: it.
            since: when the mail was let go.
            now: the time. Both are of the loop's clock.
        """
        if not isinstance(outcome, SendFailure):
            self.window.succeeded(now)
        elif outcome.kind in _NOT_THE_RELAYS:
            self.window.released(since=since)
        elif outcome.kind is not FailureKind.SMTP or outcome.stage in BEFORE_THE_MAIL:
            # A refused login, too: whoever goes on with a wrong password is locked out.
            self.last_failure = outcome.detail
            self.window.failed(now, since=since)
        elif outcome.retryable:
            self.window.pushed_back(now, since=since)
        else:
            self.window.succeeded(now)

    # Connections that wait.

    def take(self) -> tuple[Connection, Session] | None:
        """Return a connection that can be used, and that nobody else has; with its permit."""
        free, self._free = self._free, None
        if free is not None:
            if free[0].is_usable and free[1].may_be_reused:
                return free
            self._keep(*free)
        while self._idle:
            kept, _ = self._idle.popitem()  # the one that waited least: the others may expire
            connection_limit.take_back(kept)
            if kept.connection.is_usable and kept.session.may_be_reused:
                return kept.connection, kept.session
            kept.connection.discard()
        return None

    def give_back(self, connection: Connection, session: Session) -> None:
        """Take a connection back, with its permit; `settle` next."""
        if connection_limit.is_wanted and connection.served + 1 >= _TURN:
            Kept(self, connection, session).leave()
        else:
            self._free = connection, session

    def settle(self) -> None:
        """Keep what was given back, if nobody has taken it at once."""
        free, self._free = self._free, None
        if free is not None:
            self._keep(*free)

    def _keep(self, connection: Connection, session: Session) -> None:
        self._idle[Kept(self, connection, session)] = None

    def keeps_another(self, served: int) -> bool:
        """Whether a connection may be kept after one more mail.

        Args:
            served: how many it has had.
        """
        return served + 1 < self._limits.max_mails_per_connection

    def forget(self, kept: Kept) -> bool:
        """Keep a connection no more; return whether it was kept."""
        return self._idle.pop(kept, self) is None

    def expire(self, now: float) -> None:
        """Close what has waited for too long.

        Args:
            now: the time, on the loop's clock.
        """
        while self._idle:
            oldest = next(iter(self._idle))
            if now - oldest.since < self._limits.idle_timeout:
                return
            oldest.close()

    def close(self) -> None:
        """Close all that wait."""
        for kept in list(self._idle):
            kept.close()

    def abandon(self) -> None:
        """Let go of the sockets in a forked child."""
        for kept in self._idle:
            kept.connection.abandon()


def choose(relays: Sequence[Relay], avoid: frozenset[int], now: float, draw: float) -> int | None:
    """Choose the relay for a mail: the first that can be used, or one by weight; None for none.

    Also one that is dead, if it is time to see whether it still is; if so, the mail moves on.

    Args:
        relays: in the order in which they are to be tried.
        avoid: those that have failed this mail already, by number.
        now: the time, on the loop's clock.
        draw: a random number from 0 to less than 1, the same for a mail until it goes: to draw
            again for each look would choose whichever is free, whatever it weighs.
    """
    if len(relays) == 1:
        return 0 if relays[0].may_begin(now) else None
    usable = [n for n, relay in enumerate(relays) if relay.is_worth_trying(now)]
    # One that has failed this mail is better than none.
    numbers = [n for n in usable if n not in avoid] or usable
    if numbers and relays[numbers[0]].weight is not None:
        numbers = [_by_weight(relays, numbers, draw)]
    for number in numbers:
        if relays[number].may_begin(now):
            return number
        if not relays[number].window.is_dead:
            # A relay that is only busy is waited for: the backups are for when it is dead.
            return None
    return None


def _by_weight(relays: Sequence[Relay], numbers: Sequence[int], draw: float) -> int:
    """Return the number of one of those relays that have a weight."""
    weighty = [n for n in numbers if relays[n].weight is not None]
    sums = list(itertools.accumulate(relays[n].weight or 0.0 for n in weighty))
    return weighty[bisect.bisect(sums, draw * sums[-1], hi=len(sums) - 1)]

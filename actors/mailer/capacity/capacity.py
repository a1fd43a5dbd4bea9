"""The capacity of one relay: its window, its rate and its connections, counted together.

Pure arithmetic: the time is passed in, in seconds of a monotonic clock, and nothing here waits.
Use an instance on one thread only.
"""

import math
from dataclasses import dataclass

from .concurrency import LONGEST_PAUSE, ConcurrencyWindow
from .pacing import Rate, TokenBucket


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a `Mailer` for each relay.

    Attributes:
        max_connections: connections at once.
        initial_connections: the same at first, until the relay has accepted enough emails.
        max_mails_per_connection: transactions on one connection.
        idle_timeout: seconds that a connection may be idle.
        rate: emails per second, or None.
        longest_pause: seconds between probes of a dead relay at most.
    """

    max_connections: int
    initial_connections: int
    max_mails_per_connection: int
    idle_timeout: float
    rate: Rate | None
    longest_pause: float = LONGEST_PAUSE


class Capacity:
    """Decides whether one more email may be sent to a relay.

    Each True of `try_acquire` must be followed by one call of `release`.

    Args:
        limits: the Mailer's limits.
        window: the concurrency window.
        weight: its share in a weighted random choice, or None if relays are tried in order.

    Attributes:
        weight: as given.
        window: as given.
        busy: emails in flight.
        most: the upper limit of `busy`, whatever the window is.
        bucket: the token bucket of its rate; None without a rate, or before the first email.
        last_failure: the detail of the last failure of the relay itself; empty if there was none.
    """

    __slots__ = ("_limits", "bucket", "busy", "last_failure", "most", "weight", "window")

    def __init__(
        self, limits: Limits, window: ConcurrencyWindow, weight: float | None = None
    ) -> None:
        self.weight: float | None = weight
        self.window: ConcurrencyWindow = window
        self.busy: int = 0
        self.most: int = limits.max_connections
        self.bucket: TokenBucket | None = None
        self.last_failure: str = ""
        self._limits = limits

    @property
    def idle(self) -> int:
        """The number of idle connections to it."""
        return 0

    @property
    def is_dead(self) -> bool:
        """Whether it has failed too often, so that it only gets probes."""
        return self.window.is_dead

    def seconds_until_ready(self, now: float) -> float:
        """Return how long one more email has to wait.

        `try_acquire` returns True exactly if this is 0.0. A caller that sleeps for the seconds
        returned does not spin: what time alone brings is never reported as 0.0 too early.

        Args:
            now: the time.

        Returns:
            0.0 if it may be sent now; above 0.0 the seconds after which it may, if nothing happens
            before; `math.inf` if another email has to end first.
        """
        if self.busy >= self.most:
            return math.inf
        wait = self.window.seconds_until_ready(self.busy, now)
        if self._limits.rate is None or wait == math.inf:
            return wait
        return max(wait, self._tokens(self._limits.rate, now).seconds_until_ready(now))

    def is_available(self, now: float) -> bool:
        """Return whether it is not dead, or may be probed now.

        Args:
            now: the time.
        """
        return not self.window.is_dead or self.seconds_until_ready(now) <= 0

    def try_acquire(self, now: float) -> bool:
        """Count one more email in flight if that is allowed; return whether it is.

        Args:
            now: the time.
        """
        if self.busy >= self.most:
            return False
        rate = self._limits.rate
        if rate is None:
            if not self.window.try_acquire(self.busy, now):
                return False
        else:
            bucket = self._tokens(rate, now)
            if not bucket.take(now):
                return False
            if not self.window.try_acquire(self.busy, now):
                bucket.give_back()
                return False
        self.busy += 1
        return True

    def release(self) -> None:
        """Count one email less in flight."""
        self.busy -= 1

    def _tokens(self, rate: Rate, now: float) -> TokenBucket:
        # Created at the first email, so that it is full then, however old the Mailer is.
        if self.bucket is None:
            self.bucket = TokenBucket(rate, now)
        return self.bucket

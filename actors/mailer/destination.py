"""What one relay can take: its window, its rate and its connections, counted together.

Pure arithmetic: the time is passed in, in seconds of a clock that never goes back, and nothing
here waits. Whoever owns a destination uses it on one thread only.
"""

import math
from dataclasses import dataclass

from .concurrency import ConcurrencyWindow
from .pacing import Rate, TokenBucket


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


class Destination:
    """Where mails go, as far as it matters for whether one more may.

    What `try_acquire` has allowed is to end in one call of `release`.

    Args:
        limits: what we allow ourselves with it.
        window: how many mails may be on their way to it.
        weight: how often it is chosen among others, or None for one that is tried in order.

    Attributes:
        weight: as given.
        window: as given.
        busy: how many mails are on their way to it.
    """

    def __init__(
        self, limits: Limits, window: ConcurrencyWindow, weight: float | None = None
    ) -> None:
        self.weight = weight
        self.window = window
        self.busy: int = 0
        self._limits = limits
        self._bucket: TokenBucket | None = None

    @property
    def most(self) -> int:
        """How many mails may be on their way to it, whatever the window says."""
        return self._limits.max_connections

    @property
    def is_dead(self) -> bool:
        """Whether it has failed too often: nothing but a probe may go there."""
        return self.window.is_dead

    def wait(self, now: float) -> float:
        """Return what one more mail has to wait for.

        `try_acquire` gives its yes exactly where this is 0.0; in between it is never 0.0 for
        something that time brings. So whoever sleeps as long as this says does not spin.

        Args:
            now: the time.

        Returns:
            0.0 if it may go now; above 0.0 the seconds after which it may, if nothing happens
            before; `math.inf` if time alone will not do: a mail has to end first.
        """
        if self.busy >= self.most:
            return math.inf
        wait = self.window.wait(self.busy, now)
        if self._limits.rate is None or wait == math.inf:
            return wait
        return max(wait, self._tokens(self._limits.rate, now).wait(now))

    def is_usable(self, now: float) -> bool:
        """Return whether it is alive, or dead and may be probed at this moment.

        Args:
            now: the time.
        """
        return not self.window.is_dead or self.wait(now) <= 0

    def try_acquire(self, now: float) -> bool:
        """Count one more mail as on its way, if one may go; return whether it may.

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
        """Count one mail less as on its way."""
        self.busy -= 1

    def _tokens(self, rate: Rate, now: float) -> TokenBucket:
        # Full at the first mail: the program may have made its Mailer long before.
        if self._bucket is None:
            self._bucket = TokenBucket(rate, now)
        return self._bucket

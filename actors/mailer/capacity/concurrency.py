"""The concurrency window: how many emails may be in flight to one relay, as it can handle them.

The window grows by one after as many successes as it is wide, and shrinks by one at the first of
as many failures. This is the 1/N feedback of Postfix's queue manager. Its SCHEDULER_README has the
measurements: adding 1/N climbs steadily, while adding 1 would double the window and overshoot;
subtracting at the first of N failures corrects an overload before it has cost N emails.

Failures in a row are counted besides. A destination that fails a whole window's worth of emails
without a success is dead: nothing is sent to it until a single email, the probe, succeeds.

Pure arithmetic: the time is passed in, in seconds of a monotonic clock, and nothing here waits. Use
a window on one thread only.
"""

import math

INITIAL_CONCURRENCY = 5
"""The initial width of a window: Postfix's initial_destination_concurrency. It is more than 1, so
that one bad email does not delay all others, and small enough not to overload a small server."""

# How many windows' worth of failures in a row make a destination dead: Postfix's
# destination_concurrency_failed_cohort_limit.
_FAILED_COHORTS = 1.0
# But never fewer failures than these. At a window of 1 a single one would be a window's worth, and
# that may have been one bad email, or a connection lost by chance.
_LEAST_FAILURES = 3
# The sum of ten floats of 0.1 is less than 1.
_ROUNDING = 1e-9

FIRST_PAUSE = 10.0
"""Seconds from death to the first probe: about what a server takes to restart."""
LONGEST_PAUSE = 300.0
"""Seconds between probes at most. A probe costs little, and five minutes are what a person waits
after having repaired a server."""


class ConcurrencyWindow:
    """The number of emails that may be in flight to one destination.

    Each True of `try_acquire` must be followed by exactly one call of `succeeded`, `failed`,
    `deferred` or `released`.

    A destination that revives begins with a window of 1, not with `first`: it has just been down,
    all its clients come back at the same time, and growing from 1 to 5 takes ten emails. The pause
    doubles with each failed probe. It is reset once the window is as wide as at first: a
    destination that accepts one email between two deaths has not recovered.

    Args:
        most: the maximum width.
        first: the initial width, at most `most`.
        pause: seconds from death to the first probe.
        longest_pause: seconds between probes at most.

    Raises:
        ValueError: an argument is out of range.
    """

    __slots__ = (
        "_already_answered",
        "_asked",
        "_failed_cohorts",
        "_failures",
        "_first",
        "_is_probing",
        "_limit",
        "_longest_pause",
        "_max",
        "_next_pause",
        "_next_probe_at",
        "_pause",
        "_state_since",
        "_successes",
    )

    def __init__(
        self,
        most: int,
        *,
        first: int = INITIAL_CONCURRENCY,
        pause: float = FIRST_PAUSE,
        longest_pause: float = LONGEST_PAUSE,
    ) -> None:
        if most < 1 or first < 1:
            raise ValueError(f"a window needs to be at least 1 wide, not {min(most, first)}")
        if not 0 < pause <= longest_pause:
            raise ValueError(f"a pause needs to be from 0 to {longest_pause} seconds, not {pause}")
        self._max = most
        self._first = min(first, most)
        self._pause = self._next_pause = pause
        self._longest_pause = longest_pause
        self._asked = 0  # how many were busy at the last call
        self._next_probe_at: float | None = None
        self._is_probing = False
        self._state_since = float("-inf")
        self._open(self._first)

    def _open(self, limit: int) -> None:
        """Begin anew with a window as wide as that."""
        self._limit = limit
        self._successes = 0  # towards the next wider window
        self._already_answered = 0  # failures that the last narrower window has answered already
        self._failures, self._failed_cohorts = 0, 0.0  # in a row

    @property
    def limit(self) -> int:
        """The number of emails that may be in flight: 1 to `most`; 1, the probe, when dead."""
        return self._limit

    @property
    def is_dead(self) -> bool:
        """Whether the destination has failed too often, so that it only gets probes."""
        return self._next_probe_at is not None

    @property
    def is_probing(self) -> bool:
        """Whether the destination is dead, and a probe is in flight."""
        return self._is_probing

    @property
    def next_probe_at(self) -> float | None:
        """When a probe may begin; None if it is not dead, or while a probe is in flight."""
        return None if self._is_probing else self._next_probe_at

    def seconds_until_ready(self, busy: int, now: float) -> float:
        """Return how long one more email has to wait.

        Args:
            busy: the number of emails in flight to this destination.
            now: the time, in seconds.

        Returns:
            0.0 if it may begin now; else the seconds until a probe may, or `math.inf` if one of
            those in flight has to end first.
        """
        if self._next_probe_at is None:
            return 0.0 if busy < self._limit else math.inf
        return math.inf if self._is_probing else max(0.0, self._next_probe_at - now)

    def try_acquire(self, busy: int, now: float) -> bool:
        """Return whether one more email may begin; if the destination is dead, as its probe.

        Call this last, when everything else allows the email to begin: after a True from a dead
        destination, that email is the probe. If it does not begin after all, call `released`.

        Args:
            busy: the number of emails in flight to this destination.
            now: the time, in seconds.
        """
        self._asked = busy
        if self._next_probe_at is None:
            return busy < self._limit
        if self._is_probing or now < self._next_probe_at:
            return False
        # Emails in flight since before it died do not count, because they may hang for long.
        self._is_probing = True
        self._state_since = now
        return True

    def succeeded(self, now: float) -> bool:
        """Record that the destination accepted or rejected (5yz) an email.

        This revives a dead destination, whether the email was the probe or began before.

        Args:
            now: the time, in seconds.

        Returns:
            Whether it was dead.
        """
        if self._next_probe_at is not None:
            self._revive(now)
            return True
        self._failures, self._failed_cohorts = 0, 0.0
        # A window much wider than what is used was never tried: it would only put off the moment
        # when failures begin to tell.
        if self._limit < self._max and self._limit < self._asked + self._first:
            self._successes += 1
            if self._successes >= self._limit:
                self._limit += 1
                self._successes = self._already_answered = 0
        if self._limit >= self._first:
            self._next_pause = self._pause
        return False

    def failed(self, now: float, *, since: float | None = None) -> bool:
        """Record that the destination was unreachable, or refused the session.

        Such failures are connections that fail or are lost, timeouts, and 421 as a greeting.

        Args:
            now: the time, in seconds.
            since: when that mail's `try_acquire` was. What began before the destination died, or
                came back, tells nothing new and is not counted. None: it is counted.

        Returns:
            Whether it is dead now, and was not before.
        """
        if self._is_old(since):
            return False
        if self._next_probe_at is not None:
            if self._is_probing:
                self._die(now)
            return False
        self._failures += 1
        self._failed_cohorts += 1 / self._limit
        if (
            self._failures >= _LEAST_FAILURES
            and self._failed_cohorts >= _FAILED_COHORTS - _ROUNDING
        ):
            self._die(now)
            return True
        self._shrink()
        return False

    def deferred(self, now: float, *, since: float | None = None) -> bool:
        """Record that the destination deferred an email with a 4yz reply.

        The window shrinks as after a failure, but the destination is alive. Otherwise a server
        that greylists would be dead after five unknown recipients.

        Args:
            now: the time, in seconds.
            since: as for `failed`.

        Returns:
            Whether it was dead.
        """
        if self._next_probe_at is not None:
            self._revive(now)
            return True
        if not self._is_old(since):
            self._failures, self._failed_cohorts = 0, 0.0
            self._shrink()
        return False

    def released(self, *, since: float | None = None) -> None:
        """Record that an email ended without information about the destination: it was cancelled.

        If it was the probe, another may begin at once.

        Args:
            since: as for `failed`.
        """
        if not self._is_old(since):
            self._is_probing = False

    def _is_old(self, since: float | None) -> bool:
        return since is not None and since < self._state_since

    def _shrink(self) -> None:
        """Shrink the window by one, and then ignore as many failures as it is wide."""
        if self._already_answered > 0:
            self._already_answered -= 1
        elif self._limit > 1:
            self._limit -= 1
            self._already_answered = self._limit
            self._successes = 0

    def _die(self, now: float) -> None:
        self._open(1)
        self._is_probing = False
        self._next_probe_at = now + self._next_pause
        self._next_pause = min(2 * self._next_pause, self._longest_pause)

    def _revive(self, now: float) -> None:
        self._open(1)
        self._is_probing = False
        self._next_probe_at = None
        self._state_since = now

    def __repr__(self) -> str:
        if self._is_probing:
            return "<ConcurrencyWindow dead, probing>"
        if self._next_probe_at is not None:
            return f"<ConcurrencyWindow dead, probe at {self._next_probe_at:.1f}>"
        return f"<ConcurrencyWindow {self._limit} of {self._max}>"

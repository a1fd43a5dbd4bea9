"""The shutdown of a `Mailer`: queued emails are cancelled, those in flight may finish in time.

On the loop thread.
"""

from ...smtp.words.verdict import FailureKind
from ..loop import guard
from .jobs.job import Part
from .jobs.jobs import Jobs
from .jobs.retries import Retries
from .queue.destinations import Destinations
from .sending import Sending

_STOPPED = "stopped before it was sent"


class Ending:
    """Shuts a Mailer down in steps, each of which may be repeated.

    Args:
        owner: the Mailer, which handles errors.
        destinations: the queues.
        jobs: the emails without an outcome.
        retries: told not to retry any more.
        sending: the attempts in flight.
        grace: seconds that emails in flight have to finish.

    Attributes:
        has_begun: whether the shutdown has begun.
        grace: as given, or 0 once everything is to be cancelled.
    """

    has_begun: bool

    def __init__(
        self,
        owner: guard.Guarded,
        destinations: Destinations[Part],
        jobs: Jobs,
        retries: Retries,
        sending: Sending,
        grace: float,
    ) -> None:
        self.has_begun = False
        self._owner = owner
        self._destinations = destinations
        self._jobs = jobs
        self._retries = retries
        self._sending = sending
        self.grace: float = grace
        self._grace_ends: float | None = None

    @property
    def is_done(self) -> bool:
        """Whether no email is in flight any more."""
        return not self._sending.in_flight

    def begin(self, now: float, *, at_once: bool) -> None:
        """Begin the shutdown: start no more attempts, and cancel queued emails.

        Args:
            now: the time, on the loop's clock.
            at_once: also cancel emails in flight.
        """
        if at_once:
            self.grace = 0.0
        if not self.has_begun:
            self.forbid_more()
            self._grace_ends = now + self.grace
        self.cancel_waiting()
        if self.grace <= 0:
            self._sending.cancel_in_flight()

    def forbid_more(self) -> None:
        """Start no more attempts, and schedule no more retries."""
        self.has_begun = self._sending.is_over = self._retries.is_over = True

    def cancel_waiting(self) -> None:
        """Cancel all queued emails."""
        for destination in list(self._destinations):
            for part in self._destinations.take_all(destination):
                guard.call(self._owner, self.cancel_part, part)

    def cancel_part(self, part: Part) -> None:
        """Cancel a part that is not in flight."""
        now = self._sending.time()
        self._jobs.fail_without_attempt(part, FailureKind.CANCELLED, _STOPPED, now)

    def on_tick(self, now: float) -> None:
        """Cancel emails in flight once the grace period is over.

        Args:
            now: the time, on the loop's clock.
        """
        if self._grace_ends is not None and now >= self._grace_ends:
            self._sending.cancel_in_flight()
            self._grace_ends = None

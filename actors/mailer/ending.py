"""The end of a `Mailer`: what waits is cancelled, and what is on its way may finish for a while.

On the loop thread.
"""

from ...smtp.words.verdict import FailureKind
from ..loop import guard
from .destinations import Destinations
from .job import Part
from .jobs import Jobs
from .retries import Retries
from .sending import Sending

_STOPPED = "stopped before it was sent"


class Ending:
    """Stops what is under way, step by step; each may be done again.

    Args:
        owner: the Mailer, which answers for errors.
        destinations: where mails wait.
        jobs: the mails.
        retries: what follows an attempt: nothing any more.
        sending: what is on its way.
        grace: seconds that transactions under way have to finish.

    Attributes:
        has_begun: whether the Mailer stops.
    """

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
        self._grace = grace
        self._grace_ends: float | None = None

    @property
    def is_done(self) -> bool:
        """Whether nothing is on its way any more."""
        return not self._sending.in_flight

    def begin(self, now: float, *, at_once: bool) -> None:
        """Let no more mails go, and cancel those that wait.

        Args:
            now: the time, on the loop's clock.
            at_once: give no grace.
        """
        if at_once:
            self._grace = 0.0
        if not self.has_begun:
            self.forbid_more()
            self._grace_ends = now + self._grace
        self.cancel_waiting()
        if self._grace <= 0:
            self._sending.cancel_in_flight()

    def forbid_more(self) -> None:
        """Let no more mails go, and try none again."""
        self.has_begun = self._sending.is_over = self._retries.is_over = True

    def cancel_waiting(self) -> None:
        """Cancel all mails that wait."""
        for destination in list(self._destinations):
            for part in self._destinations.take_all(destination):
                guard.call(self._owner, self._cancel, part)

    def _cancel(self, part: Part) -> None:
        now = self._sending.time()
        self._jobs.fail_without_attempt(part, FailureKind.CANCELLED, _STOPPED, now)

    def on_tick(self, now: float) -> None:
        """Cancel what is on its way when the grace is over.

        Args:
            now: the time, on the loop's clock.
        """
        if self._grace_ends is not None and now >= self._grace_ends:
            self._sending.cancel_in_flight()
            self._grace_ends = None

"""How a `Mailer` takes an email: splits it into parts and queues them, or refuses it.

On the loop thread.
"""

from collections.abc import Sequence

from ...signals.send_mail import SendMail
from ...smtp.words.verdict import Failed, FailureKind
from ..loop.asyncio_actor import Answer
from ..loop.event_loop import event_loop
from .jobs.job import Job, Part
from .jobs.jobs import Jobs
from .queue.destinations import Destinations
from .routing import Routing
from .sending import Sending

_TOO_LATE = "the Mailer was stopped before it handled the email"
_NO_FAILURE: Sequence[Failed | None] = (None,)


class Intake:
    """Takes the emails that a Mailer is told.

    Args:
        routing: splits each email into parts.
        jobs: the emails without an outcome.
        destinations: the queues.
        sending: starts attempts.
        max_queued: the upper limit of queued parts.

    Attributes:
        last: the last email taken. It is among the jobs, so errors after that do not lose it.
    """

    def __init__(
        self,
        routing: Routing,
        jobs: Jobs,
        destinations: Destinations[Part],
        sending: Sending,
        max_queued: int,
    ) -> None:
        self.last: SendMail | None = None
        self._routing = routing
        self._jobs = jobs
        self._destinations = destinations
        self._sending = sending
        self._max_queued = max_queued

    def take(self, mail: SendMail, answer: Answer, *, is_pressing: bool) -> None:
        """Take an email; start its attempts at once if that is possible.

        Args:
            mail: the email.
            answer: the answer to an `ask`.
            is_pressing: whether a signal receiver may be waiting for its outcome.
        """
        job = Job(mail, answer, self._sending.time(), is_pressing)
        failures = _NO_FAILURE
        if self._routing.is_by_domain:
            failures = self._routing.split(job)
        else:
            job.parts = (Part(job, mail.envelope, self._routing.fixed),)
        self._jobs.add(job)
        self.last = mail
        destinations = self._destinations
        waiting = destinations.queued + destinations.retries
        if self._sending.is_over:
            self._refuse(job, FailureKind.CANCELLED, _TOO_LATE)
            return
        if waiting >= self._max_queued:
            detail = f"{waiting} emails are queued already (max_queued); submit it again later"
            self._refuse(job, FailureKind.LOCAL, detail)
            return
        is_any_new = False
        for number, part in enumerate(job.parts):
            failed = failures[number]
            if failed is not None:
                self._jobs.fail(part, failed, job.submitted_at)
            elif is_pressing:
                # First in its queue: it must not wait for whatever the emails before it wait for.
                destinations.prepend(part)
                is_any_new = True
            elif destinations.append(part):
                is_any_new = True
        if is_any_new:
            self._sending.dispatch()

    def take_lost(self, mail: SendMail) -> Job:
        """Take an email that is not queued, but needs an outcome.

        Args:
            mail: the email.
        """
        job = Job(mail, Answer(None, set()), event_loop().loop.time())
        job.parts = (Part(job, mail.envelope, self._routing.fixed),)
        self._jobs.add(job)
        return job

    def refuse_late(self, mail: SendMail) -> None:
        """Refuse an email that came after the Mailer had stopped, with an outcome.

        Args:
            mail: the email.
        """
        self._refuse(self.take_lost(mail), FailureKind.CANCELLED, _TOO_LATE)

    def _refuse(self, job: Job, kind: FailureKind, detail: str) -> None:
        now = event_loop().loop.time()
        for part in job.parts:
            self._jobs.fail_without_attempt(part, kind, detail, now)
            self._destinations.retire(part.destination)

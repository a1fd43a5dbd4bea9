"""How a `Mailer` takes a mail: divides it into parts, and lets them wait, or refuses it.

On the loop thread.
"""

from collections.abc import Sequence

from ...signals.send_mail import SendMail
from ...smtp.words.verdict import Failed, FailureKind
from ..loop.asyncio_actor import Answer
from ..loop.event_loop import event_loop
from .destinations import Destinations
from .job import Job, Part
from .jobs import Jobs
from .routing import Routing
from .sending import Sending

_TOO_LATE = "the Mailer was stopped before it took the mail"
_NO_FAILURE: Sequence[Failed | None] = (None,)


class Intake:
    """Takes the mails that a Mailer is told.

    Args:
        routing: gives each mail its parts.
        jobs: the mails that were taken.
        destinations: where they wait.
        sending: lets them go.
        max_queued: parts that may wait.

    Attributes:
        last: the last mail that was taken: whatever breaks after that, it is among the jobs.
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
        """Take a mail, and let it go if it may.

        Args:
            mail: the mail.
            answer: the answer to an `ask`.
            is_pressing: whether a receiver may wait for it.
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
            detail = f"{waiting} mails wait already (max_queued); tell it again later"
            self._refuse(job, FailureKind.LOCAL, detail)
            return
        is_any_new = False
        for part, failed in zip(job.parts, failures, strict=True):
            if failed is not None:
                self._jobs.fail(part, failed, job.submitted_at)
            elif is_pressing:
                # Or whatever the first waits for, this one waits for, too.
                destinations.prepend(part)
                is_any_new = True
            elif destinations.append(part):
                is_any_new = True
        if is_any_new:
            self._sending.dispatch()

    def take_lost(self, mail: SendMail) -> Job:
        """Take a mail that goes nowhere, and that is to have an outcome nevertheless.

        Args:
            mail: the mail.
        """
        job = Job(mail, Answer(None, set()), event_loop().loop.time())
        job.parts = (Part(job, mail.envelope, self._routing.fixed),)
        self._jobs.add(job)
        return job

    def refuse_late(self, mail: SendMail) -> None:
        """Give a mail an outcome that came after the end.

        Args:
            mail: the mail.
        """
        self._refuse(self.take_lost(mail), FailureKind.CANCELLED, _TOO_LATE)

    def _refuse(self, job: Job, kind: FailureKind, detail: str) -> None:
        now = event_loop().loop.time()
        for part in job.parts:
            self._jobs.fail_without_attempt(part, kind, detail, now)
            self._destinations.retire(part.destination)

"""How a `Mailer` takes an email: splits it into parts and queues them, or refuses it.

On the loop thread.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...signals.outlets.journal import log_mailer
from ...signals.send_mail import SendMail
from ...smtp.words.verdict import Failed, FailureKind
from ..loop.asyncio_actor import Answer
from ..loop.event_loop import event_loop
from .jobs.job import Job, Part
from .jobs.jobs import Jobs
from .queue.destinations import Destinations
from .routing import Routing
from .sending import Sending

if TYPE_CHECKING:
    from ...signals.protecting.protection import Protection

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
        protect: what signs or encrypts emails without a `protect` of their own.

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
        protect: "Protection | tuple[()]" = (),
    ) -> None:
        self.last: SendMail | None = None
        self._routing = routing
        self._jobs = jobs
        self._destinations = destinations
        self._sending = sending
        self._max_queued = max_queued
        self._protect = protect
        self._refused = 0  # since there was room

    def take(
        self, mail: SendMail, answer: Answer, *, is_pressing: bool, has_place: bool = False
    ) -> None:
        """Take an email; start its attempts at once if that is possible.

        Args:
            mail: the email.
            answer: the answer to an `ask`.
            is_pressing: whether a signal receiver may be waiting for its outcome.
            has_place: whether there is a limit on such emails already, that of `feed`.
        """
        job = Job(mail, answer, self._sending.time(), is_pressing)
        failures = _NO_FAILURE
        if mail.bcc and (mail.protect or self._protect):
            failures = self._split_blind(job)
        elif self._routing.is_by_domain:
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
        if waiting >= self._max_queued and not has_place:
            self._log_refusal()
            detail = f"{waiting} emails are queued already (max_queued); submit it again later"
            self._refuse(job, FailureKind.LOCAL, detail)
            return
        if self._refused and waiting <= self._max_queued - self._max_queued // 10:
            self.log_room()
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

    def _split_blind(self, job: Job) -> Sequence[Failed | None]:
        """Split an email so that each blind recipient has a part of its own, if it is encrypted."""
        from ...signals.protecting.protection import envelopes_of  # late: few programs encrypt

        envelopes = envelopes_of(job.mail, self._protect)
        if self._routing.is_by_domain:
            return self._routing.split(job, envelopes)
        job.parts = tuple([Part(job, envelope, self._routing.fixed) for envelope in envelopes])
        return [None] * len(envelopes)

    def _log_refusal(self) -> None:
        self._refused += 1
        if self._refused == 1:
            alias, most = self._jobs.alias, self._max_queued
            text = "%s: %d emails are queued (max_queued), and more are refused"
            log_mailer(logging.WARNING, text, alias, most, alias=alias)

    def log_room(self) -> None:
        """Log how many emails were refused until there was room again, or until the end."""
        refused, self._refused = self._refused, 0
        if refused:
            alias = self._jobs.alias
            text = "%s: %d emails were refused while the queue was full"
            log_mailer(logging.WARNING, text, alias, refused, alias=alias, refused=refused)

    def take_lost(self, mail: SendMail, answer: Answer | None = None) -> Job:
        """Take an email that is not queued, but needs an outcome.

        Args:
            mail: the email.
            answer: what the outcome answers.
        """
        job = Job(mail, answer or Answer(None, set()), event_loop().loop.time())
        job.parts = (Part(job, mail.envelope, self._routing.fixed),)
        self._jobs.add(job)
        return job

    def refuse_late(self, mail: SendMail, answer: Answer | None = None) -> None:
        """Refuse an email that came after the Mailer had stopped, with an outcome.

        Args:
            mail: the email.
            answer: what the outcome answers.
        """
        self._refuse(self.take_lost(mail, answer), FailureKind.CANCELLED, _TOO_LATE)

    def _refuse(self, job: Job, kind: FailureKind, detail: str) -> None:
        now = event_loop().loop.time()
        for part in job.parts:
            self._jobs.fail_without_attempt(part, kind, detail, now)
            self._destinations.retire(part.destination)

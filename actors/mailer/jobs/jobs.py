"""The emails of a `Mailer` without an outcome, and the counters of all others.

On the loop thread.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from ....signals.bus import publish
from ....signals.outcome import Outcome, SendFailure, outcome_of
from ....signals.parts import combined
from ....smtp.words.stage import Stage
from ....smtp.words.verdict import Failed, FailureKind
from .job import Job, Part
from .statistics import Latencies, MailerStatistics, Throughput


class Jobs:
    """Keeps each email from `tell` until its one outcome is published.

    Args:
        alias: the sender of the signals.

    Attributes:
        alias: as given.
        outstanding: the emails without an outcome.
        open_parts: how many of their parts have not ended.
        submitted: how many emails there were.
        sent: how many succeeded.
        failed: how many failed, by kind.
        latencies: how long the emails took for which an attempt was made.
        throughput: when those ended.
        publish: publishes an outcome, as `bus.publish` does.
    """

    __slots__ = (
        "alias",
        "failed",
        "latencies",
        "open_parts",
        "outstanding",
        "publish",
        "sent",
        "submitted",
        "throughput",
    )

    open_parts: int
    sent: int
    submitted: int

    def __init__(self, alias: str) -> None:
        self.alias: str = alias
        self.outstanding: set[Job] = set()
        self.open_parts = self.submitted = self.sent = 0
        self.failed: Counter[FailureKind] = Counter()
        self.latencies: Latencies = Latencies()
        self.throughput: Throughput = Throughput()
        self.publish: Callable[..., None] = publish

    def add(self, job: Job) -> None:
        """Add an email."""
        self.submitted += 1
        self.open_parts += len(job.parts)
        self.outstanding.add(job)

    def count_open_parts(self) -> None:
        """Recount `open_parts` after an internal error."""
        self.open_parts = sum(
            part.outcome is None for job in self.outstanding for part in job.parts
        )

    def end(self, part: Part, outcome: Outcome, now: float) -> None:
        """End a part; publish the outcome of its email if that was the last part.

        May be called again if it raised: it continues where it stopped.

        Args:
            part: the part.
            outcome: the part's.
            now: the time, on the loop's clock.
        """
        job = part.job
        if part.outcome is None:
            part.outcome = outcome
            self.open_parts -= 1
        if len(job.parts) > 1:
            ended = [each.outcome for each in job.parts if each.outcome is not None]
            if len(ended) < len(job.parts):
                return
            outcome = job.outcome or combined(ended, job.mail.all_recipients)
        if job.outcome is None:
            try:
                self.publish(outcome, is_asked=job.answer.is_asked)
                job.outcome = outcome
            finally:
                job.answer.set(outcome)
        else:
            job.answer.set(job.outcome)
        if job not in self.outstanding:
            return
        self.outstanding.discard(job)
        if isinstance(outcome, SendFailure):
            self.failed[outcome.kind] += 1
        else:
            self.sent += 1
        if outcome.attempts:  # without an attempt it says nothing about the pace
            self.throughput.add(now)
            self.latencies.add(now - job.submitted_at)

    def statistics(self, now: float, **others: Any) -> MailerStatistics:
        """Return the counters together with those of other objects.

        Args:
            now: the time, on the loop's clock.
            others: the fields that the emails do not determine.
        """
        latencies = self.latencies
        return MailerStatistics(
            submitted=self.submitted,
            sent=self.sent,
            failed_by_kind=self.failed,
            rate=self.throughput.per_second(now),
            latency_p50=latencies.percentile(50),
            latency_p90=latencies.percentile(90),
            latency_p99=latencies.percentile(99),
            latency_max=latencies.maximum,
            **others,
        )

    def end_as(self, part: Part, outcome: Outcome, now: float) -> None:
        """End a part with the outcome of its last attempt.

        Args:
            part: the part.
            outcome: the attempt's.
            now: the time, on the loop's clock.
        """
        if part.attempts is not None:
            if part.summed is not outcome:
                part.summed = outcome
                part.attempts.add(outcome)
            outcome = part.attempts.combined_outcome(part.addresses)
        self.end(part, outcome, now)

    def fail_without_attempt(self, part: Part, kind: FailureKind, detail: str, now: float) -> None:
        """Fail a part without another attempt. To send it again later is sensible.

        Args:
            part: the part.
            kind: the kind of failure.
            detail: one line for people.
            now: the time, on the loop's clock.
        """
        self.fail(part, Failed(kind=kind, stage=Stage.CONNECT, detail=detail, retryable=True), now)

    def fail(self, part: Part, failed: Failed, now: float) -> None:
        """Fail a part with a verdict that is not from an attempt.

        Args:
            part: the part.
            failed: the verdict.
            now: the time, on the loop's clock.
        """
        outcome: Outcome = outcome_of(
            failed,
            mail=part.job.mail,
            alias=self.alias,
            recipients_in_order=part.addresses,
            peer=None,
            elapsed=0.0,
            attempts=0,
        )
        if part.attempts is not None and isinstance(outcome, SendFailure):
            part.attempts.give_up(outcome)
            outcome = part.attempts.combined_outcome(part.addresses)
        self.end(part, outcome, now)

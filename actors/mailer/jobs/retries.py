"""What follows an attempt: another session, failover, a retry, or the end.

On the loop thread.
"""

import os
from collections.abc import Callable
from dataclasses import replace

from ....signals.attempts import Attempts
from ....signals.outcome import Outcome, SendFailure
from ....signals.send_mail import SendMail
from ....smtp.words.stage import BEFORE_THE_MAIL, Stage
from ....smtp.words.verdict import FailureKind, Left
from ..queue.mail_queue import NO_RELAYS
from .job import Part
from .retry import RetryPolicy, is_worth_retrying

# Stages at which the relay was unreachable or refused the session, before MAIL.
_UNREACHED_AT = BEFORE_THE_MAIL - {Stage.AUTH}
_UNREACHABLE = frozenset(
    {
        FailureKind.SMTP,
        FailureKind.CONNECT,
        FailureKind.CONNECTION,
        FailureKind.TIMEOUT,
        FailureKind.PROTOCOL,
    }
)


class Retries:
    """Decides what follows an attempt.

    Args:
        policy: the retry policy.
        draw: returns random numbers from 0 to less than 1.

    Attributes:
        policy: as given.
        count: retries and failovers so far.
        is_over: whether there are no more, because the Mailer stops.
    """

    __slots__ = ("_draw", "count", "is_over", "policy")

    count: int

    def __init__(self, policy: RetryPolicy, draw: Callable[[], float]) -> None:
        self.policy: RetryPolicy = policy
        self.count = 0
        self.is_over: bool = False
        self._draw = draw

    def carries_on(self, part: Part, left: Left, outcome: Outcome) -> bool:
        """Prepare another session for the recipients for which this one had no room.

        It belongs to the same attempt, because these recipients were not attempted yet. It ends,
        because each session attempts at least one recipient.

        Args:
            part: the part.
            left: the recipients for which there was no room.
            outcome: the session's.

        Returns:
            Whether there is another session.
        """
        again = self._recipients_to_retry(part, outcome)
        if not set(left.paths) <= set(again):  # the email can't be sent again
            return False
        attempts = part.attempts = part.attempts or Attempts()
        warnings = tuple(warning for warning in outcome.warnings if warning != left.warning)
        attempts.add(replace(outcome, warnings=warnings), is_whole=False)
        part.summed = outcome
        part.later += tuple(path for path in again if path not in left.paths)
        part.envelope = part.job.mail.envelope.only(left.paths)
        return True

    def next_time(self, part: Part, outcome: Outcome, now: float) -> float | None:
        """Record the outcome of an attempt, and return when the next one begins.

        Args:
            part: the part; it is prepared for the next attempt.
            outcome: the attempt's.
            now: the time, on the loop's clock.

        Returns:
            The time of the next attempt, exactly `now` for a failover; None if this was the last.
        """
        attempts = part.attempts = part.attempts or Attempts()
        again = self._recipients_to_retry(part, outcome)
        attempts.add(outcome)
        part.summed = outcome
        when: float | None = None
        if self._fail_over(part, outcome, now):
            again, when = part.envelope.forward_paths, now
            part.failovers += 1
        elif again := (*part.later, *again):
            part.avoid, part.later = NO_RELAYS, ()
            tried = attempts.count - part.failovers
            when = self.policy.next_time(tried, part.submitted_at, now, self._draw())
        if when is not None:
            self.count += 1
            part.envelope = part.job.mail.envelope.only(again)
        return when

    def _recipients_to_retry(self, part: Part, outcome: Outcome) -> tuple[str, ...]:
        """Return the recipients for which the email may be sent again."""
        if self.is_over or not _can_be_read_again(part.job.mail):
            return ()
        if isinstance(outcome, SendFailure) and outcome.kind is FailureKind.CANCELLED:
            return ()
        results = {result.address: result for result in outcome.recipients}
        again: list[str] = []
        for path in part.envelope.forward_paths:
            result = results.get(path)
            if (
                result is not None
                and not result.accepted
                and is_worth_retrying(result.retryable, result.maybe_accepted, self.policy)
            ):
                again.append(path)
        return tuple(again)

    def _fail_over(self, part: Part, outcome: Outcome, now: float) -> bool:
        """Prepare a failover if the relay was unreachable; return whether there is one.

        The relay is avoided until the next retry, in any case.
        """
        relays = part.destination.relays
        if len(relays) == 1 or self.is_over or not isinstance(outcome, SendFailure):
            return False
        if outcome.stage not in _UNREACHED_AT or outcome.kind not in _UNREACHABLE:
            return False
        part.avoid |= {part.relay}
        return any(
            number not in part.avoid and relay.is_available(now)
            for number, relay in enumerate(relays)
        )


def _can_be_read_again(mail: SendMail) -> bool:
    """Whether the source can be read again; an open file has been read to its end."""
    made_of_parts = mail.message is None
    return mail.source is None or made_of_parts or isinstance(mail.source, os.PathLike)

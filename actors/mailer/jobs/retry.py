"""When a deferred email is retried, and when it fails for good.

Pure arithmetic: the time and the random numbers are passed in, and nothing here waits.
"""

import math
from dataclasses import dataclass

from ....smtp.words.plain import plain_bool, plain_int
from ....smtp.words.shown import shown

MAX_ATTEMPTS = 1000
MAX_MULTIPLIER = 1000
MAX_SECONDS = 7 * 86_400.0
"""A week. RFC 5321 §4.5.4.1 asks of a relay to try for four or five days; but a relay has a queue
on disk, and the emails queued here are lost with the process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, and at what intervals, a deferred email is retried.

    The pauses grow by `multiplier`: by default they are 1, 2, 4, 8, 16, 32 and 60 minutes, together
    two hours. That outlasts greylisting, and the upgrade of a server. RFC 5321 §4.5.4.1 asks for at
    least half an hour between attempts, but of relays, whose queues hold the emails of many
    programs. Set `initial_delay` to 1800 to do the same.

    Args:
        max_attempts: attempts for an email at most; 1 for no retries.
        initial_delay: seconds before the second attempt.
        multiplier: the factor by which each pause is longer than the one before; 1 for equal ones.
        max_delay: the longest pause in seconds, without the jitter.
        jitter: the fraction by which a pause is shortened or lengthened at random, 0 to 1, so that
            emails deferred together are not retried together.
        give_up_after: seconds since `tell` after which an email is not retried, or None. The
            default, four hours, is more than the pauses of all attempts; it is for emails that
            are queued for long before each attempt.
        at_least_once: whether to retry an email that the server may have accepted already: the end
            of mail data was sent, and no trustworthy reply was received (RFC 1047). Recipients may
            get it twice then. Without this, they may not get it at all.

    Raises:
        ValueError: a value is out of range.
        TypeError: a value has the wrong type.
    """

    max_attempts: int = 8
    initial_delay: float = 60.0
    multiplier: float = 2.0
    max_delay: float = 3600.0
    jitter: float = 0.2
    give_up_after: float | None = 4 * 3600.0
    at_least_once: bool = False

    def __post_init__(self) -> None:
        plain_int("retry.max_attempts", self.max_attempts, 1, MAX_ATTEMPTS)
        _check_seconds("initial_delay", self.initial_delay)
        _check_number("multiplier", self.multiplier)
        if not 1 <= self.multiplier <= MAX_MULTIPLIER:
            raise ValueError(
                f"retry.multiplier: needs 1 to {MAX_MULTIPLIER}, not {shown(self.multiplier)}"
            )
        _check_seconds("max_delay", self.max_delay)
        if self.max_delay < self.initial_delay:
            raise ValueError(
                f"retry.max_delay: needs at least retry.initial_delay, {self.initial_delay:g},"
                f" not {self.max_delay:g}"
            )
        _check_number("jitter", self.jitter)
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"retry.jitter: needs 0 to 1, not {shown(self.jitter)}")
        if self.give_up_after is not None:
            _check_seconds("give_up_after", self.give_up_after)
        plain_bool("retry.at_least_once", self.at_least_once)

    def delay(self, attempt: int, random: float) -> float:
        """Return how many seconds to wait after an attempt that failed.

        Args:
            attempt: its number; the first is 1.
            random: a random number from 0 to less than 1.

        Raises:
            ValueError: there is no such attempt, or the number is out of range.
        """
        if attempt < 1:
            raise ValueError(f"attempt: needs at least 1, not {shown(attempt)}")
        if not 0 <= random < 1:
            raise ValueError(f"random: needs a number from 0 to less than 1, not {shown(random)}")
        try:
            grown = self.initial_delay * math.pow(self.multiplier, attempt - 1)
        except OverflowError:
            grown = math.inf
        return min(grown, self.max_delay) * (1 + self.jitter * (2 * random - 1))

    def next_time(
        self, attempt: int, submitted_at: float, now: float, random: float
    ) -> float | None:
        """Return when the next attempt may begin, or None if there is none.

        There is none if that was the last attempt, or if the next would be too late.

        Args:
            attempt: the number of the attempt that has just failed; the first is 1.
            submitted_at: when the email was told, in seconds of the same clock as `now`.
            now: the time, in seconds.
            random: a random number from 0 to less than 1.

        Raises:
            ValueError: there is no such attempt, or the number is out of range.
        """
        when = now + self.delay(attempt, random)
        if attempt >= self.max_attempts:
            return None
        if self.give_up_after is not None and when > submitted_at + self.give_up_after:
            return None
        return when


def is_worth_retrying(retryable: bool, maybe_accepted: bool, policy: RetryPolicy) -> bool:
    """Return whether an email, or one of its recipients, may be retried.

    `RetryPolicy.next_time` determines whether an attempt is left.

    Args:
        retryable: that of a `SendFailure` or `RecipientResult`.
        maybe_accepted: that of the same.
        policy: determines whether duplicates are better than losses.
    """
    if maybe_accepted:
        return policy.at_least_once
    return retryable


def _check_number(name: str, value: object) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"retry.{name}: needs a number, not {type(value).__name__}")


def _check_seconds(name: str, value: object) -> None:
    _check_number(name, value)
    assert isinstance(value, int | float)
    if not 0 < value <= MAX_SECONDS:
        raise ValueError(
            f"retry.{name}: needs seconds from above 0 to {MAX_SECONDS:.0f}, a week,"
            f" not {shown(value)}"
        )


NO_RETRY = RetryPolicy(max_attempts=1)
"""One attempt for each email."""

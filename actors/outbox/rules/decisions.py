"""What follows an attempt: the outcome, another attempt, or nothing that counts.

The time and the random numbers are passed in.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ....signals.attempts import Attempts
from ....signals.outcome import Outcome, SendFailure, SendSuccess
from ....smtp.words.verdict import FailureKind, RecipientResult
from ...mailer.jobs.retry import RetryPolicy, is_worth_retrying

_LATE = "an earlier attempt may have been accepted"


@dataclass(slots=True, kw_only=True)
class Facts:
    """What is known of an email before an attempt.

    Attributes:
        addresses: its recipients, as they were given.
        left: the forward-paths of the attempt.
        past: the attempts before; None before the first.
        doubts: how many of them may have been accepted.
        put_at: when it was put, in seconds of UTC.
        expires: when it is useless, in the same; or None.
        at_least_once: whether a second copy is better than none.
    """

    addresses: Sequence[str]
    left: Sequence[str]
    past: Attempts | None = None
    doubts: int = 0
    put_at: float = 0.0
    expires: float | None = None
    at_least_once: bool = True

    @property
    def attempts(self) -> int:
        """How many attempts there were."""
        return 0 if self.past is None else self.past.count


@dataclass(frozen=True, slots=True)
class Told:
    """It is over.

    Attributes:
        outcome: the outcome of the email.
    """

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Again:
    """There is another attempt.

    Attributes:
        due: when, in seconds of UTC.
        past: all attempts up to now; None if none counts.
        left: for which forward-paths.
        doubts: how many of them may have been accepted.
    """

    due: float
    past: Attempts | None
    left: tuple[str, ...]
    doubts: int


@dataclass(frozen=True, slots=True)
class Back:
    """The attempt was none: it was cancelled before anything of the email's end went out."""


Decision = Told | Again | Back


def after_attempt(
    facts: Facts, outcome: Outcome, policy: RetryPolicy, now: float, random: float
) -> Decision:
    """Return what follows an attempt.

    Args:
        facts: what was known before it.
        outcome: the attempt's.
        policy: when to try again; its `at_least_once` does not count, the email's does.
        now: the time, in seconds of UTC.
        random: a random number from 0 to less than 1.
    """
    if isinstance(outcome, SendSuccess) and facts.past is None and not outcome.refused:
        return Told(outcome if not facts.doubts else replace(outcome, doubts=facts.doubts))
    is_cancelled = isinstance(outcome, SendFailure) and outcome.kind is FailureKind.CANCELLED
    in_doubt = any(r.maybe_accepted for r in _results(facts, outcome))
    if is_cancelled and not in_doubt:
        return Back()
    if not outcome.attempts and isinstance(outcome, SendFailure) and outcome.retryable:
        return _put_off(facts, outcome, policy, now, random)
    own = replace(policy, at_least_once=facts.at_least_once)
    results = _results(facts, outcome)
    left = tuple(
        dict.fromkeys(
            r.address
            for r in results
            if not r.accepted and is_worth_retrying(r.retryable, r.maybe_accepted, own)
        )
    )
    past = facts.past or Attempts()
    past.add(replace(outcome, recipients=results))
    doubts = facts.doubts + bool(in_doubt and left)
    if left and is_cancelled:
        return Again(now, past, left, doubts)
    due = policy.next_time(past.count, facts.put_at, now, random) if left else None
    if due is not None and (facts.expires is None or due < facts.expires):
        return Again(due, past, left, doubts)
    return Told(_final(facts, past.combined_outcome(facts.addresses), facts.doubts))


def give_up(facts: Facts, outcome: SendFailure) -> Told:
    """Return the outcome of an email that is not attempted again.

    Args:
        facts: what is known.
        outcome: why; its recipients are all addresses.
    """
    if facts.past is None:
        return Told(_final(facts, outcome, facts.doubts))
    facts.past.give_up(outcome)
    return Told(_final(facts, facts.past.combined_outcome(facts.addresses), facts.doubts))


def in_doubt(facts: Facts, outcome: SendFailure) -> Told:
    """Return the outcome of an email whose process died while its end may have been on the wire.

    Args:
        facts: what is known; it is not sent twice.
        outcome: says so; its recipients are those of the attempt, all of them in doubt.
    """
    past = facts.past or Attempts()
    past.add(outcome)
    return Told(past.combined_outcome(facts.addresses))


def _put_off(
    facts: Facts, outcome: SendFailure, policy: RetryPolicy, now: float, random: float
) -> Decision:
    """Return what follows if there was no attempt, as all relays are down."""
    due = now + policy.delay(max(1, facts.attempts), random)
    expires = facts.expires
    if policy.give_up_after is not None:
        expires = min(facts.put_at + policy.give_up_after, expires or float("inf"))
    if expires is not None and due >= expires:
        return give_up(facts, outcome)
    return Again(due, facts.past, tuple(facts.left), facts.doubts)


def _results(facts: Facts, outcome: Outcome) -> tuple[RecipientResult, ...]:
    """Return the results of the attempt's own recipients."""
    if len(facts.left) == len(facts.addresses):
        return outcome.recipients
    wanted = set(facts.left)
    return tuple([result for result in outcome.recipients if result.address in wanted])


def _final(facts: Facts, outcome: Outcome, doubts: int) -> Outcome:
    if not doubts:
        return outcome
    if isinstance(outcome, SendSuccess) or outcome.maybe_accepted:
        return replace(outcome, doubts=doubts)
    # Copies may be on their way, although this failed. Those accepted before are not in doubt.
    return replace(
        outcome,
        doubts=doubts,
        detail=f"{outcome.detail}; {_LATE}",
        retryable=False,
        maybe_accepted=True,
        recipients=tuple(
            [
                r
                if r.accepted or r.address not in set(facts.left)
                else replace(r, maybe_accepted=True, retryable=False)
                for r in outcome.recipients
            ]
        ),
    )

"""The parts of one send, each with an outcome of its own, combined into the outcome of the send.

A part is the email for some of its recipients: those of one destination. The parts are sent
independently, each with its own attempts; the outcome is published when the last part has ended.
"""

from collections.abc import Sequence
from dataclasses import replace

from ..smtp.words.verdict import RecipientResult
from .attempts import MAX_TRANSCRIPT, MAX_WARNINGS, attributed
from .outcome import Outcome, SendFailure, SendSuccess


def combined(outcomes: Sequence[Outcome], addresses: Sequence[str]) -> Outcome:
    """Return the outcome of a send from those of its parts: a success if one part succeeded.

    The deciding part is the first accepted one; or else the first that is `maybe_accepted`, or
    else the first that is `retryable`, or else the first. The outcome has its peer, reply and
    detail.

    Args:
        outcomes: one for each part, at least one.
        addresses: the recipients as the caller gave them.
    """
    if len(outcomes) == 1:
        return outcomes[0]
    deciding = _deciding(outcomes)
    results = {
        result.address: attributed(result, outcome)
        for outcome in outcomes
        for result in outcome.recipients
    }
    recipients = tuple(
        [
            results.get(address) or RecipientResult(address=address, accepted=False)
            for address in addresses
        ]
    )
    warnings = [warning for outcome in outcomes for warning in _warnings(outcome, deciding)]
    return replace(
        deciding,
        recipients=recipients,
        # The parts were sent at the same time.
        elapsed=max(outcome.elapsed for outcome in outcomes),
        transcript=_last_lines([line for outcome in outcomes for line in outcome.transcript]),
        warnings=tuple(warnings[-MAX_WARNINGS:]),
        # Each recipient belongs to one part, so none had more attempts than this.
        attempts=max(outcome.attempts for outcome in outcomes),
    )


def _deciding(outcomes: Sequence[Outcome]) -> Outcome:
    def rank(outcome: Outcome) -> int:
        if not isinstance(outcome, SendFailure):
            return 0
        return 1 if outcome.maybe_accepted else 2 if outcome.retryable else 3

    deciding = min(outcomes, key=rank)
    if isinstance(deciding, SendFailure) and deciding.maybe_accepted:
        return replace(deciding, retryable=False)
    return deciding


def _warnings(outcome: Outcome, deciding: Outcome) -> tuple[str, ...]:
    if isinstance(outcome, SendFailure) and isinstance(deciding, SendSuccess):
        # Accepted for some recipients: to them, the failure of another part is only a warning.
        return (outcome.detail, *outcome.warnings)
    return outcome.warnings


def _last_lines(lines: Sequence[str]) -> tuple[str, ...]:
    """Return as many of the last lines as fit into `MAX_TRANSCRIPT`."""
    size = 0
    for number, line in enumerate(reversed(lines)):
        size += len(line)
        if size > MAX_TRANSCRIPT:
            left_out = len(lines) - number
            return f"({left_out} earlier lines are left out)", *lines[left_out:]
    return tuple(lines)

"""The parts of one mail, each with an outcome of its own, combined into the one that counts.

A part is the mail for some of its recipients: those of one destination. The parts go their own
ways, each with attempts of its own, and a program hears once, when the last of them has ended.
"""

from collections.abc import Sequence
from dataclasses import replace

from ..smtp.words.verdict import RecipientResult
from .attempts import MAX_TRANSCRIPT, MAX_WARNINGS, attributed
from .outcome import Outcome, SendFailure, SendSuccess


def combined(outcomes: Sequence[Outcome], addresses: Sequence[str]) -> Outcome:
    """Return the outcome of a mail whose parts came to these: a success if one of them did.

    The part that decides is the first that was accepted; where none was, the first that may have
    been, or else the first that may be tried again, or else the first. Its peer, reply and detail
    are the outcome's.

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
        # They were sent side by side.
        elapsed=max(outcome.elapsed for outcome in outcomes),
        transcript=_last_lines([line for outcome in outcomes for line in outcome.transcript]),
        warnings=tuple(warnings[-MAX_WARNINGS:]),
        # No recipient has seen more of them.
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
        # Some have the mail: for them, what became of the other parts is at most a warning.
        return (outcome.detail, *outcome.warnings)
    return outcome.warnings


def _last_lines(lines: Sequence[str]) -> tuple[str, ...]:
    """Return as many of the last lines as a transcript may have."""
    size = 0
    for number, line in enumerate(reversed(lines)):
        size += len(line)
        if size > MAX_TRANSCRIPT:
            left_out = len(lines) - number
            return f"({left_out} earlier lines are left out)", *lines[left_out:]
    return tuple(lines)

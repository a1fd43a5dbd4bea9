"""Several attempts of one send, combined into its one outcome."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from ..smtp.words.verdict import RecipientResult
from .outcome import Outcome, SendFailure, SendSuccess

MAX_WARNINGS = 100
"""Warnings of one outcome: each attempt may add some."""
MAX_TRANSCRIPT = 100_000
"""Characters of the transcript of several attempts: about 40 short sessions, or one with a
thousand recipients. Bounded, because thousands of emails may wait for a retry, each with its own.
"""


class Attempts:
    """The result of each recipient of one email so far, over all attempts.

    Attributes:
        count: how many attempts have ended.
    """

    def __init__(self) -> None:
        self.count: int = 0
        self._parts = 0
        self._last: Outcome | None = None
        self._success: SendSuccess | None = None  # the first success among the attempts
        self._results: dict[str, RecipientResult] = {}
        self._elapsed = 0.0
        self._transcript: deque[str] = deque()
        self._transcript_size = 0  # characters
        self._left_out = 0  # lines
        self._warnings: list[str] = []
        self._is_given_up = False

    @property
    def last(self) -> Outcome | None:
        """The outcome of the last attempt."""
        return self._last

    @property
    def success(self) -> SendSuccess | None:
        """The first success among the attempts."""
        return self._success

    @property
    def results(self) -> tuple[RecipientResult, ...]:
        """The result of each recipient so far."""
        return tuple(self._results.values())

    @property
    def elapsed(self) -> float:
        """Seconds of all attempts together."""
        return self._elapsed

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings of all attempts."""
        return tuple(self._warnings)

    @classmethod
    def restored(
        cls,
        *,
        count: int,
        last: Outcome,
        success: SendSuccess | None,
        results: Sequence[RecipientResult],
        elapsed: float,
        warnings: Sequence[str],
    ) -> "Attempts":
        """Return attempts that were made by another process; their transcripts are left out.

        Args:
            count: how many have ended.
            last: the outcome of the last.
            success: the first success among them.
            results: the result of each recipient.
            elapsed: seconds of all together.
            warnings: of all together.
        """
        self = cls()
        self.count = count
        self._parts = max(count, 2)  # so that they are combined, not taken for the last alone
        self._last, self._success = last, success
        self._results = {result.address: result for result in results}
        self._elapsed = elapsed
        self._warnings = list(warnings)
        return self

    def add(self, outcome: Outcome, *, is_whole: bool = True) -> None:
        """Add the outcome of one attempt, or of a part of one.

        Args:
            outcome: its `recipients` are those of the attempt.
            is_whole: whether the attempt has ended. If not, it goes on for some of the recipients.
        """
        self.count += is_whole
        self._parts += 1
        self._last = outcome
        if self._success is None and isinstance(outcome, SendSuccess):
            self._success = outcome
        for result in outcome.recipients:
            result = attributed(result, outcome)  # noqa: PLW2901
            before = self._results.get(result.address)
            if before is not None and before.maybe_accepted and not result.accepted:
                # A failure of this attempt does not undo what the earlier one may have delivered.
                result = replace(result, maybe_accepted=True, retryable=False)  # noqa: PLW2901
            self._results[result.address] = result
        self._elapsed += outcome.elapsed
        self._keep_transcript(outcome.transcript)
        if isinstance(outcome, SendFailure) and self._success is not None:
            # Accepted for some recipients already: to them, a later failure is only a warning.
            self._warnings.append(outcome.detail)
        self._warnings += outcome.warnings
        del self._warnings[:-MAX_WARNINGS]

    def _keep_transcript(self, lines: Sequence[str]) -> None:
        """Add the lines of an attempt; drop the oldest first, as the last show why it failed."""
        self._transcript += lines
        self._transcript_size += sum(map(len, lines))
        while self._transcript_size > MAX_TRANSCRIPT:
            self._transcript_size -= len(self._transcript.popleft())
            self._left_out += 1

    def _whole_transcript(self) -> tuple[str, ...]:
        if not self._left_out:
            return tuple(self._transcript)
        note = f"({self._left_out} lines of earlier attempts are left out)"
        return (note, *self._transcript)

    def give_up(self, outcome: SendFailure) -> None:
        """Add why there is no further attempt: the send was cancelled, or was queued too long."""
        self._last = outcome
        self._is_given_up = True
        if self._success is not None:
            self._warnings.append(outcome.detail)

    def combined_outcome(self, addresses: Sequence[str]) -> Outcome:
        """Return the outcome of the send: a success if any recipient was accepted.

        Args:
            addresses: the recipients as the caller gave them.
        """
        last = self._last
        assert last is not None
        if self._parts == 1 and not self._is_given_up:
            return last
        recipients = tuple(
            [
                self._results.get(address) or RecipientResult(address=address, accepted=False)
                for address in addresses
            ]
        )
        deciding = self._success or last
        if isinstance(deciding, SendFailure) and not deciding.maybe_accepted:
            deciding = _mark_maybe_accepted(deciding, recipients)
        return replace(
            deciding,
            recipients=recipients,
            elapsed=self._elapsed,
            transcript=self._whole_transcript(),
            warnings=tuple(self._warnings),
            attempts=max(self.count, 1),  # an attempt that was cancelled between its parts counts
        )


def attributed(result: RecipientResult, outcome: Outcome) -> RecipientResult:
    """Return a recipient's result with the peer and the detail that its outcome has.

    So it stays complete when it goes into a combined outcome.

    Args:
        result: one of the outcome's.
        outcome: the outcome of one attempt, or of one part.
    """
    peer = result.peer or outcome.peer
    detail = result.detail
    if isinstance(outcome, SendFailure) and not (detail or result.accepted or result.reply):
        detail = outcome.detail
    if peer is result.peer and detail == result.detail:
        return result
    return replace(result, peer=peer, detail=detail)


def _mark_maybe_accepted(
    failure: SendFailure, recipients: Sequence[RecipientResult]
) -> SendFailure:
    """Mark a failure if an earlier attempt may have been accepted (RFC 1047)."""
    if not any(result.maybe_accepted for result in recipients):
        return failure
    return replace(
        failure,
        detail=f"{failure.detail}; an earlier attempt may have been accepted",
        retryable=False,
        maybe_accepted=True,
    )

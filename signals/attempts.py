"""Several attempts at one mail, summed up to the one outcome that counts."""

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from ..smtp.verdict import RecipientResult
from .outcome import Outcome, SendFailure, SendSuccess

MAX_WARNINGS = 100
"""Warnings of one outcome: each attempt may add some."""
MAX_TRANSCRIPT = 1_000_000
"""Characters in the transcripts of earlier attempts, which an outcome keeps beside the last one."""


class Attempts:
    """What became of each recipient of one mail so far, over all attempts.

    Attributes:
        count: how many attempts there were.
    """

    def __init__(self) -> None:
        self.count = 0
        self._last: Outcome | None = None
        self._success: SendSuccess | None = None  # the first attempt that came to one
        self._results: dict[str, RecipientResult] = {}
        self._elapsed = 0.0
        self._transcripts: deque[tuple[str, ...]] = deque()  # one for each attempt
        self._transcript_size = 0  # in characters, without the last
        self._is_cut = False  # whether there were more
        self._warnings: list[str] = []
        self._is_given_up = False

    def add(self, outcome: Outcome) -> None:
        """Take what one attempt came to.

        Args:
            outcome: its `recipients` are those that were tried in it.
        """
        self.count += 1
        self._last = outcome
        if self._success is None and isinstance(outcome, SendSuccess):
            self._success = outcome
        for result in outcome.recipients:
            before = self._results.get(result.address)
            if before is not None and before.maybe_accepted and not result.accepted:
                # What this attempt came to does not undo what that one may have done.
                result = replace(result, maybe_accepted=True, retryable=False)  # noqa: PLW2901
            self._results[result.address] = result
        self._elapsed += outcome.elapsed
        self._add_transcript(outcome.transcript)
        if isinstance(outcome, SendFailure) and self._success is not None:
            # Some have the mail already: for them, what came later is at most a warning.
            self._warnings.append(outcome.detail)
        self._warnings += outcome.warnings
        del self._warnings[:-MAX_WARNINGS]

    def _add_transcript(self, transcript: tuple[str, ...]) -> None:
        """Keep the lines of an attempt, and drop those of the oldest where they are too many."""
        if not transcript:
            return
        if self._transcripts:
            self._transcript_size += _size(self._transcripts[-1])
        self._transcripts.append(transcript)
        while self._transcript_size > MAX_TRANSCRIPT:
            self._transcript_size -= _size(self._transcripts.popleft())
            self._is_cut = True

    def _transcript(self) -> tuple[str, ...]:
        note = ("(the lines of earlier attempts are left out)",) if self._is_cut else ()
        return (*note, *itertools.chain.from_iterable(self._transcripts))

    def give_up(self, outcome: SendFailure) -> None:
        """Take why there is no further attempt: the mail was cancelled, or waited for too long."""
        self._last = outcome
        self._is_given_up = True
        if self._success is not None:
            self._warnings.append(outcome.detail)

    def sum_up(self, addresses: Sequence[str]) -> Outcome:
        """Return the outcome of the mail: a success if there was one for anybody.

        Args:
            addresses: the recipients as the caller gave them.
        """
        last = self._last
        assert last is not None
        if self.count == 1 and not self._is_given_up:
            return last
        recipients = tuple(
            [
                self._results.get(address) or RecipientResult(address=address, accepted=False)
                for address in addresses
            ]
        )
        deciding = self._success or last
        if isinstance(deciding, SendFailure) and not deciding.maybe_accepted:
            deciding = _with_doubt(deciding, recipients)
        return replace(
            deciding,
            recipients=recipients,
            elapsed=self._elapsed,
            transcript=self._transcript(),
            warnings=tuple(self._warnings),
            attempts=self.count,
        )


def _size(transcript: tuple[str, ...]) -> int:
    return sum(map(len, transcript))


def _with_doubt(failure: SendFailure, recipients: Sequence[RecipientResult]) -> SendFailure:
    """Have a failure say so if an earlier attempt may have brought the mail there (RFC 1047)."""
    if not any(result.maybe_accepted for result in recipients):
        return failure
    return replace(
        failure,
        detail=f"{failure.detail}; an earlier attempt may have been accepted",
        retryable=False,
        maybe_accepted=True,
    )

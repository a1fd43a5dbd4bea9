"""The result of each recipient, the summary of all, and the exit status."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal

from ...signals import Outcome, SendFailure
from ...smtp.words.stage import BEFORE_THE_MAIL, Stage
from ...smtp.words.verdict import FailureKind, RecipientResult
from ..sysexits import (
    EX_NOHOST,
    EX_NOPERM,
    EX_OK,
    EX_SOFTWARE,
    EX_TEMPFAIL,
    EX_UNAVAILABLE,
)

Result = Literal["accepted", "refused", "failed", "maybe", "not sent"]

MAX_REASONS = 20
"""Reasons listed in the summary; all further ones are counted together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The result of one recipient: a line of the report.

    Attributes:
        address: the recipient, as it was given.
        result: ``"accepted"``; ``"refused"``, rejected by the server with 5yz; ``"failed"``, for
            any other reason; ``"maybe"``, it is unknown whether it was accepted (RFC 1047);
            ``"not sent"``, not attempted because the command ended before.
        code: the reply code, or None without a reply.
        enhanced: the enhanced status code, or None.
        text: the text of the reply, or of this program, in one line.
        kind: the kind of failure, or None.
        retryable: whether sending it again is sensible, and can't make a duplicate.
        attempts: the number of attempts.
        elapsed: how long they took, in seconds.
    """

    address: str
    result: Result
    code: int | None = None
    enhanced: str | None = None
    text: str = ""
    kind: str | None = None
    retryable: bool = False
    attempts: int = 0
    elapsed: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the values by name, in the order of the report."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


NAMES = tuple(f.name for f in fields(Row))


def rows_of(outcome: Outcome) -> Iterator[Row]:
    """Yield a row for each recipient of an email."""
    failure = outcome if isinstance(outcome, SendFailure) else None
    # If the outcome is `maybe_accepted` but no recipient is, it applies to all of them.
    doubt = failure is not None and failure.maybe_accepted
    doubt = doubt and not any(result.maybe_accepted for result in outcome.recipients)
    for result in outcome.recipients:
        yield _row(outcome, failure, result, maybe=doubt or result.maybe_accepted)


def _row(
    outcome: Outcome, failure: SendFailure | None, result: RecipientResult, *, maybe: bool
) -> Row:
    # The final reply contains the queue id, the reply to RCPT usually does not.
    reply = result.reply or outcome.reply
    if result.accepted and len(outcome.recipients) == 1:
        reply = outcome.reply
    undecided = failure is not None and result.reply is None and failure.retryable
    retryable = not result.accepted and not maybe and (result.retryable or undecided)
    kind = failure.kind if failure is not None else FailureKind.SMTP
    what: Result = "not sent" if _never_left(failure) else "failed"
    if result.accepted:
        what = "accepted"
    elif maybe:
        what = "maybe"
    elif kind is FailureKind.SMTP and result.reply and result.reply.is_permanent and not retryable:
        # Rejected credentials say nothing about the recipient.
        is_about_relay = failure is not None and failure.stage in BEFORE_THE_MAIL
        what = "failed" if is_about_relay else "refused"
    if reply is None:
        assert failure is not None  # a success has a reply
        text = failure.detail
    else:
        text = " ".join(reply.lines)
    return Row(
        address=result.address,
        result=what,
        code=None if reply is None else reply.code,
        enhanced=None if reply is None else reply.enhanced,
        text=text,
        kind=None if result.accepted else kind.name,
        retryable=retryable,
        attempts=0 if _never_left(failure) else outcome.attempts,
        elapsed=round(outcome.elapsed, 3),
    )


def _never_left(failure: SendFailure | None) -> bool:
    """Whether the email was cancelled in the queue, or before it had a connection."""
    return (
        failure is not None
        and failure.kind is FailureKind.CANCELLED
        and (not failure.attempts or (failure.attempts == 1 and failure.peer is None))
    )


def row_not_tried(address: str, why: str) -> Row:
    """Return the row of a recipient whose email was not attempted."""
    kind = FailureKind.CANCELLED.name
    return Row(
        address=address, result="not sent", text=f"not tried: {why}", kind=kind, retryable=True
    )


def row_unknown(address: str) -> Row:
    """Return the row of a recipient whose email was still in flight when the command ended."""
    kind = FailureKind.CANCELLED.name
    text = "in flight when the command was ended; the email may have been accepted"
    return Row(address=address, result="maybe", text=text, kind=kind, attempts=1)


def is_about_relay(outcome: Outcome) -> bool:
    """Whether an email failed because the relay can't be used, so that all others would fail."""
    return (
        isinstance(outcome, SendFailure)
        and outcome.stage in BEFORE_THE_MAIL
        and outcome.kind not in (FailureKind.LOCAL, FailureKind.CANCELLED)
    )


class Tally:
    """Counts the results of the recipients.

    Attributes:
        total: the number of recipients.
        counts: the number of recipients by result.
        retries: attempts after the first.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.counts: Counter[Result] = Counter()
        self.retries = 0
        self.reasons: Counter[str] = Counter()
        self._examples: dict[str, Row] = {}
        self._may_pass = 0
        self._not_tried = 0
        self._for_good = 0
        self._no_host = 0
        self._no_permission = 0
        self._defects = 0

    @property
    def done(self) -> int:
        """The number of recipients with a result."""
        return self.counts.total()

    @property
    def tried(self) -> int:
        """The number of these that were attempted."""
        return self.done - self.counts["not sent"]

    def add(self, row: Row, outcome: Outcome | None = None) -> None:
        """Count a recipient.

        Args:
            row: its result.
            outcome: the outcome of its email, or None if there is none.
        """
        self.counts[row.result] += 1
        if row.result == "accepted":
            return
        self._note_reason(row, outcome)
        if row.kind == FailureKind.CANCELLED.name and row.result != "maybe":
            self._not_tried += 1
        if row.retryable:
            self._may_pass += row.result != "not sent"
        elif row.result != "maybe":
            self._for_good += 1
        if isinstance(outcome, SendFailure):
            self._note_failure(outcome)

    def _note_failure(self, failure: SendFailure) -> None:
        kind = failure.kind
        if kind is FailureKind.SECURITY or (
            kind is FailureKind.SMTP and failure.stage is Stage.AUTH and not failure.retryable
        ):
            self._no_permission += 1
        elif kind is FailureKind.CONNECT and failure.operation == "getaddrinfo":
            self._no_host += not failure.retryable
        elif kind is FailureKind.INTERNAL:
            self._defects += 1

    def _note_reason(self, row: Row, outcome: Outcome | None) -> None:
        where = f" at {outcome.stage}" if isinstance(outcome, SendFailure) else ""
        code = f": {row.code} {row.enhanced or ''}".rstrip() if row.code else ""
        reason = f"{row.kind}{where}{code}"
        if reason not in self._examples:
            if len(self._examples) >= MAX_REASONS:
                reason = "other reasons"
            self._examples.setdefault(reason, row)
        self.reasons[reason] += 1

    def status(self) -> int:
        """Return the exit status: the first that applies, the one that needs a person first."""
        failed = self.done - self.counts["accepted"]
        if not failed and self.done == self.total:
            return EX_OK
        if self._no_permission:
            return EX_NOPERM
        if self._no_host and self._no_host == failed - self._not_tried:
            return EX_NOHOST
        if self._defects:
            return EX_SOFTWARE
        return EX_UNAVAILABLE if self._for_good else EX_TEMPFAIL

    def summary(self, seconds: float) -> list[str]:
        """Return the lines of the summary.

        Args:
            seconds: the duration of the command.
        """
        counts = self.counts
        pace = f"in {seconds:.1f} s, {self.tried / max(seconds, 0.001):.1f}/s"
        if self.retries:
            pace += f", {self.retries} tried again"
        width = len(str(self.total))
        lines = [f"recipients  {self.total:>{width}}  {pace}"]
        notes: dict[Result, str] = {
            "accepted": "",
            "refused": "for good",
            "failed": f"of these {self._may_pass} may pass later",
            "maybe": "find out before you send it again",
            "not sent": "their turn did not come",
        }
        for name, note in notes.items():
            count = counts[name]
            if name == "not sent" and not count:
                continue
            lines.append(f"{name:<10}  {count:>{width}}  {note if count else ''}")
        if self.reasons:
            lines.append("")
        for reason, count in self.reasons.most_common():
            row = self._examples[reason]
            lines.append(f"{count:>{width}}  {reason}, as of {row.address}: {row.text}")
        return [line.rstrip() for line in lines]


def in_words(tally: Tally, rate: float) -> str:
    """Return the counts in a few words, which fit a terminal of 80 columns beside a bar."""
    words = [f"{count} {name}" for name, count in sorted(tally.counts.items()) if count]
    if tally.retries:
        words.append(f"{tally.retries} retries")
    return ", ".join([*words, f"{rate:.0f}/s"])

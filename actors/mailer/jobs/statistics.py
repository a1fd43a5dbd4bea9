"""Statistics of a `Mailer`: counts, emails per second, and how long emails took.

Everything has a fixed size, however long the program runs. Pure arithmetic: the time is passed in,
in seconds of a monotonic clock. Use a `Latencies` or `Throughput` on one thread only;
`MailerStatistics` is frozen, and for any thread.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import log
from types import MappingProxyType
from typing import Any

from ....smtp.words.verdict import FailureKind

SHORTEST = 1e-4
"""Seconds. No send is shorter; shorter durations count as this."""
LONGEST = 3600.0
"""Seconds. Few sends take longer; longer durations count as this."""

# Each bin is 3 % wider than the one before: 589 of them from the shortest to the longest.
_WIDER = 1.03
_PER_E = 1 / log(_WIDER)
# The first bin, before these, is for what is not longer than SHORTEST.
_OFFSET = 1 - log(SHORTEST) * _PER_E
# The last, after these, is for what is not shorter than LONGEST.
_LAST = int(log(LONGEST) * _PER_E + _OFFSET) + 1

_SECONDS = 10  # the complete seconds of a mean, beside the current one
_SLOTS = _SECONDS + 1
_NEVER = -(2**62)  # seconds; before the beginning of any clock


class Latencies:
    """How long emails took: a histogram of fixed size, with a resolution of 3 %.

    Nothing expires: the percentiles are those of all durations ever added.
    """

    __slots__ = ("_bins", "_count", "_maximum")

    def __init__(self) -> None:
        self._bins = [0] * (_LAST + 1)
        self._count = 0
        self._maximum = 0.0

    @property
    def count(self) -> int:
        """The number of durations added."""
        return self._count

    @property
    def maximum(self) -> float | None:
        """The longest, exactly, in seconds; None if there is none."""
        return self._maximum if self._count else None

    def add(self, seconds: float) -> None:
        """Add the duration of an email.

        Args:
            seconds: from its submission to its outcome.
        """
        self._count += 1
        if seconds > self._maximum:  # noqa: PLR1730 - a call of max() costs more
            self._maximum = seconds
        if SHORTEST < seconds < LONGEST:
            self._bins[int(log(seconds) * _PER_E + _OFFSET)] += 1
        else:
            self._bins[_LAST if seconds >= LONGEST else 0] += 1

    def percentile(self, p: float) -> float | None:
        """Return the percentile of the durations, in seconds.

        It is within 1.5 % of the exact one, and at most the maximum; None if there is none yet.

        Args:
            p: per cent, 0 to 100; 50 for the median.

        Raises:
            ValueError: it is out of range.
        """
        if not 0 <= p <= 100:
            raise ValueError(f"percentile: needs 0 to 100, not {p}")
        if not self._count:
            return None
        # 64.4 % of 250 are 161, not the 162 to which a rounding error would take it.
        rank = max(1, math.ceil(self._count * p / 100 - 1e-6))
        if rank >= self._count:
            return self._maximum
        below = 0
        for index, count in enumerate(self._bins):
            below += count
            if below >= rank:
                return min(_middle(index), self._maximum)
        return self._maximum  # pragma: no cover - each duration is in a bin

    def __repr__(self) -> str:
        median = self.percentile(50)
        return f"<Latencies {self._count}{'' if median is None else ', p50 ' + _duration(median)}>"


def _middle(index: int) -> float:
    """Return the geometric middle of a bin, in seconds."""
    if index == 0:
        return SHORTEST
    return min(SHORTEST * math.pow(_WIDER, index - 0.5), LONGEST)


class Throughput:
    """The rate of emails per second, over the last ten seconds."""

    __slots__ = ("_began", "_counts", "_second")

    def __init__(self) -> None:
        self._counts = [0] * _SLOTS  # a ring, one for each second
        self._second = _NEVER  # the newest second in it
        self._began: float | None = None

    def add(self, now: float) -> None:
        """Count an email.

        Args:
            now: the time, in seconds.
        """
        if now >= self._second + 1:
            self._turn(now)
        self._counts[self._second % _SLOTS] += 1

    def per_second(self, now: float) -> float:
        """Return the mean over the last ten seconds, or since the first email if that is less.

        It is the mean of at least a second, so the first email does not count as a thousand per
        second because a millisecond has passed.

        Args:
            now: the time, in seconds.
        """
        if self._began is None:
            return 0.0
        if now >= self._second + 1:
            self._turn(now)
        begin = max(self._began, self._second - _SECONDS)
        return sum(self._counts) / max(now - begin, 1.0)

    def _turn(self, now: float) -> None:
        """Begin a new second, and clear the slots of expired ones."""
        if self._began is None:
            self._began = now
        second = math.floor(now)
        for passed in range(max(self._second + 1, second - _SECONDS), second + 1):
            self._counts[passed % _SLOTS] = 0
        self._second = second


@dataclass(frozen=True, slots=True)
class Statistics:
    """Ask a `Mailer` for its `MailerStatistics`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailerStatistics:
    """What a `Mailer` has done since it started, and what it is doing now.

    Each submitted email is counted once: `submitted` is the sum of `queued`, `waiting_for_retry`,
    `in_flight`, `sent` and `failed`.

    Attributes:
        queued: emails that wait for their first attempt, or for their turn.
        waiting_for_retry: emails that wait for the time of their next attempt.
        in_flight: emails with an attempt in progress.
        connections_idle: open connections without a send.
        connections_busy: connections in use for a send, those being opened included.
        submitted: all emails given to the `Mailer` by tell or ask.
        sent: emails with a success.
        failed_by_kind: emails with a failure, by kind, without kinds that have none.
        retries: attempts other than first ones.
        rate: recent outcomes per second, of emails with an attempt.
        window: how many emails may be in flight at once to the relay in use.
        dead_relays: the names of the relays that are dead, because they have failed too often.
        latency_p50: the median of the seconds from submission to outcome, over all emails with an
            attempt; None if there is none.
        latency_p90: the same for 90 %.
        latency_p99: the same for 99 %.
        latency_max: the maximum.
    """

    queued: int = 0
    waiting_for_retry: int = 0
    in_flight: int = 0
    connections_idle: int = 0
    connections_busy: int = 0
    submitted: int = 0
    sent: int = 0
    # Kinds never change their numbers, but a mapping has no hash.
    failed_by_kind: Mapping[FailureKind, int] = field(
        default_factory=dict[FailureKind, int], hash=False
    )
    retries: int = 0
    rate: float = 0.0
    window: int = 0
    dead_relays: tuple[str, ...] = ()
    latency_p50: float | None = None
    latency_p90: float | None = None
    latency_p99: float | None = None
    latency_max: float | None = None

    def __post_init__(self) -> None:
        # A copy, because the Mailer continues to count.
        failed = {
            kind: self.failed_by_kind[kind]
            for kind in sorted(self.failed_by_kind)
            if self.failed_by_kind[kind]
        }
        object.__setattr__(self, "failed_by_kind", MappingProxyType(failed))
        object.__setattr__(self, "dead_relays", tuple(self.dead_relays))

    @property
    def failed(self) -> int:
        """The number of emails that failed, of all kinds."""
        return sum(self.failed_by_kind.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the statistics as plain values, for ``json.dumps`` and structured logs."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | {
            "failed_by_kind": {kind.name: count for kind, count in self.failed_by_kind.items()},
            "failed": self.failed,
            "dead_relays": list(self.dead_relays),
        }

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind.name}" for kind, count in self.failed_by_kind.items())
        parts = [
            f"{self.queued} queued, {self.waiting_for_retry} waiting for retry",
            f"{self.in_flight} in flight",
            f"{self.submitted} submitted, {self.sent} sent, {self.failed} failed"
            + (f" ({kinds})" if kinds else "")
            + f", {self.retries} retries",
            f"{self.rate:.1f} emails/s",
            f"connections {self.connections_busy} busy, {self.connections_idle} idle",
            f"window {self.window}",
            _latencies(self.latency_p50, self.latency_p90, self.latency_p99, self.latency_max),
        ]
        if self.dead_relays:
            parts.append(f"dead: {', '.join(self.dead_relays)}")
        return "; ".join(part for part in parts if part)

    def __reduce__(self) -> tuple[Any, ...]:
        # A read-only mapping can't be pickled or copied deeply.
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return _again, (values | {"failed_by_kind": dict(self.failed_by_kind)},)


def _again(values: dict[str, Any]) -> MailerStatistics:
    return MailerStatistics(**values)


def _latencies(
    p50: float | None, p90: float | None, p99: float | None, longest: float | None
) -> str:
    """Return the latencies that are known, as text; empty if none is."""
    named = (("p50", p50), ("p90", p90), ("p99", p99), ("max", longest))
    known = [f"{name} {_duration(seconds)}" for name, seconds in named if seconds is not None]
    return f"latency {', '.join(known)}" if known else ""


def _duration(seconds: float) -> str:
    """Return a duration as text, with three digits and without exponent."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 999.5 else f"{seconds:.0f} s"

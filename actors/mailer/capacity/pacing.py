"""Rate limits: how many emails may be sent per second, and the token bucket that enforces it.

Pure arithmetic: the time is passed in, in seconds of a monotonic clock, and nothing here waits.
Use a bucket on one thread only.
"""

import math
import re
from dataclasses import dataclass

from ....smtp.words.shown import shown

MAX_PER_SECOND = 1_000_000.0
"""No program sends this fast, so a higher rate would not be a limit."""
MIN_PER_SECOND = 1 / (7 * 86_400)
"""One a week. Emails that wait for longer belong on a disk, not in this process."""
MAX_BURST = 1_000_000

# A busy loop takes tokens late. A bucket for one token would have lost all others by then. One for
# a twentieth of a second makes up for that, and keeps any second within 5 % of the rate. Up to 20/s
# it holds one token, and the emails are evenly spaced.
_BURST_SECONDS = 0.05

# A timer for the moment of a token may fire early, by a rounding error.
_SLACK = 1e-6

_MAX_TEXT = 64  # characters; the longest sensible rate has half of that

_RATE = re.compile(
    r"(?P<count>[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)"
    r"(?:\s*/\s*(?P<unit>[a-z]+))?"
    r"(?:\s+burst\s+(?P<burst>[0-9]+))?",
    re.ASCII | re.IGNORECASE,
)
_UNITS = {
    1.0: ("s", "sec", "second"),
    60.0: ("m", "min", "minute"),
    3_600.0: ("h", "hour"),
    86_400.0: ("d", "day"),
}
_SECONDS = {name: seconds for seconds, names in _UNITS.items() for name in names}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A maximum of emails per second, with a burst after a pause.

    Attributes:
        per_second: emails per second, in the long run.
        burst: how many may be sent at once after a pause; at least 1. At most `per_second` plus
            `burst`, rounded up, are sent within any second.

    Raises:
        ValueError: one is out of range.
        TypeError: one has the wrong type.
    """

    per_second: float
    burst: int

    def __post_init__(self) -> None:
        if not _is_number(self.per_second):
            raise TypeError(f"rate: needs a number a second, not {type(self.per_second).__name__}")
        if not self.per_second > 0:
            raise ValueError(
                f"rate: needs more than 0 a second, not {shown(self.per_second)};"
                " None means no limit"
            )
        if self.per_second > MAX_PER_SECOND:
            raise ValueError("rate: more than 1000000 a second is no limit; leave it out for none")
        if self.per_second < MIN_PER_SECOND:
            raise ValueError("rate: needs at least one email a week")
        if not isinstance(self.burst, int) or isinstance(self.burst, bool):
            raise TypeError(f"rate: the burst needs an int, not {type(self.burst).__name__}")
        if not 1 <= self.burst <= MAX_BURST:
            raise ValueError(f"rate: the burst needs 1 to {MAX_BURST}, not {shown(self.burst)}")
        object.__setattr__(self, "per_second", float(self.per_second))

    def __str__(self) -> str:
        """Return it in a form that `parse_rate` reads."""
        return f"{repr(self.per_second).removesuffix('.0')}/s burst {self.burst}"


def parse_rate(value: str | float | Rate | None) -> Rate | None:
    """Parse a rate.

    The default of the burst is a twentieth of a second's emails, at least 1. So ``"10/s"`` sends
    one email every 100 ms, at most 11 within any second however late a timer fires, while
    ``"1000/s"`` may send 50 at once after a pause.

    Args:
        value: a number and a unit, such as ``"10/s"``, ``"500/min"``, ``"3600/h"`` or
            ``"1000/day"``, optionally followed by ``" burst 20"``; a plain number is per second;
            None for no limit.

    Raises:
        ValueError: the form is invalid, or the rate is out of range.
        TypeError: it is not a str, number, Rate or None.
    """
    if value is None or isinstance(value, Rate):
        return value
    if isinstance(value, str):
        return _parse(value)
    if not _is_number(value):
        raise TypeError(f"rate: needs a number or a text as '10/s', not {type(value).__name__}")
    return _rate(value)


def _parse(text: str) -> Rate:
    match = _RATE.fullmatch(text.strip()) if len(text) <= _MAX_TEXT else None
    if match is None:
        raise ValueError(
            f"rate: needs a form as '10/s', '500/min' or '10/s burst 20', not {shown(text)}"
        )
    unit = (match["unit"] or "s").lower()
    seconds = _SECONDS.get(unit)
    if seconds is None:
        raise ValueError(f"rate: needs /s, /min, /h or /day, not {shown('/' + unit)}")
    burst = None if match["burst"] is None else int(match["burst"])
    return _rate(float(match["count"]) / seconds, burst)


def _rate(per_second: float, burst: int | None = None) -> Rate:
    if burst is None:
        # A rate out of range is rejected below, by `Rate`.
        within = per_second if 0 < per_second <= MAX_PER_SECOND else 0.0
        burst = max(1, math.ceil(within * _BURST_SECONDS))
    return Rate(per_second=per_second, burst=burst)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class TokenBucket:
    """Enforces a rate: each email takes a token.

    Tokens are added at fixed moments, ``1 / per_second`` apart, computed from the start and not
    from one another: rounding errors do not add up, and a late caller loses nothing. A token that
    would exceed `burst` is lost.

    A clock that stands still or goes back adds no token, and removes none.

    Args:
        rate: the rate.
        now: the time, in seconds. The bucket is full at first.
    """

    __slots__ = ("_added", "_began", "_burst", "_per_second", "_tokens")

    def __init__(self, rate: Rate, now: float) -> None:
        self._per_second = rate.per_second
        self._burst = rate.burst
        self._began = now
        self._added = 0  # the number of tokens added since, those lost included
        self._tokens = rate.burst

    def take(self, now: float) -> bool:
        """Take a token, if there is one.

        Args:
            now: the time, in seconds.

        Returns:
            Whether there was one, so that an email may be sent.
        """
        self._fill(now)
        if not self._tokens:
            return False
        self._tokens -= 1
        return True

    def seconds_until_ready(self, now: float) -> float:
        """Return the seconds until there is a token: 0.0 if there is one now.

        Args:
            now: the time, in seconds.
        """
        self._fill(now)
        if self._tokens:
            return 0.0
        return self._began + (self._added + 1) / self._per_second - now

    def give_back(self) -> None:
        """Put back a token that was taken for an email that was not sent."""
        self._tokens = min(self._tokens + 1, self._burst)

    def _fill(self, now: float) -> None:
        added = int((now - self._began + _SLACK) * self._per_second)
        if added > self._added:
            self._tokens = min(self._tokens + added - self._added, self._burst)
            self._added = added

    def __repr__(self) -> str:
        return f"<TokenBucket {self._tokens} of {self._burst}, {self._per_second:g}/s>"

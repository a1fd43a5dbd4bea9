"""How many mails a second may go out: what a program asks for, and the bucket that keeps to it.

Pure arithmetic: the time is passed in, in seconds of a clock that never goes back, and nothing
here waits. Whoever owns a bucket asks it on one thread only.
"""

import math
import re
from dataclasses import dataclass

from ....smtp.words.shown import shown

MAX_PER_SECOND = 1_000_000.0
"""More is no limit: no program sends as fast."""
MIN_PER_SECOND = 1 / (7 * 86_400)
"""One a week. What waits for longer than that belongs on a disk, not in this process."""
MAX_BURST = 1_000_000

# A loop that is busy comes back late, and a bucket that holds one token has then lost all but one.
# A twentieth of a second's worth makes up for that, and keeps any second within 5 % of the rate.
# Up to 20/s it comes to one token: the mails leave evenly spaced.
_BURST_SECONDS = 0.05

# A timer set to the very moment of a token may wake up a rounding error before it.
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
    """So many mails a second, and so many at once after a pause.

    Attributes:
        per_second: mails a second, in the long run.
        burst: how many may go at once when none went for a while; at least 1. No second ever sees
            more than `per_second` and `burst` together, rounded up.

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
            raise ValueError("rate: needs at least one mail a week")
        if not isinstance(self.burst, int) or isinstance(self.burst, bool):
            raise TypeError(f"rate: the burst needs an int, not {type(self.burst).__name__}")
        if not 1 <= self.burst <= MAX_BURST:
            raise ValueError(f"rate: the burst needs 1 to {MAX_BURST}, not {shown(self.burst)}")
        object.__setattr__(self, "per_second", float(self.per_second))

    def __str__(self) -> str:
        """Write it as `parse_rate` reads it."""
        return f"{repr(self.per_second).removesuffix('.0')}/s burst {self.burst}"


def parse_rate(value: str | float | Rate | None) -> Rate | None:
    """Read a rate as people write it.

    Without a burst, it is what comes in a twentieth of a second, at least 1. So ``"10/s"`` sends
    one mail every 100 ms, at most 11 in any second however late it woke up, while ``"1000/s"`` may
    send 50 at once after a pause.

    Args:
        value: a number and a unit, such as ``"10/s"``, ``"500/min"``, ``"3600/h"`` or
            ``"1000/day"``, and perhaps ``" burst 20"`` after it; a plain number is per second;
            None for no limit.

    Raises:
        ValueError: it cannot be read, or is out of range.
        TypeError: it is none of these.
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
        # What is out of range is refused below, and must come as far.
        within = per_second if 0 < per_second <= MAX_PER_SECOND else 0.0
        burst = max(1, math.ceil(within * _BURST_SECONDS))
    return Rate(per_second=per_second, burst=burst)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class TokenBucket:
    """Lets mails out at a rate: each takes a token.

    Tokens drop in at fixed moments, ``1 / per_second`` apart, counted from the beginning and never
    from one another: no rounding error adds up, and who asks a little late loses nothing. A token
    that finds `burst` in the bucket already is lost.

    A clock that stands still or goes back brings no token, and takes none away.

    Args:
        rate: how fast.
        now: the time, in seconds. The bucket is full at first.
    """

    __slots__ = ("_began", "_burst", "_came", "_per_second", "_tokens")

    def __init__(self, rate: Rate, now: float) -> None:
        self._per_second = rate.per_second
        self._burst = rate.burst
        self._began = now
        self._came = 0  # how many have dropped in since
        self._tokens = rate.burst

    def take(self, now: float) -> bool:
        """Take a token, if there is one.

        Args:
            now: the time, in seconds.

        Returns:
            Whether there was one: a mail may go.
        """
        self._fill(now)
        if not self._tokens:
            return False
        self._tokens -= 1
        return True

    def seconds_until_ready(self, now: float) -> float:
        """Return in how many seconds there is a token: 0.0 if there is one now.

        Args:
            now: the time, in seconds.
        """
        self._fill(now)
        if self._tokens:
            return 0.0
        return self._began + (self._came + 1) / self._per_second - now

    def give_back(self) -> None:
        """Put a token back that was taken for a mail that did not go."""
        self._tokens = min(self._tokens + 1, self._burst)

    def _fill(self, now: float) -> None:
        came = int((now - self._began + _SLACK) * self._per_second)
        if came > self._came:
            self._tokens = min(self._tokens + came - self._came, self._burst)
            self._came = came

    def __repr__(self) -> str:
        return f"<TokenBucket {self._tokens} of {self._burst}, {self._per_second:g}/s>"

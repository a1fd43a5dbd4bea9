"""What follows if somebody sets the clock. The times are passed in.

Due times are in the file, in UTC, as they must survive the process. A clock that is set moves them:
forward, and all retries would be due at once; back, and nothing would be due for long.
"""

from dataclasses import dataclass

LEAST_STEP = 5.0
"""Seconds; less is no step: the clock is led back to the right time, or two readings lie apart."""
SLACK = 2.0
"""Seconds within which a step is noticed."""


@dataclass(frozen=True, slots=True)
class ClockNote:
    """Where the clock is, against one that nobody sets.

    Attributes:
        boot: names what counts both: this start of the system; empty if it does not say.
        offset: the time in seconds of UTC less that of the steady clock.
    """

    boot: str
    offset: float


def step_between(noted: ClockNote | None, seen: ClockNote | None, is_now: ClockNote) -> float:
    """Return by how many seconds the clock was set since the file was last adapted; 0 if unknown.

    Args:
        noted: what the file says: up to where it is adapted.
        seen: what this process saw last; None at its start.
        is_now: where the clock is.
    """
    if noted is None or not is_now.boot or noted.boot != is_now.boot:
        return 0.0
    step = is_now.offset - noted.offset
    if abs(step) < LEAST_STEP:
        return 0.0  # nothing has happened, or another process was first
    if seen is not None and abs(seen.offset - noted.offset) >= LEAST_STEP:
        return 0.0  # the file is somebody's who sees another clock
    return step

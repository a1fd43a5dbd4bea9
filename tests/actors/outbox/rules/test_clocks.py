"""By how many seconds somebody has set the clock."""

import pytest

from pykka_smtp.actors.outbox.rules.clocks import ClockNote, step_between

DAY = 86_400.0


def at(offset: float, boot: str = "b") -> ClockNote:
    return ClockNote(boot, offset)


@pytest.mark.parametrize(
    ("noted", "seen", "is_now", "step"),
    [
        (None, None, at(0.0), 0.0),  # a new file
        (at(0.0), at(0.0), at(0.1), 0.0),  # two readings lie apart
        (at(0.0), at(0.0), at(DAY), DAY),
        (at(0.0), at(0.0), at(-DAY), -DAY),
        (at(0.0), None, at(DAY), DAY),  # between two starts
        (at(DAY), at(0.0), at(DAY), 0.0),  # another process was first
        (at(0.0, "before"), None, at(DAY), 0.0),  # the system has started since
        (at(0.0, ""), None, at(DAY, ""), 0.0),  # it does not say
        (at(0.0), at(-100.0), at(DAY), 0.0),  # the other sees another clock
    ],
)
def test_a_step_counts_once_and_only_if_it_is_known(
    noted: ClockNote | None, seen: ClockNote | None, is_now: ClockNote, step: float
) -> None:
    assert step_between(noted, seen, is_now) == step

"""Relays of a Mailer, without connections: a window, a rate and limits."""

from pykka_smtp.actors.mailer.capacity.capacity import Capacity, Limits
from pykka_smtp.actors.mailer.capacity.concurrency import ConcurrencyWindow
from pykka_smtp.actors.mailer.capacity.pacing import parse_rate


class CountedCapacity(Capacity):
    """Counts how often it is looked at: `seconds_until_ready` and `try_acquire`."""

    looks = 0

    def seconds_until_ready(self, now: float) -> float:
        self.looks += 1
        return super().seconds_until_ready(now)

    def try_acquire(self, now: float) -> bool:
        self.looks += 1
        return super().try_acquire(now)


def capacity(
    *,
    most: int = 5,
    first: int = 5,
    rate: str | None = None,
    weight: float | None = None,
    window_most: int | None = None,
) -> CountedCapacity:
    limits = Limits(
        max_connections=most,
        initial_connections=first,
        max_mails_per_connection=100,
        idle_timeout=30.0,
        rate=parse_rate(rate),
    )
    return CountedCapacity(limits, ConcurrencyWindow(window_most or most, first=first), weight)

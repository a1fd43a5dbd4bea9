"""Relays of a Mailer, without connections: a window, a rate and limits."""

from pykka_smtp.actors.mailer.capacity import Capacity, Limits
from pykka_smtp.actors.mailer.concurrency import ConcurrencyWindow
from pykka_smtp.actors.mailer.pacing import parse_rate


def capacity(
    *,
    most: int = 5,
    first: int = 5,
    rate: str | None = None,
    weight: float | None = None,
    window_most: int | None = None,
) -> Capacity:
    limits = Limits(
        max_connections=most,
        initial_connections=first,
        max_mails_per_connection=100,
        idle_timeout=30.0,
        rate=parse_rate(rate),
    )
    return Capacity(limits, ConcurrencyWindow(window_most or most, first=first), weight)

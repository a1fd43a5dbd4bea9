"""Destinations of a Mailer, without connections: a window, a rate and limits."""

from pykka_smtp.actors.mailer.concurrency import ConcurrencyWindow
from pykka_smtp.actors.mailer.destination import Destination, Limits
from pykka_smtp.actors.mailer.pacing import parse_rate


def destination(
    *,
    most: int = 5,
    first: int = 5,
    rate: str | None = None,
    weight: float | None = None,
    window_most: int | None = None,
) -> Destination:
    limits = Limits(
        max_connections=most,
        first_connections=first,
        max_mails_per_connection=100,
        idle_timeout=30.0,
        rate=parse_rate(rate),
    )
    return Destination(limits, ConcurrencyWindow(window_most or most, first=first), weight)

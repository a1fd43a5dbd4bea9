"""pykka-smtp's `Mailer`, told more than the server takes.

Arguments: ``port``; ``limit``: connections; ``max_queued``; ``warm_up_seconds``; ``rate``:
mails told a second; ``seconds``: for how long; ``peak_seconds``: for how long, before that, so
many are kept outstanding that the server always has enough, and the queue next to none.
"""

import threading
import time
from dataclasses import dataclass
from typing import Any, Self

from pykka_smtp import (
    Drain,
    FailureKind,
    Mailer,
    Outcome,
    SendFailure,
    SendMail,
    set_connection_limit,
    smtp_send_failure,
    smtp_send_success,
)

from .mail import RECIPIENT, SENDER, mail_of
from .measure import Stopwatch, arguments, report
from .processes import HOST

_MAIL = mail_of()
_TICK = 0.005
"""Seconds between two lots of mails."""
_LOOK = 0.1
"""Seconds between two looks at the queue."""
_DRAIN = 60.0


@dataclass(slots=True)
class Told:
    """A mail that was told, and what became of it.

    Attributes:
        at: when it was told.
        outcomes: how many it has had.
    """

    at: float
    outcomes: int = 0


class Tally:
    """Hears all outcomes, and how long they took."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.outcomes = 0
        self.waits: list[float] = []
        self.refused = 0
        self.failed = 0
        self._heard = threading.Condition()

    def __call__(self, _alias: str, outcome: Outcome, **_extra: object) -> None:
        outcome.context.outcomes += 1
        if not isinstance(outcome, SendFailure):
            self.waits.append(time.perf_counter() - outcome.context.at)
        elif outcome.kind is FailureKind.LOCAL and outcome.retryable:
            self.refused += 1
        else:
            self.failed += 1
        with self._heard:
            self.outcomes += 1
            self._heard.notify_all()

    def send(self, mailer: Any) -> None:
        """Tell a mail."""
        told = Told(time.perf_counter())
        self.told.append(told)
        mailer.tell(SendMail(sender=SENDER, recipients=RECIPIENT, message=_MAIL, context=told))

    @property
    def outstanding(self) -> int:
        """How many mails have no outcome yet."""
        return len(self.told) - self.outcomes

    def mean(self) -> float:
        """Return how long a mail that was taken waited on average, in seconds."""
        return sum(self.waits) / max(1, len(self.waits))

    def longest(self) -> float:
        """Return how long one waited at most."""
        return max(self.waits, default=0.0)

    def wait(self, most: int, timeout: float) -> None:
        """Wait until no more than so many are outstanding, or time is up."""
        with self._heard:
            self._heard.wait_for(lambda: self.outstanding <= most, timeout)

    def __enter__(self) -> Self:
        smtp_send_success.connect(self)
        smtp_send_failure.connect(self)
        return self

    def __exit__(self, *_details: object) -> None:
        smtp_send_success.disconnect(self)
        smtp_send_failure.disconnect(self)


def find_peak(mailer: Any, outstanding: int, seconds: float) -> dict[str, float]:
    """Keep so many outstanding for a time: how many were taken, and how long did they wait?"""
    with Tally() as tally:
        watch = Stopwatch()
        while watch.seconds() < seconds:
            tally.wait(outstanding - 1, seconds)
            tally.send(mailer)
        rate = len(tally.waits) / watch.seconds()
        tally.wait(0, _DRAIN)
    return {"peak": rate, "peak_mean_wait": tally.mean(), "peak_longest_wait": tally.longest()}


def overload(mailer: Any, rate: float, seconds: float) -> dict[str, float]:
    """Tell so many mails a second for a time, evenly, and let the queue run empty after that."""
    most_queued = most_outstanding = 0
    looked = 0.0
    with Tally() as tally:
        watch = Stopwatch()
        while (passed := watch.seconds()) < seconds:
            for _ in range(int(passed * rate) - len(tally.told)):
                tally.send(mailer)
            most_outstanding = max(most_outstanding, tally.outstanding)
            if passed - looked > _LOOK:
                looked = passed
                queued = mailer.proxy().statistics().get(timeout=_DRAIN).queued
                most_queued = max(most_queued, queued)
            time.sleep(_TICK)
        took, taken = watch.seconds(), len(tally.waits)
        cpu = watch.cpu()
        mailer.ask(Drain(timeout=_DRAIN), timeout=2 * _DRAIN)
        tally.wait(0, 1.0)  # the last outcomes are on their way to us
    outcomes = [told.outcomes for told in tally.told]
    return {
        "told_rate": len(tally.told) / took,
        "taken_rate": taken / took,
        "refused_rate": tally.refused / took,
        "accepted": len(tally.waits),
        "failed": tally.failed,
        "most_queued": most_queued,
        "most_outstanding": most_outstanding,
        "mean_wait": tally.mean(),
        "longest_wait": tally.longest(),
        "cpu": cpu,
        "not_one_outcome": sum(number != 1 for number in outcomes),
    }


def main() -> None:
    """Do as told."""
    told = arguments()
    set_connection_limit(told["limit"])
    mailer = Mailer.start(
        HOST, told["port"], max_connections=told["limit"], max_queued=told["max_queued"]
    )
    find_peak(mailer, 2 * told["limit"], told["warm_up_seconds"])
    peak = find_peak(mailer, 2 * told["limit"], told["peak_seconds"])
    figures = overload(mailer, told["rate"], told["seconds"])
    mailer.stop()
    report(**peak, **figures)


if __name__ == "__main__":
    main()

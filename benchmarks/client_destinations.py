"""pykka-smtp's `Mailer` with many destinations, all of which are one server.

Arguments: ``port``; ``part``, which is to be measured: ``spread``, ``floor``, ``cold`` or ``idle``;
``destinations``; ``mails`` for each of them; ``hot``, the mails of one that is told before the
others.
"""

import gc
import threading
import time
import tracemalloc
from typing import Any

from pykka import ActorRef

from pykka_smtp import Mailer, Outcome, SendMail, SendSuccess, smtp_send_failure, smtp_send_success
from pykka_smtp.actors.loop.event_loop import event_loop
from pykka_smtp.actors.mailer.routing import Route
from pykka_smtp.actors.options.options import collect_options

from .mail import CLIENT_NAME, SENDER, mail_of
from .measure import Stopwatch, arguments, raise_descriptor_limit, report, resident
from .processes import HOST

_PATIENCE = 100.0
"""Seconds for all outcomes of one part."""
_TICKS = 1_000
_IDLE = 2.0
"""Seconds that a connection waits for the next mail: others want it."""
_WARM_UP = 200


class Tally:
    """Counts outcomes, and sees when the first of each destination comes."""

    def __init__(self) -> None:
        self.sent = self.failed = 0
        self.first: dict[str, float] = {}
        self._changed = threading.Condition()
        smtp_send_success.connect(self)
        smtp_send_failure.connect(self)

    def __call__(self, _alias: str, outcome: Outcome, **_extra: object) -> None:
        domain = outcome.mail.all_recipients[0].partition("@")[2]
        self.first.setdefault(domain, time.perf_counter())
        with self._changed:
            if isinstance(outcome, SendSuccess):
                self.sent += 1
            else:
                self.failed += 1
            self._changed.notify_all()

    def wait(self, count: int) -> None:
        """Wait for so many outcomes."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.sent + self.failed >= count, _PATIENCE):
                raise TimeoutError(f"{self.sent} sent and {self.failed} failed of {count}")


def start(told: dict[str, Any], *, by_domain: bool) -> ActorRef[Any]:
    """Start the Mailer: a destination for each domain, or one for all."""
    options = collect_options(
        HOST, told["port"], tls="off", alias="mailer", local_hostname=CLIENT_NAME
    )

    class ByDomain(Mailer):
        _find_route = staticmethod(lambda _domain: Route((HOST,), options))

    kind = ByDomain if by_domain else Mailer
    return kind.start(
        HOST,
        told["port"],
        tls="off",
        local_hostname=CLIENT_NAME,
        max_queued=1_000_000,
        max_connections=20 if by_domain else 100,
        initial_connections=1 if by_domain else 100,
        # One alone opens as many connections as the others need.
        max_mails_per_connection=100 if by_domain else told["mails"],
        idle_timeout=_IDLE,
    )


def mails_for(domain: str, count: int) -> list[SendMail]:
    """Make the mails for a destination."""
    message = mail_of()
    return [
        SendMail(sender=SENDER, recipients=f"you@{domain}", message=message) for _ in range(count)
    ]


def warm_up(mailer: ActorRef[Any], tally: Tally) -> None:
    """Load what is loaded once, and wait until its connections are gone."""
    for mail in mails_for("warm.test", _WARM_UP):
        mailer.tell(mail)
    tally.wait(_WARM_UP)


def many(told: dict[str, Any], *, by_domain: bool) -> None:
    """Send to each destination, as fast as may be."""
    mailer, tally = start(told, by_domain=by_domain), Tally()
    warm_up(mailer, tally)
    count = told["destinations"] * told["mails"]
    mails = [
        mail
        for number in range(told["destinations"])
        for mail in mails_for(f"d{number}.test", told["mails"])
    ]
    gc.collect()
    before = resident()
    watch = Stopwatch()
    for mail in mails:
        mailer.tell(mail)
    memory = resident() - before
    tally.wait(count + _WARM_UP)
    seconds, cpu = watch.seconds(), watch.cpu()
    memory = max(memory, resident() - before)
    mailer.stop()
    report(
        mails_per_second=count / seconds,
        cpu_us_per_mail=cpu / count * 1e6,
        mib=memory / 2**20,
        failed=tally.failed,
        lost=count + _WARM_UP - tally.sent - tally.failed,
    )


def cold(told: dict[str, Any]) -> None:
    """Tell one destination many mails, and then each other one; see when they get their first."""
    mailer, tally = start(told, by_domain=True), Tally()
    warm_up(mailer, tally)
    hot = mails_for("hot.test", told["hot"])
    others = [mails_for(f"d{number}.test", 1)[0] for number in range(told["destinations"])]
    for mail in hot:
        mailer.tell(mail)
    began = time.perf_counter()
    for mail in others:
        mailer.tell(mail)
    told_after = time.perf_counter() - began
    tally.wait(_WARM_UP + len(hot) + len(others))
    seconds = time.perf_counter() - began
    mailer.stop()
    waits = sorted(when - began for domain, when in tally.first.items() if domain.startswith("d"))
    report(
        median_wait=waits[len(waits) // 2],
        longest_wait=waits[-1],
        told_after=told_after,
        whole=seconds,
        failed=tally.failed,
        lost=0,
    )


def idle(told: dict[str, Any]) -> None:
    """See what destinations cost that nobody sends to: memory, and time at each tick."""
    mailer, tally = start(told, by_domain=True), Tally()
    warm_up(mailer, tally)
    actor = mailer._actor_weakref()
    assert actor is not None
    done = threading.Event()
    found: dict[str, float] = {}

    def look() -> None:
        began = time.perf_counter()
        for _ in range(_TICKS):
            actor.on_tick(began)  # an early time: nothing is due
        found["tick_us"] = (time.perf_counter() - began) / _TICKS * 1e6
        found["remembered"] = len(actor._destinations.memory)
        found["in_use"] = sum(1 for _ in actor._destinations)
        done.set()

    for count in (told["destinations"], 2 * told["destinations"]):
        # The first half is forgotten by the second: what is left is of the second alone.
        if count > told["destinations"]:
            gc.collect()
            tracemalloc.start()
        for number in range(count - told["destinations"], count):
            mailer.tell(mails_for(f"d{number:05}.test", 1)[0])
        tally.wait(_WARM_UP + count)
    time.sleep(_IDLE + 1.0)
    gc.collect()
    size = sum(
        trace.size
        for trace in tracemalloc.take_snapshot().statistics("filename")
        if "/actors/" in trace.traceback[0].filename
    )
    tracemalloc.stop()
    event_loop().loop.call_soon_threadsafe(look)
    assert done.wait(_PATIENCE)
    mailer.stop()
    report(octets_each=size / max(1.0, found["remembered"]), **found, failed=tally.failed, lost=0)


def main() -> None:
    """Measure one part."""
    told = arguments()
    raise_descriptor_limit()
    match told["part"]:
        case "cold":
            cold(told)
        case "idle":
            idle(told)
        case part:
            many(told, by_domain=part == "spread")


if __name__ == "__main__":
    main()

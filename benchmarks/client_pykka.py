"""pykka-smtp's `SmtpActor` as a client: a connection for each mail.

Arguments: ``mode`` (``many``, ``single`` or ``file``), ``port``, ``count``, ``warm_up``, and for
``many``: ``limit``, the connections at a time, and ``window``, the sends at a time (0: all), and
``composed`` and ``ca`` as `way.Way` has them; for ``file``: ``path``.
"""

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pykka_smtp import (
    Outcome,
    SendMail,
    SendSuccess,
    SmtpActor,
    set_connection_limit,
    smtp_send_failure,
    smtp_send_success,
)

from .client_compose import make
from .mail import RECIPIENT, SENDER, mail_of
from .measure import PeakMemory, Stopwatch, arguments, report
from .processes import HOST
from .way import Way

_MAIL = mail_of()


class Tally:
    """Counts outcomes, as receivers do: on the bus's one thread, so without a lock."""

    def __init__(self, expected: int, window: int) -> None:
        self._expected = expected
        self.counts: Counter[type[Outcome]] = Counter()
        self.done = threading.Event()
        self.room = threading.Semaphore(window) if window else None

    def __call__(self, _alias: str, outcome: Outcome, **_extra: object) -> None:
        self.counts[type(outcome)] += 1
        if self.room is not None:
            self.room.release()
        if self.counts.total() == self._expected:
            self.done.set()


def ready(message: bytes | Path = _MAIL) -> SendMail:
    """Wrap a complete mail."""
    return SendMail(sender=SENDER, recipients=RECIPIENT, message=message)


def send_many(
    tell: Callable[[SendMail], object],
    count: int,
    window: int,
    mail: Callable[[], SendMail] = ready,
) -> dict[str, float]:
    """Tell all mails, or as many at a time as the window allows, and wait for all outcomes.

    Args:
        tell: tells somebody to send a mail.
        count: mails.
        window: sends outstanding at most; 0 for all.
        mail: makes a mail.
    """
    tally = Tally(count, window)
    smtp_send_success.connect(tally)
    smtp_send_failure.connect(tally)
    watch = Stopwatch()
    for _ in range(count):
        if tally.room is not None:
            tally.room.acquire()
        tell(mail())
    told = watch.seconds()
    tally.done.wait()
    seconds, cpu = watch.seconds(), watch.cpu()
    smtp_send_success.disconnect(tally)
    smtp_send_failure.disconnect(tally)
    sent = tally.counts[SendSuccess]
    return {"seconds": seconds, "cpu": cpu, "sent": sent, "seconds_to_tell": told}


def send_one(port: int, message: bytes | Path = _MAIL) -> None:
    """Send a mail and wait for its outcome."""
    ref: Any = SmtpActor.start(HOST, port)
    ref.ask(ready(message)).raise_for_failure()


def main() -> None:
    """Do as told."""
    told = arguments()
    port = told["port"]
    if told["mode"] == "many":
        set_connection_limit(told["limit"])
        mail = make if told["composed"] else ready
        options = Way.of(told).tls_options

        def tell(mail: SendMail) -> None:
            SmtpActor.start(HOST, port, **options).tell(mail)

        send_many(tell, told["warm_up"], told["window"], mail)
        report(**send_many(tell, told["count"], told["window"], mail))
        return
    for _ in range(told["warm_up"]):
        send_one(port)
    message = Path(told["path"]) if told["mode"] == "file" else _MAIL
    peak = PeakMemory()
    watch = Stopwatch()
    for _ in range(told["count"]):
        send_one(port, message)
    report(seconds=watch.seconds(), cpu=watch.cpu(), sent=told["count"], peak=peak.extra())


if __name__ == "__main__":
    main()

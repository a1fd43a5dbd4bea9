"""pykka-smtp with so many sends in flight all the time, on a server that takes its time.

Arguments: ``port``; ``warm_up``: mails before, that the server takes at once; ``in_flight``;
``seconds``: for how long to tell; ``patience``: seconds for the rest to be taken; ``mailer``:
whether a `Mailer` sends them, or an `SmtpActor` each.
"""

import gc
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pykka_smtp import (
    Mailer,
    Outcome,
    SendMail,
    SmtpActor,
    set_connection_limit,
    smtp_send_failure,
    smtp_send_success,
)

from .mail import CLIENT_NAME, RECIPIENT, SENDER, mail_of
from .measure import (
    PeakMemory,
    Stopwatch,
    arguments,
    raise_descriptor_limit,
    report,
    wait_for_threads,
)
from .processes import HOST

_MAIL = mail_of()
_SPARE = 200
"""Descriptors for anything but the sends."""
_TIMEOUT = 90.0
_NO_LIMIT = 2**62


class Tally:
    """Counts outcomes, and lets so many sends be outstanding."""

    def __init__(self, in_flight: int) -> None:
        self.kinds: Counter[str] = Counter()
        self._in_flight = in_flight
        self._room = threading.Semaphore(in_flight)

    def __call__(self, _alias: str, outcome: Outcome, **_extra: object) -> None:
        self.kinds[type(outcome).__name__] += 1
        self._room.release()

    def room(self, timeout: float) -> bool:
        """Wait until another may be sent; return whether it may."""
        return self._room.acquire(timeout=timeout)

    def wait(self, patience: float) -> None:
        """Wait until none is outstanding, or the patience is at its end."""
        watch = Stopwatch()
        for _ in range(self._in_flight):
            if not self.room(max(0.0, patience - watch.seconds())):
                return


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """How a sending went.

    Attributes:
        told: mails told.
        kinds: what the outcomes were.
        cores: processors used while mails were told, as opposed to waiting for the last ones.
    """

    told: int
    kinds: Counter[str]
    cores: float


def send(
    tell: Callable[[SendMail], object], in_flight: int, seconds: float, patience: float, most: int
) -> Sent:
    """Keep so many sends in flight for a time, and wait for the rest.

    Args:
        tell: tells somebody to send a mail.
        in_flight: sends outstanding at a time.
        seconds: for how long to tell.
        patience: seconds for the rest.
        most: mails to tell at most.
    """
    tally = Tally(in_flight)
    smtp_send_success.connect(tally)
    smtp_send_failure.connect(tally)
    watch = Stopwatch()
    told = 0
    while told < most and (left := seconds - watch.seconds()) > 0:
        if tally.room(left):
            # Each a message of its own, as real mails are.
            message = b"X-Number: %d\r\n%s" % (told, _MAIL)
            tell(SendMail(sender=SENDER, recipients=RECIPIENT, message=message))
            told += 1
    cores = watch.cpu() / watch.seconds()
    tally.wait(patience)
    smtp_send_success.disconnect(tally)
    smtp_send_failure.disconnect(tally)
    return Sent(told=told, kinds=tally.kinds, cores=cores)


def main() -> None:
    """Do as told."""
    told = arguments()
    in_flight = min(told["in_flight"], raise_descriptor_limit() - _SPARE)
    set_connection_limit(in_flight)
    options: dict[str, Any] = {
        "local_hostname": CLIENT_NAME,
        "timeout": _TIMEOUT,
        "deadline": 2 * _TIMEOUT,
    }
    mailer = None
    if told["mailer"]:
        mailer = Mailer.start(
            HOST,
            told["port"],
            max_connections=in_flight,
            # The server takes what comes, and is known to: no need to find out step by step.
            initial_connections=in_flight,
            max_queued=2 * in_flight + told["warm_up"],
            **options,
        )

    def tell(mail: SendMail) -> None:
        ref = mailer or SmtpActor.start(HOST, told["port"], **options)
        ref.tell(mail)

    warm_up = told["warm_up"]
    send(tell, warm_up, _TIMEOUT, _TIMEOUT, most=warm_up)
    if mailer is None:
        wait_for_threads(1, 5)
    gc.collect()
    peak = PeakMemory()
    watch = Stopwatch()
    sent = send(tell, in_flight, told["seconds"], told["patience"], most=_NO_LIMIT)
    seconds, cpu, memory = watch.seconds(), watch.cpu(), peak.extra()
    if mailer is not None:
        mailer.stop()
    report(
        seconds=seconds,
        cpu=cpu,
        cores=sent.cores,
        in_flight=in_flight,
        told=sent.told,
        accepted=sent.kinds["SendSuccess"],
        octets_each=memory / in_flight,
    )


if __name__ == "__main__":
    main()

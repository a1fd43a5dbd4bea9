"""pykka-smtp against a server that breaks most sessions: what is left behind?

Arguments: ``count``; ``first``: after how many sends memory is measured first; ``window``: sends
at a time; ``seed``.
"""

import gc
import threading
from collections import Counter

import pykka

from pykka_smtp import (
    Outcome,
    SendFailure,
    SendMail,
    SmtpActor,
    smtp_send_failure,
    smtp_send_success,
)

from .mail import CLIENT_NAME, RECIPIENT, SENDER, mail_of
from .measure import Stopwatch, arguments, descriptors, report, resident, threads, wait_for_threads
from .processes import HOST, OwnServer

_WARM_UP = 100
_TIMEOUT = 0.3
"""Seconds that a silent server has: short, for there are hundreds of them."""
_MAIL = mail_of()


class Tally:
    """Counts outcomes, by mail and by kind."""

    def __init__(self, count: int, window: int) -> None:
        self.seen = bytearray(count)
        self.kinds: Counter[str] = Counter()
        self.maybe_accepted = 0
        self.room = threading.Semaphore(window)
        self._window = window

    def __call__(self, _alias: str, outcome: Outcome, **_extra: object) -> None:
        self.seen[outcome.context] += 1
        if isinstance(outcome, SendFailure):
            self.kinds[outcome.kind.name] += 1
            self.maybe_accepted += outcome.maybe_accepted
        else:
            self.kinds["accepted"] += 1
        self.room.release()

    def wait(self) -> None:
        """Wait until no send is under way."""
        for _ in range(self._window):
            self.room.acquire()
        for _ in range(self._window):
            self.room.release()


def send(port: int, numbers: range, tally: Tally) -> None:
    """Send one mail for each number, and wait for the outcomes."""
    for number in numbers:
        tally.room.acquire()
        SmtpActor.start(HOST, port, local_hostname=CLIENT_NAME, timeout=_TIMEOUT).tell(
            SendMail(sender=SENDER, recipients=RECIPIENT, message=_MAIL, context=number)
        )
    tally.wait()


def settle() -> None:
    """Wait until the threads have gone, and what is garbage is."""
    wait_for_threads(1, 5)
    gc.collect()


def main() -> None:
    """Send, and measure before, in between and afterwards."""
    told = arguments()
    count, first = told["count"], told["first"]
    tally = Tally(_WARM_UP + count, told["window"])
    smtp_send_success.connect(tally)
    smtp_send_failure.connect(tally)
    with OwnServer("faulty_server", seed=told["seed"]) as server:
        send(server.port, range(_WARM_UP), tally)
        settle()
        before = descriptors(), threads(), len(pykka.ActorRegistry.get_all())
        watch = Stopwatch()
        send(server.port, range(_WARM_UP, _WARM_UP + first), tally)
        settle()
        memory_first = resident()
        send(server.port, range(_WARM_UP + first, _WARM_UP + count), tally)
        seconds = watch.seconds()
        settle()
        memory_last = resident()
        after = descriptors(), threads(), len(pykka.ActorRegistry.get_all())
    report(
        seconds=seconds,
        descriptors_left=after[0] - before[0],
        threads_left=after[1] - before[1],
        actors_left=after[2] - before[2],
        memory_growth=memory_last - memory_first,
        unresolved=tally.seen.count(0),
        double=len(tally.seen) - tally.seen.count(0) - tally.seen.count(1),
        maybe_accepted=tally.maybe_accepted,
        kinds=dict(tally.kinds.most_common()),
    )


if __name__ == "__main__":
    main()

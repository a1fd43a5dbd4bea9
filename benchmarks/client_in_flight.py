"""pykka-smtp with many sends in flight at once, on a server that holds them all.

Arguments: ``count``.
"""

import gc
import threading
from collections import Counter

from pykka_smtp import (
    Outcome,
    SendMail,
    SmtpActor,
    set_connection_limit,
    smtp_send_failure,
    smtp_send_success,
)

from .mail import CLIENT_NAME, RECIPIENT, SENDER, mail_of
from .measure import (
    Stopwatch,
    arguments,
    descriptors,
    raise_descriptor_limit,
    report,
    resident,
    threads,
    wait_for_threads,
)
from .processes import HOST, OwnServer

_WARM_UP = 100
"""Sends before, so that what is loaded once is not counted for each."""
_SPARE = 200
"""Descriptors for anything but the sends."""
_PATIENCE = 90.0
"""Seconds for all sends to come as far as the server lets them."""


class Tally:
    """Counts outcomes."""

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self.seen = bytearray(expected)
        self.kinds: Counter[str] = Counter()
        self.done = threading.Event()

    def __call__(self, _alias: str, outcome: Outcome, **_extra: object) -> None:
        self.seen[outcome.context] += 1
        self.kinds[type(outcome).__name__] += 1
        if self.kinds.total() == self._expected:
            self.done.set()

    def connect(self) -> None:
        """Hear outcomes from now on."""
        smtp_send_success.connect(self)
        smtp_send_failure.connect(self)

    def disconnect(self) -> None:
        """Hear no more."""
        smtp_send_success.disconnect(self)
        smtp_send_failure.disconnect(self)


def send(port: int, count: int) -> Tally:
    """Tell so many mails, each a message of its own; return who hears the outcomes."""
    tally = Tally(count)
    tally.connect()
    message = mail_of()
    for number in range(count):
        SmtpActor.start(
            HOST, port, local_hostname=CLIENT_NAME, timeout=_PATIENCE, deadline=2 * _PATIENCE
        ).tell(
            SendMail(
                sender=SENDER,
                recipients=RECIPIENT,
                message=b"X-Number: %d\r\n%s" % (number, message),
                context=number,
            )
        )
    return tally


def main() -> None:
    """Send, measure while all are held, and wait for the outcomes."""
    count = min(arguments()["count"], raise_descriptor_limit() - _SPARE)
    set_connection_limit(count)
    with OwnServer("holding_server", count=count, free=_WARM_UP) as server:
        warm_up = send(server.port, _WARM_UP)
        assert warm_up.done.wait(_PATIENCE)
        warm_up.disconnect()
        wait_for_threads(1, 5)
        gc.collect()
        before, descriptors_before, threads_before = resident(), descriptors(), threads()
        watch = Stopwatch()
        tally = send(server.port, count)
        server.hear(_PATIENCE)
        until_held, at_most = watch.seconds(), threads()
        memory = resident() - before
        server.tell("release")
        tally.done.wait(_PATIENCE)
        resolved_after = watch.seconds() - until_held
        wait_for_threads(1, 5)
        gc.collect()
        left = {
            "descriptors_left": descriptors() - descriptors_before,
            "threads_left": threads() - threads_before,
            "memory_left": resident() - before,
        }
    report(
        count=count,
        threads=at_most,
        octets_each=memory / count,
        unresolved=tally.seen.count(0),
        double=len(tally.seen) - tally.seen.count(0) - tally.seen.count(1),
        accepted=tally.kinds["SendSuccess"],
        seconds_until_held=until_held,
        seconds_to_resolve=resolved_after,
        **left,
    )


if __name__ == "__main__":
    main()

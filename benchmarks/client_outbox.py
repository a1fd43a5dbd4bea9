"""pykka-smtp's `Outbox` as a client: a file for all mails. Arguments: as for `client_mailer`.

And ``path``, the file; ``puts``: do not send, and count receipts.
"""

import time
from typing import Any

from pykka_smtp import Outbox, Put, set_connection_limit

from .client_pykka import ready, send_many
from .measure import arguments, report
from .processes import HOST


def main() -> None:
    """Do as told."""
    told = arguments()
    set_connection_limit(told["limit"])
    outbox = Outbox.start(
        told["path"],
        HOST,
        told["port"],
        max_connections=told["limit"],
        max_mails_per_connection=told["per_connection"],
        send=not told.get("puts"),
    )
    if told.get("puts"):
        report(**put_all(outbox, told["count"], told["puts"]))
        outbox.stop()
        return
    send_many(outbox.tell, told["warm_up"], told["window"], ready)
    time.sleep(max(0.0, told.get("begins", 0.0) - time.monotonic()))
    figures = send_many(outbox.tell, told["count"], told["window"], ready)
    outbox.stop()
    report(**figures)


def put_all(outbox: Any, count: int, at_once: int) -> dict[str, float]:
    """Put emails, so many at once; return how long it took."""
    mails = [ready() for _ in range(count)]
    began, cpu = time.perf_counter(), time.process_time()
    longest = 0.0
    for first in range(0, count, at_once):
        start = time.perf_counter()
        some = mails[first : first + at_once]
        for receipt in [outbox.ask(Put(mail), block=False) for mail in some]:
            receipt.get()
        longest = max(longest, time.perf_counter() - start)
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "rate": count / seconds,
        "longest": longest,
        "cpu": time.process_time() - cpu,
    }


if __name__ == "__main__":
    main()

"""Several processes that put one email at a time into one outbox: one of them.

Arguments: ``path``, ``seconds``; ``begins``, when the clock starts, on the system's clock.
"""

import time

from pykka_smtp import Outbox, Put

from .client_pykka import ready
from .measure import arguments, report


def main() -> None:
    """Do as told."""
    told = arguments()
    outbox = Outbox.start(told["path"], send=False, hear=False)
    time.sleep(max(0.0, told["begins"] - time.time()))
    longest, count, end = 0.0, 0, time.monotonic() + told["seconds"]
    while time.monotonic() < end:
        began = time.monotonic()
        outbox.ask(Put(ready()))
        longest = max(longest, time.monotonic() - began)
        count += 1
    outbox.stop()
    report(count=count, longest=longest)


if __name__ == "__main__":
    main()

"""pykka-smtp's `Mailer` as a client: one for all mails.

Arguments: ``port``, ``count``, ``warm_up``; ``limit``, its connections; ``per_connection``, the
mails that it sends on each; ``window``, ``composed`` and ``ca`` as for `client_pykka`; ``begins``,
when the clock starts at the earliest, on the system's monotonic clock.
"""

import time

from pykka_smtp import Mailer, set_connection_limit

from .client_compose import make
from .client_pykka import ready, send_many
from .measure import arguments, report
from .processes import HOST
from .way import Way


def main() -> None:
    """Do as told."""
    told = arguments()
    set_connection_limit(told["limit"])
    mailer = Mailer.start(
        HOST,
        told["port"],
        max_connections=told["limit"],
        max_mails_per_connection=told["per_connection"],
        max_queued=told["count"] + told["warm_up"],
        **Way.of(told).tls_options,
    )
    mail = make if told["composed"] else ready
    send_many(mailer.tell, told["warm_up"], told["window"], mail)
    time.sleep(max(0.0, told.get("begins", 0.0) - time.monotonic()))
    figures = send_many(mailer.tell, told["count"], told["window"], mail)
    mailer.stop()
    report(**figures)


if __name__ == "__main__":
    main()

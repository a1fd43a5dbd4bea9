"""The standard library's smtplib as a client.

Arguments: as for `client_pykka`; ``limit`` is the number of threads; ``reuse`` and ``named`` as
`way.Way` has them.
"""

import smtplib
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from .client_compose import make_email_message
from .mail import RECIPIENT, SENDER, mail_of
from .measure import PeakMemory, Stopwatch, arguments, report
from .processes import HOST
from .way import Way

_MAIL = mail_of()


def open_session(way: Way) -> smtplib.SMTP:
    """Connect."""
    session = smtplib.SMTP(HOST, way.port, local_hostname=way.name, timeout=30)
    if way.context is not None:
        session.starttls(context=way.context)
    return session


def send_one(way: Way, message: bytes = _MAIL) -> None:
    """Send a mail on a connection of its own."""
    with open_session(way) as session:
        send_on(session, way, message)


def send_on(session: smtplib.SMTP, way: Way, message: bytes = _MAIL) -> None:
    """Send a mail on this connection."""
    if way.composed:
        session.send_message(make_email_message())
    else:
        session.sendmail(SENDER, [RECIPIENT], message)


def sender_of(way: Way) -> Callable[[], None]:
    """Return what one thread does for each mail; it keeps its connection, if it is to."""
    if not way.reuse:
        return lambda: send_one(way)
    session = open_session(way)
    return lambda: send_on(session, way)


def send_many(senders: Sequence[Callable[[], None]], count: int) -> dict[str, float]:
    """Send mails in a thread for each sender."""
    turns = iter(range(count))
    sent: list[int] = []

    def work(send: Callable[[], None], turns: Iterator[int]) -> None:
        for turn in turns:
            send()
            sent.append(turn)

    watch = Stopwatch()
    threads = [threading.Thread(target=work, args=(send, turns)) for send in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"seconds": watch.seconds(), "cpu": watch.cpu(), "sent": len(sent)}


def main() -> None:
    """Do as told."""
    told = arguments()
    way = Way.of(told)
    if told["mode"] == "many":
        senders = [sender_of(way) for _ in range(told["limit"])]
        send_many(senders, told["warm_up"])
        report(**send_many(senders, told["count"]))
        return
    for _ in range(told["warm_up"]):
        send_one(way)
    peak = PeakMemory()
    watch = Stopwatch()
    for _ in range(told["count"]):
        # It takes bytes only: a file has to be in memory as a whole.
        send_one(way, Path(told["path"]).read_bytes() if told["mode"] == "file" else _MAIL)
    report(seconds=watch.seconds(), cpu=watch.cpu(), sent=told["count"], peak=peak.extra())


if __name__ == "__main__":
    main()

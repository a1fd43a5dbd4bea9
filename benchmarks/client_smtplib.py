"""The standard library's smtplib as a client.

Arguments: as for `client_pykka`; ``limit`` is the number of threads.
"""

import smtplib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from .client_compose import make_email_message
from .mail import CLIENT_NAME, RECIPIENT, SENDER, mail_of
from .measure import PeakMemory, Stopwatch, arguments, report
from .processes import HOST

_MAIL = mail_of()


def send_one(port: int, message: bytes = _MAIL) -> None:
    """Send a mail on a connection of its own."""
    with smtplib.SMTP(HOST, port, local_hostname=CLIENT_NAME, timeout=30) as smtp:
        smtp.sendmail(SENDER, [RECIPIENT], message)


def send_composed(port: int) -> None:
    """Make a mail, and send it on a connection of its own."""
    with smtplib.SMTP(HOST, port, local_hostname=CLIENT_NAME, timeout=30) as smtp:
        smtp.send_message(make_email_message())


def send_many(
    port: int, count: int, limit: int, send: Callable[[int], None] = send_one
) -> dict[str, float]:
    """Send mails in so many threads."""
    turns = iter(range(count))
    sent: list[int] = []

    def work(turns: Iterator[int]) -> None:
        for turn in turns:
            send(port)
            sent.append(turn)

    watch = Stopwatch()
    threads = [threading.Thread(target=work, args=(turns,)) for _ in range(limit)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"seconds": watch.seconds(), "cpu": watch.cpu(), "sent": len(sent)}


def main() -> None:
    """Do as told."""
    told = arguments()
    port = told["port"]
    if told["mode"] == "many":
        send = send_composed if told["composed"] else send_one
        send_many(port, told["warm_up"], told["limit"], send)
        report(**send_many(port, told["count"], told["limit"], send))
        return
    for _ in range(told["warm_up"]):
        send_one(port)
    peak = PeakMemory()
    watch = Stopwatch()
    for _ in range(told["count"]):
        # It takes bytes only: a file has to be in memory as a whole.
        send_one(port, Path(told["path"]).read_bytes() if told["mode"] == "file" else _MAIL)
    report(seconds=watch.seconds(), cpu=watch.cpu(), sent=told["count"], peak=peak.extra())


if __name__ == "__main__":
    main()

"""Send to more readers than a Mailer may queue: the next is told as outcomes come.

Run it as ``python examples/newsletter.py [host [port [file]]]``, with an address on each line of
the file. What is not sent is written to ``file.left``, to be sent another time.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from pykka_smtp import Drain, Mailer, SendFailure, SendMail, smtp_send_failure

host = sys.argv[1] if len(sys.argv) > 1 else "localhost"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 25
readers = Path(sys.argv[3] if len(sys.argv) > 3 else "readers.txt")
left = readers.with_name(readers.name + ".left").open("w", encoding="utf-8")


@smtp_send_failure.connect
def note(_alias: str, outcome: SendFailure, **_extra: object) -> None:
    for address in outcome.mail.recipients:
        left.write(f"{address}\n")
    print("not sent:", outcome)


def newsletter() -> Iterator[SendMail]:
    """Make each email when there is room for it, so that few are in memory."""
    with readers.open(encoding="utf-8") as lines:
        for line in lines:
            yield SendMail(
                sender="news@example.com",
                recipients=line.strip(),
                subject="News",
                body="There is none.",
            )


with left:
    mailer = Mailer.start(host, port, alias="news", max_queued=200)
    print("told:", mailer.tell_all(newsletter(), at_most=100))
    mailer.ask(Drain())  # all have their outcome, and `note` has run
    mailer.stop()

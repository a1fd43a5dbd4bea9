"""Send to more readers than a Mailer may queue: the next email is made as outcomes come.

It needs the extra "templates".

Run it as ``python examples/newsletter.py [host [port [file]]]``, with an address on each line of
the file. What is not sent is written to ``file.left``, to be sent another time.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from pykka_smtp import Drain, Mailer, SendFailure, SendMail, Template, smtp_send_failure

host = sys.argv[1] if len(sys.argv) > 1 else "localhost"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 25
readers = Path(sys.argv[3] if len(sys.argv) > 3 else "readers.txt")
news = Template(
    subject="News for {{ name }}",
    body="Dear {{ name }},\n\nthere is none.",
    html="<p>Dear {{ name }},<p>there is <b>none</b>.",
    list_id="news.example.com",
)
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
            address = line.strip()
            name = address.partition("@")[0]
            yield news.mail(sender="news@example.com", recipients=address, name=name)


with left:
    mailer = Mailer.start(host, port, alias="news", max_queued=200)
    print("told:", mailer.tell_all(newsletter(), at_most=100))
    mailer.ask(Drain())  # all have their outcome, and `note` has run
    mailer.stop()

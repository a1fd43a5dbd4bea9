"""Send a thousand mails, 20 at a time, and count what became of them.

Run it as ``python examples/bulk.py [host [port [count]]]``, best against a server that throws
mails away, such as Postfix's: ``smtp-sink -c 127.0.0.1:2525 100``.
"""

import sys
import threading
import time
from collections import Counter

from pykka_smtp import (
    Outcome,
    SendFailure,
    SendMail,
    SmtpActor,
    set_connection_limit,
    smtp_send_failure,
    smtp_send_success,
)

server = sys.argv[1] if len(sys.argv) > 1 else "localhost"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 25
count = int(sys.argv[3]) if len(sys.argv) > 3 else 1000

# What a server likes is its own affair; 100 is the default. The other mails wait for their turn,
# which costs neither a thread nor a socket.
set_connection_limit(20)

outcomes: Counter[str] = Counter()
all_done = threading.Event()


@smtp_send_success.connect
@smtp_send_failure.connect
def note(_alias: str, outcome: Outcome, **_extra: object) -> None:
    # All receivers run on one thread: counting needs no lock.
    outcomes[outcome.kind.name if isinstance(outcome, SendFailure) else "accepted"] += 1
    if outcomes.total() == count:
        all_done.set()


begun = time.perf_counter()
for number in range(count):
    SmtpActor.start(server, port, alias="bulk").tell(
        SendMail(
            sender="news@example.com",
            recipients=f"reader{number}@example.org",
            subject="News",
            body="There is none.\n" * 60,
        )
    )
told = time.perf_counter() - begun
all_done.wait()  # this ends: each mail gets its outcome, within its deadline
seconds = time.perf_counter() - begun

for what, how_many in outcomes.most_common():
    print(f"{what}: {how_many}")
print(f"told in {told:.2f} s, all done in {seconds:.2f} s: {count / seconds:.0f} mails a second")

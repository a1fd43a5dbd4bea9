"""End in good order when the system asks for it: what is under way is finished, the rest is told.

Run it as ``python examples/mailer_sigterm.py [host [port [count]]]``, and end it with ``kill``, or
with Ctrl-C.
"""

import signal
import sys
import threading
from collections import Counter

from pykka import ActorDeadError

from pykka_smtp import Mailer, Outcome, SendFailure, SendMail, smtp_send_failure, smtp_send_success

host = sys.argv[1] if len(sys.argv) > 1 else "localhost"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 25
count = int(sys.argv[3]) if len(sys.argv) > 3 else 200

outcomes: Counter[str] = Counter()
told = 0
changed = threading.Condition()


@smtp_send_success.connect
@smtp_send_failure.connect
def note(_alias: str, outcome: Outcome, **_extra: object) -> None:
    # A real program would write down the cancelled ones, to send them when it runs again.
    with changed:
        outcomes[outcome.kind.name if isinstance(outcome, SendFailure) else "accepted"] += 1
        changed.notify_all()


# Fifty a second, so that there is time to end it. Mails under way have five seconds to finish.
mailer = Mailer.start(host, port, alias="letters", rate="50/s", grace=5)


def end(_number: int, _frame: object) -> None:
    """Stop, without waiting: a signal's handler comes between any two lines of the program."""
    mailer.stop(block=False)


signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)

try:
    for number in range(count):
        mailer.tell(
            SendMail(
                sender="me@example.com",
                recipients=f"reader{number}@example.org",
                subject="A letter",
                body="1 2 3 4 5 6",
            )
        )
        told += 1
except ActorDeadError:
    pass  # it was stopped already; mails that were not told have no outcome
print(f"told: {told}", flush=True)

with changed:
    while outcomes.total() < told:  # this ends: each mail that was told gets its outcome
        changed.wait(0.1)
mailer.stop()
for what, how_many in outcomes.most_common():
    print(f"{what}: {how_many}")

"""Keep emails in a file, be killed, and go on: nothing is lost, and every outcome is heard.

Run it as ``python examples/outbox.py [host [port [file]]]``. It starts itself as a program that
puts ten orders and is killed after the third outcome, as by ``kill -9``; and then once more.
"""

import os
import signal
import subprocess
import sys
import threading

from pykka_smtp import Drain, Outbox, Outcome, Put, SendMail, SendSuccess
from pykka_smtp import smtp_send_failure as failure
from pykka_smtp import smtp_send_success as success

host = sys.argv[1] if len(sys.argv) > 1 else "localhost"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 25
file = sys.argv[3] if len(sys.argv) > 3 else "orders.db"
life = int(sys.argv[4]) if len(sys.argv) > 4 else 0

all_put = threading.Event()
heard: list[Outcome] = []


@success.connect
@failure.connect
def note(_alias: str, outcome: Outcome, replayed: bool, **_extra: object) -> None:
    what = "accepted" if isinstance(outcome, SendSuccess) else f"failed: {outcome.detail}"
    # A program that must do something exactly once compares outcome.mail.id with what it did.
    what += ", perhaps told before" if replayed else ""
    what += ", perhaps sent twice" if outcome.doubts else ""
    print(f"life {life}: {outcome.context} {what}", flush=True)
    heard.append(outcome)
    if life == 1 and len(heard) == 3 and all_put.wait(30):
        os.kill(os.getpid(), signal.SIGKILL)


def live() -> None:
    """Do what a program does each time it is started. It does not ask what was before."""
    outbox = Outbox.start(file, server=host, port=port, alias="shop", max_connections=2)
    known = 0
    for number in range(10):
        name = f"order-{number}"
        mail = SendMail(
            sender="shop@example.com",
            recipients="you@example.org",
            subject=name,
            body="Thank you.",
            context=name,
        )
        # The key names it: put again, it is the same email, and no second one.
        known += outbox.ask(Put(mail, key=name)).is_duplicate
    print(f"life {life}: {10 - known} put, {known} were in the file", flush=True)
    all_put.set()
    print(f"life {life}: all are told: {outbox.ask(Drain(timeout=30))}", flush=True)
    outbox.stop()


if life:
    live()
else:
    for number in (1, 2):
        command = [sys.executable, __file__, host, str(port), file, str(number)]
        status = subprocess.call(command)  # noqa: S603 - this file
        how = "was killed" if status == -signal.SIGKILL else "has ended"
        print(f"life {number} {how}", flush=True)

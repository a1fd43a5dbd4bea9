"""A program with an outbox that is killed again and again; it prints what it was promised.

Arguments: ``path``, ``port``, ``connections``; ``threads`` that put emails, each waiting for its
receipt; ``life``, its number; ``at_least_once``; ``drain``: put nothing, and end when all is done;
``alias``; ``send`` and ``hear``.
"""

import itertools
import os
import threading
import time
from typing import Any

from pykka_smtp import (
    Drain,
    Outbox,
    OutboxError,
    OutboxRef,
    Put,
    RetryPolicy,
    SendMail,
    SendSuccess,
    smtp_send_failure,
    smtp_send_success,
)

from .measure import arguments
from .processes import HOST

SOON: dict[str, Any] = {
    "max_attempts": 50,
    "initial_delay": 0.05,
    "max_delay": 0.5,
    "give_up_after": 600.0,
}


def say(*words: object) -> None:
    """Print a line at once: whoever kills this process gets all that was said before."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def heard(_sender: str, outcome: Any, replayed: bool, **_extra: object) -> None:
    """Print an outcome."""
    kind = "sent" if isinstance(outcome, SendSuccess) else outcome.kind.name
    maybe = int(getattr(outcome, "maybe_accepted", False))
    say("heard", outcome.mail.id, kind, outcome.doubts, int(replayed), maybe)


def put_all(outbox: OutboxRef, prefix: str) -> None:
    """Put emails, one after the other, until the process is killed."""
    for number in itertools.count():
        mail = SendMail(
            sender="me@example.com",
            recipients="you@example.org",
            subject="Hello",
            body="1 2 3 4 5 6\r\n" * 70,
            id=f"{prefix}-{number}",
        )
        try:
            say("put", outbox.ask(Put(mail)).id)
        except OutboxError as error:
            say("error", mail.id, str(error).replace(" ", "_"))
            time.sleep(0.01)


def main() -> None:
    """Do as told."""
    told = arguments()
    smtp_send_success.connect(heard)
    smtp_send_failure.connect(heard)
    outbox = Outbox.start(
        told["path"],
        HOST,
        told["port"],
        alias=told.get("alias", "killed"),
        max_connections=told["connections"],
        initial_connections=told["connections"],
        retry=RetryPolicy(at_least_once=told["at_least_once"], **SOON),
        send=told.get("send", True),
        hear=told.get("hear", True),
    )
    say("up")
    if told.get("drain"):
        say("drained", outbox.ask(Drain(timeout=told["drain"])))
        outbox.stop()
        return
    for number in range(told["threads"]):
        prefix = f"{told['life']}-{number}"
        threading.Thread(target=put_all, args=(outbox, prefix), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()

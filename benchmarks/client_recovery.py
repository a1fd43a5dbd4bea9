"""A program that finds an outbox of many emails, which another has left as it died.

Arguments: ``path``, ``port``; ``rows``: make the outbox, with so many emails, of which a fifth is
claimed, and die; else: start, and report when the first email was accepted, and the memory.
"""

import os
import threading
import time
from pathlib import Path

from pykka_smtp import Outbox, smtp_send_success
from pykka_smtp.actors.outbox.store.records import NewMail
from pykka_smtp.actors.outbox.store.sqlite.sqlite_store import SqliteStore
from pykka_smtp.actors.outbox.text.mail_text import to_text

from .client_pykka import ready
from .measure import PeakMemory, arguments, report
from .processes import HOST

_TURN = 1000


def leave(path: Path, rows: int) -> None:
    """Make an outbox, and die."""
    store = SqliteStore(path, "outbox")
    text = to_text(ready())
    now = time.time()
    for first in range(0, rows, _TURN):
        with store.turn(is_durable=True):
            store.put(
                [
                    NewMail(
                        id=f"m{number}",
                        key=f"m{number}",
                        alias="outbox",
                        digest=text.digest,
                        env=text.env,
                        body=text.body,
                        priority=0,
                        due=now,
                        expires=None,
                        put_at=now,
                        at_least_once=True,
                        claim=False,
                    )
                    for number in range(first, min(first + _TURN, rows))
                ]
            )
        store.tidy()
    for _ in range(rows // 5 // _TURN):
        with store.turn(is_durable=True):
            store.claim(now + 1, _TURN)
    report(rows=rows)
    os._exit(0)  # its lock is dropped, its log is not written back


def main() -> None:
    """Do as told."""
    told = arguments()
    path = Path(told["path"])
    if told.get("rows"):
        leave(path, told["rows"])
    is_first = threading.Event()

    def heard(_sender: str, **_given: object) -> None:
        is_first.set()

    smtp_send_success.connect(heard)
    peak = PeakMemory()
    began = time.perf_counter()
    outbox = Outbox.start(path, HOST, told["port"])
    opened = time.perf_counter() - began
    is_first.wait()
    first = time.perf_counter() - began
    time.sleep(1.0)  # a second of work, for the memory that it needs
    memory = peak.extra()
    outbox.stop()
    report(opened=opened, first=first, memory=memory / 1e6)


if __name__ == "__main__":
    main()

"""A program whose outbox is copied after each fsync; it says what it was promised, and when.

Arguments, as JSON: ``library``, ``folder``, ``images``, ``mails``. Run with ``disk_faults.c``
preloaded. Each line it prints is: what, the id of an email, and how many images there were.
"""

import ctypes
import json
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.kills import Remembering
from pykka_smtp import Drain, Outbox, Put, SendMail, smtp_send_failure, smtp_send_success
from pykka_smtp.actors.outbox.store.sqlite import sqlite_store


class Noting(Counter[str]):
    """Counts what arrives, and calls a function with it."""

    note: Any = None

    def __setitem__(self, name: str, count: int) -> None:
        self.note("arrived", name)
        super().__setitem__(name, count)


def main() -> None:
    """Do as told."""
    told = json.loads(sys.argv[1])
    library = ctypes.CDLL(told["library"])
    said: list[list[Any]] = []

    def note(what: str, name: str) -> None:
        said.append([what, name, library.outbox_images_count()])

    def heard(_sender: str, outcome: Any, **_extra: object) -> None:
        note("heard", outcome.mail.id)

    smtp_send_success.connect(heard)
    smtp_send_failure.connect(heard)
    sqlite_store._LONG_LOG = 100_000  # so that there are checkpoints
    with Remembering(latency=0.003) as server:
        server.arrived = arrived = Noting()
        arrived.note = note
        outbox = Outbox.start(Path(told["folder"]) / "mail.db", "127.0.0.1", server.port)
        library.outbox_images_arm(told["images"].encode())

        def put(first: int) -> None:
            for number in range(first, told["mails"], 3):
                given = SendMail(
                    sender="a@b.test", recipients="c@d.test", body="x" * 900, id=f"m{number}"
                )
                note("put", outbox.ask(Put(given), timeout=50).id)

        threads = [threading.Thread(target=put, args=(first,)) for first in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outbox.ask(Drain(timeout=50))
        actor = outbox._actor_weakref()
        assert isinstance(actor, Outbox)
        of_file = actor._thread
        outbox.stop()
        assert of_file.join(20)
    for line in said:
        sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()

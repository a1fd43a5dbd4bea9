"""A program whose disk fails: it puts emails, and says what it was promised and what came.

Arguments, as JSON: ``folder``; ``mails``: how many each time; ``faults``: for each kind,
calls before, failures, error number.
Run with ``disk_faults.c`` preloaded.
"""

import ctypes
import json
import logging
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.kills import Remembering
from pykka_smtp import (
    Drain,
    Outbox,
    OutboxError,
    Put,
    RetryPolicy,
    SendMail,
    smtp_outbox_trouble,
    smtp_send_failure,
    smtp_send_success,
)

SOON = RetryPolicy(
    max_attempts=50, initial_delay=0.02, max_delay=0.1, give_up_after=60.0, at_least_once=True
)


def start(path: Path, port: int, errors: list[str]) -> Any:
    """Start the outbox; if its disk fails, again until it does not."""
    end = time.monotonic() + 20
    while True:
        try:
            return Outbox.start(path, "127.0.0.1", port, retry=SOON, grace=0.5)
        except OutboxError as error:
            errors.append(str(error))
            if time.monotonic() > end:
                raise


def one(
    library: Any, parent: Path, server: Remembering, number: int, fault: list[int], mails: int
) -> dict[str, Any]:
    """Let one fault happen; return what became of the emails."""
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        path = Path(folder) / "mail.db"
        heard: list[str] = []
        told: list[Any] = []
        promised: list[str] = []
        errors: list[str] = []
        starts: list[str] = []

        def hear(_sender: str, outcome: Any, **_extra: object) -> None:
            heard.append(outcome.mail.id)

        def trouble(_sender: str, error: Any, **_extra: object) -> None:
            told.append(error)

        smtp_send_success.connect(hear)
        smtp_send_failure.connect(hear)
        smtp_outbox_trouble.connect(trouble)
        library.outbox_faults_arm(*fault)
        outbox = start(path, server.port, starts)
        for mail in range(mails):
            name = f"{number}-{mail}"
            given = SendMail(sender="a@b.test", recipients="c@d.test", body="x", id=name)
            try:
                promised.append(outbox.ask(Put(given), timeout=20).id)
            except OutboxError as error:
                errors.append(str(error))
        failed = library.outbox_faults_failed()
        library.outbox_faults_arm(0, 0, 0, 0)
        drained = outbox.ask(Drain(timeout=20))
        thread = outbox._actor_weakref()._thread
        outbox.stop()
        ended = thread.join(20)
        smtp_send_success.disconnect(hear)
        smtp_send_failure.disconnect(hear)
        smtp_outbox_trouble.disconnect(trouble)
        database = sqlite3.connect(path)
        [[integrity]] = database.execute("PRAGMA integrity_check")
        left = database.execute(
            "SELECT count(*) FROM pykka_smtp_mail WHERE state NOT IN ('heard')"
        ).fetchone()[0]
        rows = database.execute(
            "SELECT id, state, owner, home, attempts FROM pykka_smtp_mail WHERE state <> 'heard'"
        ).fetchall()
        database.close()
        return {
            "fault": fault,
            "failed": failed,
            "promised": len(promised),
            "errors": errors + starts,
            "lost": [name for name in promised if not server.arrived[name]],
            "unheard": [name for name in promised if name not in heard],
            "heard_twice": len(heard) - len(set(heard)),
            "drained": drained,
            "ended": ended,
            "integrity": integrity,
            "left": left,
            "rows": rows,
            "trouble": [None if error is None else str(error) for error in told],
        }


def main() -> None:
    """Do as told."""
    told = json.loads(sys.argv[1])
    library = ctypes.CDLL(told["library"])
    logging.basicConfig(level=logging.ERROR)
    with Remembering() as server:
        for number, fault in enumerate(told["faults"]):
            found = one(library, Path(told["folder"]), server, number, fault, told["mails"])
            sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()

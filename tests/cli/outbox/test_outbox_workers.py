"""Worker processes are started, started again when they die, and stopped."""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.outboxes import Outboxes, mail
from servers.waiting import PATIENCE

from benchmarks.kills import Remembering
from pykka_smtp import Put
from pykka_smtp.cli.outbox.run.workers import Workers
from pykka_smtp.cli.sysexits import EX_UNAVAILABLE

Make = Callable[..., Workers]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Workers] = []

    def new(count: int = 1, imports: tuple[str, ...] = (), **options: Any) -> Workers:
        values = {"grace": 5.0} | options
        path = str(tmp_path / "mail.db")
        told = {"path": path, "imports": imports, "seals": None, "options": values}
        workers = Workers(count, told, logging.getLogger("workers"), lambda: None)
        made.append(workers)
        return workers

    yield new
    for workers in made:
        workers.stop(0.0, lambda: True)
        assert workers.running == 0


def look_until(workers: Workers, predicate: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not predicate():
        assert time.monotonic() < end
        workers.look(0.1)


def pids(caplog: pytest.LogCaptureFixture) -> list[int]:
    """Return the processes that were up, in their order."""
    return [
        int(str(record.args[1]))
        for record in caplog.records
        if isinstance(record.args, tuple) and " is process " in record.message
    ]


def test_a_worker_that_dies_is_started_again_and_what_it_has_sent_is_counted(
    make: Make, outboxes: Outboxes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "workers")
    web = outboxes.start(alias="web")
    web.ask(Put(mail()))
    with Remembering() as server:
        workers = make(server="127.0.0.1", port=server.port)
        look_until(workers, lambda: outboxes.heard)
        os.kill(pids(caplog)[0], signal.SIGKILL)
        look_until(workers, lambda: len(pids(caplog)) == 2)
        web.ask(Put(mail(2)))
        look_until(workers, lambda: len(outboxes.heard) == 2)

        assert workers.stop(5.0, lambda: False)

    assert workers.totals["sent"] >= 1  # the first may have died before it said so
    assert "died of SIGKILL; it is started again in 0.25 s, and nothing is lost" in caplog.text
    assert sum(server.arrived.values()) == 2


def test_a_worker_that_can_never_start_is_not_started_again(make: Make) -> None:
    workers = make(imports=("no_such_module",))

    look_until(workers, lambda: workers.hopeless is not None)

    assert (workers.hopeless, workers.running) == (EX_UNAVAILABLE, 0)


def test_who_asks_twice_ends_workers_at_once(
    make: Make, outboxes: Outboxes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "workers")
    outboxes.start(alias="web").ask(Put(mail()))
    with Remembering(latency=60.0) as server:
        workers = make(server="127.0.0.1", port=server.port, grace=60.0)
        look_until(workers, lambda: server.arrived)

        assert not workers.stop(60.0, lambda: True)

    assert workers.running == 0
    assert "ended with SIGKILL" in caplog.text

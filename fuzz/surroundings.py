"""What the chaos test runs in: the server's process, the log, and the machine's own tables."""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pykka

HOST = "127.0.0.1"
PATIENCE = 30.0
"""Seconds; reached only by a run that fails."""


class ServerProcess:
    """The server's process.

    Attributes:
        port: where it listens.
        book: what it did with each mail, once it has ended.
    """

    def __init__(self, child: "subprocess.Popen[str]") -> None:
        assert child.stdout is not None
        self.port: int = json.loads(child.stdout.readline())["port"]
        self.book: dict[str, Any] = {}


@contextmanager
def serving(seed: int) -> Iterator[ServerProcess]:
    """Start the server, and have it end and tell what it did.

    Args:
        seed: of its faults.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.chaos_server", str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    with child:
        try:
            server = ServerProcess(child)
            yield server
            told, _ = child.communicate(timeout=PATIENCE)
            server.book = json.loads(told)
        finally:
            child.kill()


REPORTS = frozenset({"pykka_smtp.outcomes", "pykka_smtp.mailer"})
"""Loggers that report what servers do; that is no fault of ours."""


class LogLines(logging.Handler):
    """Counts the lines of the log that say that something is wrong with us.

    That an email failed, or a relay died, is not one of them.

    Attributes:
        count: how many there were.
        kinds: how many of each kind, with an example for it.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0
        self.kinds: dict[str, tuple[int, str]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Count one."""
        if record.name in REPORTS:
            return
        self.count += 1
        count, example = self.kinds.get(record.msg, (0, ""))
        if not example:
            example = self.format(record)
        self.kinds[record.msg] = count + 1, example


@contextmanager
def log_lines(name: str) -> Iterator[LogLines]:
    """Count a logger's lines, instead of showing them.

    Args:
        name: the logger's.
    """
    logger, handler = logging.getLogger(name), LogLines()
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates


def resources() -> tuple[int, int, int]:
    """Count descriptors (0 where the system does not say), threads and actors."""
    folder = Path("/proc/self/fd")
    descriptors = len(list(folder.iterdir())) if folder.is_dir() else 0
    return descriptors, threading.active_count(), len(pykka.ActorRegistry.get_all())


def resident() -> int:
    """Octets of memory in use; 0 where the system does not say."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

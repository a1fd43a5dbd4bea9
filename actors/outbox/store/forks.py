"""Forks while an outbox is open: a child closes its copy of the connection.

SQLite keeps for each process which files it has open, and which locks. A child has a copy of that,
and none of the locks. With it, a connection of its own would wait for a writer that is only in the
parent; and no process would see it: the last of the others would remove the log in which it writes.

The copy can be closed if nobody was at work with it at the fork. So a fork waits for that.
"""

import contextlib
import os
import sqlite3
import threading
from pathlib import Path
from typing import Self

from ....signals.forks import in_child
from .errors import OutboxError

_PATIENCE = 5.0
"""Seconds that a fork waits at most."""

_guards: list["ForkGuard"] = []
_lock = threading.Lock()
"""Held during a fork, too: one at a time."""
_held: list["ForkGuard"] = []
_unusable: set[tuple[int, int]] = set()
_abandoned: list[sqlite3.Connection | None] = []
"""Connections of a parent that was at work: to close these could change its file."""


class ForkGuard:
    """Who has it works with the connection of an outbox. Use it in a ``with`` statement.

    Args:
        path: the outbox.

    Attributes:
        connection: the connection; None before it is opened.

    Raises:
        OutboxError: a parent of this process was at work with that file when it forked.
    """

    def __init__(self, path: Path) -> None:
        self.connection: sqlite3.Connection | None = None
        self._path = path
        self._using = threading.RLock()
        if _unusable and _file_of(path) in _unusable:
            raise OutboxError(
                f"{path} was in use at the moment when this process was forked, and cannot be used"
                " here: start the Outbox of the parent after the fork"
            )
        with _lock:
            _guards.append(self)

    def __enter__(self) -> Self:
        self._using.acquire()
        return self

    def __exit__(self, *_error: object) -> None:
        self._using.release()

    def forget(self) -> None:
        """Forget it: the connection is closed."""
        self.connection = None
        with _lock, contextlib.suppress(ValueError):
            _guards.remove(self)

    def hold(self) -> None:
        """Keep it while the process forks."""
        if self._using.acquire(timeout=_PATIENCE):
            _held.append(self)

    def leave(self) -> None:
        """Close the copy of the connection, in a forked child."""
        connection, self.connection = self.connection, None
        # Its state is that of the fork. It can be had then by the thread that has forked.
        if not self._using.acquire(blocking=False):
            _abandoned.append(connection)
            found = _file_of(self._path)
            if found is not None:
                _unusable.add(found)
        elif connection is not None:
            # The parent has its lock on the file, so this removes no log.
            with contextlib.suppress(sqlite3.Error):
                connection.close()


def _file_of(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def _before_fork() -> None:
    _lock.acquire()
    for guard in _guards:
        guard.hold()


def _after_fork() -> None:
    while _held:
        _held.pop().__exit__()
    _lock.release()


def _leave_all() -> None:
    global _lock  # noqa: PLW0603 - a thread that the child does not have may hold it
    guards = list(_guards)
    _guards.clear()
    _held.clear()
    _lock = threading.Lock()
    for guard in guards:
        guard.leave()


in_child(_leave_all)
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork)

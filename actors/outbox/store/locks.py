"""Locks that the kernel drops when a process dies: on files beside the file of an outbox."""

import contextlib
import os
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from ....signals.forks import in_child

_POLL = 0.005
"""Seconds between two tries, where the system has no lock to wait for."""

_PLAIN = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

_open_locks: "weakref.WeakSet[FileLock]" = weakref.WeakSet()

if sys.platform == "win32":  # pragma: no cover - written by the manual
    import msvcrt

    def _try(number: int) -> bool:
        os.lseek(number, 0, os.SEEK_SET)
        try:
            msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(number: int) -> None:
        os.lseek(number, 0, os.SEEK_SET)
        with contextlib.suppress(OSError):
            msvcrt.locking(number, msvcrt.LK_UNLCK, 1)

    _wait: Callable[[int], None] | None = None
else:
    import fcntl

    def _try(number: int) -> bool:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(number: int) -> None:
        fcntl.flock(number, fcntl.LOCK_UN)

    def _lock(number: int) -> None:
        fcntl.flock(number, fcntl.LOCK_EX)

    _wait = _lock


class FileLock:
    """An exclusive lock on a file, which is made if there is none. For one thread at a time.

    Args:
        path: the file.

    Attributes:
        is_held: whether it is held here.
        waits_since: while it is waited for: since when, on the monotonic clock; else None.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path: Path = path
        self.is_held: bool = False
        self.waits_since: float | None = None
        # Not inherited by programs that this one starts. A fork inherits it: see below.
        self._number = os.open(path, os.O_RDWR | os.O_CREAT | _PLAIN, 0o600)
        _open_locks.add(self)

    def take(self, timeout: float | None = None) -> bool:
        """Wait for the lock; return whether it is held.

        Processes get it in about the order in which they began to wait, so none of them starves.

        Args:
            timeout: seconds; None to wait without limit.
        """
        if self._number < 0:
            raise ValueError("the lock is closed")
        self.waits_since = time.monotonic()
        try:
            self.is_held = self._take(timeout)
        finally:
            self.waits_since = None
        return self.is_held

    def _take(self, timeout: float | None) -> bool:
        if timeout is None and _wait is not None:
            _wait(self._number)
            return True
        until = None if timeout is None else time.monotonic() + timeout
        while not _try(self._number):
            if until is not None and time.monotonic() >= until:
                return False
            time.sleep(_POLL)
        return True

    def write(self, octets: bytes) -> None:
        """Append octets to the file. Who writes by another way would be locked out on Windows."""
        view = memoryview(octets)
        while view:
            view = view[os.write(self._number, view) :]

    def clear(self) -> None:
        """Remove what is in the file."""
        os.ftruncate(self._number, 0)

    def sync(self) -> None:
        """Have what was written survive a power cut."""
        os.fsync(self._number)

    def is_in_place(self) -> bool:
        """Whether the file still has its name."""
        try:
            facts, named = os.fstat(self._number), self.path.stat()
        except FileNotFoundError:
            return False
        return (facts.st_dev, facts.st_ino) == (named.st_dev, named.st_ino)

    def give_back(self) -> None:
        """Release the lock."""
        if self.is_held:
            self.is_held = False
            _unlock(self._number)

    def close(self) -> None:
        """Release the lock and close the file. May be called again."""
        number, self._number = self._number, -1
        self.is_held = False
        if number >= 0:
            os.close(number)

    def remove(self) -> None:
        """Remove the file, and close it."""
        with contextlib.suppress(OSError):
            self.path.unlink()
        self.close()


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock on a file.

    Args:
        path: the file; if there is none, nobody holds it.
    """
    try:
        number = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        return False
    try:
        return not _try(number)
    finally:
        os.close(number)


def _close_copies() -> None:
    """Close, in a forked child, its copies of the locks.

    The kernel drops a lock with the last copy of its descriptor: with a copy here, nobody would see
    that the parent has died. Closed, never unlocked, which would unlock the parent's, too.
    """
    for lock in list(_open_locks):
        lock.close()


in_child(_close_copies)

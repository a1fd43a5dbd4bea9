"""Sockets beside the file of an outbox: a process that has written wakes those that wait for it.

A datagram has one octet: how many emails or outcomes there are more, 255 at most. It may be lost,
or come from anybody, as processes look from time to time without one, too. So all errors here are
ignored, and nothing waits.

There are no such sockets where the system has none (Windows); nor where the path of one is too
long, and the system has no other name for its folder (Linux has).
"""

import contextlib
import os
import re
import socket
import time
import weakref
from pathlib import Path
from typing import Any

from ....signals.forks import in_child

SENDERS, HEARERS = 1, 2
"""What a life does that is to be woken: it sends, or it hears outcomes; both with ``|``."""

_ROLES = {SENDERS: "send", HEARERS: "hear", SENDERS | HEARERS: "both"}
_NAME = re.compile(r"([0-9]{1,19})-(send|hear|both)", re.ASCII)
_LONGEST = 100
"""Octets of a path that each system takes; the smallest limit is 104, with an octet for the end."""
_BY_NUMBER = "/proc/self/fd"
_MOST_READ = 1000
"""Datagrams that are read at once: more than a system queues, by default."""
_MOST_LIVES = 1000
_FRESH = 0.1
"""Seconds during which a folder may change once more, and not look it: its time is coarse."""
_SHARE = 20
"""A list of the folder is used for so many times as long as it took to read: others may put many
files into it. Who begins meanwhile looks by itself."""

_AF_UNIX: Any = getattr(socket, "AF_UNIX", None)
_open: "weakref.WeakSet[_Socket]" = weakref.WeakSet()


class Pace:
    """Says when there is so much that nobody is to be woken: processes look by themselves, too.

    One batch costs less than many small ones, also those who put emails meanwhile.
    """

    BURST = 50.0
    """Emails or outcomes at once; more have to wait for the next look."""
    MUCH = 40.0
    """Emails or outcomes per second, for longer than a moment."""
    _MOST = BURST + MUCH / 4  # a quarter of a second later it is over

    def __init__(self) -> None:
        self._level = self._noted_at = 0.0

    def allows(self, number: int, now: float) -> bool:
        """Note some more, and return whether they are worth waking somebody.

        Args:
            number: how many emails or outcomes.
            now: the time, in seconds, on a clock that nobody sets.
        """
        level = max(0.0, self._level - self.MUCH * (now - self._noted_at))
        self._noted_at = now
        self._level = min(level + number, self._MOST)
        return level < self.BURST


class _Socket:
    """A datagram socket that never waits, and addresses in one folder.

    Args:
        folder: the folder.

    Raises:
        OSError: there can be none.
    """

    def __init__(self, folder: Path) -> None:
        if _AF_UNIX is None:
            raise OSError("this system has no such sockets")
        self._folder = str(folder)
        self._folder_number = -1
        self._socket = socket.socket(_AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        _open.add(self)

    def address(self, name: str) -> str:
        """Return the address of a socket in the folder.

        Raises:
            OSError: its path is too long, and there is no shorter one.
        """
        path = os.path.join(self._folder, name)  # noqa: PTH118 - faster
        if len(os.fsencode(path)) <= _LONGEST:
            return path
        if self._folder_number < 0:
            if not os.path.isdir(_BY_NUMBER):  # noqa: PTH112 - as above
                raise OSError(f"{path} is too long for the address of a socket")
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            self._folder_number = os.open(self._folder, flags)
        return f"{_BY_NUMBER}/{self._folder_number}/{name}"

    def close(self) -> None:
        """Close it. May be called again."""
        number, self._folder_number = self._folder_number, -1
        if number >= 0:
            os.close(number)
        self._socket.close()


class WakeSocket(_Socket):
    """The socket at which a life is woken: in the loop thread's care.

    Args:
        path: the outbox.
        life: the life.
        roles: what it does: `SENDERS`, `HEARERS`, or both.

    Raises:
        OSError: there can be none.
    """

    def __init__(self, path: Path, life: int, roles: int) -> None:
        super().__init__(path.parent)
        self.path: Path = path.with_name(f"{_prefix(path)}{life}-{_ROLES[roles]}")
        try:
            address = self.address(self.path.name)
            with contextlib.suppress(OSError):
                # Before it has a name: on Linux it then never has other permissions than these.
                os.fchmod(self._socket.fileno(), 0o600)
            self._socket.bind(address)
            try:
                self.path.chmod(0o600)
            except BaseException:
                self.path.unlink(missing_ok=True)
                raise
        except BaseException:
            super().close()
            raise

    def fileno(self) -> int:
        """Return the descriptor; -1 once it is closed."""
        return self._socket.fileno()

    def drain(self) -> int:
        """Read what has come, up to a bound: many datagrams are one reason to look.

        Returns:
            How many emails or outcomes they speak of, if they are other lives'.
        """
        number = 0
        with contextlib.suppress(OSError):
            for _ in range(_MOST_READ):
                number += sum(self._socket.recv(1))
        return number

    def close(self) -> None:
        """Remove it."""
        if self.fileno() >= 0:
            with contextlib.suppress(OSError):
                self.path.unlink()
        super().close()


class OtherLives:
    """Wakes the other lives of an outbox. For one thread.

    Args:
        path: the outbox.
        life: the number of this life; None for somebody who is none.
    """

    def __init__(self, path: Path, life: int | None = None) -> None:
        self._folder = path.parent
        self._prefix = _prefix(path)
        self._life = None if life is None else str(life)
        self._lives: dict[str, int] = {}  # roles, by the address
        self._changed_at: int | None = None
        self._list_again_at = 0.0
        self._pace = Pace()
        self._socket: _Socket | None = None
        with contextlib.suppress(OSError):
            self._socket = _Socket(self._folder)

    def wake(self, emails: int, outcomes: int) -> None:
        """Wake those lives that something in the file concerns. Never waits, never raises.

        Args:
            emails: how many emails others may send.
            outcomes: how many outcomes others are to hear.
        """
        if not (emails or outcomes) or self._socket is None:
            return
        # Else without any system call: after each, this thread gets Python's lock back late.
        if not self._pace.allows(emails + outcomes, time.monotonic()):
            return
        try:
            self._refresh(self._socket)
        except OSError:
            return
        for address, roles in list(self._lives.items()):
            number = emails * bool(roles & SENDERS) + outcomes * bool(roles & HEARERS)
            if number:
                self._wake_one(self._socket, address, bytes((min(number, 255),)))

    def _wake_one(self, own: _Socket, address: str, octet: bytes) -> None:
        try:
            own._socket.sendto(octet, address)
        except BlockingIOError:
            pass  # it has enough to read already
        except OSError:
            del self._lives[address]  # it has died, and will be removed with its life

    def _refresh(self, own: _Socket) -> None:
        """List the folder again if it has changed. To see that it has not takes 2 microseconds."""
        changed_at = os.stat(self._folder).st_mtime_ns  # noqa: PTH116 - faster
        if changed_at == self._changed_at or time.monotonic() < self._list_again_at:
            return
        began = time.thread_time()  # of the processor: not how long others had it meanwhile
        self._lives = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.startswith(self._prefix):
                    self._add(own, entry.name)
        took = time.thread_time() - began
        self._list_again_at = time.monotonic() + _SHARE * took
        is_fresh = abs(time.time() - changed_at / 1e9) < _FRESH
        self._changed_at = None if is_fresh else changed_at

    def _add(self, own: _Socket, name: str) -> None:
        found = _NAME.fullmatch(name, len(self._prefix))
        if found is None or found[1] == self._life or len(self._lives) >= _MOST_LIVES:
            return
        [roles] = [number for number, role in _ROLES.items() if role == found[2]]
        self._lives[own.address(name)] = roles

    def close(self) -> None:
        """Wake nobody from here on. May be called again."""
        own, self._socket = self._socket, None
        if own is not None:
            own.close()


def wake_lives(path: Path) -> None:
    """Wake all lives of an outbox, for somebody who is none: something was written into its file.

    Args:
        path: the outbox, without links.
    """
    with contextlib.closing(OtherLives(path)) as lives:
        lives.wake(1, 1)


def remove_wake_socket(path: Path, life: int) -> None:
    """Remove the socket of a life that has died, if it had one.

    Args:
        path: the outbox.
        life: the life.
    """
    for role in _ROLES.values():
        with contextlib.suppress(OSError):
            path.with_name(f"{_prefix(path)}{life}-{role}").unlink()


def _prefix(path: Path) -> str:
    return f"{path.name}-wake-"


def _close_copies() -> None:
    """Close, in a forked child, its copies: with one, a dead parent's would still take datagrams.

    The parent's stays open, and the name is the parent's: it is not removed.
    """
    for one in list(_open):
        _Socket.close(one)


in_child(_close_copies)

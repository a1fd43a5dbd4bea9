"""Cheaper versions of Pykka's parts of an actor, because most actors live for one email only."""

import itertools
import os
import threading

from ...signals.forks import in_child


class Urns:
    """Makes globally unique URNs in the form of UUIDs, from random bits and a counter.

    A random number for each actor would cost a system call, and a lock that all threads share.
    """

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Draw new random bits, as a forked child must."""
        octets = os.urandom(9).hex()
        # The digits that say version 4, variant 1 of RFC 9562.
        groups = octets[:8], octets[8:12], f"4{octets[12:15]}", f"8{octets[15:18]}"
        self._start = f"urn:uuid:{'-'.join(groups)}-"
        self._counter = itertools.count(1)

    def __call__(self) -> str:
        """Return a new URN."""
        return f"{self._start}{next(self._counter):012x}"


new_urn: Urns = Urns()
in_child(new_urn.renew)


class StopFlag(threading.Event):
    """An event that creates its lock only when a thread waits for it, which is rare.

    Most actors live for one email, and the lock would be a good part of their cost.
    """

    def __init__(self) -> None:
        self._flag = False

    def _shared(self) -> threading.Condition:
        # `setdefault` is atomic: all threads get the same lock.
        lock: threading.Condition = self.__dict__.setdefault("_cond", threading.Condition())
        return lock

    def is_set(self) -> bool:
        """See `threading.Event`."""
        return self._flag

    def set(self) -> None:
        """See `threading.Event`."""
        # In this order: a thread that has created the lock by now checks the flag after that.
        self._flag = True
        if "_cond" in self.__dict__:
            super().set()

    def set_in_child(self) -> None:
        """Set it after a fork. A thread that the child does not have may hold the lock."""
        self._flag = True
        self.__dict__.pop("_cond", None)

    def clear(self) -> None:
        """See `threading.Event`."""
        self._flag = False

    def wait(self, timeout: float | None = None) -> bool:
        """See `threading.Event`."""
        with self._shared():
            pass
        return super().wait(timeout)

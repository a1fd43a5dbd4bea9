"""Parts of an actor that Pykka has as well, made for less: an actor of ours lives for one email."""

import itertools
import os
import threading

from ...signals.forks import in_child


class Urns:
    """Makes URNs that no other process makes, in the form of UUIDs: random bits, and a counter.

    A random number for each actor would cost a system call, and a lock that every thread wants.
    """

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Start afresh, as a forked child must."""
        octets = os.urandom(9).hex()
        # The digits that say version 4, variant 1 of RFC 9562.
        groups = octets[:8], octets[8:12], f"4{octets[12:15]}", f"8{octets[15:18]}"
        self._start = f"urn:uuid:{'-'.join(groups)}-"
        self._counter = itertools.count(1)

    def __call__(self) -> str:
        """Return a new one."""
        return f"{self._start}{next(self._counter):012x}"


new_urn: Urns = Urns()
in_child(new_urn.renew)


class StopFlag(threading.Event):
    """An event that has no lock until somebody waits for it, as hardly anybody does.

    An actor lives for one mail: the lock would be a good part of what it costs.
    """

    def __init__(self) -> None:
        self._flag = False

    def _shared(self) -> threading.Condition:
        # One step, whichever thread is first.
        lock: threading.Condition = self.__dict__.setdefault("_cond", threading.Condition())
        return lock

    def is_set(self) -> bool:
        """See `threading.Event`."""
        return self._flag

    def set(self) -> None:
        """See `threading.Event`."""
        # In this order: whoever has made the lock by now looks at the flag after that.
        self._flag = True
        if "_cond" in self.__dict__:
            super().set()

    def set_in_child(self) -> None:
        """Set it after a fork. Nobody waits here, but the lock may be that of a lost thread."""
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

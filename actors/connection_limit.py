"""How many connections the process may have open at once.

A send that waits for its turn costs neither a thread nor a socket, and its clock has not started.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable

from ..signals.forks import in_child, notice_fork

DEFAULT_LIMIT = 100
_MOST = 1_000_000


class ConnectionLimit:
    """Hands out permits in the order in which they were asked for. Safe from any thread."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Forget who has a permit and who waits, in a child that was just forked.

        Those are the parent's, and none of them would ever give a permit back here. The lock may
        have been held by a thread that is gone.
        """
        self._lock = threading.Lock()
        self._in_use = 0
        self._waiting: OrderedDict[object, Callable[[], None]] = OrderedDict()
        self._spare: OrderedDict[object, Callable[[], None]] = OrderedDict()

    @property
    def limit(self) -> int:
        """How many permits there are."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        with self._lock:
            self._limit = limit
        self._hand_out()

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for a permit."""
        return bool(self._waiting)

    def acquire(self, holder: object, granted: Callable[[], None]) -> None:
        """Ask for a permit.

        Args:
            holder: whom it is for; one permit each.
            granted: called once, as soon as there is one: at once, or from the thread that gives
                one back.
        """
        with self._lock:
            go_on: Callable[[], None] | None = granted
            if self._in_use >= self._limit or self._waiting:
                self._waiting[holder] = granted
                go_on = self._spare.popitem(last=False)[1] if self._spare else None
            else:
                self._in_use += 1
        if go_on is not None:
            go_on()

    def offer(self, key: object, give_up: Callable[[], None]) -> None:
        """Offer the permit of a connection that nobody uses at the moment.

        Args:
            key: the connection.
            give_up: closes it; called once, by whoever waits for a permit.
        """
        with self._lock:
            is_wanted = bool(self._waiting)
            if not is_wanted:
                self._spare[key] = give_up
        if is_wanted:
            give_up()

    def take_back(self, key: object) -> None:
        """Offer the permit no more: the connection is in use again, or gone."""
        with self._lock:
            self._spare.pop(key, None)

    def withdraw(self, holder: object) -> bool:
        """Wait no longer; return whether the holder was waiting."""
        with self._lock:
            return self._waiting.pop(holder, None) is not None

    def release(self) -> None:
        """Give a permit back."""
        with self._lock:
            self._in_use -= 1
        self._hand_out()

    def _hand_out(self) -> None:
        while True:
            with self._lock:
                if not self._waiting or self._in_use >= self._limit:
                    return
                _, granted = self._waiting.popitem(last=False)
                self._in_use += 1
            granted()


connection_limit = ConnectionLimit(DEFAULT_LIMIT)

in_child(connection_limit.reset_after_fork)


def set_connection_limit(limit: int) -> None:
    """Set how many connections pykka-smtp opens at once in this process; 100 at first.

    A lower limit closes nothing: it counts from the next connection on.

    Args:
        limit: 1 to 1000000.

    Raises:
        ValueError: it is less or more.
        TypeError: it is no int.
    """
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise TypeError(f"the connection limit needs an int, not {type(limit).__name__}")
    if not 1 <= limit <= _MOST:
        # Not the number itself: Python refuses to write out one with thousands of digits.
        raise ValueError(f"the connection limit needs to be at least 1, and at most {_MOST}")
    notice_fork()
    connection_limit.limit = limit

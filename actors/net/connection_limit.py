"""How many connections the process may have open at once.

A send that waits for its turn costs neither a thread nor a socket, and its clock has not started.

While more outcomes wait for receivers than may wait, no permit is given, but for sends that a
receiver may wait for, and for those that have begun.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeAlias

from ...signals.dispatcher import dispatcher
from ...signals.forks import in_child, notice_fork
from ..loop import guard

DEFAULT_LIMIT = 100
_MAX_LIMIT = 1_000_000


class Permit:
    """The permit to have one connection open. It belongs to the connection."""

    __slots__ = ("_limit",)

    def __init__(self, limit: "ConnectionLimit") -> None:
        """Make one that counts as in use.

        Args:
            limit: where it belongs.
        """
        self._limit: ConnectionLimit | None = limit

    def release(self) -> None:
        """Release the permit. A second call does nothing."""
        limit = self._limit
        if limit is not None and limit.take(self):
            guard.call(limit, limit.hand_out)


Granted: TypeAlias = Callable[[Permit], object]


class ConnectionLimit:
    """Hands out permits in the order in which they were asked for. Safe from any thread.

    Attributes:
        most: how many permits there are. An attribute, to be read: it is looked at for each mail.
    """

    def __init__(self, limit: int) -> None:
        self.most: int = limit
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Forget who has a permit and who waits, in a child that was just forked.

        Those are the parent's, and none of them would ever give a permit back here. The lock may
        have been held by a thread that is gone.
        """
        self._lock = threading.Lock()
        self._in_use = 0
        self._waiting: OrderedDict[Any, Granted] = OrderedDict()
        self._pressing: OrderedDict[Any, None] = OrderedDict()  # the urgent ones among them
        self._reclaimable: OrderedDict[object, Callable[[], None]] = OrderedDict()

    @property
    def limit(self) -> int:
        """The number of permits, those in use included."""
        return self.most

    @limit.setter
    def limit(self, limit: int) -> None:
        with self._lock:
            self.most = limit
        guard.call(self, self.hand_out)

    @property
    def has_waiters(self) -> bool:
        """Whether a send is waiting for a permit and could use it now."""
        return bool(self._pressing if dispatcher.is_full else self._waiting)

    @property
    def _entitled(self) -> OrderedDict[Any, Any]:
        """The waiting sends that may get a permit now: only urgent ones while receivers lag."""
        return self._pressing if dispatcher.is_full else self._waiting

    def acquire(self, holder: Any, granted: Granted, *, is_pressing: bool = False) -> None:
        """Request a permit.

        Args:
            holder: the actor that it is for; one permit each. It handles what `granted` raises.
            granted: called once with the permit, as soon as there is one: at once, or on the
                thread that releases one.
            is_pressing: do not wait until signal receivers have caught up. A receiver may be
                waiting for this send, which would be a deadlock.
        """
        reclaim: Callable[[], object] | None = None
        permit = Permit(self)
        with self._lock:
            is_entitled = is_pressing or not dispatcher.is_full
            is_free = self._in_use < self.most and not self._entitled and is_entitled
            if is_free:
                self._in_use += 1
            else:
                self._waiting[holder] = granted
                if is_pressing:
                    self._pressing[holder] = None
                if is_entitled and self._reclaimable:
                    reclaim = self._reclaimable.popitem(last=False)[1]
        if is_free:
            try:
                granted(permit)
            except BaseException:
                self.take(permit)
                raise
        elif reclaim is not None:
            reclaim()

    def offer_idle(self, key: object, give_up: Callable[[], None]) -> None:
        """Offer the permit of an idle connection.

        Args:
            key: the connection.
            give_up: closes it; called once, on the thread of a send that needs a permit.
        """
        with self._lock:
            has_waiters = self.has_waiters
            if not has_waiters:
                self._reclaimable[key] = give_up
        if has_waiters:
            give_up()

    def withdraw_offer(self, key: object) -> None:
        """Withdraw the offer, because the connection is in use again or closed."""
        with self._lock:
            self._reclaimable.pop(key, None)

    def reclaim_all(self) -> None:
        """Have all idle connections of the process closed."""
        with self._lock:
            give_ups = list(self._reclaimable.values())
            self._reclaimable.clear()
        for give_up in give_ups:
            give_up()

    def cancel_wait(self, holder: object) -> bool:
        """Withdraw the request of a holder; return whether it was waiting."""
        with self._lock:
            self._pressing.pop(holder, None)
            return self._waiting.pop(holder, None) is not None

    def take(self, permit: Permit) -> bool:
        """Mark a permit as free; return whether it was in use. Call `hand_out` afterwards."""
        with self._lock:
            if permit._limit is None:
                return False
            permit._limit = None
            self._in_use -= 1
        return True

    def hand_out(self) -> None:
        """Give free permits to waiting sends."""
        # Checked without the lock: a send that begins to wait later has seen the free permits
        # itself, and a thread that releases one later calls this method.
        while self._waiting and self._in_use < self.most:
            permit = Permit(self)
            with self._lock:
                entitled = self._entitled
                if not entitled or self._in_use >= self.most:
                    return
                holder = next(iter(entitled))
                self._pressing.pop(holder, None)
                granted = self._waiting.pop(holder)
                self._in_use += 1
            try:
                granted(permit)
            except BaseException as error:
                # An error here is the holder's, not that of the send that released the permit.
                self.take(permit)
                guard.end(holder, error)

    def crashed(self, error: BaseException) -> None:  # noqa: ARG002 - as `guard.Guarded` has it
        """Continue to give out permits, so that no send waits forever. See `guard.Guarded`."""
        self.hand_out()

    def receivers_have_caught_up(self) -> None:
        """Called when signal receivers have caught up, on the dispatcher's thread."""
        with self._lock:
            # Idle connections were not reclaimed for sends that had to wait for receivers.
            count = min(len(self._reclaimable), len(self._waiting))
            give_ups = [self._reclaimable.popitem(last=False)[1] for _ in range(count)]
        for give_up in give_ups:
            give_up()
        self.hand_out()


connection_limit: ConnectionLimit = ConnectionLimit(DEFAULT_LIMIT)
dispatcher.when_not_full(connection_limit.receivers_have_caught_up)

in_child(connection_limit.reset_after_fork)


def set_connection_limit(limit: int) -> None:
    """Set how many connections pykka-smtp opens at once in this process; 100 at first.

    A lower limit closes no connection; it applies to new ones.

    Args:
        limit: 1 to 1000000.

    Raises:
        ValueError: it is out of range.
        TypeError: it is not an int.
    """
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise TypeError(f"the connection limit needs an int, not {type(limit).__name__}")
    if not 1 <= limit <= _MAX_LIMIT:
        # Without the number: Python refuses to format one with thousands of digits.
        raise ValueError(f"the connection limit needs to be at least 1, and at most {_MAX_LIMIT}")
    notice_fork()
    connection_limit.limit = limit

"""The idle connections of a `Mailer`. On the loop thread."""

from collections.abc import Callable

from ....smtp.session.opening.session import Session
from ....smtp.words.verdict import Verdict
from ...loop import guard
from ...loop.event_loop import event_loop
from ...net.connection_limit import connection_limit
from ...net.outlets.diversion import diversion
from ...net.wire.connection import Connection

_FAIR_SHARE = 10
"""Transactions after which a connection is closed if another send waits for its permit. A new
connection per 10 emails costs each of them little; a send that had to wait for the end of a long
queue might miss its deadline."""


class IdleConnection:
    """An idle connection, and its `Owner`. Only `closed` matters: there is no dialog.

    Attributes:
        connection: the connection, with its permit.
        session: the state of the session on it.
        since: when it became idle, on the loop's clock.
    """

    __slots__ = ("_pool", "connection", "session", "since")

    def __init__(self, pool: "ConnectionPool", connection: Connection, session: Session) -> None:
        self._pool = pool
        self.connection: Connection = connection
        self.session: Session = session
        self.since: float = event_loop().loop.time()
        connection.set_idle(self)
        connection_limit.offer_idle(self, self._give_up)

    def _give_up(self) -> None:
        """Called when another send needs the permit, on any thread: close the connection."""
        event_loop().loop.call_soon_threadsafe(guard.call, self, self.close)

    def close(self) -> None:
        """Send QUIT and close, unless the connection is in use again."""
        if self._pool.discard(self):
            self.send_quit()
            self._pool.notice_if_empty()

    def send_quit(self) -> None:
        """Send QUIT and close."""
        self.connection.cancel()

    def connected(self) -> None:
        """Ignored: it was connected before it became idle."""

    def decided(self, verdict: Verdict) -> None:
        """Ignored: it has no email."""

    def released(self) -> None:
        """Ignored: it has no dialog."""

    def closed(self) -> None:
        """Called when the connection is closed: remove it from the pool."""
        self._pool.discard(self)
        connection_limit.withdraw_offer(self)
        self._pool.notice_if_empty()

    def crashed(self, error: BaseException) -> None:
        """Close at once. See `guard.Guarded`."""
        self.connection.crashed(error)


class IdleConnections:
    """All idle connections of one `Mailer`, to whatever relay, the oldest first.

    So those to close at a tick are found without a look at each relay.

    Args:
        timeout: seconds that a connection may be idle.
    """

    __slots__ = ("_by_age", "_timeout")

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._by_age: dict[IdleConnection, None] = {}

    def __len__(self) -> int:
        """The number of idle connections."""
        return len(self._by_age)

    def add(self, idle: IdleConnection) -> None:
        """Add a connection that has just become idle."""
        self._by_age[idle] = None

    def remove(self, idle: IdleConnection) -> None:
        """Remove a connection, if it is here."""
        self._by_age.pop(idle, None)

    def expire(self, now: float) -> None:
        """Close what has waited for too long.

        Args:
            now: the time, on the loop's clock.
        """
        while self._by_age:
            oldest = next(iter(self._by_age))
            if now - oldest.since < self._timeout:
                return
            oldest.close()
            self.remove(oldest)  # wherever it was

    def close(self) -> None:
        """Close all connections."""
        for idle in list(self._by_age):
            idle.close()

    def abandon(self) -> None:
        """Close the sockets in a forked child; the connections belong to the parent."""
        for idle in self._by_age:
            idle.connection.abandon()


class ConnectionPool:
    """The idle connections to one relay.

    Args:
        all_idle: those to all relays of the Mailer.
        max_mails: transactions on one connection at most.
        emptied: called when the last idle connection was closed; or None.
    """

    __slots__ = ("_all_idle", "_emptied", "_epoch", "_idle", "_just_released", "_max_mails")

    def __init__(
        self,
        all_idle: IdleConnections,
        max_mails: int,
        emptied: Callable[[], object] | None = None,
    ) -> None:
        self._all_idle = all_idle
        self._max_mails = max_mails
        self._emptied = emptied
        self._epoch = diversion.epoch
        self._idle: dict[IdleConnection, None] = {}  # the oldest first
        # Not idle yet, because usually the next email is queued already.
        self._just_released: tuple[Connection, Session] | None = None

    def __len__(self) -> int:
        """The number of connections without an email, one that was just released included."""
        return len(self._idle) + (self._just_released is not None)

    def acquire(self) -> tuple[Connection, Session] | None:
        """Return a usable connection with its permit, or None."""
        if self._epoch != diversion.epoch:
            self._start_anew()
        # Whatever raises in here, no connection is lost: it is still in the pool, or returned.
        released = self._just_released
        if released is not None:
            # Released in this same callback, so the socket need not be read again.
            if released[0].is_still_open and released[1].may_be_reused:
                self._just_released = None
                return released
            self.park_released()
        while self._idle:
            idle = next(reversed(self._idle))  # the youngest, so that the others can expire
            connection_limit.withdraw_offer(idle)
            is_reusable = idle.session.may_be_reused and idle.connection.look()
            self._all_idle.remove(idle)
            del self._idle[idle]
            if is_reusable:
                return idle.connection, idle.session
            idle.connection.discard()
        return None

    def _start_anew(self) -> None:
        """Close what leads elsewhere than new connections do: a test began, or ended."""
        self._epoch = diversion.epoch
        self.leave_released()
        for idle in list(self._idle):
            idle.close()

    def release(self, connection: Connection, session: Session) -> None:
        """Take a connection back, with its permit. Call `park_released` afterwards."""
        if connection_limit.has_waiters and connection.served + 1 >= _FAIR_SHARE:
            IdleConnection(self, connection, session).send_quit()
        else:
            self._just_released = connection, session

    def park_released(self) -> None:
        """Make the released connection idle, if no email has acquired it at once."""
        if self._just_released is not None:
            if not self._just_released[0].is_closed:
                idle = IdleConnection(self, *self._just_released)
                self._idle[idle] = None
                self._all_idle.add(idle)
            self._just_released = None

    def leave_released(self) -> None:
        """Close the released connection, if no email has acquired it: others need its permit."""
        if self._just_released is not None:
            if not self._just_released[0].is_closed:
                IdleConnection(self, *self._just_released).send_quit()
            self._just_released = None

    def repair(self) -> None:
        """Close the released connection, if an internal error left it neither idle nor in use."""
        if self._just_released is not None:
            connection, _ = self._just_released
            connection.crashed(RuntimeError("a connection could not be kept"))
            self._just_released = None

    def may_reuse(self, served: int) -> bool:
        """Whether a connection may be reused after one more email.

        Args:
            served: how many it has sent.
        """
        return served + 1 < self._max_mails

    def discard(self, idle: IdleConnection) -> bool:
        """Remove a connection from the pool; return whether it was there."""
        was_kept = self._idle.pop(idle, self) is None
        self._all_idle.remove(idle)
        return was_kept

    def notice_if_empty(self) -> None:
        """Call `emptied` if no connection is left."""
        if self._emptied is not None and not len(self):
            self._emptied()

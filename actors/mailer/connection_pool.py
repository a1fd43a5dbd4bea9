"""The connections of a `Mailer` that are open and wait for the next mail. On the loop thread."""

from collections.abc import Callable

from ...smtp.session.session import Session
from ...smtp.words.verdict import Verdict
from ..loop import guard
from ..loop.event_loop import event_loop
from ..net.connection import Connection
from ..net.connection_limit import connection_limit

_FAIR_SHARE = 10
"""Mails after which a connection is left if somebody else waits for its permit. To open another
then costs each of them little; to wait for a long queue to end would cost some of them all."""


class IdleConnection:
    """A connection that waits for the next mail; it is its owner meanwhile.

    Attributes:
        connection: the connection, with a permit of the connection limit.
        session: what is known of the session on it.
        since: when it began to wait, on the loop's clock.
    """

    __slots__ = ("_pool", "connection", "session", "since")

    def __init__(self, pool: "ConnectionPool", connection: Connection, session: Session) -> None:
        self._pool = pool
        self.connection: Connection = connection
        self.session: Session = session
        self.since: float = event_loop().loop.time()
        connection.rest(self)
        connection_limit.offer_idle(self, self._give_up)

    def _give_up(self) -> None:
        """Close: another send waits for a permit. May be called from any thread."""
        event_loop().loop.call_soon_threadsafe(guard.call, self, self.close)

    def close(self) -> None:
        """Send QUIT, unless the connection is in use again."""
        if self._pool.discard(self):
            self.leave()
            self._pool.notice_if_empty()

    def leave(self) -> None:
        """Send QUIT."""
        self.connection.cancel()

    def connected(self) -> None:
        """Nothing to do: it has been for long."""

    def decided(self, verdict: Verdict) -> None:
        """Nothing to do: there is no mail."""

    def released(self) -> None:
        """Nothing to do: it has no mail."""

    def closed(self) -> None:
        """Forget the connection: it is gone, and its permit with it."""
        self._pool.discard(self)
        connection_limit.withdraw_offer(self)
        self._pool.notice_if_empty()

    def crashed(self, error: BaseException) -> None:
        """Close at once. See `guard.Guarded`."""
        self.connection.crashed(error)


class IdleConnections:
    """All idle connections of one `Mailer`, whatever their relay, in the order of their age.

    So what is due at a moment is found without a look at each relay.

    Args:
        timeout: seconds that a connection may wait.
    """

    __slots__ = ("_by_age", "_timeout")

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._by_age: dict[IdleConnection, None] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._by_age)

    def add(self, idle: IdleConnection) -> None:
        """Count one more, the youngest."""
        self._by_age[idle] = None

    def remove(self, idle: IdleConnection) -> None:
        """Count it no more."""
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
        """Close all."""
        for idle in list(self._by_age):
            idle.close()

    def abandon(self) -> None:
        """Let go of the sockets in a forked child."""
        for idle in self._by_age:
            idle.connection.abandon()


class ConnectionPool:
    """The idle connections to one relay.

    Args:
        all_idle: those of all relays of the Mailer.
        max_mails: mails on one connection at most.
        emptied: called when an idle connection is gone, and there is no other; or None.
    """

    __slots__ = ("_all_idle", "_emptied", "_idle", "_just_released", "_max_mails")

    def __init__(
        self,
        all_idle: IdleConnections,
        max_mails: int,
        emptied: Callable[[], object] | None = None,
    ) -> None:
        self._all_idle = all_idle
        self._max_mails = max_mails
        self._emptied = emptied
        self._idle: dict[IdleConnection, None] = {}  # in the order in which they began to wait
        # Mostly, the next mail is here already.
        self._just_released: tuple[Connection, Session] | None = None

    def __len__(self) -> int:
        """How many connections wait for the next mail, one that was just released included."""
        return len(self._idle) + (self._just_released is not None)

    def acquire(self) -> tuple[Connection, Session] | None:
        """Return a connection that can be used, with its permit."""
        # Whatever breaks in here, each connection is still where it was, or it is returned.
        released = self._just_released
        if released is not None:
            # In this very callback: there is no need to look into the socket again.
            if released[0].is_still_open and released[1].may_be_reused:
                self._just_released = None
                return released
            self.park_released()
        while self._idle:
            idle = next(reversed(self._idle))  # the one that waited least: the others may expire
            connection_limit.withdraw_offer(idle)
            is_reusable = idle.session.may_be_reused and idle.connection.look()
            self._all_idle.remove(idle)
            del self._idle[idle]
            if is_reusable:
                return idle.connection, idle.session
            idle.connection.discard()
        return None

    def release(self, connection: Connection, session: Session) -> None:
        """Take a connection back, with its permit; `park_released` next."""
        if connection_limit.has_waiters and connection.served + 1 >= _FAIR_SHARE:
            IdleConnection(self, connection, session).leave()
        else:
            self._just_released = connection, session

    def park_released(self) -> None:
        """Keep what was released, if no mail has taken it at once."""
        if self._just_released is not None:
            if not self._just_released[0].is_gone:
                idle = IdleConnection(self, *self._just_released)
                self._idle[idle] = None
                self._all_idle.add(idle)
            self._just_released = None

    def leave_released(self) -> None:
        """Send QUIT on what was released, if no mail has taken it: others wait for its permit."""
        if self._just_released is not None:
            if not self._just_released[0].is_gone:
                IdleConnection(self, *self._just_released).leave()
            self._just_released = None

    def repair(self) -> None:
        """Close what was released, if it could not be kept."""
        if self._just_released is not None:
            connection, _ = self._just_released
            connection.crashed(RuntimeError("a connection could not be kept"))
            self._just_released = None

    def may_reuse(self, served: int) -> bool:
        """Whether a connection may be kept after one more mail.

        Args:
            served: how many it has had.
        """
        return served + 1 < self._max_mails

    def discard(self, idle: IdleConnection) -> bool:
        """Keep a connection no more; return whether it was kept."""
        was_kept = self._idle.pop(idle, self) is None
        self._all_idle.remove(idle)
        return was_kept

    def notice_if_empty(self) -> None:
        """Have the destination know that the last idle connection is gone."""
        if self._emptied is not None and not len(self):
            self._emptied()

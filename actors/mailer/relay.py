"""One relay of a `Mailer`: how to reach it, its open connections, and what it can take."""

from collections.abc import Sequence

from ...signals.outcome import Outcome, SendFailure
from ...smtp.session.session import Session
from ...smtp.words.stage import BEFORE_THE_MAIL, Stage
from ...smtp.words.verdict import FailureKind, Verdict
from ..loop import guard
from ..loop.event_loop import event_loop
from ..net.connection import Connection
from ..net.connection_limit import connection_limit
from ..options.options import Options
from .concurrency import ConcurrencyWindow
from .destination import Destination, Limits

# What says nothing about the relay: the mail was at fault, or we were, or nobody.
_NOT_THE_RELAYS = frozenset({FailureKind.LOCAL, FailureKind.CANCELLED, FailureKind.INTERNAL})

# MAIL was answered, in a transfer where all goes out in one write as well.
_AFTER_MAIL = frozenset({Stage.RCPT, Stage.DATA, Stage.BODY, Stage.DOT})

_MOST_DESCRIBED = 3
"""Relays that one line tells of."""

_TURN = 10
"""Mails after which a connection is left if somebody else waits for its permit. To open another
then costs each of them little; to wait for a long queue to end would cost some of them all."""


class Kept:
    """A connection that waits for the next mail; it is its owner meanwhile.

    Attributes:
        connection: the connection, with a permit of the connection limit.
        session: what is known of the session on it.
        since: when it began to wait, on the loop's clock.
    """

    __slots__ = ("_relay", "connection", "session", "since")

    def __init__(self, relay: "Relay", connection: Connection, session: Session) -> None:
        self._relay = relay
        self.connection: Connection = connection
        self.session: Session = session
        self.since: float = event_loop().loop.time()
        connection.rest(self)
        connection_limit.offer(self, self._give_up)

    def _give_up(self) -> None:
        """Close: somebody else waits for a permit. May be called from any thread."""
        event_loop().loop.call_soon_threadsafe(guard.call, self, self.close)

    def close(self) -> None:
        """Take leave of the server, unless the connection is in use again."""
        if self._relay.forget(self):
            self.leave()

    def leave(self) -> None:
        """Take leave of the server."""
        self.connection.cancel()

    def connected(self) -> None:
        """Nothing to do: it has been for long."""

    def decided(self, verdict: Verdict) -> None:
        """Nothing to do: there is no mail."""

    def released(self) -> None:
        """Nothing to do: nobody uses it."""

    def closed(self) -> None:
        """Forget the connection: it is gone, and its permit with it."""
        self._relay.forget(self)
        connection_limit.take_back(self)

    def crashed(self, error: BaseException) -> None:
        """Close at once. See `guard.Guarded`."""
        self.connection.crashed(error)


class Relay(Destination):
    """One relay. Lives on the loop thread.

    Attributes:
        options: how to reach it.
        last_failure: why a mail failed that could not reach it, in one line; empty if none did.
    """

    def __init__(self, options: Options, limits: Limits, weight: float | None = None) -> None:
        window = ConcurrencyWindow(limits.max_connections, first=limits.first_connections)
        super().__init__(limits, window, weight)
        self.options = options
        self.last_failure: str = ""
        self._idle: dict[Kept, None] = {}  # in the order in which they began to wait
        # The connection that became free just now: mostly, the next mail is here already.
        self._free: tuple[Connection, Session] | None = None

    @property
    def idle(self) -> int:
        """How many connections wait for the next mail."""
        return len(self._idle)

    @property
    def most(self) -> int:
        """How many mails may be on their way to it, whatever the window says."""
        # Those above the process's limit would only wait for one another's connections.
        most, limit = self._limits.max_connections, connection_limit.most
        return most if most < limit else limit  # noqa: FURB136 - a call of min() costs more

    def ended(self, outcome: Outcome, since: float, now: float) -> None:
        """Learn from what became of a mail.

        Args:
            outcome: it.
            since: when the mail was let go.
            now: the time. Both are of the loop's clock.
        """
        if not isinstance(outcome, SendFailure):
            self.window.succeeded(now)
        elif outcome.kind in _NOT_THE_RELAYS:
            self.window.released(since=since)
        elif outcome.kind is FailureKind.SMTP and outcome.stage not in BEFORE_THE_MAIL:
            if outcome.retryable:
                self.window.pushed_back(now, since=since)
            else:
                self.window.succeeded(now)
        elif outcome.stage in _AFTER_MAIL:
            # It talked, and had answered MAIL: that it broke, or hung, may be due to this mail.
            self.window.pushed_back(now, since=since)
        else:
            # A refused login, too: whoever goes on with a wrong password is locked out.
            self.last_failure = outcome.detail
            self.window.failed(now, since=since)

    def describe(self, now: float) -> str:
        """Say in a few words why no mail goes there.

        Args:
            now: the time, on the loop's clock.
        """
        if self.is_dead:
            return f"{self.options.name} is down, its last error: {self.last_failure}"
        is_full = self.busy >= min(self.window.limit, self.most)
        why = "is busy" if is_full or self.wait(now) <= 0 else "is held to its rate"
        last = f", its last error: {self.last_failure}" if self.last_failure else ""
        return f"{self.options.name} {why}{last}"

    # Connections that wait.

    def take(self) -> tuple[Connection, Session] | None:
        """Return a connection that can be used, and that nobody else has; with its permit."""
        # Whatever breaks in here, each connection is still where it was, or it is returned.
        free = self._free
        if free is not None:
            if free[0].is_usable and free[1].may_be_reused:
                self._free = None
                return free
            self.settle()
        while self._idle:
            kept = next(reversed(self._idle))  # the one that waited least: the others may expire
            connection_limit.take_back(kept)
            is_usable = kept.connection.is_usable and kept.session.may_be_reused
            del self._idle[kept]
            if is_usable:
                return kept.connection, kept.session
            kept.connection.discard()
        return None

    def give_back(self, connection: Connection, session: Session) -> None:
        """Take a connection back, with its permit; `settle` next."""
        if connection_limit.is_wanted and connection.served + 1 >= _TURN:
            Kept(self, connection, session).leave()
        else:
            self._free = connection, session

    def settle(self) -> None:
        """Keep what was given back, if nobody has taken it at once."""
        if self._free is not None:
            if not self._free[0].is_gone:
                kept = Kept(self, *self._free)
                self._idle[kept] = None
            self._free = None

    def repair(self) -> None:
        """Close what was given back, if it could not be kept."""
        if self._free is not None:
            connection, _ = self._free
            connection.crashed(RuntimeError("a connection could not be kept"))
            self._free = None

    def keeps_another(self, served: int) -> bool:
        """Whether a connection may be kept after one more mail.

        Args:
            served: how many it has had.
        """
        return served + 1 < self._limits.max_mails_per_connection

    def forget(self, kept: Kept) -> bool:
        """Keep a connection no more; return whether it was kept."""
        return self._idle.pop(kept, self) is None

    def expire(self, now: float) -> None:
        """Close what has waited for too long.

        Args:
            now: the time, on the loop's clock.
        """
        while self._idle:
            oldest = next(iter(self._idle))
            if now - oldest.since < self._limits.idle_timeout:
                return
            oldest.close()

    def close(self) -> None:
        """Close all that wait."""
        for kept in list(self._idle):
            kept.close()

    def abandon(self) -> None:
        """Let go of the sockets in a forked child."""
        for kept in self._idle:
            kept.connection.abandon()


def describe_dead(relays: Sequence[Relay]) -> str:
    """Say in a line that all relays are dead.

    Args:
        relays: all of them.
    """
    first = relays[0]
    if len(relays) == 1:
        return f"{first.options.name} is down; its last error: {first.last_failure}"
    return (
        f"all {len(relays)} relays are down;"
        f" the last error of {first.options.name}: {first.last_failure}"
    )


def describe_all(relays: Sequence[Relay], now: float) -> str:
    """Say in a line why no relay takes a mail.

    Args:
        relays: all of them.
        now: the time, on the loop's clock.
    """
    shown = [relay.describe(now) for relay in relays[:_MOST_DESCRIBED]]
    rest = len(relays) - len(shown)
    return "; ".join([*shown, f"and {rest} more"] if rest else shown)

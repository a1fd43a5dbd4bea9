"""One relay of a `Mailer`: how to reach it, its open connections, and what it can take."""

from collections.abc import Sequence

from ...signals.outcome import Outcome, SendFailure
from ...smtp.words.stage import BEFORE_THE_MAIL, Stage
from ...smtp.words.verdict import FailureKind
from ..net.connection_limit import connection_limit
from ..options.options import Options
from .capacity import Capacity, Limits
from .concurrency import ConcurrencyWindow
from .connection_pool import ConnectionPool

# What says nothing about the relay: the mail was at fault, or we were, or nobody.
_NOT_A_RELAY_FAULT = frozenset({FailureKind.LOCAL, FailureKind.CANCELLED, FailureKind.INTERNAL})

# MAIL was answered, in a transfer where all goes out in one write as well.
_AFTER_MAIL = frozenset({Stage.RCPT, Stage.DATA, Stage.BODY, Stage.DOT})

_MOST_DESCRIBED = 3
"""Relays that one line tells of."""


class Relay(Capacity):
    """One relay. Lives on the loop thread.

    Attributes:
        options: how to reach it.
        pool: its open connections that wait for a mail.
    """

    __slots__ = ("options", "pool")

    def __init__(
        self,
        options: Options,
        limits: Limits,
        pool: ConnectionPool,
        weight: float | None = None,
    ) -> None:
        window = ConcurrencyWindow(limits.max_connections, first=limits.initial_connections)
        super().__init__(limits, window, weight)
        self.options = options
        self.pool = pool
        self.follow_connection_limit()

    @property
    def idle(self) -> int:
        """How many connections to it are open without a mail."""
        return len(self.pool)

    def follow_connection_limit(self) -> None:
        """Let no more mails go at once than the process may have connections.

        Those above its limit would only wait for one another's.
        """
        self.most = min(self._limits.max_connections, connection_limit.most)

    def record(self, outcome: Outcome, since: float, now: float) -> None:
        """Learn from what became of a mail.

        Args:
            outcome: it.
            since: when the mail was let go.
            now: the time. Both are of the loop's clock.
        """
        if not isinstance(outcome, SendFailure):
            self.window.succeeded(now)
        elif outcome.kind in _NOT_A_RELAY_FAULT:
            self.window.released(since=since)
        elif outcome.kind is FailureKind.SMTP and outcome.stage not in BEFORE_THE_MAIL:
            if outcome.retryable:
                self.window.deferred(now, since=since)
            else:
                self.window.succeeded(now)
        elif outcome.stage in _AFTER_MAIL:
            # It talked, and had answered MAIL: that it broke, or hung, may be due to this mail.
            self.window.deferred(now, since=since)
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
        why = "is busy" if is_full or self.seconds_until_ready(now) <= 0 else "is held to its rate"
        last = f", its last error: {self.last_failure}" if self.last_failure else ""
        return f"{self.options.name} {why}{last}"


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

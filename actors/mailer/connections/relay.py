"""One relay of a `Mailer`: its options, its idle connections, and its capacity."""

import logging
from collections.abc import Sequence

from ....signals.outcome import SendFailure
from ....signals.outlets.journal import log_mailer
from ....smtp.words.stage import BEFORE_THE_MAIL, Stage
from ....smtp.words.verdict import FailureKind
from ...net.connection_limit import connection_limit
from ...options.options import Options
from ..capacity.capacity import Capacity, Limits
from ..capacity.concurrency import ConcurrencyWindow
from .pool import ConnectionPool

# Failures that say nothing about the relay: of the email, of this process, or a cancellation.
_NOT_A_RELAY_FAULT = frozenset({FailureKind.LOCAL, FailureKind.CANCELLED, FailureKind.INTERNAL})

# Stages after the reply to MAIL, in a speculative transfer as well.
_AFTER_MAIL = frozenset({Stage.RCPT, Stage.DATA, Stage.BODY, Stage.DOT})

_MOST_DESCRIBED = 3
"""Relays described in one line."""


class Relay(Capacity):
    """One relay. For use on the loop thread only.

    Attributes:
        options: how to reach it.
        pool: its idle connections.
    """

    __slots__ = ("options", "pool")

    def __init__(
        self,
        options: Options,
        limits: Limits,
        pool: ConnectionPool,
        weight: float | None = None,
    ) -> None:
        window = ConcurrencyWindow(
            limits.max_connections,
            first=limits.initial_connections,
            longest_pause=limits.longest_pause,
        )
        super().__init__(limits, window, weight)
        self.options: Options = options
        self.pool: ConnectionPool = pool
        self.follow_connection_limit()

    @property
    def idle(self) -> int:
        """The number of idle connections to it."""
        return len(self.pool)

    def follow_connection_limit(self) -> None:
        """Limit emails in flight to the number of connections that the process may have.

        More would only wait for a permit.
        """
        self.most: int = min(self._limits.max_connections, connection_limit.most)

    def record_success(self, now: float) -> None:
        """Update the concurrency window with the success of an attempt.

        Args:
            now: the time, on the loop's clock.
        """
        if self.window.succeeded(now):
            self._log_alive()

    def record_failure(self, outcome: SendFailure, since: float, now: float) -> None:
        """Update the concurrency window with the failure of an attempt.

        Args:
            outcome: the attempt's.
            since: when the attempt was started, on the loop's clock.
            now: the time, on the same clock.
        """
        window = self.window
        width = window.limit
        is_alive_again = is_dead_now = False
        if outcome.kind in _NOT_A_RELAY_FAULT:
            window.released(since=since)
        elif outcome.kind is FailureKind.SMTP and outcome.stage not in BEFORE_THE_MAIL:
            if outcome.retryable:
                is_alive_again = window.deferred(now, since=since)
            else:
                is_alive_again = window.succeeded(now)
        elif outcome.stage in _AFTER_MAIL:
            # The relay works, as it replied to MAIL. This email may have caused the failure.
            is_alive_again = window.deferred(now, since=since)
        else:
            # Rejected credentials count, too: with further attempts, accounts get locked.
            self.last_failure: str = outcome.detail
            is_dead_now = window.failed(now, since=since)
        if is_alive_again:
            self._log_alive()
        elif is_dead_now:
            self._log(logging.WARNING, "is down; its last error: %s", outcome.detail)
        elif window.limit < width:
            self._log(logging.DEBUG, "gets %d emails at a time, no more", window.limit)

    def _log_alive(self) -> None:
        self._log(logging.INFO, "works again")

    def _log(self, level: int, text: str, *args: object) -> None:
        alias, name = self.options.alias, self.options.name
        log_mailer(level, f"%s: relay %s {text}", alias, name, *args, alias=alias, relay=name)

    def describe(self, now: float) -> str:
        """Return in a few words why no email can be sent to it now.

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
    """Return a line that says that all relays are dead.

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
    """Return a line that says why no relay can be used.

    Args:
        relays: all of them.
        now: the time, on the loop's clock.
    """
    shown = [relay.describe(now) for relay in relays[:_MOST_DESCRIBED]]
    rest = len(relays) - len(shown)
    return "; ".join([*shown, f"and {rest} more"] if rest else shown)

"""What time does to an outbox: emails expire, and clocks are set. On the loop thread."""

import time
from collections.abc import Callable
from typing import Any

from ..mailer.jobs.retry import RetryPolicy
from .rules.clocks import LEAST_STEP, ClockNote
from .sending.shipping import Shipping
from .store.clock import clock_note
from .store.errors import OutboxError
from .store.records import Row
from .store.store import Store
from .thread.ops import Kind

Submit = Callable[[Kind, Any, Callable[[Any], object]], object]

_EVERY = 0.5
"""Seconds between two looks for emails that have expired."""
_MOST = 100


class Timing:
    """Looks at the clock.

    Args:
        submit: has something done with the file.
        shipping: sends emails.
        policy: when it tries again.
        sends: whether emails are sent by this process: then it adapts the file to the clock.
    """

    def __init__(
        self, submit: Submit, shipping: Shipping, policy: RetryPolicy, *, sends: bool
    ) -> None:
        self._submit = submit
        self._shipping = shipping
        self._longest = policy.max_delay * (1 + policy.jitter)
        self._sends = sends
        self._seen: ClockNote | None = None
        self._is_following = self._is_looking = False
        self._next_look = 0.0
        if sends:
            shipping.before_claim = self._follow_clock

    def on_tick(self, now: float) -> None:
        """Look.

        Args:
            now: the time, on the loop's clock.
        """
        if self._sends:
            self._follow_clock()
        if now >= self._next_look:
            self._next_look = now + _EVERY
            self._shipping.expire(time.time())
            if not self._is_looking:
                self._is_looking = True
                self._submit(Kind.LOOK, _has_expired, self._looked)

    # The clock

    def _follow_clock(self) -> None:
        seen, is_now = self._seen, clock_note()
        if self._is_following or (
            seen is not None and abs(is_now.offset - seen.offset) < LEAST_STEP
        ):
            return
        self._is_following = True
        longest = self._longest

        def follow(store: Store) -> float:
            return store.follow_clock(seen, is_now, time.time(), longest)

        def followed(step: float | OutboxError) -> None:
            self._is_following = False
            if isinstance(step, OutboxError):
                return  # soon again
            self._seen = is_now
            if seen is not None:
                # By what this process saw: another may have adapted the file.
                self._shipping.follow_clock(is_now.offset - seen.offset)
            else:
                self._shipping.look_soon()

        self._submit(Kind.HAND, follow, followed)

    # Emails that are useless by now

    def _looked(self, is_any: bool | OutboxError) -> None:
        if is_any is True:
            self._submit(Kind.HAND, _take_expired, self._taken)
        else:
            self._is_looking = False

    def _taken(self, rows: list[Row] | OutboxError) -> None:
        self._is_looking = False
        for row in [] if isinstance(rows, OutboxError) else rows:
            self._shipping.take_expired(row)


def _has_expired(store: Store) -> bool:
    return store.has_expired(time.time())


def _take_expired(store: Store) -> list[Row]:
    return store.take_expired(time.time(), _MOST)

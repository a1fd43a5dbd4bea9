"""What is remembered of destinations without email at the moment, within a bound.

Use an instance on one thread only.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .concurrency import ConcurrencyWindow
    from .pacing import TokenBucket

MAX_REMEMBERED = 10_000
"""Destinations: about 5 MB of them."""


class Remembered:
    """What was learned about one host.

    Attributes:
        host: its name.
        window: how many mails may be on their way to it.
        bucket: its rate, or None if it has none, or was not used yet.
        last_failure: why a mail failed that could not reach it; empty if none did.
    """

    __slots__ = ("bucket", "host", "last_failure", "window")

    def __init__(
        self,
        host: str,
        window: "ConcurrencyWindow",
        bucket: "TokenBucket | None",
        last_failure: str,
    ) -> None:
        self.host: str = host
        self.window: ConcurrencyWindow = window
        self.bucket: TokenBucket | None = bucket
        self.last_failure: str = last_failure


class Memory:
    """What is remembered, by destination; the one that was used longest ago is forgotten first.

    Args:
        limit: destinations at most.
    """

    __slots__ = ("_found", "_limit")

    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        self._limit = limit
        # One host by itself, as most destinations have: a tuple of it would cost as much again.
        self._found: OrderedDict[Hashable, Remembered | tuple[Remembered, ...]] = OrderedDict()

    def __len__(self) -> int:
        """The number of destinations remembered."""
        return len(self._found)

    def keep(self, key: Hashable, hosts: tuple[Remembered, ...]) -> None:
        """Remember a destination, as the one that was used last.

        Args:
            key: which.
            hosts: what was learned of each of its hosts.
        """
        self._found[key] = hosts[0] if len(hosts) == 1 else hosts
        self._found.move_to_end(key)
        if len(self._found) > self._limit:
            self._found.popitem(last=False)

    def take(self, key: Hashable) -> tuple[Remembered, ...]:
        """Return what is remembered of a destination, and forget it: it is in use again.

        Args:
            key: which.
        """
        found = self._found.pop(key, ())
        return (found,) if isinstance(found, Remembered) else found

"""What is to be done with the file of an outbox, one email at a time."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from ..store.errors import OutboxError
from ..store.records import Rescue


class Kind(enum.IntEnum):
    """What is to be done, in the order in which it is done in one turn."""

    TELL = 0
    AGAIN = 1
    GIVE_BACK = 2
    HEAR = 3
    PUT = 4
    HAND = 5
    """A function that is called with the store, and writes."""
    MARK = 6
    TAKE_TOLD = 7
    CLAIM = 8
    LOOK = 9
    """A function that is called with the store, and only reads."""


DURABLE = frozenset((Kind.TELL, Kind.AGAIN, Kind.PUT, Kind.HAND, Kind.MARK))
"""What must survive a power cut. A lost claim is made again, and what was heard is heard again."""
OWED = frozenset((Kind.TELL, Kind.AGAIN, Kind.GIVE_BACK, Kind.HEAR))
"""What is tried until it succeeds: nothing else says so of an email."""
IMPATIENT = frozenset((Kind.PUT, Kind.HAND, Kind.LOOK))
"""What somebody may be waiting for."""

Then = Callable[[Any], object]
Done = tuple[Then, Any]


class Op:
    """One thing to do.

    Attributes:
        kind: what.
        value: with what; see `Store`.
        then: is called on the loop thread with the result, or an `OutboxError`.
        since: when it was submitted, on the monotonic clock.
        tries: how often it has failed.
    """

    __slots__ = ("kind", "since", "then", "tries", "value")

    def __init__(self, kind: Kind, value: Any, then: Then) -> None:
        self.kind: Kind = kind
        self.value: Any = value
        self.then: Then = then
        self.since: float = monotonic()
        self.tries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What the thread calls by itself.

    Attributes:
        deliver: has pairs of function and result called on the loop thread; from any thread.
        call: has one of the functions below called there.
        changed: another process has written.
        rescued: the emails of dead processes were taken over.
        trouble: the file cannot be written: an `OutboxError`; or it can again: None.
    """

    deliver: Callable[[list[Done]], object]
    call: Callable[[Then, Any], object]
    changed: Then
    rescued: Callable[[Rescue], object]
    trouble: Callable[[OutboxError | None], object]

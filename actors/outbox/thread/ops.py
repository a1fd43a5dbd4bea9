"""What is to be done with the file of an outbox, one email at a time."""

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from ..store.errors import OutboxError
from ..store.records import Rescue
from ..store.store import Store


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


def nothing(_result: Any) -> None:
    """Nothing follows."""


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


def carried_out(
    store: Store, kind: Kind, ops: Sequence[Op], clock: Callable[[], float]
) -> list[Done]:
    """Carry out operations of one kind, in a turn; return what they gave.

    Args:
        store: the store.
        kind: the kind; not `Kind.LOOK`.
        ops: the operations.
        clock: the time, in seconds of UTC.
    """
    values = [op.value for op in ops]
    if kind is Kind.PUT:
        return list(zip([op.then for op in ops], store.put(values), strict=True))
    if kind is Kind.TELL:
        lost = store.tell(values)
        return [(op.then, op.value.seq not in lost) for op in ops]
    if kind is Kind.CLAIM:
        return [(op.then, store.claim(clock(), **op.value)) for op in ops]
    if kind is Kind.TAKE_TOLD:
        return [(op.then, store.take_told(*op.value)) for op in ops]
    if kind is Kind.HAND:
        return [(op.then, op.value(store)) for op in ops]
    result = None
    if kind is Kind.MARK:
        result = store.mark([seq for seqs in values for seq in seqs])
    elif kind is Kind.AGAIN:
        store.again(values)
    elif kind is Kind.GIVE_BACK:
        store.give_back(values)
    else:
        store.hear([seq for seqs in values for seq in seqs], clock())
    return [(op.then, result) for op in ops]


def of_others(ops: Iterable[Op]) -> tuple[int, int]:
    """Return how many emails others may send now, and how many outcomes they are to hear.

    Emails that this process has in hand itself do not count, nor its own outcomes. What is written
    by hand may be either.

    Args:
        ops: what was done in a turn.
    """
    emails = outcomes = 0
    for op in ops:
        kind = op.kind
        if kind is Kind.PUT:
            emails += not op.value.claim
        elif kind is Kind.TELL:
            outcomes += not op.value.publishes
        elif kind is Kind.GIVE_BACK:
            emails += 1
        elif kind is Kind.HAND:
            emails += 1
            outcomes += 1
    return emails, outcomes

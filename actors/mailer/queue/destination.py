"""One destination of a `Mailer`: its relays, and the parts of emails queued for them.

Use an instance on one thread only.
"""

import itertools
import random
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

from ..capacity.capacity import Capacity
from .agenda import NEVER
from .mail_queue import MailQueue

MAX_COST = 16
"""The highest cost of a part, and the credit of a turn."""


class Waiting(Protocol):
    """The attributes of a part of an email that queues need.

    Attributes:
        submitted_at: when the email was submitted.
        is_pressing: whether it goes before others, because a signal receiver may wait for it.
        avoid: the relays that have failed it, by number.
        relay: the number of the relay that it goes to.
        destination: its destination.
        late: not None if its attempt has begun, and only waits for a place at its relay.
    """

    submitted_at: float
    is_pressing: bool
    avoid: frozenset[int]
    relay: int
    late: Any

    @property
    def destination(self) -> "Destination[Any]":
        """Its destination."""
        ...

    @property
    def cost(self) -> int:
        """The share of a turn that it uses, 1 to `MAX_COST`."""
        ...


PartT = TypeVar("PartT", bound=Waiting)


class Destination(Generic[PartT]):
    """One destination that is in use.

    Args:
        key: its key, a domain; None for one that is never discarded.
        relays: its relays, each with its name, in the order in which to try them.
        draw: returns random numbers from 0 to less than 1.

    Attributes:
        key: as given.
        hosts: the names of the relays.
        relays: the relays, in the same order.
        queue: the parts queued for them.
        retries: a heap of the parts that wait for the time of their next attempt.
        pressing: the number of parts in the queue that are pressing.
        in_flight: attempts that hold a connection or permit, those that wait for QUIT included.
        deficit: the credit left of its turn.
        is_mixed: whether a part in the queue may be older than one before it.
        is_active: whether it is in the ring.
        is_urgent: whether it is in the ring of those that need not wait for receivers.
        looks_at: when to check it even if nothing has happened until then.
        entry: for use by the agenda.
    """

    __slots__ = (
        "deficit",
        "entry",
        "hosts",
        "in_flight",
        "is_active",
        "is_mixed",
        "is_urgent",
        "key",
        "looks_at",
        "pressing",
        "queue",
        "relays",
        "retries",
    )

    is_active: bool
    is_mixed: bool
    is_urgent: bool

    def __init__(
        self,
        key: Hashable,
        relays: Sequence[tuple[str, Capacity]],
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.key: Hashable = key
        self.hosts: tuple[str, ...] = tuple([host for host, _ in relays])
        self.relays: tuple[Capacity, ...] = tuple([relay for _, relay in relays])
        self.queue: MailQueue[PartT] = MailQueue(self.relays, draw)
        self.retries: list[tuple[float, int, PartT]] = []
        self.pressing: int = 0
        self.in_flight: int = 0
        self.deficit: int = 0
        self.is_active = self.is_urgent = self.is_mixed = False
        self.looks_at: float = NEVER
        self.entry: list[Any] | None = None

    def __iter__(self) -> Iterator[PartT]:
        """Iterate over all parts that wait, those for a retry last."""
        return itertools.chain(self.queue, (part for _, _, part in self.retries))

    @property
    def are_all_dead(self) -> bool:
        """Whether each of its relays is dead."""
        return all(relay.is_dead for relay in self.relays)

    @property
    def is_unused(self) -> bool:
        """Whether it has no part, and no connection."""
        return not (
            self.in_flight
            or self.retries
            or len(self.queue)
            or self.queue.bound
            or any(relay.idle for relay in self.relays)
        )

"""How many ends of emails may be out at once: no more than one death of the process may double.

Whether a server has all of an email that was only marked is known: it has not, and it is sent once.
A death doubles an email whose end went out, and of whose outcome it leaves nothing: neither in the
outbox, nor in the notes beside it. Of those there are no more, at any moment, than there are
connections.
"""

from collections.abc import Callable
from typing import Protocol

from ..store.notes import Note, OutcomeNotes


class Waiter(Protocol):
    """Who wants a place: the gate of an email."""

    def take_place(self) -> bool:
        """Take the place that is free now; return False if nothing is to go out any more."""
        ...

    def go_on(self) -> None:
        """Have the attempt look again."""
        ...


class Passing:
    """Gives places to gates: who has one may let the end of its email out.

    A place is free again once the outcome is noted; or in the outbox, where it cannot be noted.
    Nobody waits for ever: who waits is an attempt in flight without a place, and there are as many
    places as attempts in flight. So some place is held by an email whose outcome is on its way to
    the outbox.

    Args:
        most: how many places, at least.
        in_flight: returns how many attempts have, or open, a connection: with several relays, that
            may be more.
        notes: where outcomes are noted that are on their way to the outbox; None if nowhere.
    """

    def __init__(
        self, most: int, in_flight: Callable[[], int], notes: OutcomeNotes | None = None
    ) -> None:
        self._notes = notes
        self._most = most
        self._in_flight = in_flight
        self._taken = 0
        self._line: dict[Waiter, None] = {}  # in order; no longer than attempts are in flight

    @property
    def taken(self) -> int:
        """How many emails may be doubled by a death of the process."""
        return self._taken

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._line)

    def enter(self, gate: Waiter) -> bool:
        """Take a place; return False if none is free: then the gate is in line for one."""
        if self._line or not self._has_room:
            self._line[gate] = None
            return False
        self._taken += 1
        return True

    def leave_line(self, gate: Waiter) -> None:
        """Forget a gate that waits for a place. May be called again."""
        self._line.pop(gate, None)

    def free(self) -> None:
        """Give a place back, and let in who is next."""
        self._taken -= 1
        while self._line and self._has_room:
            gate = next(iter(self._line))
            del self._line[gate]
            # Taken for it: it may use it now, or only once the connection has read what came.
            self._taken += gate.take_place()
            gate.go_on()

    # Notes

    def note(self, outcome: Note) -> bool:
        """Note an outcome that is on its way to the outbox; return whether it is noted."""
        return self._notes is not None and self._notes.add(outcome)

    def is_written(self, seq: int) -> None:
        """Called once the outcome of an email is in the outbox."""
        if self._notes is not None:
            self._notes.is_written(seq)

    def close(self) -> None:
        """Note nothing from here on."""
        if self._notes is not None:
            self._notes.close()

    @property
    def _has_room(self) -> bool:
        return self._taken < self._most or self._taken < self._in_flight()

"""A conversation of a `Twin`, played again with its replies cut, and its end at the cut."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pykka_smtp.smtp.session.dialog.dialog import Dialog
from pykka_smtp.smtp.session.opening.session import Session
from pykka_smtp.smtp.session.transaction.delivery import Delivery

from .violation import Violation

FLAGS = ("sends_unsolicited", "rejects_bdat", "closes_without_reply")
"""What is learned of a server, by other connections too."""

_ENDS: tuple[tuple[str, Callable[[Dialog], object] | None], ...] = (
    ("a cut", None),
    ("EOF", lambda dialog: dialog.receive_eof()),
    ("a timeout", lambda dialog: dialog.timed_out(30.0)),
    ("a cancellation", lambda dialog: dialog.cancel()),
)


_MAX_CUTS, _MAX_CUTS_OF_ALL = 12, 1_000
"""Cuts in a conversation, which may be long: of some octets, and of each."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a dialog, and what was known from elsewhere by then."""

    name: str
    args: tuple[Any, ...]
    named: dict[str, Any]
    has_unread: bool
    flags: tuple[bool, ...]


class Recording:
    """All that happened to one dialog.

    Args:
        delivery: what it delivers; nothing has happened yet.
    """

    def __init__(self, delivery: Delivery) -> None:
        self._email = delivery._envelope, delivery._content
        self._keep_open = delivery._keep_open
        self._session = _copy(delivery.session)
        self._events: list[Event] = []

    def note(self, dialog: Dialog, name: str, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Note what is about to happen."""
        if not self._events:
            self._session.ehlo_name = dialog.session.ehlo_name
        quirks = dialog.session.quirks
        flags = tuple(getattr(quirks, flag) for flag in FLAGS)
        self._events.append(Event(name, args, named, dialog.has_unread, flags))

    def play(self, make: Callable[[Delivery], Dialog], every: int) -> None:
        """Play it again, with another cut, or another end, each time.

        Args:
            make: makes the dialog.
            every: the octets between two cuts; 1 for each octet, with each end.
        """
        for count, (number, at) in enumerate(self._cuts(every)):
            ends = _ENDS if every == 1 else (_ENDS[count % len(_ENDS)],)
            for what, end in ends:
                try:
                    self._play(make, number, at, end)
                except Violation as violation:
                    where = f"{what} at octet {at} of event {number}"
                    raise type(violation)(f"{where}: {violation}") from violation

    def _cuts(self, every: int) -> Iterator[tuple[int, int]]:
        """Yield the number of an event, and an octet within it."""
        sizes = [len(e.args[0]) if e.name == "receive_data" else 0 for e in self._events]
        every = max(every, sum(sizes) // (_MAX_CUTS_OF_ALL if every == 1 else _MAX_CUTS))
        passed = 0
        for number, size in enumerate(sizes):
            yield from ((number, at) for at in range(1, size) if (passed + at) % every == 0)
            passed += size

    def _play(
        self,
        make: Callable[[Delivery], Dialog],
        number: int,
        at: int,
        end: Callable[[Dialog], object] | None,
    ) -> None:
        dialog = make(Delivery(_copy(self._session), *self._email, keep_open=self._keep_open))
        try:
            for event in self._events[:number]:
                _happen(dialog, event)
            cut = self._events[number]
            for part in (cut.args[0][:at], cut.args[0][at:]):
                _happen(dialog, Event(cut.name, (part,), {}, cut.has_unread, cut.flags))
                if end is not None:
                    end(dialog)
                    return
            for event in self._events[number + 1 :]:
                _happen(dialog, event)
        except Violation:
            raise
        except Exception:
            return  # what followed cannot follow the cut


def _happen(dialog: Dialog, event: Event) -> None:
    if dialog.is_over:
        return
    dialog.has_unread = event.has_unread
    for flag, value in zip(FLAGS, event.flags, strict=True):
        setattr(dialog.session.quirks, flag, value)
    getattr(dialog, event.name)(*event.args, **event.named)


def _copy(session: Session) -> Session:
    copied = copy.copy(session)
    copied.quirks = copy.copy(session.quirks)
    return copied

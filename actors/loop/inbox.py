"""An actor's inbox: any thread puts messages into it, and the loop thread takes them out."""

import weakref
from collections import deque
from typing import Any

from pykka import ActorDeadError
from pykka._envelope import Envelope
from pykka.messages import _ActorStop

from ...signals.dispatcher import dispatcher
from ...signals.forks import notice_fork
from .event_loop import event_loop


class FromReceiver(Envelope[Any]):
    """A message from a thread that runs signal receivers: one may be waiting for its outcome."""

    __slots__ = ()


class Inbox:
    """Takes messages from any thread; the loop thread empties it.

    Attributes:
        actor: its actor, by a weak reference, as in Pykka: a ref has the inbox, and a program that
            keeps the ref of a stopped actor must not keep the actor and its email in memory.
        envelopes: the messages.
        scheduled: whether the actor will have a turn.
        closed: whether the actor was asked to stop.
    """

    __slots__ = ("actor", "closed", "envelopes", "scheduled")

    actor: weakref.ref[Any]

    def __init__(self) -> None:
        self.envelopes: deque[Envelope[Any]] = deque()
        self.scheduled: bool = False
        self.closed: bool = False

    def put(self, envelope: Envelope[Any], /) -> None:
        """Add a message, and schedule its actor. From any thread.

        Raises:
            ActorDeadError: the actor was asked to stop, and the message was told, not asked.
        """
        is_parents = notice_fork()  # then the actor belongs to the parent
        is_stop = isinstance(envelope.message, _ActorStop)
        actor = self.actor()
        if is_parents or actor is None or (self.closed and not is_stop):
            error = ActorDeadError(f"{actor.actor_ref if actor else 'actor'} was asked to stop")
            if envelope.reply_to is None:
                raise error
            envelope.reply_to.set_exception((ActorDeadError, error, None))
            return
        if dispatcher.is_current():
            envelope = FromReceiver(envelope.message, envelope.reply_to)
        self.envelopes.append(envelope)
        if is_stop:
            self.closed = True
        # The flag is cleared before the inbox is emptied, so a thread that sees it set knows that
        # the message it has just added will be handled.
        if not self.scheduled:
            self.scheduled = True
            event_loop().schedule(actor)

    def get(self) -> Envelope[Any]:
        """Remove and return the oldest message."""
        return self.envelopes.popleft()

    def empty(self) -> bool:
        """Whether there is no message."""
        return not self.envelopes

"""An actor whose ref, inbox, URN and stop flag cost nothing until somebody asks for them.

It is registered as any other: `ActorRegistry` has its ref, which can be told, asked and stopped
from any thread. What the ref and the actor share is made at the first look at any of it.
"""

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from pykka import Actor, ActorRef

from ...loop.actor_parts import StopFlag, new_urn
from ...loop.asyncio_actor import AsyncioActor
from ...loop.event_loop import event_loop
from ...loop.inbox import Inbox

A = TypeVar("A", bound=Actor)


def _nobody() -> None:
    """Stands for the weak reference to an actor that is gone."""


class LazyActorRef(ActorRef[A]):
    """The ref of a `LazyActor`; with its actor, it has the parts that Pykka makes for each."""

    made_parts: tuple[str, Inbox, StopFlag] | None = None  # until somebody looks

    def __init__(self, actor: A) -> None:
        self.actor_class: type[A] = actor.__class__
        self._actor: A | None = actor  # until it stops: whoever keeps the ref must not keep it
        self._has_stopped = False

    def parts(self) -> tuple[str, Inbox, StopFlag]:
        """Return URN, inbox and stop flag. From any thread; the first call makes them."""
        made = self.made_parts
        if made is None:
            actor, inbox = self._actor, Inbox()
            inbox.actor = cast("Any", _nobody) if actor is None else weakref.ref(actor)
            inbox.closed = self._has_stopped
            # `setdefault` is atomic: all threads get the same.
            made = self.__dict__.setdefault("made_parts", (new_urn(), inbox, StopFlag()))
            if self._has_stopped:  # before anybody could see them, perhaps just now
                _close(made)
        return made

    # A copy of its attributes would have parts of its own, and its messages would be lost.

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    # What Pykka would have stored, made at the first look. Properties, because `__getattr__` would
    # slow down every look at any attribute.
    if not TYPE_CHECKING:
        actor_urn = property(lambda self: self.parts()[0])
        actor_inbox = property(lambda self: self.parts()[1])
        actor_stopped = property(lambda self: self.parts()[2])
        _actor_weakref = property(lambda self: self.parts()[1].actor)


def _close(parts: tuple[str, Inbox, StopFlag]) -> None:
    parts[1].closed = True
    parts[2].set()


class LazyActor(AsyncioActor):
    """An `AsyncioActor` that is started on the loop thread, and whose parts are its ref's."""

    _ref_type: "Callable[[Any], LazyActorRef[Any]]" = LazyActorRef  # type: ignore[assignment]
    _actor_ref: LazyActorRef[Any]

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        """Create the actor, on the loop thread."""
        self._actor_ref = self._ref_type(self)

    # What Pykka would have stored.
    if not TYPE_CHECKING:
        actor_urn = property(lambda self: self._actor_ref.parts()[0])
        actor_inbox = property(lambda self: self._actor_ref.parts()[1])
        actor_stopped = property(lambda self: self._actor_ref.parts()[2])

    def _note_stopped(self) -> None:
        # In this order: a thread that makes the parts by now looks at the flag after that.
        ref = self._actor_ref
        ref._has_stopped = True
        if ref.made_parts is not None:
            ref.made_parts[2].set()
        ref._actor = None

    def _discard_rest(self) -> None:
        if self._actor_ref.made_parts is not None:
            super()._discard_rest()
        else:  # nobody can have put anything into an inbox
            event_loop().unregister(self)

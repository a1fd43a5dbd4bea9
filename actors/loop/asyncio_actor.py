"""A Pykka actor type without a thread of its own.

All actors of the type `AsyncioActor` share one event-loop thread, which drains their inboxes, as
POE's kernel did for its sessions. `tell`, `ask`, `stop`, `proxy` and the `ActorRegistry` work as
for any Pykka actor, from any thread.

Intended differences from `pykka.ThreadingActor`:

* `on_receive` and the hooks run on the loop thread: they must not block.
* An exception in `on_start` calls `on_failure` too.
* `SystemExit` and other `BaseException`s stop this actor, not every actor of the process.
* A message told after the actor was asked to stop raises `ActorDeadError` instead of vanishing;
  one that slipped in before goes to `on_discard`.
* `answer_later` allows an `ask` to be answered later.
* A future's `get` on the loop thread raises `RuntimeError` instead of blocking forever; to await
  one, on any event loop, does not block that loop.
"""

import contextlib
import logging
import sys
import weakref
from types import TracebackType
from typing import Any, Self

from pykka import Actor, ActorDeadError, ActorRef, ActorRegistry, Future
from pykka._envelope import Envelope
from pykka.messages import _ActorStop

from ...signals.dispatcher import log_safely
from ...signals.forks import in_child, notice_fork
from . import guard
from .actor_parts import StopFlag, new_urn
from .event_loop import event_loop
from .future import LoopFuture
from .inbox import FromReceiver, Inbox

_logger = logging.getLogger("pykka_smtp.actors")
_pykka_logger = logging.getLogger("pykka")

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

_MAX_PER_TURN = 100
"""Messages that one actor handles before the next one gets a turn."""


class Answer:
    """The answer to one `ask`, given later. Only the first call of a setter counts.

    Attributes:
        is_asked: whether anybody waits for it, or the message was told.
    """

    __slots__ = ("_future", "_open", "is_asked")

    def __init__(self, future: "Future[Any] | None", open_answers: "set[Answer]") -> None:
        self._future = future
        self._open = open_answers
        self.is_asked: bool = future is not None
        if future is not None:
            open_answers.add(self)

    def set(self, value: object) -> None:
        """Answer with a value. Does nothing if the message was told, not asked."""
        future, self._future = self._future, None
        if future is not None:
            self._open.discard(self)
            future.set(value)

    def set_exception(self, exc_info: "_ExcInfo") -> None:
        """Answer with an exception, in the form of `sys.exc_info()`."""
        future, self._future = self._future, None
        if future is not None:
            self._open.discard(self)
            future.set_exception(exc_info)

    def outlive_actor(self) -> None:
        """Leave the question open when the actor stops; it is answered nevertheless, and soon."""
        self._open.discard(self)


_NOT_ASKED = Answer(None, set())


class AsyncioActor(Actor):
    """Base class for actors that share the event-loop thread."""

    actor_inbox: Inbox  # pyright: ignore[reportIncompatibleVariableOverride]
    actor_stopped: StopFlag  # pyright: ignore[reportIncompatibleVariableOverride]

    # Initial values are on the class: most actors send one email, and change few of them.
    _is_started = False
    _has_stopped = False
    _taken: Envelope[Any] | None = None  # taken out of the inbox, not handled yet
    _handling: Envelope[Any] | None = None
    _open_answers: set[Answer] | None = None
    _stop_answers: tuple[Answer, ...] = ()

    _ref_type: type[ActorRef[Any]] = ActorRef
    _plain_message: type | None = None  # the most frequent one; Pykka has no meaning for it

    @staticmethod
    def _create_actor_inbox() -> Inbox:
        return Inbox()

    @staticmethod
    def _create_future() -> Future[Any]:
        return LoopFuture()

    @classmethod
    def start(  # pyright: ignore[reportIncompatibleMethodOverride] - ActorRef is invariant
        cls, *args: Any, **kwargs: Any
    ) -> ActorRef[Self]:
        """Start an actor with the arguments of `__init__`. See `pykka.Actor.start`."""
        notice_fork()
        actor = cls(*args, **kwargs)
        actor._register()
        actor._start_actor_loop()
        return actor._actor_ref

    def _register(self) -> None:
        """Add the actor to the `ActorRegistry`."""
        if _pykka_logger.isEnabledFor(logging.DEBUG):
            ActorRegistry.register(self._actor_ref)
            return
        # Pykka's own method formats its log line before the level is checked. Without its lock, as
        # `append` is atomic; `remove` is not for whoever looks at one ref after the other.
        ActorRegistry._actor_refs.append(self._actor_ref)

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        """Create the actor, in the thread that calls `start`."""
        # The attributes of `pykka.Actor`, made cheaply: most of our actors live for one email.
        self.actor_urn: str = new_urn()
        inbox = self._create_actor_inbox()
        inbox.actor = weakref.ref(self)
        self.actor_inbox = inbox  # pyright: ignore[reportIncompatibleVariableOverride]
        self.actor_stopped = StopFlag()  # pyright: ignore[reportIncompatibleVariableOverride]
        self._actor_ref = self._ref_type(self)

    def _start_actor_loop(self) -> None:
        self.actor_inbox.scheduled = True
        try:
            event_loop().register_and_schedule(self)
        except BaseException:
            # Pykka registers an actor before it starts it. If the start fails, the actor must not
            # stay registered, because `stop_all` would wait for it.
            self._unregister()
            raise

    @property
    def is_told_by_receiver(self) -> bool:
        """Whether a signal receiver sent the message being handled.

        For use in `on_receive`, before `answer_later`.
        """
        return isinstance(self._handling, FromReceiver)

    def answer_later(self) -> Answer:
        """Return an object that answers the message being handled later; for use in `on_receive`.

        The return value of `on_receive` is ignored then. If no answer was given when the actor
        stops, the `ask` raises `ActorDeadError`.
        """
        envelope = self._handling
        if envelope is None:
            raise RuntimeError("answer_later() is for use while a message is being handled")
        self._handling = None
        if envelope.reply_to is None:
            return _NOT_ASKED
        if self._open_answers is None:
            self._open_answers = set()
        return Answer(envelope.reply_to, self._open_answers)

    def misunderstood(self, message: object, takes: str) -> None:
        """Report that the message being handled has the wrong type; for use in `on_receive`.

        Args:
            message: the message. Only its type is reported, because it may contain secrets.
            takes: what the actor takes, such as ``"an SmtpActor takes a SendMail"``.

        Raises:
            TypeError: the message was asked. For one that was told, an error is logged.
        """
        error = f"{takes}, not {type(message).__name__}"
        if self._handling is not None and self._handling.reply_to is not None:
            raise TypeError(error)
        log_safely(logging.ERROR, "%s", error)

    @property
    def is_busy(self) -> bool:
        """Whether `wait_until_done` waits for this actor; read on the loop thread.

        By default while it has messages. An actor that sends an email does so until the outcome.
        """
        return bool(self.actor_inbox.envelopes)

    def begin_stop(self) -> bool:
        """Begin to stop, on request; return whether the actor can stop now.

        An actor that returns False has work to finish, and calls `stop_now` afterwards. A caller
        of a blocking `stop` waits until then. Messages told meanwhile are refused.
        """
        return True

    def on_discard(self, message: Any) -> None:
        """Called with each told message that is not handled because the actor has stopped.

        The default logs it at WARNING.
        """
        _logger.warning("%s stopped before it handled %r", self, message)

    def cancel(self) -> None:
        """Ask the actor to stop, from any thread, without waiting."""
        self.ask_to_stop(_ActorStop())

    def ask_to_stop(self, request: _ActorStop) -> None:
        """Send a request to stop, from any thread, without waiting."""
        # Ctrl-C may have interrupted the sender between setting the flag and scheduling the actor.
        self.actor_inbox.scheduled = False
        self.actor_inbox.put(Envelope(request))

    def abandon(self) -> None:
        """Forget the actor in a forked child; it belongs to the parent."""
        # Without logging: a handler's lock may be held by a thread that the child does not have.
        with contextlib.suppress(ValueError):
            ActorRegistry._actor_refs.remove(self._actor_ref)
        self._has_stopped = True
        self.actor_stopped.set_in_child()

    def run_turn(self) -> None:
        """Handle the messages in the inbox, at most 100. Called on the loop thread only."""
        inbox = self.actor_inbox
        inbox.scheduled = False
        if not self._is_started:
            self._is_started = True
            self._guard(self.on_start)
        for _ in range(_MAX_PER_TURN):
            if self._has_stopped or not inbox.envelopes:
                break
            envelope = self._taken = inbox.envelopes.popleft()
            self._handle(envelope)
        if self._has_stopped:
            self._discard_rest()
        elif inbox.envelopes and not inbox.scheduled:
            inbox.scheduled = True
            event_loop().schedule(self)

    def _handle(self, envelope: Envelope[Any]) -> None:
        self._handling, self._taken = envelope, None
        try:
            if type(envelope.message) is self._plain_message:
                answer = self.on_receive(envelope.message)
            elif isinstance(envelope.message, _ActorStop) and not self.begin_stop():
                self._stop_answers = (*self._stop_answers, Answer(envelope.reply_to, set()))
                return
            else:
                answer = self._handle_receive(envelope.message)
        except BaseException as error:  # nothing may reach the shared loop
            if isinstance(envelope.message, _ActorStop):
                self._stop_in_spite_of(error, envelope)
            elif envelope.reply_to is None or self._is_answered_later:
                self._fail(envelope.message)
            else:
                envelope.reply_to.set_exception(sys.exc_info())
                if not isinstance(error, Exception):
                    self._fail(envelope.message)
        else:
            if envelope.reply_to is not None and not self._is_answered_later:
                envelope.reply_to.set(answer)
        finally:
            self._handling = None

    @property
    def _is_answered_later(self) -> bool:
        return self._handling is None

    def _guard(self, hook: Any, *args: Any) -> None:
        """Call a hook. An exception in it stops this actor and nothing else."""
        try:
            hook(*args)
        except BaseException:  # see above
            self._fail(None)

    def _stop_in_spite_of(self, error: BaseException, envelope: Envelope[Any]) -> None:
        """Stop as requested although `begin_stop` or `on_stop` raised."""
        self._stop_answers = (*self._stop_answers, Answer(envelope.reply_to, set()))
        guard.end(self, error)
        self.stop_now()

    def crashed(self, error: BaseException) -> None:
        """Stop because of an error outside of any message. See `guard.Guarded`."""
        envelope, self._taken = self._taken, None
        if envelope is not None:
            self.actor_inbox.envelopes.appendleft(envelope)
        self._handle_failure(type(error), error, error.__traceback__)
        self.on_failure(type(error), error, error.__traceback__)
        self._discard_rest()

    def _fail(self, message: object) -> None:  # noqa: ARG002 - for subclasses that continue
        """Stop the actor because of the exception being handled.

        Args:
            message: the message in which it was raised, or None.
        """
        self._handle_failure(*sys.exc_info())
        try:
            self.on_failure(*sys.exc_info())
        except BaseException:  # nothing may reach the shared loop
            self._handle_failure(*sys.exc_info())

    def _handle_failure(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, *exc_info: Any
    ) -> None:
        """Do what Pykka does, but never raise: log filters and `__str__` are code of others."""
        with contextlib.suppress(BaseException):
            super()._handle_failure(*exc_info)
        self._unregister()

    def _stop(self) -> None:
        """Stop now; the current turn discards what is left in the inbox."""
        self._unregister()
        try:
            self.on_stop()
        except BaseException as error:  # nothing may reach the shared loop
            self._stop_failed(error)

    def _stop_failed(self, error: BaseException) -> None:
        """Called when `on_stop` has raised, to do what it left undone."""
        self._handle_failure(type(error), error, error.__traceback__)

    def _unregister(self) -> None:
        """Mark the actor as stopped, and remove it from the `ActorRegistry`."""
        if self._has_stopped:
            return
        if _pykka_logger.isEnabledFor(logging.DEBUG):
            with contextlib.suppress(BaseException):  # it logs, see `_handle_failure`
                ActorRegistry.unregister(self._actor_ref)
        else:
            with ActorRegistry._actor_refs_lock:
                try:  # noqa: SIM105 - contextlib.suppress() costs more than everything else here
                    ActorRegistry._actor_refs.remove(self._actor_ref)
                except ValueError:
                    pass
        self._note_stopped()
        self._has_stopped = True

    def _note_stopped(self) -> None:
        """Set the flag that other threads see."""
        self.actor_stopped.set()

    def stop_now(self) -> None:
        """Stop at once, from the loop thread, outside of any message."""
        if not self._has_stopped:
            self._stop()
        self._discard_rest()

    def _discard_rest(self) -> None:
        """Answer or discard the messages that are left, and unregister from the loop."""
        inbox = self.actor_inbox
        inbox.closed = True
        while inbox.envelopes:
            # Removed last, so that it is still here after an error.
            envelope = inbox.envelopes[0]
            if isinstance(envelope.message, _ActorStop):
                if envelope.reply_to is not None:
                    envelope.reply_to.set(None)
            elif envelope.reply_to is not None:
                envelope.reply_to.set_exception(self._dead())
            else:
                self._guard_quietly(self.on_discard, envelope.message)
            inbox.envelopes.popleft()
        for answer in self._stop_answers:
            answer.set(None)
        if self._open_answers:
            for answer in list(self._open_answers):
                answer.set_exception(self._dead())
        event_loop().unregister(self)

    def _dead(self) -> "_ExcInfo":
        error = ActorDeadError(f"{self.actor_ref} stopped before it answered")
        return ActorDeadError, error, None

    def _guard_quietly(self, hook: Any, *args: Any) -> None:
        try:
            hook(*args)
        except BaseException as error:
            name = hook.__name__
            log_safely(logging.ERROR, "%s in %s failed", name, self.actor_ref, exc=error)


def _abandon_half_started() -> None:
    """Forget, in a forked child, the parent's actors that its loop did not know yet."""
    for ref in list(ActorRegistry._actor_refs):
        actor = ref._actor_weakref()
        if isinstance(actor, AsyncioActor):
            with contextlib.suppress(Exception):  # the others must be abandoned, too
                actor.abandon()


in_child(_abandon_half_started)

"""`ServiceMailer`: the Mailer of the framework modules, which sends what waits before it ends.

A framework says when a process ends, and a service manager kills it some time after that. In
between, what was told is sent; what is only due in an hour is given up.
"""

import contextlib
import logging
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pykka import ActorDeadError
from pykka.messages import _ActorStop

from .actors.loop.event_loop import event_loop
from .actors.mailer.mailer import Mailer, MailerRef
from .actors.mailer.options import MAILER_DEFAULTS
from .actors.options.hiding import harmless_of, wrap_secrets_in
from .signals.bus import publish, smtp_send_failure, smtp_send_success
from .signals.described import Described
from .signals.dispatcher import dispatcher, log_safely
from .signals.outcome import Outcome

GRACE = 20.0
"""Seconds. gunicorn and Kubernetes kill after 30, if they are not told otherwise."""

_HARMLESS = harmless_of(MAILER_DEFAULTS)

Receiver: TypeAlias = Callable[[Outcome], object]
FindReceivers: TypeAlias = Callable[[Outcome], Sequence[Receiver]]
"""Returns the receivers of an outcome, beside those of its signal. Called on the loop thread."""


def hide_secrets(options: dict[str, Any]) -> None:
    """Wrap the secrets among options of a Mailer, in place, before anything can raise."""
    wrap_secrets_in(options, _HARMLESS)


@dataclass(frozen=True, slots=True)
class Finish:
    """Tell a `ServiceMailer` to send what it has been told, and then to stop."""


@dataclass(frozen=True, slots=True)
class Inform:
    """Tell a `ServiceMailer` who hears its outcomes, beside the receivers of signals."""

    find: "weakref.WeakMethod[FindReceivers]"


class ServiceMailer(Mailer):
    """A `Mailer` that at the end of the program goes on for `grace` seconds with what is queued.

    Only emails that wait for a retry are cancelled at once. After `grace` all others are.

    It may have receivers of its own. Those of a signal are chosen by alias, and two applications
    in a process may have the same one.
    """

    _ends_at: float | None = None
    _find: "weakref.WeakMethod[FindReceivers] | None" = None

    def on_receive(self, message: Any) -> Any:
        """Queue an email, answer a question, or begin to finish."""
        if isinstance(message, Inform):
            self._find = message.find
            self._jobs.publish = self._publish
            return None
        if isinstance(message, Finish):
            self.main_has_ended()
            return None
        return super().on_receive(message)

    def _publish(self, outcome: Outcome, *, is_asked: bool) -> None:
        receivers: Sequence[Receiver] = ()
        try:
            find = self._find and self._find()
            receivers = find(outcome) if find else ()
        except BaseException as exc:  # the outcome must be published all the same
            log_safely(logging.ERROR, "receivers of an outcome cannot be found", exc=exc)
        publish(outcome, is_asked=is_asked or bool(receivers))
        for receiver in receivers:
            dispatcher.submit(_hear, receiver, outcome)

    def main_has_ended(self) -> None:
        """Finish. Called on the loop thread when the main thread has ended."""
        if self._ends_at is None:
            self._ends_at = event_loop().loop.time() + self._ending.grace
        self._stop_when_sent(event_loop().loop.time())

    def on_tick(self, now: float) -> None:
        """Called every `TICK` seconds, on the loop thread."""
        super().on_tick(now)
        if self._ends_at is not None:
            self._stop_when_sent(now)

    def _stop_when_sent(self, now: float) -> None:
        if self._ending.has_begun:
            return
        if self._ends_at is not None and now >= self._ends_at:
            self.cancel()
        elif not (
            self._destinations.queued or self._sending.in_flight or self.actor_inbox.envelopes
        ):
            self.ask_to_stop(_ActorStop())


def _hear(receiver: Receiver, outcome: Outcome) -> None:
    try:
        receiver(outcome)
    except BaseException as exc:  # as on the bus, SystemExit too
        log_safely(
            logging.ERROR, "receiver %s raised; the others run", Described(receiver), exc=exc
        )


class ProcessMailer:
    """The `ServiceMailer` of each process, which is started when it is first used.

    A forked child has none of its parent's actors, so it starts its own. So does who uses it after
    the Mailer was stopped, such as the next test.

    Args:
        options: `MailerOptions`, `server` and `port`. Secrets in it are wrapped.
        find: a method that finds receivers. Its object is not kept alive.

    Raises:
        ValueError: an option is invalid.
        TypeError: an option has the wrong type, or is unknown.
        ImportError: an option needs a package that is not installed.
    """

    def __init__(self, options: dict[str, Any], find: FindReceivers | None = None) -> None:
        options.setdefault("grace", GRACE)
        hide_secrets(options)
        ServiceMailer(**options)  # checks them
        self._options = options
        self._inform = None if find is None else Inform(weakref.WeakMethod(find))
        self._refs: dict[int, MailerRef] = {}
        # By process: a lock that another thread held at the fork stays locked in the child.
        self._locks: dict[int, threading.RLock] = {}

    @property
    def ref(self) -> MailerRef:
        """The Mailer of this process. From any thread."""
        return self.started or self._start()

    @property
    def started(self) -> MailerRef | None:
        """The Mailer of this process, if there is one."""
        ref = self._refs.get(os.getpid())
        return ref if ref is not None and ref.is_alive() else None

    def finish(self) -> None:
        """Let the Mailer of this process, if there is one, send what it was told, and stop."""
        ref = self.started
        if ref is not None:
            with contextlib.suppress(ActorDeadError):  # somebody else has stopped it since
                ref.tell(Finish())

    def _start(self) -> MailerRef:
        pid = os.getpid()
        with self._locks.setdefault(pid, threading.RLock()):
            ref = self.started
            if ref is None:
                ref = self._started()
                self._refs = {pid: ref}
            return ref

    def _started(self) -> MailerRef:
        ref = ServiceMailer.start(**self._options)
        if self._inform is not None:
            ref.tell(self._inform)
        return ref


class ProcessOutbox(ProcessMailer):
    """The `Outbox` of each process on one file, started when it is first used.

    Args:
        path: the file.
        options: as of a `ProcessMailer`; with an alias.
        find: as of a `ProcessMailer`. It finds receivers for all outcomes with this alias: those
            of emails that another process has put, too.
        sends: whether it sends, or leaves that to another process.
    """

    def __init__(
        self, path: str, options: dict[str, Any], find: FindReceivers, *, sends: bool
    ) -> None:
        super().__init__(options)
        self._path = path
        self._sends = sends
        self._find = weakref.WeakMethod(find)
        for signal in (smtp_send_success, smtp_send_failure):
            signal.connect(self._pass_on, sender=options["alias"])

    def finish(self) -> None:
        """Stop the Outbox of this process, if there is one. What waits stays in the file."""
        ref = self.started
        if ref is not None:
            ref.stop(block=False)

    def _started(self) -> MailerRef:
        from .actors.outbox.outbox import Outbox

        return Outbox.start(self._path, send=self._sends, **self._options)

    def _pass_on(self, _alias: str, outcome: Outcome, **_extra: object) -> None:
        find = self._find()
        for receiver in find(outcome) if find else ():
            _hear(receiver, outcome)

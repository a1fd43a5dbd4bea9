"""The `SmtpActor` of a `Mailer`: it makes one attempt, on a connection from the pool."""

from collections.abc import Callable, Sequence
from typing import Protocol, cast

from ....signals.outcome import Outcome
from ....signals.send_mail import SendMail
from ....smtp.mail.content import Content
from ....smtp.mail.envelope import Envelope
from ....smtp.session.transaction.delivery import Delivery
from ....smtp.words.verdict import Failed, Left, Verdict
from ...loop import guard
from ...loop.event_loop import event_loop
from ...net.connecting.route import ANY
from ...net.connection_limit import connection_limit
from ...smtp_actor import SmtpActor, SmtpActorRef
from .lazy_actor import LazyActor, LazyActorRef
from .relay import Relay


class AttemptObserver(guard.Guarded, Protocol):
    """Observes attempts: the `Sending` of a `Mailer`. All methods are called on the loop thread.

    Attributes:
        time: returns the time on the loop's clock.
    """

    time: Callable[[], float]

    def attempt_ended(self, actor: "PooledSmtpActor", outcome: Outcome) -> None:
        """Called exactly once, with the outcome of this attempt."""
        ...

    def attempt_steps_aside(self, actor: "PooledSmtpActor") -> None:
        """Called when the file is slow to open: release the attempt's place at the relay."""
        ...

    def attempt_is_ready(self, actor: "PooledSmtpActor") -> None:
        """Called when that file is open: give the attempt a place again, then call its `go_on`."""
        ...

    def attempt_released(self, actor: "PooledSmtpActor") -> None:
        """Called exactly once, and last: the actor has released its connection and permit."""
        ...


class PooledSmtpActorRef(LazyActorRef["SmtpActor"], SmtpActorRef):
    """The ref of an attempt."""


class PooledSmtpActor(  # pyright: ignore[reportIncompatibleVariableOverride] - refs are invariant
    LazyActor, SmtpActor
):
    """Owns a connection for one email, then releases it to the pool or closes it.

    Attributes:
        relay: the relay of this attempt.
        since: when the attempt was started, on the loop's clock.
        left: the recipients for which the session had no room; set before the outcome.
        has_left: whether it has released everything.
        has_place: whether it counts against the concurrency window of the relay.
    """

    since: float = 0.0
    has_left: bool = False
    has_place: bool = True
    left: Left | None = None

    _ref_type = PooledSmtpActorRef
    _may_reconnect = True

    def __init__(
        self,
        observer: AttemptObserver,
        relay: Relay,
        mail: SendMail,
        envelope: Envelope,
    ) -> None:
        """Store the arguments, on the loop thread; `begin` starts the attempt.

        Args:
            observer: receives the callbacks.
            relay: where to send the email.
            mail: the email.
            envelope: the recipients of this attempt.
        """
        self._actor_ref = PooledSmtpActorRef(self)
        self._outcome = self._second = None  # read often: faster on the instance than on the class
        self._options = relay.options
        self.relay = relay
        self._observer = observer
        self._time = observer.time
        self._mail = mail
        self._envelope = envelope

    def begin(self, now: float) -> None:
        """Register the actor, and start; without an actor message, as it has its email already.

        Args:
            now: the time, on the loop's clock.
        """
        self._register()
        self._is_started = True
        event_loop().register(self)
        self._began = self.since = now
        mail = self._mail
        assert mail is not None
        content, options = mail.content, self._options
        is_changed = mail.dkim or options.dkim or mail.protect or options.protect
        if content is not None and not is_changed:
            self._connect(mail, content)
        else:
            self._prepare(mail)

    def _paths(self, mail: SendMail) -> Sequence[str]:  # noqa: ARG002
        return self._envelope.forward_paths

    def _step_aside(self) -> None:
        self._observer.attempt_steps_aside(self)

    def _step_back(self, mail: SendMail, content: Content) -> None:
        if self.has_place:
            self._connect(mail, content)
        else:
            self._observer.attempt_is_ready(self)

    def go_on(self) -> None:
        """Connect, now that the file is open and there is a place at the relay."""
        assert self._mail is not None
        assert self._content is not None
        self._connect(self._mail, self._content)

    def _connect(self, mail: SendMail, content: Content) -> None:  # noqa: ARG002
        self._content = content
        idle = self.relay.pool.acquire()
        if idle is not None:
            # Stored first, so that this actor closes it after an error.
            self._connection, session = idle
            connection = self._connection
            self._permit = connection.permit
            keeps = self.relay.pool.may_reuse(connection.served + 1)
            self._send(session, self._envelope, content, connection, keep_open=keeps)
            return
        # Urgent: the attempt was started, and has a place at its relay.
        connection_limit.acquire(self, self._permitted, is_pressing=True)

    def _begin(self) -> None:
        if self._has_stopped:
            self._give_permit_back()
            return
        assert self._content is not None
        # The wait for the permit does not count against the deadline.
        self._began = event_loop().loop.time()
        keeps = self.relay.pool.may_reuse(0)
        session, connection = self._new_session(), self._options.new_connection()
        self._send(session, self._envelope, self._content, connection, keep_open=keeps)

    def _fresh(self, content: Content) -> Delivery:
        keeps = self.relay.pool.may_reuse(0)
        return Delivery(self._new_session(), self._envelope, content, keep_open=keeps)

    def decided(self, verdict: Verdict) -> None:
        """Called with the verdict: publish it, or reconnect if the pool's connection was stale."""
        content = self._content
        if not isinstance(verdict, Failed) and self._outcome is None:
            # Nothing else can follow, so it needs no second look.
            connection = self._connection
            self.left = verdict.left
            self._conclude(verdict, None if connection is None else connection.peer)
            return
        if (
            self._may_reconnect
            and isinstance(verdict, Failed)
            and content is not None
            and self._hit_stale_connection(verdict)
        ):
            self._may_reconnect = False  # once, even if a new connection seems stale
            if not self._has_stopped:
                self._second = self._fresh(content), ANY
                return
        if verdict.left is not None:
            self.left = verdict.left
        super().decided(verdict)

    def _hit_stale_connection(self, failed: Failed) -> bool:
        """Whether a connection from the pool turned out to be stale."""
        connection, dialog = self._connection, self._dialog
        if connection is None or dialog is None or not connection.served:
            return False
        return cast("Delivery", dialog.delivery).session_was_stale(failed)

    def _addresses(self, mail: SendMail) -> Sequence[str]:
        paths = self._envelope.forward_paths
        if mail is not self._mail or paths is mail.envelope.forward_paths:
            return mail.all_recipients
        return paths

    def _report(self, outcome: Outcome) -> None:
        if not self._is_published:
            try:
                self._observer.attempt_ended(self, outcome)
            except BaseException as error:
                guard.end(self._observer, error)
            self._is_published = True

    def released(self) -> None:
        """Called when the dialog has ended: release the connection to the pool, and stop."""
        connection, dialog = self._connection, self._dialog
        assert connection is not None
        assert dialog is not None
        if self._second is not None:
            # Stale for this email, so for all. `cancel` needs a dialog that has not ended.
            connection.set_idle(self)
            connection.cancel()
            return
        self.relay.pool.release(connection, dialog.session)
        self._connection = self._dialog = self._permit = None  # the connection keeps its permit
        self._leave()

    @property
    def outcome(self) -> Outcome | None:
        """The outcome of this attempt, or None before there is one."""
        return self._outcome

    def _leave(self) -> None:
        if (
            self._source is None
            and self._permit is None
            and self._connection is None
            and self._outcome is not None
            and self._actor_ref.made_parts is None
            and self._watcher is None
        ):
            # The same, where nothing is left to release, to cancel, to refuse, or to end.
            self._unregister()
            event_loop().unregister(self)
        else:
            super()._leave()
        if not self.has_left:
            self.has_left = True
            try:
                self._observer.attempt_released(self)
            except BaseException as error:
                guard.end(self._observer, error)

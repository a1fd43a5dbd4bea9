"""The `SmtpActor` of a `Mailer`: it sends one mail on a connection that it leases."""

from collections.abc import Sequence
from typing import Protocol

from ...signals.outcome import Outcome
from ...signals.send_mail import SendMail
from ...smtp.mail.content import Content
from ...smtp.mail.envelope import Envelope
from ...smtp.session.delivery import Delivery
from ...smtp.session.session import Session
from ...smtp.words.verdict import Failed, Left, Verdict
from ..loop import guard
from ..loop.asyncio_actor import AsyncioActor
from ..loop.event_loop import event_loop
from ..net.connection import Connection
from ..net.connection_limit import connection_limit
from ..smtp_actor import SmtpActor
from .relay import Relay


class AttemptObserver(guard.Guarded, Protocol):
    """For whom a mail is sent: the `Mailer`."""

    def attempt_ended(self, actor: "PooledSmtpActor", outcome: Outcome) -> None:
        """Called exactly once, with what became of this attempt."""
        ...

    def attempt_steps_aside(self, actor: "PooledSmtpActor") -> None:
        """Let another mail have this one's place at the relay: its file takes its time to open."""
        ...

    def attempt_is_ready(self, actor: "PooledSmtpActor") -> None:
        """Give the attempt a place again, and then call its `go_on`: the file is open."""
        ...

    def attempt_released(self, actor: "PooledSmtpActor") -> None:
        """Called exactly once, and last: the actor, and what it held, is free."""
        ...


class PooledSmtpActor(SmtpActor):
    """Owns a connection for one transaction, then gives it back or closes it.

    Attributes:
        relay: where the mail goes.
        since: when the mail was let go, on the loop's clock.
        left: for whom there was no room in the session, once it is decided.
        has_left: whether it holds nothing any more.
        has_place: whether it counts among the mails that are on their way to the relay.
    """

    since: float = 0.0
    has_left: bool = False
    has_place: bool = True
    left: Left | None = None

    _may_reconnect = True

    def __init__(
        self,
        observer: AttemptObserver,
        relay: Relay,
        mail: SendMail,
        envelope: Envelope,
    ) -> None:
        """Prepare; `begin` begins. Runs on the loop thread.

        Args:
            observer: is told of it.
            relay: where to send the mail.
            mail: the mail.
            envelope: for those recipients that are to get it now.
        """
        AsyncioActor.__init__(self)
        self._outcome = self._second = None  # here, because they are looked at again and again
        self._options = relay.options
        self.relay = relay
        self._observer = observer
        self._mail = mail
        self._envelope = envelope

    def begin(self, now: float) -> None:
        """Be alive, and set to work; without a message, because the mail is here already.

        Args:
            now: the time, on the loop's clock.
        """
        self._register()
        self._is_started = True
        event_loop().register(self)
        self._began = self.since = now
        mail = self._mail
        assert mail is not None
        if mail.content is not None:
            self._connect(mail, mail.content)
        else:
            self._opening = self._spawn(self._open_source, mail)

    def _step_aside(self) -> None:
        self._observer.attempt_steps_aside(self)

    def _step_back(self, mail: SendMail, content: Content) -> None:
        if self.has_place:
            self._connect(mail, content)
        else:
            self._observer.attempt_is_ready(self)

    def go_on(self) -> None:
        """Connect: the file is open, and there is a place at the relay."""
        assert self._mail is not None
        assert self._content is not None
        self._connect(self._mail, self._content)

    def _connect(self, mail: SendMail, content: Content) -> None:  # noqa: ARG002
        self._content = content
        idle = self.relay.pool.acquire()
        if idle is not None:
            # This actor's from here on, whatever breaks.
            self._connection, session = idle
            self._use(self._connection, session, content)
            return
        # The Mailer has let it go: it is under way.
        connection_limit.acquire(self, self._permitted, is_pressing=True)

    def _use(self, connection: Connection, session: Session, content: Content) -> None:
        """Go on with a connection that another mail has left, and its permit."""
        self._permit = connection.permit
        keeps = self.relay.pool.may_reuse(connection.served + 1)
        self._open(Delivery(session, self._envelope, content, keeps=keeps), connection)

    def _begin(self) -> None:
        if self.actor_stopped.is_set():
            self._give_permit_back()
            return
        assert self._content is not None
        # It may have waited for the permit, which does not count.
        self._began = event_loop().loop.time()
        self._open(self._fresh(self._content), Connection(self._options))

    def _fresh(self, content: Content) -> Delivery:
        keeps = self.relay.pool.may_reuse(0)
        return Delivery(self._new_session(), self._envelope, content, keeps=keeps)

    def decided(self, verdict: Verdict) -> None:
        """Tell the outcome; but a kept connection that turns out to be dead is no outcome."""
        content = self._content
        if self._may_reconnect and self._hit_stale_connection(verdict) and content is not None:
            self._may_reconnect = False  # the next is a fresh one
            if not self.actor_stopped.is_set():
                self._second = self._fresh(content)
                return
        if verdict.left is not None:
            self.left = verdict.left
        super().decided(verdict)

    def _hit_stale_connection(self, verdict: Verdict) -> bool:
        """Whether a connection that was kept turned out to be of no use to this mail."""
        connection, delivery = self._connection, self._delivery
        if connection is None or delivery is None or not connection.served:
            return False
        return isinstance(verdict, Failed) and delivery.session_was_stale(verdict)

    def _addresses(self, mail: SendMail) -> Sequence[str]:
        paths = self._envelope.forward_paths
        if mail is not self._mail or paths is mail.envelope.forward_paths:
            return mail.all_recipients
        return paths

    def _report(self, outcome: Outcome) -> None:
        if not self._is_published:
            self._observer.attempt_ended(self, outcome)
            self._is_published = True

    def released(self) -> None:
        """Give the connection back, and stop: with it goes the reason to live."""
        connection, delivery = self._connection, self._delivery
        assert connection is not None
        assert delivery is not None
        if self._second is not None:
            # Of no use to this mail, so to none. Its dialog has ended, and would close nothing.
            connection.rest(self)
            connection.cancel()
            return
        self.relay.pool.release(connection, delivery.session)
        self._connection = self._delivery = self._permit = None  # it goes with the connection
        self._leave()

    @property
    def outcome(self) -> Outcome | None:
        """What became of this attempt, or None before that is decided."""
        return self._outcome

    def _leave(self) -> None:
        super()._leave()
        if not self.has_left:
            self.has_left = True
            try:
                self._observer.attempt_released(self)
            except BaseException as error:
                guard.end(self._observer, error)

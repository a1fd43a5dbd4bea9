"""`Mailer`: a long-lived actor that sends many emails over few connections."""

import random
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast, overload

from pykka import ActorRef, Future
from pykka.messages import _ActorStop

from ...signals.outcome import Outcome
from ...signals.send_mail import SendMail
from ..loop import guard
from ..loop.asyncio_actor import Answer, AsyncioActor
from ..loop.event_loop import event_loop
from ..net.connection_limit import connection_limit
from ..options.connection_options import DEFAULTS, check_names
from ..options.hiding import harmless_of, wrap_secret_url, wrap_secrets_in
from ..options.mailer_options import check_backups, check_count, check_source
from ..options.option_checks import check_seconds
from ..options.options import Options, collect_options
from .connections.pool import IdleConnections
from .connections.pooled_smtp_actor import PooledSmtpActor
from .drains import Drain, Drains
from .ending import Ending
from .feeding import AT_MOST, Fed, feed
from .intake import Intake
from .jobs.job import Part
from .jobs.jobs import Jobs
from .jobs.retries import Retries
from .jobs.retry import RetryPolicy
from .jobs.statistics import MailerStatistics, Statistics
from .options import MAILER_DEFAULTS, MailerOptions, limits_of, policy_of
from .queue.destinations import Destinations
from .routing import FindRoute, Routing
from .sending import Sending

_OF_ONE_RELAY = frozenset(
    ("url", "tls", "username", "password", "token", "auth", "allow_plaintext_auth")
)
"""The options that apply to the first relay only; a backup has its own in its URL."""


class MailerRef(ActorRef["Mailer"]):
    """An `ActorRef` whose `ask` is typed.

    The answer to a `SendMail` is its outcome, to `Statistics` a `MailerStatistics`, and to `Drain`
    whether every email has its outcome.
    """

    def tell_all(self, mails: Iterable[SendMail], *, at_most: int = AT_MOST) -> int:
        """Tell any number of emails, no faster than they go out; `max_queued` refuses none of them.

        While `at_most` of them have no outcome, it waits. So it returns when the last is told, not
        when it is out: for that, ask for a `Drain` afterwards.

        Args:
            mails: the emails, from any iterable: a generator makes them as they are needed.
            at_most: how many may be without an outcome at a time.

        Returns:
            How many there were.

        Raises:
            ActorDeadError: the Mailer has stopped. Those told have an outcome, the others are not
                taken from `mails`, except one.
            TypeError: one is no `SendMail`.
        """
        return feed(self.tell, mails, at_most)

    if TYPE_CHECKING:
        # Overloads match in order, so the specific ones come first, unlike in the base class.
        @overload  # type: ignore[override]
        def ask(
            self, message: SendMail, *, block: Literal[False], timeout: float | None = None
        ) -> Future[Outcome]: ...
        @overload
        def ask(
            self, message: SendMail, *, block: Literal[True] = True, timeout: float | None = None
        ) -> Outcome: ...
        @overload
        def ask(
            self, message: Statistics, *, block: Literal[False], timeout: float | None = None
        ) -> Future[MailerStatistics]: ...
        @overload
        def ask(
            self, message: Statistics, *, block: Literal[True] = True, timeout: float | None = None
        ) -> MailerStatistics: ...
        @overload
        def ask(
            self, message: Drain, *, block: Literal[False], timeout: float | None = None
        ) -> Future[bool]: ...
        @overload
        def ask(
            self, message: Drain, *, block: Literal[True] = True, timeout: float | None = None
        ) -> bool: ...
        @overload
        def ask(
            self, message: Any, *, block: Literal[False], timeout: float | None = None
        ) -> Future[Any]: ...
        @overload
        def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any: ...
        def ask(  # pyright: ignore[reportIncompatibleMethodOverride]
            self, message: Any, *, block: bool = True, timeout: float | None = None
        ) -> Any:
            """Send an actor message and return its answer. See `pykka.ActorRef.ask`."""
            ...


class Mailer(AsyncioActor):
    """Sends emails over connections that it keeps open, until it is stopped.

    Tell it emails, or ask it for the outcome of one::

        mailer = Mailer.start("mail.example.org", max_connections=10, rate="50/s")
        mailer.tell(SendMail(...))
        mailer.ask(Drain(timeout=60))
        mailer.stop()

    Each `SendMail` gets exactly one outcome, published as for `SmtpActor`, with the Mailer's alias
    as sender. Each attempt is made by a short-lived `PooledSmtpActor`, which leases a connection.

    `stop` gives emails in flight `grace` seconds to finish, and then cancels them; queued emails
    are cancelled at once. The end of the program does the same, so ask for a `Drain` before it.
    """

    _ref_type = MailerRef
    _plain_message: type | None = SendMail

    _find_route: FindRoute | None = None  # by the domains of recipients. Not public yet

    # What an `Outbox` does in another way.
    _attempt_type: type[PooledSmtpActor] = PooledSmtpActor
    _waits_for_probes = False  # though there are no retries here

    if TYPE_CHECKING:

        @classmethod
        def start(  # pyright: ignore[reportIncompatibleMethodOverride]
            cls, server: str = "localhost", port: int = 25, **options: Unpack[MailerOptions]
        ) -> MailerRef:
            """Start a Mailer with the options that `__init__` describes."""
            ...

    else:

        @classmethod
        def start(cls, *args: Any, **kwargs: Any) -> MailerRef:
            """Start a Mailer with the options of `__init__`. See `pykka.Actor.start`."""
            wrap_secrets_in(kwargs, _HARMLESS if cls.__init__ is Mailer.__init__ else None)
            args = tuple([wrap_secret_url(value) for value in args])
            return super().start(*args, **kwargs)

    def __init__(
        self, server: str = "localhost", port: int = 25, **options: Unpack[MailerOptions]
    ) -> None:
        """Check the options, in the thread that calls `start`. Nothing is sent yet.

        Args:
            server: the host name or IP address of the first relay.
            port: its port, 1 to 65535.
            options: see `MailerOptions` and `ConnectionOptions`.

        Raises:
            ValueError: an option is invalid.
            TypeError: an option has the wrong type, or is unknown.
            ImportError: an option needs a package that is not installed.
        """
        super().__init__()
        server, port = wrap_secret_url(server), wrap_secret_url(port)
        wrap_secrets_in(cast("dict[str, Any]", options), _HARMLESS)
        check_names(options, MAILER_DEFAULTS, "Mailer")
        given = MAILER_DEFAULTS | cast("dict[str, Any]", options)
        first = collect_options(server, port, **{name: given[name] for name in DEFAULTS})
        policy = policy_of(given)
        self._retry = Retries(policy, random.random)
        limits = limits_of(given, RetryPolicy() if self._waits_for_probes else policy)
        most_queued = check_count("max_queued", given["max_queued"])
        self._grace = grace = check_seconds("grace", given["grace"])
        self._alias = first.alias
        relays: list[tuple[Options, float | None]] = [(first, None)]
        common = {name: given[name] for name in DEFAULTS if name not in _OF_ONE_RELAY}
        for backup, weight in check_backups(given["backups"]):
            relays.append((collect_options(url=backup, **common), weight))
        check_source(given["source_address"], limits.max_connections, len(relays))
        self._last_limit = connection_limit.limit
        self._idle = IdleConnections(limits.idle_timeout)
        self._destinations = destinations = Destinations[Part](
            random.random,
            give_up_after=policy.give_up_after,
            waits_for_probes=self._waits_for_probes or policy.max_attempts > 1,
        )
        self._routing = Routing(destinations, limits, self._idle, self._find_route)
        self._routing.fix(relays)
        self._jobs = jobs = Jobs(self._alias)
        self._drains = Drains(self._answer_drains_soon)
        self._sending = sending = Sending(
            self,
            destinations,
            jobs,
            self._retry,
            self._drains,
            self._routing,
            self._attempt_type,
        )
        self._ending = Ending(self, destinations, jobs, self._retry, sending, grace)
        self._intake = Intake(
            self._routing, jobs, destinations, sending, most_queued, first.protect
        )

    def __repr__(self) -> str:
        if not hasattr(self, "_intake"):  # `__init__` raised
            return "<Mailer>"
        return (
            f"<Mailer {self._alias!r} {self._routing.fixed.hosts[0]}"
            f" {self._destinations.queued} queued, {self._in_flight} in flight,"
            f" {self._jobs.sent} sent, {self._jobs.failed.total()} failed>"
        )

    def on_start(self) -> None:
        """Called on the loop thread before the first actor message: register for clock ticks."""
        event_loop().add_ticking(self)
        event_loop().add_shutdown_listener(self)
        self._sending.start()

    def on_receive(self, message: Any) -> Any:
        """Queue an email, or answer a question."""
        if isinstance(message, SendMail):
            is_pressing = self.is_told_by_receiver
            self._intake.take(message, self.answer_later(), is_pressing=is_pressing)
            return None
        if isinstance(message, Fed):
            pressing = self.is_told_by_receiver
            self._intake.take(message.mail, message.place, is_pressing=pressing, has_place=True)
            return None
        if isinstance(message, Drain):
            self._drain(message)
            return None
        if isinstance(message, Statistics):
            return self.statistics()
        return self.misunderstood(message, "a Mailer takes a SendMail")

    def statistics(self) -> MailerStatistics:
        """Return the counters and the current state: ``ref.proxy().statistics().get()``."""
        relays = self._routing.fixed.relays
        in_use = next((relay for relay in relays if not relay.is_dead), relays[0])
        return self._jobs.statistics(
            event_loop().loop.time(),
            queued=self._destinations.queued,
            waiting_for_retry=self._destinations.retries,
            in_flight=self._in_flight,
            connections_idle=len(self._idle),
            connections_busy=self._sending.places,
            retries=self._retry.count,
            window=in_use.window.limit,
            dead_relays=self._routing.dead_relays(),
        )

    @property
    def _in_flight(self) -> int:
        # Without attempts that wait for the reply to QUIT: their parts have ended already.
        destinations = self._destinations
        return self._jobs.open_parts - destinations.queued - destinations.retries

    def _drain(self, drain: Drain) -> None:
        is_pressing = self.is_told_by_receiver
        answer = self.answer_later()
        if is_pressing:
            self._drains.add_receivers(answer)
            self._sending.dispatch()
        now = event_loop().loop.time()
        self._drains.add(answer, None if drain.timeout is None else now + drain.timeout)
        self._answer_drains(now)

    def _answer_drains(self, now: float) -> None:
        jobs = self._jobs
        is_empty = self._is_empty and not self.actor_inbox.envelopes
        self._drains.answer(now, is_empty=is_empty, ended=jobs.submitted - len(jobs.outstanding))

    @property
    def _is_empty(self) -> bool:
        destinations = self._destinations
        return not (destinations.queued or destinations.retries or self._sending.in_flight)

    @property
    def is_busy(self) -> bool:
        """Whether it has an email without an outcome."""
        return bool(self._jobs.outstanding or self.actor_inbox.envelopes)

    def _answer_drains_soon(self) -> None:
        loop = event_loop().loop
        loop.call_soon_threadsafe(guard.call, self, lambda: self._answer_drains(loop.time()))

    def on_tick(self, now: float) -> None:
        """Called every `TICK` seconds, on the loop thread: expire, retry, answer what is due."""
        self._idle.expire(now)
        if self._last_limit != connection_limit.limit:
            self._last_limit = connection_limit.limit
            self._routing.follow_connection_limit()
        self._sending.on_time(now)
        if self._drains.owed:
            self._answer_drains(now)
        self._ending.on_tick(now)

    def on_attempt_over(self) -> None:
        """Called when an attempt is over: finish the shutdown or a `Drain` if it was the last."""
        if self._ending.has_begun:
            self._stop_if_done()
        if self._drains.owed:
            self._answer_drains(event_loop().loop.time())

    def main_has_ended(self) -> None:
        """Called when the main thread has ended: stop, or the process would never exit."""
        self.ask_to_stop(_ActorStop())

    def cancel(self) -> None:
        """Stop at once, from any thread: emails in flight are cancelled."""
        self.ask_to_stop(_StopAtOnce())

    def begin_stop(self) -> bool:
        """Cancel queued emails; return whether none is in flight, so that the actor can stop."""
        asked = self._handling
        at_once = asked is not None and isinstance(asked.message, _StopAtOnce)
        self._ending.begin(event_loop().loop.time(), at_once=at_once)
        return self._ending.is_done

    def _stop_if_done(self) -> None:
        if self._ending.is_done and not self._has_stopped:
            self.stop_now()

    def on_stop(self) -> None:
        """Cancel every email without an outcome, and close all connections."""
        self._ending.forbid_more()
        guard.surely(self._ending.cancel_waiting, self._sending.cancel_in_flight, self._close)

    def _stop_failed(self, error: BaseException) -> None:  # noqa: ARG002 - `on_stop` does it all
        self.on_stop()

    def _close(self) -> None:
        self._sending.close()
        event_loop().remove_ticking(self)
        event_loop().remove_shutdown_listener(self)
        self._idle.close()
        self._intake.log_room()
        if self._is_empty:
            self._drains.close()

    def on_failure(
        self,
        exception_type: type[BaseException] | None,  # noqa: ARG002 - Pykka's signature
        exception_value: BaseException | None,  # noqa: ARG002
        traceback: TracebackType | None,  # noqa: ARG002
    ) -> None:
        """Make sure that each email has an outcome."""
        self.on_stop()

    def _fail(self, message: object) -> None:
        """Continue after an error in a message: only its email fails."""
        error = sys.exc_info()[1]
        assert error is not None
        mail, answer = _mail_of(message)
        if mail is not None and self._intake.last is not mail:
            self._intake.take_lost(mail, answer)
        guard.end(self, error)

    def crashed(self, error: BaseException) -> None:
        """Continue after an internal error: only lost emails fail. See `guard.Guarded`."""
        inbox = self.actor_inbox
        taken, self._taken = self._taken, None
        if taken is not None:
            inbox.envelopes.appendleft(taken)
        if self._has_stopped:
            self.on_stop()
            self._discard_rest()
            return
        guard.each(
            lambda: self._sending.repair(error),
            *(relay.pool.repair for relay in self._routing.relays_in_use()),
            lambda: self._destinations.repair(event_loop().loop.time()),
            lambda: self._stop_if_done() if self._ending.has_begun else None,
        )
        if self._has_stopped:
            return
        event_loop().add_ticking(self)
        event_loop().add_shutdown_listener(self)
        inbox.scheduled = bool(inbox.envelopes)
        if inbox.scheduled:
            event_loop().schedule(self)

    def on_discard(self, message: Any) -> None:
        """Publish an outcome for an email that arrived after the Mailer had stopped."""
        mail, answer = _mail_of(message)
        if mail is not None:
            self._intake.refuse_late(mail, answer)
        else:
            super().on_discard(message)

    def abandon(self) -> None:
        """Forget emails and connections in a forked child; they belong to the parent."""
        super().abandon()
        self._idle.abandon()


def _mail_of(message: object) -> tuple[SendMail | None, Answer | None]:
    if isinstance(message, Fed):
        return message.mail, message.place
    return (message, None) if isinstance(message, SendMail) else (None, None)


class _StopAtOnce(_ActorStop):
    """A request to stop without grace."""


_HARMLESS = harmless_of(MAILER_DEFAULTS)

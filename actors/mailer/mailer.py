"""`Mailer`: an actor that stays, and sends many mails on few connections."""

import random
import ssl
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pykka import ActorRef
from pykka.messages import _ActorStop

from ...signals.send_mail import SendMail
from ..loop import guard
from ..loop.asyncio_actor import AsyncioActor
from ..loop.event_loop import event_loop
from ..net.connect import SourceAddress
from ..net.connection_limit import connection_limit
from ..options.hiding import harmless_of, hide, hide_backups, hide_in, hide_url
from ..options.mailer_options import check_backups, check_source, whole
from ..options.option_checks import check_seconds
from ..options.options import Options, collect_options
from .capacity import Limits
from .concurrency import INITIAL_CONCURRENCY
from .connection_pool import IdleConnections
from .destinations import Destinations
from .drains import Drain, Drains
from .ending import Ending
from .intake import Intake
from .job import Part
from .jobs import Jobs
from .pacing import Rate, parse_rate
from .retries import Retries
from .retry import RetryPolicy
from .routing import FindRoute, Routing
from .sending import Sending
from .statistics import MailerStatistics

if TYPE_CHECKING:
    from ..options.credentials import Token


@dataclass(frozen=True, slots=True)
class Statistics:
    """Ask a `Mailer` for its `MailerStatistics`."""


class Mailer(AsyncioActor):
    """Sends mails on connections that it keeps open, until it is stopped.

    Tell it mails, or ask it for the outcome of one::

        mailer = Mailer.start("mail.example.org", max_connections=10, rate="50/s")
        mailer.tell(SendMail(...))
        mailer.ask(Drain(timeout=60))
        mailer.stop()

    Each `SendMail` gets exactly one outcome, published as for `SmtpActor`, with the Mailer's alias
    as sender. Each is sent by a short-lived `SmtpActor` of its own, which leases a connection.

    `stop` lets the transactions that are under way finish, for `grace` seconds, and then cancels
    them; mails that wait are cancelled at once. The end of the program does the same: `Drain`
    before it.
    """

    # Where mails go by the domains of their recipients: not for programs yet.
    _find_route: FindRoute | None = None

    @classmethod
    def start(  # pyright: ignore[reportIncompatibleMethodOverride] - ActorRef is invariant
        cls, *args: Any, **kwargs: Any
    ) -> ActorRef[Self]:
        """Start a Mailer, with the options that `__init__` describes. See `pykka.Actor.start`."""
        hide_in(kwargs, _HARMLESS if cls.__init__ is Mailer.__init__ else None)
        args = tuple([hide_url(value) for value in args])
        return super().start(*args, **kwargs)

    def __init__(
        self,
        server: str = "localhost",
        port: int = 25,
        *,
        url: str | None = None,
        alias: str = "mailer",
        max_connections: int = 20,
        initial_connections: int = INITIAL_CONCURRENCY,
        max_mails_per_connection: int = 100,
        idle_timeout: float = 30.0,
        max_queued: int = 10_000,
        rate: "str | float | Rate | None" = None,
        retry: RetryPolicy | None = None,
        backups: Iterable[str | tuple[str, float]] = (),
        grace: float = 10.0,
        timeout: float = 30.0,
        deadline: float = 300.0,
        profile: str = "interactive",
        debug: bool = False,
        tls: str = "auto",
        tls_context: ssl.SSLContext | None = None,
        username: str | None = None,
        password: str | None = None,
        token: "Token | None" = None,
        auth: Sequence[str] | None = None,
        allow_plaintext_auth: bool = False,
        local_hostname: str | None = None,
        source_address: SourceAddress | None = None,
        proxy: str | None = None,
        without: Collection[str] = (),
    ) -> None:
        """Check the options; runs in the thread that calls `start`. Nothing is sent yet.

        The options that are not listed here are those of `SmtpActor`; `deadline` bounds each
        attempt.

        Args:
            server: the server's name or address.
            port: its port.
            url: a relay URL instead of server, port, tls and credentials.
            alias: the sender of the signals.
            max_connections: connections to one relay at once. The process's limit,
                `set_connection_limit`, counts too.
            initial_connections: the same at first: it grows as the relay takes mails, and shrinks
                where it does not.
            max_mails_per_connection: mails on one connection, at least 1.
            idle_timeout: seconds after which a connection that nobody uses is closed.
            max_queued: mails that may wait. One more gets a `SendFailure` of the kind ``LOCAL`` at
                once, with `retryable` set.
            rate: mails to one relay, such as ``"10/s"``, ``"500/min"`` or ``"10/s burst 20"``.
            retry: how mails are tried again that were refused for now. Default:
                ``RetryPolicy()``, eight attempts within about two hours.
            backups: relay URLs to go to while the relays before them are dead; or pairs of URL
                and weight, to choose among at random.
            grace: seconds that transactions under way have to finish once `stop` was called.
            timeout: see `SmtpActor`, as for all that follow.
            deadline: seconds for one attempt.
            profile: ``"interactive"`` or ``"rfc5321"``.
            debug: put all lines of the sessions into the outcomes.
            tls: ``"auto"``, ``"starttls"``, ``"implicit"`` or ``"off"``.
            tls_context: the context to use.
            username: the user to authenticate as.
            password: the password.
            token: an OAuth 2 access token, or a function that returns one.
            auth: the SASL mechanisms that may be used.
            allow_plaintext_auth: send the password without verified TLS to this machine.
            local_hostname: the name that EHLO gives of this machine.
            source_address: local address and port to connect from; 0 for any, and any other port
                only with ``max_connections=1`` and without backups.
            proxy: the proxy to go through.
            without: extensions that are not to be used, whatever a relay offers.

        Raises:
            ValueError: an option is invalid.
            TypeError: an option has the wrong type.
            ImportError: an option needs what is not installed.
        """
        super().__init__()
        server, port, backups = hide_url(server), hide_url(port), hide_backups(backups)
        secrets = hide(url, password, token, proxy)
        del url, password, token, proxy
        common: dict[str, Any] = {
            "alias": alias,
            "timeout": timeout,
            "deadline": deadline,
            "profile": profile,
            "debug": debug,
            "tls_context": tls_context,
            "local_hostname": local_hostname,
            "source_address": source_address,
            "proxy": secrets.proxy,
            "without": without,
        }
        first = collect_options(
            server,
            port,
            url=secrets.url,
            tls=tls,
            username=username,
            password=secrets.password,
            token=secrets.token,
            auth=auth,
            allow_plaintext_auth=allow_plaintext_auth,
            **common,
        )
        limits = Limits(
            max_connections=whole("max_connections", max_connections),
            initial_connections=whole("initial_connections", initial_connections),
            max_mails_per_connection=whole("max_mails_per_connection", max_mails_per_connection),
            idle_timeout=check_seconds("idle_timeout", idle_timeout),
            rate=parse_rate(rate),
        )
        most_queued = whole("max_queued", max_queued)
        if not isinstance(retry, RetryPolicy | None):
            raise TypeError(f"retry: needs a RetryPolicy, not {type(retry).__name__}")
        self._retry = Retries(RetryPolicy() if retry is None else retry, random.random)
        grace = check_seconds("grace", grace)
        self._alias = first.alias
        relays: list[tuple[Options, float | None]] = [(first, None)]
        for backup, weight in check_backups(backups):
            relays.append((collect_options(url=backup, **common), weight))
        check_source(source_address, limits.max_connections, len(relays))
        self._last_limit = connection_limit.limit
        self._idle = IdleConnections(limits.idle_timeout)
        self._destinations = destinations = Destinations[Part](
            random.random,
            patience=self._retry.policy.give_up_after,
            waits_for_probes=self._retry.policy.max_attempts > 1,
        )
        self._routing = Routing(destinations, limits, self._idle, self._find_route)
        self._routing.fix(relays)
        self._jobs = jobs = Jobs(self._alias)
        self._drains = Drains()
        self._sending = sending = Sending(
            self, destinations, jobs, self._retry, self._drains, self._routing
        )
        self._ending = Ending(self, destinations, jobs, self._retry, sending, grace)
        self._intake = Intake(self._routing, jobs, destinations, sending, most_queued)

    def __repr__(self) -> str:
        if not hasattr(self, "_intake"):  # one of the options was wrong
            return "<Mailer>"
        return (
            f"<Mailer {self._alias!r} {self._routing.fixed.hosts[0]}"
            f" {self._destinations.queued} queued, {self._in_flight} in flight,"
            f" {self._jobs.sent} sent, {self._jobs.failed.total()} failed>"
        )

    def on_start(self) -> None:
        """Look at the clock from now on."""
        event_loop().watch(self)
        event_loop().stand(self)
        self._sending.start()

    def on_receive(self, message: Any) -> Any:
        """Take a mail, or a question."""
        if isinstance(message, SendMail):
            is_pressing = self.is_told_by_receiver
            self._intake.take(message, self.answer_later(), is_pressing=is_pressing)
            return None
        if isinstance(message, Drain):
            self._drain(message)
            return None
        if isinstance(message, Statistics):
            return self.statistics()
        return self.misunderstood(message, "a Mailer takes a SendMail")

    def statistics(self) -> MailerStatistics:
        """Return what was done, and what is being done: ``ref.proxy().statistics().get()``."""
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
        # Not those whose connections still take their leave: they have an outcome already.
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
        destinations = self._destinations
        is_empty = not (destinations.queued or destinations.retries or self._sending.in_flight)
        self._drains.answer(now, is_empty=is_empty)

    def look_at_clock(self, now: float) -> None:
        """Do what is due. Called every `TICK` seconds."""
        self._idle.expire(now)
        if self._last_limit != connection_limit.limit:
            self._last_limit = connection_limit.limit
            self._routing.follow_connection_limit()
        self._sending.on_time(now)
        if self._drains.owed:
            self._answer_drains(now)
        self._ending.on_tick(now)

    def on_attempt_over(self) -> None:
        """See whether that was what the end, or a `Drain`, has waited for."""
        if self._ending.has_begun:
            self._stop_if_done()
        if self._drains.owed:
            self._answer_drains(event_loop().loop.time())

    def main_has_ended(self) -> None:
        """Stop: the program has come to its end, and would wait for ever."""
        self.ask_to_stop(_ActorStop())

    def cancel(self) -> None:
        """Stop at once, from any thread: what is under way is cancelled."""
        self.ask_to_stop(_StopAtOnce())

    def may_stop_now(self) -> bool:
        """Whether nothing is under way any more. What waits is cancelled."""
        asked = self._handling
        at_once = asked is not None and isinstance(asked.message, _StopAtOnce)
        self._ending.begin(event_loop().loop.time(), at_once=at_once)
        return self._ending.is_done

    def _stop_if_done(self) -> None:
        if self._ending.is_done and not self.actor_stopped.is_set():
            self.stop_now()

    def on_stop(self) -> None:
        """Close what is open."""
        self._ending.forbid_more()
        guard.surely(self._ending.cancel_waiting, self._sending.cancel_in_flight, self._close)

    def _stop_failed(self, error: BaseException) -> None:  # noqa: ARG002 - `on_stop` does it all
        self.on_stop()

    def _close(self) -> None:
        self._sending.close()
        event_loop().unwatch(self)
        event_loop().unstand(self)
        self._idle.close()
        self._answer_drains(event_loop().loop.time())

    def on_failure(
        self,
        exception_type: type[BaseException] | None,  # noqa: ARG002 - Pykka's signature
        exception_value: BaseException | None,  # noqa: ARG002
        traceback: TracebackType | None,  # noqa: ARG002
    ) -> None:
        """See that there is an outcome for each mail."""
        self.on_stop()

    def _fail(self, message: object) -> None:
        """Go on after an error in a message: the mail in hand gets its outcome."""
        error = sys.exc_info()[1]
        assert error is not None
        if isinstance(message, SendMail) and self._intake.last is not message:
            self._intake.take_lost(message)
        guard.end(self, error)

    def crashed(self, error: BaseException) -> None:
        """Go on: only a mail that is nowhere any more has ended. See `guard.Guarded`."""
        inbox = self.actor_inbox
        taken, self._taken = self._taken, None
        if taken is not None:
            inbox.envelopes.appendleft(taken)
        if self.actor_stopped.is_set():
            self.on_stop()
            self._discard_rest()
            return
        guard.each(
            lambda: self._sending.repair(error),
            *(relay.pool.repair for relay in self._routing.relays_in_use()),
            lambda: self._destinations.repair(event_loop().loop.time()),
            lambda: self._stop_if_done() if self._ending.has_begun else None,
        )
        if self.actor_stopped.is_set():
            return
        event_loop().watch(self)
        event_loop().stand(self)
        inbox.scheduled = bool(inbox.envelopes)
        if inbox.scheduled:
            event_loop().schedule(self)

    def on_discard(self, message: Any) -> None:
        """Give a mail that came too late an outcome."""
        if isinstance(message, SendMail):
            self._intake.refuse_late(message)
        else:
            super().on_discard(message)

    def abandon(self) -> None:
        """Leave the mails and the connections to the parent, in a forked child."""
        super().abandon()
        self._idle.abandon()


class _StopAtOnce(_ActorStop):
    """Asks to stop without grace."""


_HARMLESS = harmless_of(Mailer.__init__)

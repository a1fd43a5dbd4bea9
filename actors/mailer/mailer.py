"""`Mailer`: an actor that stays, and sends many mails on few connections."""

import datetime as dt
import heapq
import itertools
import math
import os
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast, overload

from pykka import ActorRef, Future
from pykka.messages import _ActorStop

from ...signals.attempts import Attempts
from ...signals.bus import publish, publish_retry
from ...signals.dispatcher import dispatcher
from ...signals.outcome import Outcome, SendFailure, SendSuccess, outcome_of
from ...signals.send_mail import SendMail
from ...smtp.mail.envelope import Envelope
from ...smtp.words.stage import BEFORE_THE_MAIL, Stage
from ...smtp.words.verdict import Failed, FailureKind, Left
from ..loop import guard
from ..loop.asyncio_actor import Answer, AsyncioActor
from ..loop.event_loop import event_loop
from ..net.connection_limit import connection_limit
from ..options.connection_options import DEFAULTS, check_names
from ..options.hiding import harmless_of, hide_in, hide_url
from ..options.mailer_options import check_backups, check_source, whole
from ..options.option_checks import check_seconds
from ..options.options import collect_options
from .destination import Limits
from .leasing_actor import LeasingActor
from .mail_queue import NO_RELAYS, MailQueue
from .options import MAILER_DEFAULTS, MailerOptions
from .pacing import parse_rate
from .relay import Relay, describe_all, describe_dead
from .retry import RetryPolicy, is_worth_retrying
from .statistics import Latencies, MailerStatistics, Throughput

if TYPE_CHECKING:
    import asyncio


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Ask a `Mailer` to answer once all mails that it was told are out.

    The answer is True, or False if that took longer than the timeout. More mails can be told
    meanwhile; they are waited for as well.

    Attributes:
        timeout: seconds, or None to wait without limit.
    """

    timeout: float | None = None

    def __post_init__(self) -> None:
        if self.timeout is not None:
            check_seconds("timeout", self.timeout)


@dataclass(frozen=True, slots=True)
class Statistics:
    """Ask a `Mailer` for its `MailerStatistics`."""


class _Job:
    """One mail on its way, over all attempts."""

    __slots__ = (
        "answer",
        "attempts",
        "avoid",
        "envelope",
        "is_pressing",
        "later",
        "mail",
        "moves",
        "outcome",
        "relay",
        "summed",
        "told_at",
    )

    def __init__(self, mail: SendMail, answer: Answer, told_at: float) -> None:
        self.mail = mail
        self.answer = answer
        self.told_at = told_at
        self.envelope: Envelope = mail.envelope  # for those that have not got it yet
        self.attempts: Attempts | None = None  # none before the first retry
        self.later: tuple[str, ...] = ()  # those refused for now, in an attempt that goes on
        self.avoid = NO_RELAYS  # those that have failed it, by number
        self.moves = 0  # attempts after which it went to another relay at once
        self.relay = 0
        self.outcome: Outcome | None = None  # once it has ended
        self.summed: Outcome | None = None  # the last attempt that `attempts` knows
        self.is_pressing = False  # whether a receiver may wait for it


_OF_ONE_RELAY = frozenset(
    ("url", "tls", "username", "password", "token", "auth", "allow_plaintext_auth")
)
"""The options that are about the first relay alone; a backup's URL says its own."""


def _loop_time() -> float:
    return event_loop().loop.time()


class MailerRef(ActorRef["Mailer"]):
    """Pykka's ref of an actor, with the types of the answers.

    That to a `SendMail` is its outcome, that to `Statistics` is `MailerStatistics`, and that to
    `Drain` whether all emails are out.
    """

    if TYPE_CHECKING:
        # The order is not the base's: what is more special comes first.
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
            """Send a message, and wait for the answer. See `pykka.ActorRef.ask`."""
            ...


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

    _ref_type = MailerRef

    # The time on the loop's clock; once started, without the way to the loop.
    _time: Callable[[], float] = staticmethod(_loop_time)

    if TYPE_CHECKING:

        @classmethod
        def start(  # pyright: ignore[reportIncompatibleMethodOverride]
            cls, server: str = "localhost", port: int = 25, **options: Unpack[MailerOptions]
        ) -> MailerRef:
            """Start a Mailer, with the options that `__init__` describes."""
            ...

    else:

        @classmethod
        def start(cls, *args: Any, **kwargs: Any) -> MailerRef:
            """Start a Mailer, with the options of `__init__`. See `pykka.Actor.start`."""
            hide_in(kwargs, _HARMLESS if cls.__init__ is Mailer.__init__ else None)
            args = tuple([hide_url(value) for value in args])
            return super().start(*args, **kwargs)

    def __init__(
        self, server: str = "localhost", port: int = 25, **options: Unpack[MailerOptions]
    ) -> None:
        """Check the options; runs in the thread that calls `start`. Nothing is sent yet.

        Args:
            server: the server's name or address.
            port: its port, 1 to 65535.
            options: `MailerOptions` and `ConnectionOptions` say what there is.

        Raises:
            ValueError: an option is invalid.
            TypeError: an option has the wrong type, or there is no such option.
            ImportError: an option needs what is not installed.
        """
        super().__init__()
        server, port = hide_url(server), hide_url(port)
        hide_in(cast("dict[str, Any]", options), _HARMLESS)
        check_names(options, MAILER_DEFAULTS, "Mailer")
        given = MAILER_DEFAULTS | cast("dict[str, Any]", options)
        first = collect_options(server, port, **{name: given[name] for name in DEFAULTS})
        limits = Limits(
            max_connections=whole("max_connections", given["max_connections"]),
            first_connections=whole("first_connections", given["first_connections"]),
            max_mails_per_connection=whole(
                "max_mails_per_connection", given["max_mails_per_connection"]
            ),
            idle_timeout=check_seconds("idle_timeout", given["idle_timeout"]),
            rate=parse_rate(given["rate"]),
        )
        self._max_queued = whole("max_queued", given["max_queued"])
        retry = given["retry"]
        if not isinstance(retry, RetryPolicy | None):
            raise TypeError(f"retry: needs a RetryPolicy, not {type(retry).__name__}")
        self._retry = RetryPolicy() if retry is None else retry
        self._grace = check_seconds("grace", given["grace"])
        self._alias = first.alias
        self._relays = [Relay(first, limits)]
        common = {name: given[name] for name in DEFAULTS if name not in _OF_ONE_RELAY}
        for backup, weight in check_backups(given["backups"]):
            self._relays.append(Relay(collect_options(url=backup, **common), limits, weight))
        check_source(given["source_address"], limits.max_connections, len(self._relays))
        self._queue: MailQueue[_Job] = MailQueue(self._relays, random.random)
        self._waiting: list[tuple[float, int, _Job]] = []  # a heap, by the time of the next attempt
        self._order = itertools.count()
        self._flying: dict[LeasingActor, _Job] = {}
        # Their files took long to open, and others had their places: they wait for one again.
        self._late: list[LeasingActor] = []
        self._jobs: set[_Job] = set()  # all that have no outcome yet
        self._taken_last: SendMail | None = None
        self._drains: list[tuple[Answer, float | None]] = []
        # What receivers may wait for. While more outcomes wait for them than may, only that goes
        # out: or a receiver would wait for itself.
        self._receiver_drains: set[Answer] = set()
        self._pressing: set[_Job] = set()  # those in the queue
        self._is_held = False  # whether mails wait until receivers have caught up
        self._is_pumping = False
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = math.inf  # when the timer goes off
        self._is_changed = False  # something has happened since we looked what may go
        self._last_limit = connection_limit.limit
        self._is_stopping = False
        self._grace_ends: float | None = None
        self._told = self._sent = self._retries = 0
        self._failed: Counter[FailureKind] = Counter()
        self._latencies = Latencies()
        self._throughput = Throughput()

    def __repr__(self) -> str:
        if not hasattr(self, "_throughput"):  # one of the options was wrong
            return "<Mailer>"
        return (
            f"<Mailer {self._alias!r} {self._relays[0].options.name}"
            f" {len(self._queue)} queued, {self._in_flight} in flight, {self._sent} sent,"
            f" {self._failed.total()} failed>"
        )

    # What the program asks for.

    def on_start(self) -> None:
        """Look at the clock from now on."""
        event_loop().watch(self)
        event_loop().stand(self)
        self._time = event_loop().loop.time

    def on_receive(self, message: Any) -> Any:
        """Take a mail, or a question."""
        if isinstance(message, SendMail):
            self._take(message)
            return None
        if isinstance(message, Drain):
            self._drain(message)
            return None
        if isinstance(message, Statistics):
            return self.statistics()
        return self.misunderstood(message, "a Mailer takes a SendMail")

    def statistics(self) -> MailerStatistics:
        """Return what was done, and what is being done: ``ref.proxy().statistics().get()``."""
        latencies, relays = self._latencies, self._relays
        in_use = next((relay for relay in relays if not relay.window.is_dead), relays[0])
        return MailerStatistics(
            queued=len(self._queue),
            waiting_for_retry=len(self._waiting),
            in_flight=self._in_flight,
            connections_idle=sum(relay.idle for relay in relays),
            connections_busy=sum(relay.busy for relay in relays),
            told=self._told,
            sent=self._sent,
            failed=self._failed,
            retries=self._retries,
            rate=self._throughput.per_second(event_loop().loop.time()),
            window=in_use.window.limit,
            dead_relays=tuple(r.options.name for r in relays if r.window.is_dead),
            latency_p50=latencies.percentile(50),
            latency_p90=latencies.percentile(90),
            latency_p99=latencies.percentile(99),
            latency_max=latencies.maximum,
        )

    @property
    def _in_flight(self) -> int:
        # Not those whose connections still take their leave: they have an outcome already.
        ended = self._sent + self._failed.total()
        return self._told - ended - len(self._queue) - len(self._waiting)

    def _take(self, mail: SendMail) -> None:
        self._told += 1
        is_pressing = self.is_told_by_receiver
        job = _Job(mail, self.answer_later(), self._time())
        job.is_pressing = is_pressing
        self._jobs.add(job)
        self._taken_last = mail
        if self._is_stopping:
            self._end_unsent(job, FailureKind.CANCELLED, _TOO_LATE)
            return
        if len(self._queue) + len(self._waiting) >= self._max_queued:
            self._end_unsent(
                job,
                FailureKind.LOCAL,
                f"{len(self._queue) + len(self._waiting)} mails wait already (max_queued);"
                " tell it again later",
            )
            return
        if is_pressing:
            # Or whatever the first waits for, this one waits for, too.
            self._prepend(job)
            self._pump()
        elif self._queue.append(job):
            self._pump()

    def _prepend(self, job: _Job) -> bool:
        """Let a mail wait before the others; return whether to look what may go."""
        self._queue.prepend(job, job.avoid)
        if job.is_pressing:
            self._pressing.add(job)
        return True

    def _drain(self, drain: Drain) -> None:
        is_pressing = self.is_told_by_receiver
        answer = self.answer_later()
        if is_pressing:
            self._receiver_drains.add(answer)
            self._pump()
        now = event_loop().loop.time()
        self._drains.append((answer, None if drain.timeout is None else now + drain.timeout))
        self._answer_drains(now)

    def _answer_drains(self, now: float) -> None:
        is_empty = not (self._queue or self._waiting or self._flying)
        for drain in list(self._drains):
            answer, until = drain
            if is_empty:
                answer.set(True)
            elif until is not None and now >= until:
                answer.set(False)
            else:
                continue
            self._drains.remove(drain)
            self._receiver_drains.discard(answer)

    # Mails out.

    def _pump(self) -> None:
        """Let go all that may go now, and see to it that we look again in time."""
        if self._is_pumping or self._is_stopping:
            return
        self._is_pumping = True
        self._is_changed = False
        try:
            if self._late:
                self._serve_late()
            while True:
                if dispatcher.is_full and not (self._pressing or self._receiver_drains):
                    self._is_held = bool(self._queue)  # until receivers have caught up
                    return
                now = self._time()
                picked = self._queue.pick(now)
                if picked is not None:
                    self._let_go(*picked, now)
                    continue
                if self._retry.attempts == 1 and self._are_all_dead:
                    self._give_all_up()
                else:
                    self._look_again(now)
                return
        finally:
            self._is_pumping = False

    @property
    def _are_all_dead(self) -> bool:
        return all(relay.is_dead for relay in self._relays)

    def _give_all_up(self) -> None:
        """End the mails that wait. Whoever wants one attempt wants to hear at once."""
        # The next probe is another mail's: one that is told when it is time for it.
        detail = f"not attempted: {describe_dead(self._relays)}"
        for job in self._queue.take_all():
            self._end_unsent(job, FailureKind.CONNECT, detail)

    def _let_go(self, job: _Job, number: int, now: float) -> None:
        relay = self._relays[number]
        job.relay = number
        if job.is_pressing:
            self._pressing.discard(job)
        actor = LeasingActor(self, relay, job.mail, job.envelope)
        self._flying[actor] = job
        try:
            actor.begin(now)
        except BaseException as error:
            guard.end(actor, error)

    @guard.guarded
    def attempt_steps_aside(self, actor: LeasingActor) -> None:
        """Let another mail have its place: no stuck file holds up another mail."""
        if actor.has_place and actor in self._flying:
            actor.has_place = False
            actor.relay.release()
            actor.relay.window.released(since=actor.since)
            self._pump()

    @guard.guarded
    def attempt_is_ready(self, actor: LeasingActor) -> None:
        """Give an attempt a place again as soon as there is one."""
        self._late.append(actor)
        self._pump()

    def _serve_late(self) -> None:
        now, full = self._time(), set[Relay]()
        for actor in list(self._late):
            if actor.relay in full:
                continue
            if not actor.relay.try_acquire(now):
                full.add(actor.relay)
                continue
            self._late.remove(actor)
            actor.has_place = True
            guard.call(actor, actor.go_on)

    def _look_again(self, now: float) -> None:
        """Come back when time alone may have made it possible to go on."""
        when = self._queue.next_time(now)
        for actor in self._late:
            if (wait := actor.relay.wait(now)) < math.inf:
                when = min(when or math.inf, now + wait)
        # A timer that goes off too early costs one look; to set it anew for each mail costs more.
        if when is None or when >= self._wakes_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        # uvloop counts in milliseconds, and a timer of half of one would be none.
        delay = math.ceil((when - now) * 1000) / 1000
        self._timer = event_loop().loop.call_later(delay, guard.call, self, self._on_timer)
        self._wakes_at = when

    def _on_timer(self) -> None:
        self._timer = None
        self._wakes_at = math.inf
        self._pump()

    @guard.guarded
    def attempt_ended(self, actor: LeasingActor, outcome: Outcome) -> None:
        """Hear what became of an attempt: the end, or not."""
        job = self._flying[actor]
        now = self._time()
        actor.relay.ended(outcome, actor.since, now)
        # Mostly the actor leaves now, and we look. It may take leave of the server for long, too.
        self._is_changed = True
        if isinstance(outcome, SendSuccess) and job.attempts is None and not outcome.refused:
            self._end(job, outcome, now)
            return
        attempts = job.attempts = job.attempts or Attempts()
        again = self._worth_retrying(job, outcome)
        if actor.left is not None and self._carry_on(job, actor.left, outcome, again):
            return
        attempts.add(outcome)
        job.summed = outcome
        when: float | None = None
        if self._fail_over(job, outcome, now):
            again, when = job.envelope.forward_paths, now
            job.moves += 1
        elif again := (*job.later, *again):
            job.avoid, job.later = NO_RELAYS, ()
            tried = attempts.count - job.moves
            when = self._retry.next_time(tried, job.told_at, now, random.random())  # noqa: S311
        if when is None:
            self._end(job, attempts.sum_up(job.mail.all_recipients), now)
            return
        self._retries += 1
        job.envelope = job.mail.envelope.only(again)
        if when == now:
            self._prepend(job)
        else:
            heapq.heappush(self._waiting, (when, next(self._order), job))
        next_time = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=when - now)
        publish_retry(outcome, attempts.count, next_time)

    def _carry_on(self, job: _Job, left: Left, outcome: Outcome, again: tuple[str, ...]) -> bool:
        """Go on at once with those for whom a session had no room; return whether so.

        It is the same attempt: they were not tried yet. In each session at least one recipient is.
        """
        if not set(left.paths) <= set(again):  # no attempt may follow
            return False
        assert job.attempts is not None
        warnings = tuple(warning for warning in outcome.warnings if warning != left.warning)
        job.attempts.add(replace(outcome, warnings=warnings), is_whole=False)
        job.summed = outcome
        job.later += tuple(path for path in again if path not in left.paths)
        job.envelope = job.mail.envelope.only(left.paths)
        return self._prepend(job)

    def _worth_retrying(self, job: _Job, outcome: Outcome) -> tuple[str, ...]:
        """Return the recipients to whom the mail may be tried again."""
        if self._is_stopping or not _can_be_read_again(job.mail):
            return ()
        if isinstance(outcome, SendFailure) and outcome.kind is FailureKind.CANCELLED:
            return ()
        results = {result.address: result for result in outcome.recipients}
        again: list[str] = []
        for path in job.envelope.forward_paths:
            result = results.get(path)
            if (
                result is not None
                and not result.accepted
                and is_worth_retrying(result.retryable, result.maybe_accepted, self._retry)
            ):
                again.append(path)
        return tuple(again)

    def _fail_over(self, job: _Job, outcome: Outcome, now: float) -> bool:
        """Have another relay tried at once if this one was not to be reached; return whether so."""
        if len(self._relays) == 1 or self._is_stopping or not isinstance(outcome, SendFailure):
            return False
        if outcome.stage not in _UNREACHED_AT or outcome.kind not in _UNREACHABLE:
            return False
        job.avoid |= {job.relay}
        return any(
            number not in job.avoid and relay.is_usable(now)
            for number, relay in enumerate(self._relays)
        )

    def _end(self, job: _Job, outcome: Outcome, now: float) -> None:
        """Tell the one outcome of a mail. If it breaks, it goes on the second time."""
        if job.outcome is None:
            try:
                publish(outcome)
                job.outcome = outcome
            finally:
                job.answer.set(outcome)
        else:
            job.answer.set(job.outcome)
        if job not in self._jobs:
            return
        self._jobs.discard(job)
        if job.is_pressing:
            self._pressing.discard(job)  # it may have ended in the queue
        if isinstance(outcome, SendFailure):
            self._failed[outcome.kind] += 1
        else:
            self._sent += 1
        if outcome.attempts:  # what was never tried is nobody's pace
            self._throughput.add(now)
            self._latencies.add(now - job.told_at)

    def _end_unsent(self, job: _Job, kind: FailureKind, detail: str) -> None:
        failed = Failed(kind=kind, stage=Stage.CONNECT, detail=detail, retryable=True)
        outcome: Outcome = outcome_of(
            failed,
            mail=job.mail,
            alias=self._alias,
            recipients_in_order=job.mail.all_recipients,
            peer=None,
            elapsed=0.0,
            attempts=0,
        )
        if job.attempts is not None and isinstance(outcome, SendFailure):
            job.attempts.give_up(outcome)
            outcome = job.attempts.sum_up(job.mail.all_recipients)
        self._end(job, outcome, event_loop().loop.time())

    @guard.guarded
    def actor_left(self, actor: LeasingActor) -> None:
        """Take note that a connection, or the room for one, is free."""
        if self._flying.pop(actor, None) is None:
            return
        relay = actor.relay
        if actor.has_place:
            relay.release()
        elif actor in self._late:
            self._late.remove(actor)
        if not (self._is_stopping or self._is_pumping):
            self._pump()
        relay.settle()
        if self._is_stopping:
            self._stop_if_done()
        if self._drains:
            self._answer_drains(event_loop().loop.time())

    # Time.

    def look_at_clock(self, now: float) -> None:
        """Do what is due. Called every `TICK` seconds."""
        for relay in self._relays:
            relay.expire(now)
        if self._last_limit != connection_limit.limit:
            self._last_limit = connection_limit.limit
            self._is_changed = True
        while self._waiting and self._waiting[0][0] <= now:
            job = heapq.heappop(self._waiting)[2]
            self._is_changed |= self._prepend(job) if job.is_pressing else self._queue.append(job)
        if self._is_held and not dispatcher.is_full:
            self._is_held, self._is_changed = False, True
        if self._is_changed:
            self._pump()
        if self._queue and self._retry.give_up_after is not None:
            self._give_up_expired(now, self._retry.give_up_after)
        if self._drains:
            self._answer_drains(now)
        if self._grace_ends is not None and now >= self._grace_ends:
            self._cancel_flying()
            self._grace_ends = None

    def _give_up_expired(self, now: float, patience: float) -> None:
        """End the mails that have waited for too long, once no other stands before them."""
        expired = self._queue.take_expired(now, patience)
        if expired:
            why = describe_all(self._relays, now)
            detail = f"gave up {patience:g} s after it was told (retry.give_up_after): {why}"
            for job in expired:
                self._end_unsent(job, FailureKind.TIMEOUT, detail)
            self._pump()

    # The end.

    def main_has_ended(self) -> None:
        """Stop: the program has come to its end, and would wait for ever."""
        self.ask_to_stop(_ActorStop())

    def cancel(self) -> None:
        """Stop at once, from any thread: what is under way is cancelled."""
        self.ask_to_stop(_StopAtOnce())

    def may_stop_now(self) -> bool:
        """Whether nothing is under way any more. What waits is cancelled."""
        if self._handling is not None and isinstance(self._handling.message, _StopAtOnce):
            self._grace = 0.0
        if not self._is_stopping:
            self._is_stopping = True
            self._grace_ends = event_loop().loop.time() + self._grace
        self._cancel_waiting()
        if self._grace <= 0:
            self._cancel_flying()
        return not self._flying

    def _cancel_waiting(self) -> None:
        jobs = [*self._queue.take_all(), *(job for _, _, job in self._waiting)]
        self._waiting.clear()
        for job in jobs:
            guard.call(self, self._end_unsent, job, FailureKind.CANCELLED, _STOPPED)

    def _cancel_flying(self) -> None:
        for actor in list(self._flying):
            guard.call(actor, actor.stop_now)

    def _stop_if_done(self) -> None:
        if not self._flying and not self.actor_stopped.is_set():
            self.stop_now()

    def on_stop(self) -> None:
        """Close what is open."""
        self._is_stopping = True
        guard.surely(self._cancel_waiting, self._cancel_flying, self._close)

    def _stop_failed(self, error: BaseException) -> None:  # noqa: ARG002 - `on_stop` does it all
        self.on_stop()

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        event_loop().unwatch(self)
        event_loop().unstand(self)
        for relay in self._relays:
            relay.close()
        self._answer_drains(event_loop().loop.time())

    def on_failure(
        self,
        exception_type: type[BaseException] | None,  # noqa: ARG002 - Pykka's signature
        exception_value: BaseException | None,  # noqa: ARG002
        traceback: TracebackType | None,  # noqa: ARG002
    ) -> None:
        """See that there is an outcome for each mail."""
        self.on_stop()

    # Errors of ours: the mail in hand gets its outcome, and the others go on.

    def _fail(self, message: object) -> None:
        error = sys.exc_info()[1]
        assert error is not None
        if isinstance(message, SendMail) and self._taken_last is not message:
            job = _Job(message, Answer(None, set()), event_loop().loop.time())
            self._told += 1
            self._jobs.add(job)
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
            lambda: self._end_lost(error),
            *(relay.repair for relay in self._relays),
            lambda: self._stop_if_done() if self._is_stopping else None,
        )
        if self.actor_stopped.is_set():
            return
        self._is_changed = True
        event_loop().watch(self)
        event_loop().stand(self)
        inbox.scheduled = bool(inbox.envelopes)
        if inbox.scheduled:
            event_loop().schedule(self)

    def _end_lost(self, error: BaseException) -> None:
        """End each mail that neither waits nor is under way; count anew what is under way."""
        actors = {job: actor for actor, job in self._flying.items()}
        for gone in [actor for actor in self._flying if actor.has_left]:
            del self._flying[gone]
        self._late = [actor for actor in self._late if actor in self._flying]
        for relay in self._relays:
            relay.busy = sum(a.relay is relay and a.has_place for a in self._flying)
        waiting = {*self._queue, *(job for _, _, job in self._waiting)}
        for job in [job for job in self._jobs if job not in waiting]:
            actor = actors.get(job)
            if job.outcome is not None:
                self._end(job, job.outcome, event_loop().loop.time())
            elif actor is None or (actor.has_left and actor.outcome is None):
                detail = f"internal error in pykka-smtp: {type(error).__name__}: {error}"
                self._end_unsent(job, FailureKind.INTERNAL, detail)
            elif actor.outcome is not None:
                self._end_as(job, actor.outcome)

    def _end_as(self, job: _Job, outcome: Outcome) -> None:
        """End a mail by what became of its last attempt."""
        if job.attempts is not None:
            if job.summed is not outcome:
                job.summed = outcome
                job.attempts.add(outcome)
            outcome = job.attempts.sum_up(job.mail.all_recipients)
        self._end(job, outcome, event_loop().loop.time())

    def on_discard(self, message: Any) -> None:
        """Give a mail that came too late an outcome."""
        if isinstance(message, SendMail):
            self._told += 1
            job = _Job(message, Answer(None, set()), event_loop().loop.time())
            self._jobs.add(job)
            self._end_unsent(job, FailureKind.CANCELLED, _TOO_LATE)
        else:
            super().on_discard(message)

    def abandon(self) -> None:
        """Leave the mails and the connections to the parent, in a forked child."""
        super().abandon()
        for relay in self._relays:
            relay.abandon()


class _StopAtOnce(_ActorStop):
    """Asks to stop without grace."""


_STOPPED = "stopped before it was sent"
_TOO_LATE = "the Mailer was stopped before it took the mail"

# Where a relay is not to be reached, or would not talk: nothing of the mail was said.
_UNREACHED_AT = BEFORE_THE_MAIL - {Stage.AUTH}
_UNREACHABLE = frozenset(
    {
        FailureKind.SMTP,
        FailureKind.CONNECT,
        FailureKind.CONNECTION,
        FailureKind.TIMEOUT,
        FailureKind.PROTOCOL,
    }
)


def _can_be_read_again(mail: SendMail) -> bool:
    """Whether there can be another attempt; a file that is open stands at its end after one."""
    return mail.source is None or isinstance(mail.source, os.PathLike)


_HARMLESS = harmless_of(MAILER_DEFAULTS)

"""How a `Mailer` starts attempts, and what it does when one ends. On the loop thread."""

import datetime as dt
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from ...signals.bus import publish_retry
from ...signals.dispatcher import dispatcher
from ...signals.outcome import Outcome, SendFailure
from ...smtp.words.verdict import FailureKind
from ..loop import guard
from ..loop.event_loop import event_loop
from ..net.connection_limit import connection_limit
from .connections.pooled_smtp_actor import PooledSmtpActor
from .connections.relay import Relay, describe_all, describe_dead
from .drains import Drains
from .jobs.job import Job, Part
from .jobs.jobs import Jobs
from .jobs.retries import Retries
from .queue.agenda import NEVER
from .queue.destination import Destination
from .queue.destinations import Destinations
from .routing import Routing, relays_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Owner(guard.Guarded, Protocol):
    """What owns the attempts: the `Mailer`."""

    def on_attempt_over(self) -> None:
        """Called when an attempt has released its connection, if a shutdown or `Drain` waits."""
        ...


class Sending:
    """Takes parts from their destinations, and starts an actor for each attempt.

    Args:
        owner: the Mailer, which answers for errors.
        destinations: the queues of parts.
        jobs: the emails without an outcome.
        retries: decides what follows an attempt.
        drains: the `Drain`s without an answer.
        routing: whether there are many destinations. They share the process's connections, so no
            more attempts are in flight than there may be connections; one alone has a limit of its
            own.
        attempt_type: the type of the actor of each attempt.

    Attributes:
        in_flight: the part of each attempt, by its actor.
        is_over: whether no more attempts are started, because the Mailer stops.
        time: returns the time on the loop's clock.
    """

    def __init__(
        self,
        owner: Owner,
        destinations: Destinations[Part],
        jobs: Jobs,
        retries: Retries,
        drains: Drains,
        routing: Routing,
        attempt_type: type[PooledSmtpActor] = PooledSmtpActor,
    ) -> None:
        self._attempt_type = attempt_type
        self.in_flight: dict[PooledSmtpActor, Part] = {}
        self.is_over = False
        self._owner = owner
        self._destinations = destinations
        self._jobs = jobs
        self._retries = retries
        self._drains = drains
        self._is_shared = routing.is_by_domain
        self._places = 0  # attempts that count against the limits of their relays
        self._is_dispatching = False
        self.timer: asyncio.TimerHandle | None = None
        self._wakes_at = NEVER  # when the timer goes off
        self.time: Callable[[], float] = _loop_time

    def start(self) -> None:
        """Take the clock of the loop, which runs now."""
        self.time = event_loop().loop.time

    @property
    def places(self) -> int:
        """How many attempts have, or open, a connection."""
        return self._places

    def dispatch(self) -> None:
        """Start every attempt that may start now, and set the timer for the next."""
        if self._is_dispatching or self.is_over:
            return
        self._is_dispatching = True
        destinations = self._destinations
        try:
            # A receiver that waits for an email must not block it by being slow itself.
            is_held = dispatcher.is_full and not self._drains.is_receiver_waiting
            while not self._is_shared or self._places < connection_limit.most:
                now = self.time()
                part = destinations.pick(now, only_urgent=is_held)
                if part is None:
                    break
                self._start_attempt(part, now)
            while destinations.hopeless:
                self._give_up(destinations.hopeless.pop())
            # A timer that fires too early costs one look; setting it again for each email costs
            # more.
            if destinations.agenda.next_time < self._wakes_at:
                self._set_timer(destinations.agenda.next_time)
        finally:
            self._is_dispatching = False

    def _start_attempt(self, part: Part, now: float) -> None:
        destination = part.destination
        self._places += 1
        if part.late is not None:
            actor, part.late = part.late, None
            actor.has_place = True
            guard.call(actor, actor.go_on)
            return
        relay: Relay = destination.relays[part.relay]  # type: ignore[assignment] # a Mailer's are
        actor = self._attempt_type(self, relay, part.job.mail, part.envelope)
        destination.in_flight += 1
        self.in_flight[actor] = part
        try:
            actor.begin(now)
        except BaseException as error:
            guard.end(actor, error)

    def _give_up(self, destination: Destination[Part]) -> None:
        """Fail the queued parts: with one attempt each, they do not wait for a dead relay."""
        # The next probe is a later email, one that is told when the probe is due.
        detail = f"not attempted: {describe_dead(relays_of(destination))}"
        for part in self._destinations.take_all(destination, with_retries=False):
            self._jobs.fail_without_attempt(part, FailureKind.CONNECT, detail, self.time())
        self._destinations.retire(destination)

    def _set_timer(self, when: float) -> None:
        """Set the timer for the time at which an attempt may start without any other event."""
        if self.timer is not None:
            self.timer.cancel()
        # Rounded up: uvloop counts in milliseconds, and would fire a timer of half of one at once.
        delay = max(0.0, math.ceil((when - self.time()) * 1000) / 1000)
        self.timer = event_loop().loop.call_later(delay, guard.call, self, self._on_timer)
        self._wakes_at = when

    def _on_timer(self) -> None:
        self.timer = None
        self._wakes_at = NEVER
        self.on_time(self.time())

    def on_time(self, now: float) -> None:
        """Start and expire what is due, without a look at destinations that are not.

        Args:
            now: the time, on the loop's clock.
        """
        destinations = self._destinations
        is_any_due = destinations.look_at_due(now)
        if destinations.is_any_active or is_any_due:
            self.dispatch()
        if is_any_due:
            self._give_up_expired(now)

    def _give_up_expired(self, now: float) -> None:
        """Fail the parts that have been queued for too long, once each heads its queue."""
        give_up_after = self._retries.policy.give_up_after
        for destination, expired in self._destinations.take_expired(now):
            why = describe_all(relays_of(destination), now)
            waited = f"{give_up_after:g} s after its submission (retry.give_up_after)"
            detail = f"gave up {waited}: {why}"
            for part in expired:
                self._jobs.fail_without_attempt(part, FailureKind.TIMEOUT, detail, now)
            self._destinations.retire(destination)
        self.dispatch()

    @guard.guarded
    def attempt_steps_aside(self, actor: PooledSmtpActor) -> None:
        """Called when a file is slow to open: release the place, so that it blocks no other."""
        if actor.has_place and actor in self.in_flight:
            actor.has_place = False
            self._places -= 1
            actor.relay.busy -= 1
            actor.relay.window.released(since=actor.since)
            self._destinations.activate(self.in_flight[actor].destination)
            self.dispatch()

    @guard.guarded
    def attempt_is_ready(self, actor: PooledSmtpActor) -> None:
        """Called when that file is open: queue the attempt for a place at its relay."""
        part = self.in_flight[actor]
        part.late = actor
        self._destinations.bind(part)
        self.dispatch()

    def attempt_ended(self, actor: PooledSmtpActor, outcome: Outcome) -> None:
        """Called with the outcome of an attempt: end its part, or schedule a retry or failover.

        The caller guards it.
        """
        part, now = self.in_flight[actor], self.time()
        relay, destinations = actor.relay, self._destinations
        is_all_done = False
        if isinstance(outcome, SendFailure):
            relay.record_failure(outcome, actor.since, now)
            destinations.note_death(relay)
        else:
            relay.record_success(now)
            if destinations.dead:
                destinations.note_death(relay)
            is_all_done = part.attempts is None and not outcome.refused
        # Usually the actor is released next, which dispatches; but QUIT may take long.
        if not part.destination.is_active:
            destinations.activate(part.destination)
        if is_all_done:
            self._jobs.end(part, outcome, now)
            return
        if actor.left is not None and self._retries.carries_on(part, actor.left, outcome):
            self._destinations.prepend(part)
            return
        when = self._retries.next_time(part, outcome, now)
        assert part.attempts is not None
        if when is None:
            self._jobs.end(part, part.attempts.combined_outcome(part.addresses), now)
            return
        if when == now:
            self._destinations.prepend(part)
        else:
            self._destinations.put_off(part, when)
        next_time = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=when - now)
        publish_retry(outcome, part.attempts.count, next_time)

    def attempt_released(self, actor: PooledSmtpActor) -> None:
        """Called when an attempt has released its connection or permit. The caller guards it."""
        part = self.in_flight.pop(actor, None)
        if part is None:
            return
        relay, destination = actor.relay, part.destination
        destination.in_flight -= 1
        if actor.has_place:
            self._places -= 1
            relay.busy -= 1
        elif part.late is actor:
            part.late = None
            self._destinations.unbind(part)
        if not (self.is_over or self._is_dispatching):
            if not destination.is_active:
                self._destinations.activate(destination)
            self.dispatch()
        if self._is_shared and self._destinations.is_any_active:
            relay.pool.leave_released()
        else:
            relay.pool.park_released()
        if destination.key is not None and not destination.in_flight:
            self._destinations.retire(destination)
        if self.is_over or self._drains.owed:
            self._owner.on_attempt_over()

    def cancel_in_flight(self) -> None:
        """Cancel all attempts."""
        for actor in list(self.in_flight):
            guard.call(actor, actor.stop_now)

    def close(self) -> None:
        """Cancel the timer."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def crashed(self, error: BaseException) -> None:
        """Pass an internal error to the Mailer. See `guard.Guarded`."""
        self._owner.crashed(error)

    def repair(self, error: BaseException) -> None:
        """Fail each part that is neither queued nor in flight; recount those in flight."""
        actors = {part: actor for actor, part in self.in_flight.items()}
        for gone in [actor for actor in self.in_flight if actor.has_left]:
            del self.in_flight[gone]
        waiting: set[Part] = set()
        for destination in self._destinations:
            waiting.update(destination)
            destination.in_flight = 0
            for relay in destination.relays:
                relay.busy = 0
        for actor, part in self.in_flight.items():
            part.destination.in_flight += 1
            actor.relay.busy += actor.has_place
        self._places = sum(actor.has_place for actor in self.in_flight)
        self._jobs.count_open_parts()
        for part in _open_parts(self._jobs.outstanding):
            if part not in waiting:
                self._end_lost(part, actors.get(part), error)

    def _end_lost(self, part: Part, actor: PooledSmtpActor | None, error: BaseException) -> None:
        now = event_loop().loop.time()
        if part.outcome is not None or part.job.outcome is not None:
            outcome = part.job.outcome or part.outcome
            assert outcome is not None
            self._jobs.end(part, outcome, now)
        elif actor is None or (actor.has_left and actor.outcome is None):
            detail = f"internal error in pykka-smtp: {type(error).__name__}: {error}"
            self._jobs.fail_without_attempt(part, FailureKind.INTERNAL, detail, now)
        elif actor.outcome is not None:
            self._jobs.end_as(part, actor.outcome, now)


def _open_parts(jobs: Iterable[Job]) -> list[Part]:
    return [part for job in jobs for part in job.parts]


def _loop_time() -> float:
    return event_loop().loop.time()

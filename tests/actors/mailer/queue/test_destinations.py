"""The destinations of a Mailer: whose turn it is, what is looked at, what is left of idle ones."""

import functools
import heapq
import itertools
import random
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from servers.capacities import capacity as relay
from servers.effort import times

from pykka_smtp.actors.mailer.capacity.memory import MAX_REMEMBERED, Memory
from pykka_smtp.actors.mailer.queue.agenda import NEVER
from pykka_smtp.actors.mailer.queue.destination import MAX_COST, Destination
from pykka_smtp.actors.mailer.queue.destinations import Destinations
from pykka_smtp.actors.mailer.queue.mail_queue import NO_RELAYS


@dataclass(eq=False)
class Part:
    """A part of a mail."""

    number: int
    destination: Destination["Part"]
    submitted_at: float = 0.0
    is_pressing: bool = False
    avoid: frozenset[int] = NO_RELAYS
    relay: int = 0
    late: Any = None
    cost: int = 1


def made(**options: Any) -> Destinations[Part]:
    return Destinations(lambda: 0.0, **options)


def add(
    destinations: Destinations[Part], key: str, count: int, cost: int = 1, **options: Any
) -> Destination[Part]:
    destination = destinations.find(key) or destinations.add(key, [(key, relay(**options))])
    for number in range(count):
        destinations.append(Part(number, destination, cost=cost))
    return destination


def pick_all(destinations: Destinations[Part], now: float = 0.0, **how: bool) -> list[Part]:
    return list(iter(functools.partial(destinations.pick, now, **how), None))


def keys_of(parts: list[Part]) -> list[Any]:
    return [part.destination.key for part in parts]


def release(part: Part, destinations: Destinations[Part]) -> None:
    """End an attempt as the Mailer does."""
    part.destination.relays[part.relay].release()
    destinations.activate(part.destination)


# Turns


def test_equal_destinations_get_equal_shares_in_turns() -> None:
    destinations = made()
    for key in "abc":
        add(destinations, key, 1_000, most=1_000, first=1_000)

    first = [
        keys_of([part])[0]
        for part in itertools.islice(iter(functools.partial(destinations.pick, 0.0), None), 600)
    ]

    counts = Counter(first)
    assert max(counts.values()) - min(counts.values()) <= MAX_COST
    runs = [len(list(run)) for _, run in itertools.groupby(first)]
    assert max(runs) <= MAX_COST


def test_a_destination_of_large_mails_gets_as_many_octets_as_one_of_small_mails() -> None:
    destinations = made()
    add(destinations, "large", 500, cost=MAX_COST, most=1_000, first=1_000)
    add(destinations, "small", 5_000, cost=1, most=5_000, first=5_000)

    spent: Counter[Any] = Counter()
    for part in itertools.islice(iter(functools.partial(destinations.pick, 0.0), None), 1_700):
        spent[part.destination.key] += part.cost

    assert abs(spent["large"] - spent["small"]) <= 2 * MAX_COST


def test_each_cold_destination_gets_its_first_mail_within_one_round_of_turns() -> None:
    destinations = made()
    add(destinations, "hot", 20_000, most=20_000, first=20_000)
    for number in range(1_000):
        add(destinations, f"cold{number}", 1)

    seen: list[Any] = []
    while len({key for key in seen if key != "hot"}) < 1_000:
        part = destinations.pick(0.0)
        assert part is not None
        seen.append(part.destination.key)

    assert len(seen) <= 1_000 + 2 * MAX_COST


def test_a_mail_that_must_avoid_a_relay_stands_before_no_other_destination() -> None:
    destinations = made()
    stuck = destinations.add("stuck", [("one", relay(first=1)), ("two", relay(first=1))])
    assert all(each.try_acquire(0.0) for each in stuck.relays)
    destinations.prepend(Part(0, stuck, avoid=frozenset({0})))
    add(destinations, "free", 2)

    assert keys_of(pick_all(destinations)) == ["free", "free"]


def test_a_pressing_mail_goes_before_all_destinations_and_while_the_others_are_held() -> None:
    destinations = made()
    add(destinations, "a", 3)
    urgent = add(destinations, "b", 1)
    destinations.prepend(Part(9, urgent, is_pressing=True))

    assert [part.number for part in pick_all(destinations, only_urgent=True)] == [9]
    assert destinations.pressing == 0
    assert sorted(keys_of(pick_all(destinations))) == ["a", "a", "a", "b"]


def test_an_attempt_that_was_let_go_before_gets_its_place_while_the_others_are_held() -> None:
    destinations = made()
    destination = add(destinations, "a", 2, first=1)
    [first] = pick_all(destinations)
    first.late = object()
    release(first, destinations)
    destinations.bind(first)

    assert pick_all(destinations, only_urgent=True) == [first]
    assert destinations.queued == 1
    destination.relays[0].release()
    destinations.activate(destination)
    assert [part.number for part in pick_all(destinations)] == [1]


def test_a_hopeless_destination_is_told_once_and_the_others_go_on() -> None:
    destinations = made(waits_for_probes=False)
    dead = add(destinations, "dead", 3)
    while not dead.relays[0].is_dead:
        dead.relays[0].window.failed(0.0)
    add(destinations, "alive", 1)

    assert keys_of(pick_all(destinations)) == ["alive"]
    assert destinations.hopeless == [dead]
    assert len(destinations.take_all(dead)) == 3
    assert destinations.queued == 0


# Times


def test_the_next_attempts_of_ten_thousand_mails_are_one_entry_of_the_agenda() -> None:
    destinations = made(give_up_after=10_000.0)
    destination = add(destinations, "a", 0)
    for number in range(10_000):
        destinations.put_off(Part(number, destination), 1_000.0 + number % 77)

    assert len(destinations.agenda) <= 2
    assert (destinations.retries, destinations.agenda.next_time) == (10_000, 1_000.0)


def test_the_agenda_has_at_most_two_entries_for_each_destination_however_often_times_change() -> (
    None
):
    destinations = made()
    source = random.Random(3)  # noqa: S311 - a test
    all_of_them = [add(destinations, f"d{number}", 0) for number in range(50)]
    for number in range(20_000):
        destinations.put_off(Part(number, source.choice(all_of_them)), 1e6 * source.random())
        destinations.agenda.set(source.choice(all_of_them), 1e6 * source.random())

    assert len(destinations.agenda) <= 2 * 50 + 16


def test_a_retry_comes_when_it_is_due_and_not_before() -> None:
    destinations = made()
    destination = add(destinations, "a", 0)
    destinations.put_off(Part(2, destination), 60.0)
    destinations.put_off(Part(1, destination), 50.0)

    assert not destinations.look_at_due(49.9)
    assert destinations.look_at_due(50.0)
    assert destinations.take_expired(50.0) == []
    assert [part.number for part in pick_all(destinations, 50.0)] == [1]
    assert destinations.agenda.next_time == 60.0


def test_a_mail_that_waited_behind_a_younger_one_is_given_up_once_that_is_gone() -> None:
    destinations = made(give_up_after=100.0)
    destination = add(destinations, "a", 0, first=1)
    young = Part(1, destination, submitted_at=90.0)
    destinations.append(young)
    destinations.put_off(Part(0, destination, submitted_at=0.0), 95.0)
    assert destination.relays[0].try_acquire(0.0)  # the relay is busy
    assert pick_all(destinations, 90.0) == []
    destinations.look_at_due(95.0)
    destinations.take_expired(95.0)
    assert destinations.look_at_due(100.0)
    assert destinations.take_expired(100.0) == []  # the young one stands before it
    destination.relays[0].release()
    destinations.activate(destination)
    assert pick_all(destinations, 101.0) == [young]

    assert destinations.look_at_due(destinations.agenda.next_time)
    [(_, expired)] = destinations.take_expired(101.0)
    assert [part.number for part in expired] == [0]


# What is looked at


def test_nothing_is_looked_at_while_ten_thousand_destinations_wait() -> None:
    destinations = made(give_up_after=10_000.0)
    relays = [relay(first=1) for _ in range(10_000)]
    for number, one in enumerate(relays):
        destination = destinations.add(f"d{number}", [("host", one)])
        assert one.try_acquire(0.0)
        destinations.append(Part(number, destination))
    assert pick_all(destinations) == []
    before = sum(one.looks for one in relays)

    for tick in range(100):
        assert not destinations.look_at_due(tick / 10)
        assert not destinations.is_any_active

    assert sum(one.looks for one in relays) == before


def test_an_event_of_one_destination_is_a_look_at_that_one_however_many_wait() -> None:
    destinations = made(give_up_after=10_000.0)
    relays = [relay(first=1) for _ in range(10_000)]
    waiting = []
    for number, one in enumerate(relays):
        destination = destinations.add(f"d{number}", [("host", one)])
        assert one.try_acquire(0.0)
        destinations.append(Part(number, destination))
        waiting.append(destination)
    assert pick_all(destinations) == []
    before = sum(one.looks for one in relays)

    for destination in waiting[:1000]:
        destination.relays[0].release()
        destinations.activate(destination)
        assert len(pick_all(destinations)) == 1

    assert sum(one.looks for one in relays) - before <= 4 * 1000


# Idle ones


def test_an_idle_destination_is_forgotten_but_for_what_was_learned() -> None:
    destinations = made()
    destination = add(destinations, "a", 1)
    destination.in_flight += 1
    [part] = pick_all(destinations)
    while not destination.relays[0].is_dead:
        destination.relays[0].window.failed(0.0)
    destinations.note_death(destination.relays[0])
    destination.relays[0].last_failure = "nobody home"
    assert list(destinations) == [destination]
    destination.in_flight -= 1
    release(part, destinations)
    assert pick_all(destinations) == []

    assert list(destinations) == []
    assert not destinations.dead
    again = destinations.add("a", [("other", relay()), ("a", relay())])
    assert [one.is_dead for one in again.relays] == [False, True]
    assert again.relays[1].last_failure == "nobody home"
    assert len(destinations.memory) == 0


@pytest.mark.parametrize("what", ["queue", "retry", "attempt"])
def test_a_destination_that_is_in_use_is_not_forgotten(what: str) -> None:
    destinations = made()
    destination = add(destinations, "a", 1 if what == "queue" else 0)
    if what == "retry":
        destinations.put_off(Part(0, destination), 100.0)
    if what == "attempt":
        destination.in_flight += 1
    if what == "queue":
        assert destination.relays[0].try_acquire(0.0)

    destinations.retire(destination)

    assert destinations.find("a") is destination


def test_what_is_remembered_has_a_bound_and_the_oldest_is_forgotten_first() -> None:
    destinations = made(memory=Memory(limit=3))
    for key in ("a", "b", "a", "c", "d"):
        destinations.retire(add(destinations, key, 0))

    assert len(destinations.memory) == 3
    assert destinations.memory.take("b") == ()
    assert [len(destinations.memory.take(key)) for key in "acd"] == [1, 1, 1]


def test_ten_thousand_idle_destinations_cost_at_most_500_octets_each() -> None:
    destinations = made()
    destinations.retire(add(destinations, "warm", 0))
    tracemalloc.start()
    try:
        for number in range(MAX_REMEMBERED):
            key = f"destination-{number:05}.example"
            destination = add(destinations, key, 1)
            [part] = pick_all(destinations)
            destination.relays[0].window.succeeded(1000.0 + number)
            part.destination.relays[part.relay].release()
            destinations.retire(destination)
            del destination, part
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(destinations.memory) == MAX_REMEMBERED
    assert used <= 500 * MAX_REMEMBERED


# Whatever the relays do


@dataclass
class Ocean:
    """Drives many destinations as a Mailer does: by what happens, and by the times it is named.

    Attributes:
        events: how often something happened.
        wakes: how often anything was looked at though nothing had happened.
    """

    source: random.Random
    now: float = 0.0
    events: int = 0
    wakes: int = 0
    told: int = 0
    sent: int = 0
    given_up: int = 0
    in_flight: int = 0
    agenda: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list[Any])

    def __post_init__(self) -> None:
        draw = self.source
        self.numbers = itertools.count()
        self.keys = [f"d{number}" for number in range(draw.randint(1, 12))]
        self.give_up_after = draw.choice([None, 300.0, 5_000.0])
        self.destinations: Destinations[Part] = Destinations(
            draw.random, give_up_after=self.give_up_after
        )
        self.moods: dict[tuple[str, int], str] = {}
        self.limit = draw.choice([1, 3, 100])
        self.wakes_at = NEVER

    def destination(self, key: str) -> Destination[Part]:
        found = self.destinations.find(key)
        if found is not None:
            return found
        random_one = random.Random(key)  # noqa: S311 - a test
        relays = []
        for number in range(random_one.randint(1, 3)):
            most = random_one.choice([1, 2, 5])
            rate = random_one.choice([None, None, "1/min burst 5", "20/s", "3/s burst 2"])
            relays.append((f"host{number}", relay(most=most, first=most, rate=rate)))
            mood = self.source.choice(["good", "good", "slow", "dead", "flaky"])
            self.moods.setdefault((key, number), mood)
        return self.destinations.add(key, relays)

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.agenda, (when, next(self.numbers), what))

    def tell(self, count: int) -> None:
        self.events += 1
        for _ in range(count):
            self.told += 1
            destination = self.destination(self.source.choice(self.keys))
            cost = self.source.choice([1, 1, 1, MAX_COST])
            part = Part(self.told, destination, self.now, cost=cost)
            if self.source.random() < 0.05:
                part.is_pressing = True
                self.destinations.prepend(part)
                self.dispatch()
            elif self.destinations.append(part):
                self.dispatch()

    def dispatch(self) -> None:
        while self.in_flight < self.limit:
            part = self.destinations.pick(self.now)
            if part is None:
                self.check()
                break
            self.begin(part)
        when = self.destinations.agenda.next_time
        if when < self.wakes_at:
            self.wakes_at = when
            self.at(max(when, self.now), lambda: self.wake(when))

    def wake(self, when: float) -> None:
        if when != self.wakes_at:
            return  # another was set in its place
        self.wakes_at = NEVER
        self.wakes += 1
        self.destinations.look_at_due(self.now)
        self.dispatch()
        for destination, parts in self.destinations.take_expired(self.now):
            self.given_up += len(parts)
            self.destinations.retire(destination)
        self.dispatch()

    def check(self) -> None:
        """See that no part stays that could go, whatever becomes of the others."""
        for destination in self.destinations:
            if destination.looks_at <= self.now + 2e-6:
                continue  # it is this moment's; a bucket lets a token drop in a microsecond early
            usable = [n for n, one in enumerate(destination.relays) if one.is_available(self.now)]
            for avoid in {part.avoid for part in destination.queue}:
                choice = [n for n in usable if n not in avoid] or usable
                if choice:
                    wait = destination.relays[choice[0]].seconds_until_ready(self.now)
                    assert wait > 0, f"a part of {destination.key} could go"

    def begin(self, part: Part) -> None:
        self.in_flight += 1
        part.destination.in_flight += 1
        began, draw = self.now, self.source
        mood = self.moods[str(part.destination.key), part.relay]
        takes = {"slow": 200.0, "dead": 0.5}.get(mood, 0.2) * draw.random()
        fails = mood == "dead" or (mood == "flaky" and draw.random() < 0.5)
        self.at(self.now + takes, lambda: self.end(part, began, fails=fails))

    def end(self, part: Part, began: float, *, fails: bool) -> None:
        self.events += 1
        destination, window = part.destination, part.destination.relays[part.relay].window
        if not fails:
            window.succeeded(self.now)
            self.sent += 1
        else:
            window.failed(self.now, since=began)
            part.avoid |= {part.relay}
            if any(
                number not in part.avoid and one.is_available(self.now)
                for number, one in enumerate(destination.relays)
            ):
                self.destinations.prepend(part)
            else:
                part.avoid = NO_RELAYS
                self.events += 1  # it will come back
                self.destinations.put_off(part, self.now + 60 * self.source.random())
        self.in_flight -= 1
        destination.in_flight -= 1
        destination.relays[part.relay].release()
        self.destinations.activate(destination)
        self.dispatch()
        self.destinations.retire(destination)

    def run(self, most: int) -> None:
        while self.agenda and self.events < most:
            self.now, _, what = heapq.heappop(self.agenda)
            what()
            self.count()

    def count(self) -> None:
        waiting = list(self.destinations)
        queued = [part for destination in waiting for part in destination.queue]
        assert self.destinations.queued == len(queued)
        assert self.destinations.pressing == sum(part.is_pressing for part in queued)
        assert self.destinations.retries == sum(len(one.retries) for one in waiting)
        assert len(self.destinations.agenda) <= 2 * len(waiting) + 16
        assert not any(one.is_unused and not one.is_active for one in waiting)
        everywhere = self.destinations.queued + self.destinations.retries + self.in_flight
        assert self.told == everywhere + self.sent + self.given_up


@pytest.mark.parametrize("part", range(times(2, thoroughly=20)))
def test_many_destinations_sleep_until_something_can_have_changed_and_leave_no_mail(
    part: int,
) -> None:
    """Thousands of Mailers with all kinds of destinations, rates, windows and backups."""
    for seed in range(300 * part, 300 * part + times(120, thoroughly=300)):
        source = random.Random(seed)  # noqa: S311 - a test
        ocean = Ocean(source)
        for count in (source.randint(1, 30) for _ in range(3)):
            when = source.choice([0.0, 0.5, 30.0, 500.0])
            ocean.at(when, functools.partial(ocean.tell, count))

        def recover(ocean: Ocean = ocean) -> None:
            for place in ocean.moods:
                ocean.moods[place] = "good"

        ocean.at(source.choice([5.0, 100.0, 2000.0]), recover)
        try:
            ocean.run(1_000)
        except AssertionError as error:
            raise AssertionError(f"seed {seed} at {ocean.now}: {error}") from error

        assert ocean.wakes <= 3 * ocean.events + 20, f"seed {seed}"
        if not ocean.agenda:
            assert ocean.sent + ocean.given_up == ocean.told, f"seed {seed}"
            assert list(ocean.destinations) == [], f"seed {seed}: some are in use"

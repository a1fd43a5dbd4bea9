"""Which of the mails that wait may go where now, and when there is something to look at again."""

import copy
import functools
import heapq
import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from servers.capacities import capacity as relay
from servers.effort import times

from pykka_smtp.actors.mailer.capacity.capacity import Capacity
from pykka_smtp.actors.mailer.queue.mail_queue import NO_RELAYS, MailQueue

DAY = 86_400.0


@dataclass(eq=False)
class Mail:
    """A mail that waits."""

    number: int
    submitted_at: float = 0.0
    avoid: frozenset[int] = NO_RELAYS

    def __repr__(self) -> str:
        return f"mail {self.number}"


def kill(one: Capacity, now: float = 0.0) -> Capacity:
    """Have a relay fail until it is dead."""
    while not one.is_dead:
        one.window.failed(now)
    return one


def queue_of(
    relays: Sequence[Capacity], count: int, draw: Callable[[], float] = lambda: 0.0
) -> MailQueue[Mail]:
    queue: MailQueue[Mail] = MailQueue(relays, draw)
    for number in range(count):
        queue.append(Mail(number))
    return queue


def pick_all(queue: MailQueue[Mail], now: float = 0.0) -> list[tuple[int, int]]:
    """Pick what may go; return the numbers of the mails, and of their relays."""
    picked = iter(lambda: queue.pick(now), None)
    return [(mail.number, where) for mail, where in picked]


# Who goes where


def test_mails_go_in_their_order_as_far_as_the_window_allows() -> None:
    queue = queue_of([relay(first=3)], 5)

    assert pick_all(queue) == [(0, 0), (1, 0), (2, 0)]
    assert len(queue) == 2
    assert queue.next_time(0.0) is None


def test_a_relay_that_is_only_busy_is_waited_for_and_a_dead_one_is_not() -> None:
    relays = [relay(first=1), relay(first=2)]
    queue = queue_of(relays, 4)

    assert pick_all(queue) == [(0, 0)]
    kill(relays[0])
    assert pick_all(queue) == [(1, 1), (2, 1)]


def test_a_mail_that_must_avoid_a_relay_stands_before_no_other() -> None:
    relays = [relay(first=3), relay(first=1)]
    queue = queue_of(relays, 2)
    assert relays[1].try_acquire(0.0)  # the backup is silent
    for number in (10, 11):
        queue.prepend(Mail(number), frozenset({0}))

    assert pick_all(queue) == [(0, 0), (1, 0)]
    assert len(queue) == 2
    relays[1].release()
    assert pick_all(queue) == [(11, 1)]


def test_a_mail_that_all_relays_have_failed_goes_to_the_one_that_is_alive() -> None:
    relays = [relay(), kill(relay())]
    queue = queue_of(relays, 0)
    queue.prepend(Mail(1), frozenset({0}))

    assert pick_all(queue) == [(1, 0)]


def test_a_mail_that_a_relay_has_failed_goes_before_the_others() -> None:
    relays = [kill(relay()), relay(first=1)]
    queue = queue_of(relays, 3)
    queue.prepend(Mail(10), frozenset({0}))

    assert pick_all(queue) == [(10, 1)]


def test_a_mail_drawn_for_a_relay_that_is_slow_does_not_stand_before_the_others() -> None:
    relays = [relay(first=1, weight=1.0), relay(most=50, first=50, weight=1.0)]
    draws = itertools.cycle([0.1, 0.9])

    queue = queue_of(relays, 20, lambda: next(draws))

    assert pick_all(queue) == [(0, 0), *((number, 1) for number in range(1, 20, 2))]
    relays[0].release()
    assert pick_all(queue) == [(2, 0)]


def test_a_relay_is_drawn_once_for_each_email() -> None:
    relays = [relay(most=4, first=4, weight=3.0), relay(most=4, first=4, weight=1.0)]
    draws = 0
    source = random.Random(7)  # noqa: S311 - a test

    def draw() -> float:
        nonlocal draws
        draws += 1
        return source.random()

    queue = queue_of(relays, 400, draw)
    went: Counter[int] = Counter()
    while len(queue):
        for _, where in pick_all(queue):
            went[where] += 1
            pick_all(queue)
        for one in relays:
            while one.busy:
                one.release()

    assert draws == 400
    assert 260 <= went[0] <= 340


def test_mails_drawn_for_a_relay_that_dies_go_to_the_others_in_their_order() -> None:
    relays = [relay(first=1, weight=1.0), relay(first=2, weight=1.0), relay(first=2, weight=1.0)]
    draws = iter([0.0] * 5 + [0.4, 0.99] * 50)
    queue = queue_of(relays, 5, lambda: next(draws))
    assert pick_all(queue) == [(0, 0)]

    kill(relays[0])

    assert pick_all(queue) == [(1, 1), (2, 2), (3, 1), (4, 2)]


def test_a_first_relay_that_comes_back_gets_the_mails_that_were_drawn_for_backups() -> None:
    relays = [kill(relay(most=9, first=9)), relay(first=1, weight=1.0), relay(first=1, weight=1.0)]
    draws = itertools.cycle([0.1, 0.1, 0.1, 0.9])
    queue = queue_of(relays, 6, lambda: next(draws))
    assert pick_all(queue) == [(0, 1), (3, 2)]

    for _ in range(30):
        relays[0].window.succeeded(0.0)

    assert pick_all(queue) == [(1, 0), (2, 0), (4, 0), (5, 0)]


def test_a_probe_is_one_mail_and_the_others_go_on() -> None:
    relays = [kill(relay()), relay()]
    queue = queue_of(relays, 4)
    revives = relays[0].window.next_probe_at
    assert revives is not None

    assert pick_all(queue, revives) == [(0, 0), (1, 1), (2, 1), (3, 1)]


def test_a_mail_for_which_there_is_only_a_dead_relay_without_a_token_waits_for_the_token() -> None:
    one = relay(rate="1/min burst 5")
    for _ in range(5):
        assert one.try_acquire(0.0)
    kill(one)
    one.busy = 0
    queue = queue_of([one], 1)
    revives = one.window.next_probe_at
    assert revives is not None

    assert pick_all(queue, revives) == []
    assert queue.next_time(revives) == pytest.approx(60.0)
    assert pick_all(queue, 60.0) == [(0, 0)]


def test_a_relay_without_a_token_is_not_probed_and_mails_go_to_the_next() -> None:
    relays = [relay(rate="1/min burst 3", first=3), relay()]
    for _ in range(3):
        assert relays[0].try_acquire(0.0)
    kill(relays[0])
    queue = queue_of(relays, 2)

    assert pick_all(queue, 20.0) == [(0, 1), (1, 1)]


# When to look again


def test_a_queue_whose_relay_is_busy_is_not_looked_at_for_its_rate() -> None:
    """The backup has been used once, so that its bucket is there, and full."""
    relays = [relay(first=1, rate="10/s"), relay(rate="10/s")]
    assert relays[1].try_acquire(0.0)
    relays[1].release()
    queue = queue_of(relays, 3)
    assert pick_all(queue, 5.0) == [(0, 0)]

    assert queue.next_time(5.0) is None


def test_a_queue_with_a_weighted_relay_that_is_slow_is_not_looked_at_for_the_free_one() -> None:
    relays = [relay(first=1, weight=1.0), relay(weight=1.0)]
    queue = queue_of(relays, 5)  # all are drawn for the first
    assert pick_all(queue) == [(0, 0)]

    assert queue.next_time(0.0) is None


def test_a_queue_is_looked_at_when_a_relay_may_be_probed_that_comes_before_the_busy_one() -> None:
    relays = [kill(relay()), relay(first=1), kill(relay())]
    queue = queue_of(relays, 3)
    assert pick_all(queue) == [(0, 1)]

    assert queue.next_time(0.0) == relays[0].window.next_probe_at


def test_a_queue_is_not_looked_at_for_a_dead_relay_that_no_mail_would_go_to() -> None:
    relays = [relay(first=1), kill(relay())]
    queue = queue_of(relays, 3)
    assert pick_all(queue) == [(0, 0)]

    assert queue.next_time(0.0) is None


def test_an_empty_queue_is_not_looked_at() -> None:
    assert queue_of([relay()], 0).next_time(0.0) is None
    assert queue_of([kill(relay()), kill(relay())], 0).next_time(0.0) is None


def test_mails_that_have_waited_for_too_long_are_taken_out_at_the_head_of_each_line() -> None:
    relays = [relay(first=1, weight=1.0), relay(first=1, weight=1.0)]
    draws = iter([0.0, 0.0, 0.0, 0.9])
    queue: MailQueue[Mail] = MailQueue(relays, lambda: next(draws))
    for number in range(6):
        queue.append(Mail(number, submitted_at=number))
    assert relays[0].try_acquire(0.0)
    assert pick_all(queue) == [(3, 1)]  # three are drawn for the first relay, two for none
    queue.prepend(Mail(11, submitted_at=3.5), frozenset({0}))
    queue.prepend(Mail(10, submitted_at=0.5), frozenset({0}))

    assert [mail.number for mail in queue.take_expired(11.0, 10.0)] == [10, 0, 1]
    assert [mail.number for mail in queue.take_all()] == [11, 2, 4, 5]
    assert len(queue) == 0


@pytest.mark.parametrize("kind", ["one", "in order", "by weight"])
def test_ten_thousand_mails_that_wait_cost_no_more_than_ten(kind: str) -> None:
    weight = 1.0 if kind == "by weight" else None
    relays = [relay(weight=weight) for _ in range(1 if kind == "one" else 3)]
    draws = 0

    def draw() -> float:
        nonlocal draws
        draws += 1
        return draws * 0.377 % 1

    queue = queue_of(relays, 10_000, draw)
    queue.prepend(Mail(-1), frozenset({0}))
    events = 0
    while len(queue):
        for one in relays:
            if one.busy:
                one.release()
                events += 1
            pick_all(queue)
            queue.next_time(0.0)

    assert draws <= 2 * 10_001
    assert sum(one.looks for one in relays) <= 20 * 10_001 + 10 * events


# Whatever the relays do


@dataclass
class World:
    """Drives a queue as a Mailer does: by what happens, and by the times that the queue names.

    Attributes:
        events: how often something happened: a mail came, ended, or came back.
        wakes: how often the queue was looked at though nothing had happened.
    """

    source: random.Random
    now: float = 0.0
    events: int = 0
    wakes: int = 0
    idle_wakes: int = 0
    sent: int = 0
    told: int = 0
    waiting: dict[int, Mail] = field(default_factory=dict[int, Mail])

    def __post_init__(self) -> None:
        draw = self.source
        weighted = draw.random() < 0.5
        self.relays = [self._relay(weighted and number > 0) for number in range(draw.randint(1, 4))]
        if weighted and draw.random() < 0.3:
            self.relays = self.relays[1:] or self.relays
        self.moods = [draw.choice(["good", "good", "slow", "dead", "flaky"]) for _ in self.relays]
        self.queue: MailQueue[Mail] = MailQueue(self.relays, draw.random)
        self.agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.numbers = itertools.count()
        self.wakes_at = math.inf

    def _relay(self, is_weighted: bool) -> Capacity:
        draw = self.source
        most = draw.choice([1, 2, 5, 20])
        rates = [None, None, "1/min burst 5", "20/s", "3/s burst 2", "1000/s"]
        return relay(
            most=most,
            first=draw.randint(1, most),
            rate=draw.choice(rates),
            weight=draw.choice([0.1, 1.0, 3.0]) if is_weighted else None,
        )

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.agenda, (when, next(self.numbers), what))

    def tell(self, count: int) -> None:
        for _ in range(count):
            self.told += 1
            mail = Mail(self.told, self.now)
            self.waiting[mail.number] = mail
            if self.queue.append(mail):
                self.look()

    def look(self) -> int:
        """Do what the Mailer does; return how many mails went."""
        went = 0
        while (picked := self.queue.pick(self.now)) is not None:
            went += 1
            self.begin(*picked)
        self.check(self.relays, self.now)
        when = self.queue.next_time(self.now)
        assert when is None or when > self.now
        if self.source.random() < 0.03:
            self.check_that_nothing_changes_before(when)
        if when is not None and when < self.wakes_at:
            self.wakes_at = when
            self.at(when, lambda: self.wake(when))
        return went

    def wake(self, when: float) -> None:
        if when != self.wakes_at:
            return  # another was set in its place
        self.wakes_at = math.inf
        self.wakes += 1
        self.idle_wakes = 0 if self.look() else self.idle_wakes + 1
        # Each relay may become due once, with nobody to go there; and one timer may be stale.
        assert self.idle_wakes <= len(self.relays) + 1, "it spins"

    def check(self, relays: list[Capacity], now: float) -> None:
        """See that no mail stays that could go, whatever becomes of the others."""
        usable = [n for n, one in enumerate(relays) if one.is_available(now)]
        for avoid in {mail.avoid for mail in self.waiting.values()}:
            choice = [n for n in usable if n not in avoid] or usable
            if choice and relays[choice[0]].weight is None:
                assert relays[choice[0]].seconds_until_ready(now) > 0, (
                    f"a mail could go to {choice[0]}"
                )
            elif choice:
                weighty = [n for n in choice if relays[n].weight is not None]
                assert any(relays[n].seconds_until_ready(now) > 0 for n in weighty), (
                    "a mail could go"
                )

    def check_that_nothing_changes_before(self, when: float | None) -> None:
        """See that the queue does not sleep for too long."""
        until = self.now + DAY if when is None else when
        # Just before: a bucket lets a token drop in a microsecond early, because timers round.
        for moment in ((self.now + until) / 2, until - 2e-6):
            if moment > self.now:
                self.check(copy.deepcopy(self.relays), moment)

    def begin(self, mail: Mail, where: int) -> None:
        del self.waiting[mail.number]
        began, mood, draw = self.now, self.moods[where], self.source
        takes = {"slow": 200.0, "dead": 0.5}.get(mood, 0.2) * draw.random()
        fails = mood == "dead" or (mood == "flaky" and draw.random() < 0.5)
        self.at(self.now + takes, lambda: self.end(mail, where, began, fails=fails))

    def end(self, mail: Mail, where: int, began: float, *, fails: bool) -> None:
        self.events += 1
        self.idle_wakes = 0
        one = self.relays[where]
        if fails:
            one.window.failed(self.now, since=began)
            self.fail_over(mail, where)
        else:
            what = self.source.random()
            if what < 0.1:
                one.window.deferred(self.now, since=began)
            elif what < 0.2:
                one.window.released(since=began)
            else:
                one.window.succeeded(self.now)
            self.sent += 1
        one.release()
        self.look()

    def fail_over(self, mail: Mail, where: int) -> None:
        mail.avoid |= {where}
        if any(n not in mail.avoid and r.is_available(self.now) for n, r in enumerate(self.relays)):
            self.waiting[mail.number] = mail
            self.queue.prepend(mail, mail.avoid)
            return
        mail.avoid = NO_RELAYS
        self.at(self.now + 60 * self.source.random(), lambda: self.come_back(mail))

    def come_back(self, mail: Mail) -> None:
        self.events += 1
        self.idle_wakes = 0
        self.waiting[mail.number] = mail
        if self.queue.append(mail):
            self.look()

    def run(self, most: int) -> None:
        while self.agenda and self.events < most:
            self.now, _, what = heapq.heappop(self.agenda)
            what()


@pytest.mark.parametrize("part", range(times(2, thoroughly=5)))
def test_a_queue_sleeps_until_something_can_have_changed_and_leaves_no_mail_that_could_go(
    part: int,
) -> None:
    """Thousands of Mailers with all kinds of relays, rates, windows and weights."""
    # Ten seconds each where the coverage is measured.
    for seed in range(1000 * part, 1000 * part + times(400, thoroughly=1000)):
        source = random.Random(seed)  # noqa: S311 - a test
        world = World(source)
        for count in (source.randint(1, 20) for _ in range(3)):
            when = source.choice([0.0, 0.5, 30.0, 500.0])
            world.at(when, functools.partial(world.tell, count))
        for number in range(len(world.relays)):
            recover = functools.partial(world.moods.__setitem__, number, "good")
            world.at(source.choice([5.0, 100.0, 2000.0]), recover)
        try:
            world.run(300)
        except AssertionError as error:
            raise AssertionError(f"seed {seed} at {world.now}: {error}") from error

        assert world.wakes <= 2 * world.events + 10, f"seed {seed}"
        if world.events < 300:
            assert (world.sent, len(world.queue)) == (world.told, 0), f"seed {seed}"

"""The window of mails that may be on their way to one destination at once."""

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pykka_smtp.actors.mailer.capacity.concurrency import (
    FIRST_PAUSE,
    INITIAL_CONCURRENCY,
    LONGEST_PAUSE,
    ConcurrencyWindow,
)


def busy_window(most: int = 20, *, first: int = INITIAL_CONCURRENCY) -> ConcurrencyWindow:
    """A window that has as many mails on their way as it allows."""
    window = ConcurrencyWindow(most, first=first)
    window.try_acquire(most, 0.0)
    return window


def dead_window(most: int = 20, *, at: float = 0.0) -> ConcurrencyWindow:
    window = busy_window(most)
    for _ in range(5):
        window.failed(at)
    assert window.is_dead
    return window


def limits(window: ConcurrencyWindow, does: str, times: int) -> list[int]:
    """The limit after each of so many results of one kind."""
    seen: list[int] = []
    for _ in range(times):
        getattr(window, does)(0.0)
        seen.append(window.limit)
    return seen


# Growing and shrinking


def test_a_window_begins_with_five_or_less_if_there_may_not_be_as_many() -> None:
    assert ConcurrencyWindow(20).limit == 5
    assert ConcurrencyWindow(3).limit == 3
    assert ConcurrencyWindow(20, first=8).limit == 8


def test_as_many_may_be_on_their_way_as_the_window_is_wide() -> None:
    window = ConcurrencyWindow(20)

    assert [window.try_acquire(busy, 0.0) for busy in range(7)] == [*[True] * 5, False, False]


def test_a_window_grows_by_one_after_as_many_successes_as_it_is_wide() -> None:
    window = busy_window()

    assert limits(window, "succeeded", 11) == [5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 7]


def test_a_window_never_grows_beyond_the_most_and_forgets_what_it_could_not_grow_by() -> None:
    window = busy_window(6)

    assert limits(window, "succeeded", 100)[-1] == 6
    assert limits(window, "failed", 1) == [5]
    assert limits(window, "succeeded", 5) == [5, 5, 5, 5, 6]


def test_a_window_shrinks_at_the_first_of_as_many_failures_as_it_is_wide() -> None:
    window = busy_window(first=4)
    seen: list[int] = []
    for _ in range(8):
        window.deferred(0.0)
        seen.append(window.limit)

    assert seen == [3, 3, 3, 3, 2, 2, 2, 1]


def test_after_growing_the_next_failure_counts_at_once() -> None:
    window = busy_window(first=2)
    window.failed(0.0)
    assert window.limit == 1
    window.succeeded(0.0)
    assert window.limit == 2

    window.failed(0.0)

    assert window.limit == 1


def test_successes_before_a_failure_do_not_help_to_grow_after_it() -> None:
    window = busy_window()
    limits(window, "succeeded", 4)
    window.failed(0.0)

    assert limits(window, "succeeded", 4) == [4, 4, 4, 5]


def test_an_unfilled_window_grows_little_beyond_its_use() -> None:
    window = ConcurrencyWindow(100)
    for _ in range(1000):
        assert window.try_acquire(2, 0.0)
        window.succeeded(0.0)

    assert window.limit == 2 + INITIAL_CONCURRENCY


def test_a_server_that_takes_eight_at_once_gets_about_eight() -> None:
    window, refused, total = ConcurrencyWindow(20), 0, 0
    seen: list[int] = []
    for _ in range(500):
        began = 0
        while window.try_acquire(began, 0.0):
            began += 1
        for nth in range(began):
            if nth < 8:
                window.succeeded(0.0)
            else:
                window.failed(0.0)
        refused, total = refused + max(began - 8, 0), total + began
        seen.append(window.limit)

    assert set(seen[10:]) <= {8, 9}
    assert refused / total < 0.1


# Dying


def test_as_many_failures_in_a_row_as_the_window_is_wide_make_the_destination_dead() -> None:
    window = busy_window()

    for _ in range(4):
        window.failed(3.0)
        assert not window.is_dead
    window.failed(3.0)

    assert window.is_dead
    assert window.limit == 1
    assert window.next_probe_at == 3.0 + FIRST_PAUSE
    assert not window.is_probing


def test_a_wide_window_takes_as_many_failures_as_it_is_wide() -> None:
    window = busy_window(first=20)

    for _ in range(19):
        window.failed(0.0)
    assert not window.is_dead
    window.failed(0.0)

    assert window.is_dead


@pytest.mark.parametrize("most", [1, 2, 3])
def test_one_or_two_failures_never_make_a_destination_dead(most: int) -> None:
    window = busy_window(most)
    window.failed(0.0)
    window.failed(0.0)
    assert not window.is_dead

    window.failed(0.0)

    assert window.is_dead


def test_ten_tenths_are_a_whole() -> None:
    window = busy_window(first=1)
    limits(window, "succeeded", 55)
    assert window.limit == 11
    window.failed(0.0)
    window.succeeded(0.0)
    assert window.limit == 10

    for _ in range(10):
        window.failed(0.0)

    assert window.is_dead


def test_a_single_success_ends_a_row_of_failures() -> None:
    window = busy_window()

    for _ in range(100):
        window.failed(0.0)
        window.failed(0.0)
        window.succeeded(0.0)

    assert not window.is_dead
    assert 1 <= window.limit <= 2


def test_a_server_that_always_says_later_is_slow_not_dead() -> None:
    window = busy_window()

    assert limits(window, "deferred", 1000)[-1] == 1

    assert not window.is_dead
    assert window.try_acquire(0, 0.0)
    assert not window.try_acquire(1, 0.0)


def test_an_answer_ends_a_row_of_failures() -> None:
    window = busy_window(1)
    for _ in range(10):
        window.failed(0.0)
        window.failed(0.0)
        assert not window.is_dead
        window.deferred(0.0)


def test_what_is_cancelled_tells_nothing_about_a_destination_that_is_alive() -> None:
    window = busy_window()
    for _ in range(4):
        window.failed(0.0)
    window.released()
    assert window.limit == 4
    assert not window.is_dead

    window.failed(0.0)

    assert window.is_dead


# Probing


def test_nothing_goes_to_a_dead_destination_before_the_pause_is_over() -> None:
    window = dead_window(at=100.0)

    assert not window.try_acquire(0, 100.0)
    assert not window.try_acquire(0, 109.99)
    assert window.try_acquire(0, 110.0)


def test_one_probe_goes_and_no_other_while_it_is_on_its_way() -> None:
    window = dead_window()

    assert window.try_acquire(0, 10.0)
    assert window.is_probing
    assert window.next_probe_at is None
    assert [window.try_acquire(busy, now) for busy in (0, 1) for now in (10.0, 1e6)] == [False] * 4


def test_a_probe_goes_though_mails_from_before_still_hang() -> None:
    assert dead_window().try_acquire(15, 10.0)


def test_a_probe_that_succeeds_brings_the_destination_back_with_a_window_of_one() -> None:
    window = dead_window()
    window.try_acquire(0, 10.0)

    window.succeeded(11.0)

    assert not window.is_dead
    assert not window.is_probing
    assert window.next_probe_at is None
    assert window.limit == 1
    assert window.try_acquire(0, 11.0)
    assert limits(window, "succeeded", 10) == [2, 2, 3, 3, 3, 4, 4, 4, 4, 5]


def test_a_probe_that_is_answered_later_please_brings_the_destination_back_too() -> None:
    window = dead_window()
    window.try_acquire(0, 10.0)

    window.deferred(11.0, since=10.0)

    assert not window.is_dead
    assert window.limit == 1


def test_the_pause_doubles_with_each_probe_that_fails_up_to_five_minutes() -> None:
    window, now = dead_window(), 0.0
    pauses: list[float] = []
    for _ in range(8):
        assert window.next_probe_at is not None
        pauses.append(window.next_probe_at - now)
        now = window.next_probe_at
        assert window.try_acquire(0, now)
        window.failed(now, since=now)
        assert window.is_dead
        assert not window.is_probing

    assert pauses == [10, 20, 40, 80, 160, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]


def test_a_probe_that_is_cancelled_makes_room_for_another_at_once() -> None:
    window = dead_window()
    assert window.try_acquire(0, 12.0)

    window.released(since=12.0)

    assert window.is_dead
    assert window.next_probe_at == 10.0
    assert window.try_acquire(0, 12.0)
    assert not window.try_acquire(0, 12.0)


def test_the_pause_stays_long_for_a_destination_that_comes_back_only_to_die_again() -> None:
    window = dead_window()
    assert window.try_acquire(0, 10.0)
    assert limits(window, "succeeded", 7)[-1] == 4
    for _ in range(4):
        window.failed(10.0)

    assert window.next_probe_at == 30.0


def test_the_pause_is_short_again_once_the_window_is_as_wide_as_at_first() -> None:
    window = dead_window()
    assert window.try_acquire(0, 10.0)
    assert limits(window, "succeeded", 11)[-1] == 5

    for _ in range(5):
        window.failed(20.0)

    assert window.next_probe_at == 30.0


def test_a_mail_from_before_that_gets_through_brings_a_dead_destination_back() -> None:
    window = dead_window()

    window.succeeded(2.0)

    assert not window.is_dead
    assert window.limit == 1
    for _ in range(10):
        window.failed(2.5, since=1.5)
    assert not window.is_dead


def test_failures_of_mails_that_began_before_its_death_do_not_lengthen_it() -> None:
    window = dead_window(at=1.0)

    for _ in range(10):
        window.failed(2.0, since=0.5)

    assert window.next_probe_at == 11.0


def test_failures_of_mails_that_began_before_the_probe_are_not_the_probe_s() -> None:
    window = dead_window(at=1.0)
    assert window.try_acquire(3, 11.0)

    window.failed(12.0, since=0.5)
    window.released(since=0.5)

    assert window.is_probing
    assert not window.try_acquire(1, 50.0)
    window.failed(60.0, since=11.0)
    assert window.next_probe_at == 80.0


def test_failures_of_mails_that_began_before_it_came_back_do_not_kill_it_again() -> None:
    window = dead_window(at=1.0)
    assert window.try_acquire(15, 11.0)
    window.succeeded(12.0)

    for _ in range(15):
        window.failed(13.0, since=0.5)
        window.deferred(13.0, since=0.5)

    assert not window.is_dead


def test_a_server_that_is_down_for_ten_minutes_sees_few_attempts_and_is_found_again_soon() -> None:
    window, attempts, found = ConcurrencyWindow(20), 0, 0.0
    for second in range(1000):
        now, began = float(second), 0
        while window.try_acquire(began, now):
            began += 1
        for _ in range(began):
            if now < 600:
                attempts += 1
                window.failed(now, since=now)
            else:
                found = found or now
                window.succeeded(now)

    assert attempts == 5 + 5
    assert found == sum((10, 20, 40, 80, 160, 300))
    assert window.limit == 20


# Options and people


@pytest.mark.parametrize(("most", "first"), [(0, 5), (-1, 5), (5, 0)])
def test_a_window_less_than_one_wide_is_refused(most: int, first: int) -> None:
    with pytest.raises(ValueError, match="at least 1 wide"):
        ConcurrencyWindow(most, first=first)


@pytest.mark.parametrize(("pause", "longest"), [(0, 1), (-1, 1), (2, 1)])
def test_a_pause_out_of_range_is_refused(pause: float, longest: float) -> None:
    with pytest.raises(ValueError, match="a pause needs"):
        ConcurrencyWindow(5, pause=pause, longest_pause=longest)


def test_a_window_says_how_it_is() -> None:
    assert repr(ConcurrencyWindow(20)) == "<ConcurrencyWindow 5 of 20>"
    window = dead_window()
    assert repr(window) == "<ConcurrencyWindow dead, probe at 10.0>"
    window.try_acquire(0, 10.0)
    assert repr(window) == "<ConcurrencyWindow dead, probing>"


# Whatever happens


@dataclass(eq=False)
class Mail:
    since: float
    is_probe: bool


class WindowMachine(RuleBasedStateMachine):
    """A destination that does anything, and a program that says when each mail began."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 7
        self.window = ConcurrencyWindow(self.most, pause=1.0, longest_pause=8.0)
        self.now = 0.0
        self.mails: list[Mail] = []

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 3.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def begin(self) -> None:
        was_dead, next_probe_at = self.window.is_dead, self.window.next_probe_at
        probes = sum(mail.is_probe for mail in self.mails)
        may = self.window.try_acquire(len(self.mails), self.now)
        if was_dead:
            assert may is (probes == 0 and next_probe_at is not None and self.now >= next_probe_at)
        else:
            assert may is (len(self.mails) < self.window.limit)
        if may:
            self.mails.append(Mail(self.now, was_dead))

    @rule()
    def begin_all(self) -> None:
        for _ in range(self.most):
            self.begin()

    @precondition(lambda self: self.mails)
    @rule(data=st.data(), how=st.sampled_from(["succeeded", "failed", "deferred", "released"]))
    def one_ends(self, data: st.DataObject, how: str) -> None:
        mail = self.mails.pop(data.draw(st.integers(0, len(self.mails) - 1)))
        self.end(mail, how)

    @precondition(lambda self: self.mails)
    @rule()
    def all_fail(self) -> None:
        while self.mails:
            self.end(self.mails.pop(), "failed")

    def end(self, mail: Mail, how: str) -> None:
        was_dead, width = self.window.is_dead, self.window.limit
        if how == "succeeded":
            self.window.succeeded(self.now)
        elif how == "released":
            self.window.released(since=mail.since)
        else:
            getattr(self.window, how)(self.now, since=mail.since)
        if how in ("succeeded", "deferred"):
            assert not self.window.is_dead
        if how == "released":
            assert self.window.is_dead is was_dead
        if was_dead and not self.window.is_dead:
            assert self.window.limit == 1
            for other in self.mails:
                other.is_probe = False  # no longer: now it is a mail as any other
        elif not self.window.is_dead:
            assert abs(self.window.limit - width) <= 1

    @invariant()
    def the_window_is_within_its_bounds(self) -> None:
        assert 1 <= self.window.limit <= self.most

    @invariant()
    def at_most_one_probe_is_on_its_way_and_only_to_a_dead_destination(self) -> None:
        probes = sum(mail.is_probe for mail in self.mails)
        assert probes == int(self.window.is_probing)
        assert self.window.is_dead or not probes

    @invariant()
    def a_dead_destination_always_has_a_way_back(self) -> None:
        if not self.window.is_dead:
            assert self.window.next_probe_at is None
        elif self.window.next_probe_at is None:
            assert self.window.is_probing
        else:
            assert self.window.next_probe_at <= self.now + 8.0

    def teardown(self) -> None:
        for mail in self.mails:
            self.end(mail, "released")
        self.mails.clear()
        if self.window.is_dead:
            self.now += 8.0
            assert self.window.try_acquire(0, self.now)
            self.window.succeeded(self.now)
        assert not self.window.is_dead
        for _ in range(100):
            self.window.try_acquire(self.most - 1, self.now)
            self.window.succeeded(self.now)
        assert self.window.limit == self.most


TestWindowMachine = WindowMachine.TestCase
TestWindowMachine.settings = settings(max_examples=50, stateful_step_count=40)

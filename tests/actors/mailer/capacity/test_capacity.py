"""What one relay can take at a moment, and what more has to wait for."""

import math
import random

from servers.capacities import capacity
from servers.effort import times


def test_as_many_may_go_as_the_window_is_wide_and_then_one_has_to_end() -> None:
    one = capacity(first=2)

    assert [one.try_acquire(0.0) for _ in range(3)] == [True, True, False]
    assert (one.busy, one.seconds_until_ready(0.0)) == (2, math.inf)
    one.release()
    assert one.seconds_until_ready(0.0) == 0.0


def test_a_window_that_is_wider_than_the_connections_does_not_help() -> None:
    one = capacity(most=1, first=1, window_most=9)
    assert one.try_acquire(0.0)

    assert one.seconds_until_ready(0.0) == math.inf
    assert not one.try_acquire(0.0)


def test_a_mail_that_the_window_keeps_back_takes_no_token() -> None:
    one = capacity(first=1, rate="1/min burst 2")
    assert one.try_acquire(0.0)
    assert not one.try_acquire(0.0)
    one.release()

    assert one.try_acquire(0.0)
    one.release()
    assert one.seconds_until_ready(0.0) == 60.0


def test_a_dead_destination_may_be_probed_once_there_is_a_token_as_well() -> None:
    one = capacity(rate="1/min burst 1")
    assert one.try_acquire(0.0)
    one.release()
    for _ in range(5):
        one.window.failed(0.0)

    assert one.seconds_until_ready(0.0) == 60.0
    assert not one.is_available(59.0)
    assert one.is_available(60.0)
    assert one.try_acquire(60.0)
    assert one.seconds_until_ready(1000.0) == math.inf  # until the probe has ended
    assert not one.is_available(1000.0)


def test_a_mail_may_go_exactly_when_there_is_nothing_to_wait_for() -> None:
    """Otherwise somebody who sleeps as long as he is told to would come back in vain."""
    for seed in range(times(300, thoroughly=3000)):
        draw = random.Random(seed)  # noqa: S311 - a test
        most = draw.randint(1, 6)
        rate = draw.choice([None, "1/min burst 5", "20/s", "0.7/s", "1000/s", "3/hour burst 2"])
        one = capacity(most=most, first=draw.randint(1, most), rate=rate)
        now = draw.choice([0.0, 1.1, 1e6])
        for _ in range(100):
            wait = one.seconds_until_ready(now)
            assert wait >= 0
            if draw.random() < 0.5 and wait < math.inf:
                now += wait
                # A sum of times is rounded, so there may be some of it left, once.
                now += one.seconds_until_ready(now)
                assert one.seconds_until_ready(now) == 0.0
            may = one.seconds_until_ready(now) == 0.0
            assert one.try_acquire(now) is may
            what = draw.choice(["succeeded", "failed", "deferred"])
            if one.busy and draw.random() < 0.6:
                getattr(one.window, what)(now)
                one.release()
            now += draw.choice([0.0, 0.001, 0.3, 10.0, 100.0])

"""When a mail is tried again, and when it is given up."""

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pykka_smtp.actors.mailer.jobs.retry import (
    MAX_SECONDS,
    NO_RETRY,
    RetryPolicy,
    is_worth_retrying,
)

MIDDLE = 0.5  # the random number that leaves a pause as it is
LEAST, MOST = 0.0, math.nextafter(1.0, 0.0)

PLAIN = RetryPolicy(jitter=0)

policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 1000),
    initial_delay=st.floats(0.001, 1000),
    multiplier=st.floats(1, 1000),
    max_delay=st.floats(1000, MAX_SECONDS),
    jitter=st.floats(0, 1),
    give_up_after=st.none() | st.floats(0.001, MAX_SECONDS),
)
randoms = st.floats(0, 1, exclude_max=True)


# How long


def test_the_pauses_double_from_a_minute_to_an_hour() -> None:
    pauses = [PLAIN.delay(attempt, MIDDLE) for attempt in range(1, 10)]

    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


def test_the_jitter_makes_a_pause_shorter_or_longer_by_a_fifth_even_at_the_cap() -> None:
    policy = RetryPolicy()

    assert policy.delay(1, LEAST) == pytest.approx(48)
    assert policy.delay(1, MIDDLE) == 60
    assert policy.delay(1, MOST) == pytest.approx(72)
    assert policy.delay(100, LEAST) == pytest.approx(2880)
    assert policy.delay(100, MOST) == pytest.approx(4320)


def test_a_factor_of_one_makes_equal_pauses() -> None:
    policy = RetryPolicy(initial_delay=5, multiplier=1, jitter=0)

    assert {policy.delay(attempt, MIDDLE) for attempt in range(1, 100)} == {5}


@given(policy=policies, attempt=st.integers(1, 10**9), random=randoms)
@example(RetryPolicy(multiplier=1000), 10**9, 0.0)
def test_a_pause_is_always_within_the_cap_and_the_jitter(
    policy: RetryPolicy, attempt: int, random: float
) -> None:
    pause = policy.delay(attempt, random)

    assert 0 <= pause <= policy.max_delay * (1 + policy.jitter)
    assert pause >= policy.initial_delay * (1 - policy.jitter) * (1 - 1e-12)
    assert policy.delay(attempt + 1, random) >= pause


@given(policy=policies, attempt=st.integers(1, 100), one=randoms, other=randoms)
def test_a_greater_random_number_never_makes_a_shorter_pause(
    policy: RetryPolicy, attempt: int, one: float, other: float
) -> None:
    shorter, longer = sorted((one, other))

    assert policy.delay(attempt, shorter) <= policy.delay(attempt, longer)


@pytest.mark.parametrize("attempt", [0, -1])
def test_there_is_no_attempt_before_the_first(attempt: int) -> None:
    with pytest.raises(ValueError, match="attempt: needs at least 1"):
        PLAIN.delay(attempt, MIDDLE)


@pytest.mark.parametrize("random", [-0.1, 1.0, math.nan])
def test_a_random_number_out_of_range_is_refused(random: float) -> None:
    with pytest.raises(ValueError, match="random: needs a number from 0 to less than 1"):
        PLAIN.delay(1, random)


# When


def test_the_next_attempt_is_a_pause_after_the_failure_not_after_the_telling() -> None:
    assert PLAIN.next_time(2, 1000.0, 1500.0, MIDDLE) == 1620.0


def test_after_the_last_attempt_there_is_none() -> None:
    assert PLAIN.next_time(7, 0.0, 0.0, MIDDLE) == 3600.0
    assert PLAIN.next_time(8, 0.0, 0.0, MIDDLE) is None
    assert PLAIN.next_time(9, 0.0, 0.0, MIDDLE) is None


def test_an_attempt_that_would_come_too_late_is_not_made() -> None:
    policy = RetryPolicy(give_up_after=100, jitter=0)

    assert policy.next_time(1, 1000.0, 1040.0, MIDDLE) == 1100.0
    assert policy.next_time(1, 1000.0, 1040.1, MIDDLE) is None


def test_without_a_time_to_give_up_only_the_attempts_count() -> None:
    policy = RetryPolicy(give_up_after=None, jitter=0)

    assert policy.next_time(7, 0.0, 1e9, MIDDLE) == 1e9 + 3600


def test_no_retry_gives_up_at_once() -> None:
    assert NO_RETRY.max_attempts == 1
    assert NO_RETRY.next_time(1, 0.0, 0.0, MIDDLE) is None


def test_by_default_all_eight_attempts_are_made_however_long_each_takes_and_the_jitter_is() -> None:
    policy, deadline, now = RetryPolicy(), 300.0, 0.0
    for attempt in range(1, policy.max_attempts):
        after = policy.next_time(attempt, 0.0, now + deadline, MOST)
        assert after is not None
        now = after

    assert policy.next_time(policy.max_attempts, 0.0, now + deadline, MOST) is None


@given(policy=policies, numbers=st.lists(randoms, min_size=20, max_size=20))
def test_a_mail_is_tried_as_often_and_as_long_as_the_policy_says_and_no_more(
    policy: RetryPolicy, numbers: list[float]
) -> None:
    submitted_at = now = 500.0
    for attempt, random in enumerate(numbers, start=1):
        after = policy.next_time(attempt, submitted_at, now, random)
        if after is None:
            too_late = policy.give_up_after is not None and (
                now + policy.delay(attempt, random) > submitted_at + policy.give_up_after
            )
            assert attempt >= policy.max_attempts or too_late
            return
        assert attempt < policy.max_attempts
        assert after >= now
        assert policy.give_up_after is None or after - submitted_at <= policy.give_up_after + 1e-6
        now = after


# Whether


@pytest.mark.parametrize(
    ("retryable", "maybe_accepted", "at_least_once", "worth"),
    [
        (True, False, False, True),
        (True, False, True, True),
        (False, False, False, False),
        (False, False, True, False),
        (False, True, False, False),
        (True, True, False, False),
        (False, True, True, True),
        (True, True, True, True),
    ],
)
def test_what_the_server_may_have_taken_is_tried_again_only_if_duplicates_are_wanted(
    retryable: bool, maybe_accepted: bool, at_least_once: bool, worth: bool
) -> None:
    policy = RetryPolicy(at_least_once=at_least_once)

    assert is_worth_retrying(retryable, maybe_accepted, policy) is worth


# Options


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_attempts": 0}, "retry.max_attempts: needs 1 to 1000, not 0"),
        ({"max_attempts": 1001}, "retry.max_attempts: needs 1 to 1000, not 1001"),
        (
            {"initial_delay": 0},
            "retry.initial_delay: needs seconds from above 0 to 604800, a week, not 0",
        ),
        (
            {"initial_delay": -1.5},
            "retry.initial_delay: needs seconds from above 0 to 604800, a week, not -1.5",
        ),
        (
            {"initial_delay": math.nan},
            "retry.initial_delay: needs seconds from above 0 to 604800, a week, not nan",
        ),
        (
            {"max_delay": math.inf},
            "retry.max_delay: needs seconds from above 0 to 604800, a week, not inf",
        ),
        (
            {"initial_delay": 7200},
            "retry.max_delay: needs at least retry.initial_delay, 7200, not 3600",
        ),
        ({"multiplier": 0.5}, "retry.multiplier: needs 1 to 1000, not 0.5"),
        ({"multiplier": math.inf}, "retry.multiplier: needs 1 to 1000, not inf"),
        ({"multiplier": math.nan}, "retry.multiplier: needs 1 to 1000, not nan"),
        ({"jitter": -0.1}, "retry.jitter: needs 0 to 1, not -0.1"),
        ({"jitter": 20}, "retry.jitter: needs 0 to 1, not 20"),
        (
            {"give_up_after": 0},
            "retry.give_up_after: needs seconds from above 0 to 604800, a week, not 0",
        ),
    ],
)
def test_an_option_out_of_range_is_refused_in_one_line(options: Any, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        RetryPolicy(**options)

    assert str(caught.value) == said


@pytest.mark.parametrize(
    "name", ["max_attempts", "initial_delay", "multiplier", "max_delay", "jitter", "give_up_after"]
)
def test_a_number_too_long_for_a_line_is_refused_in_one_all_the_same(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^retry\.{name}: ") as caught:
        RetryPolicy(**{name: 10**1000})  # type: ignore[arg-type]

    assert len(str(caught.value)) < 150


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_attempts": 3.0}, "retry.max_attempts: needs an int, not float"),
        ({"max_attempts": True}, "retry.max_attempts: needs an int, not bool"),
        ({"initial_delay": "60"}, "retry.initial_delay: needs a number, not str"),
        ({"initial_delay": None}, "retry.initial_delay: needs a number, not NoneType"),
        ({"multiplier": True}, "retry.multiplier: needs a number, not bool"),
        ({"max_delay": b"1"}, "retry.max_delay: needs a number, not bytes"),
        ({"jitter": None}, "retry.jitter: needs a number, not NoneType"),
        ({"give_up_after": "1h"}, "retry.give_up_after: needs a number, not str"),
        ({"at_least_once": 1}, "retry.at_least_once: needs True or False, not int"),
    ],
)
def test_an_option_of_a_wrong_type_is_refused_in_one_line(options: Any, said: str) -> None:
    with pytest.raises(TypeError) as caught:
        RetryPolicy(**options)

    assert str(caught.value) == said


def test_a_policy_is_frozen_and_its_options_have_names() -> None:
    policy: Any = RetryPolicy()

    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.max_attempts = 3
    with pytest.raises(TypeError):
        RetryPolicy(3)  # type: ignore[call-arg]
    assert hash(policy) == hash(RetryPolicy())

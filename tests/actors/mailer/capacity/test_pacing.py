"""Rates as people write them, and the bucket that keeps to them."""

import dataclasses
import itertools
import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pykka_smtp.actors.mailer.capacity.pacing import (
    MAX_PER_SECOND,
    MIN_PER_SECOND,
    Rate,
    TokenBucket,
    parse_rate,
)

# Reading


@pytest.mark.parametrize(
    ("text", "per_second", "burst"),
    [
        ("10/s", 10, 1),
        ("10", 10, 1),
        ("10/sec", 10, 1),
        ("10/second", 10, 1),
        ("500/min", 500 / 60, 1),
        ("500/m", 500 / 60, 1),
        ("500/minute", 500 / 60, 1),
        ("3600/h", 1, 1),
        ("3600/hour", 1, 1),
        ("1000/day", 1000 / 86400, 1),
        ("1000/d", 1000 / 86400, 1),
        ("10/s burst 20", 10, 20),
        ("10 burst 20", 10, 20),
        ("  2.5 / S   BURST  3 ", 2.5, 3),
        ("1e3/s", 1000, 50),
        ("20/s", 20, 1),
        ("21/s", 21, 2),
        ("6000/min", 100, 5),
        ("1000000/s", 1e6, 50_000),
    ],
)
def test_a_rate_is_read_as_people_write_it(text: str, per_second: float, burst: int) -> None:
    assert parse_rate(text) == Rate(per_second=per_second, burst=burst)


def test_a_plain_number_is_per_second() -> None:
    assert parse_rate(10) == parse_rate(10.0) == parse_rate("10/s")


def test_a_rate_and_no_rate_stay_what_they_are() -> None:
    rate = Rate(per_second=3, burst=4)

    assert parse_rate(rate) is rate
    assert parse_rate(None) is None


@given(per_second=st.floats(MIN_PER_SECOND, MAX_PER_SECOND), burst=st.integers(1, 1_000_000))
def test_a_rate_that_is_written_is_read_as_the_same(per_second: float, burst: int) -> None:
    rate = Rate(per_second=per_second, burst=burst)

    assert parse_rate(str(rate)) == rate


@pytest.mark.parametrize(
    "text",
    [
        *("", "/s", "ten/s", "-1/s", "10/", "10//s", "10/s 20", "10/s burst", "10/s burst -1"),
        *("10/s burst 2.5", "1 0/s", "10/s\n11/s", "+10/s", "inf/s", "nan", "0x10/s", "1_0/s"),
        *(f"{'0' * 70}1/s", "\u0661/s"),  # too long; a digit that is not ASCII
    ],
)
def test_what_is_no_rate_is_refused_with_an_example_of_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"^rate: needs a form as '10/s', .*$") as caught:
        parse_rate(text)

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 140


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "rate: needs more than 0 a second, not 0; None means no limit"),
        ("0/s", "rate: needs more than 0 a second, not 0.0; None means no limit"),
        (-1, "rate: needs more than 0 a second, not -1; None means no limit"),
        (math.nan, "rate: needs more than 0 a second, not nan; None means no limit"),
        (-math.inf, "rate: needs more than 0 a second, not -inf; None means no limit"),
        (-(10**400), f"rate: needs more than 0 a second, not -1{'0' * 55}...; None means no limit"),
        ("10/fortnight", "rate: needs /s, /min, /h or /day, not '/fortnight'"),
        ("10/s burst 0", "rate: the burst needs 1 to 1000000, not 0"),
        ("10/s burst 1000001", "rate: the burst needs 1 to 1000000, not 1000001"),
        ("0.1/day", "rate: needs at least one email a week"),
        ("1e-300", "rate: needs at least one email a week"),
    ],
)
def test_a_rate_out_of_range_is_refused(value: Any, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_rate(value)

    assert str(caught.value) == said


@pytest.mark.parametrize("value", [1e7, 10**400, math.inf, "1e7/s", "1e999/s"])
def test_a_rate_that_limits_nothing_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^rate: "):
        parse_rate(value)


@pytest.mark.parametrize("value", [True, b"10/s", [10], object()])
def test_what_cannot_be_a_rate_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^rate: needs a number or a text as '10/s', not "):
        parse_rate(value)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"per_second": "10", "burst": 1}, "rate: needs a number a second, not str"),
        ({"per_second": True, "burst": 1}, "rate: needs a number a second, not bool"),
        ({"per_second": 10, "burst": 1.5}, "rate: the burst needs an int, not float"),
        ({"per_second": 10, "burst": True}, "rate: the burst needs an int, not bool"),
    ],
)
def test_a_rate_of_wrong_types_is_a_type_error(fields: Any, said: str) -> None:
    with pytest.raises(TypeError) as caught:
        Rate(**fields)

    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("rate", "text"),
    [("10", "10/s burst 1"), ("0.5 burst 3", "0.5/s burst 3"), ("1000/s", "1000/s burst 50")],
)
def test_a_rate_is_shown_as_people_write_it(rate: str, text: str) -> None:
    assert str(parse_rate(rate)) == text


def test_a_rate_is_frozen() -> None:
    rate: Any = Rate(per_second=10, burst=1)

    with pytest.raises(dataclasses.FrozenInstanceError):
        rate.burst = 2


# The bucket


def bucket(text: str, now: float = 0.0) -> TokenBucket:
    rate = parse_rate(text)
    assert rate is not None
    return TokenBucket(rate, now)


def taken(tokens: TokenBucket, now: float) -> int:
    """How many go at this moment."""
    return sum(1 for _ in itertools.takewhile(bool, (tokens.take(now) for _ in range(1_000_001))))


def obedient(tokens: TokenBucket, start: float, seconds: float) -> list[float]:
    """The moments at which mails go if one waits for exactly as long as the bucket says."""
    now, moments = start, []
    while now < start + seconds:
        wait = tokens.seconds_until_ready(now)
        if wait == 0.0:
            assert tokens.take(now)
            moments.append(now)
        now += wait
    return moments


def test_a_full_bucket_lets_a_burst_out_at_once_and_then_one_token_after_another() -> None:
    tokens = bucket("10/s burst 3")

    assert taken(tokens, 0.0) == 3
    assert not tokens.take(0.05)
    assert tokens.seconds_until_ready(0.05) == pytest.approx(0.05)
    assert taken(tokens, 0.1) == 1
    assert taken(tokens, 0.35) == 2
    assert taken(tokens, 100.0) == 3


def test_without_a_burst_mails_leave_evenly_spaced() -> None:
    moments = obedient(bucket("10/s"), 0.0, 1.0)

    assert moments == pytest.approx([n / 10 for n in range(10)])


@pytest.mark.parametrize("start", [0.0, 0.1, 12_345.678, 1e7, 1.7e9])
@pytest.mark.parametrize(
    ("text", "seconds", "expected"),
    [
        ("10/s", 100, 1000),
        ("10/s burst 20", 100, 1019),
        ("500/min", 120, 1000),
        ("3/s", 333, 999),
        ("7/min", 6000, 700),
        ("1000/day", 86400, 1000),
        ("997/s burst 1", 1, 997),
    ],
)
def test_exactly_as_many_go_as_the_rate_says_however_long_it_lasts(
    text: str, seconds: float, expected: int, start: float
) -> None:
    moments = obedient(bucket(text, start), start, seconds - 1e-5)

    # Of a burst, the first is the one that any bucket begins with.
    assert len(moments) == expected


def test_nothing_drifts_in_a_year() -> None:
    tokens, year = bucket("10/s", 5.0), 365 * 86400.0
    taken(tokens, 5.0)

    assert taken(tokens, 5.0 + year) == 1
    assert tokens.seconds_until_ready(5.0 + year) == pytest.approx(0.1, abs=1e-6)
    assert not tokens.take(5.0 + year + 0.099)
    assert tokens.take(5.0 + year + 0.1)


def test_who_always_asks_late_gets_as_many_all_the_same() -> None:
    tokens = bucket("10/s")
    moments = [n / 10 + late for n in range(1000) for late in (0.0, 0.09)]

    assert sum(tokens.take(now) for now in moments[1::2]) == 1000


def test_a_clock_that_stands_still_brings_no_token() -> None:
    tokens = bucket("10/s burst 2", 7.0)

    assert [tokens.take(7.0) for _ in range(100)] == [True, True, *[False] * 98]
    assert [tokens.seconds_until_ready(7.0) for _ in range(100)] == [pytest.approx(0.1)] * 100


def test_a_clock_that_goes_back_neither_brings_a_token_nor_takes_one_away() -> None:
    tokens = bucket("10/s burst 2", 7.0)
    assert taken(tokens, 7.2) == 2

    assert not tokens.take(6.0)
    assert tokens.seconds_until_ready(6.0) == pytest.approx(1.3)
    assert not tokens.take(7.2)
    assert tokens.take(7.3)


def test_a_machine_that_slept_wakes_up_to_one_burst_only() -> None:
    tokens = bucket("10/s burst 5")
    taken(tokens, 0.0)

    assert taken(tokens, 1e9) == 5


def test_a_token_given_back_is_there_at_once() -> None:
    tokens = bucket("10/s")
    assert tokens.take(0.0)

    tokens.give_back()

    assert tokens.seconds_until_ready(0.0) == 0.0
    assert taken(tokens, 0.0) == 1


def test_a_bucket_never_holds_more_than_its_burst_whatever_is_given_back() -> None:
    tokens = bucket("10/s burst 3")

    for _ in range(10):
        tokens.give_back()

    assert taken(tokens, 0.0) == 3


def test_a_bucket_says_how_full_it_is() -> None:
    tokens = bucket("10/s burst 3")
    tokens.take(0.0)

    assert repr(tokens) == "<TokenBucket 2 of 3, 10/s>"


rates = st.builds(
    Rate, per_second=st.floats(MIN_PER_SECOND, 1e5) | st.integers(1, 1000), burst=st.integers(1, 30)
)
starts = st.sampled_from([0.0, 0.1, 54_321.987, 3e6])


@given(rate=rates, start=starts, steps=st.lists(st.floats(0, 3), max_size=60))
@example(Rate(per_second=10, burst=1), 0.0, [0.1] * 30)
def test_no_stretch_of_time_sees_more_than_its_share_and_a_burst(
    rate: Rate, start: float, steps: list[float]
) -> None:
    tokens, now = TokenBucket(rate, start), start
    gone: list[tuple[float, int]] = []
    for step in steps:
        now += step / rate.per_second
        gone.append((now, taken(tokens, now)))

    for first, (begin, _) in enumerate(gone):
        total = 0
        for end, count in gone[first:]:
            total += count
            share = (Fraction(end) - Fraction(begin) + Fraction(2, 10**6)) * Fraction(
                rate.per_second
            )
            assert total <= rate.burst + math.ceil(share)


@given(rate=rates, start=starts, steps=st.lists(st.floats(0, 0.99), min_size=1, max_size=60))
def test_who_asks_often_enough_gets_the_whole_share(
    rate: Rate, start: float, steps: list[float]
) -> None:
    tokens, now, total = TokenBucket(rate, start), start, 0
    for step in steps:
        now += step / rate.per_second
        total += taken(tokens, now)

    # The burst at the beginning is full: the token that comes before the first asking is lost.
    share = (Fraction(now) - Fraction(start)) * Fraction(rate.per_second)
    assert total >= rate.burst + math.floor(share) - 1


@given(rate=rates, start=starts, steps=st.lists(st.floats(0, 5), max_size=30))
@example(Rate(per_second=10, burst=1), 0.1, [0.99999])
def test_after_the_wait_there_is_a_token_and_not_before(
    rate: Rate, start: float, steps: list[float]
) -> None:
    tokens, now = TokenBucket(rate, start), start
    for step in steps:
        now += step / rate.per_second
        taken(tokens, now)
        wait = tokens.seconds_until_ready(now)
        assert 0 < wait <= 1 / rate.per_second + 2e-6  # a token counts up to 1e-6 before its time
        assert not tokens.take(now + 0.5 * wait - 1e-6)
        now += wait
        assert tokens.seconds_until_ready(now) == 0.0
        assert tokens.take(now)


@given(rate=rates, moves=st.lists(st.tuples(st.booleans(), st.floats(-2, 2)), max_size=60))
def test_whatever_the_clock_does_the_wait_is_never_negative_and_zero_means_a_token(
    rate: Rate, moves: list[tuple[bool, float]]
) -> None:
    tokens, now = TokenBucket(rate, 0.0), 0.0
    for gives_back, step in moves:
        now += step
        wait = tokens.seconds_until_ready(now)
        assert 0 <= wait < math.inf
        assert tokens.take(now) is (wait == 0.0)
        if gives_back:
            tokens.give_back()

"""Counts, mails a second, and how long they took."""

import copy
import dataclasses
import json
import math
import pickle
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pykka_smtp.actors.mailer.jobs.statistics import (
    LONGEST,
    SHORTEST,
    Latencies,
    MailerStatistics,
    Throughput,
)
from pykka_smtp.smtp.words.verdict import FailureKind

# How long


def record(*seconds: float) -> Latencies:
    latencies = Latencies()
    for each in seconds:
        latencies.add(each)
    return latencies


def test_without_a_mail_there_is_nothing_to_say() -> None:
    latencies = Latencies()

    assert latencies.count == 0
    assert latencies.maximum is None
    assert latencies.percentile(50) is None
    assert repr(latencies) == "<Latencies 0>"


def test_percentiles_are_those_of_the_mails_and_the_maximum_is_exact() -> None:
    latencies = record(*(n / 1000 for n in range(1, 1001)))

    assert latencies.count == 1000
    assert latencies.percentile(50) == pytest.approx(0.5, rel=0.015)
    assert latencies.percentile(90) == pytest.approx(0.9, rel=0.015)
    assert latencies.percentile(99) == pytest.approx(0.99, rel=0.015)
    assert latencies.percentile(99.9) == pytest.approx(0.999, rel=0.015)
    assert latencies.percentile(0) == pytest.approx(0.001, rel=0.015)
    assert latencies.percentile(100) == latencies.maximum == 1.0
    assert repr(latencies) == "<Latencies 1000, p50 505 ms>"


def test_one_slow_mail_in_a_thousand_is_in_the_maximum_only() -> None:
    latencies = record(*[0.01] * 999, 5.0)

    assert latencies.percentile(99.9) == pytest.approx(0.01, rel=0.015)
    assert latencies.maximum == 5.0


def test_a_rounding_error_does_not_take_a_percentile_to_the_next_mail() -> None:
    latencies = record(*[0.01] * 161, *[1.0] * 89)

    assert latencies.percentile(64.4) == pytest.approx(0.01, rel=0.015)
    assert latencies.percentile(64.5) == pytest.approx(1.0, rel=0.015)


def test_no_percentile_exceeds_the_maximum() -> None:
    longest = SHORTEST * 1.0001  # all but the shortest in its bin

    assert record(longest, longest).percentile(50) == longest


@pytest.mark.parametrize("seconds", [SHORTEST, SHORTEST / 2, 0.0, -1.0])
def test_what_is_too_short_to_matter_counts_as_the_shortest(seconds: float) -> None:
    latencies = record(seconds, 1.0)

    assert latencies.percentile(50) == SHORTEST
    assert latencies.maximum == 1.0


@pytest.mark.parametrize("seconds", [LONGEST, LONGEST * 2, 1e300, math.inf])
def test_what_is_longer_than_any_deadline_counts_as_the_longest(seconds: float) -> None:
    latencies = record(seconds, seconds)

    assert latencies.percentile(50) == LONGEST
    assert latencies.maximum == seconds


@pytest.mark.parametrize("p", [-1, 100.1, math.nan])
def test_a_percentile_out_of_range_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="percentile: needs 0 to 100"):
        record(1.0).percentile(p)


durations = st.floats(SHORTEST, LONGEST) | st.sampled_from(
    [math.nextafter(SHORTEST, 1), math.nextafter(LONGEST, 0), SHORTEST, LONGEST, 1.0]
)


@given(seconds=st.lists(durations, min_size=1, max_size=40), p=st.floats(0, 100))
@example([math.nextafter(SHORTEST, 1), 1.0], 50.0)
@example([math.nextafter(LONGEST, 0), LONGEST], 50.0)
def test_a_percentile_is_what_sorting_them_says_within_half_of_three_per_cent(
    seconds: list[float], p: float
) -> None:
    rank = max(1, math.ceil(len(seconds) * p / 100 - 1e-6))

    assert record(*seconds).percentile(p) == pytest.approx(sorted(seconds)[rank - 1], rel=0.0151)


@given(seconds=st.lists(durations, max_size=40), some=st.lists(st.floats(0, 100), max_size=10))
def test_a_higher_percentile_is_never_shorter(seconds: list[float], some: list[float]) -> None:
    latencies = record(*seconds)
    values = [latencies.percentile(p) or 0.0 for p in sorted(some)]

    assert values == sorted(values)


# How many a second


def test_before_the_first_mail_the_rate_is_zero() -> None:
    assert Throughput().per_second(123.4) == 0.0


def test_the_first_mails_are_not_extrapolated_from_a_millisecond() -> None:
    throughput = Throughput()
    for _ in range(7):
        throughput.add(100.5)

    assert throughput.per_second(100.501) == 7.0
    assert throughput.per_second(102.5) == 3.5


@pytest.mark.parametrize("start", [0.0, 0.7, 54_321.987])
def test_a_steady_rate_is_what_it_is(start: float) -> None:
    throughput = Throughput()
    for n in range(3000):
        throughput.add(start + n / 100)
        if n > 200:
            assert throughput.per_second(start + n / 100) == pytest.approx(100, rel=0.01)


def test_what_was_more_than_ten_seconds_ago_is_forgotten() -> None:
    throughput = Throughput()
    for _ in range(55):
        throughput.add(0.0)

    assert throughput.per_second(10.9) == pytest.approx(55 / 10.9)
    assert throughput.per_second(11.0) == 0.0
    throughput.add(1000.0)
    assert throughput.per_second(1000.0) == pytest.approx(0.1)


def test_a_clock_that_goes_back_counts_on_in_the_same_second() -> None:
    throughput = Throughput()
    throughput.add(100.0)
    throughput.add(99.0)
    throughput.add(50.0)

    assert throughput.per_second(50.0) == 3.0
    assert throughput.per_second(100.0) == 3.0


@given(
    start=st.floats(-20, 1e7),
    steps=st.lists(st.sampled_from([0.0, 0.001, 0.3, 1.0, 2.5, 9.9, 11.0, 1e6]), max_size=60),
    later=st.floats(0, 15),
)
def test_the_rate_is_what_counting_all_of_them_says(
    start: float, steps: list[float], later: float
) -> None:
    throughput, now = Throughput(), start
    times = [now := now + step for step in [0.0, *steps]]
    for time in times:
        throughput.add(time)
    now += later

    recent = [time for time in times if math.floor(time) >= math.floor(now) - 10]
    span = now - max(start, math.floor(now) - 10)
    assert throughput.per_second(now) == pytest.approx(len(recent) / max(span, 1.0))


# All of it


def busy() -> MailerStatistics:
    return MailerStatistics(
        queued=3,
        waiting_for_retry=2,
        in_flight=5,
        connections_idle=1,
        connections_busy=5,
        submitted=120,
        sent=100,
        failed_by_kind={FailureKind.TIMEOUT: 1, FailureKind.SMTP: 9, FailureKind.LOCAL: 0},
        retries=4,
        rate=12.345,
        window=7,
        dead_relays=("mx1.test:25", "mx2.test:25"),
        latency_p50=0.01234,
        latency_p90=0.9996,
        latency_p99=1.5,
        latency_max=1234.5,
    )


def test_a_mailer_that_has_done_nothing_says_so_in_one_line() -> None:
    assert str(MailerStatistics()) == (
        "0 queued, 0 waiting for retry; 0 in flight; 0 submitted, 0 sent, 0 failed, 0 retries;"
        " 0.0 emails/s; connections 0 busy, 0 idle; window 0"
    )


def test_a_busy_mailer_says_all_in_one_line() -> None:
    assert str(busy()) == (
        "3 queued, 2 waiting for retry; 5 in flight;"
        " 120 submitted, 100 sent, 10 failed (9 SMTP, 1 TIMEOUT), 4 retries;"
        " 12.3 emails/s; connections 5 busy, 1 idle; window 7;"
        " latency p50 12.3 ms, p90 1 s, p99 1.5 s, max 1234 s; dead: mx1.test:25, mx2.test:25"
    )


@given(seconds=st.floats(0, 1e6))
def test_a_duration_is_short_and_has_no_exponent(seconds: float) -> None:
    shown = str(MailerStatistics(latency_max=seconds + 1e-4)).rpartition("max ")[2]

    number, unit = shown.split()
    assert unit in ("ms", "s")
    assert "e" not in number
    assert float(number) * (0.001 if unit == "ms" else 1) == pytest.approx(
        seconds + 1e-4, rel=0.006
    )


def test_failures_are_those_of_all_kinds_and_kinds_without_any_are_left_out() -> None:
    statistics = busy()

    assert statistics.failed == 10
    assert list(statistics.failed_by_kind.items()) == [
        (FailureKind.SMTP, 9),
        (FailureKind.TIMEOUT, 1),
    ]


def test_the_statistics_are_plain_values_for_logs() -> None:
    plain = busy().as_dict()

    assert json.loads(json.dumps(plain)) == plain
    assert plain["failed_by_kind"] == {"SMTP": 9, "TIMEOUT": 1}
    assert plain["failed"] == 10
    assert plain["dead_relays"] == ["mx1.test:25", "mx2.test:25"]
    assert set(plain) == {f.name for f in dataclasses.fields(MailerStatistics)} | {"failed"}


def test_the_statistics_do_not_change_while_the_mailer_goes_on_counting() -> None:
    counts = {FailureKind.SMTP: 1}
    relays = ["mx1.test"]
    statistics = MailerStatistics(failed_by_kind=counts, dead_relays=relays)  # type: ignore[arg-type]
    changing: Any = statistics

    counts[FailureKind.SMTP] = 2
    relays.append("mx2.test")

    assert (statistics.failed, statistics.dead_relays) == (1, ("mx1.test",))
    assert isinstance(statistics.failed_by_kind, MappingProxyType)
    with pytest.raises(TypeError):
        changing.failed_by_kind[FailureKind.SMTP] = 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        changing.sent = 1


def test_the_statistics_can_be_hashed_copied_and_sent_to_another_process() -> None:
    statistics = busy()

    assert copy.deepcopy(statistics) == statistics
    assert pickle.loads(pickle.dumps(statistics)) == statistics  # noqa: S301 - our own
    assert hash(statistics) == hash(busy())
    assert dataclasses.replace(statistics, sent=101) != statistics

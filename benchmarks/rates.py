"""Tables and targets of those who send as many mails a second as they can."""

from collections.abc import Mapping, Sequence
from statistics import median

from .plan import Sample, column_of, columns_of
from .result import Column, Row, Target, median_ratio

Samples = Mapping[str, Sequence[Sample]]
"""What each competitor measured, round by round."""
RATE = "mails_per_second"
CPU = "cpu_ms_per_mail"


def columns(*ratios: str) -> tuple[Column, ...]:
    """Return the columns of a table with these ratios, by their titles."""
    return (
        Column(key=RATE, title="emails/s"),
        Column(key="lowest", title="lowest"),
        Column(key="highest", title="highest"),
        Column(key="cpu", title="CPU ms/email", digits=3),
        Column(key="sink_cpu", title="server's CPU", digits=3),
        *[Column(key=title, title=title, digits=2) for title in ratios],
    )


def rows(samples: Samples, ratios: Mapping[str, str]) -> list[Row]:
    """Return a row for each competitor.

    Args:
        samples: what they measured.
        ratios: a title, and the competitor whose rate is divided by everybody's there.
    """
    return [_row(name, taken, samples, ratios) for name, taken in samples.items()]


def _row(name: str, taken: Sequence[Sample], samples: Samples, ratios: Mapping[str, str]) -> Row:
    rates = column_of(taken, RATE)
    figures = {
        RATE: median(rates),
        "lowest": min(rates),
        "highest": max(rates),
        "cpu": median(column_of(taken, CPU)),
        "sink_cpu": median(column_of(taken, "sink_cpu_ms_per_mail")),
    }
    for title, ours in ratios.items():
        if ours in samples:
            figures[title] = median_ratio(column_of(samples[ours], RATE), rates)
    return Row(name=name, figures=figures, samples=columns_of(taken))


def ratio(samples: Samples, over: str, under: str, key: str = RATE) -> float | None:
    """Return the median of the rounds' ratios, or None if one of the two did not take part."""
    if over not in samples or under not in samples:
        return None
    return median_ratio(column_of(samples[over], key), column_of(samples[under], key))


def at_least(samples: Samples, over: str, under: str, bound: float) -> Target:
    """Return the target that one sends so many times as fast as another."""
    return Target(
        text=f"{over} / {under}, emails per second",
        value=ratio(samples, over, under),
        bound=bound,
        at_least=True,
        unit="x",
    )


def cpu_at_most(samples: Samples, one: str, other: str, bound: float) -> Target:
    """Return the target that one takes at most so many times the CPU of another."""
    return Target(
        text=f"{one} / {other}, CPU for each email",
        value=ratio(samples, one, other, CPU),
        bound=bound,
        at_least=False,
        unit="x",
    )


def in_words(samples: Samples, over: str, unders: Sequence[str]) -> str:
    """Return how many times as fast one is as each of the others, as far as they took part."""
    found = ((under, ratio(samples, over, under)) for under in unders)
    return "; ".join(f"{value:.2f} x {under}" for under, value in found if value is not None)

"""What a benchmark has found: rows of figures, targets, and words."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


class Unavailable(Exception):  # noqa: N818 - says something of the machine, not of our code
    """Something that a benchmark needs is not installed. The text says what, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table.

    Attributes:
        key: names the figure in the rows.
        title: what stands on top of it, with the unit.
        digits: digits after the point.
    """

    key: str
    title: str
    digits: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The figures of one competitor.

    Attributes:
        name: who it is.
        figures: one for each column, as far as there are any.
        samples: what was measured in each round, by name.
    """

    name: str
    figures: Mapping[str, float]
    samples: Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A figure that was to be reached.

    Attributes:
        text: what the figure is of.
        value: what was measured; None if it could not be.
        bound: what was wanted.
        at_least: whether the bound is the least that will do, not the most.
        unit: of both.
    """

    text: str
    value: float | None
    bound: float
    at_least: bool = False
    unit: str = ""

    @property
    def met(self) -> bool | None:
        """Whether it was reached; None if it could not be measured."""
        if self.value is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one benchmark has found.

    Attributes:
        name: as ``--only`` has it.
        title: what was measured, in one line.
        columns: what to show of each row.
        rows: one for each competitor.
        targets: what was to be reached.
        notes: what else there is to know, such as who was left out, and why.
    """

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    targets: Sequence[Target] = ()
    notes: Sequence[str] = ()

    def row(self, name: str) -> Row | None:
        """Return a competitor's row, if it took part."""
        return next((row for row in self.rows if row.name == name), None)

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can write."""
        fields = asdict(self)
        fields["targets"] = [asdict(target) | {"met": target.met} for target in self.targets]
        return fields


def median_ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """Return the median of the ratios, round by round.

    What disturbs a round disturbs both sides of its ratio, more or less.
    """
    return median(a / b for a, b in zip(over, under, strict=True))

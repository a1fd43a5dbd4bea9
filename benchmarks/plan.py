"""How much is to be measured, and where it is told how far that has come."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .others import QUIET, OthersWork
from .processes import ChildError
from .result import Unavailable

OTHERS = "others_work"
_REST = 1.0
"""Seconds before a disturbed turn is repeated."""
Sample = Mapping[str, float]
"""What one competitor measured in one round, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is to be measured.

    Attributes:
        rounds: how often each competitor has its turn.
        mails: mails in each turn, where many are sent at once.
        quick: whether small counts will do, to see that everything works.
        without: competitors to leave out: those whose name begins so.
        calm: seconds that may be spent, in each benchmark, on repeating turns in which others
            used the machine.
        failures: who failed, and how; filled as it comes.
    """

    rounds: int = 5
    mails: int = 3000
    quick: bool = False
    without: Sequence[str] = ()
    calm: float = 0.0
    failures: list[str] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)

    def progress(self, text: str) -> None:
        """Tell whoever waits how far it is."""
        print(f"[{time.monotonic() - self._began:4.0f} s] {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Competitor:
    """Somebody who takes part in each round.

    Attributes:
        name: who it is.
        turn: runs one turn, in a process of its own, and returns what was measured. Raises
            `Unavailable` or `ChildError`.
    """

    name: str
    turn: Callable[[], Sample]


def compete(
    plan: Plan, title: str, competitors: Sequence[Competitor], show: str, rounds: int = 0
) -> tuple[dict[str, list[Sample]], list[str]]:
    """Give each competitor one turn in every round.

    The order changes with each round, so that nobody always comes after the same one.

    Args:
        plan: how many rounds, and who is left out.
        title: what progress is told of.
        competitors: who takes part.
        show: the figure to tell after each turn.
        rounds: instead of the plan's.

    Returns:
        The samples of each competitor that finished all its turns, one for each round; and a
        note for each that did not take part, or failed.
    """
    rounds = rounds or plan.rounds
    calm_until = time.monotonic() + plan.calm
    disturbed = 0
    samples: dict[str, list[Sample]] = {}
    notes: list[str] = []
    field_of = [c for c in competitors if not c.name.startswith(tuple(plan.without))]
    for competitor in field_of:
        samples[competitor.name] = []
    for number in range(rounds):
        start = number % max(1, len(field_of))
        for competitor in (*field_of[start:], *field_of[:start]):
            if competitor.name not in samples:
                continue
            where = f"{title}, round {number + 1} of {rounds}, {competitor.name}"
            try:
                sample = _turn(plan, competitor, where, calm_until)
            except Unavailable as error:
                del samples[competitor.name]
                notes.append(f"{competitor.name} skipped: {error}")
                plan.progress(f"{where}: skipped: {error}")
            except ChildError as error:
                del samples[competitor.name]
                notes.append(f"{competitor.name} FAILED: {error}")
                plan.failures.append(f"{where}: {error}")
                plan.progress(f"{where}: FAILED: {error}")
            else:
                samples[competitor.name].append(sample)
                disturbed += sample[OTHERS] > QUIET
                plan.progress(f"{where}: {sample[show]:.4g} {show.replace('_', ' ')}")
    if disturbed:
        notes.append(
            f"disturbed: in {disturbed} turns others used more than {QUIET} processors; run it"
            " where nothing else does, or with --calm"
        )
    order = [c.name for c in field_of if c.name in samples]
    return {name: samples[name] for name in order}, notes


def _turn(plan: Plan, competitor: Competitor, where: str, calm_until: float) -> Sample:
    """Take a turn; again, if others used the machine meanwhile and there is time for it.

    Whether it is taken again depends on the others' work alone, never on what was measured.
    """
    while True:
        others = OthersWork()
        sample = dict(competitor.turn())
        sample[OTHERS] = others.cores()
        if sample[OTHERS] <= QUIET or time.monotonic() > calm_until:
            return sample
        plan.progress(f"{where}: others used {sample[OTHERS]:.2f} processors, once more")
        time.sleep(_REST)


def column_of(samples: Sequence[Sample], key: str) -> list[float]:
    """Return one figure of all rounds."""
    return [sample[key] for sample in samples]


def columns_of(samples: Sequence[Sample]) -> dict[str, list[float]]:
    """Return all figures, each with its value in each round."""
    return {key: column_of(samples, key) for key in samples[0]}

"""What a mail costs pykka-smtp itself: the whole of it in one process, without a network."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from .plan import Competitor, Plan, Sample, column_of, columns_of, compete
from .processes import need_package, run_client
from .result import Column, Result, Row, Target

NAME = "hot"
_TURNS, _MAILS = 25, 400
_QUICK_TURNS, _QUICK_MAILS = 2, 50
_MOST_ROUNDS = 3
"""A round has many turns of its own."""
_LIMIT = 20
_TIMEOUT = 120.0
_QUIET = 0.1
"""The share of the turns that count as quiet."""
_WHO = {"reused": True, "fresh": False}
_LOOPS = ("uvloop", "asyncio")
_WANTED = {"reused": 150, "fresh": 280}
"""Calls for each mail."""
_PLAIN: Mapping[str, Any] = {
    "recipients": 1,
    "offers": [],
    "tells": False,
    "login": False,
    "window": 0,
    "composed": False,
    "hears": False,
}
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "": _PLAIN,
    "addresses and queue ids in replies": {**_PLAIN, "tells": True},
    "CHUNKING": {**_PLAIN, "offers": ["CHUNKING"]},
    "credentials": {**_PLAIN, "offers": ["AUTH PLAIN LOGIN"], "login": True},
    "5 recipients": {**_PLAIN, "recipients": 5},
    "made of parts": {**_PLAIN, "composed": True},
    "window of 80": {**_PLAIN, "window": 80},
    "replies and progress heard": {**_PLAIN, "hears": True},
}
"""What is different of each, as `client_hot` is told it."""


def run(plan: Plan) -> Result:
    """Measure."""
    turns, mails = (_QUICK_TURNS, _QUICK_MAILS) if plan.quick else (_TURNS, _MAILS)
    rounds = min(plan.rounds, _MOST_ROUNDS)
    competitors = [
        _competitor(who, loop, variant, turns, mails)
        for who in _WHO
        for loop in _LOOPS
        for variant in VARIANTS
    ]
    samples, notes = compete(plan, NAME, competitors, "loop", rounds)
    return Result(
        name=NAME,
        title="The pipeline without a network: µs of processor time for each email"
        f" ({rounds} rounds of {turns} turns of {mails} emails; the 10th percentile of a round's"
        " turns, and of those the median)",
        columns=(
            Column(key="loop", title="loop", digits=1),
            Column(key="middle", title="loop, median turn", digits=1),
            Column(key="caller", title="caller", digits=1),
            Column(key="others", title="dispatcher", digits=1),
            Column(key="calls", title="calls on the loop", digits=0),
        ),
        rows=[_row(name, taken) for name, taken in samples.items()],
        targets=[
            Target(
                text=f"{_name(who, _LOOPS[0])}, calls on the loop's thread for each email",
                value=median(column_of(taken, "calls")) if taken else None,
                bound=bound,
            )
            for who, bound in _WANTED.items()
            for taken in [samples.get(_name(who, _LOOPS[0]), ())]
        ],
        notes=[*notes, "reused: a Mailer's connections; fresh: a SmtpActor for each email"],
    )


def told_of(who: str, variant: str, **more: object) -> dict[str, Any]:
    """Return what `client_hot` is told.

    Args:
        who: ``reused`` or ``fresh``.
        variant: one of `VARIANTS`.
        more: ``turns`` and ``mails``.
    """
    return {"reuse": _WHO[who], "limit": _LIMIT, **VARIANTS[variant], **more}


def _competitor(who: str, loop: str, variant: str, turns: int, mails: int) -> Competitor:
    def turn() -> Sample:
        if loop == "uvloop":
            need_package(loop)
        told = told_of(who, variant, turns=turns, mails=mails)
        environment = {"PYKKA_SMTP_LOOP": loop}
        found = run_client("client_hot", timeout=_TIMEOUT, environment=environment, **told)
        spent = {name: column_of(found["spent"], name) for name in found["spent"][0]}
        return {
            **{name: sorted(each)[int(turns * _QUIET)] for name, each in spent.items()},
            "middle": median(spent["loop"]),
            "calls": found["calls"],
        }

    return Competitor(name=_name(who, loop, variant), turn=turn)


def _name(*words: str) -> str:
    return ", ".join(filter(None, ("pykka-smtp", *words)))


def _row(name: str, taken: Sequence[Sample]) -> Row:
    figures = {key: median(column_of(taken, key)) for key in taken[0]}
    return Row(name=name, figures=figures, samples=columns_of(taken))

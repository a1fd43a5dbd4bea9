"""What an import costs a program."""

import sys
from statistics import median

from .plan import Competitor, Plan, Sample, column_of, columns_of, compete
from .processes import need_package, run_program
from .result import Column, Result, Row, Target

NAME = "import"
_ROUNDS, _QUICK = 10, 2
_TIMEOUT = 30.0
_BARE = "bare interpreter"
_OURS = "pykka_smtp"
_IMPORTS = {
    _BARE: "pass",
    _OURS: "import pykka_smtp",
    "pykka": "import pykka",
    "smtplib": "import smtplib",
    "smtplib and email.message": "import smtplib, email.message",
    "asyncio": "import asyncio",
    "aiosmtplib": "import aiosmtplib",
}


def run(plan: Plan) -> Result:
    """Measure."""
    rounds = _QUICK if plan.quick else _ROUNDS
    for code in _IMPORTS.values():
        if "aiosmtplib" not in code:
            _interpret(code)  # so that everything is compiled, and in the system's cache
    competitors = [
        Competitor(name=name, turn=lambda name=name: _turn(name))  # type: ignore[misc]
        for name in _IMPORTS
    ]
    samples, notes = compete(plan, NAME, competitors, "milliseconds", rounds)
    times = {name: column_of(taken, "milliseconds") for name, taken in samples.items()}
    bare = median(times[_BARE]) if _BARE in times else None
    rows = []
    for name, taken in samples.items():
        figures = {"whole": median(times[name])}
        if bare is not None:
            figures["more"] = figures["whole"] - bare
        rows.append(Row(name=name, figures=figures, samples=columns_of(taken)))
    ours = next((row.figures.get("more") for row in rows if row.name == _OURS), None)
    return Result(
        name=NAME,
        title=f"Import, in a fresh interpreter (median of {rounds})",
        columns=(
            Column(key="whole", title="ms", digits=1),
            Column(key="more", title="more than bare", digits=1),
        ),
        rows=rows,
        targets=[Target(text="import pykka_smtp", value=ours, bound=120, unit="ms")],
        notes=notes,
    )


def _turn(name: str) -> Sample:
    if name == "aiosmtplib":
        need_package(name)
    return _interpret(_IMPORTS[name])


def _interpret(code: str) -> Sample:
    done = run_program([sys.executable, "-c", code], timeout=_TIMEOUT)
    return {"milliseconds": done.seconds * 1e3}

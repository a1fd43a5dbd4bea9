"""Composing a plain mail of 1 kB, without sending it."""

from statistics import median

from .plan import Competitor, Plan, column_of, columns_of, compete
from .processes import run_client
from .result import Column, Result, Row, Target, median_ratio

NAME = "compose"
_COUNT, _QUICK = 5_000, 200
_TIMEOUT = 60.0
_OURS = "SendMail(...) and its mail data"
_HOW = {
    "SendMail(...)": "make",
    _OURS: "make_and_render",
    "EmailMessage, as_bytes()": "email_message",
    "MIMEText, as_bytes()": "mime_text",
}


def run(plan: Plan) -> Result:
    """Measure."""
    count = _QUICK if plan.quick else _COUNT
    competitors = [
        Competitor(
            name=name,
            turn=lambda how=how: run_client(  # type: ignore[misc]
                "client_compose", timeout=_TIMEOUT, how=how, count=count
            ),
        )
        for name, how in _HOW.items()
    ]
    samples, notes = compete(plan, NAME, competitors, "microseconds")
    times = {name: column_of(taken, "microseconds") for name, taken in samples.items()}
    ours = times.get(_OURS)
    rows = []
    for name, taken in samples.items():
        figures = {"microseconds": median(times[name])}
        if ours is not None:
            figures["ratio"] = median_ratio(times[name], ours)
        rows.append(Row(name=name, figures=figures, samples=columns_of(taken)))
    return Result(
        name=NAME,
        title=f"Composing a plain text email of 1 kB ({plan.rounds} rounds of {count}, medians)",
        columns=(
            Column(key="microseconds", title="µs", digits=1),
            Column(key="ratio", title="x ours", digits=2),
        ),
        rows=rows,
        targets=[
            Target(
                text="composing a plain email of 1 kB",
                value=None if ours is None else median(ours),
                bound=50,
                unit="µs",
            )
        ],
        notes=notes,
    )

"""Many sends to a server that breaks most of them: is anything left behind?"""

from .plan import Plan
from .processes import run_client
from .result import Column, Result, Row, Target

NAME = "faults"
_COUNT, _FIRST = 10_000, 2_000
_QUICK, _QUICK_FIRST = 200, 100
_WINDOW = 32
_SEED = 1
_TIMEOUT = 300.0
_GROWTH = 2.0
"""MiB that the process may grow between the two looks: less than 300 octets a send."""


def run(plan: Plan) -> Result:
    """Measure."""
    count, first = (_QUICK, _QUICK_FIRST) if plan.quick else (_COUNT, _FIRST)
    plan.progress(f"{NAME}: {count} sends, {_WINDOW} at a time")
    found = run_client(
        "client_faults", timeout=_TIMEOUT, count=count, first=first, window=_WINDOW, seed=_SEED
    )
    growth = found["memory_growth"] / 1024 / 1024
    plan.progress(f"{NAME}: {found['seconds']:.1f} s, memory {growth:+.2f} MiB")
    kinds = ", ".join(f"{kind} {number}" for kind, number in found["kinds"].items())
    return Result(
        name=NAME,
        title=f"{count} sends in a row, {_WINDOW} at a time, two of three broken at random",
        columns=(
            Column(key="seconds", title="seconds", digits=1),
            Column(key="descriptors_left", title="descriptors left"),
            Column(key="threads_left", title="threads left"),
            Column(key="actors_left", title="actors left"),
            Column(key="growth", title="MiB grown", digits=2),
        ),
        rows=[
            Row(
                name="pykka-smtp",
                figures={
                    "seconds": found["seconds"],
                    "descriptors_left": found["descriptors_left"],
                    "threads_left": found["threads_left"],
                    "actors_left": found["actors_left"],
                    "growth": growth,
                },
                samples={},
            )
        ],
        targets=[
            Target(text="descriptors left behind", value=found["descriptors_left"], bound=0),
            Target(text="threads left behind", value=found["threads_left"], bound=0),
            Target(text="registered actors left behind", value=found["actors_left"], bound=0),
            Target(
                text=f"memory grown between send {first} and send {count}",
                value=growth,
                bound=_GROWTH,
                unit="MiB",
            ),
            Target(
                text="sends with no outcome, or two",
                value=found["unresolved"] + found["double"],
                bound=0,
            ),
        ],
        notes=[f"outcomes: {kinds}; maybe accepted: {found['maybe_accepted']}"],
    )

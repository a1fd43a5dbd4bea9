"""Many sends in flight at once: threads, and memory for each."""

from .plan import Plan
from .processes import run_client
from .result import Column, Result, Row, Target

NAME = "in_flight"
_COUNT = 10_000
_QUICK = 200
_TIMEOUT = 300.0


def run(plan: Plan) -> Result:
    """Measure."""
    wanted = _QUICK if plan.quick else _COUNT
    plan.progress(f"{NAME}: {wanted} sends to a server that holds them")
    found = run_client("client_in_flight", timeout=_TIMEOUT, count=wanted)
    count = found["count"]
    plan.progress(f"{NAME}: {found['octets_each'] / 1024:.1f} KiB each")
    figures = {
        "sends": count,
        "threads": found["threads"],
        "kib_each": found["octets_each"] / 1024,
        "until_held": found["seconds_until_held"],
        "to_resolve": found["seconds_to_resolve"],
        "accepted": found["accepted"],
        "unresolved": found["unresolved"],
    }
    notes = [
        (
            "memory is what the process has more of than before, while the server holds the reply"
            " to the final dot of every email; each email is about 1 kB, and counted"
        ),
        (
            f"afterwards: {found['descriptors_left']:+d} descriptors, {found['threads_left']:+d}"
            f" threads, {found['memory_left'] / 1024 / 1024:+.1f} MiB (freed, but kept for reuse)"
        ),
    ]
    if count < wanted:
        notes.append(
            f"only {count} of {wanted}: the system allows no more descriptors; raise ulimit -Hn"
        )
    return Result(
        name=NAME,
        title=f"{count} sends in flight at once",
        columns=(
            Column(key="sends", title="sends"),
            Column(key="threads", title="threads"),
            Column(key="kib_each", title="KiB each", digits=1),
            Column(key="until_held", title="s until all held", digits=2),
            Column(key="to_resolve", title="s to resolve", digits=2),
            Column(key="accepted", title="accepted"),
            Column(key="unresolved", title="unresolved"),
        ),
        rows=[Row(name="pykka-smtp", figures=figures, samples={})],
        targets=[
            Target(text=f"threads with {count} in flight", value=found["threads"], bound=8),
            Target(text="memory for each", value=figures["kib_each"], bound=30, unit="KiB"),
            Target(
                text="sends with no outcome, or two",
                value=found["unresolved"] + found["double"],
                bound=0,
            ),
        ],
        notes=notes,
    )

"""A Mailer that is told four times what its server takes."""

from .plan import Plan
from .processes import ChildError, OwnServer, run_client
from .result import Column, Result, Row, Target
from .throughput import AT_A_TIME
from .turns import REPORT

NAME = "overload"
_SERVER_RATE = 500.0
"""Mails a second that the server takes."""
_TIMES = 4
_SECONDS, _QUICK = 60.0, 5.0
_PEAK_SECONDS, _QUICK_PEAK_SECONDS = 4.0, 1.0
_MAX_QUEUED, _QUICK_MAX_QUEUED = 1_000, 250
_TIMEOUT = 240.0
_ALONE = "pykka-smtp, Mailer, told what the server takes"
_OVERLOADED = f"pykka-smtp, Mailer, told {_TIMES} times that"


def run(plan: Plan) -> Result:
    """Measure."""
    seconds = _QUICK if plan.quick else _SECONDS
    max_queued = _QUICK_MAX_QUEUED if plan.quick else _MAX_QUEUED
    plan.progress(
        f"{NAME}: {seconds:g} s, to a server that takes {_SERVER_RATE:g} emails per second"
    )
    with OwnServer("taking_server", rate=_SERVER_RATE) as server:
        found = run_client(
            "client_overload",
            timeout=_TIMEOUT,
            port=server.port,
            limit=AT_A_TIME,
            max_queued=max_queued,
            warm_up_seconds=1.0,
            peak_seconds=_QUICK_PEAK_SECONDS if plan.quick else _PEAK_SECONDS,
            rate=_TIMES * _SERVER_RATE,
            seconds=seconds,
        )
        server.tell("report")
        taken = server.hear(REPORT)["mails"]
    if taken < found["accepted"]:
        raise ChildError(f"{found['accepted']} emails were accepted; the server has {taken}")
    plan.progress(f"{NAME}: {found['taken_rate']:.4g} emails per second")
    return Result(
        name=NAME,
        title=f"A server that takes {_SERVER_RATE:g} emails per second, told {_TIMES} times as many"
        f" for {seconds:g} s, {AT_A_TIME} connections",
        columns=(
            Column(key="told", title="told/s"),
            Column(key="taken", title="taken/s"),
            Column(key="refused", title="refused/s"),
            Column(key="most_queued", title="most queued"),
            Column(key="most_outstanding", title="most outstanding"),
            Column(key="mean_wait", title="mean wait, s", digits=2),
            Column(key="longest_wait", title="longest", digits=2),
            Column(key="cores", title="CPU, cores", digits=2),
        ),
        rows=_rows(found, seconds),
        targets=_targets(found, max_queued),
        notes=[
            (
                f"the queue may hold {max_queued}; what it cannot hold is refused at once, and"
                " counted as refused, not as a wait: a wait is the time from telling an email that"
                " was taken until its outcome is heard"
            ),
            f"other failures: {found['failed']}",
        ],
    )


def _rows(found: dict[str, float], seconds: float) -> list[Row]:
    alone = {
        "taken": found["peak"],
        "mean_wait": found["peak_mean_wait"],
        "longest_wait": found["peak_longest_wait"],
    }
    overloaded = {
        "told": found["told_rate"],
        "taken": found["taken_rate"],
        "refused": found["refused_rate"],
        "most_queued": found["most_queued"],
        "most_outstanding": found["most_outstanding"],
        "mean_wait": found["mean_wait"],
        "longest_wait": found["longest_wait"],
        "cores": found["cpu"] / seconds,
    }
    return [
        Row(name=name, figures=figures, samples={key: [value] for key, value in figures.items()})
        for name, figures in ((_ALONE, alone), (_OVERLOADED, overloaded))
    ]


def _targets(found: dict[str, float], max_queued: int) -> list[Target]:
    return [
        Target(text="emails in the queue at most", value=found["most_queued"], bound=max_queued),
        Target(
            text="taken a second / at the peak",
            value=found["taken_rate"] / found["peak"],
            bound=0.9,
            at_least=True,
            unit="x",
        ),
        Target(
            text="longest wait / mean wait",
            value=found["longest_wait"] / max(found["mean_wait"], 1e-9),
            bound=3,
            unit="x",
        ),
        Target(text="sends with no outcome, or two", value=found["not_one_outcome"], bound=0),
    ]

"""More and more sends in flight, on a server that takes a second for its verdict."""

import itertools
from collections.abc import Mapping
from statistics import median

from .plan import Competitor, Plan, Sample, column_of, columns_of, compete
from .processes import ChildError, OwnServer, run_client
from .rates import ratio
from .result import Column, Result, Row, Target, Unavailable
from .turns import REPORT

NAME = "latency"
_LATENCY, _QUICK_LATENCY = 1.0, 0.1
"""Seconds."""
_IN_FLIGHT, _QUICK = (100, 1_000, 10_000), (10, 50, 100)
_SECONDS, _QUICK_SECONDS = 3.0, 0.3
"""For how long mails are told."""
_MANY, _MANY_SECONDS = 5_000, 6.0
"""So many in flight need longer than others until they come and go evenly."""
_PATIENCE = 6.0
"""Times the latency that the rest may take."""
_WARM_UP = 100
_ROUNDS = 2
_TIMEOUT = 120.0
_WHO = ("pykka-smtp, SmtpActor", "pykka-smtp, Mailer")
_FULL = 0.9
"""Of what the latency allows, or of a processor: the share from which it counts as used up."""


def run(plan: Plan) -> Result:
    """Measure."""
    steps = _QUICK if plan.quick else _IN_FLIGHT
    latency = _QUICK_LATENCY if plan.quick else _LATENCY
    rounds = min(plan.rounds, _ROUNDS)
    competitors = [
        Competitor(
            name=_name(who, step),
            turn=lambda who=who, step=step: _turn(plan, who, step),  # type: ignore[misc]
        )
        for who in _WHO
        for step in steps
    ]
    samples, notes = compete(plan, NAME, competitors, "mails_per_second", rounds)
    rows = [
        Row(
            name=name,
            figures={key: median(column_of(taken, key)) for key in taken[0]},
            samples=columns_of(taken),
        )
        for name, taken in samples.items()
    ]
    found = {row.name: row.figures for row in rows}
    return Result(
        name=NAME,
        title=f"A server that takes {latency:g} s for its verdict on each email"
        f" ({rounds} rounds, medians)",
        columns=(
            Column(key="most_held", title="most in flight"),
            Column(key="mails_per_second", title="emails/s"),
            Column(key="allowed", title="of what the latency allows", digits=2),
            Column(key="cpu_ms_per_mail", title="CPU ms/email", digits=3),
            Column(key="cores", title="CPU while telling, cores", digits=2),
            Column(key="server_cores", title="server's", digits=2),
            Column(key="kib_each", title="extra peak KiB each", digits=1),
        ),
        rows=rows,
        targets=[target for who in _WHO for target in _targets(who, steps, samples, found)],
        notes=[
            *notes,
            *[
                f"{name}: {figures['left']:g} emails were not taken in time, or failed"
                for name, figures in found.items()
                if figures["left"]
            ],
            (
                "an email is told as soon as another has its outcome, so that the number in flight"
                " stays; SmtpActor opens a connection for each, the Mailer keeps its own"
            ),
        ],
    )


def _name(who: str, step: int) -> str:
    return f"{who}, {step} in flight"


def _targets(
    who: str,
    steps: tuple[int, ...],
    samples: Mapping[str, list[Sample]],
    found: Mapping[str, Mapping[str, float]],
) -> list[Target]:
    few, _, many = names = [_name(who, step) for step in steps]
    used = [
        Target(
            text=f"{name}: share used of the latency's limit, or of a processor",
            value=None
            if name not in found
            else max(found[name][key] for key in ("allowed", "cores", "server_cores")),
            bound=_FULL,
            at_least=True,
        )
        for name in names
    ]
    growth = [
        Target(
            text=f"{over} / {under}, emails per second",
            value=ratio(samples, over, under),
            bound=1,
            at_least=True,
            unit="x",
        )
        for under, over in itertools.pairwise(names)
    ]
    return [
        *used,
        *growth,
        Target(
            text=f"{many}: memory for each",
            value=found[many]["kib_each"] if many in found else None,
            bound=20,
            unit="KiB",
        ),
        Target(
            text=f"{many} / {few}, processor time for each email",
            value=ratio(samples, many, few, "cpu_ms_per_mail"),
            bound=1.5,
            unit="x",
        ),
    ]


def _turn(plan: Plan, who: str, in_flight: int) -> Sample:
    is_mailer = who == _WHO[1]
    latency = _QUICK_LATENCY if plan.quick else _LATENCY
    telling = _QUICK_SECONDS if plan.quick else _MANY_SECONDS if in_flight > _MANY else _SECONDS
    with OwnServer("taking_server", latency=latency, free=_WARM_UP) as server:
        sample = run_client(
            "client_latency",
            timeout=_TIMEOUT,
            port=server.port,
            warm_up=_WARM_UP,
            in_flight=in_flight,
            seconds=telling,
            patience=_PATIENCE * latency + 5,
            mailer=is_mailer,
        )
        server.tell("report")
        facts = server.hear(REPORT)
    accepted, seconds = sample["accepted"], sample["seconds"]
    if not accepted or facts["mails"] < accepted + _WARM_UP:
        raise ChildError(
            f"{accepted} emails were accepted after {_WARM_UP}; the server has {facts['mails']}"
        )
    if sample["in_flight"] < in_flight:
        raise Unavailable(
            f"the system allows only {sample['in_flight']} connections; raise ulimit -Hn"
        )
    return {
        "most_held": facts["most_held"],
        "mails_per_second": accepted / seconds,
        "allowed": accepted / seconds / (in_flight / latency),
        "cpu_ms_per_mail": sample["cpu"] / accepted * 1e3,
        "cores": sample["cores"],
        "server_cores": facts["cpu"] / seconds,
        "kib_each": sample["octets_each"] / 1024,
        "left": sample["told"] - accepted,
    }

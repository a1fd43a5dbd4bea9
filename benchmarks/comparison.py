"""Ours beside others, in one run: reused and fresh connections, emails made anew, two processes.

What the other benchmarks show in detail is here in short, so that it comes from the same minutes.
"""

from dataclasses import dataclass, replace
from typing import Any

from .plan import Competitor, Plan, compete
from .rates import CPU, RATE, Samples, at_least, columns, cpu_at_most, ratio, rows
from .result import Column, Result, Row
from .reuse import PER_CONNECTION
from .throughput import AT_A_TIME, WARM_UP
from .turns import Send, against_own, against_sink, client, smtp_source, together

NAME = "comparison"
_WINDOW = 80
_PROCESSES = 2

REUSED = "reused: pykka-smtp Mailer"
REUSED_WINDOW = f"reused: pykka-smtp Mailer, window of {_WINDOW}"
REUSED_STDLIB = "reused: pykka-smtp Mailer, stdlib loop"
REUSED_TWO = f"reused: pykka-smtp Mailer in {_PROCESSES} processes"
REUSED_AIOSMTPLIB = "reused: aiosmtplib, uvloop"
REUSED_SMTPLIB = "reused: smtplib, threads"
REUSED_NODEMAILER = "reused: nodemailer's pool"
REUSED_SOURCE = "reused: smtp-source -d"
REAL = "queue ids, CHUNKING: pykka-smtp Mailer"
REAL_AIOSMTPLIB = "queue ids, CHUNKING: aiosmtplib, uvloop"
REAL_FRESH = "queue ids, CHUNKING: pykka-smtp SmtpActor"
MADE = "made of parts: pykka-smtp Mailer"
MADE_AIOSMTPLIB = "made of parts: aiosmtplib, uvloop, reused"
MADE_AIOSMTPLIB_FRESH = "made of parts: aiosmtplib, fresh"
FRESH = "fresh: pykka-smtp SmtpActor"
FRESH_WINDOW = f"fresh: pykka-smtp SmtpActor, window of {_WINDOW}"
FRESH_STDLIB = "fresh: pykka-smtp SmtpActor, stdlib loop"
FRESH_AIOSMTPLIB = "fresh: aiosmtplib, told a name"
FRESH_AIOSMTPLIB_UVLOOP = f"{FRESH_AIOSMTPLIB}, uvloop"
FRESH_SOURCE = "fresh: smtp-source"

_FASTER, _CHEAPER = "ours is x faster", "ours takes x less CPU"
_OURS = {"reused": REUSED, "queue ids, CHUNKING": REAL, "made of parts": MADE, "fresh": FRESH}
"""Whose rate is divided by everybody's, of those whose name begins so."""
_WANTED = (
    (REUSED, REUSED_AIOSMTPLIB, 1.7),
    (REUSED, REUSED_NODEMAILER, 3.0),
    (REUSED, REUSED_SMTPLIB, 3.0),
    (REUSED, REUSED_SOURCE, 0.4),
    (FRESH, FRESH_AIOSMTPLIB, 2.3),
    (FRESH, FRESH_AIOSMTPLIB_UVLOOP, 1.3),
    (FRESH, FRESH_SOURCE, 0.7),
    (REUSED_WINDOW, REUSED, 0.9),
    (MADE, MADE_AIOSMTPLIB, 12.0),
    (REUSED_TWO, REUSED, 1.4),
)
"""Of emails per second: at least so many times."""
_WANTED_CPU = (
    (REUSED, REUSED_AIOSMTPLIB, 0.6),
    (FRESH, FRESH_AIOSMTPLIB, 0.45),
    (FRESH, FRESH_AIOSMTPLIB_UVLOOP, 0.75),
)
"""Of CPU for each email: at most so many times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """Who takes part, and how: a client's module, what it is told, and its share of the mails."""

    name: str
    module: str
    share: int
    told: dict[str, Any]
    loop: str = ""
    is_real: bool = False  # whether against the server that has queue ids and CHUNKING
    processes: int = 1


_MAILER: dict[str, Any] = {"per_connection": PER_CONNECTION}
_AIO: dict[str, Any] = {"reuse": True, "uvloop": True}
_REUSED = _Entry(name=REUSED, module="client_mailer", share=5, told=_MAILER, loop="uvloop")
_FRESH = _Entry(name=FRESH, module="client_pykka", share=1, told={}, loop="uvloop")
_AIOSMTPLIB = _Entry(name=REUSED_AIOSMTPLIB, module="client_aiosmtplib", share=2, told=_AIO)
_ENTRIES = (
    _REUSED,
    replace(_REUSED, name=REUSED_WINDOW, told={**_MAILER, "window": _WINDOW}),
    replace(_REUSED, name=REUSED_STDLIB, loop="asyncio"),
    replace(_REUSED, name=REUSED_TWO, processes=_PROCESSES),
    _AIOSMTPLIB,
    _Entry(name=REUSED_SMTPLIB, module="client_smtplib", share=2, told={"reuse": True}),
    _Entry(name=REUSED_NODEMAILER, module="nodemailer", share=2, told={**_MAILER, "reuse": True}),
    replace(_REUSED, name=REAL, share=2, is_real=True),
    replace(_AIOSMTPLIB, name=REAL_AIOSMTPLIB, share=1, is_real=True),
    replace(_FRESH, name=REAL_FRESH, is_real=True),
    replace(_REUSED, name=MADE, told={**_MAILER, "composed": True}),
    replace(_AIOSMTPLIB, name=MADE_AIOSMTPLIB, share=1, told={**_AIO, "composed": True}),
    replace(_AIOSMTPLIB, name=MADE_AIOSMTPLIB_FRESH, share=1, told={"composed": True}),
    _FRESH,
    replace(_FRESH, name=FRESH_WINDOW, told={"window": _WINDOW}),
    replace(_FRESH, name=FRESH_STDLIB, loop="asyncio"),
    replace(_AIOSMTPLIB, name=FRESH_AIOSMTPLIB, share=1, told={}),
    replace(_AIOSMTPLIB, name=FRESH_AIOSMTPLIB_UVLOOP, share=1, told={"uvloop": True}),
)


def run(plan: Plan) -> Result:
    """Measure."""
    competitors = [
        *[_competitor(plan, entry) for entry in _ENTRIES],
        _source(plan, REUSED_SOURCE, 10, reuse=True),
        _source(plan, FRESH_SOURCE, 1, reuse=False),
    ]
    order = list(_OURS)
    competitors.sort(key=lambda one: order.index(_group(one.name)))  # each group stays in order
    samples, notes = compete(plan, NAME, competitors, RATE)
    return Result(
        name=NAME,
        title=f"Ours beside others, emails of 1 kB, {AT_A_TIME} connections"
        f" ({plan.rounds} rounds in turn, medians)",
        columns=(
            *columns(_FASTER),
            Column(key=_CHEAPER, title=_CHEAPER, digits=2),
        ),
        rows=[row for group in _OURS for row in _rows(samples, group)],
        targets=[
            *[at_least(samples, over, under, bound) for over, under, bound in _WANTED],
            *[cpu_at_most(samples, one, other, bound) for one, other, bound in _WANTED_CPU],
        ],
        notes=[
            *notes,
            (
                "reused, fresh and made of parts: to smtp-sink; queue ids and CHUNKING: to a server"
                " of ours in Python, which is the limit there, so look at the CPU"
            ),
            (
                "smtplib and aiosmtplib are told a name for EHLO; where emails are made of parts,"
                " they send an EmailMessage"
            ),
        ],
    )


def _group(name: str) -> str:
    return name.partition(":")[0]


def _rows(samples: Samples, group: str) -> list[Row]:
    """Return the rows of a group, with ratios to the one of ours that it is about."""
    inside = {name: taken for name, taken in samples.items() if _group(name) == group}
    ours = _OURS[group]
    shown = []
    for row in rows(inside, {_FASTER: ours}):
        less = ratio(samples, row.name, ours, CPU)
        shown.append(row if less is None else replace(row, figures={**row.figures, _CHEAPER: less}))
    return shown


def _competitor(plan: Plan, entry: _Entry) -> Competitor:
    whole = plan.mails // entry.processes * entry.processes  # the same for each process
    count, warm_up = whole * entry.share, min(WARM_UP, whole)
    told: dict[str, Any] = {"loop": entry.loop, "limit": AT_A_TIME, "warm_up": warm_up}
    told |= entry.told
    send: Send
    if entry.processes > 1:
        send = together(count, entry.processes, entry.module, **told)
    else:
        send = client(entry.module, count=count, **told)
    if entry.is_real:
        return Competitor(
            name=entry.name,
            turn=lambda: against_own(send, count, warm_up, chunking=True, tells=True),
        )
    return Competitor(name=entry.name, turn=lambda: against_sink(send, count, warm_up))


def _source(plan: Plan, name: str, share: int, *, reuse: bool) -> Competitor:
    count = plan.mails * share
    send = smtp_source(count, AT_A_TIME, reuse=reuse)
    return Competitor(name=name, turn=lambda: against_sink(send, count, 0))

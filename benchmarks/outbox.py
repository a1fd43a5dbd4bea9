"""The Outbox: what durability costs, how long puts and restarts take, and what kills lose."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from .kills import run_cycles
from .plan import Plan
from .processes import ROOT, SmtpSink, run_client
from .result import Column, Result, Row, Target
from .throughput import AT_A_TIME

NAME = "outbox"
CYCLES = "PYKKA_SMTP_KILLS"
"""The environment variable with the number of kills; 200 without it, 3 in a quick run."""
_MAILER, _OUTBOX = "pykka-smtp, Mailer", "pykka-smtp, Outbox"
_PUT_ONE, _PUT_MANY = "puts, one after the other", "puts, a thousand at once"
_PROCESSES = "puts of 8 processes, one after the other"
_TIMEOUT = 300.0
_CONNECTIONS = 10


def run(plan: Plan) -> Result:
    """Measure."""
    samples: dict[str, list[dict[str, float]]] = {_MAILER: [], _OUTBOX: []}
    for number in range(plan.rounds):
        for name, module in ((_MAILER, "client_mailer"), (_OUTBOX, "client_outbox")):
            found = _send(plan, module)
            samples[name].append(found)
            where = f"{NAME}, round {number + 1} of {plan.rounds}, {name}"
            plan.progress(f"{where}: {found['rate']:.4g} emails/s, {found['cpu']:.3g} ms CPU")
    samples[_PUT_ONE] = [_put(60 if plan.quick else 1000, 1)]
    samples[_PUT_MANY] = [_put(1000 if plan.quick else 20_000, 1000)]
    samples[_PROCESSES] = [_putters(2 if plan.quick else 8, 0.5 if plan.quick else 3.0)]
    plan.progress(f"{NAME}: puts measured")
    recovery = _recovery(2_000 if plan.quick else 100_000)
    plan.progress(f"{NAME}: first email after {recovery['first']:.3g} s")
    cycles = 3 if plan.quick else int(os.environ.get(CYCLES, "200"))
    with tempfile.TemporaryDirectory() as folder:
        kills = run_cycles(Path(folder), cycles=cycles, connections=_CONNECTIONS)
    plan.progress(f"{NAME}: {kills}")
    figures = {
        name: {key: median(one[key] for one in found) for key in found[0]}
        for name, found in samples.items()
    }
    return Result(
        name=NAME,
        title=f"An outbox in a file: emails of 1 kB, {AT_A_TIME} connections, to smtp-sink;"
        f" puts; a restart; {cycles} kills",
        columns=(
            Column(key="rate", title="emails/s"),
            Column(key="cpu", title="CPU, ms", digits=3),
            Column(key="longest", title="longest, ms"),
        ),
        rows=[
            Row(
                name=name,
                figures=values,
                samples={key: [one[key] for one in samples[name]] for key in values},
            )
            for name, values in figures.items()
        ],
        targets=_targets(figures, recovery, kills, cycles),
        notes=[
            f"kills: {kills}",
            f"a restart: {recovery}",
            (
                "an outbox waits for the disk twice before the end of an email goes out; the disk"
                " and the processor of this machine decide what that costs"
            ),
        ],
    )


def _send(plan: Plan, module: str) -> dict[str, float]:
    with SmtpSink() as sink, tempfile.TemporaryDirectory() as folder:
        found = run_client(
            module,
            timeout=_TIMEOUT,
            port=sink.port,
            path=str(Path(folder) / "mail.db"),
            limit=AT_A_TIME,
            per_connection=100,
            window=0,
            warm_up=min(200, plan.mails),
            count=plan.mails,
            composed=False,
            ca=None,
        )
    return {"rate": found["sent"] / found["seconds"], "cpu": 1000 * found["cpu"] / found["sent"]}


def _put(count: int, at_once: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        found = run_client(
            "client_outbox",
            timeout=_TIMEOUT,
            port=9,
            path=str(Path(folder) / "mail.db"),
            puts=at_once,
            limit=AT_A_TIME,
            per_connection=100,
            count=count,
        )
    rate, cpu = found["rate"], 1000 * found["cpu"] / count
    return {"rate": rate, "cpu": cpu, "longest": 1000 * found["longest"]}


def _putters(count: int, seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        told = {
            "path": str(Path(folder) / "mail.db"),
            "seconds": seconds,
            "begins": time.time() + 1.5 + count / 2,  # they take their time to start
        }
        command = [sys.executable, "-m", "benchmarks.client_putters", json.dumps(told)]
        programs = [
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            for _ in range(count)
        ]
        found = [json.loads(one.communicate(timeout=_TIMEOUT)[0]) for one in programs]
    rate = sum(one["count"] for one in found) / seconds
    return {"rate": rate, "longest": 1000 * max(one["longest"] for one in found)}


def _recovery(rows: int) -> dict[str, Any]:
    with SmtpSink() as sink, tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "mail.db")
        run_client("client_recovery", timeout=_TIMEOUT, path=path, rows=rows)
        return run_client("client_recovery", timeout=_TIMEOUT, path=path, port=sink.port)


def _targets(
    figures: dict[str, dict[str, float]], recovery: dict[str, Any], kills: Any, cycles: int
) -> list[Target]:
    ratio = figures[_OUTBOX]["rate"] / figures[_MAILER]["rate"]
    more = {"at_least": True}
    return [
        Target(text="Outbox / Mailer, emails/s", value=ratio, bound=0.5, unit="x", **more),
        Target(text=_PUT_ONE, value=figures[_PUT_ONE]["rate"], bound=300, unit="/s", **more),
        Target(text=_PUT_MANY, value=figures[_PUT_MANY]["rate"], bound=5000, unit="/s", **more),
        Target(
            text=f"longest of {_PROCESSES}",
            value=figures[_PROCESSES]["longest"],
            bound=250,
            unit="ms",
        ),
        Target(text="a restart: first email", value=recovery["first"], bound=1, unit="s"),
        Target(text="a restart: memory", value=recovery["memory"], bound=100, unit="MB"),
        Target(text="kills: emails lost", value=kills.lost + kills.never_heard, bound=0),
        Target(text="kills: heard twice in one life", value=kills.heard_twice, bound=0),
        Target(text="kills: doubled, not flagged", value=kills.unflagged, bound=0),
        Target(
            text="kills: doubled, of kills x connections",
            value=kills.doubled / max(1, cycles * _CONNECTIONS),
            bound=1,
            unit="x",
        ),
    ]

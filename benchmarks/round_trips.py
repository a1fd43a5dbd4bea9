"""A server that is 50 ms away: time for each mail, and how often the two sides take turns."""

from statistics import median
from typing import Any

from .nodemailer import run_nodemailer
from .plan import Competitor, Plan, Sample, column_of, columns_of, compete
from .processes import OwnServer, SmtpSink, need_package, run_client
from .result import Column, Result, Row, Target

NAME = "round_trips"
_ROUND_TRIP = 0.05
"""Seconds."""
_MAILS, _QUICK = 5, 1
_TIMEOUT = 60.0
_REPORT = 10.0
"""Seconds that the proxy has to see the last connection end."""
_OURS = "pykka-smtp"


def run(plan: Plan) -> Result:
    """Measure."""
    mails = _QUICK if plan.quick else _MAILS
    samples, notes = compete(plan, NAME, _competitors(mails), "ms_per_mail")
    rows = [
        Row(
            name=name,
            figures={
                key: median(column_of(taken, key))
                for key in ("ms_per_mail", "until_accepted", "in_all", "writes")
            },
            samples=columns_of(taken),
        )
        for name, taken in samples.items()
    ]
    ours = next((row.figures["until_accepted"] for row in rows if row.name == _OURS), None)
    return Result(
        name=NAME,
        title=f"A server {_ROUND_TRIP * 1e3:.0f} ms away, one email after the other"
        f" ({plan.rounds} rounds of {mails} emails, medians)",
        columns=(
            Column(key="ms_per_mail", title="ms/email"),
            Column(key="until_accepted", title="round trips until accepted", digits=1),
            Column(key="in_all", title="with QUIT", digits=1),
            Column(key="writes", title="client's writes", digits=1),
        ),
        rows=rows,
        targets=[
            Target(text="round trips after connect, until the email is taken", value=ours, bound=4)
        ],
        notes=[
            *notes,
            (
                "the time ends where the program knows the outcome; smtplib and aiosmtplib, as one"
                " uses them, return after QUIT, the other two before it"
            ),
            (
                "connecting itself takes no time here; the greeting takes a round trip; smtp-sink"
                " offers PIPELINING but no CHUNKING"
            ),
        ],
    )


def _competitors(mails: int) -> list[Competitor]:
    def turn(module: str, package: str = "") -> Sample:
        if package:
            need_package(package)
        told: dict[str, Any] = {"mode": "single", "count": mails, "warm_up": 1}
        with (
            SmtpSink() as sink,
            OwnServer("delay_proxy", target=sink.port, delay=_ROUND_TRIP / 2) as proxy,
        ):
            if module == "nodemailer":
                sample = run_nodemailer(timeout=_TIMEOUT, port=proxy.port, **told)
            else:
                sample = run_client(module, timeout=_TIMEOUT, port=proxy.port, **told)
            proxy.tell("report")
            counts = proxy.hear(_REPORT)
        connections = counts["connections"]
        return {
            "ms_per_mail": sample["seconds"] / mails * 1e3,
            "until_accepted": counts["turns_before_quit"] / connections,
            "in_all": counts["turns"] / connections,
            "writes": counts["writes"] / connections,
        }

    return [
        Competitor(name=_OURS, turn=lambda: turn("client_pykka")),
        Competitor(name="smtplib", turn=lambda: turn("client_smtplib")),
        Competitor(name="aiosmtplib", turn=lambda: turn("client_aiosmtplib", "aiosmtplib")),
        Competitor(name="nodemailer", turn=lambda: turn("nodemailer")),
    ]

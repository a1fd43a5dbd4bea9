"""A Mailer with ten thousand destinations: what they cost, and whether each has its turn."""

from typing import Any

from .plan import Competitor, Plan, column_of, columns_of, compete
from .processes import ChildError, SmtpSink, run_client
from .rates import ratio
from .result import Column, Result, Row, Target, median_ratio

NAME = "destinations"
_DESTINATIONS, _QUICK_DESTINATIONS = 10_000, 200
_COLD, _QUICK_COLD = 1_000, 50
_HOT, _QUICK_HOT = 20_000, 500
_MAILS = 2
_TIMEOUT = 300.0

SPREAD = "pykka-smtp, Mailer, a destination for each domain"
FLOOR = "pykka-smtp, Mailer, one destination"


def run(plan: Plan) -> Result:
    """Measure."""
    destinations = _QUICK_DESTINATIONS if plan.quick else _DESTINATIONS
    cold = _QUICK_COLD if plan.quick else _COLD
    hot = _QUICK_HOT if plan.quick else _HOT

    def part(name: str, count: int) -> dict[str, Any]:
        with SmtpSink() as sink:
            found = run_client(
                "client_destinations",
                timeout=_TIMEOUT,
                port=sink.port,
                part=name,
                destinations=count,
                mails=_MAILS,
                hot=hot,
            )
        if found["failed"] or found["lost"]:
            raise ChildError(f"{found['failed']} emails failed, {found['lost']} were lost")
        return found

    competitors = [
        Competitor(name=SPREAD, turn=lambda: part("spread", destinations)),
        Competitor(name=FLOOR, turn=lambda: part("floor", destinations)),
    ]
    samples, notes = compete(plan, NAME, competitors, "mails_per_second")
    plan.progress(f"{NAME}: {cold} cold destinations behind {hot} emails")
    waits = part("cold", cold)
    plan.progress(f"{NAME}: {destinations} idle destinations")
    idle = part("idle", destinations)
    rows = [
        Row(
            name=name,
            figures={
                key: sorted(column_of(taken, key))[len(taken) // 2]
                for key in ("mails_per_second", "cpu_us_per_mail", "mib")
            }
            | {"ratio": median_ratio(column_of(samples[SPREAD], _RATE), column_of(taken, _RATE))},
            samples=columns_of(taken),
        )
        for name, taken in samples.items()
        if SPREAD in samples
    ]
    rates = [row.figures[_RATE] for row in rows if row.name == SPREAD]
    return Result(
        name=NAME,
        title=f"{destinations} destinations, {_MAILS} emails of 1 kB each, to smtp-sink"
        f" ({plan.rounds} rounds, medians)",
        columns=(
            Column(key=_RATE, title="emails/s"),
            Column(key="cpu_us_per_mail", title="CPU us/email"),
            Column(key="mib", title="MiB besides the emails", digits=1),
            Column(key="ratio", title="many are x faster", digits=2),
        ),
        rows=rows,
        targets=[
            Target(
                text=f"{destinations} destinations, emails per second",
                value=rates[0] if rates else None,
                bound=3_000,
                at_least=True,
            ),
            Target(
                text=f"{SPREAD} / {FLOOR}, processor time for each email",
                value=ratio(samples, SPREAD, FLOOR, "cpu_us_per_mail"),
                bound=1.5,
                unit="x",
            ),
            Target(
                text=f"{cold} cold destinations behind {hot} emails, longest wait for the first",
                value=waits["longest_wait"],
                bound=1.0,
                unit="s",
            ),
            Target(
                text="memory for each idle destination",
                value=idle["octets_each"],
                bound=500,
                unit="octets",
            ),
            Target(
                text=f"a tick, with {idle['remembered']} idle destinations",
                value=idle["tick_us"],
                bound=50,
                unit="us",
            ),
        ],
        notes=[
            *notes,
            (
                "all are one smtp-sink, with 100 connections at once; the one destination, the"
                f" floor, opens a connection for each {_MAILS} emails, as the many have to"
            ),
            (
                f"cold destinations have their first email after {waits['median_wait']:.2f} s in"
                f" the median; all {hot + cold} emails took {waits['whole']:.1f} s"
            ),
        ],
    )


_RATE = "mails_per_second"

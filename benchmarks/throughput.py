"""A connection for each send: mails a second, and processor time for each mail."""

import re
from collections.abc import Callable
from statistics import median

from .mail import CLIENT_NAME, RECIPIENT, SENDER
from .nodemailer import run_nodemailer
from .plan import Competitor, Plan, Sample, column_of, columns_of, compete
from .processes import (
    HOST,
    ChildError,
    SmtpSink,
    find_program,
    need_package,
    run_client,
    run_program,
)
from .result import Column, Result, Row, Target, median_ratio

NAME = "throughput"
COMPOSED = "composed"
AT_A_TIME = 20
WINDOW = 100
"""Outstanding sends of the second pykka-smtp variant."""
_WARM_UP = 200
"""Mails that each client sends before the clock starts."""
_TIMEOUT = 120.0

OURS = "pykka-smtp, uvloop"
OURS_WINDOW = f"pykka-smtp, uvloop, window of {WINDOW}"
OURS_STDLIB = "pykka-smtp, stdlib loop"
OURS_STDLIB_WINDOW = f"pykka-smtp, stdlib loop, window of {WINDOW}"
SMTPLIB = f"smtplib, {AT_A_TIME} threads"
AIOSMTPLIB = "aiosmtplib"
AIOSMTPLIB_UVLOOP = "aiosmtplib, uvloop"
NODEMAILER = "nodemailer"
SMTP_SOURCE = "smtp-source"

_COUNTED = re.compile(r"\d+")


_COLUMNS = (
    Column(key="mails_per_second", title="mails/s"),
    Column(key="lowest", title="lowest"),
    Column(key="highest", title="highest"),
    Column(key="cpu", title="CPU ms/mail", digits=3),
    Column(key="sink_cpu", title="sink's CPU", digits=3),
    Column(key="ratio", title="ours is x faster", digits=2),
)


def run(plan: Plan) -> Result:
    """Measure with mails that are ready as bytes."""
    samples, notes = compete(plan, NAME, _competitors(plan), "mails_per_second")
    return Result(
        name=NAME,
        title=f"One connection for each mail of 1 kB, {AT_A_TIME} at a time, to smtp-sink"
        f" ({plan.rounds} rounds of {plan.mails} mails, medians)",
        columns=_COLUMNS,
        rows=[_row(name, taken, samples.get(OURS)) for name, taken in samples.items()],
        targets=_targets(samples),
        notes=[
            *notes,
            (
                f"'ours' is '{OURS}': all mails told at once, {AT_A_TIME} connections;"
                f" a window of {WINDOW} means at most so many sends outstanding"
            ),
        ],
    )


def run_composed(plan: Plan) -> Result:
    """Measure with mails that are made of a subject and a text, each anew."""
    chosen = (OURS, OURS_STDLIB, SMTPLIB, AIOSMTPLIB, AIOSMTPLIB_UVLOOP, NODEMAILER)
    competitors = [c for c in _competitors(plan, composed=True) if c.name in chosen]
    samples, notes = compete(plan, COMPOSED, competitors, "mails_per_second")
    return Result(
        name=COMPOSED,
        title="The same, but each mail is made of subject and text first"
        f" ({plan.rounds} rounds of {plan.mails} mails, medians)",
        columns=_COLUMNS,
        rows=[_row(name, taken, samples.get(OURS)) for name, taken in samples.items()],
        notes=[*notes, "smtplib and aiosmtplib send an EmailMessage"],
    )


def _row(name: str, taken: list[Sample], ours: list[Sample] | None) -> Row:
    rates = column_of(taken, "mails_per_second")
    figures = {
        "mails_per_second": median(rates),
        "lowest": min(rates),
        "highest": max(rates),
        "cpu": median(column_of(taken, "cpu_ms_per_mail")),
        "sink_cpu": median(column_of(taken, "sink_cpu_ms_per_mail")),
    }
    if ours is not None:
        figures["ratio"] = median_ratio(column_of(ours, "mails_per_second"), rates)
    return Row(name=name, figures=figures, samples=columns_of(taken))


def _targets(samples: dict[str, list[Sample]]) -> list[Target]:
    wanted = (
        (OURS, AIOSMTPLIB, 3.0),
        (OURS, SMTPLIB, 4.0),
        (OURS, SMTP_SOURCE, 0.6),
        (OURS_STDLIB, AIOSMTPLIB, 1.2),
    )
    return [
        Target(
            text=f"{over} / {under}, mails a second",
            value=None
            if over not in samples or under not in samples
            else median_ratio(
                column_of(samples[over], "mails_per_second"),
                column_of(samples[under], "mails_per_second"),
            ),
            bound=bound,
            at_least=True,
            unit="x",
        )
        for over, under, bound in wanted
    ]


def _competitors(plan: Plan, *, composed: bool = False) -> list[Competitor]:
    count, warm_up = plan.mails, min(_WARM_UP, plan.mails)

    def client(
        module: str, loop: str = "", window: int = 0, *, uvloop: bool = False
    ) -> Callable[[], Sample]:
        def turn(port: int) -> Sample:
            if uvloop or loop == "uvloop":
                need_package("uvloop")
            if module == "client_aiosmtplib":
                need_package("aiosmtplib")
            return run_client(
                module,
                timeout=_TIMEOUT,
                environment={"PYKKA_SMTP_LOOP": loop},
                mode="many",
                port=port,
                count=count,
                warm_up=warm_up,
                limit=AT_A_TIME,
                window=window,
                uvloop=uvloop,
                composed=composed,
            )

        return lambda: against_sink(turn, count, warm_up)

    def nodemailer(port: int) -> Sample:
        return run_nodemailer(
            timeout=_TIMEOUT,
            mode="many",
            port=port,
            count=count,
            warm_up=warm_up,
            limit=AT_A_TIME,
            composed=composed,
        )

    return [
        Competitor(name=OURS, turn=client("client_pykka", "uvloop")),
        Competitor(name=OURS_WINDOW, turn=client("client_pykka", "uvloop", WINDOW)),
        Competitor(name=OURS_STDLIB, turn=client("client_pykka", "asyncio")),
        Competitor(name=OURS_STDLIB_WINDOW, turn=client("client_pykka", "asyncio", WINDOW)),
        Competitor(name=SMTPLIB, turn=client("client_smtplib")),
        Competitor(name=AIOSMTPLIB, turn=client("client_aiosmtplib")),
        Competitor(name=AIOSMTPLIB_UVLOOP, turn=client("client_aiosmtplib", uvloop=True)),
        Competitor(name=NODEMAILER, turn=lambda: against_sink(nodemailer, count, warm_up)),
        Competitor(
            name=SMTP_SOURCE, turn=lambda: against_sink(lambda port: _source(port, count), count, 0)
        ),
    ]


def against_sink(turn: Callable[[int], Sample], count: int, warm_up: int) -> Sample:
    """Give somebody a turn against a smtp-sink of its own, and believe the sink, not the client.

    A server of its own, on a port of its own: what the kernel remembers of the connections of
    the turn before is nobody's burden.
    """
    with SmtpSink() as sink:
        sample = dict(turn(sink.port))
    if sink.mails != count + warm_up or sample["sent"] != count:
        raise ChildError(
            f"was to send {count} mails after {warm_up}, and says that it sent"
            f" {sample['sent']:g}; the server has {sink.mails} in all"
        )
    sample["mails_per_second"] = count / sample["seconds"]
    sample["cpu_ms_per_mail"] = sample["cpu"] / count * 1e3
    sample["sink_cpu_ms_per_mail"] = sink.cpu / (count + warm_up) * 1e3
    return sample


def _source(port: int, count: int) -> Sample:
    """Run Postfix's load generator, which is written in C and does not pipeline."""
    program = find_program("smtp-source", "install Postfix")
    options = ("-s", str(AT_A_TIME), "-m", str(count), "-l", "1000", "-c")
    names = ("-M", CLIENT_NAME, "-f", SENDER, "-t", RECIPIENT)
    done = run_program([program, *options, *names, f"{HOST}:{port}"], timeout=_TIMEOUT)
    # It writes 1, 2, 3 ... each over the one before.
    counted = _COUNTED.findall(done.output.replace("\r", " ").replace("\b", " "))
    sent = int(counted[-1]) if counted else 0
    return {"seconds": done.seconds, "cpu": done.cpu, "sent": sent}

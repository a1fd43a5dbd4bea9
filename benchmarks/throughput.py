"""A connection for each send: mails a second, and processor time for each mail."""

from typing import Any

from .plan import Competitor, Plan, compete
from .rates import RATE, at_least, columns, in_words, rows
from .result import Result
from .turns import Send, against_sink, client, smtp_source

NAME = "throughput"
COMPOSED = "composed"
AT_A_TIME = 20
WINDOW = 100
"""Outstanding sends of the second pykka-smtp variant."""
WARM_UP = 200
"""Mails that each client sends before the clock starts."""

OURS = "pykka-smtp, uvloop"
OURS_WINDOW = f"pykka-smtp, uvloop, window of {WINDOW}"
OURS_STDLIB = "pykka-smtp, stdlib loop"
OURS_STDLIB_WINDOW = f"pykka-smtp, stdlib loop, window of {WINDOW}"
MAILER = "pykka-smtp, Mailer, max_mails_per_connection=1"
SMTPLIB = f"smtplib, {AT_A_TIME} threads, told an EHLO name"
SMTPLIB_UNNAMED = f"smtplib, {AT_A_TIME} threads, out of the box"
AIOSMTPLIB = "aiosmtplib, told an EHLO name"
AIOSMTPLIB_UNNAMED = "aiosmtplib, out of the box"
AIOSMTPLIB_UVLOOP = f"{AIOSMTPLIB}, uvloop"
NODEMAILER = "nodemailer"
SMTP_SOURCE = "smtp-source"
LEAST = "the least in Python: uvloop, nothing made or understood"

_OURS_RATIO, _MAILER_RATIO = "ours is x faster", "Mailer is x faster"
_RATIOS = {_OURS_RATIO: OURS, _MAILER_RATIO: MAILER}
_FIRST = (
    (OURS, AIOSMTPLIB, 3.0),
    (OURS, SMTPLIB, 4.0),
    (OURS, SMTP_SOURCE, 0.6),
    (OURS_STDLIB, AIOSMTPLIB, 1.2),
)
"""What was wanted of `SmtpActor` at first."""
_SECOND = ((AIOSMTPLIB, 4.0), (SMTPLIB, 6.0), (NODEMAILER, 4.0), (SMTP_SOURCE, 0.8))
"""What is wanted since there is to be a Mailer; of both."""


def run(plan: Plan) -> Result:
    """Measure with mails that are ready as bytes."""
    samples, notes = compete(plan, NAME, _competitors(plan), RATE)
    wanted = [*_FIRST, *[(who, *row) for who in (OURS, MAILER) for row in _SECOND]]
    unnamed = [
        f"{who}, against those who look their name up: {words}"
        for who in (OURS, MAILER)
        if (words := in_words(samples, who, (AIOSMTPLIB_UNNAMED, SMTPLIB_UNNAMED)))
    ]
    return Result(
        name=NAME,
        title=f"One connection for each email of 1 kB, {AT_A_TIME} at a time, to smtp-sink"
        f" ({plan.rounds} rounds of {plan.mails} emails, medians)",
        columns=columns(*_RATIOS),
        rows=rows(samples, _RATIOS),
        targets=[at_least(samples, over, under, bound) for over, under, bound in wanted],
        notes=[
            *notes,
            (
                f"'ours' is '{OURS}': all emails told at once, {AT_A_TIME} connections;"
                f" a window of {WINDOW} means at most so many sends outstanding"
            ),
            (
                "the targets refer to aiosmtplib and smtplib where they are told a name for EHLO;"
                " out of the box they look up this machine's full name for each connection, which"
                " takes the longer the farther the name server is"
            ),
            *unnamed,
        ],
    )


def run_composed(plan: Plan) -> Result:
    """Measure with mails that are made of a subject and a text, each anew."""
    chosen = (OURS, OURS_STDLIB, SMTPLIB, AIOSMTPLIB, AIOSMTPLIB_UVLOOP, NODEMAILER)
    competitors = [c for c in _competitors(plan, composed=True) if c.name in chosen]
    samples, notes = compete(plan, COMPOSED, competitors, RATE)
    return Result(
        name=COMPOSED,
        title="The same, but each email is made of subject and text first"
        f" ({plan.rounds} rounds of {plan.mails} emails, medians)",
        columns=columns(_OURS_RATIO),
        rows=rows(samples, {_OURS_RATIO: OURS}),
        notes=[*notes, "smtplib and aiosmtplib send an EmailMessage"],
    )


def _competitors(plan: Plan, *, composed: bool = False) -> list[Competitor]:
    count, warm_up = plan.mails, min(WARM_UP, plan.mails)

    def sends(name: str, module: str, loop: str = "", **told: Any) -> Competitor:
        send = client(
            module,
            loop=loop,
            count=count,
            warm_up=warm_up,
            limit=AT_A_TIME,
            composed=composed,
            **told,
        )
        return Competitor(name=name, turn=lambda: against_sink(send, count, warm_up))

    source: Send = smtp_source(count, AT_A_TIME)
    return [
        sends(OURS, "client_pykka", "uvloop"),
        sends(OURS_WINDOW, "client_pykka", "uvloop", window=WINDOW),
        sends(OURS_STDLIB, "client_pykka", "asyncio"),
        sends(OURS_STDLIB_WINDOW, "client_pykka", "asyncio", window=WINDOW),
        sends(MAILER, "client_mailer", "uvloop", per_connection=1),
        sends(SMTPLIB, "client_smtplib"),
        sends(SMTPLIB_UNNAMED, "client_smtplib", named=False),
        sends(AIOSMTPLIB, "client_aiosmtplib"),
        sends(AIOSMTPLIB_UNNAMED, "client_aiosmtplib", named=False),
        sends(AIOSMTPLIB_UVLOOP, "client_aiosmtplib", uvloop=True),
        sends(NODEMAILER, "nodemailer"),
        sends(LEAST, "client_least", uvloop=True),
        Competitor(name=SMTP_SOURCE, turn=lambda: against_sink(source, count, 0)),
    ]

"""Reused connections: emails per second, and processor time for each email."""

from collections.abc import Mapping
from typing import Any

from .plan import Competitor, Plan, compete
from .rates import CPU, RATE, Samples, at_least, columns, in_words, ratio, rows
from .result import Result, Target
from .throughput import AT_A_TIME, LEAST, WARM_UP
from .turns import against_sink, client, smtp_source

NAME = "reuse"
COMPOSED = "composed_reuse"
PER_CONNECTION = 100
"""Mails after which the Mailer and nodemailer's pool change a connection."""

MAILER = "pykka-smtp, Mailer"
ACTOR = "pykka-smtp, SmtpActor, fresh connections"
SMTPLIB = f"smtplib, {AT_A_TIME} threads, a connection each"
AIOSMTPLIB = f"aiosmtplib, {AT_A_TIME} reused connections"
AIOSMTPLIB_UVLOOP = f"{AIOSMTPLIB}, uvloop"
AIOSMTPLIB_FRESH = "aiosmtplib, fresh connections"
NODEMAILER = "nodemailer, pool"
SMTP_SOURCE = "smtp-source -d"

_RATIO = "Mailer is x faster"
_WANTED_CPU = 60 / 480
"""60 µs a mail, on a machine where aiosmtplib needs 480 on a fresh connection."""
_SHARE: Mapping[str, int] = {MAILER: 7, SMTP_SOURCE: 14, LEAST: 14, AIOSMTPLIB_FRESH: 1, ACTOR: 1}
"""How many times the plan's mails somebody sends: a turn is to take more than a second."""
_SHARE_OF_OTHERS, _COMPOSED_SHARE = 2, 1
"""Of the others. With an EmailMessage a mail takes them several times as long."""


def run(plan: Plan) -> Result:
    """Measure with mails that are ready as bytes."""
    samples, notes = compete(plan, NAME, _competitors(plan, composed=False), RATE)
    return Result(
        name=NAME,
        title=f"{AT_A_TIME} reused connections, emails of 1 kB, to smtp-sink"
        f" ({plan.rounds} rounds, medians)",
        columns=columns(_RATIO),
        rows=rows(samples, {_RATIO: MAILER}),
        targets=[
            at_least(samples, MAILER, NODEMAILER, 5.0),
            at_least(samples, MAILER, SMTPLIB, 5.0),
            at_least(samples, MAILER, SMTP_SOURCE, 0.7),
            Target(
                text=f"{MAILER} / {AIOSMTPLIB_FRESH}, processor time for each email",
                value=ratio(samples, MAILER, AIOSMTPLIB_FRESH, CPU),
                bound=_WANTED_CPU,
                unit="x",
            ),
        ],
        notes=[
            *notes,
            _counts(plan, samples, composed=False),
            (
                f"the Mailer and nodemailer's pool open a new connection after {PER_CONNECTION}"
                " emails; smtplib, aiosmtplib and smtp-source keep theirs to the end"
            ),
        ],
    )


def run_composed(plan: Plan) -> Result:
    """Measure with mails that are made of a subject and a text, each anew."""
    samples, notes = compete(plan, COMPOSED, _competitors(plan, composed=True), RATE)
    reused = in_words(samples, MAILER, (AIOSMTPLIB, AIOSMTPLIB_UVLOOP))
    return Result(
        name=COMPOSED,
        title=f"{AT_A_TIME} reused connections, and each email is made of subject and text first"
        f" ({plan.rounds} rounds, medians)",
        columns=columns(_RATIO),
        rows=rows(samples, {_RATIO: MAILER}),
        targets=[at_least(samples, MAILER, AIOSMTPLIB_FRESH, 8.0)],
        notes=[
            *notes,
            _counts(plan, samples, composed=True),
            (
                f"smtplib and aiosmtplib send an EmailMessage; '{AIOSMTPLIB_FRESH}', which the"
                " target refers to, opens one for each email, as aiosmtplib.send() does"
            ),
            *([f"with connections that aiosmtplib reuses, too: {reused}"] if reused else []),
        ],
    )


def _count(plan: Plan, name: str, *, composed: bool) -> int:
    others = _COMPOSED_SHARE if composed else _SHARE_OF_OTHERS
    return plan.mails * _SHARE.get(name, others)


def _counts(plan: Plan, samples: Samples, *, composed: bool) -> str:
    counts = "; ".join(f"{name}: {_count(plan, name, composed=composed)}" for name in samples)
    return f"emails in a turn of {counts}"


def _competitors(plan: Plan, *, composed: bool) -> list[Competitor]:
    warm_up = min(WARM_UP, plan.mails)

    def sends(name: str, module: str, *, reuse: bool = True, **told: Any) -> Competitor:
        count = _count(plan, name, composed=composed)
        send = client(
            module,
            count=count,
            warm_up=warm_up,
            limit=AT_A_TIME,
            composed=composed,
            reuse=reuse,
            per_connection=PER_CONNECTION,
            **told,
        )
        return Competitor(name=name, turn=lambda: against_sink(send, count, warm_up))

    whole = [
        sends(MAILER, "client_mailer", loop="uvloop"),
        sends(ACTOR, "client_pykka", loop="uvloop"),
        sends(SMTPLIB, "client_smtplib"),
        sends(AIOSMTPLIB, "client_aiosmtplib"),
        sends(AIOSMTPLIB_UVLOOP, "client_aiosmtplib", uvloop=True),
        sends(AIOSMTPLIB_FRESH, "client_aiosmtplib", reuse=False),
        sends(NODEMAILER, "nodemailer"),
    ]
    if not composed:
        whole.append(sends(LEAST, "client_least", uvloop=True))
        count = _count(plan, SMTP_SOURCE, composed=False)
        source = smtp_source(count, AT_A_TIME, reuse=True)
        whole.append(Competitor(name=SMTP_SOURCE, turn=lambda: against_sink(source, count, 0)))
    return whole

"""TLS by STARTTLS, on fresh connections and on reused ones."""

from statistics import median
from typing import Any

from .certificate import Certificate, certificate
from .plan import Competitor, Plan, Sample, column_of, compete
from .rates import RATE, at_least, columns, rows
from .result import Column, Result, Row
from .reuse import PER_CONNECTION
from .throughput import AT_A_TIME
from .turns import against_own, client

NAME = "tls"
_WARM_UP = 100
_FRESH_SHARE, _KEPT_SHARE, _MAILER_SHARE = 0.3, 1.0, 2.0
"""Of the plan's mails: a handshake costs more than all the rest."""

ACTOR = "pykka-smtp, SmtpActor, fresh"
MAILER_FRESH = "pykka-smtp, Mailer, fresh"
AIOSMTPLIB_FRESH = "aiosmtplib, fresh"
NODEMAILER_FRESH = "nodemailer, fresh"
MAILER = "pykka-smtp, Mailer, reused"
AIOSMTPLIB = "aiosmtplib, reused"
NODEMAILER = "nodemailer, reused (pool)"
_FRESH_RATIO, _KEPT_RATIO = "SmtpActor, fresh, is x faster", "Mailer, reused, is x faster"


def run(plan: Plan) -> Result:
    """Measure."""
    with certificate() as made:
        samples, notes = compete(plan, NAME, _competitors(plan, made), RATE)
    ratios = {_FRESH_RATIO: ACTOR, _KEPT_RATIO: MAILER}
    return Result(
        name=NAME,
        title=f"STARTTLS, certificate verified, {AT_A_TIME} at a time, emails of 1 kB"
        f" ({plan.rounds} rounds, medians)",
        columns=(*columns(*ratios), Column(key="resumed", title="% of handshakes resumed")),
        rows=[
            Row(
                name=row.name,
                figures={**row.figures, "resumed": median(column_of(samples[row.name], "resumed"))},
                samples=row.samples,
            )
            for row in rows(samples, ratios)
        ],
        targets=[
            at_least(samples, over, under, 1)
            for over, under in (
                (ACTOR, AIOSMTPLIB_FRESH),
                (ACTOR, NODEMAILER_FRESH),
                (MAILER, AIOSMTPLIB),
                (MAILER, NODEMAILER),
            )
        ],
        notes=[
            *notes,
            (
                "the server is ours, in Python; on fresh connections its part of the handshakes"
                " is a limit, too: see its processor time"
            ),
            (
                "TLS and a certificate for 127.0.0.1 are required of all, and one context serves"
                " all connections of a client, as far as it lets itself be given one"
            ),
            f"reused: the Mailer and the pool change a connection after {PER_CONNECTION} emails",
        ],
    )


def _competitors(plan: Plan, made: Certificate) -> list[Competitor]:
    warm_up = min(_WARM_UP, plan.mails)

    def sends(name: str, module: str, share: float, **told: Any) -> Competitor:
        count = max(1, round(share * plan.mails))
        send = client(
            module,
            count=count,
            warm_up=warm_up,
            limit=AT_A_TIME,
            ca=made.authority,
            **{"per_connection": PER_CONNECTION, **told},
        )

        def turn() -> Sample:
            sample = against_own(send, count, warm_up, certificate=made.server)
            handshakes = max(1.0, sample["server_handshakes"])
            return {**sample, "resumed": 100 * sample["server_resumed"] / handshakes}

        return Competitor(name=name, turn=turn)

    return [
        sends(ACTOR, "client_pykka", _FRESH_SHARE),
        sends(MAILER_FRESH, "client_mailer", _FRESH_SHARE, per_connection=1),
        sends(AIOSMTPLIB_FRESH, "client_aiosmtplib", _FRESH_SHARE),
        sends(NODEMAILER_FRESH, "nodemailer", _FRESH_SHARE),
        sends(MAILER, "client_mailer", _MAILER_SHARE),
        sends(AIOSMTPLIB, "client_aiosmtplib", _KEPT_SHARE, reuse=True),
        sends(NODEMAILER, "nodemailer", _KEPT_SHARE, reuse=True),
    ]

"""A mail merge: emails of a template, signed with DKIM, made and sent."""

from collections.abc import Callable
from statistics import median
from typing import Any

from .plan import Competitor, Plan, Sample, column_of, columns_of, compete
from .processes import need_package, run_client
from .result import Column, Result, Row, Target, median_ratio
from .turns import against_sink

NAME = "merge"
_TIMEOUT = 180.0
_COUNT, _QUICK = 1_000, 20
_SENT, _QUICK_SENT = 10_000, 100
_CONNECTIONS = 20

UNSIGNED = "pykka-smtp: template, and all made of it"
WHOLE = "pykka-smtp: the same, and signed"
OPENSSL = "OpenSSL's signature alone"
SENDING = "pykka-smtp: Mailer, merged, signed and sent"
RSA = "OpenSSL's signatures, on all processors"
_MAKING = {UNSIGNED: "unsigned", WHOLE: "whole", OPENSSL: "openssl"}


def run(plan: Plan) -> Result:
    """Measure."""
    count = _QUICK if plan.quick else _COUNT
    to_send = _QUICK_SENT if plan.quick else _SENT
    making = [
        Competitor(name=name, turn=_turn(what=what, count=count)) for name, what in _MAKING.items()
    ]
    sending = [
        Competitor(name=SENDING, turn=_send(to_send)),
        Competitor(name=RSA, turn=_rsa(to_send)),
    ]
    made, notes = compete(plan, NAME, making, "microseconds")
    sent, more = compete(plan, NAME, sending, "mails_per_second")
    rows = [
        Row(
            name=name,
            figures={"microseconds": median(column_of(taken, "microseconds"))},
            samples=columns_of(taken),
        )
        for name, taken in made.items()
    ]
    rows += [
        Row(
            name=name,
            figures={
                "microseconds": median(column_of(taken, "cpu_ms_per_mail")) * 1e3,
                "rate": median(column_of(taken, "mails_per_second")),
            },
            samples=columns_of(taken),
        )
        for name, taken in sent.items()
    ]
    share = None
    if SENDING in sent and RSA in sent:
        rates = [column_of(sent[name], "mails_per_second") for name in (SENDING, RSA)]
        share = median_ratio(*rates)
    return Result(
        name=NAME,
        title=f"A mail merge with an RSA-2048 signature each, {to_send} of them sent to smtp-sink"
        f" ({plan.rounds} rounds, medians)",
        columns=(
            Column(key="microseconds", title="CPU µs/email"),
            Column(key="rate", title="emails/s"),
        ),
        rows=rows,
        targets=[
            Target(
                text="template, all made of it, and signature",
                value=median(column_of(made[WHOLE], "microseconds")) if WHOLE in made else None,
                bound=1_000,
                unit="µs",
            ),
            Target(
                text="merged, signed and sent, of what OpenSSL's signatures alone allow",
                value=share,
                bound=0.8,
                at_least=True,
            ),
        ],
        notes=[*notes, *more, "the sink runs on the same processors as the Mailer"],
    )


def _turn(**told: Any) -> Callable[[], Sample]:
    def turn() -> Sample:
        need_package("cryptography")
        need_package("jinja2")
        return run_client("client_merging", timeout=_TIMEOUT, **told)

    return turn


def _send(count: int) -> Callable[[], Sample]:
    def send(port: int) -> Sample:
        return _turn(what="send", count=count, limit=_CONNECTIONS, port=port)()

    return lambda: against_sink(send, count, 0)


def _rsa(count: int) -> Callable[[], Sample]:
    turn = _turn(what="rsa", count=count)

    def sign() -> Sample:
        found = turn()
        return {
            **found,
            "mails_per_second": found["sent"] / found["seconds"],
            "cpu_ms_per_mail": found["cpu"] / found["sent"] * 1e3,
        }

    return sign

"""Reused connections, to a server 50 ms away: emails per second, and round trips for each."""

from statistics import median

from .plan import Competitor, Plan, Sample, column_of, columns_of, compete
from .processes import ChildError, OwnServer
from .rates import in_words, ratio
from .result import Column, Result, Row, Target
from .reuse import ACTOR, AIOSMTPLIB, MAILER, NODEMAILER, PER_CONNECTION
from .throughput import AT_A_TIME
from .turns import REPORT, Send, against_own, client

NAME = "round_trip_50ms"
_ROUND_TRIP = 0.05
"""Seconds."""
_MAILS, _QUICK = 400, 80
_WARM_UP, _QUICK_WARM_UP = 300, 20
"""Mails before the clock starts: enough for all connections to be open, and in use."""
_FRESH_WARM_UP = 20
_TURNS_TO_OPEN = 2
"""Of each connection: greeting and EHLO. They are no part of what a mail costs."""
_CHUNKING, _PLAIN = "CHUNKING", "no CHUNKING"
_PER_CONNECTION = "rate"


def run(plan: Plan) -> Result:
    """Measure."""
    samples, notes = compete(plan, NAME, _competitors(plan), _PER_CONNECTION)
    ours, plain = _name(MAILER, _CHUNKING), _name(MAILER, _PLAIN)
    pool, plain_pool = _name(NODEMAILER, _CHUNKING), _name(NODEMAILER, _PLAIN)
    found = {
        name: {
            key: median(column_of(taken, key))
            for key in (_PER_CONNECTION, "mails_per_second", "by_clock", "turns", "connections")
        }
        for name, taken in samples.items()
    }
    turns = {name: figures["turns"] for name, figures in found.items()}
    words = in_words(samples, plain, [plain_pool])
    return Result(
        name=NAME,
        title=f"A server {_ROUND_TRIP * 1e3:.0f} ms away, {AT_A_TIME} reused connections"
        f" ({plan.rounds} rounds, medians)",
        columns=(
            Column(key=_PER_CONNECTION, title="emails/s each connection", digits=2),
            Column(key="mails_per_second", title="emails/s in all"),
            Column(key="turns", title="round trips per email, counted", digits=2),
            Column(key="by_clock", title="by the clock", digits=2),
            Column(key="connections", title="connections opened"),
        ),
        rows=[
            Row(name=name, figures=figures, samples=columns_of(samples[name]))
            for name, figures in found.items()
        ],
        targets=[
            Target(
                text=f"{ours} / {pool}, emails per second on each connection",
                value=ratio(samples, ours, pool, _PER_CONNECTION),
                bound=2,
                at_least=True,
                unit="x",
            ),
            Target(text=f"{ours}: round trips for an email", value=turns.get(ours), bound=1),
            Target(text=f"{plain}: round trips for an email", value=turns.get(plain), bound=2),
        ],
        notes=[
            *notes,
            *([f"without CHUNKING the Mailer sends {words}"] if words else []),
            (
                "counted: how often the server speaks after the client did, in the whole session,"
                " without greeting, EHLO and QUIT; by the clock: how long a connection is busy"
                " with an email; on fresh connections that includes opening one"
            ),
            (
                "the server is ours and offers PIPELINING, with CHUNKING or without; nodemailer"
                " and aiosmtplib make no use of CHUNKING"
            ),
        ],
    )


def _name(who: str, server: str) -> str:
    return f"{who}; {server}"


def _competitors(plan: Plan) -> list[Competitor]:
    mails = _QUICK if plan.quick else _MAILS
    warm_up = _QUICK_WARM_UP if plan.quick else _WARM_UP
    fresh_warm_up = min(warm_up, _FRESH_WARM_UP)

    def sends(
        name: str, module: str, offers: str, count: int, warm_up: int = fresh_warm_up
    ) -> Competitor:
        send = client(
            module,
            count=count,
            warm_up=warm_up,
            limit=AT_A_TIME,
            reuse=True,
            per_connection=PER_CONNECTION,
        )
        return Competitor(
            name=_name(name, offers),
            turn=lambda: _turn(send, count, warm_up, chunking=offers == _CHUNKING),
        )

    both = (_CHUNKING, _PLAIN)
    return [
        *[sends(MAILER, "client_mailer", offers, mails, warm_up) for offers in both],
        *[sends(NODEMAILER, "nodemailer", offers, mails // 2) for offers in both],
        sends(AIOSMTPLIB, "client_aiosmtplib", _PLAIN, mails // 4),
        sends(ACTOR, "client_pykka", _CHUNKING, mails // 4),
    ]


def _turn(send: Send, count: int, warm_up: int, *, chunking: bool) -> Sample:
    counted: dict[str, int] = {}

    def from_afar(port: int) -> Sample:
        with OwnServer("delay_proxy", target=port, delay=_ROUND_TRIP / 2) as proxy:
            sample = send(proxy.port)
            proxy.tell("report")
            counted.update(proxy.hear(REPORT))
        return sample

    sample = against_own(from_afar, count, warm_up, chunking=chunking)
    if counted["open"]:
        raise ChildError(f"{counted['open']} connections have not ended")
    rate = sample["mails_per_second"] / AT_A_TIME
    turns = counted["turns_before_quit"] - _TURNS_TO_OPEN * counted["connections"]
    return {
        _PER_CONNECTION: rate,
        "mails_per_second": sample["mails_per_second"],
        "by_clock": 1 / rate / _ROUND_TRIP,
        "turns": turns / (count + warm_up),
        "connections": counted["connections"],
    }

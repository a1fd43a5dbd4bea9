"""Big mails, a few at a time: beside bare sockets that write the same octets."""

import tempfile
from pathlib import Path
from statistics import median

from .mail import write_mail
from .plan import Competitor, Plan, Sample, column_of, columns_of, compete
from .processes import run_client
from .rates import ratio
from .result import Column, Result, Row, Target
from .turns import against_sink

NAME = "attachment"
_MEGABYTES, _QUICK = 25, 2
_AT_A_TIME = 8
_MAILS = 16
"""In a turn."""
_WARM_UP = 1
_TIMEOUT = 120.0
_SPEED = "megabytes_per_second"
_ACTOR, _MAILER = "pykka-smtp, SmtpActor, from a file", "pykka-smtp, Mailer, from a file"
_BYTES = "pykka-smtp, SmtpActor, from bytes"
_BARE = f"bare sockets, {_AT_A_TIME} threads"


def run(plan: Plan) -> Result:
    """Measure."""
    megabytes = _QUICK if plan.quick else _MEGABYTES
    with tempfile.TemporaryDirectory(prefix="pykka-smtp-") as folder:
        path = Path(folder, "mail")
        write_mail(path, megabytes * 1_000_000)
        samples, notes = compete(plan, NAME, _competitors(path), _SPEED)
    return Result(
        name=NAME,
        title=f"Emails of {megabytes} MB, {_AT_A_TIME} at a time, to smtp-sink"
        f" ({plan.rounds} rounds of {_MAILS} emails, medians)",
        columns=(
            Column(key=_SPEED, title="MB/s"),
            Column(key="share", title="of the bare sockets'", digits=2),
            Column(key="cpu", title="CPU ms/email", digits=1),
            Column(key="server_cpu", title="server's CPU", digits=1),
            Column(key="extra", title="extra peak MB for each", digits=1),
        ),
        rows=[_row(name, samples) for name in samples],
        targets=[
            target
            for name in (_ACTOR, _MAILER)
            for target in (
                Target(
                    text=f"{name} / {_BARE}, MB a second",
                    value=ratio(samples, name, _BARE, _SPEED),
                    bound=0.8,
                    at_least=True,
                    unit="x",
                ),
                Target(
                    text=f"{name}: extra peak memory for each, worst round",
                    value=max(column_of(samples[name], "extra")) if name in samples else None,
                    bound=8,
                    unit="MB",
                ),
            )
        ],
        notes=[
            *notes,
            (
                "the bare sockets write what was read and prepared before the clock started, with"
                " one sendall for each email; pykka-smtp reads the file twice, once to know what"
                " it is"
            ),
            "where smtp-sink needs a whole processor, it is the limit: see its time",
        ],
    )


def _row(name: str, samples: dict[str, list[Sample]]) -> Row:
    taken = samples[name]
    figures = {key: median(column_of(taken, key)) for key in taken[0]}
    share = ratio(samples, name, _BARE, _SPEED)
    if share is not None:
        figures["share"] = share
    return Row(name=name, figures=figures, samples=columns_of(taken))


def _competitors(path: Path) -> list[Competitor]:
    octets = path.stat().st_size

    def sends(name: str, module: str, *, mailer: bool = False, whole: bool = False) -> Competitor:
        def send(port: int) -> Sample:
            return run_client(
                module,
                timeout=_TIMEOUT,
                port=port,
                count=_MAILS,
                limit=_AT_A_TIME,
                path=str(path),
                mailer=mailer,
                whole=whole,
            )

        def turn() -> Sample:
            sample = against_sink(send, _MAILS, _WARM_UP)
            return {
                _SPEED: _MAILS * octets / 1e6 / sample["seconds"],
                "cpu": sample["cpu_ms_per_mail"],
                "server_cpu": sample["sink_cpu_ms_per_mail"],
                "extra": sample["peak"] / 1e6 / _AT_A_TIME,
            }

        return Competitor(name=name, turn=turn)

    return [
        sends(_ACTOR, "client_attachment"),
        sends(_BYTES, "client_attachment", whole=True),
        sends(_MAILER, "client_attachment", mailer=True),
        sends(_BARE, "client_bare"),
    ]

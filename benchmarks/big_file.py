"""A big mail from a file: memory beyond what the process had, and speed."""

import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from .mail import write_mail
from .nodemailer import run_nodemailer
from .plan import Competitor, Plan, Sample, column_of, columns_of, compete
from .processes import need_package, run_client
from .result import Column, Result, Row, Target
from .turns import against_sink

NAME = "big_file"
_MEGABYTES, _QUICK = 100, 5
_WARM_UP = 3
_TIMEOUT = 120.0
_OURS = "pykka-smtp"


def run(plan: Plan) -> Result:
    """Measure."""
    megabytes = _QUICK if plan.quick else _MEGABYTES
    with tempfile.TemporaryDirectory(prefix="pykka-smtp-") as folder:
        path = Path(folder, "mail")
        write_mail(path, megabytes * 1_000_000)
        samples, notes = compete(plan, NAME, _competitors(path), "megabytes_per_second")
    rows = [
        Row(
            name=name,
            figures={
                "extra": median(column_of(taken, "extra_megabytes")),
                "speed": median(column_of(taken, "megabytes_per_second")),
                "cpu": median(column_of(taken, "cpu")),
            },
            samples=columns_of(taken),
        )
        for name, taken in samples.items()
    ]
    most = max(column_of(samples[_OURS], "extra_megabytes")) if _OURS in samples else None
    return Result(
        name=NAME,
        title=f"An email of {megabytes} MB from a file, to smtp-sink"
        f" ({plan.rounds} rounds, medians)",
        columns=(
            Column(key="extra", title="extra peak MB", digits=1),
            Column(key="speed", title="MB/s"),
            Column(key="cpu", title="CPU s", digits=2),
        ),
        rows=rows,
        targets=[
            Target(
                text="extra peak memory of pykka-smtp, worst round", value=most, bound=8, unit="MB"
            )
        ],
        notes=[
            *notes,
            (
                "smtplib and aiosmtplib take bytes only: the file is read as a whole first, and"
                " that is counted; pykka-smtp reads it twice, once to know what it is"
            ),
        ],
    )


def _competitors(path: Path) -> list[Competitor]:
    octets = path.stat().st_size

    def turn(module: str, package: str = "") -> Sample:
        if package:
            need_package(package)
        told: dict[str, Any] = {"mode": "file", "count": 1, "warm_up": _WARM_UP, "path": str(path)}

        def client(port: int) -> Sample:
            if module == "nodemailer":
                return run_nodemailer(timeout=_TIMEOUT, port=port, **told)
            return run_client(module, timeout=_TIMEOUT, port=port, **told)

        sample = dict(against_sink(client, 1, _WARM_UP))
        return {
            "seconds": sample["seconds"],
            "cpu": sample["cpu"],
            "megabytes_per_second": octets / 1e6 / sample["seconds"],
            "extra_megabytes": sample["peak"] / 1e6,
        }

    return [
        Competitor(name=_OURS, turn=lambda: turn("client_pykka")),
        Competitor(name="smtplib", turn=lambda: turn("client_smtplib")),
        Competitor(name="aiosmtplib", turn=lambda: turn("client_aiosmtplib", "aiosmtplib")),
        Competitor(name="nodemailer", turn=lambda: turn("nodemailer")),
    ]

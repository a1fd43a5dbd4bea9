"""Signing mails with DKIM: what a signature costs, and how many a Mailer sends in a second."""

from collections.abc import Callable
from statistics import median

from .plan import Competitor, Plan, Sample, column_of, columns_of, compete
from .processes import need_package, run_client
from .result import Column, Result, Row, Target, median_ratio

NAME = "dkim"
_TIMEOUT = 120.0
_WHO = {"ours": "pykka-smtp", "raw": "OpenSSL alone", "dkimpy": "dkimpy"}
_CASES = {
    "RSA-2048, 1 kB": ("rsa", 1_000, 500),
    "RSA-2048, 1 MB": ("rsa", 1_000_000, 60),
    "Ed25519, 1 kB": ("ed25519", 1_000, 2_000),
}
_SLOW = 5
"""One in so many for who takes longer."""


def run(plan: Plan) -> Result:
    """Measure."""
    competitors = [
        Competitor(name=_name(who, case), turn=_turn(who, case, plan))
        for case in _CASES
        for who in _WHO
        if who != "raw" or "MB" not in case
    ]
    samples, notes = compete(plan, NAME, competitors, "microseconds")
    times = {name: column_of(taken, "microseconds") for name, taken in samples.items()}
    rows: list[Row] = []
    for name, taken in samples.items():
        figures = {"microseconds": median(times[name])}
        beside = times.get(_name("ours", name.partition(": ")[2]))
        if beside is not None:
            figures["ratio"] = median_ratio(times[name], beside)
        rows.append(Row(name=name, figures=figures, samples=columns_of(taken)))

    def beyond_openssl(case: str) -> float | None:
        ours = samples.get(_name("ours", case))
        return None if ours is None else median(column_of(ours, "beyond"))

    ed25519 = times.get(_name("ours", "Ed25519, 1 kB"))
    return Result(
        name=NAME,
        title=f"Signing an email with DKIM ({plan.rounds} rounds, medians of processor time)",
        columns=(
            Column(key="microseconds", title="µs", digits=0),
            Column(key="ratio", title="x ours", digits=2),
        ),
        rows=rows,
        targets=[
            Target(
                text="RSA-2048, 1 kB: beyond OpenSSL's own share",
                value=beyond_openssl("RSA-2048, 1 kB"),
                bound=80,
                unit="µs",
            ),
            Target(
                text="RSA-2048, 1 MB: beyond OpenSSL's own share",
                value=beyond_openssl("RSA-2048, 1 MB"),
                bound=5_000,
                unit="µs",
            ),
            Target(
                text="Ed25519, 1 kB, all of it",
                value=None if ed25519 is None else median(ed25519),
                bound=150,
                unit="µs",
            ),
        ],
        notes=notes,
    )


def _name(who: str, case: str) -> str:
    return f"{_WHO[who]}: {case}"


def _turn(who: str, case: str, plan: Plan) -> Callable[[], Sample]:
    kind, octets, count = _CASES[case]
    if who == "dkimpy":
        count = max(count // _SLOW, 2)
    if plan.quick:
        count = max(count // 20, 2)

    def turn() -> Sample:
        need_package("cryptography")
        if who == "dkimpy":
            need_package("dkim")
            need_package("nacl")
        return run_client(
            "client_signing", timeout=_TIMEOUT, who=who, kind=kind, octets=octets, count=count
        )

    return turn

"""Composing mails, without sending them: plain, with HTML, with files."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from .nodemailer import run_nodemailer
from .plan import Competitor, Plan, Sample, column_of, columns_of, compete
from .processes import need_package, run_client
from .result import Column, Result, Row, Target, median_ratio

NAME = "compose"
_COUNT, _QUICK = 5_000, 200
_FEWER, _QUICK_FEWER = 1_000, 10
_TIMEOUT = 60.0
_OURS = "SendMail(...) and its mail data"
_THEIRS = "EmailMessage, as_bytes()"
_HOW = {
    "SendMail(...)": "make",
    _OURS: "make_and_render",
    _THEIRS: "email_message",
    "MIMEText, as_bytes()": "mime_text",
}
_KINDS = {
    "html": "text and 2 kB of HTML",
    "files": "and 20 kB image, 50 kB PDF",
    "merged": "and both, encoded before",
}
_WHO = {
    "SendMail(...)": "send_mail",
    "EmailMessage": "email_message",
    "Django": "django",
    "redmail": "redmail",
}
_BOUNDS = {"html": 70, "files": 500, "merged": 150}
_TIMES = 20
"""How many times as long `EmailMessage` shall take."""


def run(plan: Plan) -> Result:
    """Measure."""
    count = _QUICK if plan.quick else _COUNT
    competitors = [
        Competitor(
            name=name,
            turn=lambda how=how: run_client(  # type: ignore[misc]
                "client_compose", timeout=_TIMEOUT, how=how, count=count
            ),
        )
        for name, how in _HOW.items()
    ]
    fewer = _QUICK_FEWER if plan.quick else _FEWER
    competitors += [
        Competitor(name=_name(who, kind), turn=_turn(_WHO[who], kind, fewer))
        for kind in _KINDS
        for who in _WHO
        if kind != "merged" or who == "SendMail(...)"
    ]
    competitors += [
        Competitor(name=_name("nodemailer", kind), turn=_turn_of_nodemailer(kind, fewer))
        for kind in ("plain", "html", "files")
    ]
    samples, notes = compete(plan, NAME, competitors, "microseconds")
    times = {name: column_of(taken, "microseconds") for name, taken in samples.items()}
    ours = times.get(_OURS)
    rows = []
    for name, taken in samples.items():
        figures = {"microseconds": median(times[name])}
        beside = times.get(_ours_beside(name))
        if beside is not None:
            figures["ratio"] = median_ratio(times[name], beside)
        rows.append(Row(name=name, figures=figures, samples=columns_of(taken)))
    return Result(
        name=NAME,
        title=f"Composing an email ({plan.rounds} rounds of {count} plain ones of 1 kB and of"
        f" {fewer} others, medians)",
        columns=(
            Column(key="microseconds", title="µs", digits=1),
            Column(key="ratio", title="x ours", digits=2),
        ),
        rows=rows,
        targets=[
            Target(
                text="composing a plain email of 1 kB",
                value=None if ours is None else median(ours),
                bound=30,
                unit="µs",
            ),
            Target(
                text="a plain one: of what the standard library takes",
                value=None
                if ours is None or _THEIRS not in times
                else median_ratio(ours, times[_THEIRS]),
                bound=1 / _TIMES,
            ),
            *(_target(kind, times) for kind in _KINDS),
            *(_target_beside(kind, times) for kind in _KINDS),
        ],
        notes=notes,
    )


def _name(who: str, kind: str) -> str:
    return f"{who}, {_KINDS[kind]}" if kind in _KINDS else who


def _ours_beside(name: str) -> str:
    """Return the name of ours that makes the same."""
    for kind, what in _KINDS.items():
        if name.endswith(what):
            return _name("SendMail(...)", kind)
    return _OURS


def _turn(who: str, kind: str, count: int) -> Callable[[], Sample]:
    def turn() -> Sample:
        if who in ("django", "redmail"):
            need_package(who)
        return run_client("client_compose_parts", timeout=_TIMEOUT, who=who, kind=kind, count=count)

    return turn


def _turn_of_nodemailer(kind: str, count: int) -> Callable[[], Sample]:
    script = "client_compose_nodemailer.cjs"
    return lambda: run_nodemailer(script, timeout=_TIMEOUT, kind=kind, count=count)


def _target(kind: str, times: Mapping[str, Sequence[float]]) -> Target:
    found = times.get(_name("SendMail(...)", kind))
    return Target(
        text=f"composing {_KINDS[kind]}",
        value=None if found is None else median(found),
        bound=_BOUNDS[kind],
        unit="µs",
    )


def _target_beside(kind: str, times: Mapping[str, Sequence[float]]) -> Target:
    ours = times.get(_name("SendMail(...)", kind))
    # The library has no parts to share.
    theirs = times.get(_name("EmailMessage", "html" if kind == "html" else "files"))
    return Target(
        text=f"{_KINDS[kind]}: of what the standard library takes",
        value=None if ours is None or theirs is None else median_ratio(ours, theirs),
        bound=1 / _TIMES,
    )

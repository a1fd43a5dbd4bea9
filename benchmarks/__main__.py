"""The command line: ``python -m benchmarks``."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from . import (
    attachment,
    big_file,
    comparison,
    compose,
    destinations,
    far_away,
    faults,
    hot,
    import_time,
    in_flight,
    latency,
    machine,
    merging,
    outbox,
    overload,
    reuse,
    round_trips,
    signing,
    throughput,
    tls_speed,
)
from .others import OthersWork
from .pictures import draw
from .plan import Plan
from .processes import ROOT, ChildError
from .report import summary_of, text_of, write_json, write_markdown
from .result import Result, Unavailable

BENCHMARKS: dict[str, Callable[[Plan], Result]] = {
    throughput.NAME: throughput.run,
    throughput.COMPOSED: throughput.run_composed,
    **{
        module.NAME: module.run
        for module in (in_flight, faults, import_time, big_file, compose, round_trips)
    },
    reuse.NAME: reuse.run,
    reuse.COMPOSED: reuse.run_composed,
    **{
        module.NAME: module.run
        for module in (
            far_away,
            latency,
            tls_speed,
            attachment,
            overload,
            destinations,
            outbox,
            hot,
            comparison,
            signing,
            merging,
        )
    },
}
OTHERS = "others' work"
_FAILED = 1
_INTERRUPTED = 130
"""What a shell reports of a program that Ctrl-C ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and tell what was found.

    Args:
        arguments: what follows the program's name; by default those of this process.

    Returns:
        0 if nothing failed, targets met or not; 1 if something did; 130 after a Ctrl-C.
    """
    # Both end it in good order, children first; in the background of a shell, too, where SIGINT
    # is ignored at first.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    options = _parser().parse_args(arguments)
    plan = Plan(
        rounds=options.rounds or (1 if options.quick else 5),
        mails=options.mails or (200 if options.quick else 3000),
        quick=options.quick,
        without=tuple(options.without),
        calm=options.calm,
    )
    facts = machine.describe()
    facts["load before"] = f"{machine.load():.2f}"
    print("\n".join(f"{name:12} {fact}" for name, fact in facts.items()), flush=True)
    if machine.load() > machine.BUSY:
        plan.progress(f"the load is {machine.load():.2f}: other work will distort the figures")
    others = OthersWork()
    chosen = options.only or list(BENCHMARKS)
    results: list[Result] = []
    status = 0
    try:
        for name in chosen:
            status = max(status, run_one(name, plan, results))
    except KeyboardInterrupt:
        plan.progress("interrupted: what was measured so far is kept")
        status = _INTERRUPTED
    if plan.failures:
        status = status or _FAILED
    facts |= machine.describe()  # nodemailer may have been installed meanwhile
    facts[OTHERS] = f"{others.cores():.2f} of {os.cpu_count()} cores"
    if results:
        print(f"\n{summary_of(results)}")
        print(f"others' work meanwhile: {facts[OTHERS]}", flush=True)
        _keep(options.out, facts, results, plan)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure pykka-smtp beside other SMTP clients, against Postfix's smtp-sink"
        " and servers of our own, all on this machine. Nothing leaves it.",
        epilog="docs/benchmarks.md says how it measures. All of it takes about a quarter of an"
        " hour; the figures mean"
        " something only where nothing else runs.",
    )
    parser.add_argument("--quick", action="store_true", help="small counts, to see that it works")
    parser.add_argument(
        "--only",
        action="append",
        choices=list(BENCHMARKS),
        metavar="NAME",
        help=f"run this one; can be given more than once: {', '.join(BENCHMARKS)}",
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="NAME",
        help="leave out the competitors whose name begins so; can be given more than once",
    )
    parser.add_argument("--rounds", type=_positive, help="turns for each competitor (5)")
    parser.add_argument(
        "--mails",
        type=_positive,
        help="emails in a turn of throughput (3000); those that"
        " reuse connections send a multiple of it",
    )
    parser.add_argument(
        "--calm",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="repeat turns while others use the machine, for so long in each benchmark (0)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "benchmarks" / "results",
        metavar="FOLDER",
        help="where JSON, Markdown and pictures go (benchmarks/results)",
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"needs to be at least 1, not {number}")
    return number


def run_one(name: str, plan: Plan, results: list[Result]) -> int:
    """Run one benchmark, and show what it found.

    Args:
        name: a key of `BENCHMARKS`.
        plan: how much is to be measured.
        results: where its result goes, if there is one.

    Returns:
        The exit status.
    """
    try:
        result = BENCHMARKS[name](plan)
    except (Unavailable, ChildError) as error:
        print(f"\n{name}: not measured: {error}", flush=True)
        return _FAILED
    print(f"\n{text_of(result)}", flush=True)
    results.append(result)
    return 0 if result.rows else _FAILED


def _keep(folder: Path, facts: dict[str, str], results: Sequence[Result], plan: Plan) -> None:
    """Write everything into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "results.json", facts, results)
    write_markdown(folder / "results.md", facts, results)
    try:
        pictures = draw(results, folder)
    except ImportError:
        pictures = []
        plan.progress("no pictures: matplotlib is not installed; pip install -e '.[bench]'")
    names = ", ".join(
        path.name for path in (folder / "results.json", folder / "results.md", *pictures)
    )
    plan.progress(f"written to {folder}: {names}")


if __name__ == "__main__":
    sys.exit(main())

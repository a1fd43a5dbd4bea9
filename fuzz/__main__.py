"""The command line: ``python -m fuzz``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import atheris_driver, random_driver
from .chaos import Chaos
from .soak import Soak
from .tally import KINDS, Tally, interrupt_hangs
from .target import NAMES, load


def main(arguments: Sequence[str] | None = None) -> int:
    """Attack, and tell what was found.

    Args:
        arguments: what follows the program's name; by default those of this process.

    Returns:
        0 if no rule was broken, else 1.
    """
    options = _parser().parse_args(arguments)
    if options.what == "chaos":
        report = Chaos(options.sends, options.window, options.seed).run()
        _say(report.text())
        return 1 if report.wrong else 0
    if options.what == "soak":
        soaked = Soak(60.0 if options.seconds is None else options.seconds, options.seed, _say)
        found = soaked.run()
        _say(found.text())
        return 1 if found.wrong else 0
    if options.replay is not None:
        return _replay(options.target or NAMES[:1], options.replay)
    interrupt_hangs()
    tallies = [_fuzz(name, options) for name in options.target or NAMES]
    violations = sum(tally.violations for tally in tallies)
    executions = sum(tally.executions for tally in tallies)
    figures = ", ".join(f"{k} {sum(t.counts[k] for t in tallies)}" for k in KINDS)
    _say(f"all: executions {executions}, {figures}")
    return 1 if violations else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fuzz",
        description="Fuzz pykka-smtp, send thousands of mails to a server that breaks half of its"
        " sessions, or keep Mailers under load while their servers fail. Nothing leaves this"
        " machine.",
        epilog="docs/testing.md says what is checked.",
    )
    parser.add_argument(
        "what", nargs="?", choices=("targets", "chaos", "soak"), default="targets", help="(targets)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (0)")
    targets = parser.add_argument_group("targets")
    targets.add_argument("--seconds", type=float, help="for all targets, or of a soak (60)")
    targets.add_argument("--executions", type=int, help="of each target, instead of seconds")
    targets.add_argument(
        "--target", action="append", choices=NAMES, help="only this one; may be repeated"
    )
    targets.add_argument(
        "--driver",
        choices=("auto", "atheris", "random"),
        default="auto",
        help="who chooses the inputs (auto: atheris where it is installed)",
    )
    targets.add_argument(
        "--findings", type=Path, metavar="FOLDER", help="where to keep inputs that break a rule"
    )
    targets.add_argument(
        "--replay", type=Path, metavar="FILE", help="run the target once with this input"
    )
    chaos = parser.add_argument_group("chaos")
    chaos.add_argument("--sends", type=int, default=1000, help="mails (1000)")
    chaos.add_argument("--window", type=int, default=32, help="how many at a time (32)")
    return parser


def _fuzz(name: str, options: argparse.Namespace) -> Tally:
    """Run one target, and show what it found."""
    seconds: float | None = options.seconds
    if seconds is None and options.executions is None:
        seconds = 60.0
    if seconds is not None:
        seconds /= len(options.target or NAMES)
    guided = options.driver == "atheris" or (
        options.driver == "auto" and atheris_driver.is_available()
    )
    limits = {"seconds": seconds, "executions": options.executions, "seed": options.seed}
    if guided:
        tally = atheris_driver.drive(name, **limits)
    else:
        tally = random_driver.drive(load(name), **limits)
    _say(tally.line())
    _say(f"  {tally.spread()}")
    for number, finding in enumerate(tally.findings):
        _say(f"  {finding.kind}: {finding.what[:300]}\n    {finding.data.hex()}")
        if options.findings is not None:
            options.findings.mkdir(parents=True, exist_ok=True)
            (options.findings / f"{name}-{number}").write_bytes(finding.data)
    return tally


def _replay(names: Sequence[str], path: Path) -> int:
    """Run targets once, and let what they raise be seen."""
    for name in names:
        _say(f"{name}: {load(name).run(path.read_bytes())}")
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""The driver that is guided by coverage: atheris, which is libFuzzer for Python.

libFuzzer ends the process that it runs in, so it gets one of its own, and the tally comes back in
a file: ``python -m fuzz.atheris_driver TARGET FILE`` is that process.
"""

import argparse
import importlib
import importlib.util
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .tally import Stopwatch, Tally, interrupt_hangs
from .target import NAMES, Target, load

_INSTRUMENTED = (
    "pykka_smtp.smtp",
    "pykka_smtp.actors.net.connecting.authority",
    "pykka_smtp.actors.options.outlet_url",
    "pykka_smtp.actors.options.relay_url",
    "pykka_smtp.signals.send_mail",
)
_LONGEST = 512
"""Octets of an input."""
_NOISE = 64
"""Random inputs to begin with, beside the target's own."""
_GRACE = 60.0
"""Seconds that the process may take longer than it should, to start and to end."""


def is_available() -> bool:
    """Whether atheris is installed."""
    return importlib.util.find_spec("atheris") is not None


def drive(
    target: str, *, seconds: float | None = None, executions: int | None = None, seed: int = 0
) -> Tally:
    """Run a target for so long, or so often, in a process of its own.

    Args:
        target: its name.
        seconds: how long; an hour if neither is given.
        executions: how often.
        seed: of libFuzzer's choices.

    Raises:
        RuntimeError: the process failed.
    """
    tally = Tally(target, "atheris")
    limit = seconds if seconds is not None else 3600.0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        result = Path(folder, "tally.json")
        command = [sys.executable, "-m", __name__, target, str(result), "--seconds", str(limit)]
        command += [] if executions is None else ["--executions", str(executions)]
        done = subprocess.run(
            [*command, "--seed", str(seed)],
            check=False,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[1],
            timeout=limit + _GRACE,
        )
        if not result.exists():
            raise RuntimeError(f"atheris ended with {done.returncode}: {done.stderr[-2000:]}")
        tally.read(result)
    return tally


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fuzz.atheris_driver")
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("result", type=Path)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--executions", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=list(_INSTRUMENTED)):
        target = load(options.target)
    watch = Stopwatch(options.seconds, options.executions)
    _fuzz(atheris, target, watch, options.result, options.seed)


def _fuzz(atheris: Any, target: Target, watch: Stopwatch, result: Path, seed: int) -> None:
    tally = Tally(target.name, "atheris")

    def one(data: bytes) -> None:
        tally.execute(target, data)
        if watch.is_over(tally):
            tally.write(result)
            os._exit(0)  # libFuzzer would run neither what follows nor what is registered at exit

    corpus = result.parent / "corpus"
    corpus.mkdir()
    chance = random.Random(seed)
    noise = [chance.randbytes(4 * number) for number in range(_NOISE)]
    for number, octets in enumerate((*target.seeds, *noise)):
        (corpus / str(number)).write_bytes(octets)
    flags = [f"-max_len={_LONGEST}", "-len_control=0", "-timeout=60", "-verbosity=0"]
    flags.append(f"-seed={seed + 1}")  # 0 would be a random one
    atheris.Setup([sys.argv[0], *flags, str(corpus)], one)
    # After libFuzzer has set its own alarm, which ends the process, and with it the tally.
    interrupt_hangs()
    atheris.Fuzz()


if __name__ == "__main__":
    _main()

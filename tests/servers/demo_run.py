"""The demo, run once for all tests that look at what it prints."""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-W", "error", "-m", "pykka_smtp", "demo")
LINES_BEFORE_SILENCE = 7
"""The header, and the six mails that are settled at once."""
PATIENCE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRun:
    """A run of the demo that has ended.

    Attributes:
        lines: what it printed.
        errors: what it printed on standard error.
        status: its exit status.
        seconds: how long it took.
        ran_on_after: how many lines it had printed when it was seen to run on.
    """

    lines: tuple[str, ...]
    errors: str
    status: int
    seconds: float
    ran_on_after: int

    @classmethod
    def run(cls) -> Self:
        """Run the command of the README, and read line by line."""
        begun = time.monotonic()
        with subprocess.Popen(
            COMMAND, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                first = [process.stdout.readline() for _ in range(LINES_BEFORE_SILENCE)]
                runs_on = process.poll() is None
                rest, errors = process.communicate(timeout=PATIENCE)
            finally:
                process.kill()
        return cls(
            lines=(*"".join(first).splitlines(), *rest.splitlines()),
            errors=errors,
            status=process.returncode,
            seconds=time.monotonic() - begun,
            ran_on_after=len(first) if runs_on else 0,
        )

"""What came of many executions: counts, and the inputs that broke a rule."""

import contextlib
import json
import signal
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .target import Target
from .violation import FalseSuccess, Hang, UndefinedOutcome, Violation

HANG = 10.0
"""Seconds after which one execution, which takes a millisecond, is called a hang."""
MOST_FINDINGS = 20
"""Inputs that are kept."""

KINDS = ("hangs", "undefined outcomes", "false successes", "other violations")


@dataclass(slots=True)
class Finding:
    """An input that broke a rule.

    Attributes:
        kind: one of `KINDS`.
        what: which rule, in a line.
        data: the input.
        where: the traceback.
    """

    kind: str
    what: str
    data: bytes
    where: str = ""


@dataclass(slots=True)
class Tally:
    """Counts of one target.

    Attributes:
        target: its name.
        driver: who chose the inputs.
        seconds: how long it took.
        executions: how many there were.
        counts: how many of them broke a rule, by kind.
        endings: what the others came to.
        findings: the first inputs that broke a rule.
    """

    target: str
    driver: str
    seconds: float = 0.0
    executions: int = 0
    counts: Counter[str] = field(default_factory=Counter[str])
    endings: Counter[str] = field(default_factory=Counter[str])
    findings: list[Finding] = field(default_factory=list[Finding])

    @property
    def violations(self) -> int:
        """How many executions broke a rule."""
        return self.counts.total()

    def execute(self, target: Target, data: bytes) -> str | None:
        """Run a target once, and count what came of it.

        Returns:
            The ending; None where a rule was broken.
        """
        self.executions += 1
        try:
            with _time_limit():
                ending = target.run(data)
        except Exception as error:
            kind = kind_of(error)
            self.counts[kind] += 1
            if len(self.findings) < MOST_FINDINGS:
                what = f"{type(error).__name__}: {error}"
                self.findings.append(Finding(kind, what, data, traceback.format_exc()))
            return None
        self.endings[ending] += 1
        return ending

    def line(self) -> str:
        """All the figures in one line."""
        rate = self.executions / self.seconds if self.seconds else 0
        figures = ", ".join(f"{kind} {self.counts[kind]}" for kind in KINDS)
        return (
            f"{self.target} ({self.driver}): executions {self.executions}, {figures};"
            f" {self.seconds:.0f} s, {rate:.0f} a second"
        )

    def spread(self, most: int = 16) -> str:
        """What the executions came to, the most frequent first."""
        total = max(1, self.executions)
        shown = [f"{n / total:.1%} {ending}" for ending, n in self.endings.most_common(most)]
        left = len(self.endings) - len(shown)
        return ", ".join(shown) + (f", and {left} others" if left > 0 else "")

    def write(self, path: Path) -> None:
        """Write it to a file, for another process."""
        found = [[f.kind, f.what, f.data.hex(), f.where] for f in self.findings]
        path.write_text(
            json.dumps(
                {
                    "seconds": self.seconds,
                    "executions": self.executions,
                    "counts": self.counts,
                    "endings": self.endings,
                    "findings": found,
                }
            )
        )

    def read(self, path: Path) -> None:
        """Read what another process has written."""
        told: dict[str, Any] = json.loads(path.read_text())
        self.seconds, self.executions = told["seconds"], told["executions"]
        self.counts, self.endings = Counter(told["counts"]), Counter(told["endings"])
        self.findings = [
            Finding(kind, what, bytes.fromhex(data), where)
            for kind, what, data, where in told["findings"]
        ]


def kind_of(error: Exception) -> str:
    """Say which kind of wrong an exception is. What no rule foresaw is an undefined outcome."""
    match error:
        case Hang() | TimeoutError():
            return KINDS[0]
        case FalseSuccess():
            return KINDS[2]
        case UndefinedOutcome():
            return KINDS[1]
        case Violation():
            return KINDS[3]
        case _:
            return KINDS[1]


class Stopwatch:
    """Says when it is time to end.

    Args:
        seconds: how long it may take, or None for any time.
        executions: how many there may be, or None for any number.
    """

    def __init__(self, seconds: float | None, executions: int | None) -> None:
        self._began = time.monotonic()
        self._seconds = seconds
        self._executions = executions

    def is_over(self, tally: Tally) -> bool:
        """Whether it is time, or enough."""
        tally.seconds = time.monotonic() - self._began
        return (self._seconds is not None and tally.seconds >= self._seconds) or (
            self._executions is not None and tally.executions >= self._executions
        )


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    """Interrupt what takes too long, where the system can do that."""
    if not hasattr(signal, "setitimer") or signal.getsignal(signal.SIGALRM) is not _hung:
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, HANG)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _hung(_number: int, _frame: object) -> None:
    raise Hang(f"one execution took over {HANG} s")


def interrupt_hangs() -> None:
    """Have executions interrupted that take too long. For the main thread of a driver."""
    if hasattr(signal, "SIGALRM"):  # pragma: no branch - Windows has none
        signal.signal(signal.SIGALRM, _hung)

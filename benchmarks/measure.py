"""What a client process measures of itself."""

import gc
import json
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


def arguments() -> dict[str, Any]:
    """Return what this process was told."""
    told: dict[str, Any] = json.loads(sys.argv[1])
    return told


def report(**figures: object) -> None:
    """Tell what was measured."""
    print(json.dumps(figures), flush=True)


class Stopwatch:
    """Runs from the moment in which it is made."""

    def __init__(self) -> None:
        self._cpu = _cpu()
        self._began = time.perf_counter()

    def seconds(self) -> float:
        """Return the time since then."""
        return time.perf_counter() - self._began

    def cpu(self) -> float:
        """Return the processor time since then, user and system, of all threads, in seconds."""
        return _cpu() - self._cpu


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def resident() -> int:
    """Return the resident memory, in octets."""
    size: int = psutil.Process().memory_info().rss
    return size


class PeakMemory:
    """How much memory the process has needed at most since this was made, beyond what it had.

    Where the system cannot reset its mark, as only Linux can, an older peak may hide a new one.
    """

    def __init__(self) -> None:
        gc.collect()
        if _CLEAR_REFS.exists():
            _CLEAR_REFS.write_text("5")  # proc(5): resets the peak to what it is now
        self._before = _peak()

    def extra(self) -> int:
        """Return it, in octets."""
        return _peak() - self._before


def _peak() -> int:
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def descriptors() -> int:
    """Return how many descriptors are open."""
    number: int = psutil.Process().num_fds()
    return number


def threads() -> int:
    """Return how many threads the process has, Python's and others."""
    number: int = psutil.Process().num_threads()
    return number


def wait_for_threads(count: int, timeout: float) -> None:
    """Wait until no more than so many Python threads are left, or time is up."""
    until = time.monotonic() + timeout
    while threading.active_count() > count and time.monotonic() < until:
        time.sleep(0.01)


def raise_descriptor_limit() -> int:
    """Allow as many descriptors as the system lets this process have; return how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = 65_536
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard

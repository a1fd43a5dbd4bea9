"""The clock of the machine: where it is, against one that nobody sets."""

import contextlib
import sys
import time
from functools import cache
from pathlib import Path

from ..rules.clocks import ClockNote

_MOST_APART = 0.5
"""Seconds between two readings that belong together."""


@cache
def boot() -> str:
    """Name this start of the system, and the time namespace: empty if the system does not say."""
    if not sys.platform.startswith("linux"):
        return ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = Path("/proc/self/ns/time")
        return f"{boot} {namespace.readlink()}" if namespace.is_symlink() else boot
    return ""


def _steady() -> float:
    """Return the seconds of a clock that nobody sets, and that counts while the system sleeps."""
    which = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if which is None else time.clock_gettime(which)


def clock_note() -> ClockNote:
    """Return where the clock is."""
    while True:
        before = _steady()
        now = time.time()
        # Not if the process was stopped in between: that would look as if the clock had been set.
        if _steady() - before < _MOST_APART:
            return ClockNote(boot(), now - before)

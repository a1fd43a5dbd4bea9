"""What else the machine does while something is measured."""

import os
import resource
import time

import psutil  # type: ignore[import-untyped]

QUIET = 0.1
"""Processors that others may use while a turn is called undisturbed."""


class OthersWork:
    """How much of the machine others used since this was made: the host's work, too."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._before = self._seconds()

    def cores(self) -> float:
        """Return it, in processors: 1.0 means that one was busy with it all the time."""
        return (self._seconds() - self._before) / max(1e-9, time.monotonic() - self._began)

    @staticmethod
    def _seconds() -> float:
        spent = psutil.cpu_times()
        # Not the sum of what was used: the kernel samples that, but measures when it is idle.
        all_of_it = time.monotonic() * (os.cpu_count() or 1)
        idle: float = spent.idle + getattr(spent, "iowait", 0.0)
        own = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return all_of_it - idle - sum(usage.ru_utime + usage.ru_stime for usage in own)

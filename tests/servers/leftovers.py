"""What a test may not leave behind: actors, threads, descriptors, receivers."""

import contextlib
import gc
import os
import sys
import threading
import time
from pathlib import Path

from .waiting import wait_until

PATIENCE = 5.0
"""Seconds for what is already on its way out; only a test that fails waits so long."""

DESCRIPTORS = Path("/proc/self/fd")
HAS_DESCRIPTORS = DESCRIPTORS.is_dir()


class Leftovers:
    """A picture of the process before a test, to compare with after it.

    Looks only at packages that somebody has imported: tests of the protocol need no actors.
    """

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._signals = _signal_names()
        self._descriptors = _numbers()

    def complaints(self, patience: float = PATIENCE) -> list[str]:
        """Wait for what is ending, remove what is not, and tell of it.

        Args:
            patience: seconds for all of it together.

        Returns:
            One line for each thing that was left behind.
        """
        end = time.monotonic() + patience
        # In this order: actors end before their loop's thread, and that before its descriptors.
        found = _actors(end) + self._threads_left(end) + self._descriptors_left(end)
        self.forget_receivers()
        return found

    def forget_receivers(self) -> None:
        """Disconnect the receivers of our signals, and of the signals that the test has made."""
        blinker = sys.modules.get("blinker")
        if blinker is None:
            return
        ours = {"smtp_send_success", "smtp_send_failure", "smtp_send_retry", "smtp_outbox_trouble"}
        for name in ours | (_signal_names() - self._signals):
            if name in blinker.default_namespace:
                # blinker's own means, "useful for tests".
                blinker.default_namespace[name]._clear_state()

    def _threads_left(self, end: float) -> list[str]:
        for thread in self._new_threads():
            thread.join(max(0.0, end - time.monotonic()))
        return [f"a thread: {thread.name}" for thread in self._new_threads()]

    def _new_threads(self) -> set[threading.Thread]:
        return set(threading.enumerate()) - self._threads - {threading.current_thread()}

    def _descriptors_left(self, end: float) -> list[str]:
        before = self._descriptors
        if len(_numbers()) <= len(before):
            return []
        # A socket in a reference cycle warns when it is collected; that fails the test by itself.
        gc.collect()
        wait_until(lambda: len(_numbers()) <= len(before), end - time.monotonic())
        after = _numbers()
        if len(after) <= len(before):
            return []
        new = ", ".join(_described(after - before))
        return [f"{len(after) - len(before)} descriptors, of these: {new}"]


def _actors(end: float) -> list[str]:
    pykka = sys.modules.get("pykka")
    if pykka is None:
        return []
    for ref in pykka.ActorRegistry.get_all():
        ref.actor_stopped.wait(max(0.0, end - time.monotonic()))
    left = pykka.ActorRegistry.get_all()
    # So that the next test does not pay for this one.
    for ref in left:
        ref.stop(block=False)
        pykka.ActorRegistry.unregister(ref)
    return [f"an actor: {ref}" for ref in left]


def _signal_names() -> set[str]:
    blinker = sys.modules.get("blinker")
    return set() if blinker is None else set(blinker.default_namespace)


def _numbers() -> set[str]:
    """Give the open descriptors; none on systems without ``/proc``."""
    if not HAS_DESCRIPTORS:
        return set()
    # With strings, not paths: this runs twice in each of thousands of tests.
    found = set(os.listdir(DESCRIPTORS))  # noqa: PTH208
    # The folder itself was read with a descriptor, too: with that which is given next.
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    return found - {str(lowest)}


def _described(numbers: set[str]) -> list[str]:
    """Give what each of these descriptors is."""
    found: list[str] = []
    for number in sorted(numbers):
        with contextlib.suppress(FileNotFoundError):
            found.append(f"{number} {(DESCRIPTORS / number).readlink()}")
    return found

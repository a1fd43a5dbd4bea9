"""What the interpreter knows of the process's threads: who runs, who has ended, who is lost."""

import contextlib
import sys
import threading
from typing import Any

OURS = "pykka-smtp-"
"""What the names of this package's threads begin with."""


def is_being_born() -> bool:
    """Whether this is a thread for whose start another thread still waits.

    That one has the lock. So a finalizer that sends from here must not wait for it.
    """
    return threading.get_ident() not in vars(threading)["_active"]


def main_has_ended() -> bool:
    """Whether the main thread is over: the program waits for the others only."""
    return not threading.main_thread().is_alive()


def main_was_interrupted() -> bool:
    """Whether the main thread ended by Ctrl-C."""
    # At a prompt, which has ps1, that ends only one command.
    return getattr(sys, "last_type", None) is KeyboardInterrupt and not hasattr(sys, "ps1")


def others_run() -> bool:
    """Whether the program has other threads that it waits for."""
    return any(
        not thread.daemon
        and thread is not threading.main_thread()
        and not thread.name.startswith(OURS)
        for thread in threading.enumerate()
    )


def bury_threads() -> list[threading.Thread]:
    """Have the interpreter not wait for our threads, which only the parent has; return them.

    Python does so by itself where it knows of the fork.
    """
    alive = vars(threading)["_active"]
    lost = [
        thread
        for thread in list(alive.values())
        if thread.name.startswith(OURS) and thread is not threading.current_thread()
    ]
    for thread in lost:
        del alive[thread.ident]
        # Where a version of Python has other names for it, the child may wait at its end.
        with contextlib.suppress(Exception):
            _mark_as_ended(thread)
    return lost


def _mark_as_ended(thread: Any) -> None:
    names = vars(threading)
    if "_thread_shutdown" in names:
        # From Python 3.13 on a list that cannot be changed says whom to wait for.
        setattr(threading, "_thread_shutdown", _wait_for_the_living)  # noqa: B010 - it has no type
        return
    names["_shutdown_locks"].discard(thread._tstate_lock)
    thread._reset_internal_locks(is_alive=False)
    thread._stop()


def _wait_for_the_living() -> None:
    """Wait for the threads of the program that this process has."""
    while others := [
        thread
        for thread in threading.enumerate()
        if not thread.daemon and thread not in (threading.main_thread(), threading.current_thread())
    ]:
        others[0].join()

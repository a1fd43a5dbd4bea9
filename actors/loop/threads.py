"""The process's threads as the interpreter knows them: which run, have ended, or were lost."""

import contextlib
import sys
import threading
from typing import Any

OURS = "pykka-smtp-"
"""The prefix of the names of this package's threads."""


def is_being_born() -> bool:
    """Whether the current thread is one for whose start another thread is waiting.

    The other thread holds the lock, so a finalizer that sends from here must not wait for it.
    """
    return threading.get_ident() not in vars(threading)["_active"]


def main_has_ended() -> bool:
    """Whether the main thread has ended, so that the interpreter only waits for others."""
    return not threading.main_thread().is_alive()


def main_was_interrupted() -> bool:
    """Whether the main thread ended by Ctrl-C."""
    # At an interactive prompt, which sets ps1, Ctrl-C ends one command only.
    return getattr(sys, "last_type", None) is KeyboardInterrupt and not hasattr(sys, "ps1")


def others_run() -> bool:
    """Whether the program has other threads for which the interpreter waits."""
    return any(
        not thread.daemon
        and thread is not threading.main_thread()
        and not thread.name.startswith(OURS)
        for thread in threading.enumerate()
    )


def bury_threads() -> list[threading.Thread]:
    """In a forked child, remove our threads from those the interpreter waits for; return them.

    Only the parent has these threads. Python does the same itself where it knows of the fork.
    """
    alive = vars(threading)["_active"]
    lost = [
        thread
        for thread in list(alive.values())
        if thread.name.startswith(OURS) and thread is not threading.current_thread()
    ]
    for thread in lost:
        del alive[thread.ident]
        # If a version of Python has other names for these, the child may block at exit.
        with contextlib.suppress(Exception):
            _mark_as_ended(thread)
    return lost


def _mark_as_ended(thread: Any) -> None:
    names = vars(threading)
    if "_thread_shutdown" in names:
        # From Python 3.13 on, the list of threads to wait for can't be changed.
        setattr(threading, "_thread_shutdown", _wait_for_the_living)  # noqa: B010 - it has no type
        return
    names["_shutdown_locks"].discard(thread._tstate_lock)
    thread._reset_internal_locks(is_alive=False)
    thread._stop()


def _wait_for_the_living() -> None:
    """Wait for the program's threads that exist in this process."""
    while others := [
        thread
        for thread in threading.enumerate()
        if not thread.daemon and thread not in (threading.main_thread(), threading.current_thread())
    ]:
        others[0].join()

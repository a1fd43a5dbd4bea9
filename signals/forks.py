"""Notices that this process is a child, however it was forked.

Python tells of `os.fork`. A fork that goes past Python, by uWSGI's master or by the C library, runs
none of its hooks: the child would make its parent's ids once more, and wait for threads that only
the parent has. So whoever is about to need one of these calls `notice_fork` first.
"""

import contextlib
import os
import threading
from collections.abc import Callable

_renewals: list[Callable[[], object]] = []
_known = os.getpid()
_is_renewing = False
# By process id: a lock that another thread held at the time of the fork would stay locked.
_locks: dict[int, threading.RLock] = {}


def in_child(renew: Callable[[], object]) -> None:
    """Have something called in each child, before anything else of ours happens there.

    Args:
        renew: called without arguments, in the order in which they came here. It must take no
            lock that a thread of the parent's may hold.
    """
    _renewals.append(renew)


def notice_fork() -> bool:
    """Renew what a child must not share with its parent, if this is a child that has not yet.

    Costs a comparison otherwise. Any thread may call it.

    Returns:
        Whether it was.
    """
    return os.getpid() != _known and _renew()


def _renew() -> bool:
    global _known, _is_renewing, _locks  # noqa: PLW0603 - there is one process
    pid = os.getpid()
    with _locks.setdefault(pid, threading.RLock()):
        if pid == _known or _is_renewing:  # by another thread, or a renewal asks again
            return False
        _is_renewing = True
        try:
            for renew in _renewals:
                renew()
        finally:
            _known, _is_renewing, _locks = pid, False, {}
    return True


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_renew)
# A child that has never asked for anything of ours ends, too, and would wait for the parent's
# threads. `atexit` comes after that.
with contextlib.suppress(KeyError, RuntimeError):
    vars(threading)["_register_atexit"](notice_fork)

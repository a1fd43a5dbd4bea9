"""Notices that this process is a child, however it was forked.

Python tells of `os.fork`. A fork that goes past Python, by uWSGI's master or by the C library, runs
none of its hooks: the child would make its parent's ids once more, and wait for threads that only
the parent has. So whoever is about to need one of these calls `notice_fork` first.
"""

import contextlib
import mmap
import os
import threading
from collections.abc import Callable

_WIPE_ON_FORK = 18  # Linux's MADV_WIPEONFORK, which the module mmap does not name


def _new_page() -> mmap.mmap | None:
    """Return a page whose first octet is 1, and 0 in each child; None where there is no such.

    To look at it costs a fraction of what asking the kernel for the process id does.
    """
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        # Some emulators take any advice, and follow none: those take this one, too.
        with contextlib.suppress(OSError):
            page.madvise(-1)
            return None
        page.madvise(_WIPE_ON_FORK)
    except (OSError, AttributeError):  # not Linux
        return None
    page[0] = 1
    return page


_renewals: list[Callable[[], object]] = []
_known = os.getpid()
_page = _new_page()
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

    Costs a look at a page of memory otherwise, or a system call where the kernel wipes none in a
    child. Any thread may call it.

    Returns:
        Whether it was.
    """
    return (os.getpid() != _known if _page is None else not _page[0]) and _renew()


def _renew() -> bool:
    global _known, _is_renewing, _locks  # noqa: PLW0603 - there is one process
    pid = os.getpid()
    with _locks.setdefault(pid, threading.RLock()):
        is_known = pid == _known if _page is None else _page[0]
        if is_known or _is_renewing:  # by another thread, or a renewal asks again
            return False
        _is_renewing = True
        try:
            for renew in _renewals:
                renew()
        finally:
            _known, _is_renewing, _locks = pid, False, {}
            if _page is not None:
                _page[0] = 1
    return True


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_renew)
# A child that has never asked for anything of ours ends, too, and would wait for the parent's
# threads. `atexit` comes after that.
with contextlib.suppress(KeyError, RuntimeError):
    vars(threading)["_register_atexit"](notice_fork)

"""Notices that this process is a forked child, however it was forked.

Python runs hooks after `os.fork`. A fork that bypasses Python, such as by uWSGI's master or in C,
runs none of them: the child would repeat its parent's ids, and wait for threads that exist only in
the parent. So code that is about to use ids or threads calls `notice_fork` first.
"""

import contextlib
import mmap
import os
import threading
from collections.abc import Callable

_WIPE_ON_FORK = 18  # Linux's MADV_WIPEONFORK, which the module mmap does not name


def _new_page() -> mmap.mmap | None:
    """Return a page whose first byte is 1, and 0 in each child; None if the system has no such.

    Reading it costs a fraction of what it costs to ask the kernel for the process id.
    """
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        # Some emulators accept any advice and ignore it: they accept an invalid one, too.
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
# Keyed by process id: a lock that another thread held at the fork would stay locked in the child.
_locks: dict[int, threading.RLock] = {}


def in_child(renew: Callable[[], object]) -> None:
    """Register a function to call in each child, before other code of pykka-smtp runs there.

    Args:
        renew: called without arguments, in the order of registration. It must take no lock that a
            thread of the parent may hold.
    """
    _renewals.append(renew)


def notice_fork() -> bool:
    """Run the functions of `in_child` if this is a child in which they have not run yet.

    Otherwise it costs one read of memory, or a system call where the kernel cannot wipe a page in
    a child. Can be called from any thread.

    Returns:
        Whether they have run now.
    """
    return (os.getpid() != _known if _page is None else not _page[0]) and _renew()


def _renew() -> bool:
    global _known, _is_renewing, _locks  # noqa: PLW0603 - there is one process
    pid = os.getpid()
    with _locks.setdefault(pid, threading.RLock()):
        is_known = pid == _known if _page is None else _page[0]
        if is_known or _is_renewing:  # done by another thread, or called by a renewal itself
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
# A child that never used pykka-smtp must notice the fork before it exits, or the interpreter would
# wait for the parent's threads. It does so before it runs `atexit` functions.
with contextlib.suppress(KeyError, RuntimeError):
    vars(threading)["_register_atexit"](notice_fork)

"""The process's own event-loop thread: at the end of the process, and after a fork."""

import atexit
import os
import threading

from pykka import ActorRegistry

from ...signals.forks import in_child, notice_fork
from .loop_thread import INTERRUPT_GRACE, EventLoopThread
from .new_loop import are_threads_greenlets
from .threads import bury_threads

_thread = EventLoopThread()


def event_loop() -> EventLoopThread:
    """Return the process's event-loop thread. A forked child has its own."""
    return _thread


def _at_exit() -> None:
    """Publish the outcomes if Ctrl-C ended the interpreter's wait for the loop thread."""
    notice_fork()
    try:
        if are_threads_greenlets():
            # The interpreter waits for its own threads only, not for eventlet's.
            _thread.wait_for_end()
    finally:
        _thread.cancel_all(INTERRUPT_GRACE)


def _before_fork() -> None:
    # Without the locks, the child might get a state that another thread has changed by half.
    ActorRegistry._actor_refs_lock.acquire()
    _thread.hold_for_fork()


def _after_fork_in_parent() -> None:
    _thread.release_after_fork()
    ActorRegistry._actor_refs_lock.release()


def _after_fork_in_child() -> None:
    global _thread  # noqa: PLW0603 - a child needs its own loop
    parents = _thread
    _thread = EventLoopThread()
    # If no hook ran before the fork, a thread that the child does not have may hold the lock.
    ActorRegistry._actor_refs_lock = threading.RLock()
    # Kept alive together with the parent's loop, which is never freed.
    parents.lost = bury_threads()
    parents.abandon()


atexit.register(_at_exit)
in_child(_after_fork_in_child)
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent)

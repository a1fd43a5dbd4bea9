"""The thread on which receivers run, and the thread on which outcomes are put into inboxes.

A receiver called on the event loop would block all sends for as long as it runs, and what it
raises could end the loop. So the loop only submits calls here. Calls run in the order in which
they were submitted, one at a time; what one raises does not affect the others.

An outcome can't be dropped, and the loop can't wait. So if outcomes come faster than receivers
take them, the bound is upstream: while `Dispatcher.is_full`, no new send may begin; the outcomes
of sends in flight are still queued.

The thread is not a daemon: a script that ends right after its last ``tell()`` still receives its
outcome. The thread must therefore end by itself: it exists only while there is a hold, or while
calls are queued.
"""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any

from .forks import in_child, notice_fork

logger: logging.Logger = logging.getLogger("pykka_smtp.signals")

MOST_WAITING = 10_000
"""Outcomes that may be queued for receivers; from then on new sends are queued, too.

About 16 MB, if the emails are small. The sends in flight then still add their outcomes, and so do
the sends that receivers themselves begin.
"""

# Tries for a step that must not fail: what can make it fail, such as a lack of memory, may be over
# the second time.
_TRIES = 2

# Seconds of sleep between two batches, the first and the longest: it grows while outcomes keep
# coming. Waking a sleeping thread for each outcome costs the event loop more CPU than the whole
# SMTP session: each time, the two threads hand the interpreter lock over and back.
_PAUSE = 0.001
_LONGEST_PAUSE = 0.005


def log_safely(level: int, message: str, *args: object, exc: BaseException | None = None) -> None:
    """Write a log line, and never raise.

    Logging runs the program's code too: filters, and the ``__str__`` of what is logged.

    Args:
        level: such as `logging.ERROR`.
        message: a format string, in the manner of `logging`.
        args: what it formats.
        exc: an exception whose traceback belongs to the line.
    """
    with contextlib.suppress(BaseException):
        logger.log(level, message, *args, exc_info=exc)


class Dispatcher:
    """Runs calls in order, on a thread that exists only while it is needed.

    Every method can be called from any thread.

    `submit` takes a call at any time: refusing one would lose an outcome, and waiting would block
    the event loop. Once `limit` calls are queued, `is_full` is true, until the queue is a tenth
    shorter than that; actors check it before they begin a send.

    Attributes:
        limit: how many calls may be queued before `is_full`.
        is_full: whether so many calls are queued that no new send may begin: see `when_not_full`.
        running: the call in progress, for the log; its `str` names it.
    """

    def __init__(self, name: str = "pykka-smtp-dispatcher", limit: int = MOST_WAITING) -> None:
        self._name = name
        self.limit = limit
        self._listeners: list[Callable[[], object]] = []
        # The dispatcher whose `is_full` counts: for the second thread's, the one that made it.
        self._owner = self
        self._reset()

    def _reset(self) -> None:
        # Reentrant, because a finalizer may run, and submit, while its thread holds this lock.
        self._lock = threading.RLock()
        self._queue: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._holds = 0
        # The thread that empties the queue, from the moment it is committed to do so until it has
        # found the queue empty. Only this thread takes calls out, and it does so without the lock.
        self._thread: threading.Thread | None = None
        self._idle = True
        self._asleep = False
        # A locked lock to sleep on: unlike a condition, it remembers a wake-up that precedes the
        # sleep. It is released once each time that `_asleep` becomes false.
        self._alarm = threading.Lock()
        self._alarm.acquire()
        self._ident = 0
        # An attribute, not a property, because it is read for each send.
        self.is_full = False
        self._was_filled = False
        self._warn_at = self.limit
        self.running: object = None
        # Runs the second thread; made by the first `post`.
        self._inboxes: Dispatcher | None = None

    def submit(self, call: Callable[..., object], *args: Any) -> None:
        """Have ``call(*args)`` run on the thread, after everything submitted before.

        Never waits for a call. Starts the thread if there is none. What `call` raises is logged.

        Args:
            call: what to run; its result is dropped.
            args: its arguments.
        """
        stranded = warn = False
        with self._lock:
            self._queue.append((call, args))
            self._idle = False
            # The call is queued. From here on nothing may raise: the caller would take it for not
            # queued, and submit it again.
            if self._asleep or self._thread is None:  # rare: the thread is mostly awake
                for _ in range(_TRIES):
                    try:
                        self._wake()
                        stranded = self._thread is None and not self._start()
                    except Exception:  # noqa: S112 - without memory there is no log line either
                        continue
                    break
            if stranded:
                # No thread can be started: from Python 3.12 on none starts once the interpreter
                # has begun to shut down, and a machine may be out of threads. An outcome must be
                # delivered even then, so the calling thread runs the queue. Calls submitted
                # meanwhile, on this thread or another, find `_thread` set and run here, too.
                self._thread = threading.current_thread()
            backlog = len(self._queue)
            if backlog >= self.limit:
                self._was_filled = True
                self._owner.is_full = True
                warn = backlog >= self._warn_at
                if warn:
                    self._warn_at *= 2
        if warn:
            with contextlib.suppress(Exception):  # as above
                log_safely(
                    logging.WARNING,
                    "%d outcomes wait for receivers, and new sends wait until receivers have caught"
                    " up: they are slower than sends, or one does not return; running now: %s",
                    backlog,
                    self.running,
                )
        if stranded:
            self._run(stay=False)

    def post(self, call: Callable[..., object], *args: Any) -> None:
        """Have ``call(*args)`` run on a second thread, independently of the calls of `submit`.

        All calls given to this method run in order, too. The second thread starts with the first
        of them, and ends with the first thread. If it can't start (Python 3.12 starts none once
        the main thread has ended), the call is given to `submit`.

        Args:
            call: what to run; its result is dropped.
            args: its arguments.
        """
        with self._lock:
            inboxes = self._inboxes
            if inboxes is None:
                inboxes = self._inboxes = Dispatcher(f"{self._name}-inboxes")
                inboxes._listeners = self._listeners
                inboxes._owner = self
            inboxes.limit = self.limit
        (inboxes if inboxes._can_run(stay=self._holds > 0) else self).submit(call, *args)

    def when_passed(self, callback: Callable[[], object]) -> None:
        """Have a function called once every call submitted or posted before has run.

        Args:
            callback: runs on one of the threads, and must not block.
        """
        self.submit(self._pass_on, callback)

    def _pass_on(self, callback: Callable[[], object]) -> None:
        inboxes = self._inboxes
        if inboxes is None:
            callback()
        else:
            inboxes.submit(callback)

    def _can_run(self, *, stay: bool) -> bool:
        """Start the thread if there is none; return whether there is one now.

        Args:
            stay: keep it until `release`.
        """
        with self._lock:
            if stay and not self._holds:
                self._holds = 1
            return self._thread is not None or self._start()

    def when_not_full(self, callback: Callable[[], object]) -> None:
        """Have a function called each time that `is_full` may have become false.

        Args:
            callback: runs on the dispatcher's thread, between two calls, and must not block.
        """
        self._listeners.append(callback)

    def is_current(self) -> bool:
        """Whether the calling thread is one of the dispatcher's, so that a receiver is calling."""
        if self._ident == threading.get_ident() and self._thread is not None:
            return True
        return self._inboxes is not None and self._inboxes.is_current()

    def hold(self) -> None:
        """Start the thread, and keep it until `release`.

        Each `hold` needs a `release`; the interpreter does not exit while one is missing.
        """
        with self._lock:
            self._holds += 1
            if self._thread is None:
                # If it cannot start now, the next submit tries again.
                self._start()

    def release(self) -> None:
        """Undo one `hold`. Without holds, the thread ends once all queued calls have run.

        A `release` without `hold` does nothing: after a fork, the child releases holds of its
        parent, which do not count in the child.
        """
        with self._lock:
            self._holds = max(0, self._holds - 1)
            if not self._holds:
                self._wake()
                if self._inboxes is not None:
                    self._inboxes.release()

    def wait_idle(self, timeout: float | None = None) -> bool:
        """Wait until all calls that were submitted before have run.

        Args:
            timeout: how long to wait, in seconds; None waits without limit.

        Returns:
            Whether they have run.

        Raises:
            RuntimeError: on the dispatcher's own thread, which would wait for itself.
        """
        notice_fork()
        if self.is_current():
            raise RuntimeError("a receiver cannot wait for the thread that it runs on")
        if self.is_idle:
            return True
        until = None if timeout is None else monotonic() + timeout
        passed = threading.Event()
        self.submit(passed.set)
        if not passed.wait(timeout):
            return False
        inboxes = self._inboxes
        if inboxes is None:
            return True
        return inboxes.wait_idle(None if until is None else max(0.0, until - monotonic()))

    @property
    def is_idle(self) -> bool:
        """Whether all submitted calls have run."""
        return self._idle and (self._inboxes is None or self._inboxes.is_idle)

    def reset_after_fork(self) -> None:
        """Discard thread, queue, holds and locks, in a child that was just forked.

        The thread does not exist in the child, the parent delivers what was queued, and a lock
        may have been held by a thread that is gone. For `dispatcher` this is called automatically.
        """
        self._reset()

    def _wake(self) -> None:
        """Wake the thread if it sleeps. Called with the lock held."""
        if self._asleep:
            self._asleep = False
            self._alarm.release()

    def _start(self) -> bool:
        """Start the thread, and return whether that went well. Called with the lock held."""
        current = threading.current_thread()
        if current is threading.main_thread() and not current.is_alive():
            # The interpreter has already joined its threads and is running its atexit functions.
            # Before Python 3.12 a thread would start even now, only to be killed midway.
            return False
        thread = threading.Thread(target=self._run, name=self._name, daemon=False)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:
            self._thread = None
            return False
        return True

    def _run(self, *, stay: bool = True) -> None:
        """Run the queued calls until the queue is empty: the main function of the thread.

        Args:
            stay: sleep while the queue is empty and there is a hold, instead of ending.
        """
        me = threading.current_thread()
        self._ident = threading.get_ident()
        try:
            while self._thread is me:
                try:
                    self._work(me, stay=stay)
                except BaseException as exc:
                    if not stay:
                        raise  # this thread is the caller's: a KeyboardInterrupt is meant for it
                    # The queued outcomes must still be delivered, and only this thread does it.
                    log_safely(logging.ERROR, "the dispatcher failed, and goes on", exc=exc)
                    time.sleep(_LONGEST_PAUSE)
        finally:
            # Whatever ended the loop, the next submit must be able to start a new thread.
            with self._lock:
                if self._thread is me:
                    self._thread = None

    def _work(self, me: threading.Thread, *, stay: bool) -> None:
        """Run calls for as long as `me` is the thread that runs them."""
        has_paused = not stay
        pause = _PAUSE
        # `_thread` is another one, or None, if a receiver has forked and this is the child.
        while self._thread is me:
            if self._was_filled and len(self._queue) <= self.limit - self.limit // 10:
                self._on_not_full()
            try:
                call, args = self._queue.popleft()
            except IndexError:
                if has_paused:
                    self._sleep_or_end(stay=stay)
                    pause = _PAUSE
                else:
                    time.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
                    has_paused = True
            else:
                has_paused = not stay
                self._call(call, args)
                # Otherwise the last outcome, and its email, would be kept during the sleep.
                del call, args

    def _on_not_full(self) -> None:
        """Recompute `is_full` once this queue has room again, and call the listeners."""
        with self._lock:
            self._was_filled = False
        owner = self._owner
        with owner._lock:
            inboxes = owner._inboxes
            owner.is_full = owner._was_filled or (inboxes is not None and inboxes._was_filled)
        for callback in self._listeners:
            self._call(callback, ())

    def _sleep_or_end(self, *, stay: bool) -> None:
        """Sleep until a call is queued, or clear `_thread`, so that the thread ends."""
        with self._lock:
            if self._queue:
                return
            self._idle = True
            self._warn_at = self.limit
            if not (stay and self._holds):
                self._thread = None
                return
            self._asleep = True
            alarm = self._alarm
        alarm.acquire()

    def _call(self, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        try:
            call(*args)
        except BaseException as exc:
            # SystemExit, KeyboardInterrupt and GeneratorExit too: a receiver that raises them
            # would otherwise end this thread, and no other receiver would be called any more.
            log_safely(
                logging.ERROR,
                "%r raised on the dispatcher thread; the next call runs",
                call,
                exc=exc,
            )


dispatcher: Dispatcher = Dispatcher()
"""The dispatcher of the bus: there is one for the whole process."""

in_child(dispatcher.reset_after_fork)

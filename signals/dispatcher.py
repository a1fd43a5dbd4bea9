"""The one thread on which receivers run, and the one on which outcomes are put into inboxes.

An event loop that calls a stranger's code stands still for as long as that code pleases, and dies
of what it raises. So the loop only submits here. Calls run in the order in which they were
submitted, one at a time, each shielded from the others.

An outcome can't be dropped, and the loop can't wait. So where outcomes come faster than receivers
take them, the bound is upstream: `Dispatcher.is_full` says that no new send is to begin, and what
is under way still finds room.

The thread is no daemon: a script that ends right after its last ``tell()`` still hears what
became of its mail. It must therefore end by itself: it exists only while somebody holds it, or
while something is queued.
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
"""Outcomes that may wait to be heard; from then on new sends wait, too.

About 16 MB, where the mails are small. The sends under way then add their outcomes, and so do
those that receivers begin themselves.
"""

# How many tries a step has that must not fail: what can break it, such as a lack of memory, passes.
_TRIES = 2

# Seconds of rest between two batches, the first and the longest: it grows while outcomes keep
# coming. To wake a sleeping thread for each of them costs the event loop more than the whole
# conversation with the server: each time, the two threads hand the interpreter over and back.
_PAUSE = 0.001
_LONGEST_PAUSE = 0.005


def log_safely(level: int, message: str, *args: object, exc: BaseException | None = None) -> None:
    """Write a log line, and never raise.

    Logging runs strangers' code too: filters, and the ``__str__`` of what is logged.

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

    `submit` takes a call at any time: to refuse one could only lose an outcome or stop the event
    loop. From `limit` on it says `is_full`, until a tenth of that has run; whoever begins sends
    looks at it first.

    Attributes:
        limit: how many calls may wait.
        is_full: whether so many wait that no new send should begin: see `when_not_full`.
        running: what runs at the moment, for the log; its `str` names it.
    """

    def __init__(self, name: str = "pykka-smtp-dispatcher", limit: int = MOST_WAITING) -> None:
        self._name = name
        self.limit = limit
        self._listeners: list[Callable[[], object]] = []
        self._whole = self  # of which this is a part
        self._unsubscribe()

    def _unsubscribe(self) -> None:
        # Reentrant, because a finalizer may run, and submit, wherever this lock is held.
        self._lock = threading.RLock()
        self._queue: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._holds = 0
        # The thread that empties the queue, from the moment it is bound to do so until it has
        # found the queue empty. It alone takes calls out, and does so without the lock.
        self._thread: threading.Thread | None = None
        self._idle = True
        self._asleep = False
        # A locked lock to sleep on: unlike a condition it remembers a wake-up that comes before
        # the sleep. It is released once for each time that `_asleep` is taken back.
        self._alarm = threading.Lock()
        self._alarm.acquire()
        self._ident = 0
        # An attribute: it is looked at for each send.
        self.is_full = False
        self._was_filled = False
        self._warn_at = self.limit
        self.running: object = None
        # Has the second thread, from the first `post` on.
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
            # It is taken. Whatever breaks from here on must not tell the caller that it is not.
            if self._asleep or self._thread is None:  # mostly it is awake
                for _ in range(_TRIES):
                    try:
                        self._wake()
                        stranded = self._thread is None and not self._start()
                    except Exception:  # noqa: S112 - without memory there is no log line either
                        continue
                    break
            if stranded:
                # No thread can be had: from 3.12 on the interpreter starts none once it has
                # begun to shut down, and a machine may be out of them. An outcome must be heard
                # even then, so this thread does the work. What is submitted meanwhile, from here
                # or elsewhere, finds `_thread` set and is done in the same go.
                self._thread = threading.current_thread()
            backlog = len(self._queue)
            if backlog >= self.limit:
                self._was_filled = True
                self._whole.is_full = True
                warn = backlog >= self._warn_at
                if warn:
                    self._warn_at *= 2
        if warn:
            with contextlib.suppress(Exception):  # as above
                log_safely(
                    logging.WARNING,
                    "%d outcomes wait to be heard, and new mails wait until receivers have caught"
                    " up: they are slower than sends, or one does not return; running now: %s",
                    backlog,
                    self.running,
                )
        if stranded:
            self._run(stay=False)

    def post(self, call: Callable[..., object], *args: Any) -> None:
        """Have ``call(*args)`` run on a second thread: it waits for nothing given to `submit`.

        All calls given to this method run in order, too. The thread starts with the first of
        them, and ends with the other one. Where it can't start, as Python 3.12 starts none once
        the main thread has ended, the call is given to `submit`.

        Args:
            call: what to run; its result is dropped.
            args: its arguments.
        """
        with self._lock:
            inboxes = self._inboxes
            if inboxes is None:
                inboxes = self._inboxes = Dispatcher(f"{self._name}-inboxes")
                inboxes._listeners = self._listeners
                inboxes._whole = self
            inboxes.limit = self.limit
        (inboxes if inboxes._can_run(stay=self._holds > 0) else self).submit(call, *args)

    def _can_run(self, *, stay: bool) -> bool:
        """Return whether there is a thread, or start it.

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
            callback: runs on the dispatcher's thread, between two calls, and must not wait.
        """
        self._listeners.append(callback)

    def is_current(self) -> bool:
        """Whether the calling thread is one that calls run on: then a receiver is calling."""
        if self._ident == threading.get_ident() and self._thread is not None:
            return True
        return self._inboxes is not None and self._inboxes.is_current()

    def hold(self) -> None:
        """Start the thread, and keep it until `release`.

        Each hold needs a release of its own; the interpreter does not exit while one is missing.
        """
        with self._lock:
            self._holds += 1
            if self._thread is None:
                # If it cannot start now, the next submit tries again.
                self._start()

    def release(self) -> None:
        """Take back one `hold`: without any, the thread ends once all that is queued has run.

        A release too many does nothing: after a fork, holds of the parent are released in the
        child, where they do not count.
        """
        with self._lock:
            self._holds = max(0, self._holds - 1)
            if not self._holds:
                self._wake()
                if self._inboxes is not None:
                    self._inboxes.release()

    def wait_idle(self, timeout: float | None = None) -> bool:
        """Wait until everything that was submitted before has run.

        Args:
            timeout: how long to wait, in seconds; None waits without limit.

        Returns:
            Whether it has run.

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
        """Whether everything that was submitted has run."""
        return self._idle and (self._inboxes is None or self._inboxes.is_idle)

    def reset_after_fork(self) -> None:
        """Forget thread, queue, holds and locks, in a child that was just forked.

        The thread does not exist there, what was queued is the parent's to deliver, and a lock
        may have been held by a thread that is gone. Runs by itself for `dispatcher`.
        """
        self._unsubscribe()

    def _wake(self) -> None:
        """Wake the thread if it sleeps. Called with the lock held."""
        if self._asleep:
            self._asleep = False
            self._alarm.release()

    def _start(self) -> bool:
        """Start the thread, and return whether that went well. Called with the lock held."""
        current = threading.current_thread()
        if current is threading.main_thread() and not current.is_alive():
            # The interpreter has already joined its threads and runs its atexit functions.
            # Before 3.12 a thread would start even now, only to be cut off in the middle.
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
        """Empty the queue, and end when it is empty. All that the thread does is in here.

        Args:
            stay: sleep on an empty queue instead, while there is a hold.
        """
        me = threading.current_thread()
        self._ident = threading.get_ident()
        try:
            while self._thread is me:
                try:
                    self._work(me, stay=stay)
                except BaseException as exc:
                    if not stay:
                        raise  # a KeyboardInterrupt is for the thread that was borrowed
                    # What is queued still has to be heard, and nobody else will do it.
                    log_safely(logging.ERROR, "the dispatcher failed, and goes on", exc=exc)
                    time.sleep(_LONGEST_PAUSE)
        finally:
            # Whatever ended the loop: the next submit starts anew.
            with self._lock:
                if self._thread is me:
                    self._thread = None

    def _work(self, me: threading.Thread, *, stay: bool) -> None:
        """Run calls for as long as `me` is the thread to do so."""
        has_paused = not stay
        pause = _PAUSE
        # It is another thread, or none, if a receiver has forked and this is the child.
        while self._thread is me:
            if self._was_filled and len(self._queue) <= self.limit - self.limit // 10:
                self._say_not_full()
            try:
                call, args = self._queue.popleft()
            except IndexError:
                if has_paused:
                    self._rest(stay=stay)
                    pause = _PAUSE
                else:
                    time.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
                    has_paused = True
            else:
                has_paused = not stay
                self._call(call, args)
                # Or the last outcome, and its mail, would live through the sleep.
                del call, args

    def _say_not_full(self) -> None:
        """Let those go on who wait for room."""
        with self._lock:
            self._was_filled = False
        whole = self._whole
        with whole._lock:
            inboxes = whole._inboxes
            whole.is_full = whole._was_filled or (inboxes is not None and inboxes._was_filled)
        for callback in self._listeners:
            self._call(callback, ())

    def _rest(self, *, stay: bool) -> None:
        """Sleep until there is something to do, or resign as the thread that does it."""
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
            # would otherwise end this thread, and with it the hearing of all others.
            log_safely(
                logging.ERROR,
                "%r raised on the dispatcher thread; the next call runs",
                call,
                exc=exc,
            )


dispatcher: Dispatcher = Dispatcher()
"""The one that the bus uses: one thread for the whole process."""

in_child(dispatcher.reset_after_fork)

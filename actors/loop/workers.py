"""Threads for what can only be done by blocking: name look-ups, reading files, token callables.

`concurrent.futures` serves no more once the interpreter begins to shut down, which is before the
loop has delivered the last mails. These threads do. They are daemons: a name look-up that hangs
in the system's resolver must not keep a program from ending.

Nobody can end a thread that hangs. So others take its place, up to a bound that holds over all
loops that the process has had.
"""

import asyncio
import contextlib
import errno
import functools
import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from ...signals.dispatcher import log_safely
from . import guard

T = TypeVar("T")
_MOST_THREADS = 64
"""Threads of one kind, those that hang included."""
_MOST_JOBS = 10_000
"""Jobs of one kind that wait."""
_STANDSTILL = 0.25
"""Seconds after which threads that take no job, though some wait, are taken to hang."""
_LONGEST_LOOK = 0.15
"""Seconds that count between two looks. A process that stood still for longer has held up its
threads as well: they take long only if they take no job while it runs."""


class _Job:
    """What is to be done. It answers for itself: who asked for it must not wait for ever.

    Attributes:
        future: what the asker waits for.
    """

    __slots__ = ("_args", "_function", "_jobs", "_loop", "_workers", "future")

    def __init__(
        self,
        workers: "Workers",
        loop: asyncio.AbstractEventLoop,
        jobs: "SimpleQueue[_Job | None]",
        function: Callable[..., Any],
        args: tuple[Any, ...],
    ) -> None:
        """Prepare; on the loop thread."""
        self.future: asyncio.Future[Any] = loop.create_future()
        self._workers = workers
        self._loop = loop
        self._jobs = jobs
        self._function = function
        self._args = args

    def do(self) -> None:
        """Do it, in a worker thread."""
        result = error = None
        if not self.future.done():
            try:
                result = self._function(*self._args)
            except BaseException as caught:  # the asker hears of it, whatever it is
                error = caught
        self._answer(result, error)
        # An error knows the frame that it came through, and would be known by it.
        del error

    def crashed(self, error: BaseException) -> None:
        """Let the asker have the error. See `guard.Guarded`."""
        if self._function is guard.surely:  # even if the loop, and who asked, are gone by now
            self._function(*self._args)
        self._answer(None, error)

    def _answer(self, result: object, error: BaseException | None) -> None:
        # If the loop has ended, nobody waits any more; but a file is still to be closed.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(
                guard.call, self, self._workers.finished, self._jobs, self.future, result, error
            )


class Workers:
    """A few threads that run one job after the other, and answer on the event loop.

    A job whose asker was cancelled is not run.
    """

    def __init__(self, name: str, most: int) -> None:
        """Prepare.

        Args:
            name: names the threads.
            most: how many threads there may be, those that hang not counted.
        """
        self._name = name
        self._most = most
        self._count = 0  # of the threads that serve the present loop
        self._unfinished = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        # All that live, those that hang since an earlier loop included. They take themselves out.
        self._threads: set[threading.Thread] = set()
        self._begun = 0  # jobs; threads that count at the same moment do no harm
        self._moved = 0  # what it was at the last look that saw it change
        self._looked = 0.0  # when the last look was
        self._still = 0.0  # seconds for which it has not changed
        self._warn_at = most + 1

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the first thread."""
        self._loop = loop
        if len(self._threads) < _MOST_THREADS:
            self._add_thread()

    def close(self) -> None:
        """End the threads once their jobs are done."""
        for _ in range(self._count):
            self._jobs.put(None)
        self._jobs = SimpleQueue()
        self._count = 0
        self._unfinished = 0

    def run(self, function: Callable[..., T], *args: Any) -> "asyncio.Future[T]":
        """Run a function in a thread; called on the loop thread.

        Args:
            function: what to call.
            args: its arguments.

        Returns:
            A future of the loop's, with the function's result or exception; with a
            BlockingIOError if too many jobs wait already.
        """
        if self._loop is None:
            raise RuntimeError("the workers were not started")
        job = _Job(self, self._loop, self._jobs, function, args)
        future: asyncio.Future[T] = job.future
        if self._jobs.qsize() >= _MOST_JOBS and not self._forget_cancelled():
            future.set_exception(
                BlockingIOError(errno.EAGAIN, f"too many jobs wait for {self._name} threads")
            )
            return future
        self._unfinished += 1
        self._jobs.put(job)
        if self._unfinished > self._count < self._most and len(self._threads) < _MOST_THREADS:
            # No more threads? Then the ones that there are will do.
            with contextlib.suppress(RuntimeError):
                self._add_thread()
        return future

    def surely(self, function: Callable[[], object]) -> None:
        """Run in a thread what gives something back; where that breaks, right here.

        Called on the loop thread.

        Args:
            function: such as a file's `close`. It may be called again if it, or what is to call
                it, breaks.
        """
        try:
            done = self.run(guard.surely, function)
        except BaseException:
            guard.surely(function)
        else:
            done.add_done_callback(functools.partial(_make_up, function))

    def on_tick(self, now: float) -> None:
        """Have other threads take the place of those that hang, if jobs wait for them.

        Args:
            now: the loop's time, in seconds.
        """
        passed, self._looked = now - self._looked, now
        if self._jobs.empty() or self._moved != self._begun:
            self._moved, self._still = self._begun, 0.0
            return
        self._still += min(passed, _LONGEST_LOOK)
        if self._still >= _STANDSTILL and self._waiting():
            self._still = 0.0
            self._replace()

    def _waiting(self) -> int:
        self._forget_cancelled()
        return self._jobs.qsize()

    def _forget_cancelled(self) -> bool:
        """Take those jobs out of the queue that nobody waits for; return whether it has room."""
        wanted: list[_Job | None] = []
        with contextlib.suppress(Empty):
            for _ in range(self._jobs.qsize()):
                job = self._jobs.get_nowait()
                if job is None or not job.future.done():
                    wanted.append(job)
                else:
                    self._unfinished -= 1
        for job in wanted:
            self._jobs.put(job)
        return len(wanted) < _MOST_JOBS

    def _replace(self) -> None:
        room = _MOST_THREADS - len(self._threads)
        # Twice as many each time, so that the hundredth does not wait for the other 99.
        for _ in range(min(room, self._jobs.qsize(), max(1, self._count))):
            try:
                self._add_thread()
            except RuntimeError:
                break
        if len(self._threads) >= self._warn_at:
            self._warn_at = 2 * len(self._threads)
            log_safely(
                logging.WARNING,
                "threads for %s take long, or hang; there are %d now%s",
                self._name,
                len(self._threads),
                "" if len(self._threads) < _MOST_THREADS else ", and will be no more",
            )

    def crashed(self, error: BaseException) -> None:
        """Go on: what has broken is the look at the clock, and the next one comes."""

    def _add_thread(self) -> None:
        jobs = self._jobs
        thread = threading.Thread(
            target=guard.call,
            args=(_Thread(self, jobs), self._work, jobs),
            name=f"pykka-smtp-{self._name}-{self._count + 1}",
            daemon=True,
        )
        self._threads.add(thread)
        try:
            thread.start()
        except BaseException:
            self._threads.discard(thread)
            raise
        self._count += 1

    def _work(self, jobs: "SimpleQueue[_Job | None]") -> None:
        try:
            while (job := jobs.get()) is not None:
                self._begun += 1
                guard.call(job, job.do)
                # Nothing of the job may live on while the thread waits for the next.
                del job
        finally:
            self._threads.discard(threading.current_thread())

    def finished(
        self,
        jobs: "SimpleQueue[_Job | None]",
        future: "asyncio.Future[Any]",
        result: object,
        error: BaseException | None,
    ) -> None:
        """Let the asker have the answer. Called on the loop thread."""
        # Only now: a thread whose asker waits no longer is busy all the same.
        if jobs is self._jobs:
            self._unfinished -= 1
            if self._count > max(self._most, self._unfinished):
                # Those that took the place of one that has come back.
                self._count -= 1
                jobs.put(None)
                self._warn_at = self._most + 1
        _answer(future, result, error)


class _Thread:
    """Answers for a thread: one that breaks off begins anew."""

    __slots__ = ("_jobs", "_workers")

    def __init__(self, workers: Workers, jobs: "SimpleQueue[_Job | None]") -> None:
        self._workers = workers
        self._jobs = jobs

    def crashed(self, error: BaseException) -> None:  # noqa: ARG002 - as `guard.Guarded` has it
        """Go on with the jobs. On the thread itself."""
        self._workers._work(self._jobs)


def _make_up(function: Callable[[], object], done: "asyncio.Future[Any]") -> None:
    """Do what a job was to do, if it was not even begun."""
    if done.cancelled() or done.exception() is not None:
        guard.surely(function)


def _answer(future: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
    if future.done():  # whoever asked was cancelled
        return
    if error is None:
        future.set_result(result)
    elif isinstance(error, StopIteration) or not isinstance(error, Exception):
        # A future refuses the one; the others (SystemExit from a file's own read, say) would
        # end the task that waits, or the whole loop.
        future.set_exception(RuntimeError(repr(error)))
    else:
        future.set_exception(error)

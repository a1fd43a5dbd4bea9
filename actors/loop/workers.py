"""Threads for blocking calls: name look-ups, reading files, token callables.

`concurrent.futures` stops working when the interpreter begins to shut down, which is before the
loop has delivered the last emails; these threads do not. They are daemons, so that a name look-up
that hangs in the system's resolver can't keep a process from exiting.

A thread that hangs can't be ended. So other threads replace it, up to a bound for all loops that
the process has had.
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
_MAX_THREADS = 64
"""Threads of one pool, those that hang included: 64 dead name servers or mounts at once."""
_MAX_JOBS = 10_000
"""Queued jobs of one pool."""
_STANDSTILL = 0.25
"""Seconds after which the threads of a pool are considered to hang, if they take no queued job."""
_LONGEST_LOOK = 0.15
"""Seconds that count between two ticks. If more have passed, the process was suspended together
with its threads, and that time does not mean that they hang."""


class _Job:
    """A function to run. It handles its own errors, so that its caller never waits forever.

    Attributes:
        future: the result for the caller.
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
        """Create the future, on the loop thread."""
        self.future: asyncio.Future[Any] = loop.create_future()
        self._workers = workers
        self._loop = loop
        self._jobs = jobs
        self._function = function
        self._args = args

    def do(self) -> None:
        """Run the function, in a worker thread."""
        result = error = None
        if not self.future.done():
            try:
                result = self._function(*self._args)
            except BaseException as caught:  # every error is passed to the caller
                error = caught
        self._answer(result, error)
        # Breaks the reference cycle of an exception and the frame in its traceback.
        del error

    def crashed(self, error: BaseException) -> None:
        """Pass the error to the caller. See `guard.Guarded`."""
        if self._function is guard.surely:  # must run even if the loop and the caller are gone
            self._function(*self._args)
        self._answer(None, error)

    def _answer(self, result: object, error: BaseException | None) -> None:
        # If the loop has ended, nothing waits for the result, but files still had to be closed.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(
                guard.call, self, self._workers.finished, self._jobs, self.future, result, error
            )


class Workers:
    """A few threads that run one job after the other, and set results on the event loop.

    A job whose caller was cancelled is not run.
    """

    def __init__(self, name: str, most: int, *, is_late: bool = False) -> None:
        """Create a pool without threads; `start` starts the first.

        Args:
            name: a part of the names of the threads.
            most: the maximum number of threads, without those that hang.
            is_late: start no thread before the first job, as few programs have any. If none can be
                started then, because the process ends, jobs run on the loop thread.
        """
        self._name = name
        self._most = most
        self._is_late = is_late
        self._count = 0  # of the threads that serve the present loop
        self._unfinished = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        # All that are alive, those that hang since an earlier loop included. Each removes itself.
        self._threads: set[threading.Thread] = set()
        self._begun = 0  # jobs started; a lost increment in a race does no harm
        self._moved = 0  # its value when a tick last saw it change
        self._looked = 0.0  # the time of the last tick
        self._still = 0.0  # seconds for which it has not changed
        self._warn_at = most + 1

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the first thread."""
        self._loop = loop
        if not self._is_late and len(self._threads) < _MAX_THREADS:
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
        if self._jobs.qsize() >= _MAX_JOBS and not self._forget_cancelled():
            future.set_exception(
                BlockingIOError(errno.EAGAIN, f"too many jobs wait for {self._name} threads")
            )
            return future
        self._unfinished += 1
        self._jobs.put(job)
        if self._unfinished > self._count < self._most and len(self._threads) < _MAX_THREADS:
            # If no thread can be started, those that exist must do.
            with contextlib.suppress(RuntimeError):
                self._add_thread()
        if not self._count and self._is_late:
            self._jobs.get_nowait().do()  # type: ignore[union-attr] # it is this job
        return future

    def surely(self, function: Callable[[], object]) -> None:
        """Run a function that releases a resource, in a thread, or here if that fails.

        Called on the loop thread.

        Args:
            function: such as a file's `close`. It may be called again after an error.
        """
        try:
            done = self.run(guard.surely, function)
        except BaseException:
            guard.surely(function)
        else:
            done.add_done_callback(functools.partial(_make_up, function))

    def on_tick(self, now: float) -> None:
        """Called every `TICK` seconds: replace threads that hang, if jobs are queued.

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
        """Remove cancelled jobs from the queue; return whether it has room."""
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
        return len(wanted) < _MAX_JOBS

    def _replace(self) -> None:
        room = _MAX_THREADS - len(self._threads)
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
                "" if len(self._threads) < _MAX_THREADS else ", and will be no more",
            )

    def crashed(self, error: BaseException) -> None:
        """Ignore an error in `on_tick`: the next tick comes. See `guard.Guarded`."""

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
                # No reference to the job may remain while the thread waits for the next one.
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
        """Called on the loop thread when a job is done: set its result."""
        # Counted here, not on cancellation: the thread of a cancelled job is busy all the same.
        if jobs is self._jobs:
            self._unfinished -= 1
            if self._count > max(self._most, self._unfinished):
                # End a replacement of a thread that did not hang forever.
                self._count -= 1
                jobs.put(None)
                self._warn_at = self._most + 1
        _answer(future, result, error)


class _Thread:
    """Handles an error in a thread's loop by starting the loop again."""

    __slots__ = ("_jobs", "_workers")

    def __init__(self, workers: Workers, jobs: "SimpleQueue[_Job | None]") -> None:
        self._workers = workers
        self._jobs = jobs

    def crashed(self, error: BaseException) -> None:  # noqa: ARG002 - as `guard.Guarded` has it
        """Continue with the jobs, on the thread itself."""
        self._workers._work(self._jobs)


def _make_up(function: Callable[[], object], done: "asyncio.Future[Any]") -> None:
    """Call the function here if the job could not be run."""
    if done.cancelled() or done.exception() is not None:
        guard.surely(function)


def _answer(future: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
    if future.done():  # the caller was cancelled
        return
    if error is None:
        future.set_result(result)
    elif isinstance(error, StopIteration) or not isinstance(error, Exception):
        # A future does not accept StopIteration. The others, such as SystemExit from the `read` of
        # a program's own file object, would end the waiting task or the whole loop.
        future.set_exception(RuntimeError(repr(error)))
    else:
        future.set_exception(error)

"""Threads for what can only be done by blocking: name look-ups, and reading files.

`concurrent.futures` serves no more once the interpreter begins to shut down, which is before the
loop has delivered the last mails. These threads do. They are daemons: a name look-up that hangs
in the system's resolver must not keep a program from ending.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Job = tuple["asyncio.Future[Any]", Callable[..., Any], tuple[Any, ...]]


class Workers:
    """A few threads that run one job after the other, and answer on the event loop."""

    def __init__(self, name: str, most: int) -> None:
        """Prepare.

        Args:
            name: names the threads.
            most: how many threads there may be.
        """
        self._name = name
        self._most = most
        self._count = 0
        self._unfinished = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the first thread."""
        self._loop = loop
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
            A future of the loop's, with the function's result or exception.
        """
        if self._loop is None:
            raise RuntimeError("the workers were not started")
        future: asyncio.Future[T] = self._loop.create_future()
        self._unfinished += 1
        self._jobs.put((future, function, args))
        if self._unfinished > self._count < self._most:
            # No more threads? Then the ones that there are will do.
            with contextlib.suppress(RuntimeError):
                self._add_thread()
        return future

    def _add_thread(self) -> None:
        threading.Thread(
            target=self._work,
            args=(self._loop, self._jobs),
            name=f"pykka-smtp-{self._name}-{self._count + 1}",
            daemon=True,
        ).start()
        self._count += 1

    def _work(self, loop: asyncio.AbstractEventLoop, jobs: "SimpleQueue[_Job | None]") -> None:
        while (job := jobs.get()) is not None:
            future, function, args = job
            try:
                result, error = function(*args), None
            except BaseException as caught:  # the asker hears of it, whatever it is
                result, error = None, caught
            # If the loop has ended, nobody waits any more; but a file is still to be closed.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._finished, jobs, future, result, error)
            # Nothing of the job may live on while the thread waits for the next.
            del job, future, function, args, result, error

    def _finished(
        self,
        jobs: "SimpleQueue[_Job | None]",
        future: "asyncio.Future[Any]",
        result: object,
        error: BaseException | None,
    ) -> None:
        # Only now: a thread whose asker waits no longer is busy all the same.
        if jobs is self._jobs:
            self._unfinished -= 1
        _answer(future, result, error)


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

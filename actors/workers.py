"""Threads for what can only be done by blocking: name look-ups, and reading files.

`concurrent.futures` serves no more once the interpreter begins to shut down, which is before the
loop has delivered the last mails. These threads do. They are daemons: a name look-up that hangs
in the system's resolver must not keep a program from ending.
"""

import asyncio
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
        assert self._loop is not None
        future: asyncio.Future[T] = self._loop.create_future()
        self._unfinished += 1
        future.add_done_callback(self._finished)
        self._jobs.put((future, function, args))
        if self._unfinished > self._count < self._most:
            try:
                self._add_thread()
            except RuntimeError:  # no more threads: the ones that there are will do
                pass
        return future

    def _finished(self, _future: object) -> None:
        self._unfinished -= 1

    def _add_thread(self) -> None:
        threading.Thread(
            target=_work,
            args=(self._loop, self._jobs),
            name=f"pykka-smtp-{self._name}-{self._count + 1}",
            daemon=True,
        ).start()
        self._count += 1


def _work(loop: asyncio.AbstractEventLoop, jobs: "SimpleQueue[_Job | None]") -> None:
    while (job := jobs.get()) is not None:
        future, function, args = job
        try:
            result, error = function(*args), None
        except BaseException as caught:  # noqa: BLE001 - the asker hears of it, whatever it is
            result, error = None, caught
        try:
            loop.call_soon_threadsafe(_answer, future, result, error)
        except RuntimeError:  # the loop has ended: nobody waits any more
            return
        # Nothing of the job may live on while the thread waits for the next.
        del job, future, function, args, result, error


def _answer(future: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
    if future.done():  # whoever asked was cancelled
        return
    if error is None:
        future.set_result(result)
    elif isinstance(error, StopIteration):  # a future refuses it
        future.set_exception(RuntimeError(repr(error)))
    else:
        future.set_exception(error)

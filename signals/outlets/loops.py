"""Outcomes for an asyncio program: into its queue, or to a function on its own event loop.

The bus never waits for that loop, except for room: outcomes wait here, and the loop takes them in
order, one at a time. What can't be heard any more, because the loop is closed or ends, is logged.
"""

import asyncio
import atexit
import inspect
import logging
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeGuard, cast

from ..described import Described
from ..dispatcher import log_safely
from ..forks import in_child, notice_fork

MOST_WAITING = 10_000
"""Outcomes that may wait for one function or queue; from then on the bus waits, and so do sends."""

_LOOK = 0.1
"""Seconds after which the bus, while it waits for room, looks whether the loop still runs."""
_MOST_PER_TURN = 100
"""Outcomes that the loop takes before its other callbacks get a turn."""

Target: TypeAlias = "Callable[..., object] | asyncio.Queue[Any]"


class OnLoop:
    """A queue or function of an asyncio program that takes outcomes, as `on_loop` returns it.

    Every method can be called from any thread.
    """

    __slots__ = (
        *("__weakref__", "_call", "_ended", "_heard", "_is_scheduled", "_lock", "_loop"),
        *("_process", "_room", "_taken", "_target", "_task", "_waiting", "_was_cancelled"),
    )

    def __init__(self, target: Target, loop: asyncio.AbstractEventLoop) -> None:
        self._target = target
        self._loop = loop
        self._call = _function_of(target)
        self._process = _processes
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._waiting: deque[tuple[tuple[Any, ...], dict[str, Any]]] = deque()
        self._is_scheduled = self._was_cancelled = False
        self._task: asyncio.Task[object] | None = None
        self._heard: tuple[tuple[Any, ...], dict[str, Any]] = (), {}  # in that task
        # Counts, rather than the length of the queue: what is being heard counts, too.
        self._taken = self._ended = 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OnLoop):
            return NotImplemented
        return self._target is other._target and self._loop is other._loop

    def __hash__(self) -> int:
        return hash((id(self._target), id(self._loop)))

    def __str__(self) -> str:
        if _is_queue(self._target):  # not with all that is in it, as its own text
            return f"{type(self._target).__name__} at {id(self._target):#x}"
        return str(Described(self._target))

    def __repr__(self) -> str:
        return f"<OnLoop of {self}, {self.waiting} waiting>"

    @property
    def waiting(self) -> int:
        """How many outcomes were taken, and are not heard yet; 0 once nothing can hear them."""
        if self._process != _processes:
            return 0  # its parent has logged them, or has them heard
        if self.is_closed and self._taken != self._ended:
            self._drop()
        return self._taken - self._ended

    @property
    def is_closed(self) -> bool:
        """Whether nothing can hear outcomes any more: the loop is closed, or another process's."""
        return self._loop.is_closed() or self._process != _processes

    def tell(self, message: Any, /) -> None:
        """Have the function called with an outcome, or put it into the queue."""
        self.call(message)

    def call(self, *args: Any, **named: Any) -> None:
        """Have the function called with these arguments, on its loop, after all before.

        Waits only while `MOST_WAITING` calls wait already, and the loop may still come to them.
        """
        notice_fork()
        if self._process != _processes:
            # Without the lock, which another thread of the parent may have held at the fork.
            self._log_lost(args, named)
            return
        with self._lock:
            self._taken += 1
            _busy[id(self)] = self
            self._waiting.append((args, named))
            if self._taken - self._ended > MOST_WAITING:
                while not (self._has_room or self._is_hopeless):
                    self._room.wait(_LOOK)
            if self._is_scheduled and not self.is_closed:
                return
            self._is_scheduled = True
        self._schedule()

    @property
    def _has_room(self) -> bool:
        return self._taken - self._ended <= MOST_WAITING

    @property
    def _is_hopeless(self) -> bool:
        """Whether to wait for room would be in vain: nothing runs the loop, or this thread does."""
        if self.is_closed or _running_loop() is self._loop:
            return True
        return not (self._loop.is_running() or threading.main_thread().is_alive())

    def _schedule(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._start)
        except RuntimeError:  # it is closed
            self._drop()

    def _drop(self, why: str = "is closed") -> None:
        """Log that what waits is not heard, and forget it."""
        with self._lock:
            lost = list(self._waiting)
            self._waiting.clear()
            if self._task is not None and self._ended != self._taken:  # it will never end
                lost.insert(0, self._heard)
            self._ended = self._taken
            self._is_scheduled = False
            self._forget_if_idle()
        for args, named in lost:
            self._log_lost(args, named, why)

    def _log_lost(
        self, args: tuple[Any, ...], named: dict[str, Any], why: str = "is the parent process's"
    ) -> None:
        log_safely(
            logging.WARNING,
            "the event loop of %s %s; outcome not delivered: %s",
            self,
            why,
            named.get("outcome", args[0] if args else None),
        )

    def _start(self) -> None:
        """Take what waits. On the loop."""
        if self._was_cancelled:
            # The loop is probably ending: a task that began now would be destroyed.
            self._was_cancelled = False
            self._loop.call_later(_LOOK, self._start)
            return
        self._is_scheduled = False
        if self._task is None:  # else it goes on by itself
            self._go_on()

    def _go_on(self) -> None:
        for _ in range(_MOST_PER_TURN):
            if not self._waiting:
                return
            args, named = self._waiting.popleft()
            try:
                result = self._call(*args, **named)
                if inspect.isawaitable(result):
                    # A coroutine as it is: a task that is cancelled before it begins closes it.
                    if not inspect.iscoroutine(result):
                        result = _finish(result)
                    self._heard = args, named
                    self._task = self._loop.create_task(result)
                    self._task.add_done_callback(self._task_ended)
                    return
            except Exception as exc:
                self._log_raised(exc)
            except BaseException:
                self._count()
                self._again()
                raise  # it may end the loop, as whatever raises on it
            self._count()
        self._again()

    def _again(self) -> None:
        self._is_scheduled = True
        self._loop.call_soon(self._start)

    def _count(self) -> None:
        with self._lock:
            self._ended += 1
            self._forget_if_idle()

    def _forget_if_idle(self) -> None:
        if self._ended == self._taken:
            _busy.pop(id(self), None)
        self._room.notify_all()

    def _task_ended(self, task: "asyncio.Task[object]") -> None:
        self._task, self._heard = None, ((), {})
        self._count()
        if task.cancelled():
            log_safely(logging.WARNING, "%s was cancelled while it heard an outcome", self)
            if task.cancelling():
                # By `asyncio.run`, which ends the loop.
                self._was_cancelled = True
                self._drop("is ending")
                return
        elif (exc := task.exception()) is not None:
            self._log_raised(exc)
        self._go_on()

    def _log_raised(self, exc: BaseException) -> None:
        log_safely(logging.ERROR, "%s raised; it hears the next outcome", self, exc=exc)


def on_loop(target: Target, loop: asyncio.AbstractEventLoop | None = None) -> OnLoop:
    """Return what takes outcomes for an asyncio program, for `forward_to` and ``outcome_to``.

    ::

        SendMail(..., outcome_to=on_loop(heard))
        forward_to(on_loop(queue))

    Outcomes are taken in order, one at a time, on the loop's own thread. An ``async def`` is
    awaited to its end, and a full queue is waited for, before the next.

    Args:
        target: an `asyncio.Queue`, or a function that is called with the outcome; it may be an
            ``async def``.
        loop: the loop on which to do so; by default the one that runs in this thread.

    Raises:
        TypeError: `target` is neither, or there is no loop.
    """
    if not (_is_queue(target) or callable(target)):
        raise TypeError(f"needs an asyncio.Queue or a callable, not {type(target).__name__}")
    chosen = loop or _running_loop()
    if chosen is None:
        raise TypeError("no event loop runs in this thread: name one, on_loop(target, loop)")
    if not _is_queue(target):
        return OnLoop(target, chosen)
    # One for each queue: of several, one could overtake another that waits for room.
    key = id(target), id(chosen)
    made = _queues.get(key)
    if made is None or made.is_closed:
        made = _queues[key] = OnLoop(target, chosen)
    return made


def outcome_to_of(given: object) -> OnLoop:
    """Return what takes the outcome of an email, where `outcome_to` has no `tell`.

    Raises:
        TypeError: it is no queue either, or no loop runs in this thread.
    """
    if _is_queue(given):
        try:
            return on_loop(given)
        except TypeError as error:
            raise TypeError(f"outcome_to: {error}") from None
    hint = "; for a function, write on_loop(function)" if callable(given) else ""
    raise TypeError(f"outcome_to: needs an actor ref, or anything else with tell(){hint}")


def are_all_idle() -> bool:
    """Whether all outcomes that were given to event loops are heard. From any thread."""
    return not any(one.waiting for one in tuple(_busy.values()))


def is_hearing(task: "asyncio.Task[Any] | None") -> bool:
    """Whether a task is one in which an outcome is heard. On its loop."""
    return task is not None and any(one._task is task for one in tuple(_busy.values()))


def progress() -> dict[OnLoop, int]:
    """Return how many outcomes each has taken that has not heard all: for `have_passed`."""
    return {one: one._taken for one in tuple(_busy.values()) if one.waiting}


def have_passed(marks: dict[OnLoop, int]) -> bool:
    """Whether all outcomes are heard that were taken at the time of `progress`."""
    return all(one._ended >= taken or not one.waiting for one, taken in marks.items())


async def _finish(result: Awaitable[object]) -> object:
    return await result


def _is_queue(target: object) -> "TypeGuard[asyncio.Queue[Any]]":
    return isinstance(target, asyncio.Queue)


def _function_of(target: Target) -> Callable[..., object]:
    if not _is_queue(target):
        return cast("Callable[..., object]", target)
    queue = target

    def put(outcome: Any) -> object:
        try:
            queue.put_nowait(outcome)
        except asyncio.QueueFull:
            return queue.put(outcome)
        return None

    return put


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


# Those that have not heard all. By identity, and strongly: the loop that is to call them may forget
# them when it is closed.
_busy: dict[int, OnLoop] = {}
_queues: "weakref.WeakValueDictionary[tuple[int, int], OnLoop]" = weakref.WeakValueDictionary()
_processes = 0  # how many forks led to this process: a loop of the parent's does not run in it


def _renew() -> None:
    global _busy, _processes, _queues  # noqa: PLW0603 - there is one process
    _processes += 1
    _busy, _queues = {}, weakref.WeakValueDictionary()


def _tell_what_is_lost() -> None:
    """Log at the end of the program what no loop has come to."""
    for one in tuple(_busy.values()):
        if waiting := one.waiting:
            text = "%d outcomes wait for %s, and its event loop does not run"
            log_safely(logging.WARNING, text, waiting, one)


in_child(_renew)
atexit.register(_tell_what_is_lost)

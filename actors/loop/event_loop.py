"""The event-loop thread that all `AsyncioActor`s share.

The thread exists while there is work: it starts with the first actor, and ends a moment after the
last one has stopped and its signals are out. It is no daemon, so a program that ends right after
`tell` still delivers: the interpreter waits for the thread, and the thread for the actors.

Its threads, all started here: the loop, the signals' dispatcher, and a few daemon workers for
what can only be done by blocking (`workers.py`). They start with the loop, because Python 3.12
refuses new threads once the main thread has ended.
"""

import asyncio
import atexit
import contextlib
import os
import threading
from collections import deque

from pykka import ActorRegistry

from ...signals.dispatcher import dispatcher
from ...signals.forks import in_child, notice_fork
from . import guard
from .end_of_turn import EndOfTurn
from .new_loop import are_threads_greenlets, end_tasks, new_event_loop
from .residents import Runnable, ShutdownListener, Ticking, Writer
from .threads import bury_threads, is_being_born, main_has_ended, main_was_interrupted, others_run
from .workers import Workers

TICK = 0.1
"""Seconds between two looks at the clock, and at whether the thread is still needed."""
_LAST_TICK = 0.01
"""The same, once the main thread has ended and nothing but receivers is left to wait for."""
_INTERRUPT_GRACE = 1.0
"""Seconds that the outcomes have to get out when the program was interrupted."""


class EventLoopThread:
    """One thread that runs one event loop, for as long as it has actors.

    All methods may be called from any thread, unless they say otherwise.
    """

    def __init__(self) -> None:
        # Reentrant: a finalizer, or a signal's handler, may tell an actor where it is held.
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread_id: int | None = None
        self._alive: set[Runnable] = set()
        self._ready: deque[Runnable] = deque()
        self._wake_pending = False
        self._watched: set[Ticking] = set()
        self._clock: asyncio.TimerHandle | None = None  # the next tick
        self._standing: set[ShutdownListener] = set()
        self._writers = EndOfTurn(self)
        self._was_idle = False
        self._is_over = False
        self._is_starting = False
        self.lost: list[threading.Thread] = []  # in a child: those that its parent has
        self.resolver_pool: Workers = Workers("names", 3)
        self.file_pool: Workers = Workers("files", 2)
        # A mail under way must not wait for pieces of it until others have been looked at.
        self.file_open_pool: Workers = Workers("new-files", 2)
        # A program's own functions: they may wait for anything, even for a mail that waits here.
        self.token_pool: Workers = Workers("tokens", 3)
        self._workers = (self.resolver_pool, self.file_pool, self.file_open_pool, self.token_pool)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop. For actors: they are what keeps it running."""
        if self._loop is None:
            raise RuntimeError("the event loop runs only while an AsyncioActor lives")
        return self._loop

    def is_current(self) -> bool:
        """Whether the calling thread is the loop's."""
        return threading.get_ident() == self._thread_id

    def register_and_schedule(self, actor: Runnable) -> None:
        """Count an actor as alive, and give it its first turn.

        Raises:
            RuntimeError: there is no thread to be had, or the program was interrupted.
        """
        if self._is_starting and is_being_born():
            self._alive.add(actor)
            self._ready.append(actor)
            return
        with self._lock:
            if self._is_over:
                # Or a receiver that sends again what was cancelled would keep it from ending.
                raise RuntimeError("the program is ending: no actor can be started any more")
            self._alive.add(actor)
            try:
                self._schedule(actor)
            except BaseException:
                self._alive.discard(actor)
                raise

    def register(self, actor: Runnable) -> None:
        """Count an actor as alive that needs no first turn. On the loop thread."""
        with self._lock:
            self._alive.add(actor)

    def schedule(self, actor: Runnable) -> None:
        """Give an actor a turn on the loop, soon. One wake-up serves all that are ready."""
        if self._is_starting and is_being_born():
            self._ready.append(actor)
            return
        with self._lock:
            self._schedule(actor)

    def unregister(self, actor: Runnable) -> None:
        """Count an actor as gone. Called on the loop thread."""
        with self._lock:
            self._alive.discard(actor)
            loop = None if self._alive else self._loop
        if loop is not None and main_has_ended():
            loop.call_soon(guard.call, self, self._stop_if_idle, loop)

    def _schedule(self, actor: Runnable) -> None:
        """Give an actor a turn. The lock is held, so that the loop cannot end in between."""
        if self._is_starting:
            # A signal's handler, or a finalizer, amid the start. Whoever starts the loop gives all
            # their turns.
            self._ready.append(actor)
            return
        loop = self._loop
        if loop is None:
            loop = self._start()
        self._ready.append(actor)
        if not self._wake_pending:
            self._wake_pending = True
            if self.is_current():
                loop.call_soon(guard.call, self, self._run_ready, loop)
            else:
                loop.call_soon_threadsafe(guard.call, self, self._run_ready, loop)

    def add_ticking(self, watched: Ticking) -> None:
        """Keep the loop running for something, and tell it the time. On the loop thread."""
        self._watched.add(watched)

    def remove_ticking(self, watched: Ticking) -> None:
        """Take back a `watch`."""
        self._watched.discard(watched)

    @property
    def is_selector_loop(self) -> bool:
        """Whether the loop is the standard library's for Unix, which does each thing at once."""
        return isinstance(self._loop, asyncio.SelectorEventLoop)

    def write_soon(self, writer: Writer) -> None:
        """Have something written at the end of this turn of the loop. On the loop thread."""
        self._writers.add(writer, self.loop)

    def add_shutdown_listener(self, standing: ShutdownListener) -> None:
        """Tell something when the program ends: it would live for ever. On the loop thread."""
        self._standing.add(standing)

    def remove_shutdown_listener(self, standing: ShutdownListener) -> None:
        """Take back a `stand`."""
        self._standing.discard(standing)

    def cancel_all(self, timeout: float) -> None:
        """Cancel each actor, and wait until their outcomes are out. Not on the loop thread.

        No actor can be started from then on.

        Args:
            timeout: how long to wait, in seconds.
        """
        if self._cancel_alive():
            done = threading.Event()
            try:
                self.loop.call_soon_threadsafe(done.set)
            except RuntimeError:
                return
            done.wait(timeout)
            dispatcher.wait_idle(timeout)

    def wait_for_end(self) -> None:
        """Wait until nobody needs the loop any more. Not on the loop thread."""
        never = threading.Event()
        while self._loop is not None:
            never.wait(_LAST_TICK)

    def _cancel_alive(self) -> bool:
        """Cancel each actor, and let none be started; return whether there was one."""
        with self._lock:
            self._is_over = True
            alive = list(self._alive)
        for actor in alive:
            actor.cancel()
        return bool(alive)

    def _start(self) -> asyncio.AbstractEventLoop:
        """Start the threads; the lock is held. Must be followed by a wake-up."""
        # A signal's handler may have done so right before: Python runs it where a function begins.
        # From here to the flag nothing is called, so none runs in between.
        if self._loop is not None:
            return self._loop
        self._is_starting = True
        try:
            return self._start_threads(new_event_loop())
        finally:
            self._is_starting = False

    def _start_threads(self, loop: asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
        self._was_idle = False
        # What was scheduled on the loop before may have come too late for it.
        self._wake_pending = False
        self._writers.clear()
        self._clock = None
        thread = threading.Thread(
            target=guard.call, args=(self, self._run, loop), name="pykka-smtp-loop"
        )
        dispatcher.hold()
        try:
            for workers in self._workers:
                workers.start(loop)
            self._loop = loop
            thread.start()
        except BaseException:
            self._loop = None
            self._wake_pending = False
            self._close_workers()
            dispatcher.release()
            loop.close()
            raise
        return loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        self._thread_id = threading.get_ident()
        asyncio.set_event_loop(loop)
        self._tick_again(loop, TICK)
        try:
            # Both loops end on a callback that raises SystemExit or KeyboardInterrupt. This one
            # is not that callback's to end.
            while self._loop is loop:
                with contextlib.suppress(SystemExit, KeyboardInterrupt):
                    loop.run_forever()
            end_tasks(loop, _INTERRUPT_GRACE)
        finally:
            asyncio.set_event_loop(None)
            loop.close()
            dispatcher.release()

    def _run_ready(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not loop:  # ended; what is ready now is the next one's
            return
        # Reset first: what is scheduled from here on needs a wake-up of its own.
        self._wake_pending = False
        for _ in range(len(self._ready)):
            actor = self._ready.popleft()
            try:
                actor.run_turn()
            except BaseException as error:  # the others have their turn all the same
                guard.end(actor, error)

    def crashed(self, error: BaseException) -> None:  # noqa: ARG002 - as `guard.Guarded` has it
        """Go on after an error of the loop's own: the clock, turns and writes of all depend on it.

        See `guard.Guarded`.
        """
        loop = self._loop
        if loop is None:
            return
        if not loop.is_running():  # this thread is there for nothing else
            self._run(loop)
            return
        self._tick_again(loop, TICK)
        if self._ready:
            self._wake_pending = True
            loop.call_soon(guard.call, self, self._run_ready, loop)
        self._writers.resume(loop)

    def _tick_again(self, loop: asyncio.AbstractEventLoop, delay: float) -> None:
        """Have the clock go on, and only once."""
        if self._clock is not None:
            self._clock.cancel()
        self._clock = loop.call_later(delay, guard.call, self, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        # One clock for all: a timer for each connection would cost more than all its waiting.
        now = loop.time()
        for watched in list(self._watched):
            try:
                watched.on_tick(now)
            except BaseException as error:  # the others have their time limits, too
                guard.end(watched, error)
        for workers in self._workers:
            guard.call(workers, workers.on_tick, now)
        if self._ready:
            # Their wake-up is on its way, or lost: a Ctrl-C between two lines of ours can do that.
            self._run_ready(loop)
        if self._stop_if_idle(loop):
            hurry = not self._alive and main_has_ended()
            self._tick_again(loop, _LAST_TICK if hurry else TICK)

    def _stop_if_idle(self, loop: asyncio.AbstractEventLoop) -> bool:
        """End the loop if nobody needs it; return whether it goes on."""
        main_ended = main_has_ended()
        if main_ended and not self._is_over and main_was_interrupted():
            self._cancel_alive()
        if main_ended and self._standing and not others_run():
            for one in list(self._standing):
                one.main_has_ended()
                self._standing.discard(one)
        with self._lock:
            if self._loop is not loop:
                return False
            if self._alive or self._ready or self._watched or not dispatcher.is_idle:
                self._was_idle = False
                return True
            # A program that sends one mail after the other keeps the thread in between. So does
            # one whose main thread has ended before its others: no thread could start any more.
            if others_run() if main_ended else not self._was_idle:
                self._was_idle = True
                return True
            self._loop = None
            self._thread_id = None
            # Nobody else would end what this one leaves running.
            guard.each(self._close_workers, loop.stop)
        return False

    def _close_workers(self) -> None:
        guard.each(*[workers.close for workers in self._workers])

    def hold_for_fork(self) -> None:
        """Keep the state whole while the process forks."""
        self._lock.acquire()

    def release_after_fork(self) -> None:
        """Go on in the parent."""
        self._lock.release()

    def abandon(self) -> None:
        """Forget the parent's actors, in a forked child; the parent goes on with them."""
        for actor in self._alive:
            with contextlib.suppress(Exception):  # the others are to be abandoned all the same
                actor.abandon()
        import ctypes  # late: only a child that was forked amid sends pays for it

        # Never freed, not even at exit: a loop that is freed takes its sockets out of the kernel's
        # list of what to wait for, and that list is the parent's as well.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))


_thread = EventLoopThread()


def event_loop() -> EventLoopThread:
    """Return the process's event-loop thread. A forked child has one of its own."""
    return _thread


def _at_exit() -> None:
    """Get the outcomes out when Ctrl-C ended the wait for the loop thread."""
    notice_fork()
    try:
        if are_threads_greenlets():
            # The interpreter does not wait for eventlet's threads as it does for its own.
            _thread.wait_for_end()
    finally:
        _thread.cancel_all(_INTERRUPT_GRACE)


def _before_fork() -> None:
    # What another thread is changing while the process forks would be half changed in the child.
    ActorRegistry._actor_refs_lock.acquire()
    _thread.hold_for_fork()


def _after_fork_in_parent() -> None:
    _thread.release_after_fork()
    ActorRegistry._actor_refs_lock.release()


def _after_fork_in_child() -> None:
    global _thread  # noqa: PLW0603 - a child has a loop of its own
    parents = _thread
    _thread = EventLoopThread()
    # Where no hook was run before the fork, a thread that is gone may have it.
    ActorRegistry._actor_refs_lock = threading.RLock()
    # It keeps what must never be freed.
    parents.lost = bury_threads()
    parents.abandon()


atexit.register(_at_exit)
in_child(_after_fork_in_child)
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent)

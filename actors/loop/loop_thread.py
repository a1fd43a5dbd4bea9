"""The event-loop thread that all `AsyncioActor`s share.

The thread exists while there is work: it starts with the first actor, and ends shortly after the
last one has stopped and its signals are sent. It is not a daemon, so a program that ends right
after `tell` still delivers: the interpreter waits for the thread, and the thread for the actors.

The threads started here are the loop, the signals' dispatcher, and a few daemon workers for
blocking calls (`workers.py`). They start with the loop, because Python 3.12 refuses new threads
once the main thread has ended.
"""

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context

from ...signals.dispatcher import dispatcher
from . import guard
from .end_of_turn import EndOfTurn
from .new_loop import end_tasks, new_event_loop
from .residents import Runnable, ShutdownListener, Ticking, Writer
from .threads import is_being_born, main_has_ended, main_was_interrupted, others_run
from .workers import Workers

TICK = 0.1
"""Seconds between two checks of the time limits, and of whether the thread is still needed."""
_LAST_TICK = 0.01
"""The same, once the main thread has ended and only signal receivers are still running."""
_MOST_SIGNING = 8
"""Threads that sign: more would sign more than one loop can send."""
INTERRUPT_GRACE = 1.0
"""Seconds that outcomes have to be published after the program was interrupted: enough for signal
receivers that do not block, and short for a person who has pressed Ctrl-C."""


class EventLoopThread:
    """One thread that runs one event loop, for as long as it has actors.

    All methods may be called from any thread, unless they say otherwise.
    """

    def __init__(self) -> None:
        # Reentrant: a finalizer or signal handler may tell an actor while this thread holds it.
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread_id: int | None = None
        self._alive: set[Runnable] = set()
        self._ready: deque[Runnable] = deque()
        self._wake_pending = False
        self._watched: set[Ticking] = set()
        self._clock: asyncio.TimerHandle | None = None  # the next tick
        self._standing: dict[ShutdownListener, None] = {}  # in the order in which they came
        self._writers = EndOfTurn(self)
        self._was_idle = False
        self._is_over = False
        self._is_starting = False
        self._starts = 0
        self.lost: list[threading.Thread] = []  # in a child: the threads of its parent
        # Few threads each, as hanging ones are replaced: three for calls that wait for the network,
        # where slow servers are common, two for the disk, which is rarely slow.
        self.resolver_pool: Workers = Workers("names", 3)
        self.file_pool: Workers = Workers("files", 2)
        # Separate, so that reading an email in flight does not wait for files that open slowly.
        self.file_open_pool: Workers = Workers("new-files", 2)
        # Separate: a program's function may block on anything, even on an email that waits here.
        self.token_pool: Workers = Workers("tokens", 3)
        # As many as there are processors: signing computes, and without the interpreter's lock.
        most = min(os.cpu_count() or 1, _MOST_SIGNING)
        self.signing_pool: Workers = Workers("signatures", most, is_late=True)
        self._workers = (
            *(self.resolver_pool, self.file_pool, self.file_open_pool, self.token_pool),
            self.signing_pool,
        )

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop. For actors only, because it runs only while one is registered."""
        if self._loop is None:
            raise RuntimeError("the event loop runs only while an AsyncioActor lives")
        return self._loop

    def is_current(self) -> bool:
        """Whether the calling thread is the loop's."""
        return threading.get_ident() == self._thread_id

    def register_and_schedule(self, actor: Runnable) -> None:
        """Register an actor as alive, and schedule its first turn.

        Raises:
            RuntimeError: no thread can be started, or the program was interrupted.
        """
        if self._is_starting and is_being_born():
            self._alive.add(actor)
            self._ready.append(actor)
            return
        with self._lock:
            if self._is_over:
                # Otherwise a receiver that sends cancelled emails again would prevent the exit.
                raise RuntimeError("the program is ending: no actor can be started any more")
            self._alive.add(actor)
            try:
                self._schedule(actor)
            except BaseException:
                self._alive.discard(actor)
                raise

    def register(self, actor: Runnable) -> None:
        """Register an actor as alive that needs no first turn. On the loop thread."""
        # Without the lock: this thread is what would end, and a set's own methods are atomic.
        self._alive.add(actor)

    def schedule(self, actor: Runnable) -> None:
        """Schedule a turn of an actor. One wake-up of the loop serves all that are ready."""
        if self._is_starting and is_being_born():
            self._ready.append(actor)
            return
        with self._lock:
            self._schedule(actor)

    def unregister(self, actor: Runnable) -> None:
        """Unregister an actor that has stopped. On the loop thread."""
        self._alive.discard(actor)  # without the lock, as above
        loop = None if self._alive else self._loop
        if loop is not None and main_has_ended():
            loop.call_soon(guard.call, self, self._stop_if_idle, loop)

    def _schedule(self, actor: Runnable) -> None:
        """Schedule a turn. The caller holds the lock, so that the loop cannot end in between."""
        if self._is_starting:
            # Called by a signal handler or finalizer during the start, which schedules all turns
            # when it is complete.
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
                # In a context of its own: a connection keeps that in which it was opened, and the
                # caller's may have a web framework's request in it.
                loop.call_soon_threadsafe(
                    guard.call, self, self._run_ready, loop, context=Context()
                )

    def look(self, function: Callable[[], object]) -> bool:
        """Call a function on the loop thread, soon; return False if there is no loop.

        It is not called if the loop ends at this moment.
        """
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(guard.call, self, function)
            return self._loop is not None

    @property
    def starts(self) -> int:
        """How often a loop was started."""
        return self._starts

    @property
    def is_busy(self) -> bool:
        """Whether an actor has anything left to do. On the loop thread, or if there is no loop."""
        with self._lock:
            return any(actor.is_busy for actor in self._alive)

    def add_ticking(self, watched: Ticking) -> None:
        """Call `on_tick` every `TICK` seconds, and keep the loop running. On the loop thread."""
        self._watched.add(watched)

    def remove_ticking(self, watched: Ticking) -> None:
        """Undo `add_ticking`."""
        self._watched.discard(watched)

    @property
    def is_selector_loop(self) -> bool:
        """Whether the loop is asyncio's own for Unix, which writes at once, without a queue."""
        return isinstance(self._loop, asyncio.SelectorEventLoop)

    def write_soon(self, writer: Writer) -> None:
        """Call `writer.write_now` at the end of this turn of the loop. On the loop thread."""
        self._writers.add(writer, self.loop)

    def add_shutdown_listener(self, standing: ShutdownListener) -> None:
        """Call `main_has_ended` when the main thread ends. On the loop thread.

        For what would otherwise keep the process from exiting.
        """
        self._standing[standing] = None

    def remove_shutdown_listener(self, standing: ShutdownListener) -> None:
        """Undo `add_shutdown_listener`."""
        self._standing.pop(standing, None)

    def cancel_all(self, timeout: float) -> None:
        """Cancel all actors, and wait until their outcomes are published. Not on the loop thread.

        No actor can be started afterwards.

        Args:
            timeout: how long to wait for each of the two steps, in seconds.
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
        """Wait until the loop has ended. Not on the loop thread."""
        never = threading.Event()
        while self._loop is not None:
            never.wait(_LAST_TICK)

    def _cancel_alive(self) -> bool:
        """Cancel all actors, and prevent new ones; return whether there was any."""
        with self._lock:
            self._is_over = True
            alive = list(self._alive)
        for actor in alive:
            actor.cancel()
        return bool(alive)

    def _start(self) -> asyncio.AbstractEventLoop:
        """Start the threads. The caller holds the lock, and wakes the loop up afterwards."""
        # A signal handler may have started them just before: Python runs handlers where a function
        # begins. From here to the flag no function is called, so none runs in between.
        if self._loop is not None:
            return self._loop
        self._is_starting = True
        try:
            return Context().run(self._start_threads, new_event_loop)  # see `_schedule`
        finally:
            self._is_starting = False

    def _start_threads(
        self, new_loop: Callable[[], asyncio.AbstractEventLoop]
    ) -> asyncio.AbstractEventLoop:
        loop = new_loop()
        self._starts += 1
        self._was_idle = False
        # A wake-up of the previous loop may have come too late for it.
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
            # Both asyncio and uvloop end when a callback raises SystemExit or KeyboardInterrupt.
            # This loop is shared, so it runs on.
            while self._loop is loop:
                with contextlib.suppress(SystemExit, KeyboardInterrupt):
                    loop.run_forever()
            end_tasks(loop, INTERRUPT_GRACE)
        finally:
            asyncio.set_event_loop(None)
            loop.close()
            dispatcher.release()

    def _run_ready(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not loop:  # it has ended, and the next loop runs what is ready
            return
        # Reset first: an actor scheduled from here on needs another wake-up.
        self._wake_pending = False
        for _ in range(len(self._ready)):
            actor = self._ready.popleft()
            try:
                actor.run_turn()
            except BaseException as error:  # the other actors must still get their turns
                guard.end(actor, error)

    def crashed(self, error: BaseException) -> None:  # noqa: ARG002 - as `guard.Guarded` has it
        """Continue after an internal error: the ticks, turns and writes of all actors depend on it.

        See `guard.Guarded`.
        """
        loop = self._loop
        if loop is None:
            return
        if not loop.is_running():  # on its own thread, whose only purpose is to run it
            self._run(loop)
            return
        self._tick_again(loop, TICK)
        if self._ready:
            self._wake_pending = True
            loop.call_soon(guard.call, self, self._run_ready, loop)
        self._writers.resume(loop)

    def _tick_again(self, loop: asyncio.AbstractEventLoop, delay: float) -> None:
        """Schedule the next tick, instead of the one already scheduled."""
        if self._clock is not None:
            self._clock.cancel()
        self._clock = loop.call_later(delay, guard.call, self, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        # One timer for all: one for each connection would be set again for every reply.
        now = loop.time()
        for watched in list(self._watched):
            try:
                watched.on_tick(now)
            except BaseException as error:  # the others have time limits, too
                guard.end(watched, error)
        for workers in self._workers:
            guard.call(workers, workers.on_tick, now)
        if self._ready:
            # Their wake-up is pending, or lost: Ctrl-C between two of our lines can lose it.
            self._run_ready(loop)
        if self._stop_if_idle(loop):
            hurry = not self._alive and main_has_ended()
            self._tick_again(loop, _LAST_TICK if hurry else TICK)

    def _stop_if_idle(self, loop: asyncio.AbstractEventLoop) -> bool:
        """End the loop if it is not needed any more; return whether it continues."""
        main_ended = main_has_ended()
        if main_ended and not self._is_over and main_was_interrupted():
            self._cancel_alive()
        if main_ended and self._standing and not others_run():
            # The youngest first: a log handler has last words for a Mailer that was there before.
            for one in list(reversed(self._standing)):
                one.main_has_ended()
                self._standing.pop(one, None)
        with self._lock:
            if self._loop is not loop:
                return False
            if self._alive or self._ready or self._watched or not dispatcher.is_idle:
                self._was_idle = False
                return True
            # The thread survives short pauses between two emails. It also survives while other
            # threads of the program run after the main thread: it could not be started again.
            if others_run() if main_ended else not self._was_idle:
                self._was_idle = True
                return True
            self._loop = None
            self._thread_id = None
            # Both, even if one raises: nothing else would end the workers or the loop.
            guard.each(self._close_workers, loop.stop)
        return False

    def _close_workers(self) -> None:
        guard.each(*[workers.close for workers in self._workers])

    def hold_for_fork(self) -> None:
        """Lock the state while the process forks, so that the child's copy is consistent."""
        self._lock.acquire()

    def release_after_fork(self) -> None:
        """Undo `hold_for_fork` in the parent."""
        self._lock.release()

    def abandon(self) -> None:
        """Forget the parent's actors in a forked child."""
        for actor in self._alive:
            with contextlib.suppress(Exception):  # the others must be abandoned, too
                actor.abandon()
        import ctypes  # late: needed only in a child

        # Never freed, not even at exit: freeing the loop would remove its sockets from the epoll
        # or kqueue set, which the child shares with the parent.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))

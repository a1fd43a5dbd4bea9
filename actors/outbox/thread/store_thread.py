"""The one thread that works with the file of an outbox.

All that gathers while it writes becomes one transaction, one fsync. There is no timer: with little
to do an email waits for its own fsync only, with much for one that it shares with hundreds.
"""

import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from time import monotonic
from typing import Any

from ....signals.dispatcher import log_safely
from ...loop.threads import OURS
from ..store.errors import OutboxError, error_of, is_broken_disk
from ..store.records import NewMail
from ..store.store import Store
from .ops import DURABLE, OWED, Done, Kind, Op, Then, Watch, carried_out, of_others
from .waiting import Waiting

POLL = 0.25
"""Seconds between two looks whether another process has written: each takes 10 microseconds."""
_LOOK_FOR_DEAD = 1.0
"""Seconds between two looks for processes that have died."""
_FIRST_LOOK = 0.2
"""Seconds before the first: what waits may go first, however much the dead have left."""
_RESCUED = 2000
"""Emails of the dead that are taken over in one turn."""
_SWEEP = 60.0
"""Seconds between two looks for emails that are old enough to be removed."""
_SWEPT = 500
_TIDY = 0.05
"""Seconds between two looks whether the log is long."""
_PAUSE = 0.5
"""Seconds after which a write that has failed is tried again."""
PATIENCE = 30.0
"""Seconds that a put may wait while other processes do not let this one write."""
_MANY = 32
"""Operations in a turn after which there is a pause."""
_BREATH = 0.008
"""Seconds of that pause: for twice as many a turn takes little longer, and so costs half for each.
Half of a turn's price is that two threads pass Python's lock to and fro at each statement."""
_TRIES = 3
"""Tries of a step that fails, though the disk has not."""
_MOST_UNWANTED = 10_000
"""Emails that may be in the file although their put has failed: with more, none is put."""


class StoreThread:
    """Runs operations on a store, in order, together where that is possible.

    Args:
        store: the store.
        keep_sent: seconds that an email is kept after its success was heard.
        keep_failed: the same after a failure.
        clock: the time, in seconds of UTC.

    Attributes:
        has_room: whether the disk has room for more emails.
    """

    _watch: Watch

    def __init__(
        self,
        store: Store,
        *,
        keep_sent: float,
        keep_failed: float,
        clock: Callable[[], float],
    ) -> None:
        self.has_room: bool = True
        self._store = store
        self._keep = keep_sent, keep_failed
        self._clock = clock
        self._waiting = Waiting()
        self._owed: list[Op] = []
        self._was_busy = False
        self._unwanted: list[NewMail] = []
        self._is_uncertain = False
        self._lock = threading.Lock()
        self._alarm = threading.Semaphore(0)
        self._is_asleep = False
        self._is_closing = False
        self._before_close: Callable[[], bool] | None = None
        self._is_broken = False
        self._trouble: OutboxError | None = None
        self._trouble_lock = threading.Lock()
        self._not_before = 0.0
        self._next_poll = self._next_look = self._next_sweep = self._next_tidy = 0.0
        # A daemon, as the wait for another process has no limit. See `is_awaited`.
        self._thread = threading.Thread(target=self._run, name=f"{OURS}outbox", daemon=True)

    def start(self, watch: Watch) -> None:
        """Start the thread.

        Args:
            watch: what it calls.
        """
        self._watch = watch
        self._thread.start()

    def submit(self, kind: Kind, value: Any, then: Then) -> None:
        """Have something done. From any thread, never waits."""
        self._waiting.add(Op(kind, value, then))
        if self._is_asleep:
            self._wake()

    def _wake(self) -> None:
        with self._lock:
            was_asleep, self._is_asleep = self._is_asleep, False
        if was_asleep:
            self._alarm.release()

    @property
    def submitted(self) -> int:
        """How many operations were submitted; each has one result."""
        return self._waiting.count

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to do; what is done may not have been delivered yet."""
        return not (self._waiting or self._owed)

    @property
    def owes(self) -> bool:
        """Whether steps have failed, and are to be tried again. On its own thread."""
        return bool(self._owed)

    @property
    def trouble(self) -> OutboxError | None:
        """Why the file cannot be written at the moment, or None."""
        return self._trouble

    def expire(self, *, is_end: bool = False) -> bool:
        """Answer what has waited for others for too long; return whether any. On the loop thread.

        Args:
            is_end: whether nothing can wait any longer.
        """
        patience = 0.0 if is_end else _PAUSE if self._is_hindered else PATIENCE
        late = self._waiting.take_late(monotonic() - patience)
        error = OutboxError(
            f"other processes have not let this one write for {PATIENCE:.0f} s: is one stopped?",
            True,
        )
        if self._is_hindered:
            self._note(error)
        if late:
            self._watch.deliver([(op.then, error) for op in late])
        return bool(late)

    @property
    def _is_hindered(self) -> bool:
        """Whether others do not let this process write: one may have been stopped in its turn."""
        since = self._store.waits_since
        return since is not None and monotonic() - since >= PATIENCE

    @property
    def is_awaited(self) -> bool:
        """Whether the program must not end before it. What it leaves behind, others take over."""
        return self._thread.is_alive() and not self._is_hindered

    def close(self, is_ready: Callable[[], bool]) -> None:
        """End the thread once everything is done, and the life of the store with it.

        Args:
            is_ready: whether nothing will be submitted any more; asked every few milliseconds.
        """
        self._before_close = is_ready
        self._is_closing = True
        self._wake()

    def join(self, timeout: float) -> bool:
        """Wait until the thread has ended; return whether it has."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # On the thread

    def _run(self) -> None:
        until: float | None = None
        self._next_look = self._next_tidy = monotonic() + _FIRST_LOOK
        while True:
            try:
                self._work()
                if self._is_closing and self.is_idle:
                    now = monotonic()
                    until = until or now + PATIENCE
                    ready = self._before_close is None or self._before_close()
                    if (ready and self.is_idle) or now >= until:
                        break
                    self._sleep(0.005)
                elif self._is_closing and self._trouble is not None and self._is_hopeless():
                    break
            except BaseException as error:  # the emails of the program depend on this thread
                log_safely(logging.ERROR, "internal error in the outbox's thread", exc=error)
                self._sleep(_PAUSE)
        try:
            self._store.close(is_clean=not self._owed)
        except Exception as error:
            log_safely(logging.ERROR, "the outbox was not closed cleanly", exc=error)

    def _is_hopeless(self) -> bool:
        """Whether what is owed has failed often enough, now that the program ends.

        It is not lost: the next process takes it for what a dead one has left.
        """
        return all(op.tries >= _TRIES for op in self._owed) and not self._waiting

    def _work(self) -> None:
        now = monotonic()
        if self._owed and now >= self._not_before:
            self._waiting.add_again(self._owed)
            self._owed.clear()
        if self._waiting:
            self._turn()
        else:
            until = min(self._next_poll, self._not_before) if self._owed else self._next_poll
            pause = min(POLL, max(0.001, until - now))
            self._sleep(pause if not self._is_closing else min(pause, 0.005))
        self._look_around(monotonic())

    def _sleep(self, seconds: float) -> None:
        self._is_asleep = True  # then look: who appends after that look wakes this thread
        if self._waiting or not self._alarm.acquire(timeout=seconds):
            with self._lock:
                was_asleep, self._is_asleep = self._is_asleep, False
            if not was_asleep:
                self._alarm.acquire()  # released at this very moment

    def _turn(self) -> None:
        """Do what has gathered. It is taken only once this process may write."""
        if self._was_busy and not self._waiting.has_many_puts:
            time.sleep(_BREATH)
        if self._waiting.writes and not self._is_broken:
            self._store.wait_turn()
        ops = self._waiting.take()
        if not ops:
            self._store.end_turn()
            return
        self._was_busy = len(ops) >= _MANY
        self._do(ops)

    def _do(self, ops: list[Op]) -> None:
        try:
            self._mend()
            done = self._carry_out(ops)
        except Exception as error:
            self._failed(ops, error)
            return
        self._watch.deliver(done)
        self._store.wake(*of_others(ops))
        self._can_write()
        self._tidy()

    def _mend(self) -> None:
        if self._is_broken:
            self._store.reopen()
            self._is_broken = False

    def _can_write(self) -> None:
        if self._trouble is not None and not self._owed:
            self._note(None)

    def _tidy(self) -> None:
        now = monotonic()
        if now < self._next_tidy:
            return
        self._next_tidy = now + _TIDY
        try:
            self._store.tidy()
        except OutboxError as error:
            self._note(error)

    def _carry_out(self, ops: list[Op]) -> list[Done]:
        by_kind: dict[Kind, list[Op]] = {}
        for op in ops:
            by_kind.setdefault(op.kind, []).append(op)
        done: list[Done] = []
        looks = by_kind.pop(Kind.LOOK, [])
        if len(self._unwanted) >= _MOST_UNWANTED:
            with self._store.turn(is_durable=True):
                self._store.take_back(self._unwanted)
            self._unwanted.clear()
        if by_kind:
            is_durable = bool(self._unwanted) or not DURABLE.isdisjoint(by_kind)
            with self._store.turn(is_durable=is_durable):
                if self._unwanted:
                    self._store.take_back(self._unwanted)
                for kind in sorted(by_kind):
                    done += carried_out(self._store, kind, by_kind[kind], self._clock)
                self._is_uncertain = True  # if the commit fails, or a look
            self._unwanted.clear()
        if looks:
            with self._store.look():
                done += [(op.then, op.value(self._store)) for op in looks]
        self._is_uncertain = False
        return done

    def _failed(self, ops: list[Op], raised: Exception) -> None:
        """Answer what somebody waits for; keep what must be done."""
        error = raised if isinstance(raised, OutboxError) else error_of(raised, "the outbox")
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else raised
        if is_broken_disk(cause):
            # What of the turn is on disk is unknown, and to repeat an fsync would not tell.
            self._is_broken = True
        elif len(ops) > 1 and not error.retryable:
            for op in ops:  # so that the others do not suffer from one
                self._do([op])
            return
        is_trouble = isinstance(raised, OutboxError)
        if not is_trouble:
            log_safely(logging.ERROR, "internal error in the outbox's thread", exc=raised)
        if self._is_uncertain:
            self._is_uncertain = False
            puts = [op.value for op in ops if op.kind is Kind.PUT]
            self._unwanted += [dataclasses.replace(mail, env="", body=b"") for mail in puts]
        answers: list[Done] = []
        for op in ops:
            op.tries += 1
            if op.kind not in OWED:
                answers.append((op.then, error))
            elif error.retryable or op.tries < _TRIES:
                self._owed.append(op)
            else:
                log_safely(logging.ERROR, "the outbox gives up %s: %s", op.kind.name, error)
                answers.append((op.then, error))
        self._not_before = monotonic() + _PAUSE
        if answers:
            self._watch.deliver(answers)
        if is_trouble:
            self._note(error)

    def _note(self, error: OutboxError | None) -> None:
        """Note trouble, or its end. On either thread."""
        with self._trouble_lock:
            before, self._trouble = self._trouble, error
            if (before is None) is not (error is None):
                self._watch.call(self._watch.trouble, error)

    def _look_around(self, now: float) -> None:
        if self._trouble is not None and self.is_idle:
            self._try_again(now)
            return
        if self._is_closing:
            return
        try:
            if now >= self._next_poll:
                self._next_poll = now + POLL
                with self._store.look():
                    has_changed = self._store.has_changed()
                if has_changed:
                    self._watch.call(self._watch.changed, None)
            if now >= self._next_look:
                self._next_look = now + _LOOK_FOR_DEAD
                self.has_room = self._store.has_room()
                self._rescue()
            if now >= self._next_sweep:
                self._next_sweep = now + _SWEEP
                self._sweep()
        except Exception as raised:
            error = error_of(raised, "the outbox")
            self._is_broken = self._is_broken or is_broken_disk(raised)
            self._note(error)

    def _try_again(self, now: float) -> None:
        """Look, while nothing else is to be done, whether the file can be written again."""
        if now < self._not_before:
            return
        self._not_before = now + _PAUSE
        try:
            self._mend()
            with self._store.turn(is_durable=True):
                self._store.touch()
        except Exception as error:
            self._failed([], error)
        else:
            self._can_write()

    def _rescue(self) -> None:
        with self._store.look():
            dead = self._store.dead_lives()
        if dead:
            with self._store.turn(is_durable=True):
                rescue = self._store.rescue(self._store.dead_lives(), _RESCUED)
            self._store.remove_traces(rescue.lives)
            if not rescue.is_over:
                self._next_look = 0.0  # and what has gathered meanwhile is done before
            self._watch.call(self._watch.rescued, rescue)

    def _sweep(self) -> None:
        now = self._clock()
        sent, failed = self._keep
        with self._store.turn(is_durable=False):
            count = self._store.sweep(now - sent, now - failed, _SWEPT)
        if count == _SWEPT:
            self._next_sweep = 0.0

"""Worker processes: started, started again when they die, and stopped. On one thread.

Pauses between two starts of a worker grow from `FIRST_PAUSE` to `LONGEST_PAUSE`, and are short
again after it has worked for `GOOD_LIFE`.
"""

import contextlib
import json
import logging
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from ...sysexits import (
    EX_CANTCREAT,
    EX_CONFIG,
    EX_DATAERR,
    EX_NOINPUT,
    EX_NOPERM,
    EX_OK,
    EX_UNAVAILABLE,
    EX_USAGE,
)

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0
GOOD_LIFE = 60.0
_LONGER = 35.0
"""Seconds that a worker may take at its end, beyond the grace of emails."""
_HOPELESS = frozenset(
    (EX_USAGE, EX_DATAERR, EX_NOINPUT, EX_UNAVAILABLE, EX_CANTCREAT, EX_NOPERM, EX_CONFIG)
)
"""Statuses of a worker that would end the same way each time."""

Event = tuple["_Process", dict[str, Any] | None]


class _Process:
    """One process; its standard output is read on a thread of its own."""

    def __init__(self, told: dict[str, Any], events: "queue.SimpleQueue[Event]") -> None:
        self.is_up = False
        self.began = time.monotonic()
        self.figures: dict[str, int] = {}
        code = (
            f"import sys; sys.path[:] = {sys.path!r}\n"
            "from pykka_smtp.cli.outbox.run.worker import main\n"
            "sys.exit(main())"
        )
        self._process = subprocess.Popen(  # noqa: S603 - this program
            [sys.executable, "-P", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.pid: int = self._process.pid
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has died already, and its end tells
            self._process.stdin.write(json.dumps(told).encode() + b"\n")
            self._process.stdin.flush()
        threading.Thread(target=self._read, args=(events,), daemon=True).start()

    def _read(self, events: "queue.SimpleQueue[Event]") -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                with contextlib.suppress(ValueError):
                    events.put((self, json.loads(line)))
        self._process.wait()
        events.put((self, None))

    @property
    def status(self) -> int:
        """The exit status, once it has ended; negative for a signal."""
        return self._process.wait()

    def stop(self) -> None:
        """Have it finish what it has in hand, and end."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def kill(self) -> None:
        """End it at once: what it has in hand is safe in the file."""
        with contextlib.suppress(OSError):
            self._process.kill()


class _Place:
    """A worker: a process after the other."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: _Process | None = None
        self.pause = FIRST_PAUSE
        self.start_at = 0.0


class Workers:
    """Keeps workers running.

    Args:
        count: how many.
        told: what each is told, without its number.
        log: gets lines about them.
        is_ready: is called when all of them run for the first time.

    Attributes:
        totals: what they have done so far.
        hopeless: the status of a worker that cannot be started, or None.
    """

    def __init__(
        self,
        count: int,
        told: dict[str, Any],
        log: logging.Logger,
        is_ready: Callable[[], object],
    ) -> None:
        self.totals: dict[str, int] = {}
        self.hopeless: int | None = None
        self._told = told
        self._log = log
        self._is_ready: Callable[[], object] | None = is_ready
        self._places = [_Place(number) for number in range(1, count + 1)]
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._is_stopping = False

    @property
    def running(self) -> int:
        """How many processes there are."""
        return sum(place.process is not None for place in self._places)

    def look(self, timeout: float) -> None:
        """Start what is to be started, and take note of what has happened.

        Args:
            timeout: seconds to wait for something to happen.
        """
        self._start_due()
        with contextlib.suppress(queue.Empty):
            self._note(*self._events.get(timeout=timeout))
            while True:
                self._note(*self._events.get_nowait())

    def _start_due(self) -> None:
        now = time.monotonic()
        for place in self._places:
            if place.process is None and not self._is_stopping and now >= place.start_at:
                try:
                    told = self._told | {"number": place.number}
                    place.process = _Process(told, self._events)
                except OSError as error:  # no memory, or no process left
                    self._log.error("worker %d cannot be started: %s", place.number, error)
                    self._put_off(place, now)

    def _put_off(self, place: _Place, now: float) -> None:
        place.start_at = now + place.pause
        place.pause = min(2 * place.pause, LONGEST_PAUSE)

    def _note(self, process: _Process, said: dict[str, Any] | None) -> None:
        place = next((one for one in self._places if one.process is process), None)
        if place is None:
            return
        if said is None:
            place.process = None
            self._ended(place, process)
        elif said.get("up"):
            process.is_up = True
            self._log.info("worker %d is process %d", place.number, process.pid)
            if self._is_ready and all(p.process and p.process.is_up for p in self._places):
                self._is_ready()
                self._is_ready = None
        else:
            for name, figure in said.items():
                before = process.figures.get(name, 0)
                self.totals[name] = self.totals.get(name, 0) + figure - before
            process.figures = said

    def _ended(self, place: _Place, process: _Process) -> None:
        process.stop()  # closes the pipe to it
        status, now = process.status, time.monotonic()
        if self._is_stopping:
            if status != EX_OK:
                self._log.warning("worker %d ended with %s", place.number, _named(status))
            return
        if status in _HOPELESS and not process.is_up:
            self.hopeless = status
            return
        if now - process.began >= GOOD_LIFE:
            place.pause = FIRST_PAUSE
        text = (
            "worker %d (process %d) died of %s; it is started again in %.2g s, and nothing is lost"
        )
        self._log.error(text, place.number, process.pid, _named(status), place.pause)
        self._put_off(place, now)

    def stop(self, grace: float, is_urgent: Callable[[], bool]) -> bool:
        """Stop all; return whether they have ended by themselves.

        Args:
            grace: seconds that emails in flight may take.
            is_urgent: whether to end them at once.
        """
        self._is_stopping = True
        for place in self._places:
            if place.process is not None:
                place.process.stop()
        until = time.monotonic() + grace + _LONGER
        while self.running and time.monotonic() < until and not is_urgent():
            self.look(0.1)
        was_clean = not self.running
        for place in self._places:
            if place.process is not None:
                place.process.kill()
        end = time.monotonic() + _LONGER
        while self.running and time.monotonic() < end:
            self.look(0.1)
        return was_clean


def _named(status: int) -> str:
    if status < 0:
        try:
            return signal.Signals(-status).name
        except ValueError:
            return f"signal {-status}"
    return f"status {status}"

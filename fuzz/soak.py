"""The soak: Mailers of all kinds under load, for as long as one likes, with servers that fail."""

# Invariant: each mail that was told has exactly one outcome; what is called accepted is in the
# servers' journal, and what is called not sent is not; nothing comes twice that may not; and when
# all is over, no descriptor, thread or actor is left, and no more memory is used than at first.

import datetime as dt
import gc
import logging
import random
import statistics
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from pykka_smtp import (
    Outcome,
    set_connection_limit,
    smtp_send_failure,
    smtp_send_retry,
    smtp_send_success,
)
from pykka_smtp.actors.mailer.capacity.concurrency import ConcurrencyWindow
from pykka_smtp.actors.net.connection_limit import connection_limit
from pykka_smtp.signals.dispatcher import dispatcher

from .soak_marks import Marks
from .soak_parts import parts
from .soak_report import SoakReport
from .soak_servers import Servers, all_servers
from .soak_teller import Teller
from .surroundings import PATIENCE, REPORTS, resident, resources

_CONNECTIONS = 24
"""Of the whole process: fewer than the Mailers would like, so that they take them from others."""
_PAUSES = {"pause": 0.2, "longest_pause": 1.0}
"""Seconds after which a dead relay is tried again; with the usual 10 to 300 little would go on."""
_WARM_UP = 0.1
_RESTART = (3.0, 12.0)
"""Seconds between two servers that are killed."""
_FIRST_RESTART = 1.0
_LOOK = 0.25
_NEWS = 30.0
"""Seconds between two lines that say how it goes."""

_RAISES_EVERY = 101
_RAISED = (ValueError, SystemExit, KeyboardInterrupt, MemoryError)
_DOZES_EVERY = 997
_DOZES_FOR = 0.05

_GROWTH = 5e6
"""Bytes by which the memory may grow, of a run that is long enough to tell; the marks left out."""
_LONG = 30.0


class Soak:
    """One run.

    Args:
        seconds: how long mails are told.
        seed: of all that is random.
        news: called with a line that says how it goes, now and then.
    """

    def __init__(
        self, seconds: float, seed: int = 0, news: Callable[[str], object] | None = None
    ) -> None:
        self.marks = Marks()
        self.report = SoakReport()
        self.heard: Counter[str] = Counter()
        self.folder = Path()
        self.is_calm = True
        self._seconds = seconds
        self._seed = seed
        self._news = news
        self._over = threading.Event()
        self._memory: list[int] = []
        self._published = self._raised = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be told."""
        return self._over.is_set()

    def run(self) -> SoakReport:
        """Tell mails, let servers fail, and compare. Ctrl-C ends it early."""
        with (
            tempfile.TemporaryDirectory(prefix="soak-") as folder,
            all_servers(Path(folder), self._seed) as servers,
            _quick_and_scarce(),
            _Log("pykka_smtp") as log,
            _Log("asyncio") as loop,
            self._receivers(),
        ):
            self.folder = Path(folder)
            self._play(servers, _WARM_UP)
            _settle()
            before = resources()
            servers.go_wild()
            self.is_calm = False
            self._play(servers, self._seconds, is_wild=True)
            _settle()
            after = resources()
            self.report.compare(self.marks, servers.read())
        self._judge(before, after, log, loop)
        return self.report

    def _play(self, servers: Servers, seconds: float, *, is_wild: bool = False) -> None:
        """Have all of them tell mails for a while, and then have the servers take what is left."""
        self._over.clear()
        self.heard.clear()
        tellers = [Teller(self, part, self._seed) for part in parts(servers)]
        began = time.monotonic()
        for teller in tellers:
            teller.start()
        try:
            if is_wild:
                self._wait(servers, began, seconds)
                servers.calm_down()
            else:
                time.sleep(seconds)
            self.is_calm = True
        except KeyboardInterrupt:
            self.report.is_interrupted = True
        finally:
            self._over.set()
            self.report.seconds = time.monotonic() - began
            for teller in tellers:
                teller.join()
        self.report.insist(dispatcher.wait_idle(PATIENCE), "a receiver does not end")
        self.report.figures["Mailers"] = sum(teller.lives for teller in tellers)

    def _wait(self, servers: Servers, began: float, seconds: float) -> None:
        """Kill servers, look at the memory and tell the news, until time is up."""
        chance = random.Random(self._seed)
        killed_at = min(_FIRST_RESTART, seconds / 3)
        news_at = _NEWS
        while (passed := time.monotonic() - began) < seconds:
            if passed >= killed_at:
                servers.restart()
                killed_at = passed + chance.uniform(*_RESTART)
            if passed >= news_at:
                news_at += _NEWS
                self._tell_news(passed)
            self._memory.append(resident() - self.marks.size)
            time.sleep(_LOOK)

    def _tell_news(self, passed: float) -> None:
        if self._news is not None:
            self._news(
                f"{passed:4.0f} s: {self.marks.told} told, {self._published} outcomes,"
                f" {self.marks.retries} retries, {self._memory[-1] / 1e6:.0f} MB"
            )

    def _judge(
        self, before: tuple[int, int, int], after: tuple[int, int, int], log: "_Log", loop: "_Log"
    ) -> None:
        """Look at what is left behind, and at what was logged."""
        report = self.report
        report.insist(after == before, f"left behind: {before} before, {after} after")
        report.insist(
            log.raised == self._raised,
            f"receivers raised {self._raised} times, and {log.raised} lines of the log say so",
        )
        for line in log.others:
            report.insist(holds=False, what=f"logged: {line}")
        names, seconds = ("descriptors", "threads", "actors"), max(1e-3, report.seconds)
        accepted = self.marks.kinds["accepted"] + self.marks.kinds["accepted, in part"]
        report.figures |= {
            "emails/s": f"{self.marks.told / seconds:.0f} told, {accepted / seconds:.0f} accepted",
            "receivers": f"raised {self._raised} times",
            "files": f"{log.slow} times a thread took long",
            "asyncio's log": f"{len(loop.others)} lines",
            "left behind": ", ".join(
                f"{name} {new - old:+d}"
                for name, old, new in zip(names, before, after, strict=True)
            ),
            "memory": self._memory_grew(),
        }

    def _memory_grew(self) -> str:
        """Compare the memory of the second fifth of the run with that of the last."""
        fifth = len(self._memory) // 5
        if not fifth or not self._memory[0]:
            return "not measured"
        at_first = statistics.median(self._memory[fifth : 2 * fifth])
        at_last = statistics.median(self._memory[-fifth:])
        is_long = self.report.seconds >= _LONG
        grew = at_last - at_first
        self.report.insist(
            grew <= _GROWTH or not is_long, f"the memory grew by {grew / 1e6:.1f} MB"
        )
        return (
            f"{at_first / 1e6:.1f} MB in the second fifth, {at_last / 1e6:.1f} MB in the last:"
            f" {grew / 1e6:+.1f} MB (the run's own marks left out)"
        )

    # Receiving: all of this runs on the dispatcher's thread, but for `tell`, which has its own.

    def tell(self, message: Any, /) -> None:
        """Take an outcome, as an actor's ref does."""
        self.marks.hear_post(message)

    @contextmanager
    def _receivers(self) -> Iterator[None]:
        receivers = (self._raise, self._hear, self._doze)
        for receiver in receivers:
            smtp_send_success.connect(receiver, weak=False)
            smtp_send_failure.connect(receiver, weak=False)
        smtp_send_retry.connect(self._hear_retry, weak=False)
        try:
            yield
        finally:
            for receiver in receivers:
                smtp_send_success.disconnect(receiver)
                smtp_send_failure.disconnect(receiver)
            smtp_send_retry.disconnect(self._hear_retry)

    def _hear(self, alias: str, outcome: Outcome, **_extra: object) -> None:
        self.marks.hear(outcome)
        self.heard[alias] += 1
        outcome.context.forget_file(int(outcome.mail.id))

    def _hear_retry(
        self, _alias: str, outcome: Outcome, attempt: int, next_time: dt.datetime
    ) -> None:
        self.marks.hear_retry(outcome, attempt)
        wait = (next_time - dt.datetime.now(dt.UTC)).total_seconds()
        self.report.insist(wait < 1, f"mail {outcome.mail.id}: {wait:.1f} s to the next attempt")

    def _raise(self, _alias: str, outcome: Outcome, **_extra: object) -> None:
        self._published += 1
        if self._published % _RAISES_EVERY == 0:
            self._raised += 1
            raise _RAISED[self._raised % len(_RAISED)](outcome.mail.id)

    def _doze(self, _alias: str, **_extra: object) -> None:
        if self._published % _DOZES_EVERY == 0:
            time.sleep(_DOZES_FOR)


class _Log(logging.Handler):
    """Takes a logger's lines that say that something is wrong, instead of showing them.

    Args:
        name: the logger's.

    Attributes:
        raised: how many say that a receiver raised.
        slow: how many say that a thread that reads files got no further for a while, which on a
            busy machine is true.
        others: some of those that say something else.
    """

    def __init__(self, name: str) -> None:
        super().__init__(logging.WARNING)
        self.raised = self.slow = 0
        self.others: deque[str] = deque(maxlen=5)
        self._logger = logging.getLogger(name)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line, unless it tells what servers do, or that a queue is full."""
        if record.name in REPORTS:
            return
        line = record.getMessage()
        if "the other receivers run" in line:
            self.raised += 1
        elif "take long, or hang" in line:
            self.slow += 1
        elif "outcomes wait for receivers" not in line:  # that is what receivers that doze do
            error = record.exc_info[1] if record.exc_info else None
            self.others.append(f"{line} {error!r}" if error else line)

    def __enter__(self) -> Self:
        self._propagates, self._logger.propagate = self._logger.propagate, False
        self._logger.addHandler(self)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = self._propagates


@contextmanager
def _quick_and_scarce() -> Iterator[None]:
    """Have dead relays come back soon, and connections be few."""
    limit, pauses = connection_limit.limit, ConcurrencyWindow.__init__.__kwdefaults__
    assert pauses is not None
    usual = dict(pauses)
    set_connection_limit(_CONNECTIONS)
    pauses.update(_PAUSES)
    try:
        yield
    finally:
        pauses.update(usual)
        set_connection_limit(limit)


def _settle() -> None:
    """Wait until our threads have gone, and what is garbage is."""
    for thread in threading.enumerate():
        if thread.name.startswith("pykka-smtp"):
            thread.join(PATIENCE)
    gc.collect()

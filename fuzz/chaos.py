"""The chaos test: thousands of sends, faults at random stages, hostile receivers, random stops."""

# Invariant: each mail has exactly one outcome, with one result for each recipient, in time; what
# is called accepted was accepted by the server's own ledger, and what is called not sent was not;
# and when all is over, no descriptor, thread or actor is left.

import gc
import random
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pykka_smtp import Outcome, SendMail, SmtpActor, smtp_send_failure, smtp_send_success
from pykka_smtp.actors.net.wire.connection import Connection
from pykka_smtp.signals.dispatcher import dispatcher

from .chaos_report import ChaosReport, Given, Heard, address, size_of_notes
from .surroundings import HOST, PATIENCE, log_lines, resident, resources, serving

TIMEOUT = 0.5
"""Seconds that the server has for a step: few, for it falls silent hundreds of times."""
DEADLINE = 4.0
"""Seconds for a whole send; its outcome may come a second later."""

STOP = 1.0
"""Seconds that an actor has to stop."""

_SENT = 8192
"""Octets that the system takes of a session under TLS ahead of its server: as on a slow line."""

_WARM_UP = 8
"""Sends that are not counted: what a process opens once and keeps is open after them."""
_RAISES_EVERY = 7
_SLEEPS_EVERY = 150
_SLEEPS_FOR = 25
"""Sends that end while a receiver sleeps, before it is woken."""
_SENDS_EVERY = 90
_RAISED = (ValueError, SystemExit, KeyboardInterrupt, MemoryError)

_BUSY = "threads for %s take long, or hang; there are %d now%s"
"""What the log says where a machine is so busy that reading a file takes seconds."""

_SMALL = b"Subject: small\r\n\r\n.\r\n..\r\nand the end\r\n"
_MIDDLE = b"Subject: in between\r\n\r\n" + (b"." + b"y" * 70 + b"\r\n") * 400
_LARGE = b"Subject: large\r\n\r\n" + (b"." + b"x" * 70 + b"\r\n") * 4000


class Chaos:
    """One run.

    Args:
        sends: how many mails.
        window: how many at a time.
        seed: of all that is random, here and in the server.
    """

    def __init__(self, sends: int, window: int = 32, seed: int = 0) -> None:
        self._end = _WARM_UP + sends
        self._window = window
        self._seed = seed
        self._report = ChaosReport(sends)
        self._port = 0
        self._lock = threading.Lock()  # for what follows
        self._next = 0  # the number of the next mail
        self._given: dict[int, Given] = {}
        self._ended = 0
        self._stops = 0
        self._slowest_stop = 0.0
        self._memory: list[int] = []
        self._wake_at = 0  # of `_ended`, while a receiver sleeps
        self._wake = threading.Event()
        # What follows is the dispatcher thread's.
        self._heard: dict[int, Heard] = {}
        self._told: Counter[int] = Counter()
        self._slowest = 0.0
        self._late: list[str] = []
        self._published = 0
        self._raised = 0
        self._slept = 0
        self._sent = 0

    def run(self) -> ChaosReport:
        """Send everything, and compare with the server's ledger."""
        report = self._report
        with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
            path = Path(folder, "mail")
            path.write_bytes(_LARGE)
            with _narrow_tls(), serving(self._seed) as server:
                self._port = server.port
                self._send_all(_WARM_UP, path)
                _settle()
                before = resources()
                began = time.monotonic()
                with (
                    self._receivers(),
                    log_lines("pykka_smtp") as log,
                    log_lines("asyncio") as loop,
                ):
                    self._send_all(self._end, path)
                    report.insist(dispatcher.wait_idle(PATIENCE), "a receiver does not end")
                    report.seconds = time.monotonic() - began
                    lines = f"{log.count} lines in the log, not {self._raised}: {log.kinds}"
                    busy, _ = log.kinds.get(_BUSY, (0, ""))
                    report.insist(log.count - busy == self._raised, lines)
                _settle()
                after = resources()
        report.compare(self._given, self._heard, server.book)
        report.insist(not self._late, f"outcomes that came too late: {self._late[:5]}")
        wanted = Counter(number for number, given in self._given.items() if given.is_told)
        report.insist(self._told == wanted, "outcome_to was not told each outcome once")
        report.insist(after == before, f"left behind: {before} before, {after} after")
        report.figures |= {
            "hangs": f"{len(self._late)}; the slowest outcome took {self._slowest:.2f} s"
            f" of {DEADLINE + 1:g}",
            "stops": f"{self._stops}; the slowest took {self._slowest_stop:.2f} s",
            "receivers": f"raised {self._raised} times, slept {self._slept} times,"
            f" sent {self._sent} mails themselves",
            "asyncio's log": f"{loop.count} lines",
            "left behind": f"descriptors, threads, actors: {before} before, {after} after",
        }
        if len(self._memory) == 2:
            growth = (self._memory[1] - self._memory[0]) / 1e6
            report.figures["memory"] = (
                f"{growth:+.1f} MB from a fifth of the sends to the last, its own notes left out"
            )
        return report

    # Sending: each of the workers has one send at a time.

    def _send_all(self, end: int, path: Path) -> None:
        workers = [
            threading.Thread(target=self._work, args=(number, end, path), name=f"chaos-{number}")
            for number in range(self._window)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        # Nothing will end any more that could wake a receiver that sleeps.
        with self._lock:
            self._wake_at = 0
            self._wake.set()

    def _work(self, worker: int, end: int, path: Path) -> None:
        chance = random.Random(f"{self._seed} {worker} {end}")
        while True:
            with self._lock:
                number = self._next
                if number >= end:
                    return
                self._next += 1
                if number in {_WARM_UP + self._report.sends // 5, self._end - 1}:
                    self._memory.append(resident() - size_of_notes(self._given, self._heard))
            try:
                self._send(number, chance, path)
            except Exception as error:  # or the thread would end, and nobody would know why
                self._report.insist(holds=False, what=f"mail {number}: {error!r}")

    def _send(self, number: int, chance: random.Random, path: Path) -> None:
        mail = self._mail(number, chance, path)
        ref = SmtpActor.start(
            HOST, self._port, timeout=TIMEOUT, deadline=DEADLINE, local_hostname="c.test"
        )
        asked: Any = None
        if chance.random() < 1 / 5:
            asked = ref.ask(mail, block=False)
        else:
            ref.tell(mail)
        stops = chance.random() < 1 / 10
        if stops:
            ref.actor_stopped.wait(chance.choice((0, 0.002, 0.01, 0.03)) * chance.random())
            ref.stop(block=False)
        began = time.monotonic()
        stopped = ref.actor_stopped.wait(DEADLINE + 1 + PATIENCE)
        took = time.monotonic() - began
        self._report.insist(stopped, f"mail {number}: its actor never stopped")
        self._report.insist(took <= STOP or not stops, f"mail {number}: {took:.1f} s to stop")
        if asked is not None:
            answer: Any = asked.get(timeout=PATIENCE)
            self._report.insist(answer.mail is mail, f"mail {number}: another mail's outcome")
        with self._lock:
            self._stops += stops
            self._slowest_stop = max(self._slowest_stop, took * stops)
            self._ended += 1
            if self._wake_at and self._ended >= self._wake_at:
                self._wake_at = 0
                self._wake.set()

    def _mail(self, number: int, chance: random.Random, path: Path) -> SendMail:
        to = [address(number, bit) for bit in range(chance.choice((1, 1, 2, 3, 5)))]
        message: Any = chance.choice((*[_SMALL] * 13, *[_MIDDLE] * 5, _LARGE, path))
        is_told = number >= _WARM_UP and chance.random() < 1 / 5
        if number >= _WARM_UP:
            size = len(_LARGE if message is path else message)
            self._given[number] = Given(len(to), size, is_told)
        return SendMail(
            sender=f"s{number}@a.test",
            recipients=to,
            message=message,
            outcome_to=self if is_told else None,
            id=f"{number}",
        )

    # Receiving: all of this runs on the dispatcher's thread, but for `tell`, which has its own.

    def tell(self, message: Any, /) -> None:
        """Take an outcome, as an actor's ref does."""
        self._told[int(message.mail.id)] += 1

    @contextmanager
    def _receivers(self) -> Iterator[None]:
        receivers = (self._raise, self._hear, self._sleep, self._send_from_here)
        for receiver in receivers:
            smtp_send_success.connect(receiver, weak=False)
            smtp_send_failure.connect(receiver, weak=False)
        try:
            yield
        finally:
            for receiver in receivers:
                smtp_send_success.disconnect(receiver)
                smtp_send_failure.disconnect(receiver)

    def _hear(self, _alias: str, outcome: Outcome, **_extra: object) -> None:
        self._heard.setdefault(int(outcome.mail.id), Heard()).hear(outcome)
        self._slowest = max(self._slowest, outcome.elapsed)
        if outcome.elapsed > DEADLINE + 1:
            self._late.append(outcome.mail.id)

    def _raise(self, _alias: str, outcome: Outcome, **_extra: object) -> None:
        self._published += 1
        if self._published % _RAISES_EVERY == 0:
            self._raised += 1
            raise _RAISED[self._raised % len(_RAISED)](outcome.mail.id)

    def _sleep(self, _alias: str, outcome: Outcome, **_extra: object) -> None:
        """Sleep until more sends have ended: that they do shows that none waits for this."""
        if int(outcome.mail.id) % _SLEEPS_EVERY:
            return
        with self._lock:
            if self._next >= self._end:
                return
            self._slept += 1
            self._wake.clear()
            self._wake_at = self._ended + _SLEEPS_FOR
        self._report.insist(self._wake.wait(PATIENCE), "a receiver that slept kept sends waiting")

    def _send_from_here(self, _alias: str, outcome: Outcome, **_extra: object) -> None:
        """Send, and wait for it, from within a receiver."""
        number = int(outcome.mail.id)
        if number < 0 or number % _SENDS_EVERY:
            return
        mail = SendMail(
            sender="s0@a.test", recipients="inner@b.test", message=_SMALL, id=f"{-number}"
        )
        self._given[-number] = Given(1, len(_SMALL))
        ref = SmtpActor.start(HOST, self._port, timeout=TIMEOUT, deadline=DEADLINE)
        answer: Any = ref.ask(mail, timeout=PATIENCE)
        self._report.insist(answer.mail is mail, "a receiver got another mail's outcome")
        self._sent += 1


def _settle() -> None:
    """Wait until our threads have gone, and what is garbage is."""
    for thread in threading.enumerate():
        if thread.name.startswith("pykka-smtp"):
            thread.join(PATIENCE)
    gc.collect()


@contextmanager
def _narrow_tls() -> Iterator[None]:
    """Have the system take few octets of a session under TLS before its server takes some."""
    start = Connection.start_tls

    def narrow(self: Connection) -> None:
        if not self._transport.is_closing():
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SENT)
        start(self)

    with patch.object(Connection, "start_tls", narrow):
        yield

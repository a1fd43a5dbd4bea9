"""Kills a program with an outbox again and again, and counts what became of its emails."""

import asyncio
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from .processes import HOST, ROOT

_ID = re.compile(rb"message-id:\s*<([^@>]+)@", re.IGNORECASE)
_BDAT = re.compile(rb"BDAT (\d+) LAST", re.IGNORECASE)
_START = 60.0
"""Seconds that a program has to start: an import may take long on a busy machine."""


class Remembering:
    """A server that takes every email, and remembers its Message-ID the moment it has all of it.

    Args:
        chunking: whether it offers CHUNKING: then an email is one write.
        latency: seconds until its verdict on an email.

    Attributes:
        port: where it listens.
        arrived: how often each email came.
        life: the number of the program that runs; set from outside.
        doubled: copies more than one, by the program that was killed after it had sent the first.
    """

    def __init__(self, *, chunking: bool = False, latency: float = 0.0) -> None:
        self.port = 0
        self.arrived: Counter[str] = Counter()
        self.life = 0
        self.doubled: Counter[int] = Counter()
        self._last_life: dict[str, int] = {}
        self.offers = [b"PIPELINING", b"8BITMIME", *([b"CHUNKING"] if chunking else [])]
        self.latency = latency
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        """Start it."""
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        """Stop it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def note(self, name: str) -> None:
        """Note that an email came."""
        if name in self.arrived:
            self.doubled[self._last_life[name]] += 1
        self.arrived[name] += 1
        self._last_life[name] = self.life

    def _run(self) -> None:
        self._loop = loop = asyncio.new_event_loop()
        server = loop.run_until_complete(loop.create_server(lambda: _Session(self), HOST, 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


class _Session(asyncio.Protocol):
    def __init__(self, server: Remembering) -> None:
        self._server = server
        self._input = b""
        self._in_data = False
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.write(b"220 mx.test ESMTP\r\n")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._input += data
        while self._step():
            pass

    def _step(self) -> bool:
        if self._in_data:
            mail, dot, rest = self._input.partition(b"\r\n.\r\n")
            if not dot:
                return False
            self._in_data, self._input = False, rest
            self._take(mail)
            return True
        line, end, rest = self._input.partition(b"\r\n")
        if not end:
            return False
        bdat = _BDAT.match(line)
        if bdat:
            size = int(bdat[1])
            if len(rest) < size:
                return False
            self._input = rest[size:]
            self._take(rest[:size])
            return True
        self._input = rest
        self._answer(line[:4].upper())
        return True

    def _answer(self, verb: bytes) -> None:
        write = self._transport.write
        if verb == b"EHLO":
            lines = [b"mx.test", *self._server.offers]
            write(b"".join(b"250-%b\r\n" % one for one in lines[:-1]) + b"250 %b\r\n" % lines[-1])
        elif verb == b"DATA":
            self._in_data = True
            write(b"354 go on\r\n")
        elif verb == b"QUIT":
            write(b"221 bye\r\n")
            self._transport.close()
        else:
            write(b"250 ok\r\n")

    def _take(self, mail: bytes) -> None:
        found = _ID.search(mail)
        assert found is not None
        self._server.note(found[1].decode())
        if self._server.latency:
            loop = asyncio.get_running_loop()
            loop.call_later(self._server.latency, self._transport.write, b"250 ok\r\n")
        else:
            self._transport.write(b"250 ok\r\n")


@dataclass(slots=True)
class Life:
    """What one program said.

    Attributes:
        put: the ids of which it had a receipt.
        heard: for each outcome: id, kind, doubts, whether it was replayed, maybe accepted.
        errors: the ids whose put raised.
        drained: whether all was done, if it was asked.
    """

    put: list[str] = field(default_factory=list)
    heard: list[tuple[str, str, int, bool, bool]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    drained: bool | None = None

    def note(self, line: str) -> None:
        """Note a line."""
        what, *words = line.split(" ")
        if what == "put":
            self.put.append(words[0])
        elif what == "heard":
            name, kind, doubts, replayed, maybe = words
            self.heard.append((name, kind, int(doubts), replayed == "1", maybe == "1"))
        elif what == "error":
            self.errors.append(words[0])
        elif what == "drained":
            self.drained = words[0] == "True"


class Killed:
    """One program that is killed, or ends by itself.

    Args:
        told: its arguments; see `client_killed`.
        environment: variables besides those of this process.
    """

    def __init__(self, told: dict[str, Any], environment: Mapping[str, str] | None = None) -> None:
        self.life = Life()
        self._up = threading.Event()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.client_killed", json.dumps(told)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | dict(environment or {}),
        )
        self.complaints = b""
        self._readers = [threading.Thread(target=t) for t in (self._read, self._read_complaints)]
        for reader in self._readers:
            reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.endswith(b"\n"):
                continue
            text = line.decode().rstrip("\n")
            if text == "up":
                self._up.set()
            self.life.note(text)
        self._up.set()

    def _read_complaints(self) -> None:
        assert self.process.stderr is not None
        self.complaints = self.process.stderr.read()

    def wait_until_up(self) -> None:
        """Wait until its outbox is open."""
        self._up.wait(_START)

    def kill(self) -> Life:
        """Kill it by SIGKILL; return what it said."""
        self.process.send_signal(signal.SIGKILL)
        return self.end()

    def end(self, timeout: float = 120.0) -> Life:
        """Wait until it has ended; return what it said."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return self.life


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of all emails.

    Attributes:
        kills: how often a program was killed.
        promised: emails with a receipt.
        lost: of these, emails that neither came, nor have an outcome that says so, nor are held.
        in_doubt: of these, emails that did not come, and whose outcome is that they may have.
        held: emails that are held.
        doubled: copies more than one of an email.
        unflagged: emails with copies of which no outcome says so.
        heard_twice: outcomes that one life heard twice.
        replayed: outcomes that were heard again in a later life, and said so.
        never_heard: emails with a receipt, without an outcome, and not held.
        most_doubled: copies of what one program had sent that was killed, at most.
        drained: whether all was done at the end.
        is_whole: whether SQLite finds no fault in the file.
    """

    kills: int
    promised: int
    lost: int
    in_doubt: int
    held: int
    doubled: int
    unflagged: int
    heard_twice: int
    replayed: int
    never_heard: int
    most_doubled: int
    drained: bool
    is_whole: bool


def tally(lives: list[Life], server: Remembering, path: Path, kills: int) -> Tally:
    """Count what became of all emails of all lives.

    Args:
        lives: what each life said.
        server: what came.
        path: the outbox.
        kills: how many lives were killed.
    """
    promised = {name for life in lives for name in life.put}
    outcomes: dict[str, list[tuple[str, str, int, bool, bool]]] = {}
    twice = 0
    for life in lives:
        counts = Counter(name for name, *_ in life.heard)
        twice += sum(count - 1 for count in counts.values())
        for one in life.heard:
            outcomes.setdefault(one[0], []).append(one)
    arrived = server.arrived
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    held = {
        name for (name,) in database.execute("SELECT id FROM pykka_smtp_mail WHERE state = 'held'")
    }
    [[integrity]] = database.execute("PRAGMA integrity_check")
    database.close()
    missing = promised - set(arrived) - held
    in_doubt = {n for n in missing if any(maybe for *_, maybe in outcomes.get(n, ()))}
    copies = {name: count for name, count in arrived.items() if count > 1}
    return Tally(
        kills=kills,
        promised=len(promised),
        lost=len(missing - in_doubt),
        in_doubt=len(in_doubt),
        held=len(held),
        doubled=sum(count - 1 for count in copies.values()),
        unflagged=sum(
            name not in held
            and not any(doubts >= count - 1 for _, _, doubts, _, _ in outcomes.get(name, ()))
            for name, count in copies.items()
        ),
        heard_twice=twice,
        replayed=sum(replayed for life in lives for _, _, _, replayed, _ in life.heard),
        never_heard=len(promised - set(outcomes) - held),
        most_doubled=0,
        drained=bool(lives[-1].drained),
        is_whole=integrity == "ok",
    )


def run_cycles(
    folder: Path,
    *,
    cycles: int,
    connections: int = 10,
    threads: int = 20,
    at_least_once: bool = True,
    chunking: bool = False,
    seed: int = 0,
    shortest: float = 0.02,
    longest: float = 0.4,
    latency: float = 0.0,
) -> Tally:
    """Start a program and kill it, again and again; then let it finish.

    Args:
        folder: where the outbox is to be.
        cycles: how many kills.
        connections: of the outbox.
        threads: how many put emails.
        at_least_once: whether a second copy is better than none.
        chunking: whether the server takes an email in one write.
        seed: of the random times.
        shortest: seconds between the start of the outbox and the kill, at least.
        longest: the same, at most.
        latency: seconds until the server's verdict.
    """
    chance = random.Random(seed)
    path = folder / "mail.db"
    lives: list[Life] = []
    with Remembering(chunking=chunking, latency=latency) as server:
        told = {
            "path": str(path),
            "port": server.port,
            "connections": connections,
            "threads": threads,
            "at_least_once": at_least_once,
        }
        for life in range(cycles):
            program = Killed(told | {"life": life})
            program.wait_until_up()
            server.life = life
            time.sleep(chance.uniform(shortest, longest))
            lives.append(program.kill())
        program = Killed(told | {"life": cycles, "drain": 300.0})
        program.wait_until_up()
        server.life = cycles
        lives.append(program.end(400.0))
        counted = tally(lives, server, path, cycles)
        if program.complaints:
            print(program.complaints.decode()[-2000:], file=sys.stderr)
    counted.most_doubled = max(server.doubled.values(), default=0)
    return counted

"""The chaos test's server: hits half of its sessions with a fault, and keeps an honest ledger.

``python -m fuzz.chaos_server SEED`` prints the port that it listens on, serves until its standard
input is closed, then prints its ledger as JSON. It is a process of its own, so that what the
client leaves behind can be counted.
"""

import asyncio
import contextlib
import importlib
import importlib.util
import json
import random
import re
import socket
import ssl
import struct
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

from .ledger import Ledger
from .surroundings import HOST
from .transaction import Item
from .violation import Violation

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER, on, 0 seconds: close() sends RST
_DRIP = 0.004
"""Seconds between two octets of a slow reply."""
_HANDSHAKE = b"\x16"
"""The first octet of a TLS handshake (RFC 8446 §5.1)."""
_TLS = 3 / 5
"""The share of sessions that offer STARTTLS, if there is a library to make a certificate: so many
that a third of all come to TLS, for some are hit by a fault before."""
_RECEIVED = 16_384
"""Octets that the system keeps for a session: few, so that a mail is on its way for some time."""
_STAGES = ("CONNECT", "GREETING", "EHLO", "MAIL", "RCPT", "DATA", "BODY", "END", "END", "QUIT")
_FAULTY = 0.62
"""The share of sessions with a fault; some never come to the stage where it waits."""
_OFFERS = ("PIPELINING", "8BITMIME", "CHUNKING", "SIZE 10240000", "LIMITS RCPTMAX=2")
_NUMBER = re.compile(rb"s([0-9]+)@")
_MOST_COMPLAINTS = 20


class Book:
    """What all sessions came to.

    Attributes:
        mails: for each mail by number, each recipient that was taken: the size of the mail if it
            came whole, and the code of the verdict if one went out whole.
        faults: how many sessions were hit, by fault and stage.
        complaints: what the client did that it must not do.
        sessions: how many there were.
        encrypted: how many of them came to TLS.
        live: sessions that are not in the book yet.
        tasks: handshakes that are under way.
    """

    def __init__(self) -> None:
        self.live: set[Session] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.mails: dict[int, list[dict[str, Any]]] = {}
        self.faults: Counter[str] = Counter()
        self.complaints: list[str] = []
        self.sessions = 0
        self.encrypted = 0

    def note(self, ledger: Ledger) -> None:
        """Take over what a session's ledger says."""
        for transaction in ledger.transactions:
            match = _NUMBER.match(transaction.sender)
            if match is None:
                self.complain(f"a sender that nobody is: {transaction.sender!r}")
                continue
            entries = self.mails.setdefault(int(match[1]), [])
            entries += [
                {
                    "to": rcpt.path.decode(),
                    "size": None if transaction.data is None else len(transaction.data),
                    "verdict": None if transaction.too_early else rcpt.verdict,
                }
                for rcpt in transaction.taken
            ]

    def complain(self, what: str) -> None:
        """Note what the client did that it must not do."""
        if len(self.complaints) < _MOST_COMPLAINTS:
            self.complaints.append(what)


class Session(asyncio.Protocol):
    """One session, with at most one fault."""

    def __init__(self, book: Book, chance: random.Random, tls: ssl.SSLContext | None) -> None:
        self._book = book
        self._chance = chance
        self._tls = tls
        self._task: asyncio.Task[None] | None = None
        self._came_early = b""
        self._ledger = Ledger(may_say_helo=True)
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._stage = chance.choice(_STAGES) if chance.random() < _FAULTY else ""
        self._fault = chance.choice(_FAULTS)
        self._offers = [offer for offer in _OFFERS if chance.random() < 1 / 2]
        if tls is not None and chance.random() < _TLS:
            self._offers.append("STARTTLS")
        self._is_over = False  # nothing more is said, nor heard
        self._waits = False  # while a reply drips, or TLS begins

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, or not. Comes once more when TLS is up."""
        if self in self._book.live:
            return
        self._transport = cast("asyncio.Transport", transport)
        self._book.sessions += 1
        self._book.live.add(self)
        if self._stage == "CONNECT":
            self._hit(self._chance.choice((Session._fin, Session._rst, Session._silence)))
        else:
            self._answer_all()

    def data_received(self, data: bytes) -> None:
        """Hear the client, and answer."""
        if self._task is not None and not self._ledger.in_tls:
            self._came_early += data  # under TLS, but the task does not know yet that it is up
            return
        if self._ledger.tls_agreed and data[:1] == _HANDSHAKE:
            return  # it begins with TLS, and nobody is there
        try:
            self._ledger.client(data)
        except Violation as violation:
            self._book.complain(str(violation))
            self._fin()
            return
        if self._is_over:
            return
        if self._stage == "BODY" and self._is_in_body():
            self._stage = ""
            self._hit(
                self._chance.choice(
                    (Session._fin, Session._rst, Session._deaf, Session._refuse, Session._later)
                )
            )
            return
        self._answer_all()

    def eof_received(self) -> bool:
        """Close, too."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Write it into the book."""
        self._is_over = True
        self.write_down()

    def write_down(self) -> None:
        """Put it into the book, once."""
        if self in self._book.live:
            self._book.live.remove(self)
            self._book.note(self._ledger)

    def _is_in_body(self) -> bool:
        transactions = self._ledger.transactions
        return bool(
            transactions
            and transactions[-1].data is None
            and not self._ledger.owed
            and (transactions[-1].wants_data or transactions[-1].is_chunk)
        )

    def _answer_all(self) -> None:
        while self._ledger.owed and not (self._is_over or self._waits):
            item = self._ledger.owed[0]
            stage = "EHLO" if item.verb == "HELO" else item.verb
            if stage == self._stage:
                self._stage = ""
                self._hit(self._fault)
            else:
                if item.verb == "STARTTLS":
                    self._transport.pause_reading()  # start_tls() goes on
                self._say(self._right(item))
            if self._ledger.tls_agreed and not self._is_over:
                self._begin_tls()
            if self._ledger.owed and self._ledger.owed[0] is item and not self._waits:
                self._is_over = True  # that was no answer, and it says no more

    def _hit(self, fault: Callable[["Session"], None]) -> None:
        stage = self._ledger.owed[0].verb if self._ledger.owed else "BODY"
        self._book.faults[f"{fault.__name__.strip('_')} at {stage}"] += 1
        fault(self)

    def _right(self, item: Item) -> bytes:
        match item.verb:
            case "GREETING":
                return b"220 mx.test ESMTP\r\n"
            case "EHLO":
                lines = ["mx.test", *self._offers]
                text = "".join(f"250-{line}\r\n" for line in lines[:-1]) + f"250 {lines[-1]}\r\n"
                return text.encode()
            case "DATA":
                assert item.transaction is not None
                taken = item.transaction.taken
                return b"354 go ahead\r\n" if taken else b"503 5.5.1 no recipients\r\n"
            case "RCPT":
                refused = self._chance.random() < 1 / 16
                return b"550 5.1.1 no such user\r\n" if refused else b"250 2.1.5 ok\r\n"
            case "STARTTLS":
                return b"220 2.0.0 go ahead\r\n"
            case "QUIT":
                return b"221 2.0.0 bye\r\n"
            case _:
                return b"250 2.0.0 ok\r\n"

    def _say(self, octets: bytes) -> None:
        """Say something, and write it down first: from here on the client may have heard it."""
        if not self._transport.is_closing():
            self._ledger.server(octets)
            self._transport.write(octets)

    def _begin_tls(self) -> None:
        """Shake hands, or do something else."""
        if self._stage and self._chance.random() < 1 / 2:
            self._stage = ""
            self._transport.resume_reading()
            fault = self._chance.choice((Session._fin, Session._rst, Session._silence, None))
            name = fault.__name__.strip("_") if fault else "noise"
            self._book.faults[f"{name} at HANDSHAKE"] += 1
            if fault is None:
                self._transport.write(b"250 this is no handshake\r\n")
                self._is_over = True
            else:
                fault(self)
            return
        self._waits = True
        self._task = asyncio.get_running_loop().create_task(self._shake_hands())
        self._book.tasks.add(self._task)  # asyncio itself keeps tasks only weakly
        self._task.add_done_callback(self._book.tasks.discard)

    async def _shake_hands(self) -> None:
        assert self._tls is not None
        with contextlib.suppress(OSError):  # of which all that TLS raises are
            transport = await asyncio.get_running_loop().start_tls(
                self._transport, self, self._tls, server_side=True
            )
            if transport is not None:
                self._transport = transport
                self._ledger.start_tls()
                self._waits = False
                self._book.encrypted += 1
                self.data_received(self._came_early)
                return
        self._is_over = True

    # Faults.

    def _fin(self) -> None:
        self._is_over = True
        self._transport.close()

    def _rst(self) -> None:
        self._is_over = True
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def _silence(self) -> None:
        self._is_over = True

    def _deaf(self) -> None:
        self._is_over = True
        self._transport.pause_reading()

    def _garbage(self) -> None:
        self._say(self._chance.choice((b"\x00\xff\r\n", b"HTTP/1.1 400 Bad\r\n", b"2500 ok\r\n")))

    def _refuse(self) -> None:
        self._say(b"550 5.7.1 never\r\n")

    def _later(self) -> None:
        self._say(b"451 4.3.0 not now\r\n")

    def _closing(self) -> None:
        self._say(b"421 4.3.2 going down\r\n")
        self._fin()

    def _half(self) -> None:
        self._say(b"250-half of a reply\r\n250 an")
        self._fin()

    def _said_and_reset(self) -> None:
        self._say(self._right(self._ledger.owed[0]))
        self._rst()

    def _twice(self) -> None:
        right = self._right(self._ledger.owed[0])
        self._say(right + right)

    def _mixed(self) -> None:
        self._say(b"250-ok\r\n550 no\r\n")

    def _nonsense(self) -> None:
        self._say(b"354 go on\r\n" if self._ledger.owed[0].verb != "DATA" else b"250 ok\r\n")

    def _early(self) -> None:
        """Answer the next command as well, before it comes."""
        self._say(self._right(self._ledger.owed[0]) + b"250 2.0.0 ok\r\n")

    def _drip(self) -> None:
        """Say what is right, octet by octet."""
        self._waits = True
        self._drop(self._right(self._ledger.owed[0]), 0)

    def _drop(self, octets: bytes, place: int) -> None:
        if self._is_over or self._transport.is_closing():
            return
        self._say(octets[place : place + 1])
        if place + 1 < len(octets):
            loop = asyncio.get_running_loop()
            loop.call_later(_DRIP, self._drop, octets, place + 1)
        else:
            self._waits = False
            self._answer_all()


_FAULTS: tuple[Callable[[Session], None], ...] = (
    *(Session._fin, Session._rst, Session._silence, Session._garbage, Session._refuse),
    *(Session._later, Session._closing, Session._half, Session._said_and_reset, Session._twice),
    *(Session._mixed, Session._nonsense, Session._early, Session._drip, Session._drip),
)


def _server_context() -> ssl.SSLContext | None:
    """Make a certificate that nobody trusts, if there is a library for that."""
    if importlib.util.find_spec("trustme") is None:
        return None
    trustme: Any = importlib.import_module("trustme")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(HOST).configure_cert(context)
    return context


async def _serve(seed: int) -> None:
    book, chance = Book(), random.Random(seed)
    loop, tls = asyncio.get_running_loop(), _server_context()
    server = await loop.create_server(lambda: Session(book, chance, tls), HOST, 0, backlog=512)
    for listener in server.sockets:  # who is accepted inherits it
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()
    for session in list(book.live):  # those that went deaf do not hear the client leave
        session.write_down()
    told = {
        "mails": book.mails,
        "faults": book.faults,
        "complaints": book.complaints,
        "sessions": book.sessions,
        "encrypted": book.encrypted,
    }
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))

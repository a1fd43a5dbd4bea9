"""The chaos test's server: hits half of its sessions with a fault, and keeps an honest ledger.

``python -m fuzz.chaos_server SEED`` says which port it listens on, serves until its standard
input is closed, then prints its ledger as JSON. It is a process of its own, so that what the
client leaves behind can be counted.
"""

import importlib
import importlib.util
import random
import re
import ssl
import sys
from collections import Counter
from typing import Any

from pykka_smtp.testing.faults import FAULTS
from pykka_smtp.testing.moods import Moment
from pykka_smtp.testing.polite import Polite
from pykka_smtp.testing.stages.process import Served, say, serve
from pykka_smtp.testing.talk.acts import Act, Deed

from .ledger import Ledger
from .surroundings import HOST
from .violation import Violation

_HANDSHAKE = b"\x16"
"""The first octet of a TLS handshake (RFC 8446 §5.1)."""
_TLS = 3 / 5
"""The share of sessions that offer STARTTLS, if there is a library to make a certificate: so many
that a third of all come to TLS, for some are hit by a fault before."""
_RECEIVED = 16_384
"""Octets that the system keeps for a session: few, so that a mail is on its way for some time."""
_STAGES = ("connect", "greeting", "EHLO", "MAIL", "RCPT", "DATA", "body", ".", ".", "QUIT")
_FAULTY = 0.62
"""The share of sessions with a fault; some never come to the stage where it waits."""
_FAULTS = (
    *("close", "reset", "silence", "permanent", "transient", "shutdown", "half", "reply, reset"),
    *("octets", "another protocol", "four digits", "twice", "mixed", "nonsense", "early"),
    *("drip", "drip"),
)
_AT_BODY = ("close", "reset", "deaf", "permanent", "transient")
_AT_CONNECT = ("close", "reset", "silence")
_AT_TLS = (*_AT_CONNECT, "octets")
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
    """

    def __init__(self) -> None:
        self.live: set[Session] = set()
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


class Session(Served):
    """One session, with at most one fault."""

    def __init__(self, book: Book, chance: random.Random, tls: ssl.SSLContext | None) -> None:
        self._book = book
        self._chance = chance
        self._audit = Ledger(may_say_helo=True)
        self._came_early = b""
        self._stage = chance.choice(_STAGES) if chance.random() < _FAULTY else ""
        offers = [offer for offer in _OFFERS if chance.random() < 1 / 2]
        if tls is not None and chance.random() < _TLS:
            offers.append("STARTTLS")
        super().__init__(Polite(*offers, moods=[self._mood]), context=tls)

    def begin(self) -> None:
        """Greet, or not."""
        self._book.sessions += 1
        self._book.live.add(self)
        super().begin()

    def data_received(self, data: bytes) -> None:
        """Hear the client, and answer."""
        if self._task is not None and not self._audit.in_tls:
            self._came_early += data  # under TLS, but the task does not know yet that it is up
            return
        if self._audit.tls_agreed and data[:1] == _HANDSHAKE:
            return  # it begins with TLS, and nobody is there
        try:
            self._audit.client(data)
        except Violation as violation:
            self._book.complain(str(violation))
            self.is_over = True
            self.transport.close()
            return
        self.receive(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Write it into the book."""
        super().connection_lost(exc)
        self.write_down()

    def write_down(self) -> None:
        """Put it into the book, once."""
        if self in self._book.live:
            self._book.live.remove(self)
            self._book.note(self._audit)

    def say(self, octets: bytes) -> None:
        """Say something, and write it down first: from here on the client may have heard it."""
        if not self.transport.is_closing():
            self._audit.server(octets)
            super().say(octets)

    def done(self, result: object = None) -> None:
        """Go on; TLS may be up by now."""
        if result is True and self._audit.tls_agreed:
            self._audit.start_tls()
            self._book.encrypted += 1
            super().done(result)
            self.data_received(self._came_early)
        else:
            super().done(result)

    def _mood(self, moment: Moment) -> list[Act] | None:
        stage = "EHLO" if moment.stage == "HELO" else moment.stage
        chance = self._chance
        if stage == "TLS" and self._stage and chance.random() < 1 / 2:
            return [*self._hit(moment, chance.choice(_AT_TLS)), Deed.SILENCE]
        if stage == "greeting" and self._stage == "connect":
            return self._hit(moment, chance.choice(_AT_CONNECT))
        if stage == self._stage == "body":
            return [Deed.OCTETS, *self._hit(moment, chance.choice(_AT_BODY))]
        if stage == self._stage:
            return self._hit(moment, chance.choice(_FAULTS))
        if stage == "RCPT" and chance.random() < 1 / 16:
            return [b"550 5.1.1 no such user\r\n"]
        return None

    def _hit(self, moment: Moment, fault: str) -> list[Act]:
        self._stage = ""
        self._book.faults[f"{fault} at {moment.stage}"] += 1
        return FAULTS[fault](moment)


def _server_context() -> ssl.SSLContext | None:
    """Make a certificate that nobody trusts, if there is a library for that."""
    if importlib.util.find_spec("trustme") is None:
        return None
    trustme: Any = importlib.import_module("trustme")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(HOST).configure_cert(context)
    return context


def main() -> None:
    """Serve, and tell what all sessions came to."""
    book, chance, tls = Book(), random.Random(int(sys.argv[1])), _server_context()
    serve(lambda: Session(book, chance, tls), receive_buffer=_RECEIVED)
    for session in list(book.live):  # those that went deaf do not hear the client leave
        session.write_down()
    say(
        mails=book.mails,
        faults=book.faults,
        complaints=book.complaints,
        sessions=book.sessions,
        encrypted=book.encrypted,
    )


if __name__ == "__main__":
    main()

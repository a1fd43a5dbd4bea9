"""One session of the soak's servers: takes mails, as long as chance and its place's mood let it."""

import asyncio
import random
import re
import socket
import ssl
import struct
from typing import NoReturn, Protocol

from .soak_journal import Journal
from .soak_mail import is_whole, recipient_of

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER, on, 0 seconds: close() sends RST
_DRIP = 0.002
"""Seconds between two octets of a slow reply."""
_LONGEST_STALL = 0.9
_SILENCE = 1.5
"""Seconds. Longer than any client of the soak waits."""
_MAIL = re.compile(rb"MAIL FROM:<s([0-9]+)@a\.test>.*")
_RCPT = re.compile(rb"RCPT TO:<([^>]+)>.*")
_BDAT = re.compile(rb"BDAT ([0-9]+) LAST")


class Over(Exception):  # noqa: N818 - no error: it is what a fault does
    """The session has ended."""


class Place(Protocol):
    """Where sessions take place: the mood there, and who writes down what happens."""

    mood: str
    risk: float
    is_calm: bool
    chance: random.Random
    context: ssl.SSLContext | None
    journal: Journal

    def welcome(self, *, in_tls: bool) -> bytes: ...

    def complain(self, what: str) -> None: ...


class Session:
    """One session.

    Args:
        place: where it takes place.
        reader: what the client says.
        writer: what is said to it.
    """

    def __init__(
        self, place: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        chance = place.chance
        self._place = place
        self._chance = chance
        self._reader = reader
        self._writer = writer
        # After so many mails it ends; so it does if the client lets it wait for so long.
        self._most = chance.randint(1, 40) if chance.random() < 1 / 3 else None
        self._idle = chance.uniform(0.02, 0.3) if chance.random() < 1 / 4 else None
        self._mails = 0
        self._in_tls = False
        self._number: int | None = None  # of the mail under way
        self._taken = 0  # a bit for each of its recipients

    async def run(self) -> None:
        """Greet, and do as the client says, to the end."""
        try:
            if self._place.mood == "busy":
                self._fault("421 for a greeting")
                self._leave(b"421 4.3.2 too busy")
            await self._answer("GREETING", b"220 mx.test ESMTP")
            while True:
                await self._obey(await self._line())
        except (Over, OSError, EOFError, asyncio.LimitOverrunError):
            pass
        finally:
            self._writer.close()

    def abort(self, *, reset: bool) -> None:
        """End it from outside: the server goes down."""
        if reset:
            self._reset()
        else:
            self._writer.close()

    # What the client says.

    async def _line(self) -> bytes:
        """Wait for a command; between two mails, perhaps not for long."""
        is_idle = self._mails and self._number is None and not self._place.is_calm
        try:
            async with asyncio.timeout(self._idle if is_idle else None):
                line = await self._reader.readuntil(b"\r\n")
        except TimeoutError:
            self._fault("closed while idle")
            self._leave(self._chance.choice((b"421 4.4.2 idle for too long", b"")))
        return line[:-2]

    async def _obey(self, line: bytes) -> None:
        match line.partition(b" ")[0].upper():
            case b"EHLO":
                self._number = None
                await self._answer("EHLO", self._place.welcome(in_tls=self._in_tls))
            case b"HELO":  # where EHLO was hung up on
                await self._answer("EHLO", b"250 mx.test")
            case b"MAIL":
                await self._begin(line)
            case b"RCPT":
                await self._add(line)
            case b"DATA":
                await self._data()
            case b"BDAT":
                await self._chunk(line)
            case b"RSET" | b"NOOP":
                self._number = None
                await self._answer("RSET", b"250 2.0.0 ok")
            case b"STARTTLS" if self._place.context is not None and not self._in_tls:
                await self._start_tls()
            case b"QUIT":
                self._leave(b"221 2.0.0 bye")
            case _:
                self._place.complain(f"no command: {line!r}")
                await self._answer("ELSE", b"500 5.5.1 what?")

    async def _start_tls(self) -> None:
        assert self._place.context is not None
        await self._answer("STARTTLS", b"220 2.0.0 go ahead")
        await self._writer.start_tls(self._place.context)
        self._in_tls = True
        self._place.journal.encrypted()

    async def _begin(self, line: bytes) -> None:
        match = _MAIL.fullmatch(line)
        if match is None or self._number is not None:
            self._place.complain(f"MAIL amid a mail, or nobody's: {line!r}")
            self._leave(b"503 5.5.1 no")
        is_enough = self._most is not None and self._mails >= self._most
        is_closing = self._place.mood == "closing" and self._chance.random() < 1 / 3
        if (is_enough or is_closing) and not self._place.is_calm:
            self._fault(f"left at MAIL {'after n mails' if is_enough else 'because it closes'}")
            if self._chance.random() < 1 / 4:
                self._reset()
            self._leave(self._chance.choice((b"421 4.3.2 that was enough", b"")))
        self._number, self._taken = int(match[1]), 0
        await self._answer("MAIL", b"250 2.1.0 ok")

    async def _add(self, line: bytes) -> None:
        match, mood = _RCPT.fullmatch(line), self._place.mood
        if self._number is None or match is None:
            await self._answer("RCPT", b"503 5.5.1 whose?")
        elif mood == "greylisting" and self._chance.random() < 1 / 2:
            self._fault("450 at RCPT")
            await self._answer("RCPT", b"450 4.2.0 greylisted")
        elif mood == "refusing" and self._chance.random() < 1 / 3:
            self._fault("550 at RCPT")
            await self._answer("RCPT", b"550 5.1.1 no such user")
        else:
            self._taken |= 1 << recipient_of(match[1])
            await self._answer("RCPT", b"250 2.1.5 ok")

    async def _data(self) -> None:
        if not self._taken or self._number is None:
            await self._answer("DATA", b"503 5.5.1 for whom?")
            return
        await self._answer("DATA", b"354 go ahead")
        await self._stumble()
        data = await self._reader.readuntil(b"\r\n.\r\n")
        await self._decide((b"\r\n" + data[:-3]).replace(b"\r\n.", b"\r\n")[2:])

    async def _chunk(self, line: bytes) -> None:
        match = _BDAT.fullmatch(line)
        if match is None:
            self._place.complain(f"no BDAT of a whole mail: {line!r}")
            self._leave(b"501 5.5.4 no")
        await self._stumble()
        data = await self._reader.readexactly(int(match[1]))
        if not self._taken or self._number is None:
            # RFC 3030 §2: the octets are read all the same, and it is RSET that goes on.
            await self._answer("DATA", b"503 5.5.1 for whom?")
            return
        await self._decide(data)

    async def _stumble(self) -> None:
        """Break amid the mail data, now and then."""
        if self._place.is_calm or self._chance.random() > self._place.risk:
            return
        await self._reader.read(100)
        if self._chance.random() < 1 / 2:
            self._fault("reset at BODY")
            self._reset()
            raise Over
        self._fault("stall at BODY")
        await asyncio.sleep(self._chance.uniform(0, _LONGEST_STALL))
        self._reset()  # some octets are gone
        raise Over

    async def _decide(self, data: bytes) -> None:
        """Take a mail that is complete, or not."""
        number, taken = self._number, self._taken
        assert number is not None
        self._number, self._taken = None, 0
        mood, chance = self._place.mood, self._chance
        if not is_whole(number, data):
            self._place.complain(f"mail {number} came changed, {len(data)} octets of it")
            self._leave(b"554 5.6.0 that is another mail")
        if mood == "full" and chance.random() < 1 / 2:
            self._fault("452 at END")
            await self._answer("END", b"452 4.3.1 disk full")
            return
        if mood == "refusing" and chance.random() < 1 / 8:
            self._fault("554 at END")
            await self._answer("END", b"554 5.7.1 not that")
            return
        # Written down first: from here on the client may hear of it, or anything may happen.
        self._place.journal.took(number, taken)
        self._mails += 1
        if self._mails == self._most and not self._place.is_calm and chance.random() < 1 / 2:
            self._fault("left right after the verdict")
            self._writer.write(b"250 2.0.0 taken\r\n")
            if chance.random() < 1 / 4:
                self._reset()
            self._leave(chance.choice((b"421 4.3.2 that was enough", b"")))
        await self._answer("END", b"250 2.0.0 taken")

    # What the server says.

    async def _answer(self, stage: str, reply: bytes) -> None:
        """Say it; or late, in part, slowly, or not at all."""
        place, chance = self._place, self._chance
        if not place.is_calm:
            if place.mood == "stalling" and chance.random() < 1 / 6:
                self._fault(f"stall at {stage}")
                await asyncio.sleep(chance.uniform(0, _LONGEST_STALL))
            risk = 1 / 8 if place.mood == "resetting" else place.risk
            if chance.random() < risk:
                await self._break(stage, reply)
                return
        self._writer.write(reply + b"\r\n")

    async def _break(self, stage: str, reply: bytes) -> None:
        """Do something else than to answer. After END, it is nothing that says no."""
        fault = self._chance.choice(("close", "reset", "silence", "half", "reply, reset", "drip"))
        if self._place.mood == "resetting":
            fault = "reset"
        self._fault(f"{fault} at {stage}")
        if fault == "drip":
            for octet in reply + b"\r\n":
                self._writer.write(bytes([octet]))
                await asyncio.sleep(_DRIP)
            return
        if fault == "half":
            self._leave(reply[: self._chance.randint(1, len(reply) - 1)], end=b"")
        if fault == "silence":
            await asyncio.sleep(_SILENCE)
        if fault == "reply, reset":
            self._writer.write(reply + b"\r\n")
        if fault != "close":
            self._reset()
        raise Over

    def _leave(self, reply: bytes, end: bytes = b"\r\n") -> NoReturn:
        """Say a last word, if any, and close.

        Raises:
            Over: always.
        """
        if reply:
            self._writer.write(reply + end)
        raise Over

    def _reset(self) -> None:
        transport = self._writer.transport
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()

    def _fault(self, what: str) -> None:
        self._place.journal.fault(what)

"""One session of the soak's servers: takes mails, as long as chance and its place's mood let it."""

import asyncio
import random
import re
import ssl
import threading
from typing import Protocol

from pykka_smtp.testing.moods import Moment
from pykka_smtp.testing.polite import Polite
from pykka_smtp.testing.stages.process import Served
from pykka_smtp.testing.talk.acts import Act, Deed, Drip, Pause
from pykka_smtp.testing.talk.ledger import Ledger

from .soak_journal import Journal
from .soak_mail import is_whole, recipient_of

_DRIP = 0.002
"""Seconds between two octets of a slow reply."""
_LONGEST_STALL = 0.9
_SILENCE = 1.5
"""Seconds. Longer than any client of the soak waits."""
_MAIL = re.compile(rb"MAIL FROM:<s([0-9]+)@a\.test>.*")
_RCPT = re.compile(rb"RCPT TO:<([^>]+)>.*")
_ENOUGH = b"421 4.3.2 that was enough\r\n"


class Place(Protocol):
    """Where sessions take place: the mood there, and who writes down what happens."""

    mood: str
    risk: float
    is_calm: bool
    chance: random.Random
    context: ssl.SSLContext | None
    journal: Journal
    offers: tuple[str, ...]
    sessions: "set[Session]"

    def complain(self, what: str) -> None: ...


class _Forgetful(Ledger):
    """Has the mails kept until they were looked at, and no longer."""

    def __init__(self) -> None:
        super().__init__(0, "", threading.Condition())

    def came(self, line: str) -> None:
        """Forget it."""

    def mail_came(self, data: bytes, raw: bytes) -> None:
        """Forget it."""

    def went(self, octets: bytes) -> None:
        """Forget it."""


class Session(Served):
    """One session.

    Args:
        place: where it takes place.
    """

    def __init__(self, place: Place) -> None:
        chance = place.chance
        self._place = place
        self._chance = chance
        # After so many mails it ends; so it does if the client lets it wait for so long.
        self._most = chance.randint(1, 40) if chance.random() < 1 / 3 else None
        self._idle = chance.uniform(0.02, 0.3) if chance.random() < 1 / 4 else None
        self._tired: asyncio.TimerHandle | None = None
        self._mails = 0
        self._number: int | None = None  # of the mail under way
        self._taken = 0  # a bit for each of its recipients
        server = Polite(*place.offers, moods=[self._mood])
        super().__init__(server, _Forgetful(), place.context)

    def begin(self) -> None:
        """Greet."""
        self._place.journal.session()
        self._place.sessions.add(self)
        super().begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        super().connection_lost(exc)
        self._rest()
        self._place.sessions.discard(self)

    def data_received(self, data: bytes) -> None:
        """Hear the client, and answer; between two mails, it may come too late."""
        self._rest()
        super().data_received(data)
        if self._mails and self._number is None and self._idle and not self._place.is_calm:
            self._tired = asyncio.get_running_loop().call_later(self._idle, self._leave_idle)

    def done(self, result: object = None) -> None:
        """Go on; TLS may be up by now."""
        if result is True:
            self._place.journal.encrypted()
        super().done(result)

    def abort(self, *, reset: bool) -> None:
        """End it from outside: the server goes down."""
        self.is_over = True
        if reset:
            self.break_off()
        else:
            self.transport.close()

    def _rest(self) -> None:
        if self._tired is not None:
            self._tired.cancel()
            self._tired = None

    def _leave_idle(self) -> None:
        # Not amid a verdict that takes its time: this would be another one.
        if not (self.is_over or self._is_busy):
            self._fault("closed while idle")
            if self._chance.random() < 1 / 2:
                self.say(b"421 4.4.2 idle for too long\r\n")
            self.abort(reset=False)

    # What the client says.

    def _mood(self, moment: Moment) -> list[Act] | None:
        if moment.stage == "TLS":
            return None
        if moment.stage == "body":
            return self._stumble()
        if moment.reply[:3] in (b"502", b"501"):
            self._place.complain(f"no command: {moment.line!r}")
        acts: list[Act] | None = None
        reply = moment.reply
        match moment.stage:
            case "greeting" if self._place.mood == "busy":
                self._fault("421 for a greeting")
                return [b"421 4.3.2 too busy\r\n", Deed.CLOSE]
            case "EHLO" | "RSET":
                self._number = None
            case "MAIL":
                acts = self._begin(moment)
            case "RCPT":
                reply = self._add(moment)
            case "BDAT" if not moment.line.endswith(b" LAST"):
                self._place.complain(f"no BDAT of a whole mail: {moment.line!r}")
                return [b"501 5.5.4 no\r\n", Deed.CLOSE]
            case "BDAT" if self._taken:
                return None  # what becomes of it is said at the end of the mail
            case ".":
                reply, acts = self._decide(moment)
            case _:
                pass
        return self._spoken(moment.stage, reply) if acts is None else acts

    def _begin(self, moment: Moment) -> list[Act] | None:
        match = _MAIL.fullmatch(moment.line)
        if match is None or self._number is not None:
            self._place.complain(f"MAIL amid a mail, or nobody's: {moment.line!r}")
            return [b"503 5.5.1 no\r\n", Deed.CLOSE]
        is_enough = self._most is not None and self._mails >= self._most
        is_closing = self._place.mood == "closing" and self._chance.random() < 1 / 3
        if (is_enough or is_closing) and not self._place.is_calm:
            self._fault(f"left at MAIL {'after n mails' if is_enough else 'because it closes'}")
            return self._leave()
        self._number, self._taken = int(match[1]), 0
        return None

    def _add(self, moment: Moment) -> bytes:
        match, mood = _RCPT.fullmatch(moment.line), self._place.mood
        if self._number is None or match is None:
            return b"503 5.5.1 whose?\r\n"
        if mood == "greylisting" and self._chance.random() < 1 / 2:
            self._fault("450 at RCPT")
            return b"450 4.2.0 greylisted\r\n"
        if mood == "refusing" and self._chance.random() < 1 / 3:
            self._fault("550 at RCPT")
            return b"550 5.1.1 no such user\r\n"
        self._taken |= 1 << recipient_of(match[1])
        return moment.reply

    def _stumble(self) -> list[Act] | None:
        """Break amid the mail data, now and then."""
        if self._place.is_calm or self._chance.random() > self._place.risk:
            return None
        if self._chance.random() < 1 / 2:
            self._fault("reset at BODY")
            return [Deed.OCTETS, Deed.RESET]
        self._fault("stall at BODY")
        return [Deed.OCTETS, Pause(self._chance.uniform(0, _LONGEST_STALL)), Deed.RESET]

    def _decide(self, moment: Moment) -> tuple[bytes, list[Act] | None]:
        """Take a mail that is complete, or not."""
        number, taken = self._number, self._taken
        assert number is not None
        self._number, self._taken = None, 0
        mood, chance = self._place.mood, self._chance
        if not is_whole(number, moment.data):
            self._place.complain(f"mail {number} came changed, {len(moment.data)} octets of it")
            return b"", [b"554 5.6.0 that is another mail\r\n", Deed.CLOSE]
        if mood == "full" and chance.random() < 1 / 2:
            self._fault("452 at END")
            return b"452 4.3.1 disk full\r\n", None
        if mood == "refusing" and chance.random() < 1 / 8:
            self._fault("554 at END")
            return b"554 5.7.1 not that\r\n", None
        # Written down first: from here on the client may hear of it, or anything may happen.
        self._place.journal.took(number, taken)
        self._mails += 1
        if self._mails == self._most and not self._place.is_calm and chance.random() < 1 / 2:
            self._fault("left right after the verdict")
            return b"", [moment.reply, *self._leave()]
        return moment.reply, None

    # What the server says.

    def _spoken(self, stage: str, reply: bytes) -> list[Act]:
        """Say it; or late, in part, slowly, or not at all."""
        place, chance = self._place, self._chance
        acts: list[Act] = []
        if place.is_calm:
            return [reply]
        if place.mood == "stalling" and chance.random() < 1 / 6:
            self._fault(f"stall at {stage}")
            acts.append(Pause(chance.uniform(0, _LONGEST_STALL)))
        risk = 1 / 8 if place.mood == "resetting" else place.risk
        return acts + (self._broken(stage, reply) if chance.random() < risk else [reply])

    def _broken(self, stage: str, reply: bytes) -> list[Act]:
        """Do something else than to answer. After END, it is nothing that says no."""
        faults: dict[str, list[Act]] = {
            "close": [Deed.CLOSE],
            "reset": [Deed.RESET],
            "silence": [Pause(_SILENCE), Deed.RESET],
            "half": [reply[: self._chance.randint(1, len(reply) - 3)], Deed.CLOSE],
            "reply, reset": [reply, Deed.RESET],
            "drip": [Drip(reply, interval=_DRIP)],
        }
        is_resetting = self._place.mood == "resetting"
        fault = "reset" if is_resetting else self._chance.choice(list(faults))
        self._fault(f"{fault} at {stage}")
        return faults[fault]

    def _leave(self) -> list[Act]:
        """Say a last word, or none, and be gone."""
        if self._chance.random() < 1 / 4:
            return [Deed.RESET]
        return [*self._chance.choice(([_ENOUGH], [])), Deed.CLOSE]

    def _fault(self, what: str) -> None:
        self._place.journal.fault(what)

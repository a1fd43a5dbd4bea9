"""Stages that are told what has come: they perform a talk as far as that goes, and wait."""

import threading
from typing import Protocol

from ..moods import Client
from ..talk.acts import DATA, LAST, Act, Chunk, Commands, Deed, Drip, Hold, Line, Pause, Talk, Wait
from ..talk.ledger import Ledger
from ..talk.script import decode
from ..talk.stream import Stream, TooLongError, undoubled


class Talking(Protocol):
    """A server, as far as a stage knows it."""

    def talk(self, client: Client) -> Talk:
        """Give the steps of one session."""
        ...


class Pushed:
    """Performs the talk of one session.

    Args:
        server: whose talk.
        ledger: what is to keep what comes; without it, mails are thrown away as they come.

    Attributes:
        tls: the version of TLS, or None where it has not begun.
        user: who has logged in, or None.
        ledger: see above.
        mails: how many came whole, where there is no ledger.
        is_over: whether nothing more is said, nor heard.
    """

    mails: int

    def __init__(self, server: Talking, ledger: Ledger | None = None) -> None:
        self.tls: str | None = None
        self.user: str | None = None
        self.ledger = ledger
        self.mails = 0
        self.is_over: bool = False
        self._came = Stream()
        self._chunks = bytearray()
        self._talk = server.talk(self)
        self._act: Act | None = None
        self._missing = 0
        self._is_busy = False  # something else than the client is waited for

    def begin(self) -> None:
        """The client is there."""
        self._go_on(None)

    def receive(self, octets: bytes) -> None:
        """The client says this."""
        if self.is_over:
            return
        self._came.feed(octets)
        if not self._is_busy:
            self._go_on(self._act)

    # What a stage does about it.

    def say(self, octets: bytes) -> None:
        """Let octets go out."""
        raise NotImplementedError

    def do(self, act: Act) -> None:
        """Do something that may take its time, and say when it is done, by `done`."""
        raise NotImplementedError

    def end(self, deed: Deed) -> None:
        """Do what nothing comes after."""
        raise NotImplementedError

    def done(self, result: object = None) -> None:
        """What was begun is done."""
        if not self.is_over:
            self._is_busy = False
            self._go_on(None, result)

    def _go_on(self, act: Act | None, result: object = None) -> None:
        """Perform what can be performed; replies to what came at once go out at once."""
        said: list[bytes] = []
        send, ledger, came = self._talk.send, self.ledger, self._came
        try:
            while True:
                if act is None:
                    act = send(result)
                if type(act) is bytes:
                    said.append(act)
                    result = None
                elif type(act) is Commands:
                    if ledger is None:
                        act.last = came.answers(act.replies, said) or act.last
                    result = came.line()
                    if result is None:
                        break
                    if ledger is not None:
                        ledger.came(decode(result))
                elif act is DATA and ledger is None:
                    result = came.data(is_kept=False)
                    if result is None:
                        break
                    self.mails += 1
                else:
                    result = self._slower(act, said)
                    if result is None:
                        break
                act = None
        except (StopIteration, TooLongError):
            act, self.is_over = Deed.CLOSE, True
        self._act = act
        if ledger is not None:
            self._flush(said)
        elif said:
            self.say(said[0] if len(said) == 1 else b"".join(said))
        if self.is_over:
            assert isinstance(act, Deed)
            self.end(act)
        elif self._is_busy:
            self.do(act)

    def _flush(self, said: list[bytes]) -> None:
        """Let what was said go out, and into the ledger."""
        if said and self.ledger is not None:
            octets = b"".join(said)
            said.clear()
            self.ledger.went(octets)
            self.say(octets)

    def _slower(self, act: Act, said: list[bytes]) -> object:
        """Perform what is not performed all the time; None if it cannot be yet."""
        match act:
            case Deed.DATA:
                return self._data(said)
            case Chunk():
                return self._chunk(act)
            case Line():
                line = self._came.line()
                if line is not None and self.ledger is not None:
                    self.ledger.came(decode(line))
                return line
            case Deed() if act in LAST:
                self.is_over = True
                return None
            case Deed.OCTETS:
                return True if self._came else None
            case Deed.EOF:
                return None
            case _:
                self._is_busy = True
                return None

    def _data(self, said: list[bytes]) -> bytes | None:
        assert self.ledger is not None
        raw = self._came.data()
        if raw is None:
            return None
        self._flush(said)  # what went out before is no verdict
        data = undoubled(raw)
        self.ledger.mail_came(data, raw)
        return data

    def _chunk(self, act: Chunk) -> bytes | None:
        if self.ledger is None:
            if self._act is not act:
                self._act, self._missing = act, act.size
            self._missing = self._came.skip(self._missing)
            self.mails += act.is_last and not self._missing
            return None if self._missing else b""
        chunk = self._came.octets(act.size)
        if chunk is not None:
            self._chunks += chunk
            if act.is_last:
                self.ledger.mail_came(bytes(self._chunks), bytes(self._chunks))
                self._chunks.clear()
        return chunk


class Memory(Pushed):
    """A session without sockets, threads or time: pauses are over at once.

    Attributes:
        said: what the server has said, and nobody has taken yet.
        ending: how it ended, or None: it has not.
        wants_tls: whether it waits for TLS to begin.
    """

    ledger: Ledger

    said: bytearray
    wants_tls: bool

    def __init__(self, server: Talking) -> None:
        super().__init__(server, Ledger(0, "memory", threading.Condition()))
        self.said = bytearray()
        self.ending: Deed | None = None
        self.wants_tls = False
        self.begin()

    def take(self) -> bytes:
        """Take what the server has said since."""
        octets = bytes(self.said)
        self.said.clear()
        return octets

    def say(self, octets: bytes) -> None:
        """Keep it for the client."""
        self.said += octets

    def end(self, deed: Deed) -> None:
        """Note how."""
        self.ending = deed

    def do(self, act: Act) -> None:
        """Do it at once, but TLS."""
        match act:
            case Deed.TLS:
                self.wants_tls = True
                return
            case Drip(octets):
                self.ledger.went(octets)
                self.say(octets)
            case Hold(begin):
                begin(self.done)
                return
            case Pause() | Wait():
                pass
            case _:
                raise NotImplementedError(act)
        self.done()

    def start_tls(self, version: str = "TLSv1.3") -> None:
        """Both sides have begun TLS."""
        assert self.wants_tls, "the server did not ask for TLS"
        self.wants_tls = False
        self.tls: str | None = version
        self.done(True)

"""A server that takes every mail, as fast as it is told to, and counts.

Arguments, all optional: ``chunking``: whether it offers CHUNKING; ``latency``: seconds until its
verdict on a mail; ``rate``: mails a second that it takes at most; ``free``: how many mails it
takes at once before these two hold; ``certificate``: a file with a key and a chain, for STARTTLS;
``tells``: whether its replies have addresses and queue ids, as those of real servers.
Command: ``report``: says what it has counted.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, cast

from pykka_smtp.testing.moods import Moment
from pykka_smtp.testing.stages.process import Served, say
from pykka_smtp.testing.talk.acts import Act, Hold

from .measure import Stopwatch, arguments
from .serving import serve, server_of


class Counts:
    """What is counted over all connections.

    Attributes:
        mails: verdicts given.
        connections: how many there were.
        held: mails that wait for their verdict.
        most_held: at most.
        handshakes: how many connections have done TLS.
        resumed: how many of these resumed an earlier session.
    """

    def __init__(self) -> None:
        self.mails = 0
        self.connections = 0
        self.held = 0
        self.most_held = 0
        self.handshakes = 0
        self.resumed = 0


class TakingServer:
    """What all sessions share; a mood that looks on, and may hold the verdict."""

    def __init__(
        self,
        *,
        chunking: bool = False,
        latency: float = 0.0,
        rate: float = 0.0,
        free: int = 0,
        certificate: str = "",
        tells: bool = False,
    ) -> None:
        self._counts = Counts()
        self._context: ssl.SSLContext | None = None
        offers = ["CHUNKING"] if chunking else []
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
            offers.append("STARTTLS")
        # Where nothing is held, sessions count for themselves: that costs next to nothing.
        is_quick = not (latency or rate or tells)
        self.stages: tuple[str, ...] = ("greeting", "EHLO")
        self.stages += () if is_quick else (".",)
        self.stages += ("MAIL", "RCPT") if tells else ()
        self._tells = tells
        self._sessions: list[Served] = []
        self._server = server_of(*offers, moods=[self])
        self._latency = latency
        self._interval = 1 / rate if rate else 0.0
        self._free = free
        self._next = 0.0
        self._watch: Stopwatch | None = None

    def __call__(self, moment: Moment) -> list[Act] | None:
        """Count; hold the verdict on a mail, if it is to be held."""
        if moment.stage == ".":
            return self._verdict(moment)
        if moment.stage in ("MAIL", "RCPT"):
            return [f"250 2.1.0 <{moment.path}>... Ok\r\n".encode()]
        if moment.stage == "greeting":
            self._connected()
        elif moment.client.tls is not None:
            self._look_at_tls(moment)
        return None

    def session(self) -> Served:
        """Make a session."""
        session = Served(self._server, context=self._context)
        self._sessions.append(session)
        return session

    def report(self, _command: str) -> None:
        """Say what was counted, and the seconds of processor time since the first connection."""
        if "." not in self.stages:
            self._counts.mails = sum(session.mails for session in self._sessions)
        say(**vars(self._counts), cpu=self._watch.cpu() if self._watch else 0.0)

    def _connected(self) -> None:
        """Count a connection; the first starts the clock of the processor time."""
        self._watch = self._watch or Stopwatch()
        self._counts.connections += 1

    def _look_at_tls(self, moment: Moment) -> None:
        transport = cast("Served", moment.client).transport
        self._counts.handshakes += 1
        self._counts.resumed += transport.get_extra_info("ssl_object").session_reused

    def _verdict(self, moment: Moment) -> list[Act] | None:
        """Take a mail, now or when it is due."""
        if self._free:
            self._free -= 1
        elif self._latency or self._interval:
            return [Hold(self._hold), moment.reply]
        self._counts.mails += 1
        if self._tells:
            return [f"250 2.0.0 Ok: queued as 4bX{self._counts.mails:08X}zQ\r\n".encode()]
        return None

    def _hold(self, go_on: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._latency
        if self._interval:
            self._next = due = max(due, self._next + self._interval)
        self._counts.held += 1
        self._counts.most_held = max(self._counts.most_held, self._counts.held)
        loop.call_at(due, self._release, go_on)

    def _release(self, go_on: Callable[[], Any]) -> None:
        self._counts.held -= 1
        self._counts.mails += 1
        go_on()


if __name__ == "__main__":
    shared = TakingServer(**arguments())
    serve(shared.session, shared.report)

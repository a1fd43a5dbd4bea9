"""Where the soak's servers listen: each place has offers, moods, and times when nobody is there.

``python -m fuzz.soak_place SEED JOURNAL CERTIFICATE NAME=PORT...`` serves at these places until
its standard input ends. It prints a line once all of them listen. They are calm, and take every
mail, until they hear ``wild``; ``calm`` makes them so again. It may be killed at any moment.
"""

import asyncio
import contextlib
import logging
import random
import signal
import socket
import ssl
import sys
from pathlib import Path

from .soak_journal import Journal
from .soak_session import Session
from .surroundings import HOST

OFFERS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "pipelining": ("PIPELINING", "8BITMIME", "SIZE 10240000"),
    "chunking": ("PIPELINING", "CHUNKING", "8BITMIME"),
    "starttls": ("PIPELINING", "STARTTLS"),
    "shaky": ("PIPELINING",),
    "backup": ("PIPELINING", "CHUNKING", "LIMITS MAILMAX=30"),
}
"""The places, and what each says to EHLO."""

_MOODS = {
    "fair": 16,
    "stalling": 2,
    "greylisting": 2,
    "refusing": 2,
    "full": 2,
    "busy": 1,
    "resetting": 1,
    "closing": 2,
    "down": 2,
}
_SHAKY = 12
"""How much more often a shaky place is down."""
_RISK = 1 / 400
"""The share of replies that do not come as they should, in any mood."""
_MOST_BINDS = 200


class Place:
    """One place.

    Args:
        name: which one.
        port: where it listens.
        journal: what it writes to.
        chance: of all that is random.
        context: for STARTTLS, or None.

    Attributes:
        mood: how it treats clients at the moment.
        risk: the share of replies that do not come as they should.
        is_calm: whether it takes every mail.
        offers: what it says to EHLO.
        sessions: those that are under way.
    """

    def __init__(
        self,
        name: str,
        port: int,
        journal: Journal,
        chance: random.Random,
        context: ssl.SSLContext | None,
    ) -> None:
        self.mood = "fair"
        self.risk = _RISK
        self.is_calm = True
        self.chance = chance
        self.context = context if "STARTTLS" in OFFERS[name] else None
        self.journal = journal
        self._name = name
        self._port = port
        self._server: asyncio.Server | None = None
        self.sessions: set[Session] = set()
        self.offers = tuple(
            offer for offer in OFFERS[name] if offer != "STARTTLS" or context is not None
        )

    async def open(self) -> None:
        """Listen."""
        for _ in range(_MOST_BINDS):
            with contextlib.suppress(OSError):  # the one before may not be gone yet
                self._server = await asyncio.get_running_loop().create_server(
                    lambda: Session(self), sock=bound_socket(self._port), backlog=512
                )
                return
            await asyncio.sleep(0.02)
        raise RuntimeError(f"cannot listen at port {self._port}")

    async def live(self) -> None:
        """Change moods, for ever; go down and come back."""
        weights = _MOODS | ({"down": _SHAKY} if self._name == "shaky" else {})
        while True:
            await asyncio.sleep(self.chance.uniform(0.1, 1.2))
            [self.mood] = self.chance.choices(list(weights), list(weights.values()))
            if self.is_calm:
                self.mood = "fair"
            elif self.mood == "down":
                self._go_down()
                await asyncio.sleep(self.chance.uniform(0.02, 0.5))
                await self.open()
                self.mood = "fair"

    def hear(self, word: str) -> None:
        """Be calm or wild, from now on."""
        self.is_calm, self.mood = word == "calm", "fair"

    def complain(self, what: str) -> None:
        """Write down what a client must not do."""
        self.journal.complain(f"{self._name}: {what}")

    def _go_down(self) -> None:
        assert self._server is not None
        self.journal.restart()
        self._server.close()
        for session in list(self.sessions):
            session.abort(reset=self.chance.random() < 1 / 2)


def bound_socket(port: int = 0) -> socket.socket:
    """Make a socket that is bound, and shares its port with others of ours."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((HOST, port))
    except OSError:
        sock.close()
        raise
    return sock


async def _serve(
    seed: int, journal: Journal, context: ssl.SSLContext | None, ports: dict[str, int]
) -> None:
    places = [
        Place(name, port, journal, random.Random(f"{seed} {name}"), context)
        for name, port in ports.items()
    ]
    for place in places:
        await place.open()
    print("ready", flush=True)
    lives = [asyncio.create_task(place.live()) for place in places]
    while word := await asyncio.to_thread(sys.stdin.readline):
        for place in places:
            place.hear(word.strip())
    for life in lives:
        life.cancel()


def main() -> None:
    """Serve, as the command line says."""
    # Ctrl-C goes to all processes of a terminal. The soak's end is for the soak to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable()
    seed, journal, certificate, *ports = sys.argv[1:]
    pairs = (port.partition("=") for port in ports)
    where = {name: int(number) for name, _, number in pairs}
    context = None
    if Path(certificate).exists():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    asyncio.run(_serve(int(seed), Journal(Path(journal)), context, where))


if __name__ == "__main__":
    main()

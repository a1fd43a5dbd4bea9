"""The soak's servers: processes that are killed and come back at the same ports."""

import contextlib
import importlib
import importlib.util
import random
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .soak_journal import Found, Journal, read_journal
from .soak_place import OFFERS, bound_socket
from .surroundings import HOST, PATIENCE

_SHARED = (("plain", "pipelining", "starttls"), ("chunking", "shaky", "backup"))
"""Which places have a process in common."""


class Servers:
    """All servers.

    Args:
        folder: an empty folder for their files.
        seed: of all that is random.

    Attributes:
        ports: where each place listens.
        trust: a context for clients, if there is a library to make certificates with.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._seed = seed
        self._chance = random.Random(f"{seed} servers")
        # Bound, without listening, or the ports of those that are down might go to others.
        self._kept = {name: bound_socket() for name in OFFERS}
        self.ports = {name: int(sock.getsockname()[1]) for name, sock in self._kept.items()}
        self._path = folder / "journal"
        self._journal = Journal(self._path)
        self._certificate = folder / "server.pem"
        self.trust = _certificate(self._certificate)
        self._mood = "calm"
        self._children = [self._start(names) for names in _SHARED]

    def restart(self) -> None:
        """Kill a process, and start another in its place."""
        number = self._chance.randrange(len(self._children))
        self._journal.restart()
        _kill(self._children[number])
        time.sleep(self._chance.uniform(0.0, 0.3))
        self._children[number] = self._start(_SHARED[number])

    def go_wild(self) -> None:
        """Fail, from now on."""
        self._set_mood("wild")

    def calm_down(self) -> None:
        """Take every mail, from now on; so they do at first."""
        self._set_mood("calm")

    def _set_mood(self, mood: str) -> None:
        self._mood = mood
        for child in self._children:
            assert child.stdin is not None
            child.stdin.write(f"{mood}\n")
            child.stdin.flush()

    def read(self) -> Found:
        """Return what they have written down by now."""
        return read_journal(self._path)

    def close(self) -> None:
        """End them."""
        for child in self._children:
            _kill(child)
        for sock in self._kept.values():
            sock.close()
        self._journal.close()

    def _start(self, names: Sequence[str]) -> "subprocess.Popen[str]":
        self._seed += 1  # or after a restart all would be as before
        ports = [f"{name}={self.ports[name]}" for name in names]
        module = f"{__package__}.soak_place"
        child = subprocess.Popen(
            [sys.executable, "-m", module, str(self._seed), self._path, self._certificate, *ports],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        assert child.stdout is not None
        if not child.stdout.readline():
            raise RuntimeError("a server of the soak does not start")
        assert child.stdin is not None
        child.stdin.write(f"{self._mood}\n")
        child.stdin.flush()
        return child


@contextlib.contextmanager
def all_servers(folder: Path, seed: int) -> Iterator[Servers]:
    """Have the servers run."""
    servers = Servers(folder, seed)
    try:
        yield servers
    finally:
        servers.close()


def _kill(child: "subprocess.Popen[str]") -> None:
    child.kill()
    child.wait(PATIENCE)
    for pipe in (child.stdin, child.stdout):
        assert pipe is not None
        pipe.close()


def _certificate(path: Path) -> ssl.SSLContext | None:
    """Make a certificate for the servers; return the context of who trusts it."""
    if importlib.util.find_spec("trustme") is None:
        return None
    trustme: Any = importlib.import_module("trustme")
    authority = trustme.CA()
    authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(str(path))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context

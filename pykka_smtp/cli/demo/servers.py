"""The servers of the demo: one that works, and three that do not.

They listen on free ports of the loopback interface only.
"""

import contextlib
import socket
from collections.abc import Generator
from dataclasses import dataclass

from ...testing import Server, defer, drop, refuse, silence

HOST = "127.0.0.1"
NAME = "mx.example.org"
NOBODY = "nobody@example.org"
"""A recipient that the good server rejects (5yz)."""
GREYLISTED = "later@example.org"
"""A recipient that the good server defers (4yz)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports of the servers.

    Attributes:
        good: a server that accepts email for all but two recipients.
        nobody: a port on which no server listens.
        silent: a server that accepts connections and sends nothing.
        dropping: a server that closes the connection instead of sending the final reply.
    """

    good: int
    nobody: int
    silent: int
    dropping: int


@contextlib.contextmanager
def running() -> Generator[Ports]:
    """Run the servers while the block runs.

    Raises:
        OSError: the loopback interface cannot be used.
    """
    no_mailbox = refuse("RCPT", "550 5.1.1 no such mailbox here", to=NOBODY)
    greylisted = defer("RCPT", "450 4.2.0 greylisted", to=GREYLISTED)
    with (
        Server(no_mailbox, greylisted, name=NAME) as good,
        # Bound, so that no other program gets the port, but nobody listens on it.
        socket.socket() as nobody,
        Server(silence("greeting")) as silent,
        Server(drop("."), name=NAME) as dropping,
    ):
        nobody.bind((HOST, 0))
        yield Ports(
            good=good.port,
            nobody=nobody.getsockname()[1],
            silent=silent.port,
            dropping=dropping.port,
        )

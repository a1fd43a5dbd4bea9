"""A server that lets nobody in before the test says so."""

import threading

from pykka_smtp.testing.polite import Polite
from pykka_smtp.testing.stages.conn import Conn


class Door:
    """A script: polite, but greets nobody before it is opened. Not to be opened is no error.

    Args:
        extensions: the lines of the EHLO reply, as for `Polite`.
    """

    def __init__(self, *extensions: str) -> None:
        self._polite = Polite(*extensions)
        self._open = threading.Event()

    def __call__(self, conn: Conn) -> None:
        """Talk to one client."""
        conn.session.note("at the door")
        conn.wait(self._open)
        self._polite(conn)

    def open(self) -> None:
        """Let all in."""
        self._open.set()

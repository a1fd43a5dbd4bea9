"""A real server on the loopback interface that plays a script, and keeps a ledger.

::

    with ScriptedServer(script) as server:
        ...  # a client talks to server.host, server.port
        server.wait_for(lambda: server.accepted == 1)
"""

import contextlib
import selectors
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from ..polite import Polite
from ..talk.ledger import Ledger, ReceivedMail
from ..talk.script import ScriptMismatch, parse_script
from .conn import ClientGone, Conn

Script = str | Callable[[Conn], object]
"""The text of a script (see `script`), or a function that talks to one client."""

JOIN = 5.0
"""Seconds that a thread of ours has to end after its socket was shut down."""


class ScriptedServer:
    """A TCP server, one thread for each connection.

    A client that does not keep to the script fails the test: leaving the ``with`` block raises
    `ScriptMismatch` with the conversation. A client that leaves early does not: `Ledger.completed`
    tells.

    Args:
        scripts: the first for the first connection, and so on; the last one for all others. None
            given: a polite server that takes everything, see `polite.Polite`.
        host: ``"127.0.0.1"`` or ``"::1"``.
        path: a Unix socket to listen on, instead of a port.
        context: for the scripts that start TLS.
        patience: seconds that one read or write may wait for the client.
        drip_interval: seconds between two octets of ``S! drip``.

    Attributes:
        host: where it listens.
        port: a free port, chosen by the system; 0 on a Unix socket.
        sessions: one ledger for each connection, in order; none before it is accepted.
    """

    def __init__(
        self,
        *scripts: Script,
        host: str = "127.0.0.1",
        path: Path | None = None,
        context: ssl.SSLContext | None = None,
        patience: float = 30.0,
        drip_interval: float = 0.02,
    ) -> None:
        self.host = host
        self.port: int = 0
        self.sessions: list[Ledger] = []
        self._path = path
        self._scripts = [_callable(script) for script in scripts or (Polite(),)]
        self._context = context
        self._patience = patience
        self._drip_interval = drip_interval
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._conns: list[tuple[Conn, threading.Thread]] = []

    def __enter__(self) -> Self:
        """Listen, and accept in a thread."""
        self._listener = self._listen()
        self._listener.setblocking(False)
        self.port = 0 if self._path else self._listener.getsockname()[1]
        # Closing a socket does not wake a thread that waits on it; an octet from a friend does.
        self._alarm, self._bell = socket.socketpair()
        self._accepter = threading.Thread(
            target=self._accept, name=f"scripted-{self.port}", daemon=True
        )
        self._accepter.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every conversation, join all threads, close all sockets; then judge the client."""
        self._stopping.set()
        self._bell.send(b"!")
        self._accepter.join(JOIN)
        for conn, _ in self._conns:
            conn.abort()
        for _, thread in self._conns:
            thread.join(JOIN)
        for sock in (self._listener, self._alarm, self._bell):
            sock.close()
        stuck = [t.name for _, t in self._conns if t.is_alive()]
        if stuck:
            raise RuntimeError(f"threads of the scripted server did not end: {stuck}")
        if kind is None:
            self.judge()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port

    @property
    def mails(self) -> tuple[ReceivedMail, ...]:
        """The mails that came whole, over all connections."""
        with self._changed:
            return tuple(mail for session in self.sessions for mail in session.mails)

    @property
    def accepted(self) -> int:
        """How many mails got a complete 2yz reply after their last octet."""
        with self._changed:
            return sum(mail.accepted for mail in self.mails)

    @property
    def lines(self) -> tuple[str, ...]:
        """The command lines of all connections."""
        with self._changed:
            return tuple(line for session in self.sessions for line in session.lines)

    @property
    def transcript(self) -> str:
        """What happened, for people."""
        with self._changed:
            return "\n".join(
                f"[{session.number}] {event}"
                for session in self.sessions
                for event in session.events
            )

    def wait_for(self, predicate: Callable[[], object], timeout: float = 5.0) -> None:
        """Wait until the predicate holds; it is asked after each event.

        Raises:
            AssertionError: it did not hold within the seconds given.
        """
        with self._changed:
            if not self._changed.wait_for(predicate, timeout):
                raise AssertionError(
                    f"waited {timeout} s in vain; what happened:\n{self.transcript or '(nothing)'}"
                )

    def wait_until_ended(self, sessions: int = 1, timeout: float = 5.0) -> None:
        """Wait until so many connections have come, and all that came have ended."""
        self.wait_for(
            lambda: len(self.sessions) >= sessions and all(s.ended for s in self.sessions), timeout
        )

    def judge(self) -> None:
        """Raise `ScriptMismatch` if a client did not keep to its script."""
        errors = [f"[{s.number}] {s.error}" for s in self.sessions if s.error]
        if errors:
            raise ScriptMismatch("\n".join(errors) + f"\nwhat happened:\n{self.transcript}")

    def _listen(self) -> socket.socket:
        if self._path is None:
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            return socket.create_server((self.host, 0), family=family, backlog=512)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._path))
        listener.listen(512)
        return listener

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._alarm, selectors.EVENT_READ)
            while not self._stopping.is_set():
                selector.select()
                # The client may have gone again before it was accepted.
                with contextlib.suppress(OSError):
                    sock, peer = self._listener.accept()
                    self._begin(sock, peer[0] if peer else "")

    def _begin(self, sock: socket.socket, peer: str) -> None:
        with self._changed:
            session = Ledger(len(self.sessions), peer, self._changed)
            self.sessions.append(session)
        conn = Conn(
            sock,
            session,
            changed=self._changed,
            stopping=self._stopping,
            context=self._context,
            patience=self._patience,
            drip_interval=self._drip_interval,
        )
        thread = threading.Thread(
            target=self._serve,
            args=(conn,),
            name=f"scripted-{self.port}-{session.number}",
            daemon=True,
        )
        self._conns.append((conn, thread))
        thread.start()

    def _serve(self, conn: Conn) -> None:
        session = conn.session
        script = self._scripts[min(session.number, len(self._scripts) - 1)]
        try:
            script(conn)
            session.completed = True
            if not self._stopping.is_set():
                conn.close()
        except ClientGone as gone:
            session.note(str(gone))
        except Exception as error:  # whatever a script raises belongs to the test
            session.error = str(error) if isinstance(error, ScriptMismatch) else repr(error)
            session.note(f"against the script: {session.error}")
        finally:
            conn.release()
            session.ended = True
            session.note("ended")


def _callable(script: Script) -> Callable[[Conn], object]:
    if not isinstance(script, str):
        return script
    steps = parse_script(script)
    return lambda conn: conn.play(steps)

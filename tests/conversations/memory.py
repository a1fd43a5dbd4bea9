"""An in-memory network: a connection of ours, with nothing real below it.

The connection is the real one, and so is the dialog. The transport, the socket and the loop are
fakes: no thread, no descriptor, and a clock that is moved by hand.
"""

import dataclasses
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, cast

from pykka_smtp.actors.net.timeouts import Timeouts
from pykka_smtp.actors.net.wire.connection import Connection
from pykka_smtp.actors.options.options import collect_options
from pykka_smtp.smtp.session.dialog.dialog import Dialog
from pykka_smtp.smtp.words.verdict import Verdict
from pykka_smtp.testing.talk.script import decode

TIMEOUT = 20.0  # below the default, each stage has the same
DEADLINE = 300.0
_ROUNDS = 10_000  # callbacks at most, for a connection that would wait for itself for ever


class FakeTask:
    """Stands for a coroutine that is never run."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        coroutine.close()

    def cancel(self) -> None:
        """Nothing to do."""


class FakeLoop:
    """The event loop and its thread, as far as a connection knows them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.watched: list[Connection] = []
        self._soon: deque[Callable[[], object]] = deque()

    @property
    def loop(self) -> "FakeLoop":
        """Itself: one fake is enough for both."""
        return self

    def time(self) -> float:
        """The time, in seconds."""
        return self.now

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Note what to call next."""
        self._soon.append(lambda: function(*args))

    def create_task(self, coroutine: Coroutine[Any, Any, Any]) -> FakeTask:
        """Take a coroutine, which is the connecting: here, somebody else does that."""
        return FakeTask(coroutine)

    def add_ticking(self, connection: Connection) -> None:
        """Show a connection the clock from now on."""
        if connection not in self.watched:
            self.watched.append(connection)

    def remove_ticking(self, connection: Connection) -> None:
        """Show it no more."""
        if connection in self.watched:
            self.watched.remove(connection)

    def run(self) -> None:
        """Call all that is to be called."""
        for _ in range(_ROUNDS):
            if not self._soon:
                return
            self._soon.popleft()()
        raise AssertionError("the connection waits for itself")

    def advance(self, seconds: float) -> None:
        """Let time go by."""
        for _ in range(int(seconds * 10) + 2):
            self.now += 0.1
            for connection in list(self.watched):
                connection.on_tick(self.now)
            self.run()


class FakeSocket:
    """Has no descriptor, so nothing ever waits to be read from it."""

    def fileno(self) -> int:
        """None that is valid."""
        return -1

    def setsockopt(self, *_args: object) -> None:
        """Nothing to do."""


class FakeTransport:
    """Takes everything at once.

    Attributes:
        said: what the client has written, and nobody has taken yet.
        is_closed: whether the client closes.
    """

    def __init__(self, loop: FakeLoop, connection: Connection) -> None:
        self.said = bytearray()
        self.is_closed = False
        self.connection = connection
        self._loop = loop

    def write(self, data: bytes) -> None:
        """Take octets, until it is closed."""
        if not self.is_closed:
            self.said += data

    def get_write_buffer_size(self) -> int:
        """Nothing waits here."""
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing to limit."""

    def get_extra_info(self, name: str) -> object:
        """A socket, and nothing else."""
        return FakeSocket() if name == "socket" else None

    def is_closing(self) -> bool:
        """Whether the client closes."""
        return self.is_closed

    def close(self) -> None:
        """Close, soon."""
        if not self.is_closed:
            self.is_closed = True
            self._loop.call_soon(self.connection.connection_lost, None)

    abort = close


class MemoryPlayer:
    """The client's side on the fake network; also who owns the connection.

    Attributes:
        verdict: what became of the mail.
        is_closed: whether the connection is gone.
    """

    def __init__(
        self,
        loop: FakeLoop,
        dialog: Dialog,
        *,
        timeouts: Timeouts | None = None,
        transport: type[FakeTransport] = FakeTransport,
    ) -> None:
        self.verdict: Verdict | None = None
        self.is_closed = False
        self._loop = loop
        options = collect_options("mx.test", 25, tls="off", timeout=TIMEOUT, deadline=DEADLINE)
        if timeouts is not None:
            options = dataclasses.replace(options, timeouts=timeouts)
        self._connection = Connection(options)
        self._connection.run(self, dialog)
        self.transport = transport(loop, self._connection)
        self._connection.connection_made(cast("Any", self.transport))
        loop.run()

    # What the connection tells its owner.

    def decided(self, verdict: Verdict) -> None:
        """Hear the verdict."""
        assert self.verdict is None, "a second verdict"
        self.verdict = verdict

    def closed(self) -> None:
        """Hear that the connection is gone."""
        assert self.verdict is not None, "closed without a verdict"
        assert not self.is_closed, "closed twice"
        self.is_closed = True

    def connected(self) -> None:
        """Hear that the connection stands."""

    def released(self) -> None:
        """Nobody keeps this connection."""
        raise AssertionError("released, and was not asked for")

    # What the server does.

    def hear(self, octets: bytes) -> None:
        """The server says this, in one piece."""
        if not self.transport.is_closed:
            self._connection.data_received(octets)
        self._loop.run()

    def line(self) -> str:
        """Take the client's next line."""
        line, end, rest = bytes(self.transport.said).partition(b"\r\n")
        assert end, f"the client says nothing here; its verdict: {self.verdict}"
        self.transport.said[:] = rest
        return decode(line)

    def start_tls(self) -> None:
        """There is no TLS without a socket."""
        raise AssertionError("this conversation is not for this level")

    def data(self) -> bytes:
        """Take the mail data with the lone dot."""
        data, end, rest = bytes(self.transport.said).partition(b"\r\n.\r\n")
        assert end, f"the client sends no mail; its verdict: {self.verdict}"
        self.transport.said[:] = rest
        return data + end

    def has_left(self) -> bool:
        """Whether the client has closed, and all that it said was heard."""
        return self.is_closed and not self.transport.said

    def close(self) -> None:
        """The server closes; a transport does the same then, by itself."""
        if not self.transport.is_closed:
            self._connection.eof_received()
            self.transport.close()
        self._loop.run()

    def reset(self) -> None:
        """The server closes hard."""
        if not self.transport.is_closed:
            self.transport.is_closed = True
            self._connection.connection_lost(ConnectionResetError(104, "reset"))
        self._loop.run()

    def fall_silent(self) -> None:
        """The server says nothing more, for longer than the client waits at most."""
        self._loop.advance(3 * TIMEOUT)

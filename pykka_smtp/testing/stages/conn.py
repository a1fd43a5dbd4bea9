"""One conversation with one client, on a blocking socket, in a thread of its own."""

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..talk.acts import LAST, Act, Chunk, Commands, Deed, Drip, Hold, Line, Pause, Talk, Wait
from ..talk.ledger import Ledger, ReceivedMail
from ..talk.script import ScriptMismatch, Step, announced_chunk, decode, encode, expected, play
from ..talk.stream import MAIL_MAX, Stream, TooLongError, undoubled

UNANSWERED_MAX = 1024 * 1024
"""Octets that are kept of what comes after the last answer."""
_LOOK = 0.02
"""Seconds between two looks at whether the test has ended."""
LINGER = 5.0
"""Seconds that a client has to close after the server closed."""


class ClientGone(Exception):  # noqa: N818 - it is no error: clients leave
    """The client left, or the test ended."""


class Conn:
    """The server's side of one connection; what a script in Python works with.

    All of it runs in the connection's own thread. Any call may raise `ClientGone`; a script lets
    that pass, and the connection ends.

    Args:
        sock: the accepted socket; owned from here on.
        session: the ledger.
        changed: the server's condition; held while a reply is sent, see `Ledger`.
        stopping: set when the test ends.
        context: for `starttls` without an argument.
        patience: seconds that one read or write may wait for the client.
        drip_interval: seconds between two octets of `drip`.
    """

    def __init__(
        self,
        sock: socket.socket,
        session: Ledger,
        *,
        changed: threading.Condition,
        stopping: threading.Event,
        context: ssl.SSLContext | None,
        patience: float,
        drip_interval: float,
    ) -> None:
        sock.settimeout(patience)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.session = session
        self.user: str | None = None
        self._sock = sock
        self._changed = changed
        self._stopping = stopping
        self._context = context
        self._drip_interval = drip_interval
        self._came = Stream()
        self._chunks = bytearray()

    @property
    def tls(self) -> str | None:
        """The version of TLS, or None where it has not begun."""
        return self.session.tls

    @property
    def socket(self) -> socket.socket:
        """The socket, under TLS one of TLS."""
        return self._sock

    def send(self, *lines: str) -> None:
        """Send each line and CRLF, all in one write."""
        self.raw(b"".join(encode(line) + b"\r\n" for line in lines))

    def raw(self, octets: bytes) -> None:
        """Send these octets."""
        try:
            if len(octets) > 4096:
                # A flood may block; whoever asks the ledger must not wait for that.
                self._sock.sendall(octets)
                self.session.went(octets)
                return
            with self._changed:
                self._sock.sendall(octets)
                self.session.went(octets)
        except OSError as error:
            raise ClientGone(f"write: {error}") from error

    def drip(self, octets: bytes, *, endless: bool = False, interval: float | None = None) -> None:
        """Send octet by octet.

        Args:
            octets: what to send, once.
            endless: go on with the last octet until the client leaves or the test ends.
            interval: seconds between two octets, instead of the server's.
        """
        pause = self._drip_interval if interval is None else interval
        for octet in octets:
            self.raw(bytes([octet]))
            self._pause(pause)
        while endless:
            self.raw(octets[-1:])
            self._pause(pause)

    def wait(self, event: threading.Event) -> None:
        """Wait until a test sets the event."""
        while not event.wait(_LOOK):
            self._pause(0)

    def line(self, pattern: str = "*") -> str:
        """Read one command line.

        Args:
            pattern: what it must be; ``*`` stands for any text.

        Returns:
            The line without CRLF.

        Raises:
            ScriptMismatch: another line came.
        """
        return expected(pattern, decode(self._line(pattern)))

    def body(self) -> ReceivedMail:
        """Read mail data up to and including the lone dot (RFC 5321 §4.1.1.4)."""
        raw = self._until(self._came.data, "C: <data>")
        self.session.mail_came(data=undoubled(raw), raw=raw)
        return self.session.mails[-1]

    def chunk(self) -> bytes:
        """Read the octets that the last line, a BDAT, announced (RFC 3030 §2)."""
        return self._chunk(announced_chunk(self.session.lines[-1]))

    def octets(self, waiting_for: str = "any octets") -> None:
        """Wait until any octets have come; they stay for whoever reads next."""
        self._read(waiting_for)

    def eof(self) -> None:
        """Expect that the client hangs up without another octet."""
        with contextlib.suppress(ClientGone):
            line = decode(self._line("<eof>"))
            raise ScriptMismatch(f"the client said {line!r} where the script expects it to leave")
        if self._came:
            raise ScriptMismatch(f"the client left amid a line: {self._came.take_all()!r}")

    def starttls(self, context: ssl.SSLContext | None = None) -> None:
        """Make the server's side of the TLS handshake; the 220 has been sent before.

        Octets that came in clear before the handshake stay where they are, and are the next that
        is read: a client that sends any shows so in the ledger.
        """
        chosen = context or self._context
        if chosen is None:
            raise ScriptMismatch("the script starts TLS: give ScriptedServer a context")
        try:
            # Ours before the handshake begins, so that abort() can end it.
            tls = chosen.wrap_socket(self._sock, server_side=True, do_handshake_on_connect=False)
            self._sock = tls
            tls.do_handshake()
        except OSError as error:
            raise ClientGone(f"TLS handshake: {error}") from error
        self.session.tls = tls.version()
        self.session.note(f"TLS: {tls.version()}")

    def close(self) -> None:
        """Close with FIN: what was sent arrives, even if the client is still writing.

        A plain close with octets unread makes a RST of it, which may destroy a reply on its way.
        """
        if self._sock.fileno() < 0:
            return
        self.session.note("S: closes")
        with contextlib.suppress(OSError):
            if isinstance(self._sock, ssl.SSLSocket):
                self._sock.settimeout(LINGER)
                self._sock = self._sock.unwrap()
            self._sock.shutdown(socket.SHUT_WR)
            self._sock.settimeout(LINGER)
            self._drain()
        self._sock.close()

    def reset(self) -> None:
        """Close at once with RST."""
        self.session.note("S: resets")
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def hang(self) -> None:
        """Answer nothing more, but keep the connection until the client leaves or the test ends."""
        self.session.note("S: falls silent")
        self._sock.settimeout(None)
        with contextlib.suppress(OSError):
            self._drain()
        self.session.note("the client left, or the test ended")

    def deaf(self) -> None:
        """Read nothing more, but keep the connection until the test ends."""
        self.session.note("S: goes deaf")
        self._stopping.wait()

    def abort(self) -> None:
        """End whatever the connection's thread waits for; from any thread."""
        with contextlib.suppress(OSError):
            # Not SSLSocket's own shutdown, which throws the TLS state away under the reader.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def release(self) -> None:
        """Close the socket if nobody did."""
        self._sock.close()

    def play(self, steps: Sequence[Step]) -> None:
        """Run a script.

        Raises:
            ScriptMismatch: the client did not keep to it.
        """
        self.run(play(steps))

    def run(self, talk: Talk) -> None:
        """Perform a talk, to its end or to an act after which nothing comes."""
        result: Any = None
        with contextlib.suppress(StopIteration):
            while True:
                act = talk.send(result)
                try:
                    result = self.perform(act)
                except ScriptMismatch as mismatch:
                    talk.throw(mismatch)
                if act in LAST:
                    return

    def perform(self, act: Act) -> Any:
        """Do one act of a talk, and return its result."""
        match act:
            case bytes():
                return self.raw(act)
            case Commands():
                return self._line("*")
            case Line(pattern, within):
                return self._line(pattern) if within is None else self._line_within(act)
            case Chunk():
                return self._chunk(act)
            case Drip(octets, is_endless, interval):
                return self.drip(octets, endless=is_endless, interval=interval)
            case Pause(seconds):
                return self._pause(seconds)
            case Wait(event):
                return self.wait(event)
            case Hold(begin):
                event = threading.Event()
                begin(event.set)
                return self.wait(event)
            case Deed.DATA:
                return self.body().data
            case Deed.TLS:
                self.starttls()
                return True
            case _:
                return self._deeds[act](self)

    _deeds: dict[Deed, "Callable[[Conn], None]"] = {  # noqa: RUF012 - nobody changes it
        Deed.OCTETS: octets,
        Deed.EOF: eof,
        Deed.CLOSE: close,
        Deed.RESET: reset,
        Deed.SILENCE: hang,
        Deed.DEAF: deaf,
    }

    def _line(self, pattern: str) -> bytes:
        line = self._until(self._came.line, f"C: {pattern}")
        self.session.came(decode(line))
        return line

    def _line_within(self, act: Line) -> bytes | None:
        """Read a line, if it comes in time."""
        patience, end = self._sock.gettimeout(), time.monotonic() + (act.within or 0)
        try:
            while (line := self._came.line()) is None:
                self._sock.settimeout(max(1e-3, end - time.monotonic()))
                self._read(f"C: {act.expected}")
        except ClientGone as gone:
            if isinstance(gone.__cause__, TimeoutError):
                return None
            raise
        finally:
            self._sock.settimeout(patience)
        self.session.came(decode(line))
        return line

    def _chunk(self, announced: Chunk) -> bytes:
        if len(self._chunks) + announced.size > MAIL_MAX:
            raise ScriptMismatch(f"chunks of more than {MAIL_MAX} octets")
        chunk = self._until(lambda: self._came.octets(announced.size), "C: <chunk>")
        self._chunks += chunk
        if announced.is_last:
            self.session.mail_came(data=bytes(self._chunks), raw=bytes(self._chunks))
            self._chunks.clear()
        return chunk

    def _until(self, take: Callable[[], bytes | None], waiting_for: str) -> bytes:
        """Read until there is what is to be taken, and take it."""
        try:
            while (taken := take()) is None:
                self._read(waiting_for)
        except TooLongError as error:
            raise ScriptMismatch(str(error)) from None
        return taken

    def _read(self, waiting_for: str) -> None:
        try:
            octets = self._sock.recv(256 * 1024)
        except TimeoutError as error:
            raise ClientGone(f"the client said nothing for too long, at {waiting_for}") from error
        except OSError as error:
            raise ClientGone(f"read: {error}, at {waiting_for}") from error
        if not octets:
            raise ClientGone(f"the client left, at {waiting_for}")
        self._came.feed(octets)

    def _drain(self) -> None:
        # The octets read before count too. Each read is bounded by the socket's timeout, all
        # together by the client, which leaves, or by the end of the test, which calls abort().
        kept = self.session.unanswered + self._came.take_all()
        while True:
            self.session.unanswered = kept
            octets = self._sock.recv(64 * 1024)
            if not octets:
                return
            kept = (kept + octets)[:UNANSWERED_MAX]

    def _pause(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise ClientGone("the test ended")

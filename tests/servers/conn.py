"""One conversation with one client, on a blocking socket, in a thread of its own."""

import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Sequence

from .script import Action, Step, decode, encode, matches
from .session import ReceivedMail, Session

LINE_MAX = 64 * 1024
"""Octets of one command line; more is taken for a client gone mad."""
MAIL_MAX = 256 * 1024 * 1024
"""Octets of one mail."""
UNANSWERED_MAX = 1024 * 1024
"""Octets that are kept of what comes after the last answer."""
_LOOK = 0.02
"""Seconds between two looks at whether the test has ended."""
LINGER = 5.0
"""Seconds that a client has to close after the server closed."""


class ClientGone(Exception):  # noqa: N818 - it is no error: clients leave
    """The client left, or the test ended."""


class ScriptMismatch(AssertionError):  # noqa: N818 - reads as what it is
    """The client did what the script does not expect."""


class Conn:
    """The server's side of one connection; what a script in Python works with.

    All of it runs in the connection's own thread. Any call may raise `ClientGone`; a script lets
    that pass, and the connection ends.

    Args:
        sock: the accepted socket; owned from here on.
        session: the ledger.
        changed: the server's condition; held while a reply is sent, see `Session`.
        stopping: set when the test ends.
        context: for `starttls` without an argument.
        patience: seconds that one read or write may wait for the client.
        drip_interval: seconds between two octets of `drip`.
    """

    def __init__(
        self,
        sock: socket.socket,
        session: Session,
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
        self._sock = sock
        self._changed = changed
        self._stopping = stopping
        self._context = context
        self._drip_interval = drip_interval
        self._came = bytearray()
        self._chunks = bytearray()

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
        line = self._line(f"C: {pattern}")
        if not matches(pattern, line):
            raise ScriptMismatch(f"the client said {line!r} where the script expects {pattern!r}")
        return line

    def body(self) -> ReceivedMail:
        """Read mail data up to and including the lone dot (RFC 5321 §4.1.1.4)."""
        # As if the CRLF of the DATA line stood before it: a mail may be the lone dot alone.
        data, seen = bytearray(b"\r\n"), 0
        while True:
            data += self._came
            self._came.clear()
            end = data.find(b"\r\n.\r\n", max(0, seen - 4))
            if end >= 0:
                break
            if len(data) > MAIL_MAX:
                raise ScriptMismatch(f"mail data of more than {MAIL_MAX} octets")
            seen = len(data)
            self._read("C: <data>")
        self._came += data[end + 5 :]
        raw = bytes(data[2 : end + 5])
        unstuffed = re.sub(rb"(?<=\n)\.", b"", bytes(data[: end + 2]))
        self.session.mail_came(data=unstuffed[2:], raw=raw)
        return self.session.mails[-1]

    def chunk(self) -> bytes:
        """Read the octets that the last line, a BDAT, announced (RFC 3030 §2)."""
        announced = re.fullmatch(r"BDAT ([0-9]+)( LAST)?", self.session.lines[-1], re.IGNORECASE)
        if announced is None:
            raise ScriptMismatch("the script reads a chunk where the client announced none")
        size = int(announced[1])
        if len(self._chunks) + size > MAIL_MAX:
            raise ScriptMismatch(f"chunks of more than {MAIL_MAX} octets")
        while len(self._came) < size:
            self._read("C: <chunk>")
        chunk = bytes(self._came[:size])
        del self._came[:size]
        self._chunks += chunk
        if announced[2]:
            self.session.mail_came(data=bytes(self._chunks), raw=bytes(self._chunks))
            self._chunks.clear()
        return chunk

    def eof(self) -> None:
        """Expect that the client hangs up without another octet."""
        with contextlib.suppress(ClientGone):
            line = self._line("C: <eof>")
            raise ScriptMismatch(f"the client said {line!r} where the script expects it to leave")
        if self._came:
            raise ScriptMismatch(f"the client left amid a line: {bytes(self._came)!r}")

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
        for step in steps:
            try:
                self._play(step)
            except ScriptMismatch as mismatch:
                raise ScriptMismatch(f"{mismatch} ({step})") from None

    def _play(self, step: Step) -> None:
        match step.action:
            case Action.SEND | Action.RAW:
                self.raw(step.octets)
            case Action.EXPECT:
                self.line(step.text)
            case Action.DATA:
                self.body()
            case Action.CHUNK:
                self.chunk()
            case Action.EOF:
                self.eof()
            case Action.DRIP | Action.DRIP_ON:
                self.drip(step.octets, endless=step.action is Action.DRIP_ON)
            case Action.CLOSE:
                self.close()
            case Action.RESET:
                self.reset()
            case Action.SILENCE:
                self.hang()
            case Action.DEAF:
                self.deaf()
            case Action.TLS:
                self.starttls()

    def _line(self, waiting_for: str) -> str:
        seen = 0
        while (end := self._came.find(b"\r\n", max(0, seen - 1))) < 0:
            if len(self._came) > LINE_MAX:
                raise ScriptMismatch(f"a command line of more than {LINE_MAX} octets")
            seen = len(self._came)
            self._read(waiting_for)
        line = decode(bytes(self._came[:end]))
        del self._came[: end + 2]
        self.session.came(line)
        return line

    def _read(self, waiting_for: str) -> None:
        try:
            octets = self._sock.recv(256 * 1024)
        except TimeoutError as error:
            raise ClientGone(f"the client said nothing for too long, at {waiting_for}") from error
        except OSError as error:
            raise ClientGone(f"read: {error}, at {waiting_for}") from error
        if not octets:
            raise ClientGone(f"the client left, at {waiting_for}")
        self._came += octets

    def _drain(self) -> None:
        # The octets read before count too. Each read is bounded by the socket's timeout, all
        # together by the client, which leaves, or by the end of the test, which calls abort().
        kept = self.session.unanswered + bytes(self._came)
        self._came.clear()
        while True:
            self.session.unanswered = kept
            octets = self._sock.recv(64 * 1024)
            if not octets:
                return
            kept = (kept + octets)[:UNANSWERED_MAX]

    def _pause(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise ClientGone("the test ended")

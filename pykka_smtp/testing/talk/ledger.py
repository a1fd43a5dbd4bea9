"""The record of one connection to a server: lines, emails, final replies. No sockets here."""

import re
import threading
from collections import deque
from dataclasses import dataclass, field

from .script import decode

_FINAL = re.compile(rb"([0-9]{3})(?: |\r?$)")
_PATH = re.compile(r"(?:MAIL FROM|RCPT TO):\s*<(.*?)>(?: |$)", re.IGNORECASE)


@dataclass(slots=True, kw_only=True)
class ReceivedMail:
    """One email received in full, accepted or not.

    Attributes:
        sender: the reverse-path of the last MAIL with a 2yz reply, or None.
        recipients: the forward-paths with a 2yz reply since then.
        data: the mail data with CRLF line ends, dot stuffing undone (RFC 5321 §4.5.2).
        raw: the bytes received, with dot stuffing and the final dot; for chunks the same as data.
        verdicts: the codes of the final replies: those that began after the end of the mail data.
    """

    sender: str | None
    recipients: tuple[str, ...]
    data: bytes
    raw: bytes
    verdicts: list[int] = field(default_factory=list[int])

    @property
    def accepted(self) -> bool:
        """Whether a complete 2yz reply was sent after the end of the mail data."""
        return any(200 <= code <= 299 for code in self.verdicts)


class Ledger:
    """The record of one connection to a server.

    The server's thread writes it while holding ``changed``, which it also holds while it sends a
    reply. So a test that has seen a reply finds here everything that led to it.

    Attributes:
        number: 0 for the server's first connection, and so on.
        peer: the client's address.
        tls: the TLS version, such as ``"TLSv1.3"``, or None.
        unanswered: bytes received after the server stopped replying; 1 MiB at most.
        completed: whether the script ran to its end.
        ended: whether the server has closed the connection.
        error: how the client deviated from the script, or None.
    """

    def __init__(self, number: int, peer: str, changed: threading.Condition) -> None:
        self.number = number
        self.peer = peer
        self.tls: str | None = None
        self.unanswered = b""
        self.completed = False
        self.ended = False
        self.error: str | None = None
        self._changed = changed
        self._lines: list[str] = []
        self._mails: list[ReceivedMail] = []
        self._events: list[str] = []
        self._owed: deque[str] = deque(["the greeting"])
        self._verdicts_owed = 0
        self._unfinished = b""
        self._too_early = False
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._lmtp = False

    @property
    def lines(self) -> tuple[str, ...]:
        """The client's command lines, without CRLF."""
        with self._changed:
            return tuple(self._lines)

    @property
    def verbs(self) -> list[str]:
        """The verbs of these lines, in upper case."""
        return [line.split(" ")[0].upper() for line in self.lines]

    @property
    def mails(self) -> tuple[ReceivedMail, ...]:
        """The emails received in full."""
        with self._changed:
            return tuple(self._mails)

    @property
    def events(self) -> tuple[str, ...]:
        """All events, one line each, for people."""
        with self._changed:
            return tuple(self._events)

    def note(self, event: str) -> None:
        """Record an event, and wake the waiting threads."""
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()

    def came(self, line: str) -> None:
        """Record a command line."""
        with self._changed:
            self._lines.append(line)
            self._owed.append(line)
            self._lmtp = self._lmtp or line.upper().startswith("LHLO")
            self.note(f"C: {line}")

    def mail_came(self, data: bytes, raw: bytes) -> None:
        """Record an email received in full."""
        with self._changed:
            recipients = tuple(self._recipients)
            self._mails.append(
                ReceivedMail(sender=self._sender, recipients=recipients, data=data, raw=raw)
            )
            self._owed.clear()
            # RFC 2033 §4.2: LMTP owes one reply for each recipient that it accepted.
            self._verdicts_owed = len(recipients) if self._lmtp else 1
            # A reply that began before the end of the mail data is not the final reply.
            self._too_early = bool(self._unfinished)
            self.note(f"C: <data, {len(data)} octets>")

    def went(self, octets: bytes) -> None:
        """Record bytes sent. A reply counts once its last line is complete."""
        with self._changed:
            *lines, self._unfinished = (self._unfinished + octets).split(b"\n")
            for line in lines:
                self._events.append("S: " + decode(line.removesuffix(b"\r")))
                early, self._too_early = self._too_early, False
                final = _FINAL.match(line)
                if final and not early:
                    self._replied(int(final[1]))
            self._changed.notify_all()

    def _replied(self, code: int) -> None:
        if self._verdicts_owed:
            self._verdicts_owed -= 1
            self._mails[-1].verdicts.append(code)
            return
        line = self._owed.popleft() if self._owed else ""
        path = _PATH.match(line)
        if path is None or not 200 <= code <= 299:
            return
        if line[:4].upper() == "MAIL":
            self._sender, self._recipients = path[1], []
        else:
            self._recipients.append(path[1])

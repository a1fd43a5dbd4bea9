"""What a server keeps of one connection: lines, mails, verdicts. No sockets here."""

import re
import threading
from collections import deque
from dataclasses import dataclass, field

from .script import decode

_FINAL = re.compile(rb"([0-9]{3})(?: |\r?$)")
_PATH = re.compile(r"(?:MAIL FROM|RCPT TO):\s*<(.*?)>(?: |$)", re.IGNORECASE)


@dataclass(slots=True, kw_only=True)
class ReceivedMail:
    """One mail that a client handed over, whatever the server then said to it.

    Attributes:
        sender: the reverse-path of the last MAIL that got a 2yz reply, or None.
        recipients: the forward-paths that got a 2yz reply since.
        data: the octets of the mail, transparency undone (RFC 5321 §4.5.2), CRLF at line ends.
        raw: the octets that came, with dots doubled and the lone dot; for chunks the same as data.
        verdicts: the codes of the replies that began after the last octet of it had come.
    """

    sender: str | None
    recipients: tuple[str, ...]
    data: bytes
    raw: bytes
    verdicts: list[int] = field(default_factory=list[int])

    @property
    def accepted(self) -> bool:
        """Whether a complete 2yz reply was sent after the mail's last octet had come."""
        return any(200 <= code <= 299 for code in self.verdicts)


class Ledger:
    """What a server keeps of one connection.

    The server's thread writes it while it holds ``changed``, and holds it during each send of a
    reply too. So a test that has seen a reply, and then asks here, sees what led to that reply.

    Attributes:
        number: 0 for the server's first connection, and so on.
        peer: the client's address.
        tls: the TLS version, such as ``"TLSv1.3"``, or None.
        unanswered: octets that came when the server no longer answered; 1 MiB at most.
        completed: whether the script ran to its end.
        ended: whether the connection is closed on our side.
        error: what the client did against the script, or None.
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
        """The mails that came whole."""
        with self._changed:
            return tuple(self._mails)

    @property
    def events(self) -> tuple[str, ...]:
        """What happened, one line each, for people."""
        with self._changed:
            return tuple(self._events)

    def note(self, event: str) -> None:
        """Write down what happened, and wake those who wait."""
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()

    def came(self, line: str) -> None:
        """Write down a command line."""
        with self._changed:
            self._lines.append(line)
            self._owed.append(line)
            self._lmtp = self._lmtp or line.upper().startswith("LHLO")
            self.note(f"C: {line}")

    def mail_came(self, data: bytes, raw: bytes) -> None:
        """Write down that a mail's last octet has come."""
        with self._changed:
            recipients = tuple(self._recipients)
            self._mails.append(
                ReceivedMail(sender=self._sender, recipients=recipients, data=data, raw=raw)
            )
            self._owed.clear()
            # RFC 2033 §4.2: LMTP owes one reply for each recipient that it accepted.
            self._verdicts_owed = len(recipients) if self._lmtp else 1
            # A reply that began before the dot came is no verdict on the mail.
            self._too_early = bool(self._unfinished)
            self.note(f"C: <data, {len(data)} octets>")

    def went(self, octets: bytes) -> None:
        """Write down octets that were sent; only the final lines of replies decide anything."""
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

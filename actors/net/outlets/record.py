"""``record:``: emails are kept in memory, and nothing leaves the process."""

import threading
import time
from collections import deque
from dataclasses import dataclass

from ....signals.forks import in_child
from .outlet import Outlet, Sink, Taken

MOST_MAILS = 1000
MOST_BYTES = 67_108_864
"""What ``record:`` keeps, so that a process that runs for months does not fill the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptMail:
    """An email as an outlet took it.

    Attributes:
        sender: the reverse-path; empty for the null reverse-path.
        recipients: the recipients that were accepted.
        parameters: those of MAIL, such as ``"BODY=8BITMIME"``.
        rcpt_parameters: those of each RCPT, in the order of `recipients`.
        data: the mail data, with CRLF.
        at: when it was taken, in seconds since the epoch.
    """

    sender: str
    recipients: tuple[str, ...]
    parameters: str
    rcpt_parameters: tuple[str, ...]
    data: bytes
    at: float


class Kept:
    """The emails that were taken, the last ones if there are too many. Safe from any thread.

    Args:
        most_mails: how many are kept.
        most_bytes: how many octets of mail data are kept, unless one alone has more.

    Attributes:
        forgotten: how many were dropped for later ones.
    """

    def __init__(self, most_mails: int = MOST_MAILS, most_bytes: int = MOST_BYTES) -> None:
        self._most_mails = most_mails
        self._most_bytes = most_bytes
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Begin anew in a forked child: another thread may have held the lock."""
        self.forgotten: int = 0
        self._mails: deque[KeptMail] = deque()
        self._bytes = 0
        self._lock = threading.Lock()

    def add(self, mail: KeptMail) -> None:
        """Keep an email."""
        with self._lock:
            self._mails.append(mail)
            self._bytes += len(mail.data)
            while len(self._mails) > self._most_mails or (
                self._bytes > self._most_bytes and len(self._mails) > 1
            ):
                self._bytes -= len(self._mails.popleft().data)
                self.forgotten += 1

    def all(self) -> tuple[KeptMail, ...]:
        """Return the emails, the oldest first."""
        with self._lock:
            return tuple(self._mails)

    def clear(self) -> None:
        """Forget all emails."""
        with self._lock:
            self._mails.clear()
            self._bytes = 0


recorded: Kept = Kept()
"""What ``record:`` has taken in this process."""
in_child(recorded.reset_after_fork)


class RecordOutlet(Outlet):
    """Keeps emails in memory.

    Args:
        name: what messages call it.
        kept: where.
    """

    def __init__(self, name: str, kept: Kept) -> None:
        self.name: str = name
        self._kept = kept

    def sink(self, taken: Taken) -> Sink:
        """Return what keeps one email."""
        return _RecordSink(self._kept, taken)


class _RecordSink(Sink):
    """Keeps one email."""

    def __init__(self, kept: Kept, taken: Taken) -> None:
        self._kept = kept
        self._taken = taken
        self._data = bytearray()

    def write(self, octets: bytes) -> None:
        """Collect mail data."""
        self._data += octets

    def finish(self) -> str:
        """Keep the email."""
        taken = self._taken
        mail = KeptMail(
            sender=taken.sender,
            recipients=tuple(taken.recipients),
            parameters=taken.parameters,
            rcpt_parameters=tuple(taken.rcpt_parameters),
            data=bytes(self._data),
            at=time.time(),
        )
        self._kept.add(mail)
        return "recorded"

    def stop(self) -> None:
        """Nothing blocks."""

    def discard(self) -> None:
        """Release the memory."""
        self._data = bytearray()

"""Emails that were just put, and are kept in memory although they must wait. On the loop thread."""

import time

from ....signals.send_mail import SendMail

_MOST = 5000
_MOST_OCTETS = 32 * 1024 * 1024
_SOON = 60.0
"""Seconds: an email that waits for longer is not kept."""


class Known:
    """The oldest of these emails: they go first, and their text need not be read again.

    Attributes:
        mails: emails and their octets, by number. While the other thread looks which are known, it
            may grow, and nothing is taken out.
    """

    def __init__(self) -> None:
        self.mails: dict[int, tuple[SendMail, int]] = {}
        self._octets = 0

    def add(self, seq: int, mail: SendMail, octets: int, due: float) -> None:
        """Keep an email, if there is room."""
        if octets > _MOST_OCTETS // 8 or due > time.time() + _SOON:
            return
        if len(self.mails) < _MOST and self._octets + octets <= _MOST_OCTETS:
            self.mails[seq] = mail, octets
            self._octets += octets

    def pop(self, seq: int) -> SendMail | None:
        """Take an email out, if it is here."""
        found = self.mails.pop(seq, None)
        if found is None:
            return None
        self._octets -= found[1]
        return found[0]

    def forget(self, before: int) -> None:
        """Forget emails that were put before one that goes now.

        Others have claimed them, or they have another priority.
        """
        while self.mails and (first := next(iter(self.mails))) < before:
            self.pop(first)

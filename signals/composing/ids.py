"""Ids of emails, in logs and in Message-ID, and their dates."""

import datetime as dt
import itertools
import os
import re
import time

from ...smtp.mail.address import split_mailbox, to_ascii_domain
from ..forks import in_child, notice_fork

_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


class _Ids:
    """Makes ids that are unique across processes: 64 random bits, and a counter."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Draw a new prefix, as a forked child must: it would repeat its parent's ids."""
        self._prefix = os.urandom(8).hex()
        self._counter = itertools.count(1)

    def __call__(self) -> str:
        notice_fork()
        return f"{self._prefix}{next(self._counter):08x}"


new_id: _Ids = _Ids()
in_child(new_id.renew)


class _Second:
    """Tells the time, to the second: as one object in all of it, whose text is kept."""

    def __init__(self) -> None:
        self._known = 0, dt.datetime.fromtimestamp(0, dt.UTC)

    def __call__(self) -> dt.datetime:
        second = int(time.time())
        known = self._known  # once: another thread may replace it
        if known[0] != second:
            known = self._known = second, dt.datetime.fromtimestamp(second, dt.UTC)
        return known[1]


this_second: _Second = _Second()


def new_message_id(mail_id: str, address: str) -> str:
    """Return a Message-ID (RFC 5322 §3.6.4): unique, and the same for all attempts of the send."""
    left = mail_id if _DOT_ATOM.fullmatch(mail_id) and len(mail_id) <= 64 else new_id()
    domain = split_mailbox(address)[1] or "localhost"
    return f"<{to_ascii_domain(f'{left}@{domain}')}>"

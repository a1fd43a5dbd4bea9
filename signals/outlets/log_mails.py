"""The ids of emails that log handlers send, by which the records about them are known.

No handler sends an email about such an email: two would do so in turn, without end.
"""

import itertools
import logging
import re

from ..forks import in_child
from ..send_mail import new_id

# Of all processes: a record may come from another one.
_OF_A_LOG = re.compile(r"log-[0-9a-f]{24}-[0-9]+")


class _Ids:
    """Makes ids. A forked child has its own: emails with one Message-ID are taken for copies."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self._prefix = f"log-{new_id()}-"
        self._numbers = itertools.count(1)

    def __call__(self) -> str:
        return f"{self._prefix}{next(self._numbers)}"


new_log_id: _Ids = _Ids()
in_child(new_log_id.renew)


def is_of_a_log(record: logging.LogRecord) -> bool:
    """Whether a record of outcomes is about an email that a log handler sent."""
    return _OF_A_LOG.fullmatch(str(getattr(record, "mail", ""))) is not None

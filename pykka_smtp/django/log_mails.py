"""Emails that a log handler sends, such as Django's `AdminEmailHandler`.

A handler that sends emails can be given a record about the failure of such an email. If that became
an email as well, there would be no end. So these emails have no receivers: nothing that a receiver
logs, or raises, is about them. And no record about one of them, or about the inside of pykka-smtp,
becomes an email. Other handlers have all these records.
"""

import logging
import sys
import threading
from typing import Any

from ..signals.bus import RECEIVER_RAISED, UNHEARD
from ..signals.outlets.journal import OUTCOMES
from ..signals.outlets.log_mails import is_of_a_log, new_log_id

_HANDLE = logging.Handler.handle.__code__
_MOST_FRAMES = 1_000
_LOOP = "pykka-smtp-loop"
_OURS = "pykka_smtp"


class Sending(threading.local):
    """What this thread does.

    Attributes:
        is_at_it: whether it is within the backend: what Pykka logs there becomes no email.
        is_for_a_log: whether that is for a log handler: then nothing that is logged does.
    """

    is_at_it: bool = False
    is_for_a_log: bool = False


sending: Sending = Sending()


def fields_of_a_log_mail() -> dict[str, Any]:
    """Return what the `SendMail` of such an email has in addition."""
    return {"success_signal": UNHEARD, "failure_signal": UNHEARD, "id": new_log_id()}


def record_in_hand() -> logging.LogRecord | None:
    """Return the record that a log handler is handling in this thread, or None.

    The handler may be any: one that is called by a queue's listener, too.
    """
    frame: Any = sys._getframe(1)
    for _ in range(_MOST_FRAMES):
        if frame is None:
            return None
        if frame.f_code is _HANDLE:
            record = frame.f_locals.get("record")
            return record if isinstance(record, logging.LogRecord) else None
        frame = frame.f_back
    return None


def may_be_mailed(record: logging.LogRecord) -> bool:
    """Whether an email about a record cannot be the cause of another such record."""
    if sending.is_for_a_log:
        return False
    first = record.name.partition(".")[0]
    if first == _OURS:
        if record.name == OUTCOMES:
            return not is_of_a_log(record)
        return record.msg == RECEIVER_RAISED  # by a receiver of the program, so of other emails
    if first in {"pykka", "asyncio"}:  # of actors that send, too
        return not sending.is_at_it and record.threadName != _LOOP
    return True

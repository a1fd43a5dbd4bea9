"""The bus: the outcome of a send, and the named signals that publish it."""

if __name__ == "signals":
    raise ImportError("import pykka_smtp.signals, not the bare folder name")

from ..smtp.words.peer import Peer
from .bus import (
    publish,
    smtp_outbox_trouble,
    smtp_send_failure,
    smtp_send_progress,
    smtp_send_retry,
    smtp_send_success,
    smtp_server_reply,
)
from .forwarding import Subscription, forward_to
from .outcome import Outcome, SendError, SendFailure, SendSuccess
from .send_mail import SendMail

__all__ = [
    "Outcome",
    "Peer",
    "SendError",
    "SendFailure",
    "SendMail",
    "SendSuccess",
    "Subscription",
    "forward_to",
    "publish",
    "smtp_outbox_trouble",
    "smtp_send_failure",
    "smtp_send_progress",
    "smtp_send_retry",
    "smtp_send_success",
    "smtp_server_reply",
]

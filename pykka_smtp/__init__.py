"""An SMTP client for actor programs.

Each send is a short-lived Pykka actor; what became of it is a blinker signal::

    from pykka_smtp import SendMail, SmtpActor, smtp_send_failure, smtp_send_success

    @smtp_send_success.connect
    def sent(sender, outcome, **extra):
        print("accepted:", outcome.reply)

    SmtpActor.start("localhost").tell(
        SendMail(sender="me@example.com", recipients="you@example.org", body="Hello"))
"""

from .actors import (
    NO_RETRY,
    Answer,
    AsyncioActor,
    Drain,
    Mailer,
    MailerStatistics,
    Rate,
    RetryPolicy,
    ServerReport,
    SmtpActor,
    Statistics,
    set_connection_limit,
    verify,
)
from .signals import (
    Outcome,
    Peer,
    SendError,
    SendFailure,
    SendMail,
    SendSuccess,
    forward_to,
    smtp_send_failure,
    smtp_send_retry,
    smtp_send_success,
)
from .smtp.delivery_options import DeliverBy, Dsn
from .smtp.reply import Reply
from .smtp.stage import Stage
from .smtp.verdict import FailureKind, RecipientResult

__version__ = "0.1.0"

__all__ = [
    "NO_RETRY",
    "Answer",
    "AsyncioActor",
    "DeliverBy",
    "Drain",
    "Dsn",
    "FailureKind",
    "Mailer",
    "MailerStatistics",
    "Outcome",
    "Peer",
    "Rate",
    "RecipientResult",
    "Reply",
    "RetryPolicy",
    "SendError",
    "SendFailure",
    "SendMail",
    "SendSuccess",
    "ServerReport",
    "SmtpActor",
    "Stage",
    "Statistics",
    "forward_to",
    "set_connection_limit",
    "smtp_send_failure",
    "smtp_send_retry",
    "smtp_send_success",
    "verify",
]

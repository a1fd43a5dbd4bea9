"""The actors: the event loop, connections, and the actor that sends one mail."""

if __name__ == "actors":
    raise ImportError("import pykka_smtp.actors, not the bare folder name")

from .asyncio_actor import Answer, AsyncioActor
from .connection_limit import set_connection_limit
from .mailer import Drain, Mailer, Statistics
from .pacing import Rate
from .retry import NO_RETRY, RetryPolicy
from .smtp_actor import SmtpActor
from .statistics import MailerStatistics
from .verify import ServerReport, verify

__all__ = [
    "NO_RETRY",
    "Answer",
    "AsyncioActor",
    "Drain",
    "Mailer",
    "MailerStatistics",
    "Rate",
    "RetryPolicy",
    "ServerReport",
    "SmtpActor",
    "Statistics",
    "set_connection_limit",
    "verify",
]

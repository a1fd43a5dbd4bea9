"""An SMTP client for actor programs.

Each send is a short-lived Pykka actor; what became of it is a blinker signal::

    from pykka_smtp import SendMail, SmtpActor, smtp_send_failure, smtp_send_success

    @smtp_send_success.connect
    def sent(sender, outcome, **extra):
        print("accepted:", outcome.reply)

    SmtpActor.start("localhost").tell(
        SendMail(sender="me@example.com", recipients="you@example.org", body="Hello"))
"""

import importlib
from typing import TYPE_CHECKING

from .quiet_start import end_quietly_on_ctrl_c, is_the_command

if is_the_command():
    end_quietly_on_ctrl_c()

from .actors import Answer, AsyncioActor, SmtpActor, SmtpActorRef, set_connection_limit
from .actors.options.connection_options import ConnectionOptions
from .signals import (
    Outcome,
    Peer,
    SendError,
    SendFailure,
    SendMail,
    SendSuccess,
    forward_to,
    smtp_outbox_trouble,
    smtp_send_failure,
    smtp_send_progress,
    smtp_send_retry,
    smtp_send_success,
    smtp_server_reply,
)
from .signals.composing.from_html import FROM_HTML
from .smtp.mail.delivery_options import DeliverBy, Dsn
from .smtp.words.reply import Reply
from .smtp.words.stage import Stage
from .smtp.words.verdict import FailureKind, RecipientResult

if TYPE_CHECKING:
    from .actors.done import wait_until_done, wait_until_done_async
    from .actors.mailer.capacity.pacing import Rate
    from .actors.mailer.drains import Drain
    from .actors.mailer.jobs.retry import NO_RETRY, RetryPolicy
    from .actors.mailer.jobs.statistics import MailerStatistics, Statistics
    from .actors.mailer.mailer import Mailer, MailerRef
    from .actors.mailer.options import MailerOptions
    from .actors.outbox.handover import handover, outbox_schema
    from .actors.outbox.messages import (
        Cancel,
        Find,
        Hold,
        OutboxStatistics,
        Put,
        Receipt,
        Release,
        Retry,
    )
    from .actors.outbox.options import OutboxOptions
    from .actors.outbox.outbox import Outbox
    from .actors.outbox.outbox_ref import OutboxRef
    from .actors.outbox.store.errors import OutboxError
    from .actors.outbox.store.records import StoredMail
    from .actors.verify import ServerReport, verify
    from .signals.composing.attachment import Attachment
    from .signals.composing.autoreply import AutoreplyRefused, autoreply
    from .signals.composing.html import Html
    from .signals.outlets.loops import on_loop
    from .signals.outlets.receivers import connect_async
    from .signals.protecting.pgp import Pgp
    from .signals.protecting.smime import Smime
    from .signals.signing.dkim import Dkim
    from .signals.templates.template import Template
    from .signals.templates.template_error import TemplateError
    from .smtp.mail.parts.fields import Unsubscribe
    from .smtp.mail.wrapped.wrapping import UnprotectableError

__version__ = "0.1.0"

__all__ = [
    "FROM_HTML",
    "NO_RETRY",
    "Answer",
    "AsyncioActor",
    "Attachment",
    "AutoreplyRefused",
    "Cancel",
    "ConnectionOptions",
    "DeliverBy",
    "Dkim",
    "Drain",
    "Dsn",
    "FailureKind",
    "Find",
    "Hold",
    "Html",
    "Mailer",
    "MailerOptions",
    "MailerRef",
    "MailerStatistics",
    "Outbox",
    "OutboxError",
    "OutboxOptions",
    "OutboxRef",
    "OutboxStatistics",
    "Outcome",
    "Peer",
    "Pgp",
    "Put",
    "Rate",
    "Receipt",
    "RecipientResult",
    "Release",
    "Reply",
    "Retry",
    "RetryPolicy",
    "SendError",
    "SendFailure",
    "SendMail",
    "SendSuccess",
    "ServerReport",
    "Smime",
    "SmtpActor",
    "SmtpActorRef",
    "Stage",
    "Statistics",
    "StoredMail",
    "Template",
    "TemplateError",
    "UnprotectableError",
    "Unsubscribe",
    "autoreply",
    "connect_async",
    "forward_to",
    "handover",
    "on_loop",
    "outbox_schema",
    "set_connection_limit",
    "smtp_outbox_trouble",
    "smtp_send_failure",
    "smtp_send_progress",
    "smtp_send_retry",
    "smtp_send_success",
    "smtp_server_reply",
    "verify",
    "wait_until_done",
    "wait_until_done_async",
]

# Who sends single mails need not wait for the modules of these.
_LATE = {
    "Attachment": "signals.composing.attachment",
    "AutoreplyRefused": "signals.composing.autoreply",
    "Dkim": "signals.signing.dkim",
    "Drain": "actors.mailer.drains",
    "Mailer": "actors.mailer.mailer",
    "Html": "signals.composing.html",
    "MailerOptions": "actors.mailer.options",
    "MailerRef": "actors.mailer.mailer",
    "MailerStatistics": "actors.mailer.jobs.statistics",
    "NO_RETRY": "actors.mailer.jobs.retry",
    "Rate": "actors.mailer.capacity.pacing",
    "RetryPolicy": "actors.mailer.jobs.retry",
    "ServerReport": "actors.verify",
    "Pgp": "signals.protecting.pgp",
    "Smime": "signals.protecting.smime",
    "Statistics": "actors.mailer.jobs.statistics",
    "Template": "signals.templates.template",
    "TemplateError": "signals.templates.template_error",
    "UnprotectableError": "smtp.mail.wrapped.wrapping",
    "Unsubscribe": "smtp.mail.parts.fields",
    "autoreply": "signals.composing.autoreply",
    "handover": "actors.outbox.handover",
    "outbox_schema": "actors.outbox.handover",
    "Cancel": "actors.outbox.messages",
    "Find": "actors.outbox.messages",
    "Hold": "actors.outbox.messages",
    "OutboxStatistics": "actors.outbox.messages",
    "Put": "actors.outbox.messages",
    "Receipt": "actors.outbox.messages",
    "Release": "actors.outbox.messages",
    "Retry": "actors.outbox.messages",
    "OutboxOptions": "actors.outbox.options",
    "Outbox": "actors.outbox.outbox",
    "OutboxRef": "actors.outbox.outbox_ref",
    "OutboxError": "actors.outbox.store.errors",
    "StoredMail": "actors.outbox.store.records",
    "verify": "actors.verify",
    "wait_until_done": "actors.done",
    "wait_until_done_async": "actors.done",
    "connect_async": "signals.outlets.receivers",
    "on_loop": "signals.outlets.loops",
}


def __getattr__(name: str) -> object:
    """Import what is asked for the first time."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_LATE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})

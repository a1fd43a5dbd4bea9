"""What `SendMail` is given, for type checkers: its fields then hold other types."""

import asyncio
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Required, TypedDict

from blinker import Signal

from ..recipients import Recipient
from ..tellable import Tellable
from .from_html import FromHtml
from .given import Mailbox

if TYPE_CHECKING:
    from ...smtp.mail.delivery_options import DeliverBy, Dsn
    from ...smtp.mail.parts.fields import Unsubscribe
    from ..complete_message import CompleteMessage
    from ..protecting.protection import Protection
    from ..signing.dkim import Dkim
    from .attachment import Attachable, Embeddable
    from .html import Html


class MailArguments(TypedDict, total=False):
    """The arguments of `SendMail`, which describes them."""

    sender: Required[Mailbox]
    recipients: str | Iterable[Recipient]
    subject: str
    body: str | bytes | Sequence[str | bytes] | FromHtml
    html: "str | Html | None"
    inline: "Mapping[str, Embeddable] | None"
    attachments: "Attachable | Iterable[Attachable]"
    calendar: str | bytes | None
    from_name: str | None
    to_name: str | Sequence[str | None] | None
    cc: str | Iterable[Recipient]
    bcc: str | Iterable[Recipient]
    reply_to: str | Iterable[Recipient] | None
    unsubscribe: "Unsubscribe | None"
    list_id: str | tuple[str | None, str] | None
    auto_submitted: str | None
    in_reply_to: str | Sequence[str] | None
    references: str | Sequence[str] | None
    date: dt.datetime | None
    headers: Mapping[str, str] | Iterable[tuple[str, str]]
    message: "CompleteMessage | None"
    dsn: "Dsn | None"
    deliver_by: "DeliverBy | None"
    hold_for: int | None
    hold_until: dt.datetime | None
    priority: int | None
    require_tls: bool
    dkim: "Dkim | Iterable[Dkim] | None"
    protect: "Protection | tuple[()] | None"
    context: Any
    success_signal: str | Signal | None
    failure_signal: str | Signal | None
    outcome_to: Tellable | asyncio.Queue[Any] | None
    id: str

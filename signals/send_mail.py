"""`SendMail`: one email to send; the actor message that a program gives to an actor."""

import datetime as dt
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Unpack, cast

from blinker import Signal

from ..smtp.mail.compose import TextEmail
from ..smtp.mail.content import CompleteContent, ComposedContent, Content
from ..smtp.mail.delivery_options import NO_OPTIONS, DeliverBy, DeliveryOptions, Dsn
from ..smtp.mail.domain import AddressError
from ..smtp.mail.envelope import Envelope
from ..smtp.mail.header import date_field, message_id_field
from ..smtp.words.quick_frozen import quick_frozen
from .complete_message import (
    CompleteMessage,
    MailSource,
    content_of,
    message_id_of,
)
from .composing.from_html import FROM_HTML, FromHtml
from .composing.given import (
    NO_SUBJECT,
    check_id,
    check_signal,
    composer,
    described_message,
    refuse_parts,
)
from .composing.ids import new_id, new_message_id, this_second
from .recipients import (
    NO_HEADERS,
    NOBODY,
    Names,
    Recipient,
    Unsaid,
    addresses_of,
    names_of,
    no_recipients,
    only_names,
    pairs_of,
    split_names,
    split_one,
    with_advice,
)
from .tellable import Tellable

if TYPE_CHECKING:
    from ..smtp.mail.parts.fields import Unsubscribe
    from ..smtp.mail.parts.parts_email import PartsEmail
    from .composing.arguments import MailArguments
    from .composing.attachment import Attachment
    from .composing.html import Html
    from .protecting.protection import Protection
    from .signing.dkim import Signers

_NULL_REVERSE_PATH = "<>"
_NOTHING_ASKED = (None,) * 5
_SHOWN = ("sender", "recipients", "subject", "from_name", "to_name", "cc", "id")

# Defaults, as `Any`: what a field is given has another type than what it then holds.
_NO_SENDER: Any = Unsaid()
_NOT_GIVEN: Any = Unsaid()
_NO_COPY: Any = NOBODY
_NOBODY_ELSE: Any = None
_NO_FILES: Any = ()
_NO_IMAGES: Any = None
_AS_THE_ACTOR: Any = None


@quick_frozen
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class SendMail:
    """An email to send: either what it is made of, or a complete `message`.

    It is checked when it is made, in the caller's thread: invalid input is rejected before
    anything is sent.

    Two are equal if they were given the same values; `id`, and what is made of it and of the time,
    does not count.

    Args:
        sender: the envelope's reverse-path, and the address in From; perhaps with a display name:
            ``"Name <address>"``, or a pair of name and address. Afterwards this holds the address.
            ``"<>"`` is the null reverse-path (RFC 5321 §4.5.5).
        recipients: one recipient, or several; shown in To. A recipient is an address, or has
            a display name: ``"Name <address>"``, or in a sequence a pair of name and address.
            Afterwards this holds the addresses, and `to_name` the names. May be left out if `bcc`
            is given.
        subject: one line of text.
        body: the text: a str, bytes, or a sequence of lines. `FROM_HTML` makes it from `html`.
        html: the same as an HTML page, a str or `Html`; shown instead of `body` where it can be.
        inline: what the page embeds, by the name that it has there: ``{"logo": Path("logo.png")}``
            is shown by ``<img src="cid:logo">``. A path, bytes, or an `Attachment`.
        attachments: files: paths, or `Attachment` objects, which hold octets as well.
        calendar: an invitation, or another iCalendar object with a method (RFC 6047).
        from_name: the sender's display name. Not allowed if `sender` has one.
        to_name: the recipient's display name; for several recipients, a sequence with one name
            (or None) for each. Not allowed if `recipients` has names.
        cc: recipients that get a copy and are shown in Cc.
        bcc: recipients that get a copy and appear in the envelope only.
        reply_to: who gets the replies, in the forms of `recipients`.
        unsubscribe: how to leave the list (RFC 8058, RFC 2369).
        list_id: the list's id (RFC 2919): ``"news.example.com"``, or ``"Name <news.example.com>"``.
        auto_submitted: ``"auto-generated"`` if no person has written it, so that nobody's
            automatic reply answers it (RFC 3834 §5).
        in_reply_to: the Message-ID of the email that this answers.
        references: the Message-IDs of the thread, the oldest first. Default: `in_reply_to`.
        date: when it was written, with time zone. Default: now.
        headers: more header fields: a mapping, or pairs of name and value.
        message: a complete message instead of all that makes one, from subject to headers: bytes,
            an `email.message.EmailMessage` (or `Message`), a path, or a file opened in binary mode
            (read from its current position, while the email is sent; it stays open, and the
            caller closes it). An `EmailMessage` is serialized at once, loses its Bcc, and gets a
            Date and a Message-ID if it has none and is not signed; everything else is sent as it
            is. Also an object with ``message()`` or ``as_bytes()``, such as frameworks have.
        dsn: which delivery status notifications the sender wants.
        deliver_by: how long the delivery may take.
        hold_for: seconds that the server should hold the email before it delivers it.
        hold_until: the time until which it should hold it: a datetime with time zone.
        priority: -9 (lowest) to 9 (highest).
        require_tls: fail unless the server promises to pass the email on under verified TLS only.
        dkim: who signs it: a `Dkim` or several, instead of those that the actor has as an option;
            ``()`` for no signature.
        protect: what signs or encrypts its content: a `Smime` or a `Pgp`, instead of that which
            the actor has as an option; ``()`` for neither.
        context: any object; the outcome has it unchanged.
        success_signal: a signal, or its name, to publish instead of `smtp_send_success`.
        failure_signal: the same for `smtp_send_failure`.
        outcome_to: an actor ref (or anything with ``tell``, such as what `on_loop` returns) that
            gets the outcome; or an `asyncio.Queue`, if its event loop runs in this thread.
        id: names this email in logs, and in the Message-ID if it is valid there. Generated if
            left out.

    Raises:
        ValueError: an address, a header field, the body, the message or an option is invalid; a
            recipient has no certificate to encrypt for (`UnprotectableError`).
        TypeError: an argument has a type that is not listed here.
        OSError: a file to attach cannot be read.
    """

    sender: str = _NO_SENDER
    recipients: tuple[str, ...] = _NOT_GIVEN
    subject: str = NO_SUBJECT
    body: "str | bytes | Sequence[str | bytes] | FromHtml" = field(default="", repr=False)
    html: "str | Html | None" = field(default=None, repr=False)
    inline: "Mapping[str, Attachment]" = field(default=_NO_IMAGES, repr=False)
    attachments: "tuple[Attachment, ...]" = field(default=_NO_FILES, repr=False)
    calendar: str | bytes | None = field(default=None, repr=False)
    from_name: str | None = None
    to_name: str | Sequence[str | None] | None = None
    cc: tuple[str, ...] = _NO_COPY
    bcc: tuple[str, ...] = field(default=_NO_COPY, repr=False)
    reply_to: str | Iterable[Recipient] | None = field(default=None, repr=False)
    unsubscribe: "Unsubscribe | None" = field(default=None, repr=False)
    list_id: str | tuple[str | None, str] | None = field(default=None, repr=False)
    auto_submitted: str | None = field(default=None, repr=False)
    in_reply_to: str | Sequence[str] | None = field(default=None, repr=False)
    references: str | Sequence[str] | None = field(default=None, repr=False)
    date: dt.datetime | None = field(default=None, repr=False)
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = field(default=NO_HEADERS, repr=False)
    message: "CompleteMessage | None" = field(default=None, repr=False)
    dsn: Dsn | None = field(default=None, repr=False)
    deliver_by: DeliverBy | None = field(default=None, repr=False)
    hold_for: int | None = field(default=None, repr=False)
    hold_until: dt.datetime | None = field(default=None, repr=False)
    priority: int | None = field(default=None, repr=False)
    require_tls: bool = field(default=False, repr=False)
    dkim: "Signers | None" = field(default=_AS_THE_ACTOR, repr=False)
    protect: "Protection | tuple[()] | None" = field(default=_AS_THE_ACTOR, repr=False)
    context: Any = field(default=None, repr=False)
    success_signal: str | Signal | None = field(default=None, repr=False)
    failure_signal: str | Signal | None = field(default=None, repr=False)
    outcome_to: Tellable | None = field(default=_NOBODY_ELSE, repr=False)
    id: str = field(default_factory=new_id)
    envelope: Envelope = field(init=False, repr=False)
    # As the protocol takes it; None if it is read from `source`.
    content: Content | None = field(init=False, repr=False)
    _parts: "PartsEmail | None" = field(init=False, default=None, repr=False)

    if TYPE_CHECKING:

        def __init__(self, **given: Unpack[MailArguments]) -> None: ...

    def __post_init__(self) -> None:
        sender: object = self.sender
        if type(sender) is not str or (sender[-1:] == ">" and sender != _NULL_REVERSE_PATH):
            self._split_sender(sender)
        names: Names = None
        given: object = self.recipients  # still in any form; this method replaces it by addresses
        to = everybody = addresses_of("recipients", given)
        # A fast path: most emails have one recipient, without a display name.
        if type(given) is not str or given[-1:] == ">":  # pyright: ignore[reportUnnecessaryComparison]
            names, to = split_names("recipients", to)
            everybody = to
        _set(self, "recipients", to)
        cc, cc_names = NOBODY, None
        # By identity: `==` would call a method of the value's own class.
        if not (self.cc is NOBODY and self.bcc is NOBODY):
            cc_names, cc = split_names("cc", addresses_of("cc", self.cc))
            bcc = split_names("bcc", addresses_of("bcc", self.bcc))[1]
            _set(self, "cc", cc)
            _set(self, "bcc", bcc)
            everybody = (*to, *cc, *bcc)
        if not to and (cc or not self.bcc):
            raise no_recipients(given)
        try:
            envelope = Envelope.of(self.sender, everybody, self._options())
        except AddressError as error:
            raise with_advice(error, given, self.cc, self.bcc) from None
        _set(self, "envelope", envelope)
        check_id(self.id)
        if self.dkim is not None:
            from .signing.dkim import signers_of  # late: few need it

            _set(self, "dkim", signers_of(self.dkim))
        if self.protect is not None:
            from .protecting.protection import protection_for  # late: few need it

            _set(self, "protect", protection_for(self.protect, envelope.forward_paths))
        if not (self.success_signal is None and self.failure_signal is None):
            check_signal("success_signal", self.success_signal)
            check_signal("failure_signal", self.failure_signal)
        if self.outcome_to is not None and not callable(getattr(self.outcome_to, "tell", None)):
            from .outlets.loops import outcome_to_of  # late: few need it

            _set(self, "outcome_to", outcome_to_of(self.outcome_to))
        if self.message is None:
            if names is not None:
                _set(self, "to_name", only_names(self.to_name, names))
            _set(self, "content", self._composed(to, cc, cc_names))
        else:
            refuse_parts(self)
            _set(self, "content", content_of(self.message, self._missing_fields))

    def as_bytes(self) -> bytes:
        """Return the message: header and body, with CRLF line ends, in its 8-bit form.

        That is what a server gets that takes 8-bit data, before dots are escaped.

        Raises:
            OSError: `message` or an attachment is a path, and can't be read.
            ValueError: `message` is an open file, which can be read only once: to send it.
        """
        from .composing.octets import pieces_of  # late: few need it

        return b"".join(pieces_of(self))

    def save(self, path: "str | os.PathLike[str]") -> None:
        """Write the message to a file, such as ``preview.eml``, which email programs open.

        Args:
            path: the file; an old one is replaced once the new one is complete.

        Raises:
            OSError: it can't be written, or what the email is made of can't be read.
            ValueError: `message` is an open file, which can be read only once: to send it; or the
                file is attached to the email.
        """
        from .composing.octets import write_to

        write_to(path, self)

    @property
    def message_id(self) -> str | None:
        """The Message-ID, with its angle brackets.

        None if the complete `message` has none, or is read only while it is sent.
        """
        content = self.content
        email = content.email if isinstance(content, ComposedContent) else self._parts
        if email is not None:
            given = [v for name, v in email.headers if name.lower() == "message-id"]
            return given[0] if given else email.message_id
        return message_id_of(content.data) if isinstance(content, CompleteContent) else None

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, SendMail):
            return NotImplemented
        from .composing.equality import are_same  # late: few need it

        return are_same(self, other)

    def __hash__(self) -> int:
        return hash((self.sender, self.recipients, self.cc, self.bcc))

    def __repr__(self) -> str:
        shown = {name: getattr(self, name) for name in _SHOWN}
        text = [f"{name}={value!r}" for name, value in shown.items()]
        if self.message is not None:
            text = [f"sender={self.sender!r}", f"recipients={self.recipients!r}"]
            text += [f"message={described_message(self)}", f"id={self.id!r}"]
        return f"{type(self).__qualname__}({', '.join(text)})"

    @property
    def all_recipients(self) -> tuple[str, ...]:
        """The addresses of recipients, cc and bcc, in this order, as they were given."""
        if self.cc is NOBODY and self.bcc is NOBODY:
            return self.recipients
        return (*self.recipients, *self.cc, *self.bcc)

    @property
    def source(self) -> "MailSource | PartsEmail | None":
        """The path or file that the message is read from, or parts with files; or None."""
        if self.content is not None:
            return None
        return self._parts or cast("MailSource", self.message)

    @property
    def needs_smtputf8(self) -> bool:
        """Whether its header is known to need SMTPUTF8."""
        email = self._parts or self.content
        return email is not None and email.needs_smtputf8

    def _options(self) -> DeliveryOptions:
        asked = (self.dsn, self.deliver_by, self.hold_for, self.hold_until, self.priority)
        if asked == _NOTHING_ASKED and self.require_tls is False:
            return NO_OPTIONS
        return DeliveryOptions(
            dsn=self.dsn,
            deliver_by=self.deliver_by,
            hold_for=self.hold_for,
            hold_until=self.hold_until,
            priority=self.priority,
            require_tls=self.require_tls,
        )

    def _split_sender(self, sender: object) -> None:
        """Replace a sender with a display name by its address, and `from_name` by the name."""
        if sender is _NO_SENDER:
            raise TypeError('SendMail: sender is missing; the null reverse-path is written "<>"')
        name, address = split_one("sender", sender)
        if name:
            if self.from_name is not None:
                raise ValueError("from_name: the sender has a name already; give it in one place")
            _set(self, "from_name", name)
        _set(self, "sender", address)

    def _composed(
        self, to: tuple[str, ...], cc: tuple[str, ...], cc_names: "Names"
    ) -> Content | None:
        """Return the email that is made of what was given; None if it is too large for memory."""
        null = self.sender == _NULL_REVERSE_PATH
        names = names_of(self.to_name, len(to))
        headers = pairs_of(self.headers)
        if not to and not any(str(name).lower() == "to" for name, *_ in headers):
            headers = (("To", "undisclosed-recipients:;"), *headers)  # RFC 5322 §3.4
        head: dict[str, Any] = {
            "from_address": "" if null else self.sender,
            "from_name": self.from_name,
            "to": tuple(zip(names, to, strict=True)),
            "cc": tuple(zip(cc_names or (None,) * len(cc), cc, strict=True)),
            "subject": self.subject,
            "headers": headers,
            "fields": self._fields(),
            "date": this_second() if self.date is None else self.date,
            "message_id": self._message_id(),
        }
        if not self._has_parts:
            return ComposedContent(TextEmail(**head, body=cast("Any", self.body)))
        making = composer()
        _set(self, "attachments", making.attachments_of(self.attachments))
        _set(self, "inline", making.inline_of(self.inline))
        email = making.parts_email(self, head, os.urandom(12).hex())
        if not email.is_streamed:
            return ComposedContent(email)
        _set(self, "_parts", email)
        return None

    def _fields(self) -> tuple[str, ...]:
        """Return the header fields that have an argument of their own, complete."""
        if (
            self.reply_to is None
            and self.unsubscribe is None
            and self.list_id is None
            and self.auto_submitted is None
            and self.in_reply_to is None
            and self.references is None
        ):
            return ()
        fields: tuple[str, ...] = composer().fields_of(self)
        return fields

    @property
    def _has_parts(self) -> bool:
        """Whether it is more than a text."""
        return not (
            self.html is None
            and (self.attachments is _NO_FILES or not self.attachments)
            and not self.inline
            and self.calendar is None
            and self.body is not FROM_HTML
        )

    def _message_id(self) -> str:
        if self.sender != _NULL_REVERSE_PATH:
            return new_message_id(self.id, self.sender)
        # Not of a bcc recipient: not even its domain may be seen.
        visible = (*self.recipients, "postmaster")
        return new_message_id(self.id, visible[0])

    def _missing_fields(self) -> tuple[str, str]:
        """Return Date and Message-ID, for a message that has none."""
        return date_field(this_second()), message_id_field(self._message_id())


_set = object.__setattr__

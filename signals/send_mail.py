"""`SendMail`: one email to send; the actor message that a program gives to an actor."""

import asyncio
import datetime as dt
import itertools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

from blinker import Signal

from ..smtp.mail.address import split_mailbox, to_ascii_domain
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
    with_crlf,
)
from .forks import in_child, notice_fork
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
    with_advice,
)
from .tellable import Tellable

_NULL_REVERSE_PATH = "<>"
_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_NO_SUBJECT = "(none)"  # the default of POE::Component::Client::SMTP
_NO_PARTS = ("", None, None, NOBODY, NO_HEADERS)
_NOTHING_ASKED = (None,) * 5
_SHOWN = ("sender", "recipients", "subject", "from_name", "to_name", "cc", "id")

# The defaults of these fields, as `Any`: a type checker would refuse a tuple for `_Recipients`.
_NOT_GIVEN: Any = Unsaid()
_NO_COPY: Any = NOBODY
_NOBODY_ELSE: Any = None


class _Recipients:
    """The type of a field that is given recipients in any form, and then holds addresses.

    Only type checkers use it: to them, a descriptor may be set to one type and read as another.
    """

    if TYPE_CHECKING:

        @overload
        def __get__(self, mail: None, kind: object = None) -> Any: ...
        @overload
        def __get__(self, mail: object, kind: object = None) -> tuple[str, ...]: ...
        def __get__(self, mail: object, kind: object = None) -> Any: ...
        def __set__(self, mail: object, recipients: str | Iterable[Recipient]) -> None: ...


class _OutcomeTo:
    """The type of a field that is given an actor's ref or a queue, and then has ``tell``."""

    if TYPE_CHECKING:

        @overload
        def __get__(self, mail: None, kind: object = None) -> Any: ...
        @overload
        def __get__(self, mail: object, kind: object = None) -> Tellable | None: ...
        def __get__(self, mail: object, kind: object = None) -> Any: ...
        def __set__(self, mail: object, to: Tellable | asyncio.Queue[Any] | None) -> None: ...


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


@quick_frozen
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class SendMail:
    """An email to send: either the parts of a text email, or a complete `message`.

    It is checked when it is made, in the caller's thread: invalid input is rejected before
    anything is sent.

    Two are equal if they were given the same values; `id`, and what is made of it and of the time,
    does not count.

    Args:
        sender: the envelope's reverse-path, and the address in From. ``"<>"`` is the null
            reverse-path (RFC 5321 §4.5.5).
        recipients: one recipient, or several; shown in To. A recipient is an address, or has
            a display name: ``"Name <address>"``, or in a sequence a pair of name and address.
            Afterwards this holds the addresses, and `to_name` the names. May be left out if `bcc`
            is given.
        subject: one line of text.
        body: the text: a str, bytes, or a sequence of lines.
        from_name: the sender's display name.
        to_name: the recipient's display name; for several recipients, a sequence with one name
            (or None) for each. Not allowed if `recipients` has names.
        cc: recipients that get a copy and are shown in Cc.
        bcc: recipients that get a copy and appear in the envelope only.
        headers: more header fields: a mapping, or pairs of name and value.
        message: a complete message instead of subject, body, names, cc and headers: bytes, an
            `email.message.EmailMessage` (or `Message`), a path, or a file opened in binary mode
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
        context: any object; the outcome has it unchanged.
        success_signal: a signal, or its name, to publish instead of `smtp_send_success`.
        failure_signal: the same for `smtp_send_failure`.
        outcome_to: an actor ref (or anything with ``tell``, such as what `on_loop` returns) that
            gets the outcome; or an `asyncio.Queue`, if its event loop runs in this thread.
        id: names this email in logs, and in the Message-ID if it is valid there. Generated if
            left out.

    Raises:
        ValueError: an address, a header field, the body, the message or an option is invalid.
        TypeError: an argument has a type that is not listed here.
    """

    sender: str
    recipients: _Recipients = _NOT_GIVEN
    subject: str = _NO_SUBJECT
    body: str | bytes | Sequence[str | bytes] = field(default="", repr=False)
    from_name: str | None = None
    to_name: str | Sequence[str | None] | None = None
    cc: _Recipients = _NO_COPY
    bcc: _Recipients = field(default=_NO_COPY, repr=False)
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = field(default=NO_HEADERS, repr=False)
    message: "CompleteMessage | None" = field(default=None, repr=False)
    dsn: Dsn | None = field(default=None, repr=False)
    deliver_by: DeliverBy | None = field(default=None, repr=False)
    hold_for: int | None = field(default=None, repr=False)
    hold_until: dt.datetime | None = field(default=None, repr=False)
    priority: int | None = field(default=None, repr=False)
    require_tls: bool = field(default=False, repr=False)
    context: Any = field(default=None, repr=False)
    success_signal: str | Signal | None = field(default=None, repr=False)
    failure_signal: str | Signal | None = field(default=None, repr=False)
    outcome_to: _OutcomeTo = field(default=_NOBODY_ELSE, repr=False)
    id: str = field(default_factory=new_id)
    envelope: Envelope = field(init=False, repr=False)
    # As the protocol takes it; None if it is read from `source`.
    content: Content | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
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
        _check_id(self.id)
        if not (self.success_signal is None and self.failure_signal is None):
            _check_signal("success_signal", self.success_signal)
            _check_signal("failure_signal", self.failure_signal)
        if self.outcome_to is not None and not callable(getattr(self.outcome_to, "tell", None)):
            from .outlets.loops import outcome_to_of  # late: few need it

            _set(self, "outcome_to", outcome_to_of(self.outcome_to))
        if self.message is None:
            if names is not None:
                _set(self, "to_name", only_names(self.to_name, names))
            _set(self, "content", ComposedContent(self._compose(to, cc, cc_names)))
        else:
            self._refuse_parts()
            _set(self, "content", content_of(self.message, self._missing_fields))

    def as_bytes(self) -> bytes:
        """Return the message: header and body, with CRLF line ends, in its 8-bit form.

        That is what a server gets that takes 8-bit data, before dots are escaped.

        Raises:
            OSError: `message` is a path, and can't be read.
            ValueError: `message` is an open file, which can be read only once: to send it.
        """
        content = self.content
        if content is None:
            if not isinstance(self.message, os.PathLike):
                raise ValueError("message: is an open file; it can be read once, to send it")
            from pathlib import Path  # late: it takes time, and few need it

            return with_crlf(Path(self.message).read_bytes())
        data = content.render(eight_bit=True).data
        assert data is not None
        return with_crlf(data)

    @property
    def message_id(self) -> str | None:
        """The Message-ID, with its angle brackets.

        None if the complete `message` has none, or is read only while it is sent.
        """
        content = self.content
        if isinstance(content, ComposedContent):
            given = [v for name, v in content.email.headers if name.lower() == "message-id"]
            return given[0] if given else content.email.message_id
        return message_id_of(content.data) if isinstance(content, CompleteContent) else None

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, SendMail):
            return NotImplemented
        return self._value() == other._value() and self._same_message(other)

    def __hash__(self) -> int:
        return hash((self.sender, self.recipients, self.cc, self.bcc))

    def _value(self) -> tuple[object, ...]:
        return (
            *(self.sender, self.recipients, self.cc, self.bcc, self._options(), self.context),
            *(self.success_signal, self.failure_signal, self.outcome_to),
        )

    def _same_message(self, other: "SendMail") -> bool:
        mine, its = self.content, other.content
        if isinstance(mine, ComposedContent) and isinstance(its, ComposedContent):
            return _texts_of(mine.email) == _texts_of(its.email)
        if isinstance(mine, CompleteContent) and isinstance(its, CompleteContent):
            # Two email objects are never equal, but what they were serialized to may be.
            return bool(self.message == other.message) or mine.data == its.data
        return type(mine) is type(its) and bool(self.message == other.message)

    def __repr__(self) -> str:
        shown = {name: getattr(self, name) for name in _SHOWN}
        text = [f"{name}={value!r}" for name, value in shown.items()]
        if self.message is not None:
            text = [f"sender={self.sender!r}", f"recipients={self.recipients!r}"]
            text += [f"message={self._described_message()}", f"id={self.id!r}"]
        return f"{type(self).__qualname__}({', '.join(text)})"

    def _described_message(self) -> str:
        message = self.message
        if isinstance(message, os.PathLike):
            return repr(message)
        kind = f"{type(message).__module__}.{type(message).__qualname__}"
        kind = kind.removeprefix("builtins.")
        content = self.content
        if isinstance(content, CompleteContent):
            return f"<{kind}, {len(content.data)} octets>"
        return f"<{kind}>"

    @property
    def all_recipients(self) -> tuple[str, ...]:
        """The addresses of recipients, cc and bcc, in this order, as they were given."""
        if self.cc is NOBODY and self.bcc is NOBODY:
            return self.recipients
        return (*self.recipients, *self.cc, *self.bcc)

    @property
    def source(self) -> "MailSource | None":
        """The path or file that the message is read from, or None."""
        return None if self.content is not None else self.message  # type: ignore[return-value]

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

    def _compose(self, to: tuple[str, ...], cc: tuple[str, ...], cc_names: "Names") -> TextEmail:
        null = self.sender == _NULL_REVERSE_PATH
        names = names_of(self.to_name, len(to))
        headers = pairs_of(self.headers)
        if not to and not any(str(name).lower() == "to" for name, *_ in headers):
            headers = (("To", "undisclosed-recipients:;"), *headers)  # RFC 5322 §3.4
        return TextEmail(
            from_address="" if null else self.sender,
            from_name=self.from_name,
            to=tuple(zip(names, to, strict=True)),
            cc=tuple(zip(cc_names or (None,) * len(cc), cc, strict=True)),
            subject=self.subject,
            body=self.body,
            headers=headers,
            date=dt.datetime.now(dt.UTC),
            message_id=self._message_id(),
        )

    def _message_id(self) -> str:
        if self.sender != _NULL_REVERSE_PATH:
            return _message_id(self.id, self.sender)
        # Not of a bcc recipient: not even its domain may be seen.
        visible = (*self.recipients, "postmaster")
        return _message_id(self.id, visible[0])

    def _missing_fields(self) -> tuple[str, str]:
        """Return Date and Message-ID, for a message that has none."""
        return date_field(dt.datetime.now(dt.UTC)), message_id_field(self._message_id())

    def _refuse_parts(self) -> None:
        """Raise if there are parts beside `message`: it would be ambiguous which of them counts."""
        if self.subject is _NO_SUBJECT and (
            (self.body, self.from_name, self.to_name, self.cc, self.headers) == _NO_PARTS
        ):
            return
        given = {
            "subject": self.subject != _NO_SUBJECT,
            "body": bool(self.body),
            "from_name": self.from_name is not None,
            "to_name": self.to_name is not None,
            "cc": bool(self.cc),
            "headers": bool(self.headers),
        }
        wrong = [name for name, is_given in given.items() if is_given]
        if wrong:
            raise ValueError(f"message: is complete; leave out {', '.join(wrong)}")


_set = object.__setattr__


def _texts_of(email: TextEmail) -> tuple[object, ...]:
    """Return what a text email was made of, without its date and Message-ID."""
    return email.from_name, email.to, email.cc, email.subject, email.body, email.headers


def _check_id(value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"id: needs a str, not {type(value).__name__}")
    if not value or not value.isprintable() or len(value) > 255:
        raise ValueError("id: needs 1 to 255 printable characters")


def _check_signal(name: str, value: object) -> None:
    if not (value is None or isinstance(value, str | Signal)):
        raise TypeError(f"{name}: needs a signal or its name, not {type(value).__name__}")


def _message_id(mail_id: str, address: str) -> str:
    """Return a Message-ID (RFC 5322 §3.6.4): unique, and the same for all attempts of the send."""
    left = mail_id if _DOT_ATOM.fullmatch(mail_id) and len(mail_id) <= 64 else new_id()
    domain = split_mailbox(address)[1] or "localhost"
    return f"<{to_ascii_domain(f'{left}@{domain}')}>"

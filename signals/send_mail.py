"""`SendMail`: one email to send; the actor message that a program gives to an actor."""

import datetime as dt
import itertools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, cast, overload

from blinker import Signal

from ..smtp.mail.address import split_mailbox, to_ascii_domain
from ..smtp.mail.compose import TextEmail
from ..smtp.mail.content import ComposedContent, Content
from ..smtp.mail.delivery_options import NO_OPTIONS, DeliverBy, DeliveryOptions, Dsn
from ..smtp.mail.domain import AddressError
from ..smtp.mail.envelope import MAX_RECIPIENTS, Envelope
from ..smtp.mail.header import date_field, message_id_field
from ..smtp.mail.mailbox import check_display_name, split_name
from ..smtp.words.quick_frozen import quick_frozen
from .complete_message import CompleteMessage, MailSource, content_of
from .forks import in_child, notice_fork
from .tellable import Tellable

_NULL_REVERSE_PATH = "<>"
_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_NO_SUBJECT = "(none)"  # the default of POE::Component::Client::SMTP
_NOBODY: tuple[str, ...] = ()
_NO_HEADERS: tuple[tuple[str, str], ...] = ()
_NO_PARTS = ("", None, None, _NOBODY, _NO_HEADERS)
_NOTHING_ASKED = (None,) * 5
_MAX_HEADERS = 1000

Recipient: TypeAlias = str | tuple[str | None, str]
"""An address, ``"Name <address>"``, or a pair of display name (or None) and address."""


class _Unsaid(tuple[str, ...]):
    """No recipients were given, which is not the same as an empty list of them."""

    __slots__ = ()


# The defaults of these fields, as `Any`: a type checker would refuse a tuple for `_Recipients`.
_NOT_GIVEN: Any = _Unsaid()
_NO_COPY: Any = _NOBODY


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
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SendMail:
    """An email to send: either the parts of a text email, or a complete `message`.

    It is checked when it is made, in the caller's thread: invalid input is rejected before
    anything is sent.

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
        outcome_to: an actor ref (or anything with ``tell``) that gets the outcome.
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
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = field(default=_NO_HEADERS, repr=False)
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
    outcome_to: Tellable | None = field(default=None, repr=False)
    id: str = field(default_factory=new_id)
    envelope: Envelope = field(init=False, repr=False)
    # As the protocol takes it; None if it is read from `source`.
    content: Content | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names: _Names = None
        given: object = self.recipients  # still in any form; this method replaces it by addresses
        to = everybody = _addresses("recipients", given)
        # A fast path: most emails have one recipient, without a display name.
        if type(given) is not str or given[-1:] == ">":  # pyright: ignore[reportUnnecessaryComparison]
            names, to = _split("recipients", to)
            everybody = to
        _set(self, "recipients", to)
        cc, cc_names = _NOBODY, None
        # By identity: `==` would call a method of the value's own class.
        if not (self.cc is _NOBODY and self.bcc is _NOBODY):
            cc_names, cc = _split("cc", _addresses("cc", self.cc))
            bcc = _split("bcc", _addresses("bcc", self.bcc))[1]
            _set(self, "cc", cc)
            _set(self, "bcc", bcc)
            everybody = (*to, *cc, *bcc)
        if not to and (cc or not self.bcc):
            raise _no_recipients(given)
        try:
            envelope = Envelope.of(self.sender, everybody, self._options())
        except AddressError as error:
            raise _with_advice(error, given, self.cc, self.bcc) from None
        _set(self, "envelope", envelope)
        _check_id(self.id)
        if not (self.success_signal is None and self.failure_signal is None):
            _check_signal("success_signal", self.success_signal)
            _check_signal("failure_signal", self.failure_signal)
        if self.outcome_to is not None and not callable(getattr(self.outcome_to, "tell", None)):
            raise TypeError("outcome_to: needs an actor ref, or anything else with tell()")
        if self.message is None:
            if names is not None:
                _set(self, "to_name", _only_names(self.to_name, names))
            _set(self, "content", ComposedContent(self._compose(to, cc, cc_names)))
        else:
            self._refuse_parts()
            _set(self, "content", content_of(self.message, self._missing_fields))

    @property
    def all_recipients(self) -> tuple[str, ...]:
        """The addresses of recipients, cc and bcc, in this order, as they were given."""
        if self.cc is _NOBODY and self.bcc is _NOBODY:
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

    def _compose(self, to: tuple[str, ...], cc: tuple[str, ...], cc_names: "_Names") -> TextEmail:
        null = self.sender == _NULL_REVERSE_PATH
        names = _names(self.to_name, len(to))
        headers = _pairs(self.headers)
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


def _addresses(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if value is _NOBODY:
        return _NOBODY
    kind = type(value).__name__
    if isinstance(value, bytes | bytearray | Mapping) or not isinstance(value, Iterable):
        raise TypeError(f"{name}: needs an address or several, not {kind}")
    # The envelope limits the number too, but an endless iterator would never get there.
    return tuple(itertools.islice(cast("Iterable[str]", value), MAX_RECIPIENTS + 1))


_Names: TypeAlias = tuple[str | None, ...] | None


def _has_names(recipients: tuple[object, ...]) -> bool:
    return any(type(item) is not str or item[-1:] == ">" for item in recipients)


def _split(field: str, recipients: tuple[object, ...]) -> tuple[_Names, tuple[str, ...]]:
    """Return display names, or None if there is none, and addresses.

    A value that is neither address nor name is left to the envelope, whose error explains it.
    """
    if not _has_names(recipients):
        return None, cast("tuple[str, ...]", recipients)
    pairs = [_named(f"{field}[{index}]", item) for index, item in enumerate(recipients)]
    names = tuple(name or None for name, _ in pairs)
    return names if any(names) else None, tuple(address for _, address in pairs)


def _named(field: str, recipient: object) -> tuple[str | None, str]:
    if isinstance(recipient, str):
        return split_name(field, str.__str__(recipient))
    if not isinstance(recipient, tuple):
        return None, cast("str", recipient)
    pair = cast("tuple[object, ...]", recipient)
    if len(pair) != 2 or not isinstance(pair[1], str):
        raise TypeError(f"{field}: needs an address, or a pair of name and address")
    return None if pair[0] is None else check_display_name(field, pair[0]), pair[1]


def _no_recipients(given: object) -> Exception:
    if isinstance(given, _Unsaid):
        return TypeError("SendMail: recipients is missing; give it, or bcc alone")
    return ValueError("recipients: empty; an email needs at least one recipient")


def _with_advice(error: AddressError, *fields: object) -> AddressError:
    """Add advice if a pair was meant as one recipient; by itself it is a sequence of two."""
    for given in fields:
        if isinstance(given, tuple | list) and len(cast("Sequence[object]", given)) == 2:
            name, address = map(str, cast("Sequence[object]", given))
            if "@" not in name and "@" in address:
                advice = "for one recipient with a name, write [(name, address)]"
                return AddressError(f"{error}; {advice}")
    return error


def _only_names(to_name: object, names: tuple[str | None, ...]) -> object:
    """Return the names given with the recipients; raise if `to_name` has names, too."""
    others = () if to_name is None else (to_name,) if isinstance(to_name, str) else to_name
    if not isinstance(others, Sequence) or any(cast("Sequence[object]", others)):
        raise ValueError("to_name: the recipients have names already; give them in one place")
    return names


def _names(value: object, count: int) -> tuple[str | None, ...]:
    if value is None:
        return (None,) * count
    names: tuple[str | None, ...]
    if isinstance(value, str):
        names = (value,)
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        names = tuple(cast("Sequence[str | None]", value))
    else:
        raise TypeError(f"to_name: needs a name or several, not {type(value).__name__}")
    if len(names) != count:
        raise ValueError(f"to_name: has {len(names)} names for {count} recipients")
    return names


def _pairs(value: object) -> tuple[tuple[str, str], ...]:
    if value is _NO_HEADERS:
        return _NO_HEADERS  # to ask for abstract types costs more than all of this
    if isinstance(value, Mapping):
        return tuple(cast("Mapping[str, str]", value).items())
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise TypeError(
            f"headers: needs a mapping, or pairs of name and value, not {type(value).__name__}"
        )
    pairs = tuple(itertools.islice(cast("Iterable[tuple[str, str]]", value), _MAX_HEADERS + 1))
    if len(pairs) > _MAX_HEADERS:
        raise ValueError(f"headers: more than {_MAX_HEADERS} fields")
    return pairs


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

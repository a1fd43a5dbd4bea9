"""The types of what `SendMail` is given, where it then holds another, and some checks."""

import asyncio
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast, overload

from blinker import Signal

from ...smtp.mail.content import CompleteContent
from ..recipients import Recipient
from ..tellable import Tellable

if TYPE_CHECKING:
    from ..signing.dkim import Dkim, Signers
    from .attachment import Attachable, Attachment, Embeddable

NO_SUBJECT = "(none)"
"""The default of POE::Component::Client::SMTP."""
_MAY_BE_EMPTY = frozenset(("body", "inline", "attachments", "cc", "headers"))
_PARTS = (
    *("body", "html", "inline", "attachments", "calendar", "from_name", "to_name", "cc"),
    *("reply_to", "unsubscribe", "list_id", "auto_submitted", "in_reply_to", "references"),
    *("date", "headers"),
)

Mailbox: TypeAlias = str | tuple[str | None, str]
"""An address, ``"Name <address>"``, or a pair of display name (or None) and address."""


class Sender:
    """The type of a field that is given a mailbox, and then holds its address.

    Only type checkers use this and the following: to them, a descriptor may be set to one type and
    read as another.
    """

    if TYPE_CHECKING:

        @overload
        def __get__(self, mail: None, kind: object = None) -> Any: ...
        @overload
        def __get__(self, mail: object, kind: object = None) -> str: ...
        def __get__(self, mail: object, kind: object = None) -> Any: ...
        def __set__(self, mail: object, sender: Mailbox) -> None: ...


class Recipients:
    """The type of a field that is given recipients in any form, and then holds addresses."""

    if TYPE_CHECKING:

        @overload
        def __get__(self, mail: None, kind: object = None) -> Any: ...
        @overload
        def __get__(self, mail: object, kind: object = None) -> tuple[str, ...]: ...
        def __get__(self, mail: object, kind: object = None) -> Any: ...
        def __set__(self, mail: object, recipients: str | Iterable[Recipient]) -> None: ...


class Attachments:
    """The type of a field that is given paths, too, and then holds attachments only."""

    if TYPE_CHECKING:

        @overload
        def __get__(self, mail: None, kind: object = None) -> Any: ...
        @overload
        def __get__(self, mail: object, kind: object = None) -> "tuple[Attachment, ...]": ...
        def __get__(self, mail: object, kind: object = None) -> Any: ...
        def __set__(self, mail: object, given: "Attachable | Iterable[Attachable]") -> None: ...


class Inline:
    """The same for a field of named parts."""

    if TYPE_CHECKING:

        @overload
        def __get__(self, mail: None, kind: object = None) -> Any: ...
        @overload
        def __get__(self, mail: object, kind: object = None) -> "Mapping[str, Attachment]": ...
        def __get__(self, mail: object, kind: object = None) -> Any: ...
        def __set__(self, mail: object, given: "Mapping[str, Embeddable]") -> None: ...


class Signing:
    """The type of a field that is given one `Dkim`, too, and then holds a tuple or None."""

    if TYPE_CHECKING:

        @overload
        def __get__(self, mail: None, kind: object = None) -> Any: ...
        @overload
        def __get__(self, mail: object, kind: object = None) -> "Signers | None": ...
        def __get__(self, mail: object, kind: object = None) -> Any: ...
        def __set__(self, mail: object, by: "Dkim | Iterable[Dkim] | None") -> None: ...


class OutcomeTo:
    """The type of a field that is given an actor's ref or a queue, and then has ``tell``."""

    if TYPE_CHECKING:

        @overload
        def __get__(self, mail: None, kind: object = None) -> Any: ...
        @overload
        def __get__(self, mail: object, kind: object = None) -> Tellable | None: ...
        def __get__(self, mail: object, kind: object = None) -> Any: ...
        def __set__(self, mail: object, to: Tellable | asyncio.Queue[Any] | None) -> None: ...


def check_id(value: object) -> None:
    """Check the id of an email.

    Raises:
        TypeError: it is not a str.
        ValueError: it is empty or too long, or has what cannot be printed.
    """
    if not isinstance(value, str):
        raise TypeError(f"id: needs a str, not {type(value).__name__}")
    if not value or not value.isprintable() or len(value) > 255:
        raise ValueError("id: needs 1 to 255 printable characters")


def check_signal(name: str, value: object) -> None:
    """Check a signal of a single email.

    Raises:
        TypeError: it is neither a signal nor a name.
    """
    if not (value is None or isinstance(value, str | Signal)):
        raise TypeError(f"{name}: needs a signal or its name, not {type(value).__name__}")


def refuse_parts(mail: Any) -> None:
    """Refuse parts beside `message`: it would be ambiguous which of them counts.

    Args:
        mail: a `SendMail`, which imports this module.

    Raises:
        ValueError: there are some.
    """
    wrong = ["subject"] if mail.subject != NO_SUBJECT else []
    for name in _PARTS:
        value = getattr(mail, name)
        if value if name in _MAY_BE_EMPTY else value is not None:
            wrong.append(name)
    if wrong:
        raise ValueError(f"message: is complete; leave out {', '.join(wrong)}")


def described_message(mail: Any) -> str:
    """Return what `repr` shows of the complete message of a `SendMail`."""
    message: object = mail.message
    if isinstance(message, os.PathLike):
        return repr(cast("object", message))
    kind = f"{type(message).__module__}.{type(message).__qualname__}".removeprefix("builtins.")
    if isinstance(mail.content, CompleteContent):
        return f"<{kind}, {len(mail.content.data)} octets>"
    return f"<{kind}>"

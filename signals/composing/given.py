"""What `SendMail` is given: checks, and who makes parts of it."""

import functools
import os
from typing import Any, TypeAlias, cast

from blinker import Signal

from ...smtp.mail.content import CompleteContent

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


@functools.cache
def composer() -> Any:
    """Return the module that makes emails of several parts: late, as few programs need it."""
    from . import composing

    return composing


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

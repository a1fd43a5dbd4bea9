"""The types that ``SendMail(message=…)`` accepts: bytes, an email object or its maker, a file."""

import os
import re
import sys
from collections.abc import Callable
from io import TextIOBase
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from ..smtp.mail.content import CompleteContent, Content
from ..smtp.words.shown import words_of

if TYPE_CHECKING:
    from email.message import Message

MailSource: TypeAlias = "os.PathLike[str] | IO[bytes]"
"""Where a message is read from while it is sent: a path, or a file opened in binary mode."""


class MakesMessage(Protocol):
    """A framework's own class for emails, such as Django's `EmailMessage`."""

    def message(self) -> Any:
        """Return the message as an object of the package `email`."""
        ...


class MakesBytes(Protocol):
    """A framework's class that returns bytes, such as Flask-Mail's `Message`."""

    def as_bytes(self) -> bytes:
        """Return the message, with any line ends."""
        ...


CompleteMessage: TypeAlias = "bytes | Message[Any, Any] | MakesMessage | MakesBytes | MailSource"

_END_OF_HEADER = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_BLIND = re.compile(rb"(?:\A|[\r\n])((?:resent-)?bcc)[ \t]*:", re.IGNORECASE)


def content_of(message: object, missing: Callable[[], tuple[str, str]]) -> Content | None:
    """Return a snapshot of a message in memory; None for one that is read while it is sent.

    Args:
        message: what the caller gave.
        missing: returns the fields Date and Message-ID, for an email object without them.

    Raises:
        ValueError: the message is empty, or cannot be serialized.
        TypeError: the message has none of the accepted types.
    """
    if isinstance(message, bytes):
        return _octets(message)
    if isinstance(message, bytearray | memoryview):
        return _octets(bytes(cast("bytes", message)))
    if isinstance(message, os.PathLike):
        _check_path(cast("os.PathLike[str]", message))
        return None
    if isinstance(message, TextIOBase):
        raise TypeError("message: the file is opened in text mode; open it with mode 'rb'")
    if _is_email(message):
        return _email(message, missing)
    if callable(getattr(message, "read", None)):
        return None
    if callable(getattr(message, "message", None)):
        made = _made(message, "message")
        if _is_email(made):
            return _email(made, missing)
    if callable(getattr(message, "as_bytes", None)):
        return _foreign(message, _made(message, "as_bytes"))
    raise TypeError(
        f"message: needs bytes, an EmailMessage, a path or a binary file, not {_kind(message)}"
    )


_MESSAGE_ID = re.compile(
    rb"(?:\A|[\r\n])message-id[ \t]*:(?:[ \t]|\r?\n[ \t])*(<[^<>\s]{1,995}>)", re.IGNORECASE
)
_LINE_END = re.compile(rb"\r\n|\r|\n")


def message_id_of(data: bytes) -> str | None:
    """Return the Message-ID of a complete message, or None if it has none.

    Args:
        data: the message, with any line ends.
    """
    end = _END_OF_HEADER.search(data)
    found = _MESSAGE_ID.search(data, 0, end.start() if end else len(data))
    return found and found[1].decode("utf-8", "replace")


def with_crlf(data: bytes) -> bytes:
    """Return a message with the line ends of SMTP, the one after its last line included.

    Args:
        data: the message, with any line ends.
    """
    data = _LINE_END.sub(b"\r\n", data)
    return data if data.endswith(b"\r\n") else data + b"\r\n"


def _octets(data: bytes) -> Content:
    if not data:
        raise ValueError("message: the email is empty; was the file read to its end?")
    return CompleteContent(data)


def _check_path(path: "os.PathLike[str]") -> None:
    try:
        name = os.fspath(path)
    except Exception as error:
        raise TypeError(
            f"message: the path cannot be had of {_kind(path)} ({type(error).__name__})"
        ) from error
    if not isinstance(name, str):
        raise TypeError(f"message: needs a path that is a str, not {type(name).__name__}")


def _is_email(message: object) -> bool:
    # Not imported here, as that takes time: a program with such an object has imported it already.
    module = sys.modules.get("email.message")
    return module is not None and isinstance(message, module.Message)


def _email(message: object, missing: Callable[[], tuple[str, str]]) -> Content:
    from ..smtp.mail.email_object import content_of_email

    date, message_id = missing()
    return content_of_email(cast("Message[Any, Any]", message), date=date, message_id=message_id)


def _made(message: object, method: str) -> object:
    """Call a framework's method that makes the message; without arguments, as not all take any."""
    try:
        return getattr(message, method)()
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(
            f"message: {method}() of {_kind(message)} failed:"
            f" {type(error).__name__}: {words_of(error)}"
        ) from error


def _foreign(message: object, data: object) -> Content:
    """Return the bytes that another library wrote, which are sent as they are; reject a Bcc."""
    if not isinstance(data, bytes):
        raise TypeError(
            f"message: as_bytes() of {_kind(message)} must return bytes, not {_kind(data)}"
        )
    end = _END_OF_HEADER.search(data)
    blind = _BLIND.search(data, 0, end.start() if end else len(data))
    if blind is not None:
        raise ValueError(
            f"message: {blind[1].decode()} would show who gets a blind copy; leave it out, and use"
            " bcc= instead"
        )
    return _octets(bytes(data))


def _kind(value: object) -> str:
    """Return the name of a value's type with its module, as several have a `Message`."""
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"

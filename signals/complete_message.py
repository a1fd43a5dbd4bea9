"""What ``SendMail(message=…)`` may be: octets, an email object, what makes one, a path, a file."""

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
"""Where a mail is read from while it is sent: a path, or a file opened in binary mode."""


class MakesMessage(Protocol):
    """A framework's own class for mails, such as Django's `EmailMessage`."""

    def message(self) -> Any:
        """Return the mail as an object of the email package."""
        ...


class MakesBytes(Protocol):
    """The same with octets, such as Flask-Mail's `Message`."""

    def as_bytes(self) -> bytes:
        """Return the mail."""
        ...


CompleteMessage: TypeAlias = "bytes | Message[Any, Any] | MakesMessage | MakesBytes | MailSource"

_END_OF_HEADER = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_BLIND = re.compile(rb"(?:\A|[\r\n])((?:resent-)?bcc)[ \t]*:", re.IGNORECASE)


def content_of(message: object, missing: Callable[[], tuple[str, str]]) -> Content | None:
    """Take a snapshot of what is in memory; None for what is read later.

    Args:
        message: what the program gave.
        missing: returns the fields Date and Message-ID, for an email object without them.

    Raises:
        ValueError: it is empty, or cannot be written.
        TypeError: it is nothing of all these.
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


def _octets(data: bytes) -> Content:
    if not data:
        raise ValueError("message: the mail is empty; was the file read to its end?")
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
    # A program that has such an object has imported the module; no other has to.
    module = sys.modules.get("email.message")
    return module is not None and isinstance(message, module.Message)


def _email(message: object, missing: Callable[[], tuple[str, str]]) -> Content:
    from ..smtp.mail.email_object import content_of_email

    date, message_id = missing()
    return content_of_email(cast("Message[Any, Any]", message), date=date, message_id=message_id)


def _made(message: object, method: str) -> object:
    """Have a framework's object make the mail: without arguments, which not all of them take."""
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
    """Take what another library wrote: it goes out as it is, if it hides no recipients."""
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
    """Name a type so that it is told from others of the same name."""
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"

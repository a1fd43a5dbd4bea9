"""An email with all that it names in memory; or, if that is large, in a file that stays open."""

import os
from typing import BinaryIO, cast

from ....signals.send_mail import SendMail
from ....smtp.mail.content import CompleteContent
from .large import OpenFile, joined_or_spooled, read_or_open

_set = object.__setattr__


def in_memory(mail: SendMail, most: int) -> tuple[SendMail, OpenFile | None]:
    """Return an email with its message in memory; or as it is, with the file, if that is large.

    Args:
        mail: the email. If it is to be signed or encrypted, that is done: the file needs no key.
        most: octets that are kept in memory.

    Raises:
        ValueError: it is empty, or no regular file, or can't be protected, or is several emails.
        OSError: its file cannot be read.
    """
    if mail.protect:
        mail = _protected(mail)
    return (mail, None) if mail.content is not None else _read(mail, most)


def _protected(mail: SendMail) -> SendMail:
    """Return an email that is signed and encrypted already: the file needs no key, and shows less.

    Raises:
        ValueError: it can't be, or it is several emails.
    """
    assert mail.protect
    first, *others = mail.protect.mails(mail)
    if others:
        raise ValueError(
            f"protect: with its blind recipients it is {1 + len(others)} emails; put each of those"
            " that protect.mails(mail) returns"
        )
    return cast("SendMail", first)


def _read(mail: SendMail, most: int) -> tuple[SendMail, OpenFile | None]:
    """Return an email with its message in memory; or as it is, with the file, if that is large."""
    source = mail.source
    assert source is not None
    if mail.message is None:
        return _read_parts(mail, most)
    data = read_or_open(cast("os.PathLike[str] | BinaryIO", source), most)
    if isinstance(data, OpenFile):
        return mail, data
    if not data:
        raise ValueError("message: the email is empty; was the file read to its end?")
    copy = copy_of(mail)
    _set(copy, "message", data)
    _set(copy, "content", CompleteContent(data))
    return copy, None


def _read_parts(mail: SendMail, most: int) -> tuple[SendMail, OpenFile | None]:
    """Return an email with files, which are read: what is promised is in the file."""
    from ....signals.composing.octets import pieces_of  # late: few need it

    data = joined_or_spooled(pieces_of(mail), most)
    if isinstance(data, OpenFile):
        return mail, data
    copy = copy_of(mail)
    _set(copy, "content", CompleteContent(data, needs_smtputf8=mail.needs_smtputf8))
    return copy, None


def copy_of(mail: SendMail) -> SendMail:
    """Return a copy that may be changed."""
    copy = object.__new__(SendMail)
    for name in SendMail.__slots__:
        _set(copy, name, getattr(mail, name))
    return copy

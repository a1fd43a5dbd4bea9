"""The octets of an email, as a server gets them."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from ..complete_message import with_crlf
from .parts_file import octets_of_parts


def pieces_of(mail: Any) -> Iterable[bytes]:
    """Return the message piece by piece, in its 8-bit form.

    Args:
        mail: a `SendMail`, which imports this module.

    Raises:
        OSError: what it is made of is a path, and can't be read.
        ValueError: it is an open file, which can be read only once: to send it.
    """
    if mail.content is not None:
        data = mail.content.render(eight_bit=True).data
        assert data is not None
        return (with_crlf(data),)
    if mail.message is None:
        return octets_of_parts(mail.source)
    source: object = mail.message
    if not isinstance(source, os.PathLike):
        raise ValueError("message: is an open file; it can be read once, to send it")  # noqa: TRY004
    return (with_crlf(Path(cast("os.PathLike[str]", source)).read_bytes()),)


def write_to(path: "str | os.PathLike[str]", mail: Any) -> None:
    """Write the message to a file: all of it, or nothing.

    Args:
        path: the file; an old one is replaced once the new one is complete.
        mail: a `SendMail`.

    Raises:
        OSError: it can't be written, or what the email is made of can't be read.
        ValueError: the message is an open file, or has this file attached.
    """
    target = Path(path)
    for body in getattr(mail.source, "files", ()):
        if target.exists() and target.samefile(body.path):
            raise ValueError(f"{target} is attached to the email; save it to another file")
    pieces = pieces_of(mail)  # first: an old file stays if this one cannot be made
    if target.exists() and not target.is_file():  # such as a terminal, or a pipe
        with target.open("wb") as file:
            file.writelines(pieces)
        return
    target = target.resolve()  # a link remains one
    new = target.with_name(f".{target.name[:40]}.{os.urandom(6).hex()}")
    try:
        with new.open("xb") as file:
            file.writelines(pieces)
        if target.exists():
            shutil.copymode(target, new)
        new.replace(target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise

"""The whole of an email in memory, in 7 bits, as it is before it is signed or encrypted."""

import os
import stat
from collections.abc import Iterable
from dataclasses import replace
from typing import IO, Any, cast

from ...smtp.mail.content import ComposedContent
from ...smtp.mail.parts.entity import Entity
from ...smtp.mail.parts.parts_email import PartsEmail
from ...smtp.mail.wrapped.wrapping import UnprotectableError, steady
from ..composing.parts_file import octets_of_parts

MOST_OCTETS = 33_554_432
"""Octets of an email that can be signed or encrypted: unlike others, it is held in memory as
a whole, some ten times."""
_PIECE = 1_048_576

# `SendMail` leads to this module, so its type has no name here.


def octets_of(mail: Any) -> bytes:
    """Return an email as it would be sent; its files are read. Blocks.

    Args:
        mail: a `SendMail`.

    Raises:
        UnprotectableError: it is too large, or an open file.
        OSError: a file cannot be read.
        ValueError: a file changes meanwhile.
    """
    content = mail.content
    email = content.email if isinstance(content, ComposedContent) else mail._parts
    if isinstance(email, PartsEmail):
        return _joined(octets_of_parts(_with_steady_texts(email)))
    if content is not None:
        data = cast("bytes", content.render(eight_bit=False).data)
        if len(data) > MOST_OCTETS:
            raise _too_large()
        return data
    return _joined(_pieces_of_file(mail.message))


def _with_steady_texts(email: PartsEmail) -> PartsEmail:
    segments = [steady(each) if isinstance(each, bytes) else each for each in email.entity.segments]
    return replace(email, entity=Entity(tuple(segments), email.entity.facts))


def _joined(pieces: Iterable[bytes]) -> bytes:
    found: list[bytes] = []
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > MOST_OCTETS:
            raise _too_large()
        found.append(piece)
    return b"".join(found)


def _pieces_of_file(source: object) -> Iterable[bytes]:
    if not isinstance(source, os.PathLike):
        raise UnprotectableError(
            "its message is an open file, which is read while it is sent; give a path or bytes"
        )
    # Without waiting: a named pipe may never have a writer.
    path = cast("os.PathLike[str]", source)
    file: IO[bytes]
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise UnprotectableError(f"its message {os.fspath(path)!r} is no regular file")
        while piece := file.read(_PIECE):
            yield piece


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))


def _too_large() -> UnprotectableError:
    return UnprotectableError(f"it has more than {MOST_OCTETS} octets, and is held in memory")

"""`Attachment`: a file that is sent with an email, or an image that its HTML embeds."""

import os
import stat
from pathlib import Path
from typing import TypeAlias, cast

from ...smtp.mail.parts.base64_lines import in_lines
from ...smtp.mail.parts.content_types import OCTETS, type_by_content, type_by_name
from ...smtp.mail.parts.entity import Entity, FileBody, email_entity, file_entity
from ...smtp.mail.parts.file_names import check_content_type, check_file_name, file_fields

MOST_READ = 1_048_576
"""Octets of a file that is read at once; a larger one is read while the email is sent."""
_MOST_ENTITIES = 16  # an image may have several names in emails

Attachable: TypeAlias = "os.PathLike[str] | Attachment"
"""What ``SendMail(attachments=…)`` takes."""
Embeddable: TypeAlias = "os.PathLike[str] | bytes | Attachment"
"""What ``SendMail(inline=…)`` takes."""


class Attachment:
    """A file to attach, or to embed.

    It is immutable, and encoded once: give the same object to any number of emails.

    Args:
        content: octets, or a path. A file of up to 1 MiB is read at once, in this thread; a larger
            one is read while each email is sent, and must stay as it is until then.
        name: the file name that the reader sees. Default: that of the path.
        content_type: such as ``"application/pdf"``, perhaps with parameters. Default: by the name,
            or for an image without a name by its content; ``"application/octet-stream"`` if that
            says nothing.

    Raises:
        ValueError: the name or the type is invalid; octets to attach have no name; the path is not
            that of a file.
        TypeError: an argument has another type.
        OSError: the file cannot be read.
    """

    __slots__ = ("_body", "_content_type", "_entities", "_name", "_octets")

    def __init__(
        self,
        content: "bytes | os.PathLike[str]",
        *,
        name: str | None = None,
        content_type: str | None = None,
    ) -> None:
        octets: bytes | None
        if isinstance(content, os.PathLike):
            path = _path_of(content)
            name = Path(path).name if name is None else name
            octets = _read(path)
            self._body: bytes | FileBody = FileBody(path) if octets is None else in_lines(octets)
        else:
            octets = _octets(content)
            self._body = in_lines(octets)
        self._name = None if name is None else check_file_name(name)
        kind = self._content_type = self._type(octets, content_type)
        # Only an email within an email is not sent in base64.
        self._octets = octets if _is_message(kind) else None
        self._entities: dict[str | None, Entity] = {}

    @property
    def name(self) -> str | None:
        """The file name, or None."""
        return self._name

    @property
    def content_type(self) -> str:
        """The content type, with its parameters."""
        return self._content_type

    @property
    def path(self) -> str | None:
        """The path of a file that is read while an email is sent; None if it is in memory."""
        return self._body.path if isinstance(self._body, FileBody) else None

    def __repr__(self) -> str:
        size = "" if isinstance(self._body, FileBody) else f", {len(self._body)} octets of base64"
        return f"<Attachment {self._name!r} {self._content_type}{size}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Attachment):
            return NotImplemented
        return self is other or self._value() == other._value()

    def __hash__(self) -> int:
        return hash(self._value())

    def entity(self, cid: str | None = None) -> Entity:
        """Return it as a part of an email.

        Args:
            cid: by which name the HTML embeds it, checked; None if it is attached.

        Raises:
            ValueError: it is attached, and has no name.
        """
        found = self._entities.get(cid)
        if found is None:
            found = self._made(cid)
            if len(self._entities) < _MOST_ENTITIES:
                self._entities[cid] = found
        return found

    def _made(self, cid: str | None) -> Entity:
        if cid is None and self._name is None:
            raise ValueError("attachments: octets need a name: Attachment(..., name='report.pdf')")
        disposition = "attachment" if cid is None else "inline"
        kind = self._content_type
        if self._octets is not None:
            inner = email_entity(self._octets, *file_fields(kind, self._name, disposition, cid))
            if inner is not None:
                return inner
            kind = OCTETS  # it would have to be encoded, which that type does not allow
        return file_entity(self._body, *file_fields(kind, self._name, disposition, cid))

    def _type(self, content: bytes | None, given: str | None) -> str:
        if given is not None:
            kind = check_content_type(given)
            if content is None and _is_message(kind):
                raise ValueError(
                    f"content_type: a file of more than {MOST_READ} octets is sent in base64, which"
                    f" {kind.partition(';')[0]} does not allow (RFC 2046 §5.2.1)"
                )
            return kind
        kind = OCTETS if self._name is None else type_by_name(self._name)
        if kind == OCTETS and self._name is None and content is not None:
            kind = type_by_content(content)
        if content is None:
            return OCTETS if kind.startswith("message/") else kind
        return f"{kind}; charset=utf-8" if kind.startswith("text/") and _is_utf8(content) else kind

    def _value(self) -> tuple[object, ...]:
        return self._name, self._content_type, self._body


def attachment_of(what: str, value: object, *, octets: bool = False) -> Attachment:
    """Return what a program gave as an `Attachment`.

    Args:
        what: the name of the value in the error.
        value: an `Attachment`, or a path.
        octets: whether bytes are allowed.

    Raises:
        TypeError: it has another type.
        ValueError: see `Attachment`.
        OSError: the file cannot be read.
    """
    if isinstance(value, Attachment):
        return value
    if isinstance(value, os.PathLike) or (octets and isinstance(value, bytes)):
        return Attachment(cast("os.PathLike[str]", value))
    needed = "a path, bytes or an Attachment" if octets else "a path or an Attachment"
    hint = "; for a file, write Path(...)" if isinstance(value, str) else ""
    raise TypeError(f"{what}: needs {needed}, not {type(value).__name__}{hint}")


def _is_message(content_type: str) -> bool:
    return content_type[:8].lower() == "message/"


def _octets(content: object) -> bytes:
    if isinstance(content, bytes | bytearray | memoryview):
        return bytes(cast("bytes", content))
    hint = "; for a file, write Path(...)" if isinstance(content, str) else ""
    raise TypeError(f"attachment: needs bytes or a path, not {type(content).__name__}{hint}")


def _path_of(path: "os.PathLike[str]") -> str:
    name = os.fspath(path)
    if not isinstance(name, str):
        raise TypeError(f"attachment: needs a path that is a str, not {type(name).__name__}")
    return str(Path(name).absolute())


def _read(path: str) -> bytes | None:
    """Return a file's content, or None if it is large."""
    found = Path(path).stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"attachment: {path!r} is not a file")
    with Path(path).open("rb") as file:  # also a large one: that it can't be read is known now
        content = b"" if found.st_size > MOST_READ else file.read(MOST_READ + 1)
    return None if max(found.st_size, len(content)) > MOST_READ else content


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True

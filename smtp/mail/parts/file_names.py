"""Names and types of files, in the fields of a part (RFC 2183, RFC 2231, RFC 2047)."""

import binascii
import re
from collections.abc import Iterator
from urllib.parse import quote

from ...words.shown import shown
from ..folding import fold
from ..header import check_text

_MAX_NAME = 255
_PLAIN = re.compile(r"(?! )(?!.*(?:  |=\?| \Z))[ -~]+")  # what any reader gives back as it is
_TOKEN = r"[!#$&^_.+\-A-Za-z0-9]+"  # noqa: S105 - of a grammar: RFC 6838 §4.2
_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}(?: *; *{_TOKEN}=(?:{_TOKEN}|\"(?:[ !#-\[\]-~])*\"))*")
_PARAMETER = re.compile(rf"; *({_TOKEN})=(?:{_TOKEN}|\"[^\"]*\")")
_NAME = re.compile(r"(?:file)?name(?:\*.*)?")  # also as RFC 2231 has it, in which a token may be
_MAX_TYPE = 200
_WORD = 42  # octets that are an encoded word of 68 characters, which fits any line
_SECTION = 54  # characters of a section of a parameter, which fits a line of 76


def check_file_name(name: object) -> str:
    """Return `name`, without white space at its ends, if it can be the name of a file.

    Raises:
        TypeError: it is not a str.
        ValueError: it is empty or too long, is a path, or has a control character.
    """
    text = check_text("name", name).strip()
    if not text or len(text) > _MAX_NAME:
        raise ValueError(f"name: needs 1 to {_MAX_NAME} characters, not {len(text)}")
    if "/" in text or "\\" in text:
        raise ValueError(f"name: {shown(text)} is a path; give the name of the file alone")
    return text


def check_content_type(content_type: object) -> str:
    """Return `content_type` if it can be that of a file.

    Raises:
        TypeError: it is not a str.
        ValueError: it is not of the form ``type/subtype``, is that of a multipart, or has a name,
            or a parameter twice.
    """
    text = check_text("content_type", content_type)
    if not _TYPE.fullmatch(text) or len(text) > _MAX_TYPE:
        raise ValueError(f"content_type: {shown(text)} is not of the form type/subtype")
    if text.lower().startswith("multipart/"):
        raise ValueError(f"content_type: {shown(text)} is made of parts; attach those")
    names = [name.lower() for name in _PARAMETER.findall(text)]
    for number, name in enumerate(names):
        if _NAME.fullmatch(name):
            raise ValueError(f"content_type: has the parameter {name}; give name= instead")
        if name in names[:number]:
            raise ValueError(f"content_type: has the parameter {name} twice")
    return text


def file_fields(
    content_type: str, name: str | None, disposition: str, cid: str | None = None
) -> tuple[str, ...]:
    """Return the header of a part that is a file.

    A name that is not ASCII is there twice: in RFC 2231's form, and as encoded words in the older
    parameter ``name``, which RFC 2047 §5 (3) does not allow, and on which some clients depend.

    Args:
        content_type: checked.
        name: checked, or None.
        disposition: ``"attachment"`` or ``"inline"``.
        cid: the Content-ID without angle brackets, checked; or None.
    """
    ours = () if cid is None else (f"Content-ID: <{cid}>",)
    kind = [f" {content_type}"]
    how = [f" {disposition}"]
    if name is not None:
        kind[-1] += ";"
        how[-1] += ";"
        if _PLAIN.fullmatch(name):
            quoted = name.replace('"', r"\"")
            kind.append(f' name="{quoted}"')
            how.append(f' filename="{quoted}"')
        else:
            kind += _words(name)
            how += _sections(name)
    return fold("Content-Type", kind), *ours, fold("Content-Disposition", how)


def _cut(text: str, size: int, length: int) -> Iterator[str]:
    """Yield pieces of at most `size`, of whole characters; `length` is what one octet takes."""
    piece, room = "", size
    for character in text:
        takes = len(character.encode()) * length
        if takes > room:
            yield piece
            piece, room = "", size
        piece += character
        room -= takes
    yield piece


def _words(name: str) -> list[str]:
    """Return the parameter ``name`` with encoded words, one for each line."""
    pieces = [
        f" =?utf-8?b?{binascii.b2a_base64(piece.encode(), newline=False).decode()}?="
        for piece in _cut(name, _WORD, 1)
    ]
    pieces[0] = f' name="{pieces[0][1:]}'
    pieces[-1] += '"'
    return pieces


def _sections(name: str) -> list[str]:
    """Return the parameter ``filename`` as RFC 2231 has it."""
    pieces = list(_cut(name, _SECTION, 3))
    if len(pieces) == 1:
        return [f" filename*=utf-8''{quote(name, safe='')}"]
    pieces = [
        f" filename*{number}*={quote(piece, safe='')};" for number, piece in enumerate(pieces)
    ]
    pieces[0] = pieces[0].replace("*=", "*=utf-8''", 1)
    pieces[-1] = pieces[-1].removesuffix(";")
    return pieces

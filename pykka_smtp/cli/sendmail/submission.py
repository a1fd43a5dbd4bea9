"""The email that a program submits: read, completed as a mail server would, and checked."""

import datetime as dt
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO

from ...smtp.mail.content import MAX_TEXT_LINE
from ...smtp.mail.header import date_field, mailbox_field, message_id_field
from ...smtp.words.shown import shown
from ..input.mail_file import MAX_MAIL
from .addresses import with_domains

_LINE_END = re.compile(rb"\r\n|\r")
# RFC 5322 §2.2: a name, a colon, a body that goes on in lines that begin with white space. A name
# that fills a line by itself is none: where the line is broken, the header would end.
_FIELD = re.compile(
    rb"(?P<head>(?P<name>[!-9;-~]{1,900}+)[ \t]{0,50}+:)"
    rb"(?P<body>[^\n]*+(?:\n[ \t][^\n]*+)*+)(?:\n|\Z)"
)
_MBOX = re.compile(rb">?From [^\n]*+(?:\n|\Z)")
_BCC = re.compile(rb"^(?:resent-)?bcc[ \t]*+:", re.IGNORECASE | re.MULTILINE)
_TOO_LONG = re.compile(rb"[^\n]{%d,}" % (MAX_TEXT_LINE + 1))
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")

# As Postfix has them: for machines on the way, or not for the eyes of recipients.
_DROPPED = {b"bcc", b"resent-bcc", b"content-length", b"return-path"}
_WITH_ADDRESSES = {
    *(b"from", b"sender", b"reply-to", b"to", b"cc"),
    *(b"resent-from", b"resent-sender", b"resent-to", b"resent-cc"),
}
_RECIPIENTS = (b"to", b"cc", b"bcc")
_RESENT = b"resent-"


class BrokenHeaderError(Exception):
    """A Bcc stands behind a line that ends the header. The message is one line."""


class TooLongError(Exception):
    """The email is longer than can be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """An email that is ready to go.

    Attributes:
        data: the message.
        recipients: the lists of addresses in the header, as they were.
    """

    data: bytes = field(repr=False)
    recipients: tuple[str, ...]


def read_submission(file: IO[bytes], *, is_dot_text: bool) -> bytes:
    """Read what a program writes, to its end or to a line with only a dot.

    Args:
        file: where to read.
        is_dot_text: whether such a line is text like any other.

    Raises:
        TooLongError: it does not end in time.
        OSError: it can't be read.
    """
    if is_dot_text:
        data = file.read(MAX_MAIL + 1)
        if len(data) > MAX_MAIL:
            raise TooLongError
        return data
    lines: list[bytes] = []
    size = 0
    while line := file.readline(MAX_MAIL + 1 - size):
        if line.rstrip(b"\r\n") == b"." and (not lines or lines[-1].endswith(b"\n")):
            break
        lines.append(line)
        size += len(line)
        if size > MAX_MAIL:
            raise TooLongError
    return b"".join(lines)


def complete(data: bytes, *, domain: str, author: Callable[[], tuple[str, str]]) -> Submission:
    """Complete an email: add From, Date and Message-ID, and domains; take Bcc out.

    Args:
        data: what was submitted.
        domain: what is appended to addresses without one.
        author: returns name and address for From.

    Raises:
        BrokenHeaderError: recipients would read a Bcc.
    """
    # All line ends are the same from here on, so that none is made of two halves below.
    data = _LINE_END.sub(b"\n", data)
    fields, position = _fields(data)
    if fields:
        _check_end(data, position)
    names = {name for name, _, _ in fields}
    is_resent = any(name.startswith(_RESENT) for name in names)
    # RFC 5322 §3.6.6: who sends an email again adds a block of fields of his own.
    prefix = _RESENT if is_resent else b""
    wanted = {prefix + name for name in _RECIPIENTS}
    lists = [_text(body).replace("\n", "") for name, _, body in fields if name in wanted]
    parts = [text.encode() + b"\n" for text in _missing(names, prefix.decode(), domain, author)]
    for name, head, body in fields:
        if name in _WITH_ADDRESSES:
            changed = with_domains(_text(body), domain).encode("utf-8", "surrogateescape")
            parts += [head, changed, b"\n"]
        elif name not in _DROPPED:
            parts += [head, body, b"\n"]
    rest = data[position:]
    if not rest.startswith(b"\n"):
        parts.append(b"\n")
    data = _TOO_LONG.sub(_in_lines, b"".join([*parts, rest]))
    return Submission(data=data, recipients=tuple(lists))


def _in_lines(line: re.Match[bytes]) -> bytes:
    """Break a line that SMTP cannot carry, as Postfix does: what follows begins with a space."""
    text = line[0]
    lines: list[bytes] = []
    most = MAX_TEXT_LINE
    while len(text) > most:
        end = most
        while end > most - 4 and text[end] & 0xC0 == 0x80:  # in a character of UTF-8
            end -= 1
        lines.append(text[:end])
        text = text[end:]
        most = MAX_TEXT_LINE - 1
    return b"\n ".join([*lines, text])


def _fields(data: bytes) -> tuple[list[tuple[bytes, bytes, bytes]], int]:
    """Return each field's name in lower case, its head and its body; and where the header ends."""
    position = 0
    while match := _MBOX.match(data, position):  # a mailbox's separator; it is no field
        position = match.end()
        if position >= len(data):
            break
    fields: list[tuple[bytes, bytes, bytes]] = []
    while match := _FIELD.match(data, position):
        position = match.end()
        fields.append((match["name"].lower(), match["head"], match["body"]))
    return fields, position


def _check_end(data: bytes, position: int) -> None:
    """Check that no Bcc is in what follows the header without a blank line between.

    For a mail server such a line ends the header, and what follows is text. Its author meant a
    blind copy, which nobody would get, and everybody would read of.

    Raises:
        BrokenHeaderError: there is one.
    """
    end = data.find(b"\n\n", max(position - 1, 0))
    if _BCC.search(data, position, len(data) if end < 0 else end):
        line = data[position : position + 1000].partition(b"\n")[0].decode("utf-8", "replace")
        raise BrokenHeaderError(
            f"a line in the header is no field: {shown(line)}; all would read the Bcc behind it"
        )


def _text(body: bytes) -> str:
    return body.decode("utf-8", "surrogateescape")


def _missing(
    names: set[bytes], prefix: str, domain: str, author: Callable[[], tuple[str, str]]
) -> Iterator[str]:
    """Yield the fields that RFC 5322 §3.6 requires, or nearly so, and that are not there."""
    resent = "Resent-" if prefix else ""
    if f"{prefix}from".encode() not in names:
        name, address = author()
        name = _UNPRINTABLE.sub(" ", name).strip()
        yield mailbox_field(f"{resent}From", [(name or None, address)])
    if f"{prefix}date".encode() not in names:
        yield resent + date_field(dt.datetime.now().astimezone())
    if f"{prefix}message-id".encode() not in names:
        yield resent + message_id_field(f"<{os.urandom(12).hex()}.sendmail@{domain}>")

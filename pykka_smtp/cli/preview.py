"""``pykka-smtp preview``: the fields and the parts of an email, as tables."""

import email
import email.policy
import sys
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TextIO

from .input.encoding import wide_encoding
from .input.mail_file import MAX_MAIL
from .output.printable import print_lines
from .sysexits import EX_DATAERR, EX_NOINPUT, EX_OK

_STDIN = "-"
_MAX_DEPTH = 20
_MAX_PARTS = 1000
_MAX_FIELDS = 200
_MAX_DECODED = 4000  # characters of a field; a line shows fewer


def run(name: str, out: TextIO, err: TextIO) -> int:
    """Print what an email consists of.

    Args:
        name: the file, or ``-`` for standard input.
        out: gets the tables.
        err: gets an error, one line.

    Returns:
        The exit status.

    Raises:
        BrokenPipeError: the reader of `out` has gone.
    """
    shown = "stdin" if name == _STDIN else name
    try:
        data = _read(name)
    except OSError as error:
        print_lines(err, f"pykka-smtp preview: cannot read {shown}: {error.strerror or error}")
        return EX_NOINPUT
    if not data.strip() or len(data) > MAX_MAIL:
        why = "is empty" if len(data) <= MAX_MAIL else f"is longer than {MAX_MAIL} octets"
        print_lines(err, f"pykka-smtp preview: {shown} {why}")
        return EX_DATAERR
    if (encoding := wide_encoding(data)) is not None:
        print_lines(err, f"pykka-smtp preview: {shown} is {encoding}, which no email can be")
        return EX_DATAERR
    try:
        message = email.message_from_bytes(data, policy=email.policy.default)
        fields = _fields(message) or ["(no fields: it is no complete email)"]
        lines = [*fields, "", *_parts(message)]
    except RecursionError:  # of the standard library's parser
        print_lines(err, f"pykka-smtp preview: {shown} has too many parts within parts")
        return EX_DATAERR
    print_lines(out, *lines, "", f"{len(data):,} octets in all")
    return EX_OK if message.keys() else EX_DATAERR


def _read(name: str) -> bytes:
    if name == _STDIN:
        return sys.stdin.buffer.read(MAX_MAIL + 1)
    with Path(name).open("rb") as file:
        return file.read(MAX_MAIL + 1)


def _fields(message: EmailMessage) -> list[str]:
    # As they were parsed: a look-up by name would decode all fields of that name, for each of them.
    given = list(message.raw_items())
    items = [(name, _text_of(message, name, value)) for name, value in given[:_MAX_FIELDS]]
    width = max((len(name) for name, _ in items), default=0)
    lines = [f"{name:<{width}}  {text}" for name, text in items]
    left = len(given) - len(items)
    return [*lines, f"({left:,} more)"] if left else lines


def _text_of(message: EmailMessage, name: str, value: Any) -> str:
    if len(value) > _MAX_DECODED:
        return " ".join(
            str(value)[:_MAX_DECODED].split()
        )  # decoding takes the square of its length
    try:
        text = str(message.policy.header_fetch_parse(name, value))
    except Exception as error:  # of the standard library's parser, on what it does not expect
        return f"({type(error).__name__}: cannot be read)"
    return " ".join(text.split())


def _parts(message: EmailMessage) -> list[str]:
    rows = [("part", "encoding", "octets", "name")]
    rows += _rows(message, 0)[:_MAX_PARTS]
    kind, encoding, octets = (max(len(row[column]) for row in rows) for column in range(3))
    return [
        f"{row[0]:<{kind}}  {row[1]:<{encoding}}  {row[2]:>{octets}}  {row[3]}".rstrip()
        for row in rows
    ]


def _rows(part: Any, depth: int) -> list[tuple[str, str, str, str]]:
    """Return a row for a part, and for each in it."""
    kind = "  " * depth + part.get_content_type()
    encoding = " ".join(str(part["Content-Transfer-Encoding"] or "").split())
    if part.is_multipart():
        rows = [(kind, "", "", _name(part))]
        if depth < _MAX_DEPTH:
            for inner in part.get_payload():
                rows += _rows(inner, depth + 1)
        return rows
    content = part.get_payload(decode=True)
    size = len(content) if isinstance(content, bytes) else 0
    return [(kind, encoding, f"{size:,}", _name(part))]


def _name(part: Any) -> str:
    cid = part["Content-ID"]
    name = part.get_filename() or ""
    return f"{name} (cid:{str(cid).strip(' <>')})".strip() if cid else name

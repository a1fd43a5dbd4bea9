"""How times, sizes and emails are written, for people and as JSON."""

import datetime as dt
import json
from typing import Any, TextIO

from ...actors.outbox.store.records import StoredMail
from ..output.printable import print_lines

_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60))
_ADDRESSES = 3
"""Recipients of an email that fit in a line."""


def duration(seconds: float) -> str:
    """Return a time such as ``3d``, ``2h``, ``15m`` or ``40s``."""
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return f"{max(0, int(seconds))}s"


def size(octets: int) -> str:
    """Return a size such as ``12k``."""
    if octets < 1_000:
        return str(octets)
    for unit in "kMGT":
        octets_, octets = octets, octets // 1000
        if octets < 1_000:
            return f"{octets_ / 1000:.1f}{unit}" if octets < 10 else f"{octets}{unit}"
    return "?"


def utc(seconds: float | None) -> str | None:
    """Return a time as ISO 8601 has it, in UTC."""
    if seconds is None:
        return None
    try:
        when = dt.datetime.fromtimestamp(seconds, dt.UTC)
    except (ValueError, OverflowError, OSError):  # from a damaged file
        return None
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def mail_as_dict(mail: StoredMail) -> dict[str, Any]:
    """Return what is known of an email, with times in ISO 8601."""
    values: dict[str, Any] = {name: getattr(mail, name) for name in mail.__slots__}
    return values | {name: utc(values[name]) for name in ("put_at", "due", "expires")}


def recipients(mail: StoredMail) -> str:
    """Return the recipients of an email, the first of many."""
    few = ", ".join(mail.recipients[:_ADDRESSES])
    more = len(mail.recipients) - _ADDRESSES
    return f"{few} and {more} more" if more > 0 else few


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun."""
    return f"{count} {one}" if count == 1 else f"{count} {many or f'{one}s'}"


def print_json(out: TextIO, value: Any) -> None:
    """Print a value as JSON in ASCII, which no terminal takes for commands.

    Raises:
        BrokenPipeError: the reader has gone.
    """
    text = json.dumps(value, indent=2)
    print_lines(out, *text.splitlines(), most=len(text) + 1)

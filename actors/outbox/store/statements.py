"""Statements for many rows at once: each step of SQLite gives the interpreter's lock away.

It comes back late while the event loop is busy, so one statement for 64 rows takes as long as one
for a single row.
"""

import functools
import json
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

_MOST = 64
_T = TypeVar("_T")

json_of = json.JSONDecoder().decode


def chunks(rows: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Yield rows in pieces whose lengths are powers of two: so there are few statements."""
    at, size = 0, _MOST
    while at < len(rows):
        while size > len(rows) - at:
            size //= 2
        yield rows[at : at + size]
        at += size


@functools.cache  # few, see `chunks`
def values(columns: int, rows: int) -> str:
    """Return ``VALUES (?, ?), …`` for so many rows."""
    row = f"({', '.join('?' * columns)})"
    return f"VALUES {', '.join([row] * rows)}"


@functools.cache
def columns_of_bodies(count: int) -> str:
    """Return a statement that selects so many bodies as the columns of one row."""
    one = "(SELECT data FROM pykka_smtp_body WHERE seq = ?)"
    return f"SELECT {', '.join([one] * count)}"


def like(text: str) -> str:
    r"""Return a pattern for LIKE, with the escape character ``\``, that finds a text anywhere."""
    for special in ("\\", "%", "_"):
        text = text.replace(special, f"\\{special}")
    return f"%{text}%"


def detail_of(outcome: str | None, past: str | None) -> str:
    """Return what the text of an outcome, or of the last attempt, says in a line.

    Args:
        outcome: the outcome, as JSON; or None.
        past: the attempts, as JSON; or None.
    """
    made: dict[str, Any] = json_of(outcome) if outcome else json_of(past)["last"] if past else {}
    reply = made.get("reply")
    return made.get("detail") or (" ".join(map(str, reply)) if reply else "")

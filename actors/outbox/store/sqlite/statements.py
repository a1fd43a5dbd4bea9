"""Statements for many rows at once: each step of SQLite gives the interpreter's lock away.

It comes back late while the event loop is busy, so one statement for 64 rows takes as long as one
for a single row.
"""

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

_MOST = 128
OWNED = "state IN ('claimed', 'dot', 'told')"
"""As the index of those says it: SQLite takes that index only where a statement has these words."""
_T = TypeVar("_T")

json_of: Callable[[str], Any] = json.JSONDecoder().decode


def chunks(rows: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Yield rows in pieces of no more than one statement takes."""
    for at in range(0, len(rows), _MOST):
        yield rows[at : at + _MOST]


def spare(rows: int) -> int:
    """Return how many empty rows make these a power of two: so there are few statements."""
    return (1 << (rows - 1).bit_length()) - rows


@functools.cache  # few, see `spare`
def values(columns: int, rows: int) -> str:
    """Return ``VALUES (?, ?), …`` for so many rows and the spare ones."""
    row = f"({', '.join('?' * columns)})"
    return f"VALUES {', '.join([row] * (rows + spare(rows)))}"


@functools.cache
def columns_of_bodies(count: int) -> str:
    """Return a statement that selects so many bodies, and spare ones, as columns of one row."""
    one = "(SELECT data FROM pykka_smtp_body WHERE seq = ?)"
    return f"SELECT {', '.join([one] * (count + spare(count)))}"


def like(text: str) -> str:
    r"""Return a pattern for LIKE, with the escape character ``\``, that finds a text anywhere."""
    for special in ("\\", "%", "_"):
        text = text.replace(special, f"\\{special}")
    return f"%{text}%"


def like_in_json(text: str) -> str:
    """Return a pattern as `like` does, for a text within a string of JSON."""
    return like(json.dumps(text, ensure_ascii=False)[1:-1])


def readable_of(text: str | None) -> dict[str, Any]:
    """Return an object of JSON; an empty one for what is none, so that a look at others goes on."""
    try:
        made: Any = json_of(text) if text else {}
    except ValueError:
        return {}
    return cast("dict[str, Any]", made) if isinstance(made, dict) else {}


def detail_of(outcome: str | None, past: str | None) -> str:
    """Return what the text of an outcome, or of the last attempt, says in a line.

    Args:
        outcome: the outcome, as JSON; or None.
        past: the attempts, as JSON; or None.
    """
    made = readable_of(outcome) if outcome else readable_of(past).get("last") or {}
    reply = made.get("reply")
    return made.get("detail") or (" ".join(map(str, reply)) if reply else "")

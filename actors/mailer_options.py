"""Checks of the options that only a `Mailer` has."""

import itertools
from collections.abc import Iterable
from typing import cast

from .connect import SourceAddress

_MOST = 1_000_000
"""Connections, mails on one of them, and mails that wait: none of the limits can be higher."""

_MOST_BACKUPS = 100


def whole(name: str, value: object) -> int:
    """Check a number of connections, or of mails; return it.

    Raises:
        TypeError: it is no int.
        ValueError: it is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: needs an int, not {type(value).__name__}")
    if not 1 <= value <= _MOST:
        raise ValueError(f"{name}: needs 1 to {_MOST}, not {value}")
    return value


def check_source(source: SourceAddress | None, connections: int, relays: int) -> None:
    """See that there is a local port for each connection.

    Args:
        source: the local address and port, or None; checked before.
        connections: how many there may be to one relay.
        relays: how many relays there are.

    Raises:
        ValueError: there is one port, and there may be more connections.
    """
    if source is None or not source[1]:
        return
    if connections > 1 or relays > 1:
        raise ValueError(
            f"source_address: port {source[1]} is one, and serves one connection at a time;"
            " give port 0 for any, or max_connections=1 without backups"
        )


def pairs(backups: object) -> list[tuple[str, float | None]]:
    """Check the backups; return pairs of URL and weight.

    Raises:
        TypeError: one is neither a URL nor a pair of URL and weight.
        ValueError: there are too many, or a weight is out of range.
    """
    if isinstance(backups, str | bytes) or not isinstance(backups, Iterable):
        raise TypeError("backups: needs relay URLs, or pairs of URL and weight")
    given = tuple(itertools.islice(cast("Iterable[object]", backups), _MOST_BACKUPS + 1))
    if len(given) > _MOST_BACKUPS:
        raise ValueError(f"backups: more than {_MOST_BACKUPS}")
    return [_backup(backup) for backup in given]


def _backup(backup: object) -> tuple[str, float | None]:
    url, weight = backup, None
    if isinstance(backup, tuple) and len(cast("tuple[object, ...]", backup)) == 2:
        url, weight = cast("tuple[object, object]", backup)
    if not isinstance(url, str):
        raise TypeError(f"backups: needs relay URLs, not {type(url).__name__}")
    if weight is None:
        return url, None
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise TypeError(f"backups: needs a number as weight, not {type(weight).__name__}")
    if not 0 < weight < _MOST:
        raise ValueError(f"backups: needs a weight above 0, not {weight}")
    return url, float(weight)

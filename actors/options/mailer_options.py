"""Checks of the options that only a `Mailer` has."""

from typing import cast

from ...smtp.sasl.secret import Secret
from ...smtp.words.plain import plain_int
from ...smtp.words.shown import shown
from ..net.connecting.connect import SourceAddress

MAX_BACKUPS = 100
MAX_WEIGHT = 1_000_000

_MAX_LIMIT = 1_000_000
"""The maximum of each limit: connections, emails on one of them, and queued emails."""


def check_count(name: str, value: object) -> int:
    """Check a number of connections or emails; return it.

    Raises:
        TypeError: it is not an int.
        ValueError: it is out of range.
    """
    return plain_int(name, value, 1, _MAX_LIMIT)


def check_source(source: SourceAddress | None, connections: int, relays: int) -> None:
    """Check that there is a local port for each connection.

    Args:
        source: the local address and port, or None; checked before.
        connections: the maximum number of connections to one relay.
        relays: the number of relays.

    Raises:
        ValueError: a port other than 0 is given, but there may be more than one connection.
    """
    if source is None or not source[1]:
        return
    if connections > 1 or relays > 1:
        raise ValueError(
            f"source_address: port {source[1]} is one, and serves one connection at a time;"
            " give port 0 for any, or max_connections=1 without backups"
        )


def check_backups(backups: object) -> list[tuple[Secret, float | None]]:
    """Return pairs of URL and weight.

    Args:
        backups: as `wrap_backup_secrets` returned them.

    Raises:
        ValueError: there are too many, or a weight is out of range.
        TypeError: they are not URLs, or pairs of URL and weight.
    """
    if not isinstance(backups, tuple):
        raise TypeError("backups: needs relay URLs, or pairs of URL and weight")
    if len(cast("tuple[object, ...]", backups)) > MAX_BACKUPS:
        raise ValueError(f"backups: more than {MAX_BACKUPS}")
    return [_check_backup(backup) for backup in cast("tuple[object, ...]", backups)]


def _check_backup(backup: object) -> tuple[Secret, float | None]:
    url, weight = backup, None
    if isinstance(backup, tuple) and len(cast("tuple[object, ...]", backup)) == 2:
        url, weight = cast("tuple[object, object]", backup)
    if not isinstance(url, Secret):
        raise TypeError(f"backups: needs relay URLs, not {type(url).__name__}")
    if weight is None:
        return url, None
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        kind = "str" if isinstance(weight, Secret) else type(weight).__name__
        raise TypeError(f"backups: needs a number as weight, not {kind}")
    if not 0 < weight < MAX_WEIGHT:
        raise ValueError(f"backups: needs a weight above 0, not {shown(weight)}")
    return url, float(weight)

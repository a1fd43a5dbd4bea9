"""Checks of the options that only a `Mailer` has."""

from ..smtp.plain import plain_int
from .connect import SourceAddress

_MOST = 1_000_000
"""Connections, mails on one of them, and mails that wait: none of the limits can be higher."""


def whole(name: str, value: object) -> int:
    """Check a number of connections, or of mails; return it.

    Raises:
        TypeError: it is no int.
        ValueError: it is out of range.
    """
    return plain_int(name, value, 1, _MOST)


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

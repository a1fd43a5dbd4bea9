"""The addresses of a server: looked up, or given as an address."""

import functools
import ipaddress
import itertools
import socket
from collections.abc import Iterable
from typing import Any, cast

from ...loop.event_loop import event_loop
from .connect_error import ConnectError

_MAX_ADDRESSES = 16
"""Addresses of a name that are used, at most: no honest name has more, and each costs a socket."""
FAMILIES = (socket.AF_INET, socket.AF_INET6)

Address = tuple[int, int, int, str, Any]
"""A result of getaddrinfo."""


@functools.lru_cache(maxsize=1024)
def is_literal(host: str) -> bool:
    """Whether the host is an address, which needs no look-up. An address with a zone does."""
    if "%" in host:
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def literal(host: str, port: int) -> list[Address]:
    """Return an address in the form of a look-up's result."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]


async def look_up(host: str, port: int) -> list[Address]:
    """Return the addresses of a name, of either IP version. Called on the loop thread.

    Args:
        host: the name.
        port: 1 to 65535.

    Raises:
        ConnectError: there are none, or the resolver failed.
    """
    try:
        found: object = await event_loop().resolver_pool.run(_getaddrinfo, host, port)
        addresses = _usable(found)
    except Exception as error:
        # Any exception: the program may have replaced `socket.getaddrinfo`.
        raise _not_found(host, error) from error
    if not addresses:
        raise ConnectError(f"{host} has no address", "getaddrinfo", None, retryable=False)
    return addresses


def _getaddrinfo(host: str, port: int) -> list[Any]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)


def _usable(found: object) -> list[Address]:
    """Return the valid results of a resolver, at most `_MAX_ADDRESSES`."""
    few = itertools.islice(cast("Iterable[object]", found), _MAX_ADDRESSES)
    return [cast("Address", entry) for entry in few if _is_usable(entry)]


def _is_usable(entry: object) -> bool:
    if not (isinstance(entry, tuple) and len(cast("tuple[object, ...]", entry)) == 5):
        return False
    family, kind, _, _, address = cast("tuple[object, object, object, object, object]", entry)
    if family not in FAMILIES or kind not in (0, socket.SOCK_STREAM):
        return False
    if not isinstance(address, tuple):
        return False
    place = cast("tuple[object, ...]", address)
    return len(place) > 1 and isinstance(place[0], str) and isinstance(place[1], int)


def _not_found(host: str, error: Exception) -> ConnectError:
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
    elif isinstance(error, UnicodeError):
        reason = "not a host name"
    else:
        reason = f"the resolver raised {type(error).__name__}: {error}"
    # A name that does not exist will not exist later; a resolver that fails may recover. A system
    # error (EAI_SYSTEM) is an OSError, but not a gaierror.
    is_answer = isinstance(error, socket.gaierror | UnicodeError)
    retryable = number in (socket.EAI_AGAIN, socket.EAI_MEMORY) or not is_answer
    return ConnectError(
        f"cannot find the address of {host}: {reason}", "getaddrinfo", number, retryable=retryable
    )

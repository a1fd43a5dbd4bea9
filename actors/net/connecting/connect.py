"""From a server's name to a transport: look up, race the addresses (RFC 8305), connect.

The transport is always a plaintext one. This module connects the socket, and passes it to the
loop. Only to a host given as an address, uvloop connects by itself: that makes a whole session a
tenth cheaper.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import aiohappyeyeballs

from ...loop.event_loop import event_loop
from .addresses import FAMILIES, Address, is_literal, literal, look_up
from .connect_error import ConnectError, reason_of
from .sockets import UNIX, Connector, connect_one

_RACE_DELAY = 0.25
"""Seconds until the next address is tried in parallel (RFC 8305 §5)."""
_SHORTAGES = frozenset(
    {
        *(errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN),
        errno.EADDRINUSE,  # no local port is free; some will be after a minute (TIME_WAIT)
    }
)
"""The error numbers of a temporary shortage on this machine: the options are right."""

SourceAddress = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Reached:
    """The address of a host that a connection has reached.

    Attributes:
        here: the address, if a name was looked up; else None.
        left: the other addresses of that name that may be tried, in order.
    """

    here: Address | None = None
    left: Sequence[Address] = ()


_ONLY = Reached()


async def connect(
    factory: Callable[[Reached], asyncio.Protocol],
    host: str,
    port: int,
    source: SourceAddress | None,
    *,
    addresses: Sequence[Address] = (),
    unix_path: str | None = None,
    dial: Callable[[], Awaitable[socket.socket]] | None = None,
) -> None:
    """Connect a protocol to a server. Called on the loop thread.

    Args:
        factory: makes the protocol, once connected.
        host: a name or an address.
        port: 1 to 65535.
        source: the local address and port (0 for any) to connect from, or None.
        addresses: the addresses to try, if the name was looked up before.
        unix_path: the path of a unix socket to connect to instead, or None.
        dial: connects through a proxy instead, or None.

    Raises:
        ConnectError: it could not connect; the detail has the error of each address tried.
    """
    reached = _ONLY
    if unix_path is not None:
        sock = await _connect_unix(unix_path)
    elif dial is not None:
        sock = await dial()
    elif addresses or not is_literal(host):
        addresses = addresses or await look_up(host, port)
        sock, reached = await _race(host, port, source, addresses)
    elif source is not None:
        sock, _ = await _race(host, port, source, literal(host, port))
    else:
        # The common case: no look-up, and nothing to race.
        try:
            if not event_loop().is_selector_loop:
                loop = event_loop().loop
                await loop.create_connection(lambda: factory(reached), host, port)
                return
            [(family, kind, protocol, _, address)] = literal(host, port)
            sock = await connect_one(family, kind, protocol, address)
        except OSError as error:
            raise _not_connected(host, port, [((host, port), error)], None) from error
    try:
        await _attach(lambda: factory(reached), sock)
    except BaseException:
        sock.close()
        raise


async def _attach(factory: Callable[[], asyncio.Protocol], sock: socket.socket) -> None:
    """Make a transport for a connected socket, with a protocol."""
    loop = event_loop().loop
    try:
        if sock.family == UNIX:
            await loop.create_unix_connection(factory, sock=sock)
        else:
            await loop.create_connection(factory, sock=sock)
    except OSError as error:
        detail = f"lost the connection at once: {reason_of(error)}"
        raise ConnectError(detail, "connect", error.errno, retryable=True) from error


async def _connect_unix(path: str) -> socket.socket:
    try:
        return await connect_one(socket.AF_UNIX, socket.SOCK_STREAM, 0, path)
    except OSError as error:
        reason = reason_of(error)
        raise ConnectError(
            f"cannot connect to {path}: {reason}", "connect", error.errno, retryable=True
        ) from error


async def _race(
    host: str, port: int, source: SourceAddress | None, addresses: Sequence[Address]
) -> tuple[socket.socket, Reached]:
    connector = Connector(event_loop().loop)
    try:
        sock = await aiohappyeyeballs.start_connection(  # pyright: ignore[reportUnknownMemberType]
            addresses,
            local_addr_infos=None if source is None else [_local(source)],
            happy_eyeballs_delay=_RACE_DELAY,
            loop=cast(asyncio.AbstractEventLoop, connector),
        )
    except (OSError, RuntimeError) as error:
        if connector.errors:
            raise _not_connected(host, port, connector.errors, source) from error
        # No address was tried, so the problem is local.
        number = error.errno if isinstance(error, OSError) else None
        if isinstance(error, OSError) and number in _SHORTAGES:
            operation = "bind" if number == errno.EADDRINUSE else "connect"
            failed = _not_connected(host, port, [((host, port), error)], source, operation)
            raise failed from error
        reason = os.strerror(number) if number else str(error)
        place = "" if source is None else f" from {_bracketed(source[0])}:{source[1]}"
        raise ConnectError(
            f"cannot connect to {host}:{port}{place}: {reason}", "bind", number, retryable=False
        ) from error
    here = next((address for made, address in connector.made if made is sock), None)
    over = [here, *(address for address, _ in connector.errors)]
    # A local address has one family, so the addresses of the other can't be reached from it.
    families = FAMILIES if source is None else _local(source)[:1]
    return sock, Reached(
        here=next((entry for entry in addresses if entry[4] == here), None),
        left=[entry for entry in addresses if entry[4] not in over and entry[0] in families],
    )


def _local(source: SourceAddress) -> Any:
    family = socket.AF_INET6 if ":" in source[0] else socket.AF_INET
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", source


def _not_connected(
    host: str,
    port: int,
    errors: list[tuple[Any, OSError]],
    source: SourceAddress | None,
    operation: str = "connect",
) -> ConnectError:
    reasons = [(address[0], reason_of(error)) for address, error in errors]
    if len(reasons) == 1 and reasons[0][0] == host:
        detail = reasons[0][1]
    else:
        detail = "; ".join(f"{address}: {reason}" for address, reason in reasons)
    if source is not None:
        detail += f" (from {_bracketed(source[0])}:{source[1]})"
    return ConnectError(
        f"cannot connect to {host}:{port}: {detail}",
        operation,
        errors[0][1].errno,
        retryable=True,
    )


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address

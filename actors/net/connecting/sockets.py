"""Connects sockets without blocking, on any loop."""

import asyncio
import errno
import os
import socket
from typing import Any

from ...loop.event_loop import event_loop

_IN_PROGRESS = frozenset({errno.EINPROGRESS, errno.EINTR, errno.EWOULDBLOCK, 10035})
"""The error numbers of a connect in progress; on Windows that is WSAEWOULDBLOCK, 10035."""
_NONBLOCK: int = getattr(socket, "SOCK_NONBLOCK", 0)
UNIX = getattr(socket, "AF_UNIX", None)  # Windows has none


async def connect_one(family: int, kind: int, protocol: int, address: Any) -> socket.socket:
    """Connect a new socket to an address. Called on the loop thread.

    Args:
        family: as for `socket.socket`.
        kind: as for `socket.socket`.
        protocol: as for `socket.socket`.
        address: as for `socket.socket.connect`.

    Returns:
        The socket, which is non-blocking.

    Raises:
        OSError: it could not connect.
    """
    sock = socket.socket(family, kind | _NONBLOCK, protocol)
    try:
        if not _NONBLOCK:
            sock.setblocking(False)
        loop = event_loop().loop
        if watches_sockets(loop, sock):
            number = sock.connect_ex(address)
            # To a server on this machine it is connected at once; the loop would tell a turn later.
            if number and not (number in _IN_PROGRESS and _is_connected(sock)):
                await _wait_connected(loop, sock, number)
        else:
            await loop.sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _wait_connected(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, number: int
) -> None:
    """Wait for the end of a connect.

    Args:
        loop: the loop.
        sock: a non-blocking socket.
        number: the error number that its `connect_ex` returned.

    Raises:
        OSError: it could not connect.
    """
    # A unix socket is connected at once, or not at all: EAGAIN means that the backlog is full.
    if number in _IN_PROGRESS and sock.family != UNIX:
        writable = loop.create_future()
        loop.add_writer(sock, wake, writable)
        try:
            await writable
        finally:
            loop.remove_writer(sock)
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        raise OSError(number, os.strerror(number))


class Connector:
    """Replaces the loop in aiohappyeyeballs, which races the addresses.

    It keeps the error of each address. And it connects without the loop, because both loops would
    look up the address once more, in threads that stay.

    Attributes:
        errors: the addresses that could not be reached, each with its error.
        made: the sockets that were connected, each with its address.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.errors: list[tuple[Any, OSError]] = []
        self.made: list[tuple[socket.socket, Any]] = []

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect a non-blocking socket, as the loop's method does."""
        try:
            try:
                await self._connect(sock, address)
            except (ValueError, TypeError, OverflowError) as error:
                # From an invalid result of a program's own resolver, such as port 70000.
                raise OSError(errno.EINVAL, str(error)) from error
        except OSError as error:
            self.errors.append((address, error))
            raise
        self.made.append((sock, address))

    async def _connect(self, sock: socket.socket, address: Any) -> None:
        if not watches_sockets(self._loop, sock):
            await self._loop.sock_connect(sock, address)
            return
        number = sock.connect_ex(address)
        if number and not (number in _IN_PROGRESS and _is_connected(sock)):
            await _wait_connected(self._loop, sock, number)


_watching: dict[type[asyncio.AbstractEventLoop], bool] = {}


def watches_sockets(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> bool:
    """Whether a loop can watch sockets; those for Windows' completion ports can't.

    Args:
        loop: the loop.
        sock: a socket that it does not watch.
    """
    kind = type(loop)
    if kind not in _watching:
        try:
            loop.remove_writer(sock)
        except NotImplementedError:
            _watching[kind] = False
        else:
            _watching[kind] = True
    return _watching[kind]


def _is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def wake(future: "asyncio.Future[None]") -> None:
    """Complete a future, unless it is done: the socket is ready."""
    if not future.done():
        future.set_result(None)

"""Sockets that connect without blocking, on whatever loop there is."""

import asyncio
import errno
import os
import socket
from typing import Any

from ...loop.event_loop import event_loop

_IN_PROGRESS = frozenset({errno.EINPROGRESS, errno.EINTR, errno.EWOULDBLOCK, 10035})
"""What a connect that goes on says; on Windows that is WSAEWOULDBLOCK, 10035."""
_NONBLOCK: int = getattr(socket, "SOCK_NONBLOCK", 0)
UNIX = getattr(socket, "AF_UNIX", None)  # Windows has none


async def connect_one(family: int, kind: int, protocol: int, address: Any) -> socket.socket:
    """Connect a socket to an address, as `socket.socket` takes both. Called on the loop thread.

    Returns:
        The socket, which does not block.

    Raises:
        OSError: there is no connection.
    """
    sock = socket.socket(family, kind | _NONBLOCK, protocol)
    try:
        if not _NONBLOCK:
            sock.setblocking(False)
        loop = event_loop().loop
        if watches_sockets(loop, sock):
            number = sock.connect_ex(address)
            # A server on this machine: to hear of it from the loop takes another turn.
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
    """Wait until a connect that goes on has come to its end.

    Args:
        loop: the loop.
        sock: a socket that does not block.
        number: what its connect said.

    Raises:
        OSError: there is no connection.
    """
    # A unix socket is connected at once, or not at all: there is nothing to wait for.
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
    """Stands in for the loop where addresses are raced.

    It keeps each address's own error; and it connects by itself, because both loops would look
    the address up once more, in threads that stay.

    Attributes:
        errors: the addresses that could not be reached, each with its error.
        made: the sockets that were connected, each with its address.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.errors: list[tuple[Any, OSError]] = []
        self.made: list[tuple[socket.socket, Any]] = []

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect a socket that does not block, as the loop would."""
        try:
            try:
                await self._connect(sock, address)
            except (ValueError, TypeError, OverflowError) as error:
                # What a program's own resolver has made up, such as port 70000.
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
    """Whether a loop tells when a socket is ready; those for Windows' completion ports don't.

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
    """Let whoever waits for a socket go on."""
    if not future.done():
        future.set_result(None)

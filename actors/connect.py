"""From a server's name to a transport: look up, race the addresses (RFC 8305), connect."""

import asyncio
import errno
import functools
import ipaddress
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, cast

import aiohappyeyeballs

from .event_loop import event_loop
from .tls import Tls

_RACE_DELAY = 0.25
"""Seconds that an address has before the next is tried beside it (RFC 8305 §5)."""

_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN})
"""What this machine may be out of at the moment, without any fault of the options."""

SourceAddress = tuple[str, int]


class ConnectError(Exception):
    """No connection came about.

    Attributes:
        operation: ``"getaddrinfo"``, ``"bind"``, ``"connect"`` or ``"proxy"``.
        errno: the error number.
        passing: whether trying again later may help.
        is_timeout: whether it took too long.
    """

    def __init__(
        self,
        detail: str,
        operation: str,
        errno: int | None,
        *,
        passing: bool,
        is_timeout: bool = False,
    ) -> None:
        super().__init__(detail)
        self.operation = operation
        self.errno = errno
        self.passing = passing
        self.is_timeout = is_timeout


@functools.lru_cache(maxsize=1024)
def is_literal(host: str) -> bool:
    """Whether the host is an address, which needs no look-up. One with a scope does."""
    if "%" in host:
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def connect(
    factory: Callable[[], asyncio.Protocol],
    host: str,
    port: int,
    source: SourceAddress | None,
    *,
    tls: Tls | None = None,
    unix_path: str | None = None,
    dial: Callable[[], Awaitable[socket.socket]] | None = None,
) -> None:
    """Connect a protocol to a server. Called on the loop thread.

    Args:
        factory: makes the protocol, once a connection stands.
        host: a name or an address.
        port: 1 to 65535.
        source: the local address and port (0: any) to connect from, or None.
        tls: begin with TLS at once (RFC 8314 §3).
        unix_path: connect to this unix socket instead.
        dial: what makes the connection instead: a proxy.

    Raises:
        ConnectError: with every address that was tried, and what became of it.
        ssl.SSLError: a connection stands, but there is no TLS on it.
    """
    loop = event_loop().loop
    options: dict[str, Any] = {}
    if tls is not None:
        options = {"ssl": tls.context, "server_hostname": tls.server_hostname}
    if unix_path is not None:
        await _connect_unix(loop, factory, unix_path)
    elif is_literal(host) and source is None and dial is None and not event_loop().is_selector_loop:
        # The common case: no look-up, and nothing to race.
        try:
            await loop.create_connection(factory, host, port, **options)
        except ssl.SSLError:
            raise
        except OSError as error:
            raise _not_connected(host, port, [((host, port), error)], source) from error
    else:
        if dial is not None:
            sock = await dial()
        elif is_literal(host) and source is None:
            sock = await _connect_literal(host, port)
        else:
            sock = await _dial(host, port, source)
        try:
            await loop.create_connection(factory, sock=sock, **options)
        except ssl.SSLError:
            sock.close()
            raise
        except OSError as error:
            sock.close()
            raise _not_connected(host, port, [((host, port), error)], source) from error
        except BaseException:
            sock.close()
            raise


async def _connect_unix(
    loop: asyncio.AbstractEventLoop, factory: Callable[[], asyncio.Protocol], path: str
) -> None:
    try:
        await loop.create_unix_connection(factory, path)
    except OSError as error:
        reason = _reason(error)
        raise ConnectError(
            f"cannot connect to {path}: {reason}", "connect", error.errno, passing=True
        ) from error


async def _connect_literal(host: str, port: int) -> socket.socket:
    """Connect to an address in fewer steps than the standard library's loop takes."""
    [(family, kind, protocol, _, address)] = _literal(host, port)
    try:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            await _Connector(event_loop().loop).sock_connect(sock, address)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        raise _not_connected(host, port, [((host, port), error)], None) from error
    return sock


async def _dial(host: str, port: int, source: SourceAddress | None) -> socket.socket:
    addresses = _literal(host, port) if is_literal(host) else await _look_up(host, port)
    return await _race(host, port, source, addresses)


async def _look_up(host: str, port: int) -> list[Any]:
    try:
        addresses = await event_loop().names.run(_getaddrinfo, host, port)
    except (OSError, UnicodeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = error.strerror if isinstance(error, OSError) else "not a host name"
        # A name that is not there is not there tomorrow; a resolver that fails may recover. What
        # the system has to say (EAI_SYSTEM) comes as an OSError of another kind.
        is_answer = isinstance(error, socket.gaierror | UnicodeError)
        passing = number in (socket.EAI_AGAIN, socket.EAI_MEMORY) or not is_answer
        raise ConnectError(
            f"cannot find the address of {host}: {reason}", "getaddrinfo", number, passing=passing
        ) from error
    if not addresses:
        raise ConnectError(f"{host} has no address", "getaddrinfo", None, passing=False)
    return addresses


def _getaddrinfo(host: str, port: int) -> list[Any]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)


class _Connector:
    """Stands in for the loop where addresses are raced.

    It keeps each address's own error; and it connects by itself, because both loops would look
    the address up once more, in threads that stay.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.errors: list[tuple[Any, OSError]] = []

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        try:
            await self._connect(sock, address)
        except OSError as error:
            self.errors.append((address, error))
            raise

    async def _connect(self, sock: socket.socket, address: Any) -> None:
        number = sock.connect_ex(address)
        if number == errno.EINPROGRESS and _is_connected(sock):
            return  # a server on this machine: to hear of it from the loop takes another turn
        if number in (errno.EINPROGRESS, errno.EINTR):
            writable = self._loop.create_future()
            self._loop.add_writer(sock, _wake, writable)
            try:
                await writable
            finally:
                self._loop.remove_writer(sock)
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))


def _is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


async def _race(
    host: str, port: int, source: SourceAddress | None, addresses: list[Any]
) -> socket.socket:
    connector = _Connector(event_loop().loop)
    try:
        return await aiohappyeyeballs.start_connection(  # pyright: ignore[reportUnknownMemberType]
            addresses,
            local_addr_infos=None if source is None else [_local(source)],
            happy_eyeballs_delay=_RACE_DELAY,
            loop=cast(asyncio.AbstractEventLoop, connector),
        )
    except (OSError, RuntimeError) as error:
        if connector.errors:
            raise _not_connected(host, port, connector.errors, source) from error
        # No address was tried, so the local end is the trouble.
        number = error.errno if isinstance(error, OSError) else None
        if isinstance(error, OSError) and number in _SHORTAGES:
            raise _not_connected(host, port, [((host, port), error)], source) from error
        reason = os.strerror(number) if number else str(error)
        place = "" if source is None else f" from {_bracketed(source[0])}:{source[1]}"
        raise ConnectError(
            f"cannot connect to {host}:{port}{place}: {reason}", "bind", number, passing=False
        ) from error


def _literal(host: str, port: int) -> list[Any]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]


def _local(source: SourceAddress) -> Any:
    family = socket.AF_INET6 if ":" in source[0] else socket.AF_INET
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", source


def _not_connected(
    host: str, port: int, errors: list[tuple[Any, OSError]], source: SourceAddress | None
) -> ConnectError:
    reasons = [(address[0], _reason(error)) for address, error in errors]
    if len(reasons) == 1 and reasons[0][0] == host:
        detail = reasons[0][1]
    else:
        detail = "; ".join(f"{address}: {reason}" for address, reason in reasons)
    if source is not None:
        detail += f" (from {_bracketed(source[0])}:{source[1]})"
    return ConnectError(
        f"cannot connect to {host}:{port}: {detail}",
        "connect",
        errors[0][1].errno,
        passing=True,
    )


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _reason(error: OSError) -> str:
    """Say in the system's words what went wrong; the loops' own texts repeat the address."""
    if error.errno is None:
        return str(error)
    return os.strerror(error.errno)

"""From a server's name to a transport: look up, race the addresses (RFC 8305), connect.

The transport is always one in clear. A socket of ours, connected and non-blocking, is given to the
loop; only where uvloop gets an address does it connect by itself, which costs it a tenth less of a
whole session.
"""

import asyncio
import errno
import functools
import ipaddress
import itertools
import os
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import aiohappyeyeballs

from ..loop.event_loop import event_loop

_RACE_DELAY = 0.25
"""Seconds that an address has before the next is tried beside it (RFC 8305 §5)."""
_MOST_ADDRESSES = 16
"""Addresses of a name that are looked at: no honest name has more, and each costs a socket."""

_SHORTAGES = frozenset(
    {
        *(errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN),
        errno.EADDRINUSE,  # no local port is free: some are left after a minute (TIME_WAIT)
    }
)
"""What this machine may be out of at the moment, without any fault of the options."""
_IN_PROGRESS = frozenset({errno.EINPROGRESS, errno.EINTR, errno.EWOULDBLOCK, 10035})
"""What a connect that goes on says; on Windows that is WSAEWOULDBLOCK, 10035."""

_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_NONBLOCK: int = getattr(socket, "SOCK_NONBLOCK", 0)
_UNIX = getattr(socket, "AF_UNIX", None)  # Windows has none

SourceAddress = tuple[str, int]
Address = tuple[int, int, int, str, Any]
"""What getaddrinfo says of an address."""


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


@dataclass(frozen=True, slots=True)
class Reached:
    """Which of a host's addresses a connection has reached.

    Attributes:
        here: the address, if a name was looked up.
        left: the other addresses of that name which may be tried, in order.
    """

    here: Address | None = None
    left: Sequence[Address] = ()


_ONLY = Reached()


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
        factory: makes the protocol, once a connection stands.
        host: a name or an address.
        port: 1 to 65535.
        source: the local address and port (0: any) to connect from, or None.
        addresses: those of the name that are to be tried, if it was looked up before.
        unix_path: connect to this unix socket instead.
        dial: what makes the connection instead: a proxy.

    Raises:
        ConnectError: with every address that was tried, and what became of it.
    """
    reached = _ONLY
    if unix_path is not None:
        sock = await _connect_unix(unix_path)
    elif dial is not None:
        sock = await dial()
    elif addresses or not is_literal(host):
        addresses = addresses or await _look_up(host, port)
        sock, reached = await _race(host, port, source, addresses)
    elif source is not None:
        sock, _ = await _race(host, port, source, _literal(host, port))
    else:
        # The common case: no look-up, and nothing to race.
        try:
            if not event_loop().is_selector_loop:
                loop = event_loop().loop
                await loop.create_connection(lambda: factory(reached), host, port)
                return
            [(family, kind, protocol, _, address)] = _literal(host, port)
            sock = await _connect_one(family, kind, protocol, address)
        except OSError as error:
            raise _not_connected(host, port, [((host, port), error)], None) from error
    try:
        await _attach(lambda: factory(reached), sock)
    except BaseException:
        sock.close()
        raise


async def _attach(factory: Callable[[], asyncio.Protocol], sock: socket.socket) -> None:
    """Give a connection to the loop, and the loop a protocol for it."""
    loop = event_loop().loop
    try:
        if sock.family == _UNIX:
            await loop.create_unix_connection(factory, sock=sock)
        else:
            await loop.create_connection(factory, sock=sock)
    except OSError as error:
        detail = f"the connection broke at once: {_reason(error)}"
        raise ConnectError(detail, "connect", error.errno, passing=True) from error


async def _connect_unix(path: str) -> socket.socket:
    try:
        return await _connect_one(socket.AF_UNIX, socket.SOCK_STREAM, 0, path)
    except OSError as error:
        reason = _reason(error)
        raise ConnectError(
            f"cannot connect to {path}: {reason}", "connect", error.errno, passing=True
        ) from error


async def _connect_one(family: int, kind: int, protocol: int, address: Any) -> socket.socket:
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
    if number in _IN_PROGRESS and sock.family != _UNIX:
        writable = loop.create_future()
        loop.add_writer(sock, _wake, writable)
        try:
            await writable
        finally:
            loop.remove_writer(sock)
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        raise OSError(number, os.strerror(number))


async def _look_up(host: str, port: int) -> list[Address]:
    try:
        found: object = await event_loop().names.run(_getaddrinfo, host, port)
        addresses = _usable(found)
    except Exception as error:
        # Whatever it is: a program may have a resolver of its own under that name.
        raise _not_found(host, error) from error
    if not addresses:
        raise ConnectError(f"{host} has no address", "getaddrinfo", None, passing=False)
    return addresses


def _getaddrinfo(host: str, port: int) -> list[Any]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)


def _usable(found: object) -> list[Address]:
    """Return what can be connected to of what a resolver says."""
    few = itertools.islice(cast("Iterable[object]", found), _MOST_ADDRESSES)
    return [cast("Address", entry) for entry in few if _is_usable(entry)]


def _is_usable(entry: object) -> bool:
    if not (isinstance(entry, tuple) and len(cast("tuple[object, ...]", entry)) == 5):
        return False
    family, kind, _, _, address = cast("tuple[object, object, object, object, object]", entry)
    if family not in _FAMILIES or kind not in (0, socket.SOCK_STREAM):
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
    # A name that is not there is not there tomorrow; a resolver that fails may recover. What
    # the system has to say (EAI_SYSTEM) comes as an OSError of another kind.
    is_answer = isinstance(error, socket.gaierror | UnicodeError)
    passing = number in (socket.EAI_AGAIN, socket.EAI_MEMORY) or not is_answer
    return ConnectError(
        f"cannot find the address of {host}: {reason}", "getaddrinfo", number, passing=passing
    )


class _Connector:
    """Stands in for the loop where addresses are raced.

    It keeps each address's own error; and it connects by itself, because both loops would look
    the address up once more, in threads that stay.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.errors: list[tuple[Any, OSError]] = []
        self.made: list[tuple[socket.socket, Any]] = []

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
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


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


async def _race(
    host: str, port: int, source: SourceAddress | None, addresses: Sequence[Address]
) -> tuple[socket.socket, Reached]:
    connector = _Connector(event_loop().loop)
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
        # No address was tried, so the local end is the trouble.
        number = error.errno if isinstance(error, OSError) else None
        if isinstance(error, OSError) and number in _SHORTAGES:
            operation = "bind" if number == errno.EADDRINUSE else "connect"
            failed = _not_connected(host, port, [((host, port), error)], source, operation)
            raise failed from error
        reason = os.strerror(number) if number else str(error)
        place = "" if source is None else f" from {_bracketed(source[0])}:{source[1]}"
        raise ConnectError(
            f"cannot connect to {host}:{port}{place}: {reason}", "bind", number, passing=False
        ) from error
    here = next((address for made, address in connector.made if made is sock), None)
    over = [here, *(address for address, _ in connector.errors)]
    # A local address is of one family: those of the other can't be reached from it.
    families = _FAMILIES if source is None else _local(source)[:1]
    return sock, Reached(
        here=next((entry for entry in addresses if entry[4] == here), None),
        left=[entry for entry in addresses if entry[4] not in over and entry[0] in families],
    )


def _literal(host: str, port: int) -> list[Address]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]


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
    reasons = [(address[0], _reason(error)) for address, error in errors]
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
        passing=True,
    )


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _reason(error: OSError) -> str:
    """Say in the system's words what went wrong; the loops' own texts repeat the address."""
    if error.errno is None:
        return str(error)
    return os.strerror(error.errno)

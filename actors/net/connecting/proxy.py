"""Proxies: a connection through SOCKS 5 (RFC 1928) or HTTP CONNECT (RFC 9110 §9.3.6).

The proxy resolves the server's name. python-socks does the protocols of the proxies, but on sockets
of this module: its own would look up names in threads that stay, and would take the greeting for a
part of an HTTP proxy's reply, because an SMTP server sends first.
"""

import asyncio
import functools
import http
import importlib.util
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, cast

from ....smtp.sasl.secret import Secret
from ....smtp.words.shown import shown
from ...loop.event_loop import event_loop
from .addresses import is_literal, literal, look_up
from .authority import Flaw, split_host, split_userinfo
from .connect import SourceAddress
from .connect_error import ConnectError, reason_of
from .sockets import Connector, wake, watches_sockets

Kind = Literal["socks5", "http"]

_FORMS = "socks5://[user:password@]host:port or http://[user:password@]host:port"
_MAX_URL = 2048
"""Characters: a host of 255, and user and password of 255 bytes each, percent-encoded."""
_MAX_CREDENTIAL = 255
"""Octets of a user or password: its length is sent in one octet (RFC 1929 §2)."""
_MAX_TARGET = 255
"""Octets of the server's name, for the same reason (RFC 1928 §5)."""
_MAX_HEADER = 16_384
"""Bytes of an HTTP proxy's reply: an endless one must not fill the memory."""
_MAX_ADDRESSES = 4
"""How many addresses of a proxy's name are tried."""
_CONNECT_TIMEOUT = 3.0
"""Seconds to connect to an address of the proxy, if there is another one to try."""
_SHARE = 0.9
"""The proxy's share of the timeout of a step. With the rest, the error can name the proxy."""
_NEVER = 86_400.0
"""Seconds, for python-socks, which takes None for a minute. The time limits here are shorter."""

# A line end would end the request line (RFC 9112 §2.2), and the text after it would be a header.
_PRINTABLE = re.compile(r"[\x21-\x7e]+(?: +[\x21-\x7e]+)*")
_TARGET = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?")
_END_OF_AUTHORITY = re.compile(r"[/?#]")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-5][0-9][0-9](?: [^\r\n]*)?\r\n")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy, as its URL names it.

    Attributes:
        kind: ``"socks5"`` or ``"http"``.
        host: its name or address.
        port: 1 to 65535.
        username: the user name to authenticate with, or None.
        password: the password; None without a username.
    """

    kind: Kind
    host: str
    port: int
    username: str | None = None
    password: Secret | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """Return its URL, without user and password."""
        place = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}://{place}:{self.port}"


def parse_proxy(url: Secret) -> Proxy:
    """Parse a proxy's URL, and check that python-socks is installed.

    Args:
        url: such as ``"socks5://user:p%40ss@proxy.example.org:1080"``.

    Raises:
        ValueError: it is not a proxy URL. The message shows no secret.
        ImportError: python-socks is not installed.
    """
    try:
        proxy = _parse(url)
    except Flaw as flaw:
        problem = str(flaw)
    else:
        if importlib.util.find_spec("python_socks") is None:
            raise ImportError("proxy: needs python-socks; pip install 'pykka-smtp[proxy]'")
        return proxy
    # Raised here, because here no frame of the traceback has the URL.
    raise ValueError(f"proxy: {problem}")


def check_target(host: str) -> None:
    """Check that the server's name can be sent to a proxy.

    Raises:
        ValueError: it cannot.
    """
    _target(host)


async def connect_through(
    proxy: Proxy,
    host: str,
    port: int,
    timeout: float,  # noqa: ASYNC109 - the caller's own would lose the proxy's name
    source: SourceAddress | None = None,
) -> socket.socket:
    """Connect to a server through a proxy. Called on the loop thread.

    Args:
        proxy: the proxy.
        host: the server's name, which the proxy resolves, or its address.
        port: its port.
        timeout: the caller's timeout, in seconds; a little less is used.
        source: the local address and port (0 for any) to connect to the proxy from, or None.

    Returns:
        A socket on which the server's greeting comes next.

    Raises:
        ConnectError: the operation is ``"proxy"``, and the detail names the proxy.
    """
    target = _target(host)
    try:
        async with asyncio.timeout(timeout * _SHARE):
            return await _connect(proxy, target, port, source)
    except TimeoutError as error:
        detail = f"proxy {proxy} could not connect to {host}:{port} in time"
        raise ConnectError(detail, "proxy", None, retryable=True, is_timeout=True) from error


async def _connect(
    proxy: Proxy, target: str, port: int, source: SourceAddress | None
) -> socket.socket:
    try:
        addresses = (
            literal(proxy.host, proxy.port)
            if is_literal(proxy.host)
            else await look_up(proxy.host, proxy.port)
        )
    except ConnectError as error:
        detail = f"cannot connect to proxy {proxy}: {error}"
        raise ConnectError(detail, "proxy", error.errno, retryable=error.retryable) from error
    addresses = addresses[:_MAX_ADDRESSES]
    for *_, place in addresses[:-1]:
        try:
            return await _connect_at(proxy, place[0], target, port, source, _CONNECT_TIMEOUT)
        except _UnreachableError:
            continue
    *_, place = addresses[-1]
    try:
        return await _connect_at(proxy, place[0], target, port, source, None)
    except _UnreachableError as error:
        detail = f"cannot connect to proxy {proxy}: {error}"
        raise ConnectError(detail, "proxy", error.errno, retryable=True) from error


class _UnreachableError(Exception):
    """The proxy cannot be reached at this address."""

    def __init__(self, detail: str, errno: int | None) -> None:
        super().__init__(detail)
        self.errno = errno


async def _connect_at(
    proxy: Proxy,
    address: str,
    target: str,
    port: int,
    source: SourceAddress | None,
    connect_timeout: float | None,
) -> socket.socket:
    """Connect to an address of the proxy, and through it to the server."""
    from python_socks import ProxyConnectionError, ProxyType
    from python_socks.async_.asyncio import Proxy as Asker

    asker = Asker(
        ProxyType.SOCKS5 if proxy.kind == "socks5" else ProxyType.HTTP,
        address,
        proxy.port,
        proxy.username,
        None if proxy.password is None else proxy.password.reveal(),
        rdns=True,  # the proxy resolves the server's name
        loop=cast("asyncio.AbstractEventLoop", _Sockets(proxy.kind, connect_timeout)),
    )
    try:
        # Its own time limit would not tell whether the proxy or the server is out of reach.
        return await asker.connect(target, port, timeout=_NEVER, local_addr=source)
    except ProxyConnectionError as error:
        words = os.strerror(error.errno) if error.errno else "timed out"
        failed: Exception = _UnreachableError(words, error.errno)
    except OSError as error:
        failed = _refused(proxy, target, port, reason_of(error), retryable=True)
    except Exception as error:
        # A hostile reply can make python-socks raise anything, with the proxy's text in it.
        failed = _refused(proxy, target, port, *_words(proxy.kind, error))
    # Raised here, without the cause, whose frames have the password in plaintext.
    raise failed


def _refused(proxy: Proxy, target: str, port: int, words: str, retryable: bool) -> ConnectError:
    detail = f"proxy {proxy} could not connect to {target}:{port}: {words}"
    return ConnectError(detail, "proxy", None, retryable=retryable)


def _words(kind: Kind, error: Exception) -> tuple[str, bool]:
    """Return the reason in a proxy's reply, never its own text, and whether a retry may help."""
    code = getattr(error, "error_code", None)
    if isinstance(error, _NoHttpError):
        return str(error), str(error) == _CLOSED
    if code is None:
        if type(error).__name__ == "ProxyError" and kind == "socks5":
            # These texts are python-socks's own, with a number at most.
            words = _SOCKS_WORDS.get(str(error), str(error))
            return words, words == _CLOSED
        return "its reply is invalid", False
    if kind == "socks5":
        # RFC 1928 §6: general failure, network or host unreachable, refused, TTL expired.
        return f"{error}", code in {1, 3, 4, 5, 6}
    if code == http.HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return "407: it requires another user and password", False
    try:
        phrase = f" {http.HTTPStatus(code).phrase}"
    except ValueError:
        phrase = ""
    return f"{code}{phrase}", code >= http.HTTPStatus.INTERNAL_SERVER_ERROR


_CLOSED = "it closed the connection"
_SOCKS_WORDS = {
    "No acceptable authentication methods were offered": "it requires other authentication",
    "Username and password authentication failure": "it rejected the user and password",
    "Connection closed unexpectedly": _CLOSED,
}


class _NoHttpError(Exception):
    """The reply of an HTTP proxy is not HTTP."""


class _Sockets:
    """Replaces the loop in python-socks: three methods for sockets, and no look-ups."""

    def __init__(self, kind: Kind, connect_timeout: float | None) -> None:
        self._loop = event_loop().loop
        self._connector = Connector(self._loop)
        self._kind = kind
        self._connect_timeout = connect_timeout

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        async with asyncio.timeout(self._connect_timeout):
            await self._connector.sock_connect(sock, address)

    async def sock_sendall(self, sock: socket.socket, data: bytes) -> None:
        if not watches_sockets(self._loop, sock):
            await self._loop.sock_sendall(sock, data)
            return
        rest = memoryview(data)
        while rest:
            sent = await self._when_ready(
                functools.partial(sock.send, rest), sock, self._loop.add_writer, self._no_writer
            )
            rest = rest[sent:]

    async def sock_recv(self, sock: socket.socket, size: int) -> bytes:
        if self._kind == "http":
            return await self._header(sock)
        return await self._receive(sock, size)

    async def _header(self, sock: socket.socket) -> bytes:
        """Read the header of an HTTP reply, and no byte more: the server's greeting follows."""
        header = bytearray()
        while not header.endswith(b"\r\n\r\n"):
            octet = await self._receive(sock, 1)
            if not octet:
                raise _NoHttpError(_CLOSED)
            header += octet
            if len(header) > _MAX_HEADER:
                raise _NoHttpError("its reply does not end")
        if not _STATUS_LINE.match(header):
            raise _NoHttpError("its reply is not HTTP")
        return bytes(header)

    async def _receive(self, sock: socket.socket, size: int) -> bytes:
        if not watches_sockets(self._loop, sock):
            return await self._loop.sock_recv(sock, size)
        return await self._when_ready(
            functools.partial(sock.recv, size), sock, self._loop.add_reader, self._no_reader
        )

    def _no_reader(self, sock: socket.socket) -> None:
        self._loop.remove_reader(sock)

    def _no_writer(self, sock: socket.socket) -> None:
        self._loop.remove_writer(sock)

    async def _when_ready(
        self,
        function: Callable[[], _Result],
        sock: socket.socket,
        add: Callable[..., object],
        remove: Callable[[socket.socket], None],
    ) -> _Result:
        while True:
            try:
                return function()
            except (BlockingIOError, InterruptedError):
                ready = self._loop.create_future()
                add(sock, wake, ready)
                try:
                    await ready
                finally:
                    remove(sock)


def _parse(url: Secret) -> Proxy:
    text = url.reveal()
    if len(text) > _MAX_URL:
        raise Flaw(f"longer than {_MAX_URL} characters")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise Flaw("has a character that must be percent-encoded, or a line end")
    scheme, _, rest = text.partition("://")
    kind = _KINDS.get(scheme.lower())
    if kind is None:
        raise Flaw(f"unknown scheme; write {_FORMS}")
    authority = _END_OF_AUTHORITY.split(rest, maxsplit=1)[0]
    if rest not in {authority, f"{authority}/"}:
        raise Flaw('nothing can follow the port; in a password, write "/" as %2F, "@" as %40')
    userinfo, at, place = authority.rpartition("@")
    username, password = split_userinfo(userinfo) if at else (None, None)
    host, port = split_host(place)
    if port is None:
        raise Flaw(f"has no port; write {_FORMS}")
    _check_credentials(kind, username, password)
    return Proxy(kind=kind, host=host, port=port, username=username, password=password)


_KINDS: dict[str, Kind] = {"socks5": "socks5", "socks5h": "socks5", "http": "http"}
"""By scheme. The "h" of other programs means that the proxy resolves the name; here it always does.
"""


def _check_credentials(kind: Kind, username: str | None, password: Secret | None) -> None:
    if username is None:
        return
    if password is None:
        raise Flaw("has a user without a password")
    for what, value in (("user", Secret(username)), ("password", password)):
        if len(value.reveal()) > _MAX_CREDENTIAL or not _PRINTABLE.fullmatch(value.reveal()):
            raise Flaw(f"the {what} needs to be 1 to {_MAX_CREDENTIAL} characters of ASCII")
    if kind == "http" and ":" in username:
        # RFC 7617 §2.
        raise Flaw('the user has a ":", which HTTP cannot send')


def _target(host: str) -> str:
    """Return the server's name in the form that is sent to the proxy."""
    if is_literal(host):
        return host
    try:
        name = host.encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    if len(name) > _MAX_TARGET or not _TARGET.fullmatch(name):
        raise ValueError(f"server: not a name that a proxy can look up: {shown(host)}")
    return name

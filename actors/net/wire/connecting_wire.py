"""How a connection is made: the server's addresses, and the peer that was reached."""

import asyncio
import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from ....smtp.words.peer import Peer
from ....smtp.words.stage import Stage
from ....smtp.words.verdict import Failed, FailureKind
from ..connecting.addresses import Address
from ..connecting.connect import Reached, connect
from ..connecting.connect_error import ConnectError
from ..connecting.route import Route
from .timed_wire import TimedWire

if TYPE_CHECKING:
    pass


@functools.lru_cache(maxsize=64)  # most sends go to the same few servers
def _plain_peer(host: str, address: str, port: int) -> Peer:
    return Peer(host=host, address=address, port=port)


class ConnectingWire(TimedWire):
    """The part of a `Connection` that connects, and knows the server's address."""

    tried: tuple[str, ...]
    _addresses: Sequence[Address]

    # Initial values are on the class: many connections carry one email.
    served: int = 0
    _reached_at: Address | None = None
    _connecting: asyncio.Task[None] | None = None
    _address: str | None = None  # the server's, as it was when the connection was made
    _peer: Peer | None = None

    def elsewhere(self) -> Route | None:
        """Return the route to the server's next untried address, or None.

        RFC 5321 §5.1: a client tries the addresses in order until a delivery attempt succeeds.
        """
        if self._address is None or self._loop.time() >= self._whole_due:
            return None
        return Route(self._addresses, self.tried).beyond(self._address)

    def again(self) -> Route:
        """Return the route to the same address, for another connection."""
        addresses = () if self._reached_at is None else (self._reached_at,)
        return Route(addresses, self.tried)

    @property
    def address(self) -> str:
        """The server's IP address, or an empty string if it is not known."""
        return self._address or ""

    @property
    def peer(self) -> Peer | None:
        """The server as outcomes report it, or None if it was never connected."""
        if self._peer is None and self._address is not None:
            self._peer = self._describe_peer(self._address)
        return self._peer

    def _describe_peer(self, address: str) -> Peer:
        options, tls = self._options, self._tls
        if tls is None or not tls.is_up:
            return _plain_peer(options.server, address, options.port)
        return Peer(
            host=options.server,
            address=address,
            port=options.port,
            tls_version=tls.version,
            tls_cipher=tls.cipher,
            tls_verified=options.tls is not None and options.tls.is_verified,
        )

    @property
    def local_address(self) -> str:
        """The local IP address, or an empty string if it is not known."""
        return self._name_of("sockname")

    def _name_of(self, which: str) -> str:
        name = self._transport.get_extra_info(which)
        return str(cast("tuple[object, ...]", name)[0]) if isinstance(name, tuple) else ""

    async def _connect(self) -> None:
        options, dial = self._options, None
        if options.proxy is not None:
            # Imported late: few programs use a proxy.
            from ..connecting.proxy import connect_through

            dial = functools.partial(
                connect_through,
                options.proxy,
                options.server,
                options.port,
                options.timeouts.stages[Stage.CONNECT],
                options.source_address,
            )
        try:
            await connect(
                self._reached,
                options.server,
                options.port,
                options.source_address,
                addresses=self._addresses,
                unix_path=options.unix_path,
                dial=dial,
            )
        except ConnectError as error:
            self._connecting = None
            self.perform(
                self._dialog.fail(
                    FailureKind.TIMEOUT if error.is_timeout else FailureKind.CONNECT,
                    str(error),
                    operation=error.operation,
                    errno=error.errno,
                    retryable=error.retryable,
                )
            )
        else:
            self._connecting = None

    def _reached(self, reached: Reached) -> "ConnectingWire":
        self._reached_at, self._addresses = reached.here, reached.left
        return self


def name_addresses(failed: Failed, connection: ConnectingWire) -> Failed:
    """Return the failure, with the addresses that failed before in its detail.

    Args:
        failed: the verdict of the last delivery.
        connection: the connection of that delivery.
    """
    if not connection.tried or connection.served:  # this address has accepted emails since
        return failed
    before = ", ".join(connection.tried)
    return dataclasses.replace(failed, detail=f"{failed.detail} (tried before: {before})")

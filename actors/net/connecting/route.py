"""Which addresses of a server are tried, and in what order (RFC 5321 §5.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

from .addresses import Address

_MAX_TRIED = 5
"""The maximum of addresses that one send tries: each may take the whole timeout of a step."""


@dataclass(frozen=True, slots=True)
class Route:
    """The addresses of a server to try for a connection.

    Attributes:
        addresses: the addresses to try, in order; empty for all addresses of the name.
        tried: the addresses at which earlier connections of the send failed.
    """

    addresses: Sequence[Address] = ()
    tried: tuple[str, ...] = ()

    def beyond(self, address: str) -> "Route | None":
        """Return the route to the next address, or None if there is no other to try.

        RFC 5321 §5.1: a client tries the addresses in order until a delivery attempt succeeds.

        Args:
            address: the address that failed, which is not in `addresses`.
        """
        tried = (*self.tried, address)
        if not self.addresses or len(tried) >= _MAX_TRIED:
            return None
        return Route(self.addresses, tried)


ANY = Route()
"""The route to any address."""

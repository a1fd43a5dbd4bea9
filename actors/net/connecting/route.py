"""Which addresses of a server's are tried, and in what order (RFC 5321 §5.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

from .addresses import Address

_MOST_TRIED = 5
"""Addresses of a server's at which one send is tried: each may take the time of a whole step."""


@dataclass(frozen=True, slots=True)
class Route:
    """Which addresses of a server's a connection is to be made to.

    Attributes:
        addresses: those to be tried, in order; empty for all that its name has.
        tried: those where others have been, and in vain.
    """

    addresses: Sequence[Address] = ()
    tried: tuple[str, ...] = ()

    def beyond(self, address: str) -> "Route | None":
        """Return the route to the next address, if there is one to be tried.

        RFC 5321 §5.1: a client tries the addresses in order until a delivery attempt succeeds.

        Args:
            address: where it was in vain; none of `addresses`.
        """
        tried = (*self.tried, address)
        if not self.addresses or len(tried) >= _MOST_TRIED:
            return None
        return Route(self.addresses, tried)


ANY = Route()
"""To any of them."""

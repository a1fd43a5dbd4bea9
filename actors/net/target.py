"""Where a connection goes to, and how."""

from typing import TYPE_CHECKING, Protocol

from .connecting.connect import SourceAddress
from .timeouts import Timeouts
from .tls.tls import Tls

if TYPE_CHECKING:
    from .connecting.proxy import Proxy


class Target(Protocol):
    """What a connection has to know of the options of a program, which are one of these.

    Attributes:
        name: the server as people know it, for messages.
        server: its name or address.
        port: its port.
        unix_path: the path of a unix socket instead, or None.
        is_lmtp: whether it speaks LMTP.
        timeouts: how long each step, and the whole send, may take.
        tls: how to do TLS, or None for never.
        source_address: where to connect from, or None.
        proxy: the proxy to go through, or None.
    """

    name: str
    server: str
    port: int
    unix_path: str | None
    is_lmtp: bool
    timeouts: Timeouts
    tls: Tls | None
    source_address: SourceAddress | None
    proxy: "Proxy | None"

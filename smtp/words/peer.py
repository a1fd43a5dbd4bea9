"""The server at the other end of a connection, as an outcome names it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The server at the other end of a connection.

    Attributes:
        host: the name or address, as it was configured.
        address: the address that was connected to.
        port: its port.
        tls_version: such as ``"TLSv1.3"``, or None without TLS.
        tls_cipher: the cipher suite, or None without TLS.
        tls_verified: whether the certificate was verified for `host`; False without TLS.
    """

    host: str
    address: str
    port: int
    tls_version: str | None = None
    tls_cipher: str | None = None
    tls_verified: bool = False

    def __str__(self) -> str:
        if not self.address:  # a unix socket, or a program
            return self.host
        if self.host == self.address:
            return f"[{self.address}]:{self.port}"
        return f"{self.host}[{self.address}]:{self.port}"

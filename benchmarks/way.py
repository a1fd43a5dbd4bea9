"""How a client is to send, as it was told on its command line."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from .mail import CLIENT_NAME

DEFAULTS: Mapping[str, Any] = {
    "mode": "many",
    "window": 0,
    "uvloop": False,
    "composed": False,
    "named": True,
    "reuse": False,
    "per_connection": 100,
    "ca": "",
}
"""What a client is told unless somebody wants it otherwise; see the clients themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a client is to send.

    Attributes:
        port: where the server listens.
        name: what EHLO is to say, or None for what the client says by itself.
        context: for STARTTLS, and the same for all: TLS required, the certificate verified. None
            for a connection without TLS.
        reuse: whether to send one mail after the other on each connection.
        composed: whether each mail is to be made of its parts.
    """

    port: int
    name: str | None = CLIENT_NAME
    context: ssl.SSLContext | None = None
    reuse: bool = False
    composed: bool = False

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """Return what the arguments say."""
        return cls(
            port=told["port"],
            name=CLIENT_NAME if told.get("named", True) else None,
            context=ssl.create_default_context(cafile=told["ca"]) if told.get("ca") else None,
            reuse=told.get("reuse", False),
            composed=told.get("composed", False),
        )

    @property
    def tls_options(self) -> dict[str, Any]:
        """Options of pykka-smtp's actors for this."""
        if self.context is None:
            return {}
        return {"tls": "starttls", "tls_context": self.context}

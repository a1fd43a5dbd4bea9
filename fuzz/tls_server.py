"""The server's end of TLS, without a socket; and the contexts of both sides."""

import contextlib
import functools
import importlib
import ssl
from dataclasses import dataclass
from typing import Any

NAME = "mx.test"


class Hesitant(ssl.SSLObject):
    """A client's TLS that may want to read before it writes: amid a handshake of TLS 1.2.

    Attributes:
        waits: whether it does.
    """

    waits = False

    def write(self, data: Any) -> int:
        """Write, or wait."""
        if Hesitant.waits:
            raise ssl.SSLWantReadError
        return super().write(data)


@dataclass(frozen=True, slots=True)
class Contexts:
    """Those of both sides.

    Attributes:
        server: the server's.
        client: the client's, which trusts the server.
        asks: whether the server may ask for a certificate later on (RFC 8446 §4.6.2), after which
            it gives session tickets.
    """

    server: ssl.SSLContext
    client: ssl.SSLContext
    asks: bool


KINDS = ("1.3", "1.3 from scratch", "1.2", "not trusted")


@functools.cache
def contexts(kind: str) -> Contexts:
    """Make the contexts of one kind, once: sessions are taken up again, where they can be.

    Args:
        kind: one of `KINDS`.
    """
    trustme: Any = importlib.import_module("trustme")
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME).configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    (trustme.CA() if kind == "not trusted" else authority).configure_trust(client)
    client.sslobject_class = Hesitant
    if kind == "1.2":
        server.maximum_version = ssl.TLSVersion.TLSv1_2
    elif kind == "1.3":
        authority.configure_trust(server)
        server.verify_mode = ssl.CERT_OPTIONAL
        server.post_handshake_auth = client.post_handshake_auth = True
    else:
        server.num_tickets = 0
    return Contexts(server, client, kind == "1.3")


class TlsServer:
    """One connection's TLS, at the server.

    Attributes:
        is_up: whether the handshake is done.
        is_broken: whether nothing can be read or written any more.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._came, self._going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._came, self._going, server_side=True)
        self.is_up = False
        self.is_broken = False
        self._has_left = False

    @property
    def may_write(self) -> bool:
        """Whether text can be written."""
        return self.is_up and not (self.is_broken or self._has_left)

    def receive(self, octets: bytes) -> bytes:
        """Take octets of the client's; return the text in them."""
        self._came.write(octets)
        text = b""
        try:
            if not self.is_up:
                self._tls.do_handshake()
                self.is_up = True
            while part := self._tls.read(16_384):
                text += part
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        except ssl.SSLError:
            self.is_broken = True
        return text

    def take(self) -> bytes:
        """Return what TLS itself has to say: its part of a handshake, session tickets, an alert."""
        return self._going.read()

    def seal(self, text: bytes) -> bytes:
        """Return a record with this text; nothing amid a handshake, nor after a farewell."""
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            self._tls.write(text)
        return self._going.read()

    def ask(self) -> bytes:
        """Return what asks for the client's certificate; nothing while it has been asked."""
        with contextlib.suppress(ssl.SSLError):
            self._tls.verify_client_post_handshake()
            self._tls.do_handshake()
        return self._going.read()

    def farewell(self) -> bytes:
        """Return what says that no more is said (RFC 8446 §6.1)."""
        self._has_left = True
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        return self._going.read()

    def alert(self) -> bytes:
        """Break, and return the alert that says so."""
        self.receive(b"\x17\x03\x03\x00\x20" + b"?" * 17_000)  # also amid the longest record
        self.is_broken = True
        return self._going.read()

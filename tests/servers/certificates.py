"""Certificates for the servers of the tests and their clients, and contexts that use them."""

import datetime as dt
import importlib
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .accounts import USER
from .require import require_module

NAMES = ("mx.test", "localhost", "127.0.0.1", "127.0.0.2", "::1", "xn--bcher-kva.test")
"""Whom a good certificate speaks for; the last one is bücher.test."""
LONG_AGO = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate and its key, as PEM files.

    Attributes:
        chain: the certificate.
        key: its private key.
    """

    chain: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How a server of the tests speaks TLS.

    Attributes:
        certificate: the one that it shows.
        implicit: from the first octet on, as on port 465; otherwise it offers STARTTLS.
        client_ca: the CA of the certificates that clients may show, or None to ask for none.
        client_required: end the handshake with a client that shows none of that CA.
    """

    certificate: Certificate
    implicit: bool = False
    client_ca: Path | None = None
    client_required: bool = False


class Certificates:
    """A CA that the tests trust, one that they do not, and certificates of both.

    Args:
        folder: an empty folder for the files.

    Attributes:
        ca: the certificate of the CA to trust.
        good: for `NAMES`.
        wrong_host: for another name.
        expired: for `NAMES`, a long time ago.
        unknown_ca: for `NAMES`, of the CA that nobody trusts.
        client: for a client, `servers.accounts.USER`.
        unknown_client: the same of the CA that nobody trusts.
    """

    def __init__(self, folder: Path) -> None:
        require_module("trustme")
        trustme = importlib.import_module("trustme")
        ours, theirs = trustme.CA(), trustme.CA()
        self.ca = folder / "ca.pem"
        ours.cert_pem.write_to_path(str(self.ca))
        self.good = _write(folder, "good", ours.issue_cert(*NAMES, key_type=trustme.KeyType.RSA))
        self.wrong_host = _write(folder, "wrong-host", ours.issue_cert("elsewhere.test"))
        past = {"not_before": LONG_AGO, "not_after": LONG_AGO + dt.timedelta(days=1)}
        self.expired = _write(folder, "expired", ours.issue_cert(*NAMES, **past))
        self.unknown_ca = _write(folder, "unknown-ca", theirs.issue_cert(*NAMES))
        client = ours.issue_cert(USER, common_name=USER)
        self.client = _write(folder, "client", client)
        stranger = theirs.issue_cert(USER, common_name=USER)
        self.unknown_client = _write(folder, "unknown-client", stranger)

    def trusting(self, client: Certificate | None = None) -> ssl.SSLContext:
        """Make a client's context that trusts our CA, and nobody else.

        Args:
            client: what to show to a server that asks for a certificate.
        """
        context = ssl.create_default_context(cafile=str(self.ca))
        if client is not None:
            context.load_cert_chain(client.chain, client.key)
        return context


def server_context(tls: Tls) -> ssl.SSLContext:
    """Make the context of a server that is written in Python."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate.chain, tls.certificate.key)
    if tls.client_ca is not None:
        context.load_verify_locations(tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED if tls.client_required else ssl.CERT_OPTIONAL
    return context


def _write(folder: Path, name: str, issued: Any) -> Certificate:
    chain, key = folder / f"{name}.pem", folder / f"{name}.key"
    chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    key.chmod(0o600)
    return Certificate(chain=chain, key=key)

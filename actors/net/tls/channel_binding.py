"""Channel binding: what ties an authentication to the TLS connection it goes through."""

import hashlib
import importlib
from typing import Any

BINDING_TYPE = "tls-server-end-point"
"""What a channel is bound to: the hash of the server's certificate (RFC 5929 §4).

It is the one type that serves TLS 1.2 and 1.3 alike: tls-unique ended with TLS 1.2, and Python's
ssl can't export the keying material of tls-exporter (RFC 9266).
"""
_HASHES = {
    # RFC 5929 §4.1: what is too weak for its purpose is replaced.
    "md5": "sha256",
    "sha1": "sha256",
    "sha224": "sha224",
    "sha256": "sha256",
    "sha384": "sha384",
    "sha512": "sha512",
}


def server_end_point(certificate: bytes) -> bytes | None:
    """Return the channel binding of type tls-server-end-point (RFC 5929 §4).

    Args:
        certificate: the server's certificate in DER, as ``getpeercert(binary_form=True)`` of an
            `ssl.SSLObject` gives it.

    Returns:
        The hash of the certificate; None where the RFC defines none, as for Ed25519, or where
        the certificate can't be read.

    Raises:
        ImportError: the library is not installed.
    """
    x509 = library("asn1crypto.x509")  # one of scramp's own requirements
    try:
        algorithm = x509.Certificate.load(certificate)["signature_algorithm"]
        if algorithm.signature_algo.startswith("ed"):
            return None
        name = _HASHES[algorithm.hash_algo]
    except (ValueError, TypeError, KeyError):
        return None
    return hashlib.new(name, certificate).digest()


def library(name: str) -> Any:
    """Import scramp, or what it brings along.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError("SCRAM needs the scramp library: pip install 'pykka-smtp[scram]'") from (
            error
        )

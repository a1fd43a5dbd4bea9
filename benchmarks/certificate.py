"""A certificate authority of this run's own, and a certificate for the server on this machine."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .processes import HOST
from .result import Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Files in PEM.

    Attributes:
        authority: the authority's certificate, for clients.
        server: the server's key and chain.
    """

    authority: str
    server: str


@contextlib.contextmanager
def certificate() -> Iterator[Certificate]:
    """Make one, and forget it at the end.

    Raises:
        Unavailable: what makes them is not installed.
    """
    try:
        import trustme
    except ImportError:
        raise Unavailable("the package trustme is not installed: pip install trustme") from None
    with tempfile.TemporaryDirectory(prefix="pykka-smtp-") as folder:
        made = Certificate(
            authority=str(Path(folder, "authority.pem")), server=str(Path(folder, "server.pem"))
        )
        authority = trustme.CA()
        authority.cert_pem.write_to_path(made.authority)
        issued = authority.issue_cert(HOST, "localhost")
        issued.private_key_and_cert_chain_pem.write_to_path(made.server)
        yield made

"""A free port for a server that cannot be told to listen on port 0."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reserved_port(host: str) -> Iterator[int]:
    """Give a free port that nobody else gets, as long as this lasts.

    On Linux a server can share a port with a socket that does not listen, if both set
    SO_REUSEADDR, as servers do.
    """
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind((host, 0))
        yield reserved.getsockname()[1]

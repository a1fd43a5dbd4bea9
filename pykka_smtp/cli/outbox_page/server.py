"""The web server of the operator's page: few threads, and an end to every request."""

import contextlib
import http.server
import socket
import socketserver
import threading
import time
from typing import Any

from .requests import Desk, PageRequest

_MOST_THREADS = 16
_REQUEST = 10.0
"""Seconds that a request may take, from its first octet to the last of its answer."""
_BUSY = (
    b"HTTP/1.0 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 20\r\n"
    b"Retry-After: 1\r\n\r\nToo many at a time.\n"
)


class PageServer(http.server.ThreadingHTTPServer):
    """Serves the page. `serve_forever` runs it; `server_close` ends it, and all its threads.

    Args:
        host: a name or an address of this machine.
        port: 0 for one that is free.
        desk: what the requests are about.

    Attributes:
        is_interrupted: whether it is to end; set by a signal handler.

    Raises:
        OSError: it cannot listen there.
    """

    daemon_threads = False  # `server_close` waits for them; and they end, see `service_actions`
    request_queue_size = 64

    def __init__(self, host: str, port: int, desk: Desk) -> None:
        self.desk: Desk = desk
        self.is_interrupted: bool = False
        self._free = threading.BoundedSemaphore(_MOST_THREADS)
        self._open: dict[socket.socket, float] = {}
        self._open_lock = threading.Lock()
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        self.address_family: int = family
        super().__init__((str(address[0]), int(address[1])), PageRequest)

    def server_bind(self) -> None:
        """Bind; not as `HTTPServer` does, which asks the DNS for its own name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name: str = str(self.server_address[0])
        self.server_port: int = int(self.server_address[1])

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self.server_port

    def process_request(self, request: Any, client_address: Any) -> None:
        """Have a thread answer, unless there are too many."""
        if not self._free.acquire(timeout=1.0):
            with contextlib.suppress(OSError):
                request.settimeout(1.0)
                request.sendall(_BUSY)
            self.shutdown_request(request)
            return
        with self._open_lock:
            self._open[request] = time.monotonic() + _REQUEST
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._is_done(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, in a thread of its own."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._is_done(request)

    def _is_done(self, request: socket.socket) -> None:
        with self._open_lock:
            del self._open[request]
        self._free.release()

    def service_actions(self) -> None:
        """End requests that take too long; called every half second.

        Raises:
            KeyboardInterrupt: Ctrl-C has come.
        """
        if self.is_interrupted:
            raise KeyboardInterrupt
        self._end_requests(time.monotonic())

    def _end_requests(self, begun_before: float) -> None:
        with self._open_lock:
            late = [request for request, ends in self._open.items() if ends <= begun_before]
            for request in late:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def server_close(self) -> None:
        """Stop to listen, end all requests and their threads."""
        self._end_requests(float("inf"))
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore an error: the reader has gone away, or was shown out."""

"""The exception for a connection that could not be established."""

import os


class ConnectError(Exception):
    """No connection could be established.

    Attributes:
        operation: the operation that failed: ``"getaddrinfo"``, ``"bind"``, ``"connect"`` or
            ``"proxy"``.
        errno: the error number, or None.
        retryable: whether the failure is temporary, so that a retry may succeed.
        is_timeout: whether it took too long.
    """

    def __init__(
        self,
        detail: str,
        operation: str,
        errno: int | None,
        *,
        retryable: bool,
        is_timeout: bool = False,
    ) -> None:
        super().__init__(detail)
        self.operation = operation
        self.errno = errno
        self.retryable = retryable
        self.is_timeout = is_timeout


def reason_of(error: OSError) -> str:
    """Return the system's text of an error; the loops' own texts repeat the address."""
    if error.errno is None:
        return str(error)
    return os.strerror(error.errno)

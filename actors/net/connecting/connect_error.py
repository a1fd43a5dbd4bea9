"""Why no connection came about."""

import os


class ConnectError(Exception):
    """No connection came about.

    Attributes:
        operation: ``"getaddrinfo"``, ``"bind"``, ``"connect"`` or ``"proxy"``.
        errno: the error number.
        passing: whether trying again later may help.
        is_timeout: whether it took too long.
    """

    def __init__(
        self,
        detail: str,
        operation: str,
        errno: int | None,
        *,
        passing: bool,
        is_timeout: bool = False,
    ) -> None:
        super().__init__(detail)
        self.operation = operation
        self.errno = errno
        self.passing = passing
        self.is_timeout = is_timeout


def reason_of(error: OSError) -> str:
    """Say in the system's words what went wrong; the loops' own texts repeat the address."""
    if error.errno is None:
        return str(error)
    return os.strerror(error.errno)

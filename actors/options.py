"""Checks of what a caller asks for: a clear error at once, before anything is sent."""

import ipaddress
import math
from typing import cast

from ..smtp.address import check_ehlo_name


def check_options(
    server: object,
    port: object,
    alias: object,
    timeout: object,
    deadline: object,
    local_hostname: object,
    source_address: object,
) -> None:
    """Check the options of an `SmtpActor`.

    Raises:
        ValueError: one is invalid.
        TypeError: one has the wrong type.
    """
    check_server(server)
    _check_port("port", port, least=1)
    if not isinstance(alias, str):
        raise TypeError(f"alias: needs a str, not {type(alias).__name__}")
    if not alias:
        raise ValueError("alias: empty; it is the sender of the signals")
    check_seconds("timeout", timeout)
    check_seconds("deadline", deadline)
    if local_hostname is not None:
        if not isinstance(local_hostname, str):
            raise TypeError(f"local_hostname: needs a str, not {type(local_hostname).__name__}")
        check_ehlo_name(local_hostname)
    if source_address is not None:
        _check_source_address(source_address)


def check_server(server: object) -> None:
    """Check a host name or address."""
    if not isinstance(server, str):
        raise TypeError(f"server: needs a str, not {type(server).__name__}")
    if not server:
        raise ValueError("server: empty; name a host, or leave it out for localhost")
    if len(server) > 255 or not server.isprintable() or " " in server or "/" in server:
        raise ValueError(f"server: not a host name or address: {server[:80]!r}")


def check_seconds(name: str, value: object) -> None:
    """Check a length of time."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}: needs seconds, not {type(value).__name__}")
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name}: needs to be more than 0 seconds, not {value}")


def _check_port(name: str, port: object, least: int) -> None:
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"{name}: needs an int, not {type(port).__name__}")
    if not least <= port <= 65535:
        raise ValueError(f"{name}: needs {least} to 65535, not {port}")


def _check_source_address(value: object) -> None:
    if not (isinstance(value, tuple) and len(cast("tuple[object, ...]", value)) == 2):
        raise TypeError("source_address: needs a pair of address and port, such as ('10.0.0.1', 0)")
    address, port = cast("tuple[object, object]", value)
    if not isinstance(address, str):
        raise TypeError(f"source_address: needs an address, not {type(address).__name__}")
    ipaddress.ip_address(address)
    _check_port("source_address", port, least=0)

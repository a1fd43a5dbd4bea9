"""The name that EHLO gives of this machine (RFC 5321 §4.1.1.1)."""

import functools
import socket

from ...smtp.mail.address import check_ehlo_name


@functools.cache
def complete_host_name() -> str | None:
    """Return this machine's name if a server could look it up; asks no name server."""
    name = socket.gethostname()
    if "." not in name.strip("."):
        return None
    try:
        return check_ehlo_name(name)
    except ValueError:
        return None


def address_literal(address: str) -> str:
    """Write an address as RFC 5321 §4.1.3 has it; an empty one is a unix socket's."""
    if not address:
        return "localhost"
    address = address.partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"

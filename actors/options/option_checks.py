"""What each option must be, one by one: all of it in one plain line, before anything is sent."""

import ipaddress
import math
import re
import ssl
from collections.abc import Collection, Sequence
from typing import cast

from ...smtp.sasl.secret import Secret
from ...smtp.words.extensions import CAN_DO_WITHOUT
from ...smtp.words.plain import plain_int, plain_str
from ...smtp.words.shown import shown
from ..net.connecting.connect import SourceAddress

MAX_SECONDS = 1e9
"""About 32 years: more than anybody means, and less than what a timer takes."""
_MAX_SERVER = 255
"""Characters of a host name (RFC 1035 §2.3.4)."""

_HOST_AND_PORT = re.compile(r"(?:\[([^\[\]]+)\]|([^:\[\]]+)):([0-9]{1,5})")


def one_of(name: str, value: object, choices: Sequence[str]) -> str:
    """Return an option that is one of a few words.

    Raises:
        ValueError: it is another word.
        TypeError: it is no str.
    """
    value = plain_str(name, value)
    if value not in choices:
        raise ValueError(f"{name}: needs one of {', '.join(choices)}, not {shown(value)}")
    return value


def check_tls_context(context: object) -> None:
    """Check a context for TLS, whether or not it will be used.

    Raises:
        TypeError: it is none.
        ValueError: it is one for servers.
    """
    if context is None:
        return
    if not isinstance(context, ssl.SSLContext):
        raise TypeError(f"tls_context: needs an ssl.SSLContext, not {type(context).__name__}")
    if context.protocol is ssl.PROTOCOL_TLS_SERVER:
        raise ValueError(
            "tls_context: is for servers (PROTOCOL_TLS_SERVER);"
            " make one with ssl.create_default_context()"
        )


def is_loopback(server: str) -> bool:
    """Whether the server is on this machine, by its name or address alone."""
    if server.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(server).is_loopback
    except ValueError:
        return False


def check_server(server: object) -> str:
    """Return a host name or address that was checked.

    Raises:
        ValueError: it is none; where it is a URL, the message shows no password.
        TypeError: it is no str.
    """
    if isinstance(server, Secret):  # as `wrap_secret_url` has it
        raise ValueError(  # noqa: TRY004
            f"server: {_url_for_server(server)}; did you mean url=?"
        )
    name = plain_str("server", server)
    if not name:
        raise ValueError("server: empty; name a host, or leave it out for localhost")
    if match := _HOST_AND_PORT.fullmatch(name):
        host = match[1] or match[2]
        raise ValueError(
            f"server: {shown(name)} has a port; did you mean port={match[3]}?"
            f" Write server={shown(host)}, port={match[3]}"
        )
    if (
        len(name) > _MAX_SERVER
        or not name.isprintable()
        or not set(" /@[]").isdisjoint(name)
        or (":" in name and not _is_ip_address(name))
    ):
        raise ValueError(f"server: not a host name or address: {shown(name)}")
    return name


def _url_for_server(url: Secret) -> str:
    from .relay_url import without_secrets

    masked = without_secrets(url)
    if masked:
        return f"{masked} is not a host name or address, but a URL"
    return 'not a host name or address: it has an "@" or "://", as a URL has'


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def check_seconds(name: str, value: object) -> float:
    """Return a length of time that was checked.

    Raises:
        ValueError: it is out of range.
        TypeError: it is no number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}: needs seconds, not {type(value).__name__}")
    # As an int first: one of 400 digits is no float.
    number = int.__int__(value) if isinstance(value, int) else float.__float__(value)
    if not 0 < number < math.inf:
        raise ValueError(f"{name}: needs to be more than 0 seconds, not {shown(number)}")
    if number > MAX_SECONDS:
        raise ValueError(
            f"{name}: needs to be more than 0 seconds and at most {MAX_SECONDS:.0f},"
            f" not {shown(number)}"
        )
    return float(number)


def check_alias(alias: object) -> str:
    """Return the sender of the signals.

    Raises:
        ValueError: it is empty, or can't be written anywhere.
        TypeError: it is no str.
    """
    name = plain_str("alias", alias)
    if not name:
        raise ValueError("alias: empty; it is the sender of the signals")
    try:
        name.encode()
    except UnicodeEncodeError:
        # A log or a terminal that it is written to would raise.
        raise ValueError(f"alias: has a lone surrogate: {shown(name)}") from None
    return name


def check_source_address(value: object) -> SourceAddress:
    """Return a pair of address and port.

    Raises:
        ValueError: one of them is none.
        TypeError: it is no such pair.
    """
    if not (isinstance(value, tuple) and len(cast("tuple[object, ...]", value)) == 2):
        raise TypeError("source_address: needs a pair of address and port, such as ('10.0.0.1', 0)")
    given, port = cast("tuple[object, object]", value)
    if not isinstance(given, str):
        raise TypeError(f"source_address: needs an address, not {type(given).__name__}")
    address = plain_str("source_address", given)
    if not _is_ip_address(address):
        raise ValueError(f"source_address: not an IP address: {shown(address)}")
    return address, plain_int("source_address", port, least=0, most=65535)


def check_without(names: object) -> frozenset[str]:
    """Check the keywords of extensions that are not to be used; return them in capitals.

    Raises:
        ValueError: one is no extension that can be done without.
        TypeError: these are no names.
    """
    if isinstance(names, str):
        names = (names,)
    if not isinstance(names, list | tuple | set | frozenset):
        raise TypeError(f"without: needs names of extensions, not {type(names).__name__}")
    checked: set[str] = set()
    for name in cast("Collection[object]", names):
        if not isinstance(name, str):
            raise TypeError(f"without: needs names of extensions, not {type(name).__name__}")
        keyword = name.strip().upper()
        if keyword not in CAN_DO_WITHOUT:
            raise ValueError(f"without: {_why_not_without(keyword)}")
        checked.add(keyword)
    return frozenset(checked)


def _why_not_without(keyword: str) -> str:
    if keyword == "STARTTLS":
        return "STARTTLS is not for it; use tls='off'"
    if keyword == "AUTH":
        return "AUTH is not for it; leave the credentials out"
    import difflib  # late: few make mistakes here

    near = difflib.get_close_matches(keyword[:40], CAN_DO_WITHOUT, 1, cutoff=0.0)
    return f"no extension that can be done without: {shown(keyword)}; did you mean {near[0]}?"

"""The checks of single options. An error is one line, and raised before anything is sent."""

import ipaddress
import math
import re
import ssl
from collections.abc import Collection, Sequence
from typing import cast

from ...smtp.sasl.secret import Secret
from ...smtp.words.extensions import OPTIONAL
from ...smtp.words.plain import plain_int, plain_str
from ...smtp.words.shown import shown
from ..net.connecting.connect import SourceAddress

MAX_SECONDS = 1e9
"""About 32 years: more than any program needs, and less than the limit of the loop's timers."""
_MAX_SERVER = 255
"""Characters of a host name (RFC 1035 §2.3.4)."""

_HOST_AND_PORT = re.compile(r"(?:\[([^\[\]]+)\]|([^:\[\]]+)):([0-9]{1,5})")


def one_of(name: str, value: object, choices: Sequence[str]) -> str:
    """Check an option that is one of a few words; return it.

    Raises:
        ValueError: it is another word.
        TypeError: it is not a str.
    """
    value = plain_str(name, value)
    if value not in choices:
        raise ValueError(f"{name}: needs one of {', '.join(choices)}, not {shown(value)}")
    return value


def check_tls_context(context: object) -> None:
    """Check a TLS context, whether or not it will be used. None is valid.

    Raises:
        TypeError: it is not an `ssl.SSLContext`.
        ValueError: it is a context for servers.
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
    """Whether the server is on this machine. No name look-up is done."""
    if server.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(server).is_loopback
    except ValueError:
        return False


def check_server(server: object) -> str:
    """Check a host name or address; return it.

    Raises:
        ValueError: it is invalid. If it is a URL, the message does not show the password.
        TypeError: it is not a str.
    """
    if isinstance(server, Secret):  # a URL, wrapped by `wrap_secret_url`
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
    """Check a number of seconds; return it.

    Raises:
        ValueError: it is out of range.
        TypeError: it is not a number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}: needs seconds, not {type(value).__name__}")
    # An int stays an int until its range is known: one of 400 digits does not fit into a float.
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
    """Check an alias, the sender of the signals; return it.

    Raises:
        ValueError: it is empty, or has a lone surrogate.
        TypeError: it is not a str.
    """
    name = plain_str("alias", alias)
    if not name:
        raise ValueError("alias: empty; it is the sender of the signals")
    try:
        name.encode()
    except UnicodeEncodeError:
        # Writing it to a log or a terminal would raise.
        raise ValueError(f"alias: has a lone surrogate: {shown(name)}") from None
    return name


def check_source_address(value: object) -> SourceAddress:
    """Check a pair of address and port; return it.

    Raises:
        ValueError: the address or the port is invalid.
        TypeError: it is not a pair of a str and an int.
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
    """Check the names of the extensions not to use; return them in upper case.

    Raises:
        ValueError: an extension is unknown, or cannot be switched off here.
        TypeError: they are not names.
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
        if keyword not in OPTIONAL:
            raise ValueError(f"without: {_why_not_without(keyword)}")
        checked.add(keyword)
    return frozenset(checked)


def _why_not_without(keyword: str) -> str:
    if keyword == "STARTTLS":
        return "cannot switch off STARTTLS; use tls='off'"
    if keyword == "AUTH":
        return "cannot switch off AUTH; leave out the credentials"
    import difflib  # imported late: needed for an error only

    near = difflib.get_close_matches(keyword[:40], OPTIONAL, 1, cutoff=0.0)
    return f"unknown extension {shown(keyword)}; did you mean {near[0]}?"

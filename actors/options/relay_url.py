"""Relay URLs: address, TLS, credentials and options of a relay, in one environment variable.

A relay URL contains a password, and often a typing error. So no function here raises from a frame
that holds the URL, and an error never shows more of it than scheme, user, host and port.

`urllib.parse.urlsplit` is not used: it silently drops CR, LF and TAB, quotes the password in some
of its errors, and caches the URLs that it parsed.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, cast

from ...smtp.mail.address import check_ehlo_name
from ...smtp.sasl.secret import MASK, Secret
from ...smtp.words.extensions import OPTIONAL
from ...smtp.words.shown import shown
from ..net.connecting.authority import CONTROL, Flaw, decode, is_address, split_host, split_userinfo
from . import outlet_url
from .outlet_url import OutletScheme

ServerScheme = Literal["smtp", "smtps", "lmtp", "lmtp+unix"]
Scheme = ServerScheme | OutletScheme

_DEFAULT_PORTS: Mapping[ServerScheme, int] = {
    "smtp": 25,  # RFC 5321 §4.5.4.2; also with credentials: the scheme alone decides
    "smtps": 465,  # RFC 8314 §3.3
    "lmtp": 24,  # no port is registered; LMTP servers usually have this one
    "lmtp+unix": 0,  # a unix socket has no port
}
_FORMS = f"smtp://host, smtps://host, lmtp://host or lmtp+unix:///path; or {outlet_url.FORMS}"

_MAX_URL = 8192
"""Characters. The longest sensible part is an access token of a few thousand."""
_MAX_SOCKET_PATH = 107
"""Bytes. Linux allows 108, including the NUL (unix(7))."""
_MAX_SHOWN = 160
"""Characters of a URL in an error."""
_MAX_OPTION_SHOWN = 40
"""Characters of an unknown option in an error."""

_SPACE = re.compile(r"\s")
_END_OF_AUTHORITY = re.compile(r"[/?]")
_SECONDS = re.compile(r"[0-9]{1,7}(?:\.[0-9]{1,6})?")
_SOURCE = re.compile(r"(?:\[(?P<v6>[^\]]*:[^\]]*)\]|(?P<v4>[0-9.]+))(?::(?P<port>[0-9]{1,5}))?")
# sasl-mech (RFC 4422 §3.1), in either case.
_MECHANISM = re.compile(r"[A-Za-z0-9_-]{1,20}")
_END_OF_SHOWN_USER = re.compile(r"[:/?#]")
_SHOWN_PLACE = re.compile(r"(?:\[[0-9A-Fa-f:.]*\]|[^:/?#\[]*)(?::[0-9]{1,5}(?=[/?#]|\Z))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """A relay, as its URL describes it.

    Attributes:
        scheme: ``"smtp"``, ``"smtps"``, ``"lmtp"``, ``"lmtp+unix"``, or that of an outlet.
        host: name or address as given, IPv6 without brackets. Empty if it is not a server by TCP.
        port: 1 to 65535; 0 if it is not a server by TCP.
        path: the path of the unix socket, folder or program, or None.
        username: the user name to authenticate with, or None.
        password: the password or token, or None. Never without a username.
        options: the parsed values of the options given, by name. With ``smtps://``, ``tls`` is
            always among them, as ``"implicit"``.
    """

    scheme: Scheme
    host: str
    port: int
    path: str | None = None
    username: str | None = None
    password: Secret | None = field(default=None, repr=False)
    options: Mapping[str, object] = field(default_factory=dict[str, object], hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))

    @property
    def outlet(self) -> OutletScheme | None:
        """The scheme, if it is that of an outlet instead of a server; else None."""
        return None if self.scheme in _DEFAULT_PORTS else cast("OutletScheme", self.scheme)


def parse_relay_url(url: str, what: str = "relay URL") -> Relay:
    """Parse a relay URL (RFC 3986 §3).

    Args:
        url: such as ``"smtp://user:p%40ss@mail.example.org:587?timeout=10"``. User, password,
            socket path and option values may be percent-encoded; ``"+"`` is a plus sign.
        what: what errors call it.

    Returns:
        The relay.

    Raises:
        ValueError: it is not a relay URL, or an option is unknown, repeated or invalid. The
            message is one line and shows the URL without password and query.
        TypeError: it is not a str.
    """
    result = _attempt(what, url)
    del url  # a traceback with locals would show it
    if isinstance(result, Relay):
        return result
    raise result


def relay_from_environment(name: str = "SMTP_URL") -> Relay | None:
    """Parse the relay URL in an environment variable.

    Args:
        name: the name of the variable.

    Returns:
        The relay, or None if the variable is not set or is empty.

    Raises:
        ValueError: as `parse_relay_url`; the message begins with the name of the variable.
    """
    if not os.environ.get(name):
        return None
    result = _attempt(name, os.environ[name])
    if isinstance(result, Relay):
        return result
    raise result


def without_secrets(url: Secret) -> str:
    """Return the parts of a URL that are safe to show, quoted; empty if no part is.

    Args:
        url: a text that need not be a valid relay URL.
    """
    return _without_secrets(url.reveal()).strip()


def _attempt(what: str, url: object) -> Relay | Exception:
    """Return the relay, or the error, which the caller raises once no frame has the URL."""
    if not isinstance(url, str):
        return TypeError(f"{what}: needs a str, not {type(url).__name__}")
    url = str.__str__(url)
    try:
        return _parse(url)
    except Flaw as flaw:
        return ValueError(f"{what}{_without_secrets(url)}: {flaw}")


def _without_secrets(url: str) -> str:
    """Return the parts of a URL that are safe to show, even of a malformed one.

    Everything before the last "@" may be a password, "/" and "?" included. Text after a colon that
    is not a port may be a password whose "@host" is missing. Without a known scheme, no part can
    be told from another.
    """
    scheme, rest = _split_scheme(url)
    if scheme is None:
        outlet = outlet_url.split_outlet_scheme(url)
        return "" if outlet is None else f" {shown(outlet_url.shown_outlet(*outlet), _MAX_SHOWN)}"
    credentials, at, place = rest.rpartition("@")
    user = _END_OF_SHOWN_USER.split(credentials, 1)[0]
    place_shown = _SHOWN_PLACE.match(place)
    assert place_shown is not None
    text = f"{scheme}://{user}"
    if user != credentials:
        text += f":{MASK}"
    text += at + place_shown[0]
    if place_shown[0] != place:
        text += "..."
    return f" {shown(text, _MAX_SHOWN)}"


def _parse(url: str) -> Relay:
    if len(url) > _MAX_URL:
        raise Flaw(f"longer than {_MAX_URL} characters")
    if match := CONTROL.search(url):
        raise Flaw(f"has the control character U+{ord(match[0]):04X}; is a line end left over?")
    if _SPACE.search(url):
        raise Flaw("has a space; inside a password or path, write it as %20")
    scheme, rest = _split_scheme(url)
    if scheme is None:
        outlet = outlet_url.split_outlet_scheme(url)
        if outlet is None:
            raise Flaw(f"unknown scheme; write {_FORMS}")
        path, query = outlet_url.split_outlet(*outlet)
        return Relay(
            scheme=outlet[0], host="", port=0, path=path, options=_parse_options(outlet[0], query)
        )
    if "#" in rest:
        raise Flaw('has a "#"; in a password, write it as %23')
    authority = _END_OF_AUTHORITY.split(rest, 1)[0]
    tail = rest[len(authority) :]
    if "@" in tail:
        # Legal, but in practice the password contains the "/" or "?". Its first part would be
        # taken for host and port, and be sent to a name server.
        raise Flaw('has an "@" after "/" or "?"; write "/" as %2F, "?" as %3F, "@" as %40')
    path, _, query = tail.partition("?")
    socket, host, port = None, "", None
    username = password = None
    if scheme == "lmtp+unix":
        socket = _socket_path(authority, path)
    elif path not in {"", "/"}:  # equivalent: RFC 3986 §6.2.3
        raise Flaw("has a path; only options can follow the host")
    else:
        userinfo, at, place = authority.rpartition("@")
        username, password = split_userinfo(userinfo) if at else (None, None)
        host, port = split_host(place)
    if scheme == "lmtp" and port == 25:
        # RFC 2033 §5: "it MUST NOT be used on the TCP service port 25."
        raise Flaw("port 25 is for SMTP; LMTP needs another, such as 24")
    return Relay(
        scheme=scheme,
        host=host,
        port=_DEFAULT_PORTS[scheme] if port is None else port,
        path=socket,
        username=username,
        password=password,
        options=_parse_options(scheme, query),
    )


def _split_scheme(url: str) -> tuple[ServerScheme | None, str]:
    """Split at the first ``"://"``; the scheme is None if unknown (any case, RFC 3986 §3.1)."""
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    return (cast("ServerScheme", scheme), rest) if scheme in _DEFAULT_PORTS else (None, rest)


def _socket_path(authority: str, path: str) -> str:
    if authority or len(path) < 2:
        raise Flaw("needs only the socket's absolute path: lmtp+unix:///run/dovecot/lmtp")
    path = decode("the path", path)
    if len(path.encode()) > _MAX_SOCKET_PATH:
        raise Flaw(f"the path is longer than the {_MAX_SOCKET_PATH} bytes of a socket address")
    return path


def _parse_options(scheme: Scheme, query: str) -> dict[str, object]:
    options: dict[str, object] = {}
    allowed = _options_of(scheme)
    for piece in query.split("&") if query else ():
        name, _, value = piece.partition("=")
        if name not in allowed:
            known = ", ".join(allowed)
            raise Flaw(f"unknown option {shown(name, _MAX_OPTION_SHOWN)}; known are {known}")
        if name in options:
            raise Flaw(f"the option {name} is given twice")
        read, form = allowed[name]
        try:
            options[name] = read(decode(f"the option {name}", value))
        except ValueError:
            raise Flaw(f"the option {name} needs {form}") from None
    if scheme == "smtps" and options.setdefault("tls", "implicit") != "implicit":
        raise Flaw(f"smtps:// means tls=implicit, not {options['tls']}; write smtp:// for that")
    if scheme == "lmtp+unix" and options.get("tls") in {"starttls", "implicit"}:
        raise Flaw("the option tls can only be off: there is no TLS over a unix socket")
    if scheme == "lmtp+unix" and "proxy" in options:
        raise Flaw("the option proxy is not available for a unix socket")
    if scheme == "lmtp+unix" and "source_address" in options:
        raise Flaw("the option source_address is not available for a unix socket")
    return options


def _name(text: str) -> str:
    if not text:
        raise ValueError
    return text


def _hidden(text: str) -> Secret:
    return Secret(_name(text))


def _seconds(text: str) -> float:
    if not _SECONDS.fullmatch(text) or not float(text):
        raise ValueError
    return float(text)


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        return words[words.index(text.lower())]

    return read


def _flag(text: str) -> bool:
    return _one_of("0", "1", "false", "true")(text) in {"1", "true"}


def _mechanisms(text: str) -> tuple[str, ...]:
    names = text.split(",")
    if not all(map(_MECHANISM.fullmatch, names)):
        raise ValueError
    return tuple(name.upper() for name in names)


def _extensions(text: str) -> frozenset[str]:
    names = frozenset(text.upper().split(","))
    if not names <= set(OPTIONAL):
        raise ValueError
    return names


def _source_address(text: str) -> tuple[str, int]:
    """Parse ``ip`` or ``ip:port``; IPv6 with a port needs brackets. Port 0 is any."""
    if is_address(text):
        return text, 0
    match = _SOURCE.fullmatch(text)
    if match is None:
        raise ValueError
    address = match["v6"] or match["v4"]
    port = int(match["port"] or 0)
    if not is_address(address) or port > 65535:
        raise ValueError
    return address, port


_OPTIONS: Mapping[str, tuple[Callable[[str], object], str]] = {
    "timeout": (_seconds, "seconds, such as 30 or 2.5"),
    "deadline": (_seconds, "seconds, such as 300 or 2.5"),
    "tls": (_one_of("auto", "starttls", "implicit", "off"), "auto, starttls, implicit or off"),
    "auth": (_mechanisms, "names of mechanisms, such as SCRAM-SHA-256,PLAIN"),
    "local_hostname": (check_ehlo_name, "a domain or an address literal such as [192.0.2.1]"),
    "source_address": (_source_address, "an address, or address:port such as [2001:db8::1]:0"),
    "proxy": (_hidden, "a proxy's URL, such as socks5://host:1080"),
    "alias": (_name, "a name that is not empty"),
    "debug": (_flag, "0, 1, false or true"),
    "without": (_extensions, f"names of extensions, of {', '.join(OPTIONAL)}"),
}
"""For each option: its parser, which raises ValueError, and the expected form, for the error."""


def _options_of(scheme: Scheme) -> Mapping[str, tuple[Callable[[str], object], str]]:
    if scheme in _DEFAULT_PORTS:
        return _OPTIONS
    common = {name: _OPTIONS[name] for name in _OPTIONS if name in outlet_url.OPTIONS}
    if scheme != "sendmail":
        return common
    return common | {"args": (outlet_url.arguments_of, "words, such as -oi%20-t")}

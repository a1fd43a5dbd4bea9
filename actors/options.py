"""The options of a connection: checked at once, with a clear error, before anything is sent."""

import functools
import ipaddress
import math
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ..smtp.address import check_ehlo_name
from ..smtp.secret import Secret
from .connect import SourceAddress
from .timeouts import DEFAULT_DEADLINE, DEFAULT_TIMEOUT, PROFILES, Timeouts, make_timeouts
from .tls import TLS_CHOICES, Tls, choose_tls

if TYPE_CHECKING:
    from ..smtp.authentication import Authentication
    from .credentials import Masking, Token
    from .proxy import Proxy

_LMTP_PORT = 24


@dataclass(slots=True, kw_only=True)
class Options:
    """What an actor needs to know to reach a server and talk to it.

    Attributes:
        name: the server as people know it, for messages.
        server: its name or address.
        port: its port.
        unix_path: the path of a unix socket instead, or None.
        is_lmtp: whether it speaks LMTP.
        alias: the sender of the signals.
        timeouts: how long each step, and the whole send, may take.
        debug: whether the outcome has a transcript.
        tls: how to do TLS, or None for never.
        authentication: how to authenticate, or None.
        masking: masks secrets in texts of the server's, or None if there are none.
        local_hostname: the name for EHLO, or None.
        source_address: where to connect from, or None.
        proxy: the proxy to go through, or None.
    """

    name: str
    server: str
    port: int
    unix_path: str | None
    is_lmtp: bool
    alias: str
    timeouts: Timeouts
    debug: bool
    tls: Tls | None
    authentication: "Authentication | None"
    masking: "Masking | None"
    local_hostname: str | None
    source_address: SourceAddress | None
    proxy: "Proxy | None"


@dataclass(frozen=True, slots=True)
class Secrets:
    """The options that nobody may see."""

    url: Secret | None
    password: Secret | None
    token: Secret | Callable[[], str] | None
    proxy: Secret | None


_NO_SECRETS = Secrets(None, None, None, None)
_SECRET_NAMES = frozenset({"url", "password", "token", "proxy"})


def hide_in(given: dict[str, Any]) -> None:
    """Wrap them among the keyword arguments of a call, in place.

    A traceback that shows local variables shows the arguments of each function in it, too.
    """
    for name in _SECRET_NAMES.intersection(given):
        if isinstance(given[name], str):
            given[name] = Secret(given[name])


def hide(
    url: str | Secret | None,
    password: str | Secret | None,
    token: "Token | None",
    proxy: str | Secret | None,
) -> Secrets:
    """Wrap the options that nobody may see.

    Raises:
        TypeError: one has the wrong type.
    """
    if url is None and password is None and token is None and proxy is None:
        return _NO_SECRETS
    if token is not None and not (isinstance(token, str | Secret) or callable(token)):
        raise TypeError(f"token: needs a str, or a function, not {type(token).__name__}")
    return Secrets(
        _hidden("url", url),
        _hidden("password", password),
        Secret(token) if isinstance(token, str) else token,
        _hidden("proxy", proxy),
    )


def _hidden(name: str, value: object) -> Secret | None:
    if value is None or isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise TypeError(f"{name}: needs a str, not {type(value).__name__}")
    return Secret(value)


def collect_options(
    server: str = "localhost",
    port: int = 25,
    *,
    url: str | Secret | None = None,
    alias: str = "smtp_client",
    timeout: float = DEFAULT_TIMEOUT,
    deadline: float = DEFAULT_DEADLINE,
    profile: str = "interactive",
    debug: bool = False,
    tls: str = "auto",
    tls_context: ssl.SSLContext | None = None,
    username: str | None = None,
    password: str | Secret | None = None,
    token: "Token | None" = None,
    auth: Sequence[str] | None = None,
    allow_plaintext_auth: bool = False,
    local_hostname: str | None = None,
    source_address: SourceAddress | None = None,
    proxy: str | Secret | None = None,
) -> Options:
    """Check the options of `SmtpActor.start`, which describes them.

    Raises:
        ValueError: one is invalid.
        TypeError: one has the wrong type.
        ImportError: one needs what is not installed.
    """
    secrets = hide(url, password, token, proxy)
    del url, password, token, proxy
    arguments = (
        secrets.url,
        tls_context,
        allow_plaintext_auth,
        # In the order of _NAMES.
        server,
        port,
        alias,
        timeout,
        deadline,
        profile,
        debug,
        tls,
        username,
        secrets.password,
        secrets.token,
        tuple(auth) if isinstance(auth, list) else auth,
        local_hostname,
        source_address,
        secrets.proxy,
    )
    try:
        return _collect_again(*arguments)
    except TypeError:
        # An option of a wrong type, perhaps of one that can't be looked up: let that be said.
        return _collect(*arguments)


_NAMES = (
    "server",
    "port",
    "alias",
    "timeout",
    "deadline",
    "profile",
    "debug",
    "tls",
    "username",
    "password",
    "token",
    "auth",
    "local_hostname",
    "source_address",
    "proxy",
)


def _collect(
    url: Secret | None,
    tls_context: ssl.SSLContext | None,
    allow_plaintext_auth: bool,
    *given: Any,
) -> Options:
    options: dict[str, Any] = dict(zip(_NAMES, given, strict=True))
    options |= {"unix_path": None, "is_lmtp": False}
    if url is not None:
        options |= _from_url(url, options["auth"])
    return _make(options, tls_context, allow_plaintext_auth=allow_plaintext_auth)


# A program sends all its mail with the same few sets of options.
_collect_again = functools.lru_cache(maxsize=64, typed=True)(_collect)


def _from_url(url: Secret, auth: Sequence[str] | None) -> dict[str, Any]:
    """Return what a relay URL says, under the names of the options."""
    # Late, as below: who has no URL, no password and no proxy need not wait for their modules.
    from .credentials import TOKEN_MECHANISMS
    from .relay_url import parse_relay_url

    relay = parse_relay_url(url.reveal())
    said: dict[str, Any] = dict(relay.options)
    said["server"], said["port"] = relay.host or "localhost", relay.port or _LMTP_PORT
    said["unix_path"] = relay.path
    said["is_lmtp"] = relay.scheme.startswith("lmtp")
    if relay.username is not None:
        said["username"] = relay.username
    if relay.password is not None:
        # What stands for the password is a token if only OAuth's mechanisms may be used.
        names = said.get("auth", auth) or ()
        chosen = {str(name).upper() for name in ([names] if isinstance(names, str) else names)}
        is_token = bool(chosen) and chosen <= set(TOKEN_MECHANISMS)
        said["token" if is_token else "password"] = relay.password
    return said


def _make(
    given: Mapping[str, Any],
    tls_context: ssl.SSLContext | None,
    *,
    allow_plaintext_auth: bool,
) -> Options:
    _check(given)
    server, port, unix_path = given["server"], given["port"], given["unix_path"]
    if allow_plaintext_auth and unix_path is None and not is_loopback(server):
        raise ValueError(f"allow_plaintext_auth: is for this machine only, not for {server}")
    made = _authentication(given, allow_plaintext_auth=allow_plaintext_auth)
    tls = None
    if unix_path is None:
        tls = choose_tls(
            given["tls"],
            tls_context,
            host=server,
            port=port,
            has_credentials=made is not None,
            may_do_without=allow_plaintext_auth,
        )
    return Options(
        name=unix_path or f"{server}:{port}",
        server=server,
        port=port,
        unix_path=unix_path,
        is_lmtp=given["is_lmtp"],
        alias=given["alias"],
        timeouts=make_timeouts(given["profile"], float(given["timeout"]), float(given["deadline"])),
        debug=bool(given["debug"]),
        tls=tls,
        authentication=None if made is None else made[0],
        masking=None if made is None else made[1],
        local_hostname=given["local_hostname"],
        source_address=given["source_address"],
        proxy=_proxy(given, allow_plaintext_auth=allow_plaintext_auth),
    )


def _authentication(
    given: Mapping[str, Any], *, allow_plaintext_auth: bool
) -> "tuple[Authentication, Masking] | None":
    if all(given[name] is None for name in ("username", "password", "token", "auth")):
        return None
    from .credentials import authentication

    return authentication(
        given["username"],
        given["password"],
        given["token"],
        given["auth"],
        host=given["server"],
        port=given["port"],
        allow_unsafe=allow_plaintext_auth,
    )


def _proxy(given: Mapping[str, Any], *, allow_plaintext_auth: bool) -> "Proxy | None":
    if given["proxy"] is None:
        return None
    if given["unix_path"] is not None:
        raise ValueError("proxy: is not for a unix socket")
    if allow_plaintext_auth:
        # What is "localhost" to a proxy is some other machine to us.
        raise ValueError("allow_plaintext_auth: is for this machine only, not for a proxy")
    from .proxy import check_target, parse_proxy

    check_target(given["server"])
    return parse_proxy(given["proxy"])


def _check(given: Mapping[str, Any]) -> None:
    check_server(given["server"])
    _check_port("port", given["port"], least=1)
    _check_alias(given["alias"])
    check_seconds("timeout", given["timeout"])
    check_seconds("deadline", given["deadline"])
    if given["profile"] not in PROFILES:
        raise ValueError(f"profile: needs one of {', '.join(PROFILES)}, not {given['profile']!r}")
    _check_local_hostname(given["local_hostname"])
    if given["source_address"] is not None:
        _check_source_address(given["source_address"])
    if given["tls"] not in TLS_CHOICES:
        raise ValueError(f"tls: needs one of {', '.join(TLS_CHOICES)}, not {given['tls']!r}")


def is_loopback(server: str) -> bool:
    """Whether the server is on this machine, by its name or address alone."""
    if server.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(server).is_loopback
    except ValueError:
        return False


def check_server(server: object) -> None:
    """Check a host name or address."""
    if not isinstance(server, str):
        raise TypeError(f"server: needs a str, not {type(server).__name__}")
    if not server:
        raise ValueError("server: empty; name a host, or leave it out for localhost")
    if len(server) > 255 or not server.isprintable() or " " in server or "/" in server:
        raise ValueError(f"server: not a host name or address: {server[:80]!r}")
    host, colon, port = server.rpartition(":")
    if colon and port.isdecimal() and (":" not in host or host.endswith("]")):
        host = host.strip("[]")
        raise ValueError(f"server: has a port in it; write server={host[:80]!r}, port={port[:5]}")


def check_seconds(name: str, value: object) -> None:
    """Check a length of time."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}: needs seconds, not {type(value).__name__}")
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name}: needs to be more than 0 seconds, not {value}")


def _check_alias(alias: object) -> None:
    if not isinstance(alias, str):
        raise TypeError(f"alias: needs a str, not {type(alias).__name__}")
    if not alias:
        raise ValueError("alias: empty; it is the sender of the signals")


def _check_local_hostname(name: object) -> None:
    if name is None:
        return
    if not isinstance(name, str):
        raise TypeError(f"local_hostname: needs a str, not {type(name).__name__}")
    check_ehlo_name(name)


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

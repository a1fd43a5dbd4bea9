"""The options of a connection: checked at once, with a clear error, before anything is sent."""

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from ...smtp.mail.address import check_ehlo_name
from ...smtp.sasl.secret import Secret
from ...smtp.words.plain import plain_bool, plain_int, plain_str
from ...smtp.words.quirks import Quirks
from ..net.connecting.connect import SourceAddress
from ..net.connecting.route import ANY, Route
from ..net.timeouts import PROFILES, Timeouts, make_timeouts
from ..net.tls.tls import TLS_CHOICES, Tls, choose_tls
from ..net.wire.connection import Connection
from .connection_options import DEFAULTS, check_names
from .hiding import check_secrets
from .option_checks import (
    check_alias,
    check_seconds,
    check_server,
    check_source_address,
    check_tls_context,
    check_without,
    is_loopback,
    one_of,
)

if TYPE_CHECKING:
    from ...signals.protecting.protection import Protection
    from ...signals.signing.dkim import Signers
    from ...smtp.session.opening.authentication import Authentication
    from ..net.connecting.proxy import Proxy
    from ..net.outlets.outlet import Outlet
    from .credentials import Redact

_LMTP_PORT = 24
URL_FOR_ALL = "PYKKA_SMTP_URL_ALL"
"""The environment variable with a URL that every actor of the process uses instead of its own."""
_OF_A_RELAY = (
    *("url", "tls", "tls_context", "username", "password", "token", "auth"),
    *("allow_plaintext_auth", "source_address", "proxy", "without"),
)
"""The options that belong to one relay, so not to the one of `URL_FOR_ALL`."""


@dataclass(slots=True, kw_only=True)
class Options:
    """The checked options of a connection to one relay.

    Attributes:
        name: the server's name for messages.
        server: its name or address.
        port: its port.
        unix_path: the path of its unix socket, which replaces server and port, or None.
        is_lmtp: whether it speaks LMTP.
        alias: the sender of the signals.
        timeouts: the time limits of the steps and of the attempt.
        debug: whether the outcome has a transcript.
        tls: how to use TLS, or None for never.
        authentication: how to authenticate, or None.
        redactor: redacts secrets in texts of the server, or None if there are no secrets.
        local_hostname: the name for EHLO, or None.
        source_address: the local address and port to connect from, or None.
        proxy: the proxy to use, or None.
        without: keywords of extensions not to use, even if the server offers them.
        quirks: the server's known protocol faults. All sends with the same options share them.
        make_connection: makes a connection; if not to a server, then to an outlet.
        dkim: who signs the emails.
        protect: what signs or encrypts their content.
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
    redactor: "Redact | None"
    local_hostname: str | None
    source_address: SourceAddress | None
    proxy: "Proxy | None"
    without: frozenset[str] = frozenset()
    quirks: Quirks = field(default_factory=Quirks)
    make_connection: "Callable[[Options, Route], Connection]" = Connection
    dkim: "Signers" = ()
    protect: "Protection | tuple[()]" = ()

    def new_connection(self, route: Route = ANY) -> Connection:
        """Return a new connection: to the server, or to the outlet that takes its place.

        Args:
            route: which of the server's addresses to try. Default: all.
        """
        return self.make_connection(self, route)

    def for_outlet(self, outlet: "Outlet") -> "Options":
        """Return the same options, for an outlet instead of a server.

        Args:
            outlet: what takes the emails.
        """
        from ..net.outlets.outlet_connection import OutletConnection

        return replace(
            self,
            name=outlet.name,
            is_lmtp=False,
            tls=None,
            authentication=None,
            redactor=None,
            proxy=None,
            without=frozenset(),
            quirks=Quirks(),
            make_connection=functools.partial(OutletConnection, outlet),
        )


def collect_options(
    server: Any = "localhost", port: Any = 25, taker: str = "SmtpActor", **given: Any
) -> Options:
    """Check the options of a connection.

    Args:
        server: the server's name or address.
        port: its port.
        taker: the class or function that the options were given to, for messages.
        given: `ConnectionOptions`, whose secrets were wrapped by `wrap_secrets_in`.

    Raises:
        ValueError: an option is invalid.
        TypeError: an option has the wrong type, or is unknown.
        ImportError: an option needs a library that is not installed.
    """
    options = DEFAULTS | given
    if len(options) > len(DEFAULTS):
        check_names(given, DEFAULTS, taker)
    if type(options["auth"]) is list:
        options["auth"] = tuple(cast("list[object]", options["auth"]))
    if options["without"] != ():
        options["without"] = check_without(options["without"])
    if options["dkim"] != ():
        from ...signals.signing.dkim import signers_of  # late: few programs sign

        options["dkim"] = signers_of(options["dkim"])
    if options["protect"] != ():
        from ...signals.protecting.protection import protection_of

        options["protect"] = protection_of(options["protect"])
    # Read each time: it may have been set after the import, as by a file of settings.
    for_all = Secret(os.environ[URL_FOR_ALL]) if URL_FOR_ALL in os.environ else None
    try:
        return _collect_cached(for_all, server, port, *options.values())
    except (ValueError, ImportError):
        raise
    except Exception:  # noqa: S110 - a value has a wrong type, and may not even be hashable
        pass
    return _collect(for_all, server, port, *options.values())  # raises a clear error for it


def _collect(for_all: Secret | None, server: Any, port: Any, *values: Any) -> Options:
    options: dict[str, Any] = dict(zip(DEFAULTS, values, strict=True))
    made = _collect_one(server, port, dict(options))
    if not for_all:
        return made
    # The program's own options were checked all the same.
    options |= {name: DEFAULTS[name] for name in _OF_A_RELAY}
    return _collect_one("localhost", 25, options | {"url": for_all}, URL_FOR_ALL)


def _collect_one(
    server: Any, port: Any, options: dict[str, Any], what: str = "relay URL"
) -> Options:
    check_secrets(options)
    options |= {"server": server, "port": port, "unix_path": None, "is_lmtp": False}
    options["without"] = frozenset(options["without"])
    url = options["url"]
    if url is not None:
        from_url = _from_url(url, options["auth"], what)
        from_url["without"] = options["without"] | from_url.get("without", frozenset())
        options |= from_url
    return _make(options)


# A program sends all its email with the same few sets of options.
_collect_cached = functools.lru_cache(maxsize=64, typed=True)(_collect)


def _from_url(url: Secret, auth: Sequence[str] | None, what: str) -> dict[str, Any]:
    """Return the options that a relay URL gives, by name."""
    # Imported late, as below: programs without URL, credentials or proxy start faster.
    from .credentials import TOKEN_MECHANISMS
    from .relay_url import parse_relay_url

    relay = parse_relay_url(url.reveal(), what)
    options: dict[str, Any] = dict(relay.options)
    options["server"], options["port"] = relay.host or "localhost", relay.port or _LMTP_PORT
    if relay.outlet is not None:
        options["outlet"] = relay.outlet, relay.path, options.pop("args", ())
        return options
    options["unix_path"] = relay.path
    options["is_lmtp"] = relay.scheme.startswith("lmtp")
    if relay.username is not None:
        options["username"] = relay.username
    if relay.password is not None:
        # The URL's password is a token if only OAuth mechanisms are enabled.
        names = options.get("auth", auth) or ()
        if isinstance(names, str) or not isinstance(names, Iterable):  # rejected later
            names = (names,)
        chosen = {str(name).upper() for name in cast("Iterable[object]", names)}
        is_token = bool(chosen) and chosen <= set(TOKEN_MECHANISMS)
        options["token" if is_token else "password"] = relay.password
    return options


def _make(given: dict[str, Any]) -> Options:
    given |= _checked(given)
    tls_context = given["tls_context"]
    allow_plaintext_auth = plain_bool("allow_plaintext_auth", given["allow_plaintext_auth"])
    check_tls_context(tls_context)
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
    made_options = Options(
        name=unix_path or f"{server}:{port}",
        server=server,
        port=port,
        unix_path=unix_path,
        is_lmtp=given["is_lmtp"],
        alias=given["alias"],
        timeouts=make_timeouts(given["timeout_profile"], given["timeout"], given["deadline"]),
        debug=given["debug"],
        tls=tls,
        authentication=None if made is None else made[0],
        redactor=None if made is None else made[1],
        local_hostname=given["local_hostname"],
        source_address=given["source_address"],
        proxy=_proxy(given, allow_plaintext_auth=allow_plaintext_auth),
        without=given["without"],
        dkim=given["dkim"],
        protect=given["protect"],
    )
    if given.get("outlet") is None:
        return made_options
    from .outlet_url import make_outlet

    return made_options.for_outlet(make_outlet(*given["outlet"]))


def _authentication(
    given: Mapping[str, Any], *, allow_plaintext_auth: bool
) -> "tuple[Authentication, Redact] | None":
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
        raise ValueError("proxy: not available for a unix socket")
    if allow_plaintext_auth:
        # For a proxy, "localhost" is its own machine.
        raise ValueError("allow_plaintext_auth: is for this machine only, not for a proxy")
    from ..net.connecting.proxy import check_target, parse_proxy

    check_target(given["server"])
    return parse_proxy(given["proxy"])


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Check the options that need nothing but their own value; return them."""
    checked: dict[str, Any] = {
        "server": check_server(given["server"]),
        "port": plain_int("port", given["port"], least=1, most=65535),
        "alias": check_alias(given["alias"]),
        "timeout": check_seconds("timeout", given["timeout"]),
        "deadline": check_seconds("deadline", given["deadline"]),
        "timeout_profile": one_of("timeout_profile", given["timeout_profile"], PROFILES),
        "debug": plain_bool("debug", given["debug"]),
        "tls": one_of("tls", given["tls"], TLS_CHOICES),
    }
    if given["username"] is not None:
        checked["username"] = plain_str("username", given["username"])
    if given["local_hostname"] is not None:
        name = plain_str("local_hostname", given["local_hostname"])
        checked["local_hostname"] = check_ehlo_name(name)
    if given["source_address"] is not None:
        checked["source_address"] = check_source_address(given["source_address"])
    return checked

"""`ConnectionOptions`: every option of a connection, defined once: type, default and meaning.

A new option is a line here, and a row in the documentation, which a test compares with this.
"""

import ssl
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from ..net.connecting.connect import SourceAddress
from ..net.timeouts import DEFAULT_DEADLINE, DEFAULT_TIMEOUT

if TYPE_CHECKING:
    from ...signals.protecting.protection import Protection
    from ...signals.signing.dkim import Dkim


class Default:
    """The default of an option."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value: object = value


class ConnectionOptions(TypedDict, total=False):
    """The keyword options of `SmtpActor.start`, `Mailer.start` and `verify`.

    A program's own function can take and pass on the same options::

        def send(mail: SendMail, **options: Unpack[ConnectionOptions]) -> None:
            SmtpActor.start("mail.example.org", **options).tell(mail)
    """

    url: Annotated[str | None, Default(None)]
    """A relay URL instead of server, port, tls and credentials, such as
    ``"smtp://user:password@mail.example.org:587"``. SMTP_URL from the environment is never used
    automatically: pass ``url=os.environ["SMTP_URL"]``."""

    alias: Annotated[str, Default("smtp_client")]
    """The sender of the signals. Default: ``"smtp_client"``, for a `Mailer` ``"mailer"``."""

    timeout: Annotated[float, Default(DEFAULT_TIMEOUT)]
    """Seconds that each step may take, 30 if left out: from a command to its complete reply, or
    without the server reading any mail data."""

    deadline: Annotated[float, Default(DEFAULT_DEADLINE)]
    """Seconds that the send may take, 300 if left out, from when it may open a connection. With a
    `Mailer`, it applies to each attempt."""

    timeout_profile: Annotated[str, Default("interactive")]
    """``"interactive"``, the default: `timeout` for each step, but no more than 15 s to connect,
    and at least 120 s for the final reply, unless `timeout` is below its default. ``"rfc5321"``: 2
    to 10 minutes for each step, as the RFC requires of a relay (§4.5.3.2)."""

    debug: Annotated[bool, Default(value=False)]
    """Whether the outcome contains all lines of the session, as its transcript. If an email needs
    many attempts, it has the last 100 000 characters. False if left out."""

    tls: Annotated[str, Default("auto")]
    """``"auto"``, the default: implicit TLS on port 465; required and verified on port 587 and
    wherever there are credentials; elsewhere opportunistic TLS (RFC 7435), encrypted if the server
    offers it. ``"starttls"`` and ``"implicit"``: required and verified. ``"off"``: never."""

    tls_context: Annotated[ssl.SSLContext | None, Default(None)]
    """The context to use, which then determines verification. Default: TLS 1.2 or newer, with the
    system's certificate authorities."""

    username: Annotated[str | None, Default(None)]
    """The user name to authenticate with. Default: no authentication."""

    password: Annotated[str | None, Default(None)]
    """The password."""

    token: Annotated[str | Callable[[], str] | None, Default(None)]
    """An OAuth 2 access token instead of a password, or a function that returns one. The function
    is called in a worker thread, where it may block, and again if the server rejects the token."""

    auth: Annotated[Sequence[str] | None, Default(None)]
    """The names of the SASL mechanisms that may be used. Default: all, strongest first."""

    allow_plaintext_auth: Annotated[bool, Default(value=False)]
    """Whether to send the password without verified TLS to a server on this machine. It is an error
    for any other server. False if left out."""

    local_hostname: Annotated[str | None, Default(None)]
    """The host name or address literal to send in EHLO. Default: the name of this host if it is
    fully qualified, else its address."""

    source_address: Annotated[SourceAddress | None, Default(None)]
    """Local address and port (0 for any) to connect from. ``("0.0.0.0", 0)`` is IPv4 only,
    ``("::", 0)`` IPv6 only. Default: any. A `Mailer` takes a port other than 0 only with
    ``max_connections=1`` and without backups."""

    proxy: Annotated[str | None, Default(None)]
    """The proxy to use, as ``socks5://[user:password@]host:port`` or
    ``http://[user:password@]host:port``. The proxy resolves the server's name. Needs python-socks:
    ``pip install 'pykka-smtp[proxy]'``. Default: none."""

    without: Annotated[str | Collection[str], Default(())]
    """The names of extensions not to use, such as ``("CHUNKING",)``, for a server that offers one
    that does not work. Default: none."""

    dkim: Annotated["Dkim | Sequence[Dkim]", Default(())]
    """Who signs the emails (RFC 6376): `Dkim` objects, domains with their keys. An email with a
    `dkim` of its own is signed by that instead. Default: nobody."""

    protect: Annotated["Protection | tuple[()]", Default(())]
    """What signs or encrypts the content of the emails: a `Smime` (RFC 8551) or a `Pgp` (RFC 3156).
    An email with a `protect` of its own is protected by that instead. Default: nothing."""


def defaults_of(options: Any) -> dict[str, Any]:
    """Return the default of each option of a `TypedDict` such as `ConnectionOptions`, in order."""
    return {name: hint.__metadata__[0].value for name, hint in options.__annotations__.items()}


DEFAULTS: dict[str, Any] = defaults_of(ConnectionOptions)

_OTHER_NAMES = {
    "host": "server",
    "hostname": "server",
    "user": "username",
    "login": "username",
    "ssl": "tls",
    "starttls": "tls",
    "use_tls": "tls",
    "context": "tls_context",
}
"""Names of options in other libraries that are not similar to ours."""


def check_names(given: Mapping[str, object], known: Mapping[str, object], taker: str) -> None:
    """Check that all options given exist.

    Args:
        given: the options, by name.
        known: the options that exist, beside server and port.
        taker: the name of the class or function, for the message.

    Raises:
        TypeError: an option is unknown; the message names the most similar one.
    """
    for name in given:
        if name not in known:
            raise TypeError(f"{name} is not an option of {taker}{_advice(name, known)}")


def _advice(name: str, known: Mapping[str, object]) -> str:
    import difflib  # imported late: needed for an error only

    names = ["server", "port", *known]
    near = [_OTHER_NAMES[name]] if name in _OTHER_NAMES else []
    near = near or difflib.get_close_matches(name[:40], names, 1)
    return f"; did you mean {near[0]}?" if near else ""

"""`ConnectionOptions`: every option of a connection, stated once: type, default and meaning.

A new option is a line here, and a row in the table of README.md, which a test compares with this.
"""

import ssl
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated, Any, TypedDict

from ..net.connect import SourceAddress
from ..net.timeouts import DEFAULT_DEADLINE, DEFAULT_TIMEOUT


class Default:
    """The value of an option that is left out."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value: object = value


class ConnectionOptions(TypedDict, total=False):
    """What `SmtpActor.start`, `Mailer.start` and `verify` take by keyword.

    A function of a program can take and pass on the same::

        def send(mail: SendMail, **options: Unpack[ConnectionOptions]) -> None:
            SmtpActor.start("mail.example.org", **options).tell(mail)
    """

    url: Annotated[str | None, Default(None)]
    """A relay URL instead of server, port, tls and credentials, such as
    ``"smtp://user:password@mail.example.org:587"``. SMTP_URL from the environment is never used by
    itself: pass ``url=os.environ["SMTP_URL"]``."""

    alias: Annotated[str, Default("smtp_client")]
    """The sender of the signals. That of a `Mailer` is ``"mailer"`` if it is left out."""

    timeout: Annotated[float, Default(DEFAULT_TIMEOUT)]
    """Seconds that each step may take, 30 if left out: from a command to its complete reply, or
    without the server taking any more of the mail."""

    deadline: Annotated[float, Default(DEFAULT_DEADLINE)]
    """Seconds that the whole send may take, 300 if left out, from the moment in which it has a
    connection to open. For a `Mailer`, it bounds each attempt."""

    timeout_profile: Annotated[str, Default("interactive")]
    """``"interactive"``, the default: `timeout` for each step, but no more than 15 s to connect,
    and at least 120 s for the reply to the final dot, unless `timeout` is below its default.
    ``"rfc5321"``: 2 to 10 minutes for each step, as the RFC asks of a relay (§4.5.3.2)."""

    debug: Annotated[bool, Default(value=False)]
    """Whether to put all lines of the session into the outcome, as its transcript. Of many attempts
    at a mail, it has the last 100 000 characters. False if left out."""

    tls: Annotated[str, Default("auto")]
    """``"auto"``, the default: from the start on port 465; required and verified on port 587 and
    wherever there are credentials; elsewhere encrypted if the server offers it. ``"starttls"`` and
    ``"implicit"``: required and verified. ``"off"``: never."""

    tls_context: Annotated[ssl.SSLContext | None, Default(None)]
    """The context to use; it then decides about verification. Default: TLS 1.2 or newer, with the
    system's certificate authorities."""

    username: Annotated[str | None, Default(None)]
    """The user to authenticate as. Default: nobody."""

    password: Annotated[str | None, Default(None)]
    """The password."""

    token: Annotated[str | Callable[[], str] | None, Default(None)]
    """An OAuth 2 access token instead, or a function that returns one. It is called in a thread
    where it may block, and once more if the server refuses the token."""

    auth: Annotated[Sequence[str] | None, Default(None)]
    """The names of the SASL mechanisms that may be used. Default: all, strongest first."""

    allow_plaintext_auth: Annotated[bool, Default(value=False)]
    """Whether to send the password without verified TLS to a server on this machine. Refused for
    any other. False if left out."""

    local_hostname: Annotated[str | None, Default(None)]
    """The name or address literal that EHLO gives of this machine. Default: its host name if that
    is complete, else its address."""

    source_address: Annotated[SourceAddress | None, Default(None)]
    """Local address and port (0 for any) to connect from. ``("0.0.0.0", 0)`` is IPv4 only,
    ``("::", 0)`` IPv6 only. Default: any. A `Mailer` takes a port other than 0 only with
    ``max_connections=1`` and without backups."""

    proxy: Annotated[str | None, Default(None)]
    """The proxy to go through, as ``socks5://[user:password@]host:port`` or
    ``http://[user:password@]host:port``. It looks up the server's name. Needs python-socks:
    ``pip install 'pykka-smtp[proxy]'``. Default: none."""

    without: Annotated[str | Collection[str], Default(())]
    """The names of extensions that are not to be used, such as ``("CHUNKING",)``, for a server that
    offers what it does not do. Default: none."""


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
"""What other libraries call an option, where the names are not alike."""


def check_names(given: Mapping[str, object], known: Mapping[str, object], taker: str) -> None:
    """See that there is each option that was given.

    Args:
        given: the options, by name.
        known: the options that there are, beside server and port.
        taker: what takes them, for the message.

    Raises:
        TypeError: there is no such option; it names the nearest that there is.
    """
    for name in given:
        if name not in known:
            raise TypeError(f"{name} is no option of {taker}{_advice(name, known)}")


def _advice(name: str, known: Mapping[str, object]) -> str:
    import difflib  # late: few make mistakes here

    names = ["server", "port", *known]
    near = [_OTHER_NAMES[name]] if name in _OTHER_NAMES else []
    near = near or difflib.get_close_matches(name[:40], names, 1)
    return f"; did you mean {near[0]}?" if near else ""

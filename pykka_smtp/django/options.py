"""Django's settings, and what is given to a backend, as options of a Mailer."""

from collections.abc import Callable
from typing import Any, cast

from ..actors.mailer.jobs.retry import NO_RETRY
from ..actors.mailer.options import MAILER_DEFAULTS
from ..actors.options.relay_url import Relay, parse_relay_url
from ..smtp.sasl.secret import Secret
from .installed import settings
from .mailers import Certificate

ALIAS = "django"
"""The alias of the Mailer, for emails by settings other than MAILERS."""
MORE: frozenset[str] = frozenset(MAILER_DEFAULTS) - {
    *("url", "timeout", "username", "password", "alias")
}
"""The options of a Mailer that Django's own backend does not have under the same name."""
_ABSENT = object()


def settings_reader() -> Callable[..., Any]:
    """Return a function that reads settings, without Django's warnings for its older ones.

    Whoever defines one of those has had the warning already. The function takes the name of a
    setting, and what there is without it.

    Raises:
        AttributeError: by the function; there is no such setting, and no default.
    """
    getattr(settings, "DEBUG")  # noqa: B009 - loads the settings
    loaded = settings._wrapped

    def read(name: str, default: object = _ABSENT) -> Any:
        value = getattr(loaded, name, default)
        if value is _ABSENT:
            raise AttributeError(
                f"there is no setting {name}; with MAILERS, use django.core.mail.mailers"
            )
        return value

    return read


def hidden_url(value: object) -> Secret | None:
    """Return a relay URL, wrapped at once.

    Args:
        value: a URL, a function that returns it, or None. Django shows the values of settings in
            the report of an error, but not what a function returns.

    Raises:
        TypeError: it is none of these.
    """
    if callable(value):
        value = cast("Callable[[], object]", value)()
    if value is None or value == "":
        return None
    if isinstance(value, Secret):
        return value
    kind = type(value).__name__
    if isinstance(value, str):
        return Secret(value)
    del value
    raise TypeError(f"a relay URL needs a str, or a function that returns one, not {kind}")


def relay_of(url: Secret, what: str) -> Relay:
    """Return what a relay URL says.

    Args:
        url: the URL.
        what: what an error calls it.

    Raises:
        ValueError: it is not a relay URL.
    """
    return parse_relay_url(url.reveal(), what)


def mailer_options(
    *,
    server: tuple[str, int],
    url: Secret | None,
    credentials: tuple[str, Secret] | None,
    tls: str,
    timeout: float | None,
    certificate: Certificate | None,
    alias: str,
    waits: bool,
    more: dict[str, Any],
) -> dict[str, Any]:
    """Return the options of the Mailer to send by.

    Args:
        server: host and port.
        url: a relay URL, instead of `server` and `tls`.
        credentials: user name and password, or None.
        tls: what the option of this name needs.
        timeout: seconds, or None.
        certificate: the client's, or None.
        alias: the sender of the signals.
        waits: whether somebody waits for the outcome: then nothing is retried later.
        more: options that were given as they are; they count before others.
    """
    options: dict[str, Any] = {"alias": alias}
    if url is not None:
        options["url"] = url
    else:
        options["server"], options["port"] = server
        options["tls"] = tls
    if credentials is not None:
        options["username"], options["password"] = credentials
    if timeout is not None:
        options["timeout"] = timeout
    if certificate is not None:
        options["tls_context"] = certificate
    if waits:
        options["retry"] = NO_RETRY
    return options | more

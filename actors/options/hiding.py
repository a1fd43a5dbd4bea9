"""Wraps secrets among the arguments of a call, before anything in it can raise.

A traceback that shows local variables shows the arguments of each function, too. So each argument
that is secret, or may be, is wrapped in a `Secret` first. A value that should have been a str, but
is not, is replaced by an empty object whose type has the same name, for the error message.
"""

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, cast

from ...smtp.sasl.secret import Secret
from .mailer_options import MAX_BACKUPS

_SECRET_NAMES = frozenset({"url", "password", "token", "proxy"})
_PLACE_NAMES = frozenset({"server", "port"})
"""The options that can be given by position, where a caller may give a URL by mistake."""
_BACKUPS = "backups"
_KEYS = ("dkim", "protect")
_OCTETS = (bytes, bytearray)
_SENSITIVE = _SECRET_NAMES | _PLACE_NAMES | {_BACKUPS, *_KEYS}


def check_secrets(options: Mapping[str, object]) -> None:
    """Check the types of the secret options, after they were wrapped.

    Raises:
        TypeError: one has the wrong type.
    """
    for name in ("url", "password", "proxy"):
        value = options[name]
        if not isinstance(value, Secret | None):
            raise TypeError(f"{name}: needs a str, not {type(value).__name__}")
    token = options["token"]
    if not (isinstance(token, Secret | None) or callable(token)):
        raise TypeError(f"token: needs a str, or a function, not {type(token).__name__}")


def wrap_secrets_in(given: dict[str, Any], harmless: Collection[str] | None = None) -> None:
    """Wrap secrets among the keyword arguments of a call, in place. Raises no error of its own.

    Args:
        given: the arguments.
        harmless: the names of the options without secrets, as `harmless_of` returns them. Any
            other name is wrapped: it is unknown, and may be a wrong name for the password. None if
            a subclass may have other options.
    """
    for name, value in given.items():
        if name in harmless if harmless is not None else name not in _SENSITIVE:
            continue
        if name in _PLACE_NAMES:
            given[name] = wrap_secret_url(value)
        elif name == _BACKUPS:
            given[name] = wrap_backup_secrets(value)
        elif name in _KEYS:
            given[name] = _without_keys(value)
        else:
            given[name] = _hidden(value)


def wrap_secret_url(value: Any) -> Any:
    """Wrap a positional argument if it is a URL, which may contain a password.

    Args:
        value: the argument, given as server or port.
    """
    if isinstance(value, str):
        return Secret(value) if "@" in value or "://" in value else value
    return _husk(value) if isinstance(value, _OCTETS) else value


def wrap_secret_urls(given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Wrap each positional argument that is a URL, as `wrap_secret_url` does."""
    for value in given:
        # Usually they are a host name and a port, and nothing needs to be copied.
        if type(value) is not int and (type(value) is not str or "@" in value or ":" in value):
            return tuple([wrap_secret_url(value) for value in given])
    return given


def wrap_backup_secrets(backups: Any) -> Any:
    """Wrap each URL. Anything but a collection of URLs is left for `Mailer` to reject."""
    if isinstance(backups, str):
        return Secret(backups)
    if not isinstance(backups, Iterable) or isinstance(backups, bytes):
        return backups
    few = itertools.islice(cast("Iterable[object]", backups), MAX_BACKUPS + 1)
    return tuple([_hide_backup(backup) for backup in few])


def _without_keys(value: Any) -> Any:
    """Replace what may be a key, given instead of the objects that have one and hide it."""
    if isinstance(value, str | bytes | bytearray):
        return _husk(value)
    if isinstance(value, list | tuple):
        given = cast("Sequence[object]", value)
        return tuple([_without_keys(one) for one in given])
    return value


def _hide_backup(backup: object) -> object:
    if isinstance(backup, tuple | list):  # of URL and weight
        hidden = [_hide_backup(part) for part in cast("Sequence[object]", backup)]
        return tuple(hidden) if isinstance(backup, tuple) else hidden
    return _hidden(backup) if isinstance(backup, str | bytes | bytearray) else backup


def harmless_of(names: Iterable[str]) -> frozenset[str]:
    """Return the names of the options that contain no secret."""
    return frozenset(names) - _SENSITIVE


def _hidden(value: Any) -> Any:
    if isinstance(value, str):
        return Secret(value)
    if value is None or isinstance(value, Secret) or callable(value):
        return value
    return _husk(value)


def _husk(value: object) -> object:
    """Return an empty object, of a type with the same name."""
    return type(type(value).__name__, (), {})()

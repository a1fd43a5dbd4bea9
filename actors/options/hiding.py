"""Secrets among the arguments of a call, hidden before anything of it can fail.

A traceback that shows local variables shows the arguments of each function in it, too. So what is
secret, or may be, is wrapped in a `Secret` first of all; and what should have been a str, and is
something else, has an empty object of the same name put in its place, for the error about it.
"""

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, cast

from ...smtp.sasl.secret import Secret
from .mailer_options import MAX_BACKUPS

_SECRET_NAMES = frozenset({"url", "password", "token", "proxy"})
_PLACE_NAMES = frozenset({"server", "port"})
"""The options that can be given by position: a URL in their place is one by mistake."""
_BACKUPS = "backups"
_OCTETS = (bytes, bytearray)
_SENSITIVE = _SECRET_NAMES | _PLACE_NAMES | {_BACKUPS}


def check_secrets(options: Mapping[str, object]) -> None:
    """See that the options that nobody may see have the right types, once they are hidden.

    Raises:
        TypeError: one has not.
    """
    for name in ("url", "password", "proxy"):
        value = options[name]
        if not isinstance(value, Secret | None):
            raise TypeError(f"{name}: needs a str, not {type(value).__name__}")
    token = options["token"]
    if not (isinstance(token, Secret | None) or callable(token)):
        raise TypeError(f"token: needs a str, or a function, not {type(token).__name__}")


def wrap_secrets_in(given: dict[str, Any], harmless: Collection[str] | None = None) -> None:
    """Hide secrets among the keyword arguments of a call, in place; raises nothing of its own.

    Args:
        given: the arguments.
        harmless: the names of those options that have no secret, as `harmless_of` gives them; or
            None, if there may be others than ours. Any other name is that of no option, which is
            an error in any case, and may be one for a password.
    """
    for name, value in given.items():
        if name in harmless if harmless is not None else name not in _SENSITIVE:
            continue
        if name in _PLACE_NAMES:
            given[name] = wrap_secret_url(value)
        elif name == _BACKUPS:
            given[name] = wrap_backup_secrets(value)
        else:
            given[name] = _hidden(value)


def wrap_secret_url(value: Any) -> Any:
    """Hide what was given as a server if it is a URL, which may have a password.

    Args:
        value: what was given by position, perhaps as another option.
    """
    if isinstance(value, str):
        return Secret(value) if "@" in value or "://" in value else value
    return _husk(value) if isinstance(value, _OCTETS) else value


def wrap_secret_urls(given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Hide what may be a URL among the positional arguments, as `wrap_secret_url` does."""
    for value in given:
        # Mostly a port, and a server's name.
        if type(value) is not int and (type(value) is not str or "@" in value or ":" in value):
            return tuple([wrap_secret_url(value) for value in given])
    return given


def wrap_backup_secrets(backups: Any) -> Any:
    """Wrap each URL. What is no collection of URLs is left for `Mailer` to complain of."""
    if isinstance(backups, str):
        return Secret(backups)
    if not isinstance(backups, Iterable) or isinstance(backups, bytes):
        return backups
    few = itertools.islice(cast("Iterable[object]", backups), MAX_BACKUPS + 1)
    return tuple([_hide_backup(backup) for backup in few])


def _hide_backup(backup: object) -> object:
    if isinstance(backup, tuple | list):  # of URL and weight
        hidden = [_hide_backup(part) for part in cast("Sequence[object]", backup)]
        return tuple(hidden) if isinstance(backup, tuple) else hidden
    return _hidden(backup) if isinstance(backup, str | bytes | bytearray) else backup


def harmless_of(names: Iterable[str]) -> frozenset[str]:
    """Return those of the options that have no secret."""
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

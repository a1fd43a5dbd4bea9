"""The URLs of outlets, which take emails instead of a server: ``record:``, ``file:///folder``."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, cast

from ..net.connecting.authority import Flaw, decode
from ..net.outlets.outlet import Outlet

OutletScheme = Literal["record", "file", "console", "sendmail", "null", "refuse"]

FORMS = "record:, file:///folder, console:, sendmail:///program, null: or refuse:"
OPTIONS: frozenset[str] = frozenset({"timeout", "deadline", "alias", "debug"})
"""The options of a relay URL that these have, too."""

_PATHS: Mapping[OutletScheme, str] = {
    "file": "the folder's absolute path: file:///srv/outgoing",
    "sendmail": "the program's absolute path: sendmail:///usr/sbin/sendmail",
}
_SCHEMES: frozenset[str] = frozenset({"record", "console", "null", "refuse", *_PATHS})
_MAX_PATH = 4096
"""Bytes of a path (PATH_MAX of Linux)."""


def split_outlet_scheme(url: str) -> tuple[OutletScheme, str] | None:
    """Return scheme and rest of an outlet's URL, or None if it is not one.

    Args:
        url: any text.
    """
    scheme, colon, rest = url.partition(":")
    scheme = scheme.lower()
    if not colon or scheme not in _SCHEMES:
        return None
    return cast("OutletScheme", scheme), rest


def shown_outlet(scheme: OutletScheme, rest: str) -> str:
    """Return what an error shows of such a URL: nothing that may be a password.

    Args:
        scheme: its scheme.
        rest: what follows the colon.
    """
    path, mark, _ = rest.partition("?")
    return f"{scheme}:..." if "@" in rest else f"{scheme}:{path}{mark and '...'}"


def split_outlet(scheme: OutletScheme, rest: str) -> tuple[str | None, str]:
    """Return the path, or None where there is none, and the query.

    Args:
        scheme: its scheme.
        rest: what follows the colon.

    Raises:
        Flaw: it is invalid.
    """
    place, _, query = rest.partition("?")
    if scheme not in _PATHS:
        if place not in {"", "//"}:
            raise Flaw(f"needs nothing after the colon but options: {scheme}:")
        return None, query
    path = place.removeprefix("//")
    if place == path or not path.startswith("/") or path == "/":
        raise Flaw(f"needs only {_PATHS[scheme]}")
    path = decode("the path", path)
    if len(path.encode()) > _MAX_PATH:
        raise Flaw(f"the path is longer than {_MAX_PATH} bytes")
    return path, query


def arguments_of(text: str) -> tuple[str, ...]:
    """Parse the option ``args``: words with spaces in between. No shell reads them.

    Raises:
        ValueError: there is none.
    """
    words = tuple(text.split())
    if not words:
        raise ValueError
    return words


def make_outlet(scheme: OutletScheme, path: str | None, args: Sequence[str]) -> Outlet:
    """Return the outlet of a parsed URL.

    Args:
        scheme: its scheme.
        path: its path, or None.
        args: the words of its option ``args``.

    Raises:
        ValueError: it does not work on this system.
    """
    return _MAKERS[scheme](path or "", args)


# Each is imported when it is needed: most programs have none.


def _record(_path: str, _args: Sequence[str]) -> Outlet:
    from ..net.outlets.record import RecordOutlet, recorded

    return RecordOutlet("record:", recorded)


def _file(path: str, _args: Sequence[str]) -> Outlet:
    from ..net.outlets.folder import FolderOutlet

    return FolderOutlet(path)


def _console(_path: str, _args: Sequence[str]) -> Outlet:
    from ..net.outlets.console import ConsoleOutlet

    return ConsoleOutlet()


def _sendmail(path: str, args: Sequence[str]) -> Outlet:
    if os.name != "posix":
        raise ValueError("sendmail: needs a POSIX system")
    from ..net.outlets.sendmail import SendmailOutlet

    return SendmailOutlet(path, tuple(args))


def _null(_path: str, _args: Sequence[str]) -> Outlet:
    from ..net.outlets.nothing import NullOutlet

    return NullOutlet()


def _refuse(_path: str, _args: Sequence[str]) -> Outlet:
    from ..net.outlets.nothing import RefuseOutlet

    return RefuseOutlet()


_MAKERS: Mapping[OutletScheme, Callable[[str, Sequence[str]], Outlet]] = {
    "record": _record,
    "file": _file,
    "console": _console,
    "sendmail": _sendmail,
    "null": _null,
    "refuse": _refuse,
}

"""The arguments that every ``sendmail`` understands, in the form that Postfix reads them."""

import getopt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from ...smtp.mail.delivery_options import Dsn, Notice

Mode = Literal["send", "queue", "aliases", "nothing", "help", "version"]

_OPTIONS = "A:B:C:D:F:GIL:N:O:R:UV:X:b:cd:e:f:h:imno:p:r:q:tvx"
"""Postfix's, and two of Sendmail's for debugging. A colon: what follows belongs to the option."""
_LONG = ("help", "version")

_MODES: dict[str, Mode] = {
    "m": "send",
    "p": "queue",
    "i": "aliases",
    "h": "nothing",  # the status of hosts, of which nothing is kept
    "H": "nothing",
}
_REFUSED = {
    "s": "speaks no SMTP on standard input; have the program connect to the relay",
    "v": "cannot check addresses without sending; pykka-smtp verify checks the relay",
    "t": "cannot check addresses without sending; pykka-smtp verify checks the relay",
    "d": "is no mail server, and cannot be started as one",
    "D": "is no mail server, and cannot be started as one",
    "l": "is no mail server, and cannot be started as one",
}
_NAMES = {"mailq": "-bp", "newaliases": "-bi"}


class UsageError(Exception):
    """The arguments are wrong. The message is one line."""


@dataclass(slots=True, kw_only=True)
class Arguments:
    """What a program has asked for.

    Attributes:
        mode: what to do.
        recipients: address lists, as they were given.
        from_header: whether To, Cc and Bcc name more recipients (-t).
        is_dot_text: whether a line with only a dot is text, not the end (-i).
        sender: the reverse-path as it was given (-f, -r), or None.
        settings: the file with the settings (-C), or None for the usual ones.
        full_name: the name in a From that is added (-F), or None.
        dsn: the notifications to ask for (-N, -R, -V).
        verbose: whether to print the server's reply (-v).
    """

    mode: Mode = "send"
    recipients: tuple[str, ...] = ()
    from_header: bool = False
    is_dot_text: bool = False
    sender: str | None = None
    settings: str | None = None
    full_name: str | None = None
    dsn: Dsn | None = None
    verbose: bool = False


def read_arguments(words: Sequence[str], name: str = "") -> Arguments:
    """Parse the arguments.

    Args:
        words: those after the program's name.
        name: the name that the program was called by: ``mailq`` and ``newaliases`` have a meaning.

    Raises:
        UsageError: an option is unknown, incomplete, or for something that this is not.
    """
    words = [*([_NAMES[name]] if name in _NAMES else []), *words]
    # "-q" may stand alone, which getopt cannot know.
    words = ["-qall" if word == "-q" else word for word in words]
    try:
        options, rest = getopt.getopt(words, _OPTIONS, _LONG)
    except getopt.GetoptError as error:
        raise UsageError(str(error)) from None
    found = Arguments(recipients=tuple(rest))
    dsn: dict[str, str] = {}
    for option, value in options:
        _take(found, dsn, option, value)
    if dsn:
        found.dsn = _dsn(dsn)
    return found


def _take(found: Arguments, dsn: dict[str, str], option: str, value: str) -> None:
    match option:
        case "-t":
            found.from_header = True
        case "-i":
            found.is_dot_text = True
        case "-o" if value == "i":
            found.is_dot_text = True
        case "-f" | "-r":
            found.sender = value
        case "-C":
            found.settings = value
        case "-F":
            found.full_name = value
        case "-v":
            found.verbose = True
        case "-b":
            found.mode = _mode(value)
        case "-I":
            found.mode = "aliases"
        case "-q":
            found.mode = "nothing"
        case "-N" | "-R" | "-V":
            dsn[option] = value
        case "--help" | "--version":
            found.mode = "help" if option == "--help" else "version"
        case _:
            pass  # for queues, logs and the like: ignored, as Postfix does


def _mode(value: str) -> Mode:
    if value in _REFUSED:
        raise UsageError(f"-b{value}: this sendmail {_REFUSED[value]}")
    if value not in _MODES:
        raise UsageError(f"-b{value}: unknown; it can be -bm, -bp or -bi")
    return _MODES[value]


def _dsn(given: dict[str, str]) -> Dsn:
    """Return what -N, -R and -V ask for (RFC 3461)."""
    notices = [word.strip().lower() for word in given["-N"].split(",")] if "-N" in given else None
    ret = given["-R"].lower() if "-R" in given else None
    try:
        return Dsn(
            notify="never" if notices == ["never"] else cast("list[Notice] | None", notices),
            ret=cast('Literal["full", "hdrs"] | None', ret),
            envid=given.get("-V"),
        )
    except ValueError as error:
        raise UsageError(f"-N, -R or -V: {error}") from None

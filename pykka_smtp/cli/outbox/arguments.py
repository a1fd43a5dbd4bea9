"""The arguments of ``pykka-smtp outbox``; the module of a subcommand is imported when it runs."""

import argparse
import importlib
import math
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...actors.mailer.capacity.pacing import parse_rate
from ..options import MAX_CONNECTIONS, add_dkim, add_without
from ..outbox_page.arguments import PAGE_DESCRIPTION, add_page_arguments

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Any]

STATES = ("ready", "claimed", "dot", "told", "heard", "held")
MAX_WORKERS = 64
MAX_LIMIT = 1_000_000

_DESCRIPTION = """\
Look at the file of an Outbox, change what waits in it, and send it.

list, show, check and export write nothing, and work while other processes do. States are ready (it
waits), claimed (a process has it in hand), dot (its end may be on the wire), told (its outcome is
in the file), heard (its outcome was published) and held.
"""
_EPILOG = """\
exit status: 0 done, 64 wrong usage, 65 the file is damaged, newer or no outbox, 66 no such file or
email, 69 the email is in no state for it, 73 a file cannot be created, 74 the disk has failed, 75
locked: try again later, 77 not allowed. "check" has its own: see its help.
"""
_CHECK_EPILOG = """\
exit status, as monitors have it: 0 all is well; 1 a warning: an email is late, held, or not heard,
a process has died and nobody has taken over what it had, or a body has no email; 2 critical: the
file is missing, damaged or cannot be read, an email is very late, or has lost its body.
"""
_RUN_DESCRIPTION = """\
Send what is in the file, with one worker process or several, until SIGTERM or Ctrl-C. Emails in
flight then get --grace seconds; what waits stays in the file. A worker that dies is started again,
after a pause that grows to 30 seconds, and what it had in hand is taken over at once.

Outcomes go home, to the programs that have put the emails. Those of programs that no longer run,
or that have only handed emails over, wait for an Outbox with their alias: --hear ALIAS has this
command be one. It logs each outcome, and with --import the receivers of your program hear it.

Messages go to standard error, a line each. The command can be run by systemd, with Type=notify or
without.
"""
_IMPORT_DESCRIPTION = """\
Put complete emails into the file, which is made if there is none. Another command sends them. The
sender is that in --sender or From; recipients are those of --to, or of To and Cc in the header. If
FILE.json lies beside FILE.eml, as "export" writes it, sender, recipients, key, alias and priority
are those in it.

A key names an email: what has a key that is there already is not put again. It is that of --key, or
of FILE.json, or the Message-ID, or is made of the email's octets. So to import files again does no
harm.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of ``outbox``.

    Args:
        parser: the parser of this command.
    """
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_list(commands)
    _add_show(commands)
    _add_by_hand(commands)
    _add_check(commands)
    _add_export(commands)
    _add_import(commands)
    _add_run(commands)
    text = "show what is in the file as a page for a browser"
    page = _add(commands, "page", ".outbox_page.command", text, description=PAGE_DESCRIPTION)
    add_page_arguments(page)


def _add(
    commands: "Commands", name: str, module: str, text: str, *, json: bool = False, **more: Any
) -> argparse.ArgumentParser:
    """Add a subcommand; ``run`` of its module is called with options, stdout and stderr."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=more.pop("description", f"{text[0].upper()}{text[1:]}."),
        **more,
    )
    parser.set_defaults(run=_late(module), command=name)
    parser.add_argument("path", metavar="PATH", help="the file of the Outbox")
    if json:
        parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _late(module: str) -> Callable[[argparse.Namespace], int]:
    def run(options: argparse.Namespace) -> int:
        from .complaints import complaining

        made = importlib.import_module(f".{module}", __package__)
        return complaining(options, made.run, sys.stdout, sys.stderr)

    return run


def _add_list(commands: "Commands") -> None:
    text = "print what is in the file: an email a line, or counts by domain and age"
    parser = _add(commands, "list", "listing", text, json=True)
    _add_filters(parser)
    _add_seals(parser)
    parser.add_argument(
        "--shape",
        action="store_true",
        help="print a table instead: how many emails there are for each domain, by age in minutes",
    )
    parser.add_argument(
        "--keys", action="store_true", help="print keys only, for the standard input of retry - "
    )
    parser.add_argument(
        "--limit",
        type=_whole(MAX_LIMIT),
        metavar="N",
        help="emails at most, or rows of the table (default: 100; all, with --json or --keys)",
    )


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state",
        action="append",
        choices=STATES,
        help="in this state; can be repeated. Default: all but heard",
    )
    parser.add_argument("--domain", metavar="DOMAIN", help="to somebody in this domain")
    parser.add_argument("--to", metavar="TEXT", help="with this in a recipient's address")
    parser.add_argument("--alias", metavar="ALIAS", help="with this alias")
    parser.add_argument(
        "--older",
        type=_duration,
        metavar="AGE",
        help="put longer ago than this, such as 90s, 15m, 2h or 3d",
    )


def _add_seals(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seals",
        metavar="MODULE",
        help="a module of your program with its functions seal and open, if emails are sealed",
    )


def _add_show(commands: "Commands") -> None:
    parser = _add(commands, "show", "showing", "print all that is known of an email", json=True)
    parser.add_argument("name", metavar="KEY", help="its key or id")
    parser.add_argument("--alias", metavar="ALIAS", help="its alias, if several have this key")
    _add_seals(parser)
    parser.add_argument(
        "--body",
        action="store_true",
        help="print the email itself, header and all, and nothing else",
    )


def _add_by_hand(commands: "Commands") -> None:
    for name, text in {
        "retry": "have emails sent now that wait, are held, or have failed and are still kept",
        "cancel": "have emails not sent: their outcome is a failure of the kind CANCELLED",
        "hold": "keep emails back until release",
        "release": "have emails sent that are held",
    }.items():
        parser = _add(commands, name, "by_hand", text, json=True)
        parser.add_argument(
            "names",
            nargs="+",
            metavar="KEY",
            help="keys or ids; - reads them, one a line, from stdin",
        )
        parser.add_argument("--alias", metavar="ALIAS", help="their alias. Default: any")


def _add_check(commands: "Commands") -> None:
    text = "check the file, and whether emails are sent in time, for monitors"
    parser = _add(commands, "check", "checking", text, json=True, epilog=_CHECK_EPILOG)
    for name, what, default in (
        ("--late", "a warning", "15m"),
        ("--very-late", "critical", "2h"),
    ):
        parser.add_argument(
            name,
            type=_duration,
            default=_duration(default),
            metavar="AGE",
            help=f"an email that was due so long ago is {what} (default: {default})",
        )
    parser.add_argument(
        "--max-held",
        type=_whole(1_000_000_000, least=0),
        default=0,
        metavar="N",
        help="more held emails are a warning (default: 0)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="do not read the whole file: no check of its pages and bodies",
    )


def _add_export(commands: "Commands") -> None:
    text = "write emails into a folder, as .eml and .json, from a damaged file, too"
    parser = _add(commands, "export", "exporting", text)
    parser.add_argument("folder", metavar="FOLDER", help="a new or empty folder")
    _add_filters(parser)
    _add_seals(parser)


def _add_import(commands: "Commands") -> None:
    text = "put complete emails (.eml) into the file"
    parser = _add(commands, "import", "importing", text, description=_IMPORT_DESCRIPTION)
    parser.add_argument("files", nargs="+", metavar="FILE", help="complete emails; - for stdin")
    parser.add_argument("--sender", metavar="ADDRESS", help="the address for bounces; <> for none")
    parser.add_argument(
        "--to",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="a recipient, for each of the emails; can be repeated",
    )
    parser.add_argument("--key", metavar="KEY", help="the key, if there is one file")
    parser.add_argument("--alias", metavar="ALIAS", help="the alias (default: outbox)")
    parser.add_argument(
        "--priority",
        type=_whole(9, least=-9),
        metavar="N",
        help="-9, last, to 9, first (default: 0)",
    )
    parser.add_argument(
        "--at-most-once",
        action="store_true",
        help="rather no email than two, if a process dies while it is being sent",
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="put what FILE.json says was sent, or has failed, too",
    )
    _add_seals(parser)


def _add_run(commands: "Commands") -> None:
    text = "send what is in the file, with worker processes"
    parser = _add(commands, "run", "run.running", text, description=_RUN_DESCRIPTION)
    parser.add_argument(
        "--workers", type=_whole(MAX_WORKERS), default=1, metavar="N", help="processes (default: 1)"
    )
    parser.add_argument(
        "--url", metavar="URL", help="a relay URL; default: SMTP_URL from the environment"
    )
    parser.add_argument(
        "--backup",
        action="append",
        default=[],
        metavar="URL",
        help="another relay; can be repeated",
    )
    parser.add_argument(
        "--connections",
        type=_whole(MAX_CONNECTIONS),
        metavar="N",
        help="connections of each worker, at most (default: as of a Mailer)",
    )
    parser.add_argument(
        "--rate",
        type=_rate,
        metavar="RATE",
        help="emails at most, such as 10/s or 500/min, of all workers together",
    )
    parser.add_argument(
        "--timeout", type=_duration, metavar="SECONDS", help="for each step (default: 30)"
    )
    parser.add_argument(
        "--grace",
        type=_duration,
        default=10.0,
        metavar="SECONDS",
        help="how long emails in flight may take at the end (default: 10)",
    )
    add_dkim(parser)
    parser.add_argument("--hear", metavar="ALIAS", help="hear outcomes of this alias, and log them")
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="import a module first, with receivers of your program; can be repeated",
    )
    _add_seals(parser)
    add_without(parser)


_DURATION = re.compile(r"(?P<count>[0-9]{1,9}(?:\.[0-9]{1,3})?)(?P<unit>[smhd]?)", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


def _duration(text: str) -> float:
    match = _DURATION.fullmatch(text)
    seconds = float(match["count"]) * _SECONDS[match["unit"]] if match else math.nan
    if not 0 < seconds <= 10 * 366 * 86_400:
        raise argparse.ArgumentTypeError(f"needs a time such as 90s, 15m, 2h or 3d, not {text!r}")
    return seconds


def _rate(text: str) -> str:
    try:
        parse_rate(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


class _whole:  # noqa: N801 - read as a function: "type=_whole(1000)"
    """An argument type: an integer."""

    def __init__(self, most: int, least: int = 1) -> None:
        self._least, self._most = least, most

    def __call__(self, text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,10}", text, re.ASCII) or not (
            self._least <= int(text) <= self._most
        ):
            raise argparse.ArgumentTypeError(f"needs {self._least} to {self._most}, not {text!r}")
        return int(text)

"""The arguments of ``pykka-smtp send``."""

import argparse
import math

from ..actors.mailer.capacity.pacing import Rate, parse_rate
from ..actors.mailer.jobs.retry import MAX_ATTEMPTS
from ..actors.options.option_checks import check_without
from .output.report import FORMS

CONNECTIONS = 20
"""The default of --connections."""
MAX_CONNECTIONS = 1000

_DESCRIPTION = """\
Send an email to each recipient: one each, or with --together one for all. A file with a complete
email goes out as it is; To and Cc in its header need not name those who get it. Without a file,
--from, --subject and --body write a text email to each recipient:

  pykka-smtp send --from me@example.com \\
      --to you@example.org --subject Hello \\
      --body "Lunch at one?"

Where the mail goes is said by a relay URL, such as smtp://user:password@mail.example.org:587. A
password in --url is seen by everybody on this machine while the command runs: put the URL into
SMTP_URL instead (and URLs of other relays into SMTP_BACKUP_URLS, with spaces between).
"""
_EPILOG = """\
exit status, the first that applies: 130 interrupted (143 by SIGTERM, 129 where the terminal was
closed), 74 the report could not be written to its end, 0 all accepted, 77 the server refused the
credentials or is not safe, 68 unknown host, 70 internal error, 69 some were refused for good, 75
all that failed may pass later, or may have been accepted.

Before anything is sent: 64 wrong usage, 65 bad data, 66 no input, 69 something is not installed,
73 the report cannot be created.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``send``.

    Args:
        parser: the one for this command.
    """
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument(
        "mail",
        nargs="?",
        metavar="MAIL",
        help="a file with the complete email, header and all; - for stdin",
    )
    written = parser.add_argument_group("the email, if there is no file")
    written.add_argument(
        "--from",
        dest="author",
        metavar="ADDRESS",
        help="the author: an address, or 'Name <address>'",
    )
    written.add_argument("--subject", metavar="TEXT", help="one line")
    written.add_argument("--body", metavar="TEXT", help="the text, plain; - reads it from stdin")
    whom = parser.add_argument_group("recipients")
    whom.add_argument(
        "--to-file",
        metavar="FILE",
        help="one address a line; blank lines and lines that begin with # do not count; - for"
        " stdin",
    )
    whom.add_argument(
        "--to", action="append", default=[], metavar="ADDRESS", help="can be repeated"
    )
    whom.add_argument(
        "--sender",
        metavar="ADDRESS",
        help="who gets the bounces; <> for nobody. Default: the address in the mail's From",
    )
    whom.add_argument(
        "--together",
        action="store_true",
        help="one mail with all recipients in its envelope, instead of one mail each",
    )
    way = parser.add_argument_group("relay")
    way.add_argument("--url", metavar="URL", help="a relay URL; default: SMTP_URL")
    way.add_argument(
        "--backup",
        action="append",
        default=[],
        metavar="URL",
        help="another relay, for when those before it are dead; can be repeated",
    )
    _add_pace(way)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--report",
        metavar="FILE",
        help="what became of each recipient, as FILE.csv or FILE.json; an old one is replaced. - is"
        " standard output: the summary then goes to standard error",
    )
    output.add_argument(
        "--report-format",
        choices=FORMS,
        help="the form of the report where its name does not say it (default: csv)",
    )
    output.add_argument("--quiet", action="store_true", help="no progress, no summary")
    output.add_argument(
        "--dry-run", action="store_true", help="check all of the above, connect to nobody"
    )


def add_without(parser: "argparse.ArgumentParser | argparse._ArgumentGroup") -> None:
    """Add the argument for extensions not to use."""
    parser.add_argument(
        "--without",
        type=_extensions,
        default=frozenset[str](),
        metavar="NAMES",
        help="extensions that are not to be used, though the server offers them, such as"
        " CHUNKING,PIPELINING",
    )


def _extensions(text: str) -> frozenset[str]:
    try:
        return check_without(text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _add_pace(way: "argparse._ArgumentGroup") -> None:
    way.add_argument(
        "--rate", type=_rate, metavar="RATE", help="mails a time, such as 10/s or 500/min"
    )
    way.add_argument(
        "--connections",
        type=_whole(MAX_CONNECTIONS),
        default=CONNECTIONS,
        metavar="N",
        help="at once at most (default: %(default)s)",
    )
    way.add_argument(
        "--attempts",
        type=_whole(MAX_ATTEMPTS),
        default=1,
        metavar="N",
        help="how often a mail is tried that was refused for now, with pauses of 1, 2, 4...60"
        " minutes (default: %(default)s)",
    )
    way.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="for each step (default: 30)"
    )
    add_without(way)


def _rate(text: str) -> Rate:
    try:
        rate = parse_rate(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    assert rate is not None
    return rate


class _whole:  # noqa: N801 - read as a function: "type=_whole(1000)"
    """An argument type: an integer from 1 on."""

    def __init__(self, most: int) -> None:
        self._most = most

    def __call__(self, text: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        if not 1 <= number <= self._most:
            raise argparse.ArgumentTypeError(f"needs 1 to {self._most}, not {text!r}")
        return number


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not (seconds > 0 and math.isfinite(seconds)):
        raise argparse.ArgumentTypeError(f"needs more than 0 seconds, not {text!r}")
    return seconds

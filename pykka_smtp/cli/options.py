"""The arguments of ``pykka-smtp send``, and those that it shares with ``merge``."""

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
Send a separate email to each recipient, or with --together one email to all. A file with a complete
email is sent as it is, whatever To and Cc in its header say. Without a file, --from, --subject and
--body write a text email to each recipient:

  pykka-smtp send --from me@example.com \\
      --to you@example.org --subject Hello \\
      --body "Lunch at one?"

The email is sent through a relay, given by a URL such as smtp://user:password@mail.example.org:587.
While the command runs, all users of this machine can see a password in --url: put the URL into
SMTP_URL instead (and URLs of other relays into SMTP_BACKUP_URLS, with spaces between).
"""
_EPILOG = """\
exit status, the first that applies: 130 interrupted (143 by SIGTERM, 129 where the terminal was
closed), 74 the report could not be written completely, 0 all accepted, 77 the server rejected the
credentials or is not safe, 68 unknown host, 70 internal error, 69 some were rejected permanently,
75 all that failed can be retried, or may have been accepted.

Before anything is sent: 64 wrong usage, 65 bad data, 66 no input, 69 a library is not installed,
73 the report cannot be created.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``send``.

    Args:
        parser: the parser of this command.
    """
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument(
        "mail",
        nargs="?",
        metavar="MAIL",
        help="a file with the complete email, header and all; - for stdin",
    )
    _add_written_mail(parser)
    _add_recipients(parser)
    add_signing(parser)
    add_relay(parser)
    add_output(parser).add_argument(
        "--dry-run", action="store_true", help="check all of the above, but do not connect"
    )


def _add_written_mail(parser: argparse.ArgumentParser) -> None:
    written = parser.add_argument_group("the email, if there is no file")
    written.add_argument(
        "--from",
        dest="author",
        metavar="ADDRESS",
        help="the author: an address, or 'Name <address>'",
    )
    written.add_argument("--subject", metavar="TEXT", help="one line")
    written.add_argument(
        "--body",
        metavar="TEXT",
        help="the text, plain; - reads it from stdin. With --html it may be left out: it is made"
        " of the HTML",
    )
    written.add_argument("--html", metavar="FILE", help="a file with the same as HTML")
    written.add_argument(
        "--attach",
        action="append",
        default=[],
        metavar="FILE",
        help="a file to attach; can be repeated",
    )
    written.add_argument(
        "--inline",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="an image that the HTML embeds as cid:NAME; can be repeated",
    )


def _add_recipients(parser: argparse.ArgumentParser) -> None:
    recipients = parser.add_argument_group("recipients")
    recipients.add_argument(
        "--to-file",
        metavar="FILE",
        help="one address per line; blank lines and lines that begin with # are ignored; - for"
        " stdin",
    )
    recipients.add_argument(
        "--to",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="an address, or 'Name <address>'; can be repeated",
    )
    recipients.add_argument(
        "--sender",
        metavar="ADDRESS",
        help="the address for bounces; <> for no bounces. Default: the address in From",
    )
    recipients.add_argument(
        "--together",
        action="store_true",
        help="send one email to all recipients, instead of one each",
    )


def add_signing(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for signatures and encryption."""
    group = parser.add_argument_group(
        "signatures and encryption",
        "Passwords of keys are read from SMTP_SMIME_PASSWORD and SMTP_PGP_PASSWORD. Needs the"
        " extra dkim, smime or pgp.",
    )
    add_dkim(group)
    group.add_argument(
        "--smime-cert", metavar="FILE", help="sign by S/MIME: your certificate, in PEM or DER"
    )
    group.add_argument(
        "--smime-key", metavar="FILE", help="its private key, if that is in a file of its own"
    )
    _add_readers(group, "--smime-for", "S/MIME: the certificate of a recipient")
    group.add_argument("--pgp-key", metavar="FILE", help="sign by PGP: your private key")
    _add_readers(group, "--pgp-for", "PGP: the public key of a recipient")


def add_dkim(parser: "argparse.ArgumentParser | argparse._ArgumentGroup") -> None:
    """Add the argument for signatures by DKIM."""
    parser.add_argument(
        "--dkim",
        action="append",
        nargs=3,
        default=[],
        metavar=("DOMAIN", "SELECTOR", "KEYFILE"),
        help="sign for a domain, such as: example.com 2026 example.com-2026.pem; can be repeated",
    )


def _add_readers(group: "argparse._ArgumentGroup", name: str, what: str) -> None:
    group.add_argument(
        name,
        action="append",
        default=[],
        metavar="FILE",
        help=f"encrypt by {what}, whose address is in it, or before it: ADDRESS=FILE; or a folder"
        " of such files. All recipients need one; can be repeated",
    )


def add_relay(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the way to send."""
    relay = parser.add_argument_group("relay")
    relay.add_argument("--url", metavar="URL", help="a relay URL; default: SMTP_URL")
    relay.add_argument(
        "--backup",
        action="append",
        default=[],
        metavar="URL",
        help="another relay, used while those before it are dead; can be repeated",
    )
    _add_pace(relay)


def add_output(parser: argparse.ArgumentParser) -> "argparse._ArgumentGroup":
    """Add the arguments for the report and progress; return their group."""
    output = parser.add_argument_group("output")
    output.add_argument(
        "--report",
        metavar="FILE",
        help="the result of each recipient, as FILE.csv or FILE.json; an old one is replaced. - is"
        " standard output: the summary then goes to standard error",
    )
    output.add_argument(
        "--report-format",
        choices=FORMS,
        help="the format of the report if its name does not tell (default: csv)",
    )
    output.add_argument("--quiet", action="store_true", help="no progress, no summary")
    return output


def add_without(parser: "argparse.ArgumentParser | argparse._ArgumentGroup") -> None:
    """Add the argument for extensions not to use."""
    parser.add_argument(
        "--without",
        type=_extensions,
        default=frozenset[str](),
        metavar="NAMES",
        help="extensions not to use even if the server offers them, such as CHUNKING,PIPELINING",
    )


def _extensions(text: str) -> frozenset[str]:
    try:
        return check_without(text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _add_pace(relay: "argparse._ArgumentGroup") -> None:
    relay.add_argument(
        "--rate", type=_rate, metavar="RATE", help="emails at most, such as 10/s or 500/min"
    )
    relay.add_argument(
        "--connections",
        type=_whole(MAX_CONNECTIONS),
        default=CONNECTIONS,
        metavar="N",
        help="connections at once, at most (default: %(default)s)",
    )
    relay.add_argument(
        "--attempts",
        type=_whole(MAX_ATTEMPTS),
        default=1,
        metavar="N",
        help="attempts for each email while it is deferred, with pauses of 1, 2, 4...60 minutes"
        " (default: %(default)s)",
    )
    relay.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="for each step (default: 30)"
    )
    add_without(relay)


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

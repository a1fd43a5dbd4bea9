"""The arguments of ``pykka-smtp merge``."""

import argparse

from ..options import add_output, add_relay, add_signing

COLUMN = "email"
"""The default of --column."""

_DESCRIPTION = """\
Send an email to each row of a CSV file, made of templates:

  pykka-smtp merge --template june --rows people.csv \\
      --from 'News <news@example.com>' --journal june.journal

The folder june has subject.txt, body.txt and body.html, or one of the last two; files that the HTML
embeds, in the folder inline (cid:logo.png is inline/logo.png); and files to attach, in the folder
attachments. {{ name }} stands for the cell in the column name. All rows are checked before the
first email is sent.

The journal notes what was sent. The same command again goes on where an interrupted one was, and
sends nothing twice. A row that was in flight when the command was killed is in doubt: it is
reported, and not sent again unless you ask for it.
"""
_EPILOG = """\
exit status: as for send; 75 also if rows are in doubt. Before anything is sent: 64 wrong usage,
65 bad data, 66 no input, 69 a library is not installed, 73 the report or the journal cannot be
created, 75 the journal is in use.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``merge``.

    Args:
        parser: the parser of this command.
    """
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    what = parser.add_argument_group("what to send, and to whom")
    what.add_argument(
        "--template", required=True, metavar="FOLDER", help="the folder with the templates"
    )
    what.add_argument(
        "--rows",
        required=True,
        metavar="FILE",
        help="a CSV file in UTF-8 whose first row names the columns; - for stdin",
    )
    what.add_argument(
        "--column",
        default=COLUMN,
        metavar="NAME",
        help="the column with the address, or 'Name <address>' (default: %(default)s)",
    )
    what.add_argument(
        "--unique",
        action="store_true",
        help="send one email to each address: of rows with the same one, the first. Without it,"
        " each row is sent, and such rows are told before",
    )
    what.add_argument(
        "--from",
        dest="author",
        required=True,
        metavar="ADDRESS",
        help="the author: an address, or 'Name <address>'",
    )
    what.add_argument(
        "--sender",
        metavar="ADDRESS",
        help="the address for bounces; <> for no bounces. Default: that of --from",
    )
    what.add_argument("--reply-to", metavar="ADDRESS", help="who gets the replies")
    what.add_argument(
        "--unsubscribe",
        metavar="URL",
        help="where a click unsubscribes the reader; a template, such as"
        " 'https://example.com/u/{{ token }}'",
    )
    what.add_argument("--list-id", metavar="ID", help="names the list, such as news.example.com")
    add_signing(parser)
    add_relay(parser)
    output = add_output(parser)
    output.add_argument(
        "--journal",
        metavar="FILE",
        help="notes what was sent; needed unless nothing is sent. Name another one for each"
        " occasion",
    )
    output.add_argument(
        "--resend-doubtful",
        action="store_true",
        help="send also the rows in doubt: some readers may get the email twice",
    )
    output.add_argument(
        "--resend-refused",
        action="store_true",
        help="send also the rows that were refused for good, once the reason is gone",
    )
    output.add_argument(
        "--dry-run",
        metavar="FOLDER",
        help="check all of the above, write the first three emails into this folder, and send"
        " nothing",
    )

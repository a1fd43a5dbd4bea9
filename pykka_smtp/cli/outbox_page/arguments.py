"""The arguments of ``pykka-smtp outbox page``: apart from it, as all commands read them."""

import argparse

from .access import TOKEN

PAGE_DESCRIPTION = """\
Serve a page that shows what is in the file: what waits, is under way, has failed or is in doubt,
and what the last hour has brought. There, emails can be searched, retried, cancelled, held and
released.

Every user of this machine can open the page, unless there is a token. Ctrl-C ends it; the outbox
does not need it.
"""


def add_page_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="the address to listen on; other machines can see the page only if this is another"
        " than the default, and then a token is needed: that of the environment variable"
        f" {TOKEN}, or one that is made and printed once",
    )
    parser.add_argument("--port", type=int, default=0, help="the port; by default one that is free")
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="HOST",
        help="a name by which browsers reach the page, besides localhost and the given host;"
        " may be repeated",
    )

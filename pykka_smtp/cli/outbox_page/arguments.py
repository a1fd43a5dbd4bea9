"""The arguments of ``pykka-smtp outbox page``: apart from it, as all commands read them."""

import argparse

from .access import TOKEN


def add_page_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    parser.add_argument("path", metavar="PATH", help="the file of the outbox")
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

"""The arguments of ``pykka-smtp dkim-key`` and ``dkim-check``."""

import argparse
import sys
from typing import Any


def add_commands(commands: Any) -> None:
    """Add both commands to a parser.

    Args:
        commands: what ``add_subparsers`` has returned.
    """
    key = commands.add_parser(
        "dkim-key",
        help="make a key that signs emails (DKIM), and print the DNS record of it",
        description="Make a private key for a domain, in a new file that only you can read, and"
        " print the TXT record to publish in the DNS. Needs the extra dkim.",
    )
    key.add_argument("domain", metavar="DOMAIN", help="who signs: the domain of From")
    key.add_argument("selector", metavar="SELECTOR", help="which of its keys it is, such as 2026")
    key.add_argument(
        "--out", metavar="FILE", help="the file to make; by default DOMAIN-SELECTOR.pem here"
    )
    key.add_argument(
        "--type",
        choices=("rsa", "ed25519"),
        help="rsa, which every receiver knows (the default), or ed25519, which few know yet:"
        " sign with it beside rsa, never alone",
    )
    key.add_argument(
        "--bits",
        type=int,
        choices=(2048, 3072, 4096),
        help="the length of an RSA key (default: 2048); more makes signing slow, and some DNS"
        " providers take no longer record",
    )
    key.add_argument("--key", metavar="FILE", help="print the record of this key; make none")
    key.set_defaults(run=_key)
    check = commands.add_parser(
        "dkim-check",
        help="check the signatures (DKIM) of an email in a file",
        description="Check each signature of an email with the record of its key, which you give:"
        " no name is looked up. Without a record it checks the body only. Needs the extra dkim.",
        epilog="With the record as it is in the DNS:\n\n"
        '  pykka-smtp dkim-check mail.eml --record "$(dig +short TXT'
        ' 2026._domainkey.example.com)"',
    )
    check.add_argument("mail", metavar="MAIL", help="a file with the email; - for stdin")
    check.add_argument(
        "--record",
        action="append",
        default=[],
        metavar="RECORD",
        help="the TXT record: its text, what dig prints, or a file with it, such as a zone file;"
        " may be repeated",
    )
    check.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="FILE",
        help="a private key whose record it would be; may be repeated",
    )
    check.set_defaults(run=_check)


def _key(options: argparse.Namespace) -> int:
    from .key import run

    return run(options, sys.stdout, sys.stderr)


def _check(options: argparse.Namespace) -> int:
    from .check import run

    return run(options, sys.stdout, sys.stderr)

"""``pykka-smtp dkim-key``: makes a key, and prints its record."""

import argparse
import contextlib
import os
from pathlib import Path
from typing import TextIO

from ...signals.signing.dkim import Dkim
from ...signals.signing.private_key import new_key
from ...smtp.mail.dkim.record import zone_line
from ..output.printable import print_lines
from ..sysexits import EX_CANTCREAT, EX_DATAERR, EX_NOINPUT, EX_OK, EX_UNAVAILABLE, EX_USAGE

_MOST = 10_000
"""Characters of a line: a record is long, and is needed in full."""


def run(options: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    """Make a key, or read one; print its record.

    Args:
        options: the arguments.
        out: gets the record.
        err: gets an error, one line.

    Returns:
        The exit status.

    Raises:
        BrokenPipeError: the reader of `out` has gone.
    """
    if options.key and (options.out or options.type or options.bits):
        return _complain(err, "--key makes no key; leave out --out, --type and --bits", EX_USAGE)
    if options.bits and options.type == "ed25519":
        return _complain(err, "--bits is for rsa; all ed25519 keys have the same length", EX_USAGE)
    path = Path(options.key or options.out or f"{options.domain}-{options.selector}.pem")
    try:
        if options.key:
            dkim = Dkim(options.domain, options.selector, key=path)
        else:
            pem = new_key(options.type or "rsa", options.bits or 2048)
            dkim = Dkim(options.domain, options.selector, key=pem)
            _write(path, pem)
    except ValueError as error:
        text = str(error)
        if options.key and text.startswith("key: "):
            text = f"{path}: {text.removeprefix('key: ')}"
        return _complain(err, text, EX_DATAERR)
    except ImportError as error:
        return _complain(err, str(error), EX_UNAVAILABLE)
    except FileExistsError:
        text = f"{path} is there already; give another --out, or --key to print its record"
        return _complain(err, text, EX_CANTCREAT)
    except OSError as error:
        if options.key:
            return _complain(err, f"cannot read {path}: {error.strerror}", EX_NOINPUT)
        return _complain(err, f"cannot make {path}: {error.strerror}", EX_CANTCREAT)
    made = "" if options.key else ", made now; only you can read it: keep it so"
    print_lines(
        out,
        f"key    {path} ({dkim.algorithm}){made}",
        f"name   {dkim.record_name}",
        "type   TXT",
        f"value  {dkim.record}",
        "",
        "The same as a line of a zone file:",
        "",
        zone_line(dkim.domain, dkim.selector, dkim.public_key),
        most=_MOST,
    )
    return EX_OK


def _write(path: Path, pem: bytes) -> None:
    """Write a new file that only its owner can read; nothing is left of it after an error."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    number = os.open(path, flags, 0o600)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def _complain(err: TextIO, text: str, status: int) -> int:
    with contextlib.suppress(OSError):
        print_lines(err, f"pykka-smtp dkim-key: {text}")
    return status

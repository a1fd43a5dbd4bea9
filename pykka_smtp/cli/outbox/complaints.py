"""What goes wrong with a command, in one plain line each, and its exit status."""

import argparse
import contextlib
import errno
import os
from collections.abc import Callable
from typing import TextIO

from ...actors.outbox.store.errors import RAISED, OutboxError, error_of
from ..output.printable import print_lines
from ..sysexits import (
    EX_CANTCREAT,
    EX_DATAERR,
    EX_IOERR,
    EX_NOINPUT,
    EX_NOPERM,
    EX_TEMPFAIL,
)

Run = Callable[[argparse.Namespace, TextIO, TextIO], int]

_MOST = 1_000
_BY_ERRNO = {
    errno.ENOENT: EX_NOINPUT,
    errno.EACCES: EX_NOPERM,
    errno.EPERM: EX_NOPERM,
    errno.EROFS: EX_CANTCREAT,
    errno.ENOSPC: EX_IOERR,
    errno.EDQUOT: EX_IOERR,
    errno.EIO: EX_IOERR,
}
_BY_CODE = {5: EX_TEMPFAIL, 6: EX_TEMPFAIL, 8: EX_NOPERM, 10: EX_IOERR, 13: EX_IOERR}
"""Of SQLite: busy, locked, read-only, a failed disk, a full one."""


class ComplaintError(Exception):
    """The command cannot do what it was asked for.

    Attributes:
        status: the exit status.
        complaints: a line each, for the user.
    """

    def __init__(self, status: int, *complaints: str) -> None:
        super().__init__(status, *complaints)
        self.status = status
        self.complaints = complaints


def complaining(options: argparse.Namespace, run: Run, out: TextIO, err: TextIO) -> int:
    """Run a subcommand; return its exit status.

    Args:
        options: what `arguments` has parsed.
        run: the subcommand.
        out: gets what it prints.
        err: gets why it cannot.

    Raises:
        BrokenPipeError: the reader of `out` has gone.
    """
    try:
        return run(options, out, err)
    except BrokenPipeError:
        raise
    except ComplaintError as error:
        complain(err, options.command, *error.complaints)
        return error.status
    except (*RAISED, ValueError) as error:
        raised = error_of(error, options.path)
        complain(err, options.command, str(raised))
        return status_of(error, options.path)


def complain(err: TextIO, command: str, *lines: str) -> None:
    """Write lines to a stream that may be closed.

    Args:
        err: the stream.
        command: the subcommand.
        lines: without line ends.
    """
    with contextlib.suppress(OSError):
        print_lines(err, *[f"pykka-smtp outbox {command}: {one}" for one in lines], most=_MOST)


def status_of(error: Exception, path: str) -> int:
    """Return the exit status for what was raised.

    Args:
        error: the exception.
        path: the file of the Outbox.
    """
    raised = error.__cause__ if isinstance(error.__cause__, Exception) else error
    code = getattr(raised, "sqlite_errorcode", None)
    if isinstance(code, int) and code & 0xFF in _BY_CODE:
        return _BY_CODE[code & 0xFF]
    if isinstance(raised, OutboxError):
        if raised.retryable:
            return EX_TEMPFAIL
        return EX_DATAERR if os.path.lexists(path) else EX_NOINPUT
    if isinstance(raised, OSError):
        return _BY_ERRNO.get(raised.errno or 0, EX_IOERR)
    return EX_DATAERR

"""Replaces standard input, output and error if the command was started without them.

A shell's ``>&-`` closes one, and so do old daemons. The next file, socket or pipe that is opened
then gets its number, and receives what is written to standard output or error.
"""

import contextlib
import os
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path


@contextmanager
def standard_streams() -> Generator[None]:
    """Open those of ``sys.stdout``, ``sys.stderr`` and descriptors 0 to 2 that are closed.

    `sys.stdin` stays None, so that reading an email from it is an error.
    """
    _occupy()
    with ExitStack() as exits:
        if sys.stdout is None:
            exits.enter_context(redirect_stdout(exits.enter_context(Path(os.devnull).open("w"))))
        if sys.stderr is None:
            exits.enter_context(redirect_stderr(exits.enter_context(Path(os.devnull).open("w"))))
        yield


def _occupy() -> None:
    """Open /dev/null for each of the three descriptors that is closed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                # It gets the lowest free number, which is this one.
                os.open(os.devnull, os.O_RDWR)


def let_go_of_stdout() -> None:
    """Redirect stdout to /dev/null, because a flush at exit would raise BrokenPipeError."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)

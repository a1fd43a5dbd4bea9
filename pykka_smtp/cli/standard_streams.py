"""Standard input, output and error of a command that was started without some of them.

A shell's ``>&-`` closes one, and so do old daemons. The next file, socket or pipe that is opened
then gets its number, and is taken for it by whoever writes there.
"""

import contextlib
import os
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path


@contextmanager
def standard_streams() -> Generator[None]:
    """Have ``sys.stdout`` and ``sys.stderr``, and all three descriptors; nobody reads new ones.

    Standard input stays closed for `sys.stdin`: who reads a mail from it is to hear that.
    """
    _occupy()
    with ExitStack() as exits:
        if sys.stdout is None:
            exits.enter_context(redirect_stdout(exits.enter_context(Path(os.devnull).open("w"))))
        if sys.stderr is None:
            exits.enter_context(redirect_stderr(exits.enter_context(Path(os.devnull).open("w"))))
        yield


def _occupy() -> None:
    """Open /dev/null in the place of each descriptor that is closed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                # The lowest number that is free, and so this one.
                os.open(os.devnull, os.O_RDWR)


def let_go_of_stdout() -> None:
    """Have what nobody reads go nowhere: at exit the interpreter would complain of it."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)

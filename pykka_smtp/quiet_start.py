"""Ctrl-C while the command is still being imported: quiet, with the status of a Ctrl-C.

To import takes longer than people think who have mistyped something. A traceback of thirty lines
would be all that they get. A program that imports the package keeps its own ways: nothing here is
done for it.
"""

import os
import sys

COMMAND = "pykka-smtp"
_COMMANDS = (COMMAND, f"{COMMAND}-sendmail")
_LINKS = ("sendmail", "mailq", "newaliases")
_PACKAGE = "pykka_smtp"


def is_the_command() -> bool:
    """Whether this process was started to be the command: as a script, or by ``python -m``."""
    started = sys.argv[0] if sys.argv else ""
    if started == "-m":  # so it is called until its module is found
        return _PACKAGE in sys.orig_argv
    name = os.path.basename(started)  # noqa: PTH119 - pathlib takes its time
    if name in _LINKS:
        name = os.path.basename(os.path.realpath(started))  # noqa: PTH119
    return name.removesuffix(".exe").removesuffix("-script.py") in _COMMANDS


def end_quietly_on_ctrl_c() -> None:
    """End the process on Ctrl-C from now on, until `stop_ending_quietly`."""
    import signal

    # What is ignored, as in the background of a shell, stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def stop_ending_quietly() -> None:
    """Let Ctrl-C raise `KeyboardInterrupt` again, if it did before."""
    import signal

    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, _frame: object) -> None:
    # Nothing was done yet that would need an end; and what is half imported might raise.
    os._exit(128 + number)

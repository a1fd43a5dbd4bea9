"""Plain lines on standard error, for a terminal, a file or systemd, which gets notices, too."""

import contextlib
import datetime as dt
import logging
import os
import socket
import sys

from ....smtp.words.shown import escaped, one_line

_MOST = 2_000
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""Of syslog, as the journal reads them at the beginning of a line (sd-daemon(3))."""


class PlainHandler(logging.Handler):
    """Writes each record as a line to standard error, whoever reads that, and never raises.

    Args:
        name: who speaks, such as ``"worker 2"``; empty for the command itself.
    """

    def __init__(self, name: str = "") -> None:
        super().__init__()
        self._name = f" {name}" if name else ""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        with contextlib.suppress(Exception):
            text = one_line(record.getMessage(), _MOST)
            if record.exc_info and record.exc_info[1] is not None:
                error = record.exc_info[1]
                text += one_line(f": {type(error).__name__}: {error}", _MOST)
            line = f"{_beginning(record.levelno)}outbox run{self._name}: {escaped(text)}\n"
            # In one call: lines of several processes must not mix.
            os.write(2, line.encode("utf-8", "backslashreplace"))


def _beginning(level: int) -> str:
    if "JOURNAL_STREAM" in os.environ:
        return next((f"<{number}>" for least, number in _PRIORITIES if level >= least), "<7>")
    now = dt.datetime.now(dt.UTC).isoformat(sep=" ", timespec="milliseconds")
    name = next((name for least, name in _NAMES if level >= least), "")
    return f"{now.removesuffix('+00:00')}Z {name}"


_NAMES = ((logging.ERROR, "error: "), (logging.WARNING, "warning: "))


def log_plainly(name: str = "") -> logging.Logger:
    """Have all of the package's logs written as lines; return the logger of the command.

    Args:
        name: who speaks.
    """
    ours = logging.getLogger("pykka_smtp")
    if not any(isinstance(one, PlainHandler) for one in ours.handlers):
        ours.addHandler(PlainHandler(name))
    ours.propagate = False
    if ours.level == logging.NOTSET:
        ours.setLevel(logging.INFO)
    return logging.getLogger("pykka_smtp.outbox")


def notify_manager(text: str) -> None:
    """Tell systemd something, if that has started this process and asks for it (sd_notify(3)).

    Args:
        text: such as ``"READY=1"``.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")) or sys.platform == "win32":
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(text.encode(), address.replace("@", "\0", 1))

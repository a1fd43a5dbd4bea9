"""smtp-sink, Postfix's test server, which takes everything and can misbehave on demand.

The other real servers come from here too, so that a test needs one import.
"""

import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from .aiosmtpd_server import AiosmtpdServer
from .postfix import PostfixSmtpd
from .process import ServerProcess
from .require import require

__all__ = ["AiosmtpdServer", "PostfixSmtpd", "SmtpSink"]


class SmtpSink:
    """smtp-sink with the given options, such as ``"-r", "RCPT"``; see smtp-sink(1).

    Args:
        options: command-line options, without ``-u``, address and backlog.

    Attributes:
        host: where it listens.
        port: a free port, chosen by the system.
    """

    def __init__(self, *options: str) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self._program = require("smtp-sink")
        self._options = options

    def __enter__(self) -> Self:
        """Start it, and wait until it listens."""
        # smtp-sink insists on another user where it runs as root, and on none elsewhere.
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        self._folder = tempfile.TemporaryDirectory(prefix="smtp-sink-")
        try:
            self._process = ServerProcess(
                [self._program, *user, *self._options, f"{self.host}:0", "1000"],
                log=Path(self._folder.name, "log"),
            )
        except BaseException:
            self._folder.cleanup()
            raise
        self.port = self._process.port
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it."""
        self._process.stop()
        self._folder.cleanup()

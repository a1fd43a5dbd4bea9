"""smtp-sink, Postfix's test server, which takes everything and can misbehave on demand.

The other real servers come from here too, so that a test needs one import.
"""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from .aiosmtpd_server import AiosmtpdServer
from .postfix import PostfixSmtpd
from .process import ServerProcess
from .require import require
from .running import Running
from .scripted import ReceivedMail
from .waiting import wait_until

__all__ = ["AiosmtpdServer", "PostfixSmtpd", "SmtpSink", "StoringSink"]


class SmtpSink(Running):
    """smtp-sink with the given options, such as ``"-r", "RCPT"``; see smtp-sink(1).

    Args:
        options: command-line options, without ``-u``, address and backlog.

    Attributes:
        host: where it listens.
        port: a free port, chosen by the system.
    """

    def __init__(self, *options: str) -> None:
        super().__init__()
        self._program = require("smtp-sink")
        self._options = options

    def _begin(self, exits: ExitStack) -> None:
        folder = exits.enter_context(tempfile.TemporaryDirectory(prefix="smtp-sink-"))
        # smtp-sink insists on another user where it runs as root, and on none elsewhere.
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        process = ServerProcess(
            [self._program, *user, *self._options, f"{self.host}:0", "1000"],
            log=Path(folder, "log"),
        )
        exits.callback(process.stop)
        self.port = process.port


class StoringSink(Running):
    """smtp-sink that writes each mail to a file: with LF where CRLF came.

    Args:
        options: more command-line options.
    """

    def __init__(self, *options: str) -> None:
        super().__init__()
        self._options = options

    def _begin(self, exits: ExitStack) -> None:
        self._folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="sink-")))
        self._folder.chmod(0o777)  # it runs under another user
        sink = exits.enter_context(SmtpSink("-d", f"{self._folder}/mail.", *self._options))
        self.port = sink.port

    @property
    def mails(self) -> tuple[ReceivedMail, ...]:
        """What it took; a file is whole once it has its header and the empty line at the end."""
        return tuple(mail for path in self._folder.iterdir() for mail in _dumped(path))

    def wait_for(self, predicate: Callable[[], object], timeout: float = 30.0) -> None:
        """Wait until the predicate holds."""
        assert wait_until(predicate, timeout), f"waited {timeout} s in vain: {self.mails}"


def _dumped(path: Path) -> Iterator[ReceivedMail]:
    """Read a file of smtp-sink's: its own fields, Received of three lines, the mail, LF."""
    head, found, rest = path.read_bytes().partition(b"\nReceived: ")
    if found and rest.count(b"\n") > 2:
        said = head.decode()
        [sender] = re.findall(r"X-Mail-Args: <(.*?)>", said)
        whom = tuple(re.findall(r"X-Rcpt-Args: <(.*?)>", said))
        data = rest.split(b"\n", 3)[3].removesuffix(b"\n").replace(b"\n", b"\r\n")
        yield ReceivedMail(sender=sender, recipients=whom, data=data, raw=b"", verdicts=[250])

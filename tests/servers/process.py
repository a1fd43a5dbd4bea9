"""A server program as a child process, on a port that the system chooses."""

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from .listening import listening_port
from .waiting import wait_until

START = 10.0
"""Seconds that a server has to listen."""
STOP = 5.0
"""Seconds that it has to end when told to."""


class ServerProcess:
    """A child in a process group of its own; leaves nothing running.

    Told to listen on port 0, a server gets a free port and keeps it: no race with other tests, no
    connection to find out whether it is up, which would stand in its counts.

    Args:
        command: program and arguments.
        log: where its output goes; shown when it fails.
        environment: variables besides this process's own.
        listener: a listening socket for a server that cannot be told to listen on port 0, as its
            standard input.
        ready: whether it is up, where that it listens does not say so.
        ending: the signal that ends it; SIGKILL for one with nothing to lose that takes its time.

    Attributes:
        pid: its process id.
        port: the port that it listens on.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        environment: dict[str, str] | None = None,
        listener: socket.socket | None = None,
        ready: Callable[[], bool] = lambda: True,
        ending: signal.Signals = signal.SIGTERM,
    ) -> None:
        self._log = log
        self._ending = ending
        self._ready = ready
        with log.open("wb") as output:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL if listener is None else listener.fileno(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ | (environment or {}),
            )
        self.pid = self._child.pid
        self.port = 0
        if not wait_until(lambda: self._is_up() or self._child.poll() is not None, START):
            self.stop()
            raise RuntimeError(f"{command[0]} does not listen after {START} s: {self.output()}")
        if self._child.poll() is not None:
            self.stop()
            raise RuntimeError(f"{command[0]} ended at once: {self.output()}")

    def output(self) -> str:
        """What it has printed."""
        return self._log.read_text(errors="backslashreplace") if self._log.exists() else ""

    def stop(self) -> None:
        """End it and its children, and wait for that."""
        self._signal(self._ending)
        try:
            self._child.wait(STOP)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._child.wait(STOP)
        # Children that the server has not ended itself.
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _is_up(self) -> bool:
        return self._listens() and self._ready()

    def _listens(self) -> bool:
        self.port = listening_port(self.pid)
        return self.port != 0

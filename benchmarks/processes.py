"""Clients and servers as child processes: each with a time limit, none left behind."""

import contextlib
import importlib.util
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil  # type: ignore[import-untyped]

from .result import Unavailable

ROOT = Path(__file__).parents[1]
"""The repository: children are started here, and import what it holds."""
HOST = "127.0.0.1"
_SBIN = ("/usr/sbin", "/usr/local/sbin", "/usr/lib/postfix/sbin", "/usr/libexec/postfix")
"""Where Postfix's programs are, and where a user's PATH does not look."""
_START = 10.0
"""Seconds that a server has to listen."""


class ChildError(Exception):
    """A child process failed, or took too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A child that has ended well.

    Attributes:
        output: what it printed.
        seconds: how long it ran.
        cpu: seconds of processor time, user and system, its own children's too.
    """

    output: str
    seconds: float
    cpu: float


def find_program(name: str, hint: str) -> str:
    """Return a program's path.

    Raises:
        Unavailable: it is not installed; the hint says what to do.
    """
    path = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *_SBIN]))
    if path is None:
        raise Unavailable(f"{name} is not installed: {hint}")
    return path


def need_package(name: str) -> None:
    """See that a Python package is there.

    Raises:
        Unavailable: it is not installed.
    """
    if importlib.util.find_spec(name) is None:
        raise Unavailable(f"the package {name} is not installed: pip install -e '.[bench]'")


def run_program(
    command: Sequence[str], *, timeout: float, environment: Mapping[str, str] | None = None
) -> Finished:
    """Run a program to its end.

    Args:
        command: program and arguments.
        timeout: seconds that it has.
        environment: variables besides those of this process.

    Raises:
        ChildError: it failed, or took longer.
    """
    cpu, began = _cpu_of_children(), time.perf_counter()
    child = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        # In a group of its own: a Ctrl-C comes to us alone, and ending it ends its servers too.
        start_new_session=True,
    )
    try:
        output, complaints = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise ChildError(f"did not end within {timeout:g} s") from None
    finally:
        _end_group(child)
    seconds = time.perf_counter() - began
    if child.returncode:
        words = complaints.strip().splitlines() or [f"exit status {child.returncode}"]
        raise ChildError(words[-1])
    return Finished(output=output, seconds=seconds, cpu=_cpu_of_children() - cpu)


def run_client(
    module: str,
    *,
    timeout: float,
    environment: Mapping[str, str] | None = None,
    **arguments: object,
) -> dict[str, Any]:
    """Run a module of ours as a client, and return what it reports.

    Args:
        module: its name within this package.
        timeout: seconds that it has.
        environment: variables besides those of this process.
        arguments: what it is told.

    Raises:
        ChildError: it failed, or took longer.
    """
    command = [sys.executable, "-m", f"benchmarks.{module}", json.dumps(arguments)]
    return report_of(run_program(command, timeout=timeout, environment=environment))


def report_of(finished: Finished) -> dict[str, Any]:
    """Return the JSON object that a client printed as its last line."""
    lines = finished.output.strip().splitlines()
    try:
        report: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError) as error:
        raise ChildError("did not report what it measured") from error
    return report


class SmtpSink:
    """Postfix's smtp-sink, which takes everything, on a port that the system chooses.

    Attributes:
        port: where it listens.
        mails: how many it took; known once it has been stopped.
        cpu: seconds of processor time that it used; known once it has been stopped.
    """

    def __init__(self) -> None:
        self.port = 0
        self.mails = 0
        self.cpu = 0.0
        self._program = find_program("smtp-sink", "install Postfix (no instance needs to run)")

    def __enter__(self) -> Self:
        """Start it, and wait until it listens."""
        # smtp-sink insists on another user where it runs as root, and on none elsewhere.
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        self._counters = tempfile.TemporaryFile()
        self._child = subprocess.Popen(
            [self._program, *user, "-c", f"{HOST}:0", "1000"],
            stdin=subprocess.DEVNULL,
            stdout=self._counters,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            self._wait_for_port()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop it, and see what it counted."""
        self._stop()

    def _wait_for_port(self) -> None:
        until = time.monotonic() + _START
        while not self.port:
            if self._child.poll() is not None or time.monotonic() > until:
                raise ChildError("smtp-sink does not listen")
            with contextlib.suppress(psutil.NoSuchProcess):
                for connection in psutil.Process(self._child.pid).net_connections(kind="inet"):
                    if connection.status == psutil.CONN_LISTEN:
                        self.port = connection.laddr.port
            time.sleep(0.005)

    def _stop(self) -> None:
        cpu = _cpu_of_children()
        _end_group(self._child)
        self.cpu = _cpu_of_children() - cpu
        # The last of "sess=47 quit=47 mesg=48\r sess=48 ...".
        with self._counters as counters:
            counters.seek(max(0, counters.seek(0, os.SEEK_END) - 200))
            _, _, last = counters.read().rpartition(b"mesg=")
        self.mails = int(last.split()[0]) if last.strip() else 0


class OwnServer:
    """A server of ours (see `serving`), which talks with us through its standard streams.

    Args:
        module: its name within this package.
        arguments: what it is told.

    Attributes:
        port: where it listens.
    """

    def __init__(self, module: str, **arguments: object) -> None:
        self.port = 0
        self._command = [sys.executable, "-m", f"benchmarks.{module}", json.dumps(arguments)]

    def __enter__(self) -> Self:
        """Start it, and wait until it listens."""
        self._child = subprocess.Popen(
            self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        try:
            self.port = self.hear(_START)["port"]
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop it."""
        self._stop()

    def tell(self, word: str) -> None:
        """Give it a command."""
        assert self._child.stdin is not None
        self._child.stdin.write(f"{word}\n".encode())

    def hear(self, timeout: float) -> dict[str, Any]:
        """Wait for the next thing that it says.

        Args:
            timeout: seconds.

        Raises:
            ChildError: it says nothing, or has ended.
        """
        stream = self._child.stdout
        assert stream is not None
        if not select.select([stream], [], [], timeout)[0]:
            raise ChildError(f"{self._command[2]} says nothing for {timeout:g} s")
        line = stream.readline()
        if not line:
            raise ChildError(f"{self._command[2]} has ended")
        said: dict[str, Any] = json.loads(line)
        return said

    def _stop(self) -> None:
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.close()  # it ends by itself then
        try:
            child.wait(2)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()


def _end_group(child: subprocess.Popen[Any]) -> None:
    """End a child and its own children, if it has not ended yet."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    for stream in (child.stdout, child.stderr):
        if stream is not None:
            stream.close()


def _cpu_of_children() -> float:
    """Return the processor seconds of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime

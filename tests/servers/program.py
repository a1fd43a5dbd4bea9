"""A Python program of a test, in a process of its own."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from .scripted import ScriptedServer
from .waiting import PATIENCE, wait_until


class Program:
    """Runs a script, and listens to what it prints.

    Args:
        script: its source text.
        arguments: what it finds in ``sys.argv[1:]``.
        loop: ``"uvloop"`` or ``"asyncio"``.
        options: for the interpreter.
        wrapper: the command that runs the interpreter, if any.
    """

    def __init__(
        self,
        script: str,
        *arguments: object,
        loop: str,
        options: tuple[str, ...] = (),
        wrapper: tuple[str, ...] = (),
    ) -> None:
        self._began = time.monotonic()
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by __exit__
        self.process = subprocess.Popen(
            [*wrapper, sys.executable, *options, "-c", script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            env=os.environ | {"PYKKA_SMTP_LOOP": loop},
        )
        self.errors = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.process.kill()
        with self.process, self._stderr:
            pass

    def wait_for(self, line: str) -> None:
        """Wait until the program has printed this line, as its first or next."""
        (came,) = self.lines(1)
        if came != line:
            self.process.kill()
            self.process.wait(PATIENCE)
        assert came == line, self._read_errors()

    def lines(self, count: int) -> list[str]:
        """Wait for so many lines, and return them."""
        assert self.process.stdout is not None
        # Bounded by pytest's own time limit.
        return [self.process.stdout.readline().removesuffix("\n") for _ in range(count)]

    def tell(self, line: str) -> None:
        """Write a line into the program's standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, once the main thread waits; `end` measures from now on.

        Python notices a signal that comes right before its main thread begins to wait for a lock,
        as `ask`, `join` and the end of a program do, only after that.
        """
        self._wait_until_main_waits()
        self.process.send_signal(number)
        self._began = time.monotonic()

    def end(self, within: float = PATIENCE) -> list[str]:
        """Wait until it has ended by itself, and return the lines that it has printed.

        Args:
            within: seconds, from its start, or from the last signal or `count_from_now`.
        """
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        self.process.stdin.close()
        # Not communicate(), which would miss what is in the buffer already.
        watchdog = threading.Timer(PATIENCE, self.process.kill)
        watchdog.start()
        output = self.process.stdout.read()
        self.process.wait()
        took = time.monotonic() - self._began
        watchdog.cancel()
        watchdog.join()
        self.errors = self._read_errors()
        assert took < within, f"ended only after {took:.1f} s instead of {within} s: {self.errors}"
        return output.splitlines()

    def done(self, within: float = PATIENCE) -> list[str]:
        """Do as `end`, and see that its status is 0 and that it had no complaints."""
        lines = self.end(within)
        assert (self.status, self.complaints) == (0, []), self.errors
        return lines

    def _read_errors(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read()

    def count_from_now(self) -> None:
        """Have `end` measure from now on."""
        self._began = time.monotonic()

    @property
    def complaints(self) -> list[str]:
        """The lines that it has written to stderr, after `end`.

        Without those in which asyncio, in development mode, finds the machine slow.
        """
        return [line for line in self.errors.splitlines() if not line.startswith("Executing <")]

    @property
    def status(self) -> int:
        """The exit status, or minus the signal that ended it."""
        assert self.process.returncode is not None
        return self.process.returncode

    def _wait_until_main_waits(self) -> None:
        status = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/status")
        before = ""

        def is_as_before() -> bool:
            # It has not run meanwhile: as often as it runs, so often it is counted there.
            nonlocal before
            text, before_that = status.read_text(), before
            before = text
            return text == before_that and "(sleeping)" in text

        if status.exists():  # on Linux
            assert wait_until(is_as_before, PATIENCE, interval=0.02)


class Run:
    """Runs programs on one loop, with a server to send to; they are ended before it is.

    Args:
        loop: ``"uvloop"`` or ``"asyncio"``.
        prelude: what each program begins with.
        begin: starts a server.

    Attributes:
        options: for the interpreter.
        server: the one whose port the programs find in ``sys.argv[1]``.
    """

    def __init__(self, loop: str, prelude: str, begin: Callable[..., ScriptedServer]) -> None:
        self.options: tuple[str, ...] = ()
        self.prelude = prelude
        self.server: Any = None
        self._loop = loop
        self._begin = begin
        self._running = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._running.close()

    def serve(self, *scripts: Any, **options: Any) -> ScriptedServer:
        """Start a server for the programs; a polite one is there without."""
        self.server = server = self._begin(*scripts, **options)
        return server

    def __call__(self, script: str) -> Program:
        """Run a program."""
        port = (self.server or self.serve()).port
        program = Program(self.prelude + script, port, loop=self._loop, options=self.options)
        return self._running.enter_context(program)

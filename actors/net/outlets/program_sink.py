"""One run of a program that takes one email on its standard input."""

import contextlib
import errno
import os
import select
import signal
import subprocess
import threading
from collections.abc import Sequence

from ....smtp.words.shown import one_line
from ....smtp.words.verdict import FailureKind
from .outlet import Broken, Rejected, Sink

_MOST_OUTPUT = 2000
"""Bytes of the program's output that are kept, for the reply."""
_MOST_SHOWN = 300
"""Characters of them in the reply."""
_PIECE = 65_536
_LOOK = 0.1
"""Seconds between two checks of whether the email was cancelled, and whether the program ended."""
_FIRST_LOOK = 0.001
_REAPING = 5.0
"""Seconds at most until a killed program is gone."""
_SHORTAGES = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY})

# sysexits.h, with the replies that sendmail itself has for them; None is for a wrong configuration,
# which is no verdict on the email.
_STATUSES: dict[int, tuple[str, str | None]] = {
    64: ("EX_USAGE", None),
    65: ("EX_DATAERR", "554 5.6.0"),
    66: ("EX_NOINPUT", "554 5.3.0"),
    67: ("EX_NOUSER", "550 5.1.1"),
    68: ("EX_NOHOST", "550 5.1.2"),
    69: ("EX_UNAVAILABLE", "554 5.0.0"),
    70: ("EX_SOFTWARE", "554 5.3.0"),
    71: ("EX_OSERR", "451 4.3.0"),
    72: ("EX_OSFILE", "554 5.3.0"),
    73: ("EX_CANTCREAT", "554 5.3.0"),
    74: ("EX_IOERR", "451 4.3.0"),
    75: ("EX_TEMPFAIL", "451 4.3.0"),
    76: ("EX_PROTOCOL", "554 5.5.0"),
    77: ("EX_NOPERM", "550 5.7.0"),
    78: ("EX_CONFIG", None),
    126: ("cannot be run", None),
    127: ("not found", None),
}
_OTHER = "554 5.3.0"


class ProgramSink(Sink):
    """Writes one email to a program, in lines that end in LF, and waits for its exit status.

    A program that is stopped is killed before its input ends: what has read to the end of its
    input has the whole email.

    Args:
        command: the program's path and arguments.
        recipients: further arguments, known once the mail data begins.
    """

    def __init__(self, command: Sequence[str], recipients: list[str]) -> None:
        self._command = command
        self._recipients = recipients
        self._process: subprocess.Popen[bytes] | None = None
        self._output = b""
        self._is_all_written = False
        self._stopped = threading.Event()
        self._lock = threading.Lock()  # held by the call in progress
        self._reaping = threading.Lock()  # held for moments; a reaped process must not be killed

    def write(self, octets: bytes) -> None:
        """Pass mail data on; start the program if it does not run yet.

        Raises:
            Rejected: the program did not take it.
            Broken: it cannot be started, or has failed.
        """
        with self._lock:
            self._pass_on(self._started(), octets.replace(b"\r\n", b"\n"))

    def finish(self) -> str:
        """End the program's input, and wait for its exit status.

        Raises:
            Rejected: the program did not take the email.
            Broken: the program has failed.
        """
        with self._lock:
            process = self._started()
            assert process.stdin is not None
            self._is_all_written = True
            process.stdin.close()
            self._judge(self._wait(process))
        return f"taken by {self._command[0]}"

    def stop(self) -> None:
        """Kill the program, and what it has started, unless it has ended."""
        self._stopped.set()
        process = self._process
        if process is not None:
            with self._reaping:
                if process.returncode is None:
                    # Its whole group: a child of a script would else read on to the end of a part.
                    with contextlib.suppress(OSError):
                        os.killpg(process.pid, signal.SIGKILL)

    def discard(self) -> None:
        """Kill the program if it still runs, and close the pipes."""
        self._stopped.set()
        with self._lock:
            process = self._process
            if process is None:
                return
            self.stop()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_REAPING)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            self._process = None

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._stopped.is_set():
            raise Rejected("451 4.3.2 stopped")
        if self._process is None:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - no shell, and checked addresses
                    [*self._command, *self._recipients],
                    bufsize=0,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                is_short = error.errno in _SHORTAGES
                raise Broken(
                    FailureKind.CONNECT if is_short else FailureKind.LOCAL,
                    f"cannot start {self._command[0]}: {os.strerror(error.errno or errno.EIO)}",
                    retryable=is_short,
                    operation="exec",
                    errno=error.errno,
                ) from error
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            os.set_blocking(self._process.stdin.fileno(), False)
            os.set_blocking(self._process.stdout.fileno(), False)
        return self._process

    def _pass_on(self, process: "subprocess.Popen[bytes]", octets: bytes) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin.fileno(), process.stdout.fileno()
        poll = select.poll()
        poll.register(stdin, select.POLLOUT)
        poll.register(stdout, select.POLLIN)
        view = memoryview(octets)
        while view:
            for number, _ in poll.poll(_LOOK * 1000):
                if number == stdout:
                    if not self._hear(stdout):
                        poll.unregister(stdout)
                    continue
                try:
                    view = view[os.write(stdin, view[:_PIECE]) :]
                except BlockingIOError:
                    continue
                except BrokenPipeError:
                    self._judge(self._wait(process))
                    raise Broken(
                        FailureKind.CONNECTION,
                        f"{self._command[0]} ended with 0, but has not read the whole email",
                        retryable=False,
                        maybe_taken=True,
                    ) from None
            if self._stopped.is_set():
                raise Rejected("451 4.3.2 stopped")

    def _hear(self, stdout: int) -> bool:
        """Read the program's output; return whether there may be more."""
        try:
            heard = os.read(stdout, _PIECE)
        except BlockingIOError:
            return True
        self._output += heard[: max(0, _MOST_OUTPUT - len(self._output))]
        return bool(heard)

    def _wait(self, process: "subprocess.Popen[bytes]") -> int:
        """Wait until the program has ended; return its exit status."""
        assert process.stdout is not None
        stdout, is_open, pause = process.stdout.fileno(), True, _FIRST_LOOK
        poll = select.poll()
        poll.register(stdout, select.POLLIN)
        while True:
            status = self._poll(process)
            # Not up to its end: what the program has left running may hold it open.
            if is_open and poll.poll(0 if status is not None else pause * 1000):
                is_open = self._hear(stdout)
            if status is not None:
                return status
            if self._stopped.is_set():
                raise Rejected("451 4.3.2 stopped")
            if not is_open:
                self._stopped.wait(pause)
            pause = min(2 * pause, _LOOK)

    def _poll(self, process: "subprocess.Popen[bytes]") -> int | None:
        """Return the exit status, or None while the program runs.

        Not by Popen's own method: it says 0 if the status is lost, which would be a false success.
        """
        with self._reaping:
            try:
                number, status = os.waitpid(process.pid, os.WNOHANG)
            except ChildProcessError:
                process.returncode = 0
                raise Broken(
                    FailureKind.CONNECTION,
                    f"the exit status of {self._command[0]} is lost: this process ignores SIGCHLD,"
                    " or waits for all its children elsewhere",
                    retryable=False,
                    maybe_taken=True,
                ) from None
            if not number:
                return None
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode

    def _judge(self, status: int) -> None:
        """Raise what an exit status means, unless it is 0."""
        if status == 0:
            return
        said = self._output.decode("utf-8", "backslashreplace").strip()
        program = self._command[0]
        if status < 0:
            raise Broken(
                FailureKind.CONNECTION,
                _one_line(f"{program} was ended by signal {-status}", said),
                retryable=not self._is_all_written,
                maybe_taken=self._is_all_written,
            )
        name, reply = _STATUSES.get(status, ("", _OTHER))
        text = _one_line(f"{program} ended with {status}{name and f' ({name})'}", said)
        if reply is None:
            raise Broken(FailureKind.LOCAL, text, retryable=False)
        raise Rejected(f"{reply} {text}")


def _one_line(what: str, said: str) -> str:
    return one_line(f"{what}: {said}" if said else what, _MOST_SHOWN)

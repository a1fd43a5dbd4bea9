"""``file:///folder``: each email becomes a file, with its envelope beside it.

A file appears under its name once it is complete and on the disk; the envelope before the email.
"""

import contextlib
import datetime as dt
import errno
import json
import os
import threading
from collections.abc import Generator

from ...loop.event_loop import event_loop
from ...loop.workers import Workers
from .outlet import Outlet, Rejected, Sink, Taken, unusable

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_MODE = 0o600  # emails are private
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)


class FolderOutlet(Outlet):
    """Writes emails into a folder, which must be there.

    Args:
        folder: its absolute path.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.name: str = f"file://{folder}"

    def pool(self) -> Workers | None:
        """Return the threads for files."""
        return event_loop().file_pool

    def check(self) -> None:
        """Check that the folder is there, and can be written.

        Raises:
            Broken: it is not.
        """
        number = None
        try:
            os.stat(os.path.join(self._folder, ""))  # noqa: PTH116, PTH118 - the end says "a folder"
        except OSError as error:
            number = error.errno or errno.EIO
        else:
            if not os.access(self._folder, os.W_OK | os.X_OK):
                number = errno.EACCES
        if number is not None:
            raise unusable(self.name, "open", number)

    def sink(self, taken: Taken) -> Sink:
        """Return what writes one email."""
        return _FileSink(self._folder, taken)


class _FileSink(Sink):
    """Writes one email. Its files have names that begin with a dot until they are complete."""

    def __init__(self, folder: str, taken: Taken) -> None:
        self._folder = folder
        self._taken = taken
        now = dt.datetime.now(dt.UTC)
        self._name = f"{now:%Y%m%dT%H%M%S.%fZ}-{os.getpid()}-{os.urandom(4).hex()}"
        self._file: int | None = None
        self._made: list[str] = []  # what is removed again unless the email is taken
        self._is_stopped = False
        self._lock = threading.Lock()

    def write(self, octets: bytes) -> None:
        """Append mail data.

        Raises:
            Rejected: the disk is full, or the folder cannot be written.
        """
        with self._lock, _as_reply(self._folder):
            self._go_on()
            if self._file is None:
                self._file = self._create("eml")
            _write_all(self._file, octets)

    def finish(self) -> str:
        """Sync, and give the files their names.

        Raises:
            Rejected: the disk is full, or the folder cannot be written.
        """
        with self._lock, _as_reply(self._folder):
            self._go_on()
            if self._file is None:  # an email without a line
                self._file = self._create("eml")
            os.fsync(self._file)
            envelope = self._create("json")
            try:
                _write_all(envelope, self._envelope())
                os.fsync(envelope)
            finally:
                os.close(envelope)
            self._give_name("json")
            self._give_name("eml")
            self._made.clear()
            self._sync_folder()
        return f"written to {self._path('', 'eml')}"

    def stop(self) -> None:
        """Let no further step begin."""
        self._is_stopped = True

    def discard(self) -> None:
        """Close the file, and remove what is not complete."""
        self._is_stopped = True
        with self._lock:
            file, self._file = self._file, None
            if file is not None:
                with contextlib.suppress(OSError):
                    os.close(file)
            for path in self._made:
                with contextlib.suppress(OSError):
                    os.unlink(path)  # noqa: PTH108
            self._made.clear()

    def _go_on(self) -> None:
        if self._is_stopped:
            raise Rejected("451 4.3.2 stopped")

    def _path(self, mark: str, ending: str) -> str:
        return f"{self._folder}/{mark}{self._name}.{ending}"

    def _create(self, ending: str) -> int:
        path = self._path(".", ending)
        file = os.open(path, _NEW, _MODE)
        self._made.append(path)
        return file

    def _give_name(self, ending: str) -> None:
        path = self._path("", ending)
        os.rename(self._path(".", ending), path)  # noqa: PTH104
        self._made.append(path)

    def _sync_folder(self) -> None:
        # The email is taken: it is there under its name. A folder that cannot be synced is rare.
        with contextlib.suppress(OSError):
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _envelope(self) -> bytes:
        taken = self._taken
        facts = {
            "sender": taken.sender,
            "recipients": taken.recipients,
            "parameters": taken.parameters,
            "recipient_parameters": taken.rcpt_parameters,
        }
        return json.dumps(facts, indent=1).encode() + b"\n"


@contextlib.contextmanager
def _as_reply(folder: str) -> Generator[None, None, None]:
    """Turn an error of the system into a reply."""
    try:
        yield
    except OSError as error:
        number = error.errno or errno.EIO
        code = "452 4.3.1" if number in _FULL else "451 4.3.0"
        raise Rejected(f"{code} cannot write to {folder}: {os.strerror(number)}") from error


def _write_all(file: int, octets: bytes) -> None:
    view = memoryview(octets)
    while view:
        view = view[os.write(file, view) :]

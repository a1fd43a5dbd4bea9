"""`LargeBody`: the body of an email that is too large for a row, to be copied piece by piece."""

import hashlib
import os
import re
import stat
import tempfile
import weakref
from collections.abc import Callable
from typing import IO

PIECE = 1024 * 1024
"""Octets that are read and written at a time."""
_DATED = re.compile(rb"^(?:date|message-id):.*\n(?:[ \t].*\n)*", re.IGNORECASE | re.MULTILINE)


def undated(data: bytes) -> bytes:
    """Return a complete message without its Date and Message-ID."""
    at = data.find(b"\n\r\n") + 1 or data.find(b"\n\n") + 1 or len(data)
    return _DATED.sub(b"", data[:at]) + data[at:]


class LargeBody:
    """A body that is read while it is copied, as often as somebody wants to.

    Args:
        size: its size in octets.
        read: returns so many octets from a position on.
        digest: what the digest of the email begins with.
        is_complete: whether it is a complete message, whose Date and Message-ID do not count.
        is_whole: whether it must be in memory to be sent.
    """

    def __init__(
        self,
        size: int,
        read: Callable[[int, int], bytes],
        digest: "hashlib.blake2b",
        *,
        is_complete: bool,
        is_whole: bool,
    ) -> None:
        self.size: int = size
        self.is_whole: bool = is_whole
        self._read = read
        self._digest = digest
        self._is_complete = is_complete

    def copy(self, write: Callable[[bytes], object]) -> bytes:
        """Have all of it written; return the digest of the email. Blocks.

        Args:
            write: is called with each piece.

        Raises:
            OSError: it cannot be read, or is shorter by now.
        """
        digest = self._digest.copy()
        at = 0
        while at < self.size:
            piece = self._read(at, min(PIECE, self.size - at))
            if not piece:
                raise OSError("message: its file became shorter while it was read")
            if not at and self._is_complete:
                # Its header, unless that is very long.
                while len(piece) < min(PIECE, self.size):
                    more = self._read(len(piece), min(PIECE, self.size) - len(piece))
                    if not more:
                        raise OSError("message: its file became shorter while it was read")
                    piece += more
                digest.update(undated(piece))
            else:
                digest.update(piece)
            write(piece)
            at += len(piece)
        return digest.digest()


class OpenFile:
    """A large message in a file, kept open: its name may be gone before it is copied.

    Args:
        file: the file, from its start on.
        size: how many octets of it.
    """

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.size: int = size
        self._file = file
        weakref.finalize(self, file.close)

    def read(self, at: int, most: int) -> bytes:
        """Return octets from a position on."""
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), most, at)
        self._file.seek(at)  # pragma: no cover - on Windows
        return self._file.read(most)  # pragma: no cover


def read_or_open(source: "os.PathLike[str] | IO[bytes]", most: int) -> OpenFile | bytes:
    """Return what a file says; or, if that is more than so many octets, a file that says it.

    Args:
        source: a path, or an open file, which is read to its end.
        most: so many octets.

    Raises:
        ValueError: a path is no regular file's.
        OSError: it cannot be read.
    """
    if not isinstance(source, os.PathLike):
        data = source.read(most + 1)
        return data if not isinstance(data, bytes) or len(data) <= most else _spooled(data, source)
    file = open(source, "rb", opener=_open)  # noqa: SIM115 - `OpenFile` closes it
    try:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise ValueError(f"message: {source} is no regular file")  # noqa: TRY301
        data = b"" if facts.st_size > most else file.read(most + 1)
        if facts.st_size > most or len(data) > most:
            return OpenFile(file, max(facts.st_size, len(data)))
    except BaseException:
        file.close()
        raise
    file.close()
    return data


def _open(path: str, flags: int) -> int:
    """Open a file; of a named pipe, not wait for who writes into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _spooled(data: bytes, rest: IO[bytes]) -> OpenFile:
    """Return a temporary file without a name: the caller may close his, or go on with it."""
    size = 0
    file = tempfile.TemporaryFile()  # noqa: SIM115 - `OpenFile` closes it
    try:
        while data:
            file.write(data)
            size += len(data)
            data = rest.read(PIECE)
        file.flush()
    except BaseException:
        file.close()
        raise
    return OpenFile(file, size)

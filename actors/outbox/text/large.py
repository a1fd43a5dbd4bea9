"""`LargeBody`: the body of an email that is too large for a row, to be copied piece by piece."""

import hashlib
import itertools
import os
import re
import stat
import tempfile
import weakref
from collections.abc import Callable, Iterable
from typing import IO

PIECE = 1024 * 1024
"""Octets that are read and written at a time."""
_UNIQUE = re.compile(rb'boundary="=_[123]_([0-9a-f]{24})"')
"""The random part of the boundaries of an email that was made here."""
_DATED = re.compile(rb"^(?:date|message-id):.*\n(?:[ \t].*\n)*", re.IGNORECASE | re.MULTILINE)


def undated(data: bytes) -> bytes:
    """Return a complete message without its Date and Message-ID, and random boundaries."""
    at = data.find(b"\n\r\n") + 1 or data.find(b"\n\n") + 1 or len(data)
    if random := _UNIQUE.search(data, 0, at):
        data = data.replace(random[1], b" " * len(random[1]))
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
        at, random, kept = 0, b"", b""
        while at < self.size:
            piece = self._read_all(at)
            if not self._is_complete:
                digest.update(piece)
            elif not at:  # its header, unless that is very long
                found = _UNIQUE.search(piece)
                random = found[1] if found else b""
                kept = undated(piece)
            else:
                # What is random may begin in one piece, and end in the next.
                known = kept + piece
                if random:
                    known = known.replace(random, b" " * len(random))
                end = max(0, len(known) - len(random))
                digest.update(known[:end])
                kept = known[end:]
            write(piece)
            at += len(piece)
        digest.update(kept)
        return digest.digest()

    def _read_all(self, at: int) -> bytes:
        """Return a whole piece."""
        piece, size = b"", min(PIECE, self.size - at)
        while len(piece) < size:
            more = self._read(at + len(piece), size - len(piece))
            if not more:
                raise OSError("message: its file became shorter while it was read")
            piece += more
        return piece


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
        if not isinstance(data, bytes) or len(data) <= most:
            return data
        return _spooled(itertools.chain([data], iter(lambda: source.read(PIECE), b"")))
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


def joined_or_spooled(pieces: Iterable[bytes], most: int) -> OpenFile | bytes:
    """Return pieces as one; or, if that is more than so many octets, a temporary file.

    Args:
        pieces: the pieces, in order.
        most: so many octets.
    """
    rest, size, known = iter(pieces), 0, list[bytes]()
    for piece in rest:
        known.append(piece)
        size += len(piece)
        if size > most:
            return _spooled(itertools.chain(known, rest))
    return b"".join(known)


def _spooled(pieces: Iterable[bytes]) -> OpenFile:
    """Return a temporary file without a name: the caller may close his, or go on with it."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - `OpenFile` closes it
    try:
        for piece in pieces:
            file.write(piece)
        size = file.tell()
        file.flush()
    except BaseException:
        file.close()
        raise
    return OpenFile(file, size)

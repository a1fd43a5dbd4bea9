"""Reads an email of several parts as if it were a file, with the files that it has."""

import os
import stat
from collections.abc import Iterator
from typing import IO

from ...smtp.mail.mail_data import MailFacts
from ...smtp.mail.parts.base64_lines import LINE, in_lines
from ...smtp.mail.parts.entity import FileBody
from ...smtp.mail.parts.parts_email import PartsEmail

_READ = LINE * 1536
"""Octets of a file that are encoded at a time: whole lines, 120 kB in base64."""


def octets_of_parts(email: PartsEmail) -> Iterator[bytes]:
    """Return the pieces of the message, as they go out; its files are opened at once.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file changes meanwhile.
    """
    return _pieces(PartsFile(email))


def _pieces(parts: "PartsFile") -> Iterator[bytes]:
    try:
        while piece := parts.read(_READ):
            yield piece
    finally:
        parts.close()


class PartsFile:
    """A message that is read piece by piece. Its files are open from the start.

    All methods block.

    Args:
        email: the message.

    Raises:
        OSError: a file cannot be opened.
        ValueError: what should be a file is none.

    Attributes:
        facts: those of the complete message.
    """

    facts: MailFacts

    def __init__(self, email: PartsEmail) -> None:
        self._segments = email.segments
        self._files: list[tuple[IO[bytes], os.stat_result]] = []
        try:
            for body in email.files:
                self._files.append(_opened(body))
        except BaseException:
            self.close()
            raise
        self.facts = email.facts([found.st_size for _, found in self._files])
        self.seek(0)

    def seek(self, _start: int) -> None:
        """Begin anew."""
        for file, _ in self._files:
            file.seek(0)
        self._pieces = self._read_all()

    def read(self, _size: int) -> bytes:
        """Return the next piece, of some 128 kB at most; nothing at the end.

        Raises:
            OSError: a file cannot be read.
            ValueError: a file was changed since it was opened.
        """
        return next(self._pieces, b"")

    def close(self) -> None:
        """Close the files."""
        for file, _ in self._files:
            file.close()

    def _read_all(self) -> Iterator[bytes]:
        files = iter(self._files)
        small: list[bytes] = []
        size = 0
        for segment in self._segments:
            if isinstance(segment, bytes) and len(segment) < _READ:
                small.append(segment)
                size += len(segment)
                if size < _READ:
                    continue
                segment = b""  # noqa: PLW2901 - it is among the small ones
            yield from _together(small)
            size = 0
            if isinstance(segment, FileBody):
                yield from _encoded(segment, *next(files))
            else:
                yield from (segment[at : at + _READ] for at in range(0, len(segment), _READ))
        yield from _together(small)


def _together(small: list[bytes]) -> Iterator[bytes]:
    """Yield small pieces as one, and forget them."""
    if small:
        yield b"".join(small)
        small.clear()


def _encoded(body: FileBody, file: IO[bytes], found: os.stat_result) -> Iterator[bytes]:
    left = found.st_size
    while octets := _full(file, min(_READ, left + 1)):
        left -= len(octets)
        if left < 0:
            break
        yield in_lines(octets)
    # What was written over it meanwhile may be as long, and would be a mixture of both.
    if left or os.fstat(file.fileno()).st_mtime_ns != found.st_mtime_ns:
        raise ValueError(f"the attachment {body.path!r} changed while it was sent")


def _full(file: IO[bytes], size: int) -> bytes:
    """Read as much as there is, up to `size`: a shorter piece would end in the middle of a line."""
    octets = file.read(size)
    while octets and len(octets) < size and (more := file.read(size - len(octets))):
        octets += more
    return octets


def _opened(body: FileBody) -> tuple[IO[bytes], os.stat_result]:
    # A named pipe that has taken the file's place would else hang the thread.
    file = open(  # noqa: SIM115 - `close` does
        body.path,
        "rb",
        buffering=0,
        opener=_open_at_once,
    )
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode):
        file.close()
        raise ValueError(f"the attachment {body.path!r} is not a file any more")
    return file, found


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))

"""Mail data on its way to the wire: from memory, or read from a file piece by piece."""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ..signals.complete_message import MailSource
from ..smtp.content import MAX_TEXT_LINE
from ..smtp.mail_data import MailDataEncoder, MailFacts, MailScanner, encode_whole

PIECE = 131_072
"""Octets read and written at a time: what a mail of any size costs in memory, a few times over."""


class SourceError(Exception):
    """The mail could not be read, or is not what it was a moment ago. It must not be sent."""


def pieces_of(data: bytes, *, transparent: bool = True, binary: bool = False) -> Iterator[bytes]:
    """Yield a mail that is in memory in wire form, without the final dot.

    The last piece is never empty, unless the mail is: it is held back until nothing more can come
    in between, and then it completes the mail.

    Args:
        data: the mail.
        transparent: whether dots are doubled (RFC 5321 §4.5.2).
        binary: whether it goes out octet for octet (RFC 3030 §3), or is mail data as it stands.
    """
    if len(data) <= PIECE:
        yield data if binary else encode_whole(data, transparent=transparent)
        return
    encoder = MailDataEncoder(transparent=transparent)
    view = memoryview(data)
    for start in range(0, len(data), PIECE):
        piece = view[start : start + PIECE]
        yield bytes(piece) if binary else encoder.encode(piece)
    if not binary and (rest := encoder.finish()):
        yield rest


class FileSource:
    """A mail in a file. All methods block: they are for a worker thread."""

    def __init__(self, source: MailSource) -> None:
        self._source = source
        self._file: IO[bytes] | None = None
        self._facts: MailFacts | None = None
        self._encoder = MailDataEncoder()
        self._scanner = MailScanner()
        self._sum = 0  # a checksum of what was read, where it goes out as it stands
        self._first_sum = 0
        self._must_be_ascii = False
        self._is_at_end = False
        self._start: int | None = None  # where the mail begins, in a file that is seekable
        self._must_rewind = False
        self._is_closed = False

    def open(self) -> MailFacts | None:
        """Open the file and read it once, to learn what the server must be told of it.

        Returns:
            What the mail is like, or None when the file can be read only once.

        Raises:
            SourceError: it cannot be read.
        """
        try:
            if isinstance(self._source, os.PathLike):
                self._file = Path(self._source).open("rb")  # noqa: SIM115 - close() does
            else:
                self._file = self._source
                if not self._is_seekable(self._file):
                    return None
            self._start = self._file.tell()
            while piece := self._read(self._file):
                self._scanner.feed(piece)
                self._first_sum = zlib.crc32(piece, self._first_sum)
            self._file.seek(self._start)
        except (OSError, ValueError) as error:
            self.close()
            raise SourceError(f"cannot read the mail: {error}") from error
        if self._is_closed:  # given up meanwhile
            self.close()
        self._facts, self._scanner = self._scanner.finish(), MailScanner()
        return self._facts

    def begin(self, *, transparent: bool, may_be_eight_bit: bool) -> None:
        """Prepare to read for the wire, from the start: the mail may go out several times.

        Args:
            transparent: whether dots are doubled (RFC 5321 §4.5.2).
            may_be_eight_bit: whether the server was promised no 7-bit data: `read` fails on what
                was not promised.
        """
        self._encoder, self._scanner = MailDataEncoder(transparent=transparent), MailScanner()
        self._sum = 0
        self._must_be_ascii = not may_be_eight_bit
        self._is_at_end = False
        self._must_rewind = self._start is not None

    def read(self) -> bytes | None:
        """Return the next piece in wire form, or None at the end.

        Raises:
            SourceError: the file cannot be read, or has changed since `open`.
        """
        if self._file is None:
            raise SourceError("the mail was closed")
        try:
            if self._must_rewind and self._start is not None:
                self._file.seek(self._start)
                self._must_rewind = False
            piece = self._read(self._file)
        except (OSError, ValueError) as error:
            raise SourceError(f"cannot read on in the mail: {error}") from error
        if self._facts is not None and self._facts.is_plain:
            return self._as_it_stands(piece)
        if piece:
            if self._must_be_ascii and not piece.isascii():
                raise SourceError("the mail has 8-bit data, which the server does not take")
            self._scanner.feed(piece)
            # Never empty: a held line end alone would look like the end of the mail.
            return self._encoder.encode(piece) or self.read()
        if self._is_at_end:
            return None
        self._is_at_end = True
        facts = self._scanner.finish()
        if self._facts is not None and facts != self._facts:
            raise SourceError("the mail changed while it was sent")
        if facts.nul or facts.longest_line > MAX_TEXT_LINE:
            raise SourceError(f"the mail has a NUL octet, or a line over {MAX_TEXT_LINE} octets")
        return self._encoder.finish() or None

    def _as_it_stands(self, piece: bytes) -> bytes | None:
        """Return a piece of mail data that needs no encoding, or None at the end.

        To compare checksums takes a tenth of the time of looking at each line again.
        """
        if piece:
            self._sum = zlib.crc32(piece, self._sum)
            return piece
        if self._sum != self._first_sum:
            raise SourceError("the mail changed while it was sent")
        return None

    def close(self) -> None:
        """Close the file, if it was opened here; at once, or as soon as it is."""
        self._is_closed = True
        if self._file is not None and self._file is not self._source:
            self._file.close()
        self._file = None

    @staticmethod
    def _is_seekable(file: IO[bytes]) -> bool:
        seekable = getattr(file, "seekable", None)
        return bool(seekable and seekable())

    @staticmethod
    def _read(file: IO[bytes]) -> bytes:
        piece = file.read(PIECE)
        if not isinstance(piece, bytes):
            raise ValueError(f"read() gave {type(piece).__name__}, not bytes")  # noqa: TRY004
        return piece

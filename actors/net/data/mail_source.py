"""Mail data in wire form: from memory, or read from a file piece by piece."""

import contextlib
import functools
import io
import os
import select
import stat
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import IO, TYPE_CHECKING, cast

from ....signals.complete_message import MailSource
from ....smtp.mail.content import MAX_TEXT_LINE
from ....smtp.mail.dkim.digest import Digest, Digester, UnsignableError
from ....smtp.mail.mail_data import MailDataEncoder, MailFacts, MailScanner, encode_whole
from ....smtp.mail.parts.head import Head
from ...loop import guard
from .checked_file import CheckedFile, new_digest

if TYPE_CHECKING:
    from ....smtp.mail.parts.parts_email import PartsEmail

PIECE = 131_072
"""Bytes read and written at a time. An email of any size needs a few times as much memory."""


_LOOK = 0.2
"""Seconds between two checks of whether the email of a silent pipe was cancelled."""
_LONGEST_TEXT = 300
_EMPTY = "the email is empty; was the file read to its end?"
_TWICE = "it can be read only once, but must be read twice to be signed (dkim=)"


class SourceError(Exception):
    """The email can't be read, or has changed since it was opened. It must not be sent."""


def pieces_of(data: bytes, *, transparent: bool = True, binary: bool = False) -> Iterator[bytes]:
    """Yield an email in memory in wire form, without the final dot.

    The last piece is never empty, unless the email is: the writer holds it back, and completes the
    email with it.

    Args:
        data: the email.
        transparent: whether dots are doubled (RFC 5321 §4.5.2).
        binary: whether it is sent unchanged (RFC 3030 §3), or needs no change.
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
    """An email in a file, or made of files. All methods block, unless stated otherwise.

    So use a worker thread.

    Any exception of the file, even SystemExit, becomes a `SourceError`: the file is not ours.
    """

    def __init__(
        self,
        source: "MailSource | PartsEmail",
        sign: "Callable[[Digest], bytes] | None" = None,
    ) -> None:
        """Store the arguments; `open` is next.

        Args:
            source: the email.
            sign: returns its signatures, complete fields; None for no signature.
        """
        self._source = source
        self._sign = sign
        self._digester = None if sign is None else Digester()
        self._front = b""  # the signatures
        self._must_send_front = False
        self._file: IO[bytes] | None = None
        self._read_some: Callable[[], object] = bytes
        self._number: int | None = None  # of the descriptor to wait for, if it can be silent
        self._facts: MailFacts | None = None
        self._encoder = MailDataEncoder()
        self._scanner = MailScanner()
        self._sum = 0  # a checksum of what was read, if it is sent unchanged
        self._first_sum: int | None = 0  # None if nothing was read before it is sent
        self._must_be_ascii = False
        self._is_at_end = False
        self._is_empty = True
        self._start: int | None = None  # where the email begins, in a seekable file
        self._must_rewind = False
        self._is_given_up = False

    def open(self) -> MailFacts | None:
        """Open the file and read it once, to find its size and the extensions it needs.

        Returns:
            The facts about the email, or None if the file can be read only once.

        Raises:
            SourceError: it cannot be read, or is empty.
        """
        try:
            return self._open()
        except BaseException:
            guard.surely(self.close)
            raise
        finally:
            if self._is_given_up:
                guard.surely(self.close)

    def _open(self) -> MailFacts | None:
        if isinstance(self._source, Head):
            return self._open_parts(self._source)
        with _theirs("cannot read the email"):
            if isinstance(self._source, os.PathLike):
                self._file = self._open_path(self._source)
                if _is_kind(self._file.fileno(), stat.S_ISFIFO):
                    # No process may ever write into it, and a server would wait for the email.
                    self._number = self._file.fileno()
                    self._wait()
            else:
                self._file = self._source
                self._number = _silent_descriptor(self._file)
            self._read_some = _reader(self._file, self._number)
            seekable = getattr(self._file, "seekable", None)
            if self._number is not None or not (seekable and seekable()):
                if self._sign is not None:
                    raise ValueError(_TWICE)
                return None
            self._start = self._file.tell()
        return self._read_first()

    def _read_first(self) -> MailFacts:
        """Read the email once, and sign it."""
        assert self._file is not None
        assert self._start is not None
        digester = self._digester
        found = new_digest() if isinstance(self._source, CheckedFile) else None
        while piece := self._read("cannot read the email"):
            self._scanner.feed(piece)
            self._first_sum = zlib.crc32(piece, self._first_sum or 0)
            if found is not None:
                found.update(piece)
            if digester is not None:
                with _signing():
                    digester.feed(piece)
        with _theirs("cannot read the email"):
            if isinstance(self._source, CheckedFile) and found is not None:
                self._source.compare(found)
        if self._is_empty:
            raise SourceError(_EMPTY)
        with _theirs("cannot read the email"):
            self._file.seek(self._start)
        facts, self._scanner = self._scanner.finish(), MailScanner()
        self._facts = facts
        if digester is None or self._sign is None:
            return facts
        with _signing():
            self._front = self._sign(digester.finish())
        self._digester = None
        return replace(facts, size=len(self._front) + facts.size)

    def _open_parts(self, email: "PartsEmail") -> MailFacts:
        """Open the files of an email of several parts, whose size is known without reading them."""
        from ....signals.composing.parts_file import PartsFile  # late: few need it

        with _theirs("cannot read the email"):
            parts = PartsFile(email)
            self._file = cast("IO[bytes]", parts)  # all that is needed of one
            self._read_some = functools.partial(parts.read, PIECE)
        self._start = 0
        if self._sign is not None:
            return self._read_first()
        self._first_sum, self._facts = None, parts.facts
        return parts.facts

    def _open_path(self, path: "os.PathLike[str]") -> IO[bytes]:
        try:
            return _open_path(path)
        except OSError as error:
            if isinstance(path, CheckedFile):
                path.note(error)
            raise

    def begin(self, *, transparent: bool, may_be_eight_bit: bool) -> None:
        """Prepare to read in wire form, from the start: the email may be sent several times.

        Args:
            transparent: whether dots are doubled (RFC 5321 §4.5.2).
            may_be_eight_bit: whether MAIL declared 8-bit data; if not, `read` fails on it.
        """
        self._encoder, self._scanner = MailDataEncoder(transparent=transparent), MailScanner()
        self._sum = 0
        self._must_be_ascii = not may_be_eight_bit
        self._is_at_end = False
        self._must_rewind = self._start is not None
        self._must_send_front = bool(self._front)

    def read(self) -> bytes | None:
        """Return the next piece in wire form, or None at the end.

        Raises:
            SourceError: the file cannot be read, or has changed since `open`.
        """
        if self._file is None:
            raise SourceError("the email's file was closed")
        if self._must_rewind and self._start is not None:
            with _theirs("cannot read the rest of the email"):
                self._file.seek(self._start)
            self._must_rewind = False
        if self._must_send_front:
            self._must_send_front = False
            return self._front
        piece = self._read("cannot read the rest of the email")
        if self._facts is not None and self._facts.is_plain:
            return self._as_it_stands(piece)
        if piece:
            if self._must_be_ascii and not piece.isascii():
                raise SourceError("the email has 8-bit data, which the server does not take")
            self._scanner.feed(piece)
            if self._front:
                self._sum = zlib.crc32(piece, self._sum)
            # Never empty, although the encoder may hold back a line end: empty means the end.
            return self._encoder.encode(piece) or self.read()
        if self._is_at_end:
            return None
        self._is_at_end = True
        if self._is_empty:
            raise SourceError(_EMPTY)
        facts = self._scanner.finish()
        is_another = self._front and self._sum != self._first_sum  # any octet breaks a signature
        if is_another or not (
            self._facts is None or self._first_sum is None or facts == self._facts
        ):
            raise self._changed()
        if facts.nul or facts.longest_line > MAX_TEXT_LINE:
            raise SourceError(f"the email has a NUL octet, or a line over {MAX_TEXT_LINE} octets")
        return self._encoder.finish() or None

    def _as_it_stands(self, piece: bytes) -> bytes | None:
        """Return a piece of mail data that needs no encoding, or None at the end.

        Comparing checksums takes a tenth of the time of scanning each line again.
        """
        if piece:
            self._sum = zlib.crc32(piece, self._sum)
            return piece
        if self._first_sum not in (None, self._sum):
            raise self._changed()
        return None

    def _changed(self) -> SourceError:
        text = "the email changed while it was sent"
        if isinstance(self._source, CheckedFile):
            self._source.problem = text
        return SourceError(text)

    def give_up(self) -> None:
        """Make a read in progress end soon. Does not block; for any thread."""
        self._is_given_up = True

    @property
    def is_open(self) -> bool:
        """Whether a file is open that `close` closes. Does not block."""
        return self._file is not None and self._file is not self._source

    def close(self) -> None:
        """Close the file if it was opened here: at once, or as soon as a pending `open` ends."""
        self._is_given_up = True
        file, self._file = self._file, None
        if file is not None and file is not self._source:
            with contextlib.suppress(OSError):
                file.close()

    def _read(self, problem: str) -> bytes:
        with _theirs(problem):
            while True:
                if self._is_given_up:
                    raise SourceError("the send was cancelled")
                if self._number is not None:
                    self._wait()
                piece = self._read_some()
                if piece is not None or self._number is None:
                    break
            if not isinstance(piece, bytes):
                raise ValueError(f"read() gave {type(piece).__name__}, not bytes")  # noqa: TRY004
        self._is_empty = self._is_empty and not piece
        return piece

    def _wait(self) -> None:
        """Wait until there is something to read, or the email is cancelled."""
        poll = select.poll()
        poll.register(cast("int", self._number), select.POLLIN)
        while not poll.poll(_LOOK * 1000):
            if self._is_given_up:
                raise SourceError("the send was cancelled")


@contextlib.contextmanager
def _signing() -> Generator[None, None, None]:
    """Turn the error of an email that can't be signed into a `SourceError`."""
    try:
        yield
    except UnsignableError as error:
        raise SourceError(f"cannot sign the email: {error}") from None


@contextlib.contextmanager
def _theirs(problem: str) -> Generator[None, None, None]:
    """Turn any exception of code that is not ours into a `SourceError`."""
    try:
        yield
    except SourceError:
        raise
    except BaseException as error:
        raise SourceError(f"{problem}: {_describe(error)}") from error


def _describe(error: BaseException) -> str:
    kind = type(error)
    try:
        text = " ".join(str(error).split())[:_LONGEST_TEXT]
    except BaseException:  # a stranger's, too
        text = ""
    # The system's own words say enough.
    if text and (type(error) is ValueError or (isinstance(error, OSError) and error.errno)):
        return text
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    return f"{name}: {text}" if text else name


def _open_path(path: "os.PathLike[str]") -> IO[bytes]:
    """Open a path, and never wait for it; what can never come to an end is refused."""
    file = open(path, "rb", buffering=0, opener=_open_at_once)  # noqa: SIM115 - close() does
    try:
        is_device = any(_is_kind(file.fileno(), kind) for kind in (stat.S_ISCHR, stat.S_ISBLK))
    except BaseException:
        file.close()
        raise
    if is_device:
        file.close()
        raise ValueError(f"{os.fspath(path)!r} is a device, not a file")
    return file


def _open_at_once(path: str, flags: int) -> int:
    # A named pipe without a writer, or a device, would else hang the thread.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0), 0o666)


def _is_kind(number: int, is_kind: Callable[[int], bool]) -> bool:
    return is_kind(os.fstat(number).st_mode)


def _silent_descriptor(file: object) -> int | None:
    """Return the descriptor of a caller's pipe or terminal, which can be silent for ever.

    Only where no layer of a stranger's lies in between, which may hold octets back.
    """
    raw = file.raw if type(file) is io.BufferedReader else file
    if type(raw) is not io.FileIO:
        return None
    number = raw.fileno()
    may_be_silent = _is_kind(number, stat.S_ISFIFO) or _is_kind(number, stat.S_ISCHR)
    return number if may_be_silent and hasattr(select, "poll") else None


def _reader(file: IO[bytes], number: int | None) -> Callable[[], object]:
    """Return what reads a piece; of a pipe, in one go, for the next may wait."""
    if number is not None and isinstance(file, io.BufferedReader):
        return functools.partial(file.read1, PIECE)
    return functools.partial(file.read, PIECE)

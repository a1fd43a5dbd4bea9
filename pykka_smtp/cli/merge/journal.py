"""The journal of ``pykka-smtp merge``: which rows were sent, whatever ends the command.

A file of lines of JSON. A row is noted before its email is submitted, and what became of it
afterwards. So a row with the first note only was perhaps sent. Whatever was being written when the
machine stopped is no complete line, and is cut off.
"""

import contextlib
import errno
import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Self, cast

from ..output.results import Row

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # on Windows there is no lock
    fcntl = None

_NEW, _DOUBT, _DONE, _REFUSED = 0, 1, 2, 3
# What has failed for another reason has reached nobody, and says nothing about the row: the relay
# wants a password, a file to attach is gone. It is sent when that is mended.
_STATES = {
    "accepted": _DONE,
    "refused": _REFUSED,
    "maybe": _DOUBT,
    "failed": _NEW,
    "not sent": _NEW,
}
_MOST_ROWS = 100_000_000
"""A greater number of a row is damage: each takes an octet."""
_FORM = "pykka-smtp merge 1"
_HEAD = json.dumps({"journal": _FORM}).encode().removesuffix(b"}")


class JournalError(Exception):
    """It is no journal of these rows; the text says why."""


class JournalInUseError(Exception):
    """Another command writes it."""


class Journal:
    """Notes which rows were sent. Use it in a ``with`` statement.

    Args:
        path: the file; it is made if it is not there.
        digest: the SHA-256 of the rows.
        rows: the name of their file, for errors.

    Raises:
        JournalError: it is of other rows, or no journal.
        JournalInUseError: another command writes it.
        OSError: it cannot be read or written. All methods may raise it, too.
    """

    def __init__(self, path: Path, digest: str, rows: str) -> None:
        self._path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._file: int = os.open(path, flags, 0o600)
        self._states: bytearray = bytearray()
        self._end = 0
        try:
            if not stat.S_ISREG(os.fstat(self._file).st_mode):
                raise JournalError(f"{path} is no regular file")  # noqa: TRY301
            self._lock()
            self._read(digest, rows)
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the file, which ends the lock."""
        os.close(self._file)

    @property
    def name(self) -> str:
        """The name of its file."""
        return str(self._path)

    def is_done(self, number: int) -> bool:
        """Whether the email of a row was accepted, or refused for good."""
        return self._state(number) in (_DONE, _REFUSED)

    def is_refused(self, number: int) -> bool:
        """Whether the email of a row was refused for good."""
        return self._state(number) == _REFUSED

    def is_doubtful(self, number: int) -> bool:
        """Whether nobody knows if the email of a row was accepted."""
        return self._state(number) == _DOUBT

    def begin(self, numbers: Sequence[int]) -> None:
        """Note rows whose emails are submitted next; they are on the disk when this returns.

        Args:
            numbers: of the rows.
        """
        if not self._is_where_it_was():  # then the next run would begin with the first row
            raise OSError(errno.ENOENT, "it was moved or deleted", self.name)
        for number in numbers:
            self._set(number, _DOUBT)
        self._write({"begun": list(numbers)})
        os.fsync(self._file)

    def end(self, number: int, row: Row) -> None:
        """Note what became of a row.

        Args:
            number: the number of the row.
            row: the result.
        """
        self._set(number, _STATES[row.result])
        self._write({"row": number, **row.as_dict()})

    def results(self, is_wanted: Callable[[int], bool]) -> Iterator[tuple[int, Row]]:
        """Yield number and result of each row that is done.

        Args:
            is_wanted: tells of the number of a row whether to yield its result.
        """
        refused: set[int] = set()  # a row may have been refused more than once
        for note in self._notes():
            if "row" not in note:
                continue
            number, row = _row_of(note)
            if not self.is_done(number) or _STATES[row.result] != self._state(number):
                continue
            if number not in refused and is_wanted(number):
                yield number, row
            if self.is_refused(number):
                refused.add(number)

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalInUseError(f"{self._path} is in use by another run") from None

    def _read(self, digest: str, rows: str) -> None:
        """Read what was noted, and make ready to write at the end."""
        notes = self._notes()
        head = next(notes, None)
        if head is None:
            self._write({"journal": _FORM, "rows": digest})
            self._keep_its_name()
            return
        if head.get("rows") != digest:
            raise JournalError(
                f"{self._path} was begun with other rows than {rows} has now; name another journal,"
                " or give the rows as they were"
            )
        for note in notes:
            try:
                for number in note.get("begun", ()):
                    self._set(_checked(number), _DOUBT)
                if "row" in note:
                    number, row = _row_of(note)
                    self._set(number, _STATES[row.result])
            except (KeyError, TypeError, ValueError):
                raise JournalError(f"{self._path} is damaged: {str(note)[:100]}") from None

    def _notes(self) -> Iterator[dict[str, Any]]:
        """Yield the notes; cut off what is no complete line at the end."""
        end = 0
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(0)
            for number, line in enumerate(file, 1):
                note = _parsed(line)
                if number == 1 and (note is None or note.get("journal") != _FORM):
                    if line and not _HEAD.startswith(line[: len(_HEAD)]):
                        raise JournalError(f"{self._path} is no journal of pykka-smtp merge")
                    break
                if note is None:
                    if file.read(1):
                        raise JournalError(f"{self._path}, line {number}: is damaged")
                    break
                end += len(line)
                yield note
        os.ftruncate(self._file, end)
        self._end = end

    def _write(self, note: dict[str, Any]) -> None:
        line = json.dumps(note).encode() + b"\n"
        end = self._end + len(line)
        try:
            while line:  # the kernel has it then, whatever becomes of this process
                line = line[os.write(self._file, line) :]
        except OSError as error:
            with contextlib.suppress(OSError):  # half of a line may stand at the end only
                os.ftruncate(self._file, self._end)
            raise OSError(error.errno, error.strerror, self.name) from None
        self._end = end

    def _is_where_it_was(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._file))
        except OSError:
            return False

    def _keep_its_name(self) -> None:
        """Have the name of a new file on the disk as well: without it, all would be sent again."""
        with contextlib.suppress(OSError):  # not every system opens folders
            folder = os.open(self._path.absolute().parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _state(self, number: int) -> int:
        return self._states[number] if number < len(self._states) else _NEW

    def _set(self, number: int, state: int) -> None:
        if number >= len(self._states):
            self._states.extend(bytes(number + 1 - len(self._states)))
        self._states[number] = state


def _row_of(note: dict[str, Any]) -> tuple[int, Row]:
    """Return number and result of a note.

    Raises:
        TypeError: it is not of this form, as a `KeyError` or a `ValueError`, too.
    """
    row = Row(**{name: value for name, value in note.items() if name != "row"})
    return _checked(note["row"]), row


def _checked(number: object) -> int:
    if type(number) is not int or not 0 < number < _MOST_ROWS:
        raise ValueError
    return number


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return a note; None if it is not complete."""
    if not line.endswith(b"\n"):
        return None
    try:
        note = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", note) if isinstance(note, dict) else None

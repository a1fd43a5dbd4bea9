"""The journal of ``pykka-smtp merge``: which rows were sent, whatever ends the command.

A file of lines of JSON. A row is noted before its email is submitted, and what became of it
afterwards. So a row with the first note only was perhaps sent. Whatever was being written when the
machine stopped is no complete line, and is cut off.
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Self, cast

from ..output.results import Row

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # on Windows there is no lock
    fcntl = None

_NEW, _DOUBT, _DONE = 0, 1, 2
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
        try:
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
        return self._state(number) == _DONE

    def is_doubtful(self, number: int) -> bool:
        """Whether nobody knows if the email of a row was accepted."""
        return self._state(number) == _DOUBT

    def begin(self, numbers: Sequence[int]) -> None:
        """Note rows whose emails are submitted next; they are on the disk when this returns.

        Args:
            numbers: of the rows.
        """
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
        self._set(number, _state_of(row.result, is_retryable=row.retryable))
        self._write({"row": number, **row.as_dict()})

    def results(self) -> Iterator[tuple[int, Row]]:
        """Yield number and result of each row that is done."""
        for note in self._notes():
            number = note.pop("row", None)
            if number is not None:
                row = Row(**note)
                if _state_of(row.result, is_retryable=row.retryable) == _DONE:
                    yield number, row  # the last: it is not sent again

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
            return
        if head.get("rows") != digest:
            raise JournalError(
                f"{self._path} was begun with other rows than {rows} has now; name another journal,"
                " or give the rows as they were"
            )
        for note in notes:
            try:
                for number in note.get("begun", ()):
                    self._set(number, _DOUBT)
                if "row" in note:
                    state = _state_of(note["result"], is_retryable=note["retryable"])
                    self._set(note["row"], state)
            except (KeyError, TypeError):
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

    def _write(self, note: dict[str, Any]) -> None:
        line = json.dumps(note).encode() + b"\n"
        while line:  # the kernel has it then, whatever becomes of this process
            line = line[os.write(self._file, line) :]

    def _state(self, number: int) -> int:
        return self._states[number] if number < len(self._states) else _NEW

    def _set(self, number: int, state: int) -> None:
        if number >= len(self._states):
            self._states.extend(bytes(number + 1 - len(self._states)))
        self._states[number] = state


def _state_of(result: str, *, is_retryable: bool) -> int:
    if result == "maybe":
        return _DOUBT
    return _NEW if is_retryable or result == "not sent" else _DONE


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return a note; None if it is not complete."""
    if not line.endswith(b"\n"):
        return None
    try:
        note = json.loads(line)
    except ValueError:
        return None
    return cast("dict[str, Any]", note) if isinstance(note, dict) else None

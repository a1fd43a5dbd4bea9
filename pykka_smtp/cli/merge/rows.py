"""The rows of a CSV file, checked, and kept until they are sent.

The file may be a pipe, or may change meanwhile; so it is copied to a temporary file, which is read
as often as is needed. Memory stays small.
"""

import csv
import hashlib
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Self

from ...smtp.words.shown import shown
from ..input.encoding import BOM, wide_encoding

MAX_LINE = 1_048_576
"""Octets of a line."""
_IN_MEMORY = 1024 * 1024
_SEPARATORS = ",;\t"  # the second is what spreadsheets write where the comma is in numbers
_QUOTED = re.compile(r'"[^"]*"')
_SHEETS = (
    (b"PK\x03\x04", "a spreadsheet, or another ZIP file"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet"),
    (b"%PDF", "a PDF file"),
)
_WORDS = (
    # What the library says, and what a person understands.
    (
        "new-line character seen in unquoted field",
        "a line ends in CR alone, as on old Macs; save it with LF",
    ),
    ("field larger than field limit", "a cell has more than {limit} characters"),
    ("unexpected end of data", "a quote that is opened here is never closed"),
)


class BadRowsError(Exception):
    """The file is no table; the text says what is wrong with it, and where."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row.

    Attributes:
        number: as a spreadsheet counts it: the first after the names of the columns is 2.
        cells: the cells by the names of their columns.
    """

    number: int
    cells: dict[str, str]


class Table:
    """A CSV file. May be iterated over any number of times, one at a time.

    Use it in a ``with`` statement, because it may have an open file.

    Args:
        file: what is read, in UTF-8; to its end, at once.
        name: its name in errors.

    Raises:
        BadRowsError: it has no columns, or is not UTF-8.
        OSError: it can't be read, or the disk is full.
    """

    def __init__(self, file: IO[bytes], name: str) -> None:
        self.name: str = name
        self._copy = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115
        try:
            self.digest: str = self._keep(file)
            self._separator = self._find_separator()
            self.columns: tuple[str, ...] = self._read_columns()
        except BaseException:
            self._copy.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Delete the copy."""
        self._copy.close()

    def __iter__(self) -> Iterator[TableRow]:
        """Yield the rows; those without any text are left out.

        Raises:
            BadRowsError: one has too many cells, or too few; or a quote is wrong.
        """
        for number, cells in self._records():
            if number == 1 or not any(cells):
                continue
            if len(cells) != len(self.columns):
                has = "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
                raise BadRowsError(
                    f"{self.name}, row {number}: has {has}, but there are"
                    f" {len(self.columns)} columns"
                )
            yield TableRow(number, dict(zip(self.columns, cells, strict=True)))

    def _keep(self, file: IO[bytes]) -> str:
        """Copy the file; return its SHA-256."""
        digest = hashlib.sha256()
        line = file.readline(MAX_LINE + 1)
        for beginning, what in _SHEETS:
            if line.startswith(beginning):
                raise BadRowsError(f"{self.name} is {what}; save it as CSV in UTF-8")
        if encoding := wide_encoding(line):
            raise BadRowsError(f"{self.name} is {encoding}; save it as CSV in UTF-8")
        line = line.removeprefix(BOM)
        number = 1
        while line:
            if len(line) > MAX_LINE:
                raise BadRowsError(f"{self.name}, line {number}: longer than {MAX_LINE} octets")
            try:
                line.decode()
            except UnicodeDecodeError:
                raise BadRowsError(
                    f"{self.name}, line {number}: not UTF-8; save it as CSV in UTF-8"
                ) from None
            digest.update(line)
            self._copy.write(line)
            line = file.readline(MAX_LINE + 1)
            number += 1
        return digest.hexdigest()

    def _find_separator(self) -> str:
        self._copy.seek(0)
        first = _QUOTED.sub("", self._copy.readline().decode())
        return max(_SEPARATORS, key=first.count)

    def _read_columns(self) -> tuple[str, ...]:
        _, cells = next(self._records(), (1, list[str]()))
        names = tuple([cell.strip() for cell in cells])
        if not any(names):
            raise BadRowsError(f"{self.name}: the first row names no columns")
        for number, name in enumerate(names, 1):
            if not name:
                raise BadRowsError(f"{self.name}, row 1: column {number} has no name")
            if names.index(name) != number - 1:
                raise BadRowsError(f"{self.name}, row 1: two columns are named {shown(name)}")
        return names

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield number and cells of each record, the names of the columns included."""
        self._copy.seek(0)
        lines = (line.decode() for line in self._copy)
        reader = csv.reader(lines, delimiter=self._separator, strict=True)
        number = 1
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise BadRowsError(f"{self.name}, row {number}: {_in_words(error)}") from None
            if cells is None:
                return
            yield number, cells
            number += 1


def _in_words(error: csv.Error) -> str:
    text = str(error)
    for known, words in _WORDS:
        if known in text:
            return words.format(limit=csv.field_size_limit())
    return text

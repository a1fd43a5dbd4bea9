"""The report of ``pykka-smtp send``: a row for each recipient, as CSV or JSON.

Rows are written as they come: a list of a million is never held in memory, and what is known when
the command is interrupted is in the file.
"""

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Literal, TextIO

from .results import NAMES, Row

Form = Literal["csv", "json"]
FORMS: tuple[Form, ...] = ("csv", "json")
STDOUT = frozenset({"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"})
"""Names of standard output. It is written to, not opened: what it is redirected to may be a file
that has something in it."""

# What makes a spreadsheet take a cell for a formula, and do what it says. A server chooses its
# words; the addresses are the user's own, and stay as they are.
_FORMULAS = ("=", "+", "-", "@", "\t")


class Report:
    """Writes rows into a file; close it, or JSON has no end.

    Args:
        name: of the file, which is replaced if it is there already; or one of `STDOUT`.
        form: what is written.
        out: standard output.

    Raises:
        OSError: it can't be opened. All methods may raise it, too.
    """

    def __init__(self, name: str, form: Form, out: TextIO) -> None:
        self._file: IO[str] = _on(out) if name in STDOUT else _new(name)
        self._is_ours = self._file is not out
        self._is_json = form == "json"
        self._csv = csv.writer(self._file, lineterminator="\n")
        self._is_empty = True
        if not self._is_json:
            self._csv.writerow(NAMES)

    def write(self, row: Row) -> None:
        """Write a row, in one piece."""
        if self._is_json:
            text = json.dumps(row.as_dict(), ensure_ascii=False)
            self._file.write(f"{'[' if self._is_empty else ','}\n{text}")
        else:
            values = row.as_dict() | {"retryable": "yes" if row.retryable else "no"}
            if row.text.startswith(_FORMULAS):
                values["text"] = f"'{row.text}"
            self._csv.writerow(values.values())
        self._is_empty = False

    def flush(self) -> None:
        """Let what was written be seen by others."""
        self._file.flush()

    def close(self) -> None:
        """Complete the file, and close it; standard output stays open."""
        try:
            if self._is_json:
                self._file.write("[]\n" if self._is_empty else "\n]\n")
            self._file.flush()
        finally:
            if self._is_ours:
                self._file.close()


def _new(name: str | int) -> IO[str]:
    # No end of line but LF, for the tools of the shell. What is no text can't be an address.
    return open(name, "w", encoding="utf-8", errors="backslashreplace", newline="\n")  # noqa: PTH123


def _on(out: TextIO) -> IO[str]:
    """Return standard output as a report is written to it, whatever the locale."""
    out.flush()
    try:
        number = out.fileno()
    except io.UnsupportedOperation:  # a program has put something else in its place
        return out
    # A descriptor of its own: what can't be written any more must not be tried again at exit.
    return _new(os.dup(number))


def form_of(name: str, chosen: Form | None) -> Form:
    """Return the form of a report.

    Args:
        name: of its file.
        chosen: what the user wants, or None for what the name says.

    Raises:
        ValueError: neither says it.
    """
    if chosen is not None:
        return chosen
    path = Path(name)
    for form in FORMS:
        if path.suffix.lower() == f".{form}":
            return form
    if name in STDOUT or (path.exists() and not (path.is_file() or path.is_dir())):
        return "csv"  # a pipe or a device, whose name nobody chose
    raise ValueError("needs a name that ends in .csv or .json, or --report-format")


def check_report(path: Path, inputs: Sequence[Path]) -> None:
    """See whether a report could be written, and leave everything as it is.

    Args:
        path: of the report.
        inputs: files that it must not replace.

    Raises:
        ValueError: it is one of `inputs`.
        OSError: it can't be written.
    """
    exists = path.exists()
    if exists and any(other.exists() and path.samefile(other) for other in inputs):
        raise ValueError("would replace what is to be sent, or to whom")
    if exists and not (path.is_file() or path.is_dir()):
        return  # a pipe, whose reader would take the look for all there is
    with path.open("ab"):
        pass
    if not exists:
        path.unlink()

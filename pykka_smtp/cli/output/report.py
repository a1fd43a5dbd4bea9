"""The report of ``pykka-smtp send`` and ``merge``: a row for each recipient, as CSV or JSON.

Rows are written as they come: a million of them need no memory, and when the command is
interrupted, the results so far are in the file.
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
"""Names of standard output. It is not opened by name, which would truncate the file that it may be
redirected to."""

# Characters at which a spreadsheet takes a cell for a formula, and runs it. The text of a reply is
# chosen by the server; addresses are the user's own, and stay unchanged.
_FORMULAS = ("=", "+", "-", "@", "\t")


class Report:
    """Writes rows into a file. Call `close`, which completes JSON.

    Args:
        name: of the file, which is replaced if it exists; or one of `STDOUT`.
        form: the format.
        out: standard output.
        names: of the columns.

    Raises:
        OSError: it can't be opened. All methods may raise it, too.
    """

    def __init__(self, name: str, form: Form, out: TextIO, names: Sequence[str] = NAMES) -> None:
        self._file: IO[str] = _on(out) if name in STDOUT else _new(name)
        self._is_ours = self._file is not out
        self._is_json = form == "json"
        self._csv = csv.writer(self._file, lineterminator="\n")
        self._is_empty = True
        if not self._is_json:
            self._csv.writerow(names)

    def write(self, row: Row) -> None:
        """Write a row with a single call of `write`."""
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
        """Flush the rows to the file, where other programs can read them."""
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
    # Lines end in LF only, for shell tools. Undecodable bytes are escaped; no address has any.
    return open(name, "w", encoding="utf-8", errors="backslashreplace", newline="\n")  # noqa: PTH123


def _on(out: TextIO) -> IO[str]:
    """Return standard output as a UTF-8 file, whatever the locale is."""
    out.flush()
    try:
        number = out.fileno()
    except io.UnsupportedOperation:  # sys.stdout was replaced by an object without a descriptor
        return out
    # A descriptor of its own, so that output that can't be written is not retried at exit.
    return _new(os.dup(number))


def form_of(name: str, chosen: Form | None) -> Form:
    """Return the format of a report.

    Args:
        name: of its file.
        chosen: the user's choice, or None to choose by the name.

    Raises:
        ValueError: there is no choice, and the name has no known suffix.
    """
    if chosen is not None:
        return chosen
    path = Path(name)
    for form in FORMS:
        if path.suffix.lower() == f".{form}":
            return form
    if name in STDOUT or (path.exists() and not (path.is_file() or path.is_dir())):
        return "csv"  # a pipe or device, whose name the user did not choose
    raise ValueError("needs a name that ends in .csv or .json, or --report-format")


def check_report(path: Path, inputs: Sequence[Path]) -> None:
    """Check that a report can be written, and change nothing.

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
        return  # opening and closing a pipe would signal end of file to its reader
    with path.open("ab"):
        pass
    if not exists:
        path.unlink()

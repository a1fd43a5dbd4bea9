"""The report of ``pykka-smtp send``: a row for each recipient, as CSV or JSON.

Rows are written as they come: a list of a million is never held in memory, and what is known when
the command is interrupted is in the file.
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from .send_results import NAMES, Row

SUFFIXES = (".csv", ".json")

# What makes a spreadsheet take a cell for a formula, and do what it says. A server chooses its
# words; the addresses are the user's own, and stay as they are.
_FORMULAS = ("=", "+", "-", "@", "\t")


class Report:
    """Writes rows into a file; close it, or JSON has no end.

    Args:
        path: ends in one of `SUFFIXES`. A file that is there already is replaced.

    Raises:
        OSError: it can't be opened. All methods may raise it, too.
    """

    def __init__(self, path: Path) -> None:
        # No end of line but LF, for the tools of the shell. What is no text can't be an address.
        self._file = path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")
        self._is_json = path.suffix.lower() == ".json"
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
        """Complete the file, and close it."""
        with self._file:
            if self._is_json:
                self._file.write("[]\n" if self._is_empty else "\n]\n")


def check_report(path: Path, inputs: Sequence[Path]) -> None:
    """See whether a report could be written, and leave everything as it is.

    Args:
        path: of the report.
        inputs: files that it must not replace.

    Raises:
        ValueError: its name does not say which form it is to have, or it is one of `inputs`.
        OSError: it can't be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"needs a name that ends in {' or '.join(SUFFIXES)}")
    exists = path.exists()
    if exists and any(other.exists() and path.samefile(other) for other in inputs):
        raise ValueError("would replace what is to be sent, or to whom")
    if exists and not (path.is_file() or path.is_dir()):
        return  # a pipe, whose reader would take the look for all there is
    with path.open("ab"):
        pass
    if not exists:
        path.unlink()

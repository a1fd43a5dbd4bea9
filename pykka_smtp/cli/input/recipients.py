"""The recipients: addresses from the command line and from a file, checked before the first send.

A file may have a million lines, and may be a pipe that can be read only once. So the checked
addresses are kept in a temporary file, and read from there while emails are sent: memory stays
small, and the list can't change meanwhile.
"""

import tempfile
from collections.abc import Iterator
from typing import IO, Self, TypeAlias

from ...smtp.mail.domain import AddressError
from ...smtp.mail.mailbox import check_display_name
from .encoding import BOM, wide_encoding
from .mailbox import read_recipient

MAX_LINE = 1000
"""Bytes of a line; an address has at most 254 octets (RFC 5321 §4.5.3.1.3)."""
MAX_COMPLAINTS = 20
"""Invalid lines that are listed; the others are counted."""
_IN_MEMORY = 1024 * 1024
"""Bytes of checked addresses that are kept in memory; more go to a temporary file."""
_ONE_A_LINE = "write one address a line"


Named: TypeAlias = tuple[str | None, str]
"""A name, or None, and an address."""


class BadLinesError(Exception):
    """Some lines are not addresses.

    Attributes:
        complaints: a message for each, with its line number; and how many more there are.
    """

    def __init__(self, complaints: list[str], count: int) -> None:
        super().__init__(complaints, count)
        self.complaints: list[str] = list(complaints)
        if count > len(complaints):
            self.complaints.append(f"{count - len(complaints)} more lines are no addresses")


class Recipients:
    """Checked addresses, in order, with names. May be iterated over any number of times.

    Use it in a ``with`` statement, because it may have an open file.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        for _, address in self.named():
            yield address

    def named(self) -> Iterator[Named]:
        """Yield name, or None, and address of each."""
        self._file.seek(0)
        for line in self._file:
            address, _, name = line[:-1].decode().partition("\t")
            yield name or None, address

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Delete the temporary file."""
        self._file.close()

    def add(self, text: str, more: str = _ONE_A_LINE) -> None:
        """Add an address.

        Args:
            text: the address, perhaps with a name.
            more: the advice for an error if there are several in `text`.

        Raises:
            AddressError: it is not an address.
            OSError: the disk is full.
        """
        name, address = read_recipient(text, more=more)
        self._file.write(f"{address}\t{_shown_in_to(name)}\n".encode())
        self._count += 1

    def add_lines(self, lines: IO[bytes], name: str) -> None:
        """Add the address of each line, in UTF-8. Lines that begin with # are comments.

        White space around an address is ignored. A line may be a cell of a spreadsheet, in quotes,
        or have a name beside the address.

        Args:
            lines: the file.
            name: its name in error messages.

        Raises:
            BadLinesError: some lines are not addresses. All lines were checked.
            OSError: it can't be read, or the disk is full.
        """
        complaints: list[str] = []
        count = 0
        for number, line in enumerate(_lines_of(lines), 1):
            if number == 1 and (encoding := wide_encoding(line)) is not None:
                raise BadLinesError([f"{name} is {encoding}; save it as UTF-8"], 1)
            text = line.strip()
            if not text or text.startswith(b"#"):
                continue
            try:
                if len(line) > MAX_LINE:
                    raise AddressError(f"longer than {MAX_LINE} octets")  # noqa: TRY301
                self.add(text.decode())
            except (AddressError, UnicodeDecodeError) as error:
                count += 1
                if len(complaints) < MAX_COMPLAINTS:
                    complaints.append(f"{name}, line {number}: {_flaw(error)}")
        if count:
            raise BadLinesError(complaints, count)


def _shown_in_to(name: str | None) -> str:
    """Return a name that an email of ours can show; an empty text for any other."""
    if name is None:
        return ""
    try:
        return check_display_name("To", name)
    except ValueError:  # a complete email goes out without it anyway
        return ""


def _lines_of(file: IO[bytes]) -> Iterator[bytes]:
    """Yield line by line, at most `MAX_LINE` + 1 bytes of each."""
    # Some editors write a byte order mark, which would be part of the first address.
    line = file.readline(MAX_LINE + 1).removeprefix(BOM)
    while line:
        yield line
        while len(line) > MAX_LINE and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE + 1)
        line = file.readline(MAX_LINE + 1)


def _flaw(error: Exception) -> str:
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)

"""Who gets the mail: addresses from the command line and from a file, checked before all else.

A file may have a million lines, and be a pipe that can be read only once. So what was checked is
kept in a file of our own, and read from there while the mails go out: memory stays small, and
nobody can change it meanwhile.
"""

import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Self

from ..smtp.mail.domain import AddressError
from .encoding import BOM, wide_encoding
from .mailbox import read_recipient

MAX_LINE = 1000
"""Octets of a line; an address has 254 at most (RFC 5321 §4.5.3.1.3)."""
MAX_COMPLAINTS = 20
"""Bad lines that are told; the others are counted."""
_IN_MEMORY = 1024 * 1024
"""Octets up to which the checked addresses stay in memory."""
_ONE_A_LINE = "write one address a line"


class BadLinesError(Exception):
    """Lines that are no addresses.

    Attributes:
        complaints: a text for each, with the number of its line; and how many more there are.
    """

    def __init__(self, complaints: list[str], count: int) -> None:
        super().__init__(complaints, count)
        self.complaints: list[str] = list(complaints)
        if count > len(complaints):
            self.complaints.append(f"{count - len(complaints)} more lines are no addresses")


class Recipients:
    """Addresses that were checked, in order; iterate over them as often as you like.

    Use it in a ``with`` statement: it may have an open file.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        self._file.seek(0)
        for line in self._file:
            yield line[:-1].decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Forget the addresses."""
        self._file.close()

    def add(self, text: str, more: str = _ONE_A_LINE) -> None:
        """Add one.

        Args:
            text: the address, perhaps with a name, which does not count.
            more: how to name several.

        Raises:
            AddressError: it is no address.
            OSError: there is no room for it on the disk.
        """
        address = read_recipient(text, more=more)
        self._file.write(address.encode() + b"\n")
        self._count += 1

    def add_lines(self, lines: IO[bytes], name: str) -> None:
        """Add one of each line: UTF-8, with any white space around; comments begin with #.

        A line may be a cell of a spreadsheet, in quotes, or have a name beside the address.

        Args:
            lines: the file.
            name: what people call it.

        Raises:
            BadLinesError: some are no addresses. All lines were looked at.
            OSError: it can't be read, or there is no room on the disk.
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


def _lines_of(file: IO[bytes]) -> Iterator[bytes]:
    """Read line by line; of a line that is too long, one octet too many and no more."""
    # Some editors begin a file with a byte order mark, which would be part of the first address.
    line = file.readline(MAX_LINE + 1).removeprefix(BOM)
    while line:
        yield line
        while len(line) > MAX_LINE and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE + 1)
        line = file.readline(MAX_LINE + 1)


def _flaw(error: Exception) -> str:
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)

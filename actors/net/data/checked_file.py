"""`CheckedFile`: a path to an email that must be as it was written, or is not sent."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_PIECE = 131_072


class CheckedFile(os.PathLike[str]):
    """A file whose digest is known. Whoever sends it compares that, while he reads it anyway.

    Args:
        path: the file.
        size: its size in octets.
        digest: its digest, as `new_digest` makes it.

    Attributes:
        problem: why it must not be sent, in one line; empty as long as nothing is known.
    """

    __slots__ = ("digest", "path", "problem", "size")

    def __init__(self, path: Path, size: int, digest: bytes) -> None:
        self.path: Path = path
        self.size: int = size
        self.digest: bytes = digest
        self.problem: str = ""

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"<CheckedFile {self.path}>"

    def note(self, error: OSError) -> None:
        """Note that it could not be opened: if it is not there, it will not come back by itself."""
        if isinstance(error, FileNotFoundError):
            self.problem = f"the file of its body is missing: {self.path}"

    def compare(self, found: "hashlib.blake2b") -> None:
        """Compare what was read.

        Raises:
            ValueError: it is not what was written.
        """
        if found.digest() != self.digest:
            self.problem = f"the file of its body was altered: {self.path}"
            raise ValueError(self.problem)

    def pieces(self) -> Iterator[bytes]:
        """Yield what was written, piece by piece; blocks.

        Raises:
            ValueError: at its end: it is not what was written.
            OSError: it cannot be read.
        """
        found = new_digest()
        with self._open() as file:
            while piece := file.read(_PIECE):
                found.update(piece)
                yield piece
        self.compare(found)

    def _open(self) -> IO[bytes]:
        try:
            return self.path.open("rb", buffering=0)
        except OSError as error:
            self.note(error)
            raise


def new_digest() -> "hashlib.blake2b":
    """Return what computes the digest of a file."""
    return hashlib.blake2b(digest_size=32)

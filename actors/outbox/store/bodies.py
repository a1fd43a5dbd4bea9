"""`Bodies`: the files of bodies that are too large for a row, in a folder beside the outbox.

A file is written, and is on disk, before the row is that names it; while that is so, its writer has
a lock on it. So a file that no row names, and nobody has a lock on, belongs to nothing: its
process died before the row, or its email is done with. Whoever finds one may remove it.
"""

import contextlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ...net.data.checked_file import CheckedFile, new_digest
from ..text.large import LargeBody
from .errors import OutboxError, error_of
from .file_system import has_room, sync_folder
from .locks import FileLock, is_locked

_NAME = re.compile("[0-9a-f]{32}")


class BodyFile(CheckedFile):
    """The file of a body.

    Attributes:
        is_whole: whether the body must be in memory to be sent.
    """

    __slots__ = ("is_whole",)

    def __init__(
        self, path: Path, size: int, digest: bytes, *, is_whole: bool, problem: str = ""
    ) -> None:
        super().__init__(path, size, digest)
        self.is_whole: bool = is_whole
        self.problem: str = problem

    @property
    def text(self) -> str:
        """What the row of the body has instead."""
        facts = {"file": self.path.name, "size": self.size, "digest": self.digest.hex()}
        return json.dumps(facts | ({"whole": True} if self.is_whole else {}))

    def read(self) -> bytes:
        """Return the body.

        Raises:
            ValueError: it is not what was written; see `problem`.
            OSError: it cannot be read.
        """
        return b"".join(self.pieces())


class WrittenBody:
    """A body that is on disk, and that no row names yet. Nobody removes it until `release`.

    Attributes:
        file: its file.
    """

    def __init__(self, file: BodyFile, lock: FileLock, bodies: "Bodies") -> None:
        self.file: BodyFile = file
        self._lock = lock
        self._bodies = bodies

    def __del__(self) -> None:
        # Nobody took it: its outbox had stopped, and the loop has ended meanwhile.
        self._lock.close()

    def release(self) -> None:
        """Let it be removed if no row names it. May be called again."""
        self._lock.close()
        self._bodies.is_to_collect = True


class Bodies:
    """The folder with the bodies of an outbox. For any thread.

    Args:
        path: the outbox.

    Attributes:
        folder: the folder; made when the first body is written.
        is_to_collect: whether there may be files of nobody: see `collect`.
    """

    def __init__(self, path: Path) -> None:
        self.folder: Path = path.with_name(f"{path.name}-bodies")
        self.is_to_collect: bool = True

    def write(self, body: LargeBody) -> tuple[WrittenBody, bytes]:
        """Copy a body into a file of its own; return it, and the digest of its email. Blocks.

        Raises:
            OutboxError: the file cannot be written.
            OSError: the body cannot be read.
        """
        if not has_room(self.folder.parent, body.size):
            raise OutboxError(f"the disk has no room for an email of {body.size} octets", True)
        try:
            lock = self._new()
        except OSError as error:
            raise error_of(error, str(self.folder)) from error
        digest = new_digest()

        def write(piece: bytes) -> None:
            digest.update(piece)
            try:
                lock.write(piece)
            except OSError as error:
                raise error_of(error, str(lock.path)) from error

        try:
            of_mail = body.copy(write)
            try:
                lock.sync()
                sync_folder(self.folder)
            except OSError as error:
                raise error_of(error, str(lock.path)) from error
        except BaseException:
            lock.remove()
            raise
        file = BodyFile(lock.path, body.size, digest.digest(), is_whole=body.is_whole)
        return WrittenBody(file, lock, self), of_mail

    def _new(self) -> FileLock:
        if not self.folder.is_dir():
            self.folder.mkdir(mode=0o700, exist_ok=True)
            sync_folder(self.folder.parent)
        while True:
            lock = FileLock(self.folder / secrets.token_hex(16))
            # Between the two it may have been taken for one of nobody's, and be gone.
            if lock.take(0.0) and lock.is_in_place():
                return lock
            lock.close()

    def of(self, text: str) -> BodyFile:
        """Return the file that the row of a body names.

        Raises:
            ValueError: it names none.
        """
        try:
            made: dict[str, Any] = json.loads(text)
            name, size, digest = made["file"], made["size"], bytes.fromhex(made["digest"])
            if not _NAME.fullmatch(name):
                raise ValueError("its name is none")  # noqa: TRY301
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"what the file says of a body cannot be read: {error}") from error
        is_whole = made.get("whole") is True
        return BodyFile(self.folder / name, int(size), digest, is_whole=is_whole)

    def sizes(self) -> dict[str, int]:
        """Return the names and octets of all files."""
        found: dict[str, int] = {}
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    if _NAME.fullmatch(entry.name):
                        with contextlib.suppress(OSError):  # gone at this very moment
                            found[entry.name] = entry.stat().st_size
        except FileNotFoundError:
            pass
        return found

    def collect(self, named: Callable[[], set[str]]) -> int:
        """Remove the files of nobody; return how many.

        Args:
            named: returns the names that rows have, as of now.

        Raises:
            OSError: the folder cannot be read.
        """
        return sum(self._remove(name, named) for name in self.unnamed(named))

    def unnamed(self, named: Callable[[], set[str]]) -> Iterator[str]:
        """Yield the names of files that no row names, and nobody is writing."""
        found = self.sizes()  # before the rows: a file is there first
        for name in sorted(found.keys() - named()) if found else ():
            if not is_locked(self.folder / name):
                yield name

    def _remove(self, name: str, named: Callable[[], set[str]]) -> bool:
        lock = FileLock(self.folder / name)
        try:
            # Only now nobody else can be about to have it named by a row.
            is_ours = lock.take(0.0) and name not in named()
            if is_ours:
                lock.remove()
            return is_ours
        finally:
            lock.close()

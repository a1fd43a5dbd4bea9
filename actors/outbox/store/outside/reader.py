"""`Reader`: the file of an outbox, opened for reading only."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Generator
from pathlib import Path

from ..errors import OutboxError, error_of
from ..locks import is_locked
from ..sqlite import schema
from ..sqlite.file import life_file, real_path
from ..sqlite.looks import Looks
from .visit import open_to_read

_PATIENCE = 1.0
"""Seconds that a read waits while the file is locked."""
_LONGEST = 2.0
"""Seconds that one statement may take: while it reads, the log cannot be made short."""
_STEPS = 20_000
"""Steps of SQLite between two looks at the clock."""


class Reader(Looks):
    """Reads the file of an outbox, and is none of its lives. For one thread at a time.

    The file is opened at the first `reading`, and again whenever another file has its name, or a
    read has failed.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path: Path = real_path(path)
        self._seen = 0
        self._file: tuple[int, int] | None = None
        self._ends_at = 0.0

    @contextlib.contextmanager
    def reading(self) -> Generator[None]:
        """Return a context: what is read in it is of one moment.

        Raises:
            OutboxError: the file is missing, no outbox, damaged, of another version, or locked. It
                is left as it is.
        """
        try:
            self._open_if_needed()
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise self._error_of(error) from error

    def close(self) -> None:
        """Close the file. May be called again; the next read opens it."""
        if self._file is not None:
            self._file = None
            with contextlib.suppress(sqlite3.Error):
                self._db.close()

    def allow(self, seconds: float = _LONGEST) -> None:
        """Let the statements from now on take so long, and no longer."""
        self._ends_at = time.monotonic() + seconds

    def _error_of(self, error: Exception) -> OutboxError:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
            return OutboxError(f"{self.path}: reading took too long; the disk is busy", True)
        return error_of(error, str(self.path))

    def _open_if_needed(self) -> None:
        self.allow()
        found = _file_of(self.path)
        if self._file == found:
            return
        self.close()
        db = open_to_read(self.path, _PATIENCE)
        try:
            db.execute("PRAGMA query_only = ON")
            db.execute("PRAGMA trusted_schema = OFF")
            self._check_version(db)
        except BaseException:
            db.close()
            raise
        db.set_progress_handler(lambda: time.monotonic() > self._ends_at, _STEPS)
        self._db, self._file = db, found

    def _check_version(self, db: sqlite3.Connection) -> None:
        version = schema.version_of(db)
        if version != schema.VERSION:
            raise OutboxError(
                f"{self.path} was written by an older pykka-smtp (its schema is {version}): the"
                " next start of an Outbox migrates it"
            )

    def lives(self) -> tuple[int, int]:
        """Return how many processes have the file open, and how many have died and left emails."""
        lives = [i for (i,) in self._db.execute("SELECT id FROM pykka_smtp_life LIMIT 1000")]
        alive = 0
        for life in lives:
            try:
                alive += is_locked(life_file(self.path, life))
            except OSError:  # not ours to open, so it is somebody's
                alive += 1
        return alive, len(lives) - alive


def _file_of(path: Path) -> tuple[int, int]:
    """Return what tells a file from another one with its name.

    Raises:
        OutboxError: it cannot be an outbox.
    """
    try:
        facts = path.stat()
    except FileNotFoundError:
        raise OutboxError(
            f"{path} is not there: the first start of an Outbox makes it; was it moved, or is the"
            " name another?"
        ) from None
    except OSError as error:
        raise error_of(error, str(path)) from error
    if path.is_dir():
        raise OutboxError(f"{path} is a folder; name a file in it")
    if not facts.st_size:
        raise OutboxError(f"{path} is empty (0 octets): its emails are lost, or it never had any")
    if not os.access(path, os.R_OK):
        raise OutboxError(f"{path} cannot be read: it is another user's")
    return facts.st_dev, facts.st_ino

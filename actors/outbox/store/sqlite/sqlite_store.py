"""`SqliteStore`: an outbox in an SQLite file, for any number of processes of one machine.

Writes and checkpoints happen only while the turnstile is held. SQLite's own way to wait for its
lock starves processes that put one email at a time; and of versions up to 3.51.2 a checkpoint that
begins while another process commits can damage the file.
"""

import contextlib
import logging
import os
import socket
import sqlite3
import time
from collections.abc import Generator
from pathlib import Path

from .....signals.dispatcher import log_safely
from ..clock import boot
from ..errors import OlderLifeError, OutboxError, error_of
from ..file_system import has_room
from ..forks import ForkGuard
from ..locks import FileLock
from ..notes import OutcomeNotes, open_notes
from ..wake import OtherLives, WakeSocket
from . import schema
from .by_hand import ByHand
from .file import OPEN_TIMEOUT, FilesInPlace, life_file, open_file, prepare, real_path, side_file
from .rescue import Rescues
from .times import Times

_OLDER_PATIENCE = 30.0
"""Seconds that a start waits for processes of older code, before it migrates the file."""
_COLLECT_EVERY = 1.0
"""Seconds between two looks for files of bodies that are nobody's."""
_COLLECT_AGAIN = 60.0
"""Seconds after which that is tried again if it has failed."""
_LONG_LOG = 4 * 1024 * 1024
"""Octets of the log from which on a checkpoint is due."""
_CHECKPOINT_AGAIN = 1.0
"""Seconds after which a checkpoint is tried again that was hindered by who reads the log."""
_READERS_TIME = 0.02
"""Seconds that a checkpoint waits for them, while nobody may write. One may have been stopped."""


def proof_in(connection: sqlite3.Connection) -> str | None:
    """Return the proof of the key that a file was sealed with; None if it is not sealed."""
    row = connection.execute("SELECT value FROM pykka_smtp_meta WHERE key = 'seal'").fetchone()
    return None if row is None else row[0]


class SqliteStore(Times, Rescues, ByHand):
    """An outbox in an SQLite file. See `Store`.

    Args:
        path: the file.
        alias: whose outcomes this life publishes.
        hears: whether it publishes outcomes: those of the emails that it puts wait for it then.
        sends: whether it sends emails: then it notes their outcomes, if that is possible.

    Raises:
        OutboxError: the file cannot be used.
    """

    def __init__(self, path: Path, alias: str, *, hears: bool = True, sends: bool = True) -> None:
        path = real_path(path)
        self.path: Path = path
        self.notes: OutcomeNotes | None = None
        self._alias = alias
        self._hears, self._sends = hears, sends
        self._is_durable = True
        self._seen = 0
        self._collect_at = self._checkpoint_at = 0.0
        self._turnstile = prepare(path)
        try:
            self._guard = guard = ForkGuard(path)
            try:
                with guard:
                    guard.connection = self._db = self._opened_file()
                    self._begin_life()
                    self._files = FilesInPlace(path)
            except BaseException:
                with guard, contextlib.suppress(sqlite3.Error):
                    if guard.connection is not None:
                        guard.connection.close()
                guard.forget()
                raise
        except BaseException:
            self._turnstile.close()
            raise
        self._turnstile.give_back()
        self._others = OtherLives(path, self.life)

    def _opened_file(self) -> sqlite3.Connection:
        """Open the file; wait, while processes of older code work with one that is older, too."""
        until = time.monotonic() + _OLDER_PATIENCE
        is_said = False
        while True:
            try:
                return open_file(self.path, self._turnstile, self._check_seal)
            except OlderLifeError as error:
                if time.monotonic() >= until:
                    raise
                if not is_said:
                    log_safely(logging.WARNING, "waiting: %s", error)
                is_said = True
                # They need their turn, to come to their end.
                self._turnstile.give_back()
                time.sleep(0.1)
                self._turnstile.take(OPEN_TIMEOUT)

    def _check_seal(self, connection: sqlite3.Connection) -> None:
        if proof_in(connection) is not None:
            raise OutboxError(
                f"the emails of {self.path} are sealed, and it is left as it is: start it with the"
                " seal and open that it was made with"
            )

    def _begin_life(self) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            # Before anybody can see that life: it would be taken for dead.
            life, self._lock = self._new_life()
            self.life: int = life
            try:
                self.notes = self._open_notes() if self._sends else None
                self._db.execute("COMMIT")
            except BaseException:
                self._close_notes()
                self._lock.remove()
                raise
            self.remove_strays()
        except (sqlite3.Error, OSError) as error:
            raise error_of(error, str(self.path)) from error
        self.has_changed()

    def _new_life(self) -> tuple[int, FileLock]:
        """Return a new life, and its lock, held: one that no other process has.

        It can have it if it works with another file, which was here before and is gone.
        """
        while True:
            made = self._db.execute(
                "INSERT INTO pykka_smtp_life (pid, host, alias, began, version)"
                " VALUES (?, ?, ?, ?, ?)",
                (os.getpid(), socket.gethostname(), self._alias, time.time(), schema.VERSION),
            )
            life = made.lastrowid
            assert life is not None
            lock = FileLock(life_file(self.path, life))
            # The other may remove it at this very moment, as it ends.
            if lock.take(0.0) and lock.is_in_place():
                lock.clear()  # of what a life of another file here has noted
                return life, lock
            lock.close()
            self._db.execute("DELETE FROM pykka_smtp_life WHERE id = ?", (life,))

    def _open_notes(self) -> OutcomeNotes | None:
        return open_notes(life_file(self.path, self.life), boot())

    def _close_notes(self) -> None:
        if self.notes is not None:
            self.notes.close()

    # Turns

    @property
    def waits_since(self) -> float | None:
        """See `Store`."""
        return self._turnstile.waits_since

    def wait_turn(self) -> None:
        """See `Store`."""
        if not self._turnstile.is_held:
            self._turnstile.take()

    def end_turn(self) -> None:
        """Let others write, although this process has not."""
        self._turnstile.give_back()

    @contextlib.contextmanager
    def turn(self, *, is_durable: bool) -> Generator[None]:
        """See `Store`."""
        db = self._db
        try:
            self.wait_turn()
            self._files.check()
            with self._guard:
                if is_durable is not self._is_durable:
                    db.execute(f"PRAGMA synchronous = {'FULL' if is_durable else 'NORMAL'}")
                    self._is_durable = is_durable
                db.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    db.execute("COMMIT")
                except BaseException:
                    with contextlib.suppress(sqlite3.Error):
                        db.execute("ROLLBACK")
                    raise
        except OutboxError:
            raise
        except (sqlite3.Error, OSError) as error:
            raise error_of(error, str(self.path)) from error
        finally:
            self._turnstile.give_back()

    def look(self) -> contextlib.AbstractContextManager[object]:
        """See `Store`."""
        return self._guard

    def tidy(self) -> None:
        """See `Store`."""
        if self.bodies.is_to_collect and time.monotonic() >= self._collect_at:
            self._collect()
        try:
            if side_file(self.path, "wal").stat().st_size < _LONG_LOG:
                return
        except OSError:
            return
        if time.monotonic() >= self._checkpoint_at and self._turnstile.take(0.0):
            try:
                with self._guard:
                    if not self._checkpoint():
                        self._checkpoint_at = time.monotonic() + _CHECKPOINT_AGAIN
                    self._db.execute("PRAGMA incremental_vacuum(100)").fetchall()
            except sqlite3.Error as error:
                raise error_of(error, str(self.path)) from error
            finally:
                self._turnstile.give_back()

    def _checkpoint(self) -> bool:
        """Move the log into the file; return False if it could not be cut, as somebody reads it.

        It is short then: its length tells when the next is due, to every process.
        """
        self._db.execute(f"PRAGMA busy_timeout = {1000 * _READERS_TIME:.0f}")
        try:
            [is_busy, *_] = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0]
        finally:
            self._db.execute(f"PRAGMA busy_timeout = {1000 * OPEN_TIMEOUT:.0f}")
        return not is_busy

    def _collect(self) -> None:
        """Remove files of bodies that no email has any more. What was written is committed."""
        self.bodies.is_to_collect, self._collect_at = False, time.monotonic() + _COLLECT_EVERY
        try:
            with self._guard:
                count = self.bodies.collect(self.files_named)
        except (sqlite3.Error, OSError, ValueError) as error:
            text = "files of bodies in %s cannot be removed: %s"
            log_safely(logging.WARNING, text, self.bodies.folder, error)
            self._collect_at += _COLLECT_AGAIN
        else:
            if count:
                log_safely(logging.DEBUG, "%d files of bodies were removed", count)

    def touch(self) -> None:
        """See `Store`."""
        self._db.execute(
            "INSERT OR REPLACE INTO pykka_smtp_meta VALUES ('touched', ?)", (str(time.time()),)
        )

    def has_room(self) -> bool:
        """Whether the disk has room for more."""
        return has_room(self.path.parent)

    # Other lives

    def listen(self, roles: int) -> WakeSocket | None:
        """See `Store`."""
        with contextlib.suppress(OSError):
            return WakeSocket(self.path, self.life, roles)
        return None

    def wake(self, emails: int, outcomes: int) -> None:
        """See `Store`."""
        self._others.wake(emails, outcomes)

    # The end

    def reopen(self) -> None:
        """See `Store`."""
        self._files.check()  # or a new file would be made
        with self._guard, contextlib.suppress(sqlite3.Error):
            self._db.close()
        if not self._turnstile.take(OPEN_TIMEOUT):
            raise OutboxError(f"{self.path} is locked by another process", True)
        try:
            with self._guard as guard:
                self._db = open_file(self.path, self._turnstile, self._check_seal)
                guard.connection = self._db
            self._files = FilesInPlace(self.path)
            self._is_durable = True
        finally:
            self._turnstile.give_back()

    def close(self, *, is_clean: bool = True) -> None:
        """See `Store`."""
        if is_clean and self.bodies.is_to_collect:
            self._collect()
        held = self._turnstile.is_held or self._turnstile.take(OPEN_TIMEOUT)
        try:
            with self._guard:
                if is_clean and held:
                    with contextlib.suppress(sqlite3.Error):
                        self._end_life()
                with contextlib.suppress(sqlite3.Error):
                    self._db.close()
        finally:
            self._guard.forget()
            self._others.close()
            self._turnstile.close()
            self._close_notes()
            if is_clean:
                self._lock.remove()
            else:
                self._lock.close()

    def _end_life(self) -> None:
        owned = (
            "SELECT 1 FROM pykka_smtp_mail WHERE state IN ('claimed','dot','told') AND owner = ?"
        )
        if self._db.execute(owned, (self.life,)).fetchone() is None:
            self._db.execute("DELETE FROM pykka_smtp_life WHERE id = ?", (self.life,))
        self._checkpoint()

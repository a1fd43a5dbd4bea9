"""What a person does to an email, from another process than those that send."""

import contextlib
import sqlite3
import time
from pathlib import Path

from ...rules.states import Step
from ..errors import OutboxError, error_of
from ..file_system import check_file_system
from ..locks import FileLock
from ..sqlite import schema
from ..sqlite.by_hand import ByHand
from ..sqlite.file import real_path, side_file
from ..wake import wake_lives

BY_HAND = (Step.CANCEL, Step.HOLD, Step.RELEASE, Step.RETRY)
"""What a person can do."""
_PATIENCE = 5.0
"""Seconds that it waits for other processes."""


class _Hand(ByHand):
    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path: Path = path
        self._db = connection
        self._seen = 0

    def do(self, step: Step, alias: str | None, name: str, cancelled: str) -> bool:
        now = time.time()
        if step is Step.CANCEL:
            return self.cancel(alias, name, cancelled, now)
        if step is Step.HOLD:
            return self.hold(alias, name)
        if step is Step.RELEASE:
            return self.release(alias, name, now)
        return self.retry(alias, name, now)


def act(path: Path, step: Step, name: str, cancelled: str, *, alias: str | None = None) -> bool:
    """Do something to an email, and wake the processes that work with the file.

    Args:
        path: the file.
        step: one of `BY_HAND`.
        name: the email's key or id.
        cancelled: the outcome of a cancelled email, as text.
        alias: its alias. Default: any.

    Returns:
        Whether there was such an email, in a state in which that can be done.

    Raises:
        OutboxError: the file cannot be used.
    """
    if step not in BY_HAND:
        raise ValueError(f"a person does not {step}")
    if not path.is_file():
        raise OutboxError(f"{path} is not there")
    path = real_path(path)
    check_file_system(path.parent)
    try:
        turnstile = FileLock(side_file(path, "turn"))
    except OSError as error:
        raise error_of(error, str(side_file(path, "turn"))) from error
    try:
        # As all writers: nothing commits while another begins a checkpoint.
        if not turnstile.take(_PATIENCE):
            text = f"{path}: another process has kept it locked for {_PATIENCE:.0f} s; try again"
            raise OutboxError(text, True)
        done = _act(path, step, alias, name, cancelled)
    except (sqlite3.Error, OSError) as error:
        raise error_of(error, str(path)) from error
    finally:
        turnstile.close()
    wake_lives(path)
    return done


def _act(path: Path, step: Step, alias: str | None, name: str, cancelled: str) -> bool:
    uri = path.absolute().as_uri() + "?mode=rw"
    db = sqlite3.connect(uri, uri=True, timeout=_PATIENCE, isolation_level=None)
    try:
        if schema.version_of(db) != schema.VERSION:
            raise OutboxError(f"{path} is no outbox, or one of another version; nothing was done")
        for setting in ("synchronous = FULL", "wal_autocheckpoint = 0", "trusted_schema = OFF"):
            db.execute(f"PRAGMA {setting}")
        db.execute("BEGIN IMMEDIATE")
        try:
            done = _Hand(path, db).do(step, alias, name, cancelled)
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
        return done
    finally:
        db.close()  # before the turnstile: the last one that closes makes a checkpoint

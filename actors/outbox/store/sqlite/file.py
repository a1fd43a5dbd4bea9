"""Opening the SQLite file of an outbox: checks, settings, migrations."""

import contextlib
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

from ..errors import OlderLifeError, OutboxError, error_of
from ..file_system import ANYWAY, check_file_system, sync_folder
from ..locks import FileLock, is_locked
from . import schema

OPEN_TIMEOUT = 30.0
"""Seconds that opening waits for other processes."""
MIN_SQLITE = (3, 35, 0)
_SMALLEST = 512
"""Octets of a page: of less than one, SQLite makes a new file."""
_BACK = "bring it back, or end all programs that use it and start them anew"
_MOST_PAGES_OF_CACHE = -16_000  # KiB, as SQLite has it


def real_path(path: Path) -> Path:
    """Return where an outbox is, whatever becomes of the current folder and of links to it.

    All processes must find the same files beside it: a life whose lock is not found is dead.

    Args:
        path: the outbox, as a program names it.
    """
    return Path(os.path.realpath(path))


def side_file(path: Path, name: str) -> Path:
    """Return the path of a file beside an outbox.

    Args:
        path: the outbox.
        name: what it is for.
    """
    return path.with_name(f"{path.name}-{name}")


def life_file(path: Path, life: int) -> Path:
    """Return the file that a life holds a lock on."""
    return side_file(path, f"life-{life}")


class FilesInPlace:
    """An outbox and its log, as they were when they were opened.

    SQLite goes on with files that were removed or replaced, and what it writes into them is lost.

    Args:
        path: the outbox.

    Raises:
        OSError: one of them is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names = str(path), str(side_file(path, "wal"))
        self._known = [_which(os.stat(name)) for name in self._names]  # noqa: PTH116 - faster
        # Elsewhere a file may have another number at each look.
        self._are_numbered = os.environ.get(ANYWAY) != "1"

    def check(self) -> None:
        """Check that they are in place, and not cut. It takes 2 microseconds.

        Raises:
            OutboxError: they are not.
        """
        try:
            facts = [os.stat(name) for name in self._names]  # noqa: PTH116
        except FileNotFoundError as error:
            text = f"{Path(error.filename).name} has gone while it is in use"
            raise OutboxError(f"{self._path}: {text}: {_BACK}", True) from error
        is_other = self._are_numbered and [_which(one) for one in facts] != self._known
        if is_other or facts[0].st_size < _SMALLEST:
            text = "was replaced or cut while it is in use"
            raise OutboxError(f"{self._path} {text}: {_BACK}", True)


def _which(facts: os.stat_result) -> tuple[int, int]:
    return facts.st_dev, facts.st_ino


def open_file(
    path: Path, turnstile: FileLock, check: Callable[[sqlite3.Connection], object] | None = None
) -> sqlite3.Connection:
    """Open the file, or make it if there is none; its turnstile is held.

    Args:
        path: the file.
        turnstile: its turnstile.
        check: looks into a file that has an outbox, before anything is written; raises if it must
            not be opened.

    Raises:
        OutboxError: it cannot be used. It is left as it is.
    """
    is_checked = False
    try:
        if not path.exists():
            _make(path)
        else:
            check_size(path)
            is_checked = _check_without_writing(path, check)
        connection = _connect(path)
    except (sqlite3.Error, OSError) as error:
        raise error_of(error, str(path)) from error
    try:
        if not is_checked:
            _check_version(connection, path)
        _set_up(connection)
        if not is_checked:
            _check_pages(connection, path)
            _check_tables(connection, check)
        _migrate(connection, path)
    except BaseException as error:
        with contextlib.suppress(sqlite3.Error):
            connection.close()
        if isinstance(error, sqlite3.Error | OSError):
            raise error_of(error, str(path)) from error
        raise
    assert turnstile.is_held
    return connection


def prepare(path: Path) -> FileLock:
    """Check where the file is to be, and return its turnstile, held.

    Raises:
        OutboxError: it cannot be there, or another process does not let it be opened.
    """
    if sqlite3.sqlite_version_info < MIN_SQLITE:
        needed = ".".join(map(str, MIN_SQLITE))
        raise OutboxError(f"SQLite {sqlite3.sqlite_version} is too old; an outbox needs {needed}")
    folder = path.parent
    if not folder.is_dir():
        raise OutboxError(f"{folder} is no folder; make it first, for {path.name} to be in it")
    if path.is_dir():
        raise OutboxError(f"{path} is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise OutboxError(f"{path} is no regular file, and cannot be an outbox")
    check_file_system(folder)
    try:
        turnstile = FileLock(side_file(path, "turn"))
    except OSError as error:
        raise error_of(error, str(side_file(path, "turn"))) from error
    if turnstile.take(OPEN_TIMEOUT):
        return turnstile
    turnstile.close()
    text = f"{path}: another process has not let it be opened for {OPEN_TIMEOUT:.0f} s"
    raise OutboxError(text, True)


def _connect(path: Path) -> sqlite3.Connection:
    # Used by one thread at a time: opened where the outbox is started, then by its own thread.
    connection = sqlite3.connect(
        path.absolute().as_uri() + "?mode=rw",
        uri=True,
        timeout=OPEN_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _check_without_writing(
    path: Path, check: Callable[[sqlite3.Connection], object] | None
) -> bool:
    """Refuse a newer or damaged file; return whether it was looked at.

    With a connection that cannot write: another would move what is in the log into the file, at the
    latest when it is closed.
    """
    if side_file(path, "journal").exists():
        return False  # of a program whose transaction has to be undone first
    uri = path.absolute().as_uri() + "?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=OPEN_TIMEOUT, isolation_level=None)
    with contextlib.closing(connection):
        _check_version(connection, path)
        _check_pages(connection, path)
        _check_tables(connection, check)
    return True


def _check_tables(
    connection: sqlite3.Connection, check: Callable[[sqlite3.Connection], object] | None
) -> None:
    if check is not None and schema.version_of(connection) is not None:
        check(connection)


def check_size(path: Path) -> None:
    """Refuse what SQLite would take for a new file.

    By its size: to open it and close it again would drop the locks this process may have on it.
    """
    size = path.stat().st_size
    if not size:
        raise OutboxError(
            f"{path} is empty (0 octets), so its emails are lost, or it never had any. If it is to"
            " be a new outbox, delete it"
        )
    if size < _SMALLEST:
        raise OutboxError(f"{path} has {size} octets, and so is no outbox; it is left as it is")


def _make(path: Path) -> None:
    """Make a new file beside, and give it its name once it is on disk: never half of one."""
    for name in ("wal", "journal"):
        side = side_file(path, name)
        if side.exists() and side.stat().st_size:
            raise OutboxError(
                f"{path} is missing, but {side.name} is there, which may have its"
                " emails. Bring the file back, or move the other away"
            )
    made = side_file(path, "new")
    for rest in ("", "-wal", "-shm", "-journal"):  # of a start that was killed
        made.with_name(made.name + rest).unlink(missing_ok=True)
    os.close(os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    connection = sqlite3.connect(made, isolation_level=None)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {schema.VERSION}")
        # Not with a write-ahead log yet: what of that did not get into the file is another file's
        # once this one is renamed, and SQLite's close does not say.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        schema.create(connection)
        connection.execute("COMMIT")
    finally:
        connection.close()
    made.rename(path)
    sync_folder(path.parent)


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    [own] = connection.execute("PRAGMA application_id").fetchone()
    [noted] = connection.execute("PRAGMA user_version").fetchone()
    version = noted if own == schema.APPLICATION_ID else schema.version_of(connection)
    if version is not None and version > schema.VERSION:
        raise OutboxError(
            f"{path} was written by a newer pykka-smtp (its schema is {version}, this one knows"
            f" {schema.VERSION}): upgrade this program"
        )


def _set_up(connection: sqlite3.Connection) -> None:
    [mode] = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise OutboxError(f"the file cannot have a write-ahead log (journal_mode {mode})")
    for setting in (
        "synchronous = FULL",
        "wal_autocheckpoint = 0",  # checkpoints are made in the turnstile only
        f"cache_size = {_MOST_PAGES_OF_CACHE}",
        "temp_store = MEMORY",
        "trusted_schema = OFF",
        "secure_delete = FAST",
    ):
        connection.execute(f"PRAGMA {setting}")
    if sys.platform == "darwin":  # pragma: no cover - there, fsync is none without it
        connection.execute("PRAGMA fullfsync = ON")


def _check_pages(connection: sqlite3.Connection, path: Path) -> None:
    [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise OutboxError(
            f"{path} is damaged ({found!r:.200}); it is left as it is. Move it and the files beside"
            " it away, start with a new one, and take what can be read from the old"
        )


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = schema.version_of(connection)
    if version is not None and version < schema.VERSION:
        _refuse_older_lives(connection, path)
    if version == schema.VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if version is None:
            schema.create(connection)
        else:
            for old in range(version, schema.VERSION):
                schema.MIGRATIONS[old](connection)
            schema.note_version(connection)
        [own] = connection.execute("PRAGMA application_id").fetchone()
        if own == schema.APPLICATION_ID:
            connection.execute(f"PRAGMA user_version = {schema.VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _refuse_older_lives(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse to migrate while a process runs that knows the older version only."""
    for life, pid, alias in connection.execute("SELECT id, pid, alias FROM pykka_smtp_life"):
        if is_locked(life_file(path, life)):
            raise OlderLifeError(
                f"{path} has an older schema, and process {pid} ({alias}) still works with that:"
                " end it first",
                True,
            )

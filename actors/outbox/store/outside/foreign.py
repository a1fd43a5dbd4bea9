"""Connections of the program to its own SQLite file: of sqlite3, SQLAlchemy and Django.

An email is written in the program's own transaction: it is there if that is committed, and was
never there if it is rolled back. Neither SQLAlchemy nor Django is imported: who has a connection
of one has imported it.
"""

import contextlib
import sqlite3
import sys
from collections.abc import Generator
from typing import Any

from ...rules.states import State
from ...text.seals import sealed_of
from ..errors import OutboxError
from ..records import Clash, NewMail
from ..sqlite.schema import VERSION

_INSTEAD = "hand it to an Outbox once the transaction is committed, with Outbox.ask(Put(...))"
_COLUMNS = "id, key, alias, digest, env, size, priority, due, expires, put_at, at_least_once, state"
_INSERT = (
    f"INSERT INTO pykka_smtp_mail ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'ready')"
    " ON CONFLICT (alias, key) DO NOTHING"
)
_READ_META = (
    "SELECT (SELECT value FROM pykka_smtp_meta WHERE key = 'version'),"
    " (SELECT 1 FROM pykka_smtp_meta WHERE key = 'seal')"
)
_FIND = "SELECT seq, id, digest FROM pykka_smtp_mail WHERE alias = ? AND key = ?"
_NO_TABLE = "no such table: pykka_smtp_"


def put_in_transaction(connection: Any, mail: NewMail) -> Clash | None:
    """Put an email in the transaction of a connection; return what has its key already, or None.

    A connection that is in no transaction, and begins none by itself, has one for this email alone.

    Raises:
        TypeError: the connection is none of sqlite3, SQLAlchemy or Django.
        ValueError: its database is not SQLite.
        OutboxError: the database has no tables of an outbox, or those of another version.
        Exception: what the connection raises, such as `sqlite3.OperationalError`.
    """
    database = _database_of(connection)
    try:
        with database.transaction():
            return _put(database, mail)
    except Exception as error:
        if _NO_TABLE in str(error):
            text = "the database has no tables of an outbox: run the SQL of outbox_schema() in a"
            raise OutboxError(f"{text} migration, or start an Outbox on its file first") from error
        raise


def _put(database: "_Database", mail: NewMail) -> Clash | None:
    (version, needs_seal), _ = database.execute(_READ_META)
    if int(version) != VERSION:
        raise OutboxError(
            f"the outbox's tables have version {int(version)}, and this pykka-smtp needs {VERSION}:"
            + (" start an Outbox on the file" if int(version) < VERSION else " upgrade it")
        )
    if needs_seal and sealed_of(mail.env) is None:
        raise OutboxError("the emails of the outbox are sealed: give its seal, too")
    values = (
        *(mail.id, mail.key, mail.alias, mail.digest, mail.env, len(mail.body), mail.priority),
        *(mail.due, mail.expires, mail.put_at, mail.at_least_once),
    )
    _, cursor = database.execute(_INSERT, values)
    if not cursor.rowcount:
        (seq, id_, digest), _ = database.execute(_FIND, (mail.alias, mail.key))
        id_ = id_.decode() if isinstance(id_, bytes) else id_  # with a `text_factory`
        return Clash(seq, id_, digest == mail.digest, State.READY)
    seq = cursor.lastrowid
    try:
        database.execute("INSERT INTO pykka_smtp_body VALUES (?, ?)", (seq, mail.body))
    except BaseException:
        # Half of it must not stay, even if the program goes on and commits.
        with contextlib.suppress(Exception):
            database.execute("DELETE FROM pykka_smtp_mail WHERE seq = ?", (seq,))
        raise
    return None


class _Database:
    """A connection of the module sqlite3.

    Args:
        connection: the connection.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> tuple[Any, Any]:
        """Execute a statement; return its first row, and its cursor."""
        cursor = self._connection.cursor()
        cursor.row_factory = None
        cursor.execute(statement, values)
        return cursor.fetchone() if cursor.description else None, cursor

    def _has_own(self) -> bool:
        """Whether what is written is the program's to commit."""
        raw = self._raw
        if raw.in_transaction:
            return True
        mode = getattr(raw, "autocommit", None)  # Python 3.12
        if isinstance(mode, bool):
            return not mode
        return raw.isolation_level is not None  # the module itself begins one

    @property
    def _raw(self) -> Any:
        return self._connection

    @contextlib.contextmanager
    def transaction(self) -> Generator[None]:
        """Return a context in which there is a transaction."""
        if self._has_own():
            yield
            return
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with contextlib.suppress(Exception):
                self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")


class _OfSqlAlchemy(_Database):
    """A Connection of SQLAlchemy."""

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> tuple[Any, Any]:
        result = self._connection.exec_driver_sql(statement, values)
        return result.fetchone() if result.returns_rows else None, result

    @property
    def _raw(self) -> Any:
        return self._connection.connection.driver_connection


class _OfDjango(_Database):
    """A connection of Django: it has one of sqlite3, in the transaction of ``atomic``."""

    def __init__(self, wrapper: Any) -> None:
        wrapper.validate_no_broken_transaction()
        wrapper.ensure_connection()
        super().__init__(wrapper.connection)
        self._wrapper = wrapper

    @contextlib.contextmanager
    def transaction(self) -> Generator[None]:
        with self._wrapper.wrap_database_errors, super().transaction():
            yield


def _database_of(connection: Any) -> _Database:
    if isinstance(connection, sqlite3.Connection):
        return _Database(connection)
    name = type(connection).__name__
    if _is_a(connection, "sqlalchemy.ext.asyncio", "AsyncSession", "AsyncConnection"):
        raise TypeError(
            f"handover: of an {name}, write await session.run_sync(lambda s: handover(s, mail))"
        )
    if _is_a(connection, "sqlalchemy.orm", "Session", "scoped_session"):
        connection = connection.connection()
    if _is_a(connection, "sqlalchemy", "Connection"):
        _check(connection.dialect.name)
        return _OfSqlAlchemy(connection)
    if _is_a(connection, "django.utils.connection", "ConnectionProxy"):
        connection = sys.modules["django.db"].connections[connection.alias]
    if _is_a(connection, "django.db.backends.base.base", "BaseDatabaseWrapper"):
        _check(connection.vendor)
        return _OfDjango(connection)
    raise TypeError(
        f"handover: needs a connection of sqlite3, SQLAlchemy or Django, not {name}; for another"
        f" database, {_INSTEAD}"
    )


def _is_a(value: object, module: str, *names: str) -> bool:
    loaded = sys.modules.get(module)
    kinds = [getattr(loaded, name, None) for name in names]
    return any(isinstance(kind, type) and isinstance(value, kind) for kind in kinds)


def _check(kind: str) -> None:
    if kind != "sqlite":
        raise ValueError(f"handover: the database is {kind}, and must be SQLite; {_INSTEAD}")

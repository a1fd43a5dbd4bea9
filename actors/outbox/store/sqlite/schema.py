"""The tables of an outbox, and how a file of an older version becomes one of this.

All names begin with `pykka_smtp_`: the tables may be in the program's own file.
"""

import sqlite3
from collections.abc import Callable

VERSION = 1
"""The schema's. A newer file is refused; an older one is migrated."""
APPLICATION_ID = 0x504B534D
"""Marks a file that has nothing but an outbox (``PRAGMA application_id``)."""

_TABLES = """
CREATE TABLE pykka_smtp_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE pykka_smtp_life (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  pid INTEGER, host TEXT, alias TEXT, began REAL, version INTEGER
);
CREATE TABLE pykka_smtp_mail (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL, key TEXT NOT NULL, alias TEXT NOT NULL, digest BLOB NOT NULL,
  state TEXT NOT NULL DEFAULT 'ready', priority INTEGER NOT NULL DEFAULT 0,
  due REAL NOT NULL, put_off INTEGER NOT NULL DEFAULT 0, expires REAL,
  put_at REAL NOT NULL, ended_at REAL,
  owner INTEGER, home INTEGER,
  attempts INTEGER NOT NULL DEFAULT 0, doubts INTEGER NOT NULL DEFAULT 0,
  crashes INTEGER NOT NULL DEFAULT 0, replays INTEGER NOT NULL DEFAULT 0,
  at_least_once INTEGER NOT NULL DEFAULT 1, is_sent INTEGER, size INTEGER NOT NULL DEFAULT 0,
  env TEXT NOT NULL, past TEXT, outcome TEXT
);
CREATE TABLE pykka_smtp_body (seq INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE INDEX pykka_smtp_body_beside ON pykka_smtp_body (data) WHERE typeof(data) = 'text';
CREATE UNIQUE INDEX pykka_smtp_mail_key ON pykka_smtp_mail (alias, key);
CREATE INDEX pykka_smtp_mail_id ON pykka_smtp_mail (id) WHERE id <> key;
CREATE INDEX pykka_smtp_mail_ready ON pykka_smtp_mail (priority, due, seq) WHERE state = 'ready';
CREATE INDEX pykka_smtp_mail_alone ON pykka_smtp_mail (due) WHERE state = 'ready' AND crashes >= 3;
CREATE INDEX pykka_smtp_mail_owned ON pykka_smtp_mail (state, owner)
  WHERE state IN ('claimed', 'dot', 'told');
CREATE INDEX pykka_smtp_mail_heard ON pykka_smtp_mail (is_sent, ended_at) WHERE state = 'heard';
CREATE INDEX pykka_smtp_mail_expires ON pykka_smtp_mail (expires)
  WHERE state IN ('ready', 'held') AND expires IS NOT NULL;
CREATE INDEX pykka_smtp_mail_held ON pykka_smtp_mail (seq) WHERE state = 'held';
"""

MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {}
"""From each version to the next: called in one transaction, while no other process writes."""


def create(connection: sqlite3.Connection) -> None:
    """Create the tables, in the transaction that has begun."""
    for statement in _TABLES.split(";"):
        if statement.strip():
            connection.execute(statement)
    note_version(connection)


def script() -> str:
    """Return the statements that make the tables where there are none."""
    tables = [
        " ".join(statement.split())
        .replace("CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ")
        .replace("CREATE INDEX ", "CREATE INDEX IF NOT EXISTS ")
        .replace("CREATE UNIQUE INDEX ", "CREATE UNIQUE INDEX IF NOT EXISTS ")
        for statement in _TABLES.split(";")
        if statement.strip()
    ]
    version = f"INSERT OR IGNORE INTO pykka_smtp_meta VALUES ('version', '{VERSION}')"
    return "".join(f"{statement};\n" for statement in [*tables, version])


def note_version(connection: sqlite3.Connection) -> None:
    """Note in the file that it has this version."""
    connection.execute(
        "INSERT OR REPLACE INTO pykka_smtp_meta VALUES ('version', ?)", (str(VERSION),)
    )


def version_of(connection: sqlite3.Connection) -> int | None:
    """Return the version of the tables in a file; None if there are none."""
    known = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'pykka_smtp_meta'"
    ).fetchone()
    if known is None:
        return None
    row = connection.execute("SELECT value FROM pykka_smtp_meta WHERE key = 'version'").fetchone()
    return int(row[0]) if row is not None else None

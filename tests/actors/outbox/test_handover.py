"""`handover`: an email in the program's own transaction, in its own file."""

import asyncio
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.outboxes import Outboxes, mail
from servers.require import require_module
from servers.waiting import PATIENCE

from pykka_smtp import (
    Cancel,
    Drain,
    Find,
    OutboxError,
    Put,
    SendSuccess,
    handover,
    outbox_schema,
)


@pytest.fixture
def app(outboxes: Outboxes) -> Iterator[sqlite3.Connection]:
    """The program's own file, with a table and a version of its own, and those of an outbox."""
    db = sqlite3.connect(outboxes.path)
    db.execute("CREATE TABLE orders (number INTEGER PRIMARY KEY)")
    db.executescript(outbox_schema())
    db.execute("PRAGMA user_version = 42")
    db.commit()
    yield db
    db.close()


def keys(path: Path) -> list[str]:
    db = sqlite3.connect(path)
    found = db.execute(
        "SELECT key FROM pykka_smtp_mail m JOIN pykka_smtp_body b ON b.seq = m.seq ORDER BY key"
    ).fetchall()
    db.close()
    return [key for (key,) in found]


def test_what_is_committed_is_sent_and_what_is_rolled_back_never_was_there(
    outboxes: Outboxes, app: sqlite3.Connection, server: Any
) -> None:
    ref = outboxes.start(server)
    with app:
        app.execute("INSERT INTO orders VALUES (1)")
        receipt = handover(app, mail(1), key="order-1", alias="shop")
    handover(app, mail(2), key="order-2", alias="shop")
    with pytest.raises(sqlite3.IntegrityError), app:
        app.execute("INSERT INTO orders VALUES (1)")

    [outcome] = outboxes.wait_for(1)
    assert isinstance(outcome, SendSuccess)
    assert (outcome.mail.id, receipt.key) == ("mail-1", "order-1")
    assert ref.ask(Drain(timeout=PATIENCE))
    assert server.accepted == 1
    assert keys(outboxes.path) == []
    assert app.execute("SELECT * FROM orders").fetchall() == [(1,)]


def test_nobody_else_sees_it_before_the_commit(outboxes: Outboxes, app: sqlite3.Connection) -> None:
    handover(app, mail(1))

    assert app.in_transaction
    assert keys(outboxes.path) == []
    app.commit()
    assert keys(outboxes.path) == ["mail-1"]


def test_the_program_keeps_its_version_and_its_file(
    outboxes: Outboxes, app: sqlite3.Connection
) -> None:
    outboxes.stop(outboxes.start())

    assert app.execute("PRAGMA user_version").fetchone() == (42,)
    assert app.execute("PRAGMA application_id").fetchone() == (0,)
    assert app.execute("PRAGMA auto_vacuum").fetchone() == (0,)
    assert app.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_an_outbox_makes_the_tables_in_a_file_that_has_none(outboxes: Outboxes) -> None:
    db = sqlite3.connect(outboxes.path)
    db.execute("CREATE TABLE orders (number)")
    with pytest.raises(OutboxError, match=r"has no tables of an outbox: .* outbox_schema\(\)"):
        handover(db, mail(1))
    db.rollback()

    outboxes.stop(outboxes.start())
    handover(db, mail(1))
    db.commit()

    assert keys(outboxes.path) == ["mail-1"]
    db.close()


def test_the_schema_is_that_of_an_outbox_and_may_be_run_twice(tmp_path: Path) -> None:
    def tables(path: Path) -> set[tuple[str, str]]:
        db = sqlite3.connect(path)
        found = db.execute("SELECT name, sql FROM sqlite_master WHERE name LIKE 'pykka%'")
        made = {(name, "".join((sql or "").split())) for name, sql in found}
        db.close()
        return made

    with Outboxes(tmp_path) as outboxes:
        outboxes.start()
    db = sqlite3.connect(tmp_path / "app.db")
    db.executescript(outbox_schema())
    db.executescript(outbox_schema())
    db.close()

    assert tables(tmp_path / "app.db") == tables(outboxes.path) != set()


def test_a_key_that_is_there_is_a_duplicate_and_another_email_with_it_an_error(
    app: sqlite3.Connection, outboxes: Outboxes
) -> None:
    handover(app, mail(1), key="k")
    again = handover(app, mail(1, id="another-id"), key="k")
    with pytest.raises(ValueError, match=r"key 'k' is that of another email \(mail-1\)"):
        handover(app, mail(2), key="k")
    app.commit()

    assert (again.id, again.is_duplicate) == ("mail-1", True)
    assert keys(outboxes.path) == ["k"]
    ref = outboxes.start(alias="outbox")
    assert ref.ask(Put(mail(1), key="k")).is_duplicate
    assert ref.ask(Cancel("k"))


@pytest.mark.parametrize("level", [None, "DEFERRED", "IMMEDIATE"])
def test_every_way_of_the_module_to_begin_transactions_works(
    app: sqlite3.Connection, outboxes: Outboxes, level: Any
) -> None:
    app.isolation_level = level
    app.row_factory = sqlite3.Row
    app.text_factory = bytes
    handover(app, mail(1))
    assert handover(app, mail(1)).id == "mail-1"

    if level is not None:
        assert keys(outboxes.path) == []
    app.commit()
    assert keys(outboxes.path) == ["mail-1"]
    app.execute("BEGIN")
    handover(app, mail(2))
    app.rollback()
    assert keys(outboxes.path) == ["mail-1"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="connections have no autocommit before")
@pytest.mark.parametrize("autocommit", [True, False])
def test_autocommit_of_newer_pythons_works(
    app: sqlite3.Connection, outboxes: Outboxes, autocommit: bool
) -> None:
    app.close()
    more: dict[str, Any] = {"autocommit": autocommit}
    db = sqlite3.connect(outboxes.path, **more)
    handover(db, mail(1))
    assert keys(outboxes.path) == (["mail-1"] if autocommit else [])
    db.commit()
    assert keys(outboxes.path) == ["mail-1"]
    db.close()


def test_half_of_an_email_does_not_stay_if_the_program_goes_on(
    app: sqlite3.Connection, outboxes: Outboxes
) -> None:
    app.execute(
        "CREATE TRIGGER no BEFORE INSERT ON pykka_smtp_body BEGIN SELECT RAISE(FAIL, 'full'); END"
    )
    app.execute("INSERT INTO orders VALUES (1)")
    with pytest.raises(sqlite3.Error, match="full"):
        handover(app, mail(1))
    app.commit()

    assert app.execute("SELECT count(*) FROM pykka_smtp_mail").fetchone() == (0,)
    assert app.execute("SELECT count(*) FROM orders").fetchone() == (1,)


def test_the_arguments_of_put_count(app: sqlite3.Connection, outboxes: Outboxes) -> None:
    handover(app, mail(1), priority=-3, at_least_once=False, alias="news")
    app.commit()

    [found] = outboxes.start().ask(Find(alias="news"))

    assert (found.priority, found.at_least_once, found.state) == (-3, False, "ready")
    with pytest.raises(ValueError, match="priority"):
        handover(app, mail(1), priority=10)
    with pytest.raises(TypeError, match="context"):
        handover(app, mail(1, context=object()))
    with pytest.raises(TypeError, match="mail: needs a SendMail, not str"):
        handover(app, "an email")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="outcome_to"):
        handover(app, mail(1, outcome_to=outboxes._refs[0]))


def test_another_kind_of_connection_is_refused_with_what_to_do() -> None:
    class Connection:
        pass

    with pytest.raises(
        TypeError, match=r"not Connection; for another database, .*Outbox\.ask\(Put"
    ):
        handover(Connection(), mail(1))


def test_tables_of_another_version_are_refused(app: sqlite3.Connection) -> None:
    app.execute("UPDATE pykka_smtp_meta SET value = '99' WHERE key = 'version'")

    with pytest.raises(OutboxError, match=r"version 99.*upgrade"):
        handover(app, mail(1))


# SQLAlchemy


@pytest.fixture
def engine(app: sqlite3.Connection, outboxes: Outboxes) -> Iterator[Any]:
    require_module("sqlalchemy")
    import sqlalchemy

    made = sqlalchemy.create_engine(f"sqlite:///{outboxes.path}")
    yield made
    made.dispose()


@pytest.mark.parametrize("kind", ["Session", "scoped_session", "Connection", "begin"])
def test_sqlalchemy_commits_and_rolls_back(
    engine: Any, outboxes: Outboxes, server: Any, kind: str
) -> None:
    import sqlalchemy.orm

    def work(number: int, fails: bool) -> None:
        def in_one(connection: Any) -> None:
            connection.execute(sqlalchemy.text("INSERT INTO orders VALUES (:n)"), {"n": number})
            handover(connection, mail(number), alias="shop")
            if fails:
                raise ZeroDivisionError

        if kind == "Session":
            with sqlalchemy.orm.Session(engine) as session, session.begin():
                in_one(session)
        elif kind == "scoped_session":
            scoped = sqlalchemy.orm.scoped_session(sqlalchemy.orm.sessionmaker(engine))
            try:
                in_one(scoped)
                scoped.commit()
            finally:
                scoped.remove()
        elif kind == "Connection":
            with engine.connect() as connection:
                in_one(connection)
                connection.commit()
        else:
            with engine.begin() as connection:
                in_one(connection)

    work(1, fails=False)
    with pytest.raises(ZeroDivisionError):
        work(2, fails=True)

    assert keys(outboxes.path) == ["mail-1"]
    outboxes.start(server)
    assert outboxes.wait_for(1)[0].mail.id == "mail-1"


def test_a_savepoint_of_sqlalchemy_that_is_rolled_back_takes_the_email_with_it(
    engine: Any, outboxes: Outboxes
) -> None:
    import sqlalchemy.orm

    with sqlalchemy.orm.Session(engine) as session, session.begin():
        handover(session, mail(1))
        nested = session.begin_nested()
        handover(session, mail(2))
        nested.rollback()

    assert keys(outboxes.path) == ["mail-1"]


def test_autocommit_of_sqlalchemy_commits_all_of_the_email_at_once(
    engine: Any, outboxes: Outboxes
) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        handover(connection, mail(1))

        assert keys(outboxes.path) == ["mail-1"]


def test_another_database_of_sqlalchemy_is_refused_with_what_to_do() -> None:
    require_module("sqlalchemy")
    import sqlalchemy
    from sqlalchemy.dialects import postgresql

    connection = object.__new__(sqlalchemy.Connection)
    connection.dialect = postgresql.dialect()  # type: ignore[no-untyped-call]

    with pytest.raises(ValueError, match=r"is postgresql, and must be SQLite; .*committed"):
        handover(connection, mail(1))


def test_an_async_session_hands_over_in_run_sync_and_is_told_so(
    app: sqlite3.Connection, outboxes: Outboxes
) -> None:
    require_module("aiosqlite")
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    async def main() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{outboxes.path}")
        try:
            async with AsyncSession(engine) as session, session.begin():
                with pytest.raises(TypeError, match="run_sync"):
                    handover(session, mail(1))
                await session.run_sync(lambda inner: handover(inner, mail(1)))
            async with AsyncSession(engine) as session:
                await session.run_sync(lambda inner: handover(inner, mail(2)))
                await session.rollback()
        finally:
            await engine.dispose()

    asyncio.run(main())

    assert keys(outboxes.path) == ["mail-1"]


def test_neither_sqlalchemy_nor_django_is_imported_for_it() -> None:
    import subprocess

    code = (
        "import sqlite3, sys; from pykka_smtp import *\n"
        "db = sqlite3.connect(':memory:'); db.executescript(outbox_schema())\n"
        "m = SendMail(sender='a@example.com', recipients='b@example.org', body='x')\n"
        "print(handover(db, m).is_duplicate, {'sqlalchemy', 'django'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False set()\n"

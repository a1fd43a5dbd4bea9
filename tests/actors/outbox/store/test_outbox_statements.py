"""The statements of an outbox: how they find emails in a file of hundreds of thousands."""

from pathlib import Path

from pykka_smtp.actors.outbox.store.records import Ending, Later, NewMail
from pykka_smtp.actors.outbox.store.sqlite.sqlite_store import SqliteStore

# An index of what waits or is held is as short as that; those of keys and of what was heard grow.
_SLOW = ("mail_key (alias=?)", "mail_heard (is_sent=?)")


def new_mail(number: int) -> NewMail:
    return NewMail(
        id=f"m{number}",
        key=f"m{number}",
        alias="a",
        digest=b"",
        env='{"from":"a@b.example","to":["c@d.example"]}',
        body=b"x",
        priority=0,
        due=0.0,
        expires=None,
        put_at=0.0,
        at_least_once=True,
        claim=number % 2 == 0,
    )


def do_everything(store: SqliteStore) -> None:
    """Do all that an outbox does by itself, and what people do to one email."""
    with store.turn(is_durable=False):
        store.put([new_mail(number) for number in range(8)])
        store.put([new_mail(0)])
        store.take_back([new_mail(7)])
        store.claim(1.0, 2)
        store.claim(1.0, 1, alone=True)
        store.mark([1, 3])
        store.mark([999])
        store.tell([Ending(1, "{}", True, True), Ending(999, "{}", True, True)])
        store.again([Later(3, 1.0, None, 0)])
        store.give_back([5])
        store.hear([1], 1.0)
        store.tell([Ending(seq, "{}", True, False) for seq in store.owned()])
        store.take_told("a", 10)
        store.reconcile([1], [2])
        store.rescue([999], 10)
        store.sweep(1.0, 1.0, 10)
        store.hold("a", "m4")
        store.release("a", "m4", 1.0)
        store.cancel("a", "m4", "{}", 1.0)
        store.retry("a", "m4", 1.0)
    store.dead_lives()
    store.get(1)
    store.undelivered()
    store.undone("a", until_heard=True)
    store.undone("a", until_heard=False)


def test_no_step_looks_at_all_emails_of_the_file(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "mail.db", "a")
    try:
        statements: list[str] = []
        store._db.set_trace_callback(statements.append)
        do_everything(store)
        store._db.set_trace_callback(None)
        plans = {
            statement: [row[3] for row in store._db.execute(f"EXPLAIN QUERY PLAN {statement}")]
            for statement in statements
            if statement.split()[0] in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
        }
        assert len(plans) > 30
        slow = [
            (statement, step)
            for statement, plan in plans.items()
            for step in plan
            if step == "SCAN pykka_smtp_mail" or any(way in step for way in _SLOW)
        ]
        assert slow == []
    finally:
        store.close()

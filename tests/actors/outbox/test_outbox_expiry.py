"""An email that is useless fails, of the kind TIMEOUT, wherever it is; and it never goes out."""

import contextlib
import datetime as dt
import sqlite3
import threading
from typing import Any

import pytest
from servers.outboxes import Outboxes, mail
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import Drain, FailureKind, Find, Hold, Put, Release, RetryPolicy, SendFailure
from pykka_smtp.actors.outbox.store.sqlite.sqlite_store import SqliteStore
from pykka_smtp.testing import Server, defer

HOURLY = RetryPolicy(initial_delay=3600.0, max_delay=3600.0, give_up_after=86_400.0)


def soon(seconds: float = 0.3) -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)


def expired(outboxes: Outboxes, count: int = 1) -> SendFailure:
    """Return the outcome of the first email."""
    outcomes = {one.mail.id: one for one in outboxes.wait_for(count)}
    outcome = outcomes["mail-1"]
    assert isinstance(outcome, SendFailure)
    assert outcome.kind is FailureKind.TIMEOUT
    assert "expired" in outcome.detail
    assert [one.address for one in outcome.recipients] == ["you@example.org"]
    return outcome


def test_a_mail_that_waits_for_a_later_time_expires_before_that(
    outboxes: Outboxes, server: Any
) -> None:
    ref = outboxes.start(server)
    ref.ask(Put(mail(), not_before=soon(3600), expires=soon()))

    assert expired(outboxes).attempts == 0
    assert ref.ask(Drain(timeout=PATIENCE))
    assert server.mails == ()


def test_a_mail_expires_although_no_process_sends(outboxes: Outboxes) -> None:
    ref = outboxes.start()
    ref.ask(Put(mail(), expires=soon()))

    expired(outboxes)


def test_a_held_mail_expires_and_cannot_be_released_any_more(
    outboxes: Outboxes, server: Any
) -> None:
    ref = outboxes.start(server)
    ref.ask(Put(mail(), not_before=soon(3600), expires=soon(0.5)))
    assert ref.ask(Hold("mail-1"))

    expired(outboxes)

    assert not ref.ask(Release("mail-1"))
    assert server.mails == ()


def test_a_mail_that_waits_for_a_connection_expires_in_time_and_never_goes_out(
    outboxes: Outboxes, server: Any
) -> None:
    ref = outboxes.start(server, rate="1/s", max_connections=1)
    ref.ask(Put(mail(2)))
    ref.ask(Put(mail(1), expires=soon()))  # claimed, and held to the rate
    assert ref.ask(Find(name="mail-1"))[0].state == "claimed"

    expired(outboxes, 2)

    assert ref.ask(Drain(timeout=PATIENCE))  # when its turn has come, too
    assert (server.accepted, len(outboxes.heard)) == (1, 2)


@pytest.mark.parametrize("offers", [("PIPELINING", "8BITMIME"), ("PIPELINING", "CHUNKING")])
def test_a_mail_that_expires_while_the_file_says_that_it_may_go_does_not_go(
    outboxes: Outboxes, monkeypatch: pytest.MonkeyPatch, offers: tuple[str, ...]
) -> None:
    mark, is_late = SqliteStore.mark, threading.Event()
    expires = soon()

    def late(store: SqliteStore, seqs: Any) -> set[int]:
        while dt.datetime.now(dt.UTC) < expires:
            threading.Event().wait(0.01)
        is_late.set()
        return mark(store, seqs)

    monkeypatch.setattr(SqliteStore, "mark", late)
    with Server(offers=offers) as server:
        ref = outboxes.start(server)
        ref.ask(Put(mail(), expires=expires))

        expired(outboxes)

        assert is_late.is_set()
        assert ref.ask(Drain(timeout=PATIENCE))
        assert server.mails == ()


def test_a_mail_whose_retry_waits_expires_by_its_own_time(outboxes: Outboxes) -> None:
    with Server(defer("RCPT")) as server:
        ref = outboxes.start(server, retry=RetryPolicy(initial_delay=2.0, max_delay=2.0, jitter=0))
        ref.ask(Put(mail(), expires=soon(2.5)))
        assert wait_until(lambda: [1 for o in ref.ask(Find(state="ready")) if o.attempts], PATIENCE)
        outboxes.stop(ref)
    ref = outboxes.start()  # nobody sends, as it happens

    assert expired(outboxes).attempts == 1


def test_a_mail_that_expired_while_nothing_ran_is_not_sent_at_the_next_start(
    outboxes: Outboxes, server: Any
) -> None:
    ref = outboxes.start(hear=False)
    expires = soon(0.1)
    ref.ask(Put(mail(), not_before=soon(0.05), expires=expires))
    outboxes.stop(ref)
    assert wait_until(lambda: dt.datetime.now(dt.UTC) > expires, PATIENCE)

    outboxes.start(server)

    expired(outboxes)
    assert server.mails == ()


def test_an_email_that_cannot_be_read_is_held_once_although_it_expires(
    outboxes: Outboxes, caplog: pytest.LogCaptureFixture
) -> None:
    ref = outboxes.start()
    ref.ask(Put(mail(1), expires=soon(3600)))
    ref.ask(Put(mail(2), at_least_once=False))
    outboxes.stop(ref)
    with contextlib.closing(sqlite3.connect(outboxes.path, isolation_level=None)) as db:
        db.execute("""UPDATE pykka_smtp_mail SET env = replace(env, '"kind"', '"kid"')""")
        db.execute("UPDATE pykka_smtp_mail SET expires = 1 WHERE id = 'mail-1'")
        # The process that had it is dead, and its end may have gone out.
        db.execute("UPDATE pykka_smtp_mail SET state = 'dot', owner = 777 WHERE id = 'mail-2'")
    again = outboxes.start()
    assert wait_until(lambda: len(again.ask(Find(state="held"))) == 2, PATIENCE)

    for number in (3, 4):  # a look for what has expired, each
        again.ask(Put(mail(number), expires=soon(-60)))
        outboxes.wait_for(number - 2)

    said = sorted(one.message for one in caplog.records if "is held" in one.message)
    assert [line.split(":")[0] for line in said] == ["email mail-1 is held", "email mail-2 is held"]

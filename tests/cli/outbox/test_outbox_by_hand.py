"""``pykka-smtp outbox retry``, ``cancel``, ``hold`` and ``release``, beside processes that work."""

import io
import sys
from typing import Any

import pytest
from servers.outbox_fixtures import OutboxCommand
from servers.outboxes import Outboxes, mail
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import FailureKind, Find, Put, SendFailure, SendSuccess
from pykka_smtp.testing import refuse
from pykka_smtp.testing.polite import Polite


def test_what_is_cancelled_is_not_sent_and_its_process_hears_of_it(
    outboxes: Outboxes, outbox_command: OutboxCommand, server: Any
) -> None:
    ref = outboxes.start()
    ref.ask(Put(mail(1), key="order-1"))
    ref.ask(Put(mail(2), key="order-2"))

    assert outbox_command("cancel", "order-1") == 0

    assert outbox_command.out == "order-1 is cancelled\n"
    [outcome] = outboxes.wait_for(1)
    assert isinstance(outcome, SendFailure)
    assert (outcome.mail.id, outcome.kind) == ("mail-1", FailureKind.CANCELLED)
    outboxes.start(server, alias="worker")
    assert outboxes.wait_for(2)[1].mail.id == "mail-2"
    assert server.accepted == 1


def test_what_is_held_waits_until_it_is_released(
    outboxes: Outboxes, outbox_command: OutboxCommand, server: Any
) -> None:
    web = outboxes.start()
    web.ask(Put(mail(1)))

    assert outbox_command("hold", "mail-1") == 0
    outboxes.start(server, alias="worker")
    web.ask(Put(mail(2)))
    outboxes.wait_for(1)
    assert [one.state for one in web.ask(Find(name="mail-1"))] == ["held"]

    assert outbox_command("release", "mail-1") == 0
    assert [one.mail.id for one in outboxes.wait_for(2)] == ["mail-2", "mail-1"]


def test_what_has_failed_is_sent_again(
    outboxes: Outboxes, outbox_command: OutboxCommand, scripted_server: Any
) -> None:
    server = scripted_server(Polite(moods=[refuse("RCPT", times=1)]))
    ref = outboxes.start(server)
    ref.tell(mail(1))
    assert isinstance(outboxes.wait_for(1)[0], SendFailure)
    assert wait_until(lambda: ref.ask(Find(state="heard")), PATIENCE)

    assert outbox_command("retry", "mail-1") == 0

    assert isinstance(outboxes.wait_for(2)[1], SendSuccess)


def test_what_is_too_late_or_unknown_is_said_for_each(
    outboxes: Outboxes, outbox_command: OutboxCommand, server: Any
) -> None:
    ref = outboxes.start(server)
    ref.tell(mail(1))
    outboxes.wait_for(1)
    assert wait_until(lambda: ref.ask(Find(state="heard")), PATIENCE)

    assert outbox_command("cancel", "mail-1", "nothing") == 69

    late, unknown = outbox_command.err.splitlines()
    assert "mail-1: it is heard, sent; cancel takes only" in late
    assert "nothing: there is no email" in unknown
    assert outbox_command("hold", "nothing") == 66


def test_keys_come_from_standard_input_as_list_prints_them(
    outboxes: Outboxes, outbox_command: OutboxCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = outboxes.start()
    for number in range(5):
        ref.ask(Put(mail(number)))
    outbox_command("list", "--keys")
    monkeypatch.setattr(sys, "stdin", io.StringIO(outbox_command.out + "\n"))

    done = outbox_command.json("hold", "-")

    assert [one["name"] for one in done] == [f"mail-{number}" for number in range(5)]
    assert all(one["done"] for one in done)
    assert outbox_command("list", "--state", "held", "--keys") == 0
    assert len(outbox_command.out.split()) == 5


def test_the_alias_chooses_between_two_emails_with_one_key(
    outboxes: Outboxes, outbox_command: OutboxCommand
) -> None:
    for alias in ("shop", "news"):
        outboxes.start(alias=alias).ask(Put(mail(1, id=f"id-{alias}"), key="same"))

    outbox_command("hold", "same", "--alias", "news")

    assert {one["id"]: one["state"] for one in outbox_command.json("list")} == {
        "id-shop": "ready",
        "id-news": "held",
    }


def test_a_process_that_writes_for_long_is_waited_for_and_then_said_so(
    outboxes: Outboxes, outbox_command: OutboxCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pykka_smtp.actors.outbox.store.locks import FileLock
    from pykka_smtp.actors.outbox.store.outside import visit
    from pykka_smtp.actors.outbox.store.sqlite import file as sqlite_file

    ref = outboxes.start()
    ref.ask(Put(mail(1)))
    for module in (sqlite_file, visit):
        monkeypatch.setattr(module, "OPEN_TIMEOUT", 0.05)
    turn = FileLock(sqlite_file.side_file(outbox_command.path, "turn"))
    assert turn.take(PATIENCE)
    try:
        assert outbox_command("hold", "mail-1") == 75
        assert "another process" in outbox_command.err
        assert outbox_command.err.count("\n") == 1
        assert outbox_command("list", "--keys") == 0  # a look needs no turn
        assert outbox_command.out == "mail-1\n"
    finally:
        turn.close()

"""The Outbox as a program sees it: puts, receipts, outcomes, and what stays in the file."""

import datetime as dt
import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pykka import ActorDeadError
from servers.outboxes import Outboxes, mail
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import (
    Cancel,
    Drain,
    FailureKind,
    Find,
    Hold,
    Outbox,
    OutboxError,
    OutboxRef,
    Put,
    Receipt,
    Release,
    Retry,
    RetryPolicy,
    SendFailure,
    SendMail,
    SendSuccess,
    Statistics,
    smtp_send_retry,
)
from pykka_smtp.testing import Server, defer, refuse
from pykka_smtp.testing.moods import Moment

Servers = Callable[..., Any]
HOUR = dt.timedelta(hours=1)


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def states(path: Path, outboxes: Outboxes) -> dict[str, str]:
    ref = outboxes.start(hear=False)
    found = {one.id: one.state for one in ref.ask(Find())}
    outboxes.stop(ref)
    return found


def test_a_told_mail_is_sent_and_its_outcome_is_heard_once(outboxes: Outboxes, server: Any) -> None:
    ref = outboxes.start(server)
    ref.tell(mail())

    assert ref.ask(Drain(timeout=PATIENCE))
    [(outcome, replayed)] = outboxes.heard
    assert isinstance(outcome, SendSuccess)
    assert (outcome.alias, outcome.doubts, replayed) == ("shop", 0, False)
    assert server.accepted == 1
    [found] = ref.ask(Find())
    assert (found.state, found.is_sent) == ("heard", True)


def test_ask_answers_with_the_outcome_and_put_with_a_receipt(
    outboxes: Outboxes, server: Any
) -> None:
    ref = outboxes.start(server)

    outcome = ref.ask(mail(1), timeout=PATIENCE)
    receipt = ref.ask(Put(mail(2), key="order-4711"), timeout=PATIENCE)

    assert outcome.raise_for_failure().mail.id == "mail-1"
    assert receipt == Receipt("mail-2", "order-4711")
    assert ref.ask(Drain(timeout=PATIENCE))


def test_a_receipt_comes_although_no_server_is_there(outboxes: Outboxes) -> None:
    ref = outboxes.start()

    assert ref.ask(Put(mail()), timeout=PATIENCE).key == "mail-1"
    [found] = ref.ask(Find(state="ready"))
    assert found.recipients == ("you@example.org",)


def test_what_waits_stays_in_the_file_at_a_stop_and_the_next_start_sends_it(
    outboxes: Outboxes, server: Any
) -> None:
    ref = outboxes.start()
    for number in range(30):
        ref.tell(mail(number))
    outboxes.stop(ref)
    assert outboxes.heard == []

    again = outboxes.start(server)

    assert again.ask(Drain(timeout=PATIENCE))
    assert len(outboxes.wait_for(30)) == 30
    assert server.accepted == 30
    assert [replayed for _, replayed in outboxes.heard] == [False] * 30


def test_the_same_key_makes_no_second_mail_and_another_mail_with_it_is_an_error(
    outboxes: Outboxes,
) -> None:
    ref = outboxes.start()
    assert not ref.ask(Put(mail(1), key="k")).is_duplicate

    # Not the same object: a program that tries again makes the email anew.
    again = ref.ask(Put(mail(1, id="other"), key="k"))
    assert (again.is_duplicate, again.id) == (True, "mail-1")
    with pytest.raises(ValueError, match="is that of another email"):
        ref.ask(Put(mail(1, body="something else"), key="k"))
    assert len(ref.ask(Find())) == 1


def test_who_asks_again_for_a_mail_that_was_sent_gets_its_outcome(
    outboxes: Outboxes, server: Any
) -> None:
    ref = outboxes.start(server)
    first = ref.ask(mail(), timeout=PATIENCE)

    second = ref.ask(mail(), timeout=PATIENCE)

    assert (first.reply, server.accepted) == (second.reply, 1)


def test_a_mail_is_not_sent_before_its_time_and_not_after_it_is_useless(
    outboxes: Outboxes, server: Any
) -> None:
    ref = outboxes.start(server)
    soon = now() + dt.timedelta(seconds=0.3)
    ref.ask(Put(mail(1), not_before=soon))
    ref.ask(Put(mail(2), not_before=now() + HOUR))
    ref.ask(Put(mail(3), not_before=soon, expires=soon - dt.timedelta(seconds=0.1)))

    outcomes = {one.mail.id: one for one in outboxes.wait_for(2)}

    assert now() >= soon
    assert isinstance(outcomes["mail-1"], SendSuccess)
    late = outcomes["mail-3"]
    assert isinstance(late, SendFailure)
    assert (late.kind, late.attempts) == (FailureKind.TIMEOUT, 0)
    assert "expired" in late.detail
    assert [one.id for one in ref.ask(Find(state="ready"))] == ["mail-2"]


def test_the_first_priority_goes_first(outboxes: Outboxes, server: Any) -> None:
    ref = outboxes.start()
    for number, priority in enumerate((0, -5, 9, 0)):
        ref.ask(Put(mail(number), priority=priority))
    outboxes.stop(ref)

    ref = outboxes.start(server, max_connections=1)

    outboxes.wait_for(4)
    order = [re.search(rb"Subject: Number (\d)", one.data) for one in server.mails]
    assert [found and int(found[1]) for found in order] == [2, 0, 3, 1]


def test_a_cancelled_mail_has_an_outcome_and_does_not_go_out(
    outboxes: Outboxes, server: Any
) -> None:
    ref = outboxes.start(server)
    ref.ask(Put(mail(), key="k", not_before=now() + HOUR))

    assert ref.ask(Cancel("k"))

    [outcome] = outboxes.wait_for(1)
    assert isinstance(outcome, SendFailure)
    assert (outcome.kind, outcome.mail.id) == (FailureKind.CANCELLED, "mail-1")
    assert [one.address for one in outcome.recipients] == ["you@example.org"]
    assert not ref.ask(Cancel("k"))
    assert not ref.ask(Cancel("unknown"))
    assert server.mails == ()


def test_a_held_mail_waits_until_it_is_released(outboxes: Outboxes, server: Any) -> None:
    ref = outboxes.start(server)
    ref.ask(Put(mail(), not_before=now() + dt.timedelta(seconds=0.1)))
    assert ref.ask(Hold("mail-1"))
    assert ref.ask(Drain(timeout=PATIENCE))  # which does not wait for it
    assert outboxes.heard == []

    assert ref.ask(Release("mail-1"))

    assert isinstance(outboxes.wait_for(1)[0], SendSuccess)
    assert not ref.ask(Release("mail-1"))


def test_only_the_recipients_that_were_deferred_are_tried_again(outboxes: Outboxes) -> None:
    tries = iter(range(100))

    class Once:
        stages = ("RCPT",)

        def __call__(self, moment: Moment) -> Any:
            if moment.path == "later@example.org" and next(tries) < 2:
                return [b"450 4.2.1 not now\r\n"]
            return None

    retries: list[int] = []
    smtp_send_retry.connect(_note := lambda _s, attempt, **_k: retries.append(attempt))
    with Server(Once()) as server:
        ref = outboxes.start(server)
        ref.tell(mail(recipients=["you@example.org", "later@example.org"]))
        [outcome] = outboxes.wait_for(1)

        assert [one.recipients for one in server.mails] == [
            *(("you@example.org",), ("later@example.org",))
        ]
    assert isinstance(outcome, SendSuccess)
    assert (outcome.attempts, outcome.refused, retries) == (3, (), [1, 2])
    assert _note is not None


def accepted_by_one_of_two(outboxes: Outboxes, server: Server) -> OutboxRef:
    """Start an outbox, and return once its email waits for a retry that one recipient needs."""
    ref = outboxes.start(server, retry=RetryPolicy(initial_delay=600, at_least_once=True))
    ref.tell(mail(recipients=["you@example.org", "later@example.org"]))
    assert wait_until(lambda: ref.ask(Find())[0].attempts == 1, PATIENCE)
    return ref


def test_a_retry_by_hand_is_for_those_only_who_do_not_have_the_mail_yet(
    outboxes: Outboxes,
) -> None:
    with Server(defer("RCPT", to="later@example.org", times=1)) as server:
        ref = accepted_by_one_of_two(outboxes, server)

        assert ref.ask(Retry("mail-1"))
        [outcome] = outboxes.wait_for(1)

        assert [one.recipients for one in server.mails] == [
            *(("you@example.org",), ("later@example.org",))
        ]
    assert isinstance(outcome, SendSuccess)
    assert (outcome.attempts, outcome.refused) == (2, ())
    assert [one.address for one in outcome.recipients] == ["you@example.org", "later@example.org"]


def test_a_retry_of_a_cancelled_mail_is_for_those_only_who_do_not_have_it_yet(
    outboxes: Outboxes,
) -> None:
    with Server(defer("RCPT", to="later@example.org", times=1)) as server:
        ref = accepted_by_one_of_two(outboxes, server)
        assert ref.ask(Cancel("mail-1"))
        outboxes.wait_for(1)
        assert wait_until(lambda: ref.ask(Find(state="heard")), PATIENCE)

        assert ref.ask(Retry("mail-1"))
        outboxes.wait_for(2)

        assert [one.recipients for one in server.mails] == [
            *(("you@example.org",), ("later@example.org",))
        ]


def test_a_retry_that_was_begun_by_one_process_is_ended_by_the_next(outboxes: Outboxes) -> None:
    patient = RetryPolicy(max_attempts=5, initial_delay=0.5, max_delay=0.5)
    with Server(defer("RCPT", to="later@example.org")) as server:
        ref = outboxes.start(server, retry=patient)
        ref.tell(mail(recipients=["you@example.org", "later@example.org"]))
        server.wait_for(lambda: server.mails)
        assert wait_until(lambda: ref.ask(Find(state="ready")), PATIENCE)
        outboxes.stop(ref)
    with Server() as server:
        outboxes.start(server)
        [outcome] = outboxes.wait_for(1)

        assert [one.recipients for one in server.mails] == [("later@example.org",)]
    assert isinstance(outcome, SendSuccess)
    assert (outcome.attempts, outcome.refused) == (2, ())
    assert [one.accepted for one in outcome.recipients] == [True, True]


def test_a_refused_mail_has_failed_and_can_be_sent_by_hand(outboxes: Outboxes) -> None:
    with Server(refuse("RCPT")) as server:
        ref = outboxes.start(server)
        ref.tell(mail())
        [outcome] = outboxes.wait_for(1)
        assert isinstance(outcome, SendFailure)
        assert ref.ask(Drain(timeout=PATIENCE))
        outboxes.stop(ref)
    with Server() as server:
        ref = outboxes.start(server)
        assert ref.ask(Retry("mail-1"))

        assert isinstance(outboxes.wait_for(2)[1], SendSuccess)
        assert not ref.ask(Retry("mail-1"))  # it is sent by now


def test_outcome_to_is_told_in_the_life_that_put_the_mail(outboxes: Outboxes, server: Any) -> None:
    class Waits:
        def __init__(self) -> None:
            self.told: list[Any] = []

        def tell(self, message: Any) -> None:
            self.told.append(message)

    to = Waits()
    ref = outboxes.start(server)
    ref.ask(Put(mail(outcome_to=to)))

    assert ref.ask(Drain(timeout=PATIENCE))
    assert [one.mail.id for one in to.told] == ["mail-1"]


def test_a_context_comes_back_after_a_restart_and_must_be_json(
    outboxes: Outboxes, server: Any
) -> None:
    ref = outboxes.start()
    with pytest.raises(TypeError, match=r"context\['a'\]\[1\]: object is not JSON"):
        ref.tell(mail(context={"a": [1, object()]}))
    ref.tell(mail(context={"order": 4711, "lines": [1, None, "ä"]}))
    outboxes.stop(ref)

    outboxes.start(server)

    [outcome] = outboxes.wait_for(1)
    assert outcome.context == {"order": 4711, "lines": [1, None, "ä"]}


def test_a_file_is_read_when_it_is_put(outboxes: Outboxes, tmp_path: Path, server: Any) -> None:
    path = tmp_path / "mail.eml"
    path.write_bytes(b"Subject: x\r\n\r\nfrom a file\r\n")
    ref = outboxes.start()
    given: dict[str, Any] = {"sender": "me@example.com", "recipients": "you@example.org", "id": "f"}
    ref.ask(Put(SendMail(message=path, **given)))
    path.unlink()
    outboxes.stop(ref)

    outboxes.start(server)
    outboxes.wait_for(1)

    assert b"from a file" in server.mails[0].data
    with pytest.raises(OSError, match=r"mail\.eml"):
        Put(SendMail(message=path, **given))


def test_the_file_and_those_beside_it_are_the_users_alone(outboxes: Outboxes) -> None:
    ref = outboxes.start()
    ref.ask(Put(mail()))

    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in outboxes.path.parent.iterdir()
        if path.name.startswith("mail.db")
    }
    assert set(modes) >= {"mail.db", "mail.db-turn", "mail.db-wal"}
    if os.name == "posix":
        assert set(modes.values()) == {0o600}


def test_no_password_and_no_url_is_ever_in_the_file(outboxes: Outboxes) -> None:
    ref = outboxes.start(url="smtps://me:secret-word@127.0.0.1:9", send=False)
    ref.ask(Put(mail()))
    outboxes.stop(ref)

    for path in outboxes.path.parent.iterdir():
        assert b"secret-word" not in path.read_bytes()


def test_too_many_mails_are_refused_at_once(outboxes: Outboxes) -> None:
    ref = outboxes.start(max_queued=2)
    ref.ask(Put(mail(1)))
    ref.ask(Put(mail(2)))

    with pytest.raises(OutboxError, match="max_queued") as caught:
        ref.ask(Put(mail(3)))
    ref.tell(mail(4))

    assert caught.value.retryable
    [outcome] = outboxes.wait_for(1)
    assert isinstance(outcome, SendFailure)
    assert (outcome.kind, outcome.retryable) == (FailureKind.LOCAL, True)


def test_what_was_heard_is_removed_after_its_time(outboxes: Outboxes, server: Any) -> None:
    ref = outboxes.start(server)
    ref.ask(mail(1), timeout=PATIENCE)
    assert ref.ask(Drain(timeout=PATIENCE))
    outboxes.stop(ref)
    assert states(outboxes.path, outboxes) == {"mail-1": "heard"}

    ref = outboxes.start(keep_sent=0.0)

    assert wait_until(lambda: not ref.ask(Find()), PATIENCE)


def test_statistics_count_what_is_in_the_file_and_what_was_done(
    outboxes: Outboxes, server: Any
) -> None:
    ref = outboxes.start(server)
    ref.ask(mail(1), timeout=PATIENCE)
    ref.ask(Put(mail(2), not_before=now() + HOUR))
    assert wait_until(lambda: ref.ask(Statistics()).heard == 1, PATIENCE)

    figures = ref.ask(Statistics())

    assert (figures.ready, figures.put, figures.sent, figures.trouble) == (1, 2, 1, None)
    assert figures.as_dict()["mailer"]["sent"] == 1
    assert "1 ready" in str(figures)


def test_a_mail_told_after_the_stop_has_an_outcome_or_an_error(outboxes: Outboxes) -> None:
    ref = outboxes.start()
    outboxes.stop(ref)

    with pytest.raises(ActorDeadError):
        ref.tell(mail())


def test_an_unknown_option_is_named_and_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="hears is not an option of Outbox; did you mean hear"):
        Outbox.start(tmp_path / "mail.db", hears=True)  # type: ignore[call-arg]
    assert list(tmp_path.iterdir()) == []


def test_a_dead_relay_loses_nothing(
    outboxes: Outboxes, dead: Callable[[], str], server: Any
) -> None:
    ref = outboxes.start(url=dead(), retry=RetryPolicy())
    ref.tell(mail())
    assert wait_until(lambda: [1 for o in ref.ask(Find(state="ready")) if o.attempts], PATIENCE)
    outboxes.stop(ref)
    assert outboxes.heard == []
    ref = outboxes.start(server)
    assert ref.ask(Retry("mail-1"))

    assert isinstance(outboxes.wait_for(1)[0], SendSuccess)


def test_ten_thousand_puts_at_once_share_few_transactions(outboxes: Outboxes) -> None:
    ref = outboxes.start()
    began = time.monotonic()

    assert ref.tell_all(mail(number) for number in range(2000)) == 2000

    assert ref.ask(Statistics()).ready == 2000
    assert time.monotonic() - began < PATIENCE


def test_find_looks_for_a_recipient_among_the_recipients_only(outboxes: Outboxes) -> None:
    ref = outboxes.start()
    ref.ask(Put(mail(1, subject="about you@example.org", recipients="bob@example.net")))
    ref.ask(Put(mail(2, recipients='"a b"@example.org')))
    ref.ask(Put(mail(3, recipients="Bob@Example.net")))

    assert [one.id for one in ref.ask(Find(recipient="you@"))] == []
    assert [one.id for one in ref.ask(Find(recipient='"a b"@'))] == ["mail-2"]
    assert [one.id for one in ref.ask(Find(recipient="bob@example"))] == ["mail-1", "mail-3"]
    assert [one.id for one in ref.ask(Find(recipient="bob@example", limit=1))] == ["mail-1"]


def test_who_asks_an_outbox_that_does_not_hear_is_refused_and_does_not_wait_for_ever(
    outboxes: Outboxes,
) -> None:
    ref = outboxes.start(url="record:", hear=False)
    waits: Any = SimpleNamespace(tell=print)

    for question in (mail(1), Put(mail(2, outcome_to=waits))):
        with pytest.raises(ValueError, match="hear=False hears no outcome"):
            ref.ask(question, timeout=PATIENCE)
    ref.tell(mail(3, outcome_to=waits))

    [outcome] = outboxes.wait_for(1)
    assert isinstance(outcome, SendFailure)
    assert (outcome.kind, outcome.mail.id) == (FailureKind.LOCAL, "mail-3")
    assert ref.ask(Find()) == []


def test_a_put_that_was_told_with_the_key_of_another_mail_is_not_dropped_without_a_word(
    outboxes: Outboxes,
) -> None:
    ref = outboxes.start()
    ref.ask(Put(mail(1), key="k"))

    ref.tell(Put(mail(2), key="k"))

    [outcome] = outboxes.wait_for(1)
    assert isinstance(outcome, SendFailure)
    assert (outcome.kind, outcome.mail.id) == (FailureKind.LOCAL, "mail-2")
    assert outcome.detail == "key 'k' is that of another email (mail-1)"


def test_a_context_that_is_no_unicode_text_is_refused_where_it_is_put() -> None:
    with pytest.raises(ValueError, match="context: has a lone surrogate"):
        Put(mail(context={"name": "\ud800"}))

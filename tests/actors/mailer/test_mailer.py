"""What a Mailer does for whoever tells it mails: outcomes, options, bounds, statistics."""

import json
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pykka
import pytest
from pykka import ActorDeadError, ActorRegistry
from servers.door import Door
from servers.mailing import SOON, Clock, Mailing, kind_of, ours
from servers.scripted import ScriptedServer, polite
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import (
    NO_RETRY,
    Drain,
    FailureKind,
    Mailer,
    MailerStatistics,
    RetryPolicy,
    SendSuccess,
    SmtpActor,
    Stage,
    Statistics,
    smtp_send_failure,
    smtp_send_retry,
    smtp_send_success,
)
from pykka_smtp.actors.mailer import mailer as module
from pykka_smtp.actors.mailer.connections.pool import ConnectionPool

AT_ONCE = 2.0
"""Seconds for what has to happen at once, on a machine that has other things to do."""

Start = Callable[..., Any]


# Mails in, outcomes out


def test_each_mail_that_is_told_has_one_outcome(
    loop_kind: str, mailing: Mailing, server: ScriptedServer
) -> None:
    ref = mailing.start(server)

    mailing.tell(ref, 50)

    assert mailing.kinds() == {"accepted": 50}
    assert {outcome.attempts for outcome in mailing.outcomes()} == {1}
    assert server.accepted == 50


def test_ask_answers_with_the_outcome_that_is_published_too(
    loop_kind: str, mailing: Mailing
) -> None:
    ref = mailing.start(mailing.serve())

    outcome = mailing.ask(ref, context="mine")

    assert isinstance(outcome, SendSuccess)
    assert outcome.context == "mine"
    assert mailing.outcomes() == [outcome]


def test_a_failure_is_an_answer_and_no_exception(mailing: Mailing) -> None:
    ref = mailing.start(mailing.serve(polite(replies={"RCPT": "550 5.1.1 who?"})))

    outcome = mailing.ask(ref)

    assert (outcome.kind, outcome.stage, outcome.code) == (FailureKind.SMTP, Stage.RCPT, 550)
    assert outcome.attempts == 1


def test_the_sender_of_the_signals_is_the_alias(mailing: Mailing) -> None:
    server = mailing.serve(polite(replies={"no@x.test": "550 5.1.1 who?"}))
    heard: list[tuple[str, str]] = []

    def hear(sender: str, outcome: Any, **_extra: object) -> None:
        heard.append((sender, kind_of(outcome)))

    smtp_send_success.connect(hear, sender="news")
    smtp_send_failure.connect(hear, sender="news")
    news, other = mailing.start(server, alias="news"), mailing.start(server)
    for ref in (news, other):
        mailing.tell(ref)
        mailing.tell(ref, recipients="no@x.test")

    aliases = sorted(outcome.alias for outcome in mailing.outcomes())

    assert aliases == ["mailer", "mailer", "news", "news"]
    assert sorted(heard) == [("news", "SMTP"), ("news", "accepted")]


def test_a_mail_can_name_its_own_signals_and_whom_to_tell(mailing: Mailing) -> None:
    told: list[Any] = []
    came = threading.Event()

    class Asker(pykka.ThreadingActor):
        def on_receive(self, message: Any) -> None:
            told.append(message)
            came.set()

    asker = Asker.start()
    try:
        outcome = mailing.ask(mailing.start(mailing.serve()), outcome_to=asker)
        assert came.wait(PATIENCE)
    finally:
        asker.stop()

    assert told == [outcome]


def test_the_server_can_be_given_as_a_url(mailing: Mailing, server: ScriptedServer) -> None:
    ref = mailing.start(server, url=f"smtp://{server.host}:{server.port}")

    assert isinstance(mailing.ask(ref), SendSuccess)


def test_all_kinds_of_mails_go_out_on_one_connection(
    loop_kind: str, mailing: Mailing, server: ScriptedServer, tmp_path: Path
) -> None:
    path = tmp_path / "mail.eml"
    path.write_bytes(b"Subject: from a path\r\n\r\n" + b"x" * 70 + b"\r\n" * 5_000)
    ref = mailing.start(server, max_connections=1)

    with path.open("rb") as file:
        mailing.tell(ref, message=b"Subject: from memory\r\n\r\n.dot\r\n")
        mailing.tell(ref, message=path)
        mailing.tell(ref, subject="a letter")
        mailing.tell(ref, message=file)
        assert mailing.kinds() == {"accepted": 4}

    assert len(server.sessions) == 1
    complete = path.read_bytes()
    assert [mail.data for mail in server.mails].count(complete) == 2
    assert b"Subject: from memory\r\n\r\n.dot\r\n" in [mail.data for mail in server.mails]


def test_a_file_that_cannot_be_read_fails_alone(
    mailing: Mailing, server: ScriptedServer, tmp_path: Path
) -> None:
    ref = mailing.start(server, max_connections=1)

    mailing.tell(ref)
    mailing.tell(ref, message=tmp_path / "missing")
    mailing.tell(ref)

    assert mailing.kinds() == {"accepted": 2, "LOCAL": 1}
    assert len(server.sessions) == 1


def test_a_mail_that_cannot_be_sent_as_asked_leaves_the_connection_to_the_next(
    mailing: Mailing,
) -> None:
    server, ref = mailing.begin(polite("SIZE 100"), max_connections=1)
    small = b"Subject: x\r\n\r\n"

    kinds = [kind_of(mailing.ask(ref, message=message)) for message in (small, b"x" * 200, small)]

    assert kinds == ["accepted", "LOCAL", "accepted"]
    assert len(server.sessions) == 1
    assert "RSET" not in server.lines


def test_some_recipients_refused_is_a_success_that_says_who(mailing: Mailing) -> None:
    server = mailing.serve(polite(replies={"no@x.test": "550 5.1.1 who?"}))

    outcome = mailing.ask(mailing.start(server), recipients=["yes@x.test", "no@x.test"])

    assert isinstance(outcome, SendSuccess)
    assert [result.address for result in outcome.refused] == ["no@x.test"]
    assert outcome.attempts == 1


def test_a_transcript_is_that_of_its_own_transaction(mailing: Mailing) -> None:
    ref = mailing.start(mailing.serve(), max_connections=1, debug=True)

    first, second = mailing.ask(ref, sender="one@b.test"), mailing.ask(ref, sender="two@b.test")

    assert any("EHLO" in line for line in first.transcript)
    assert "C: MAIL FROM:<one@b.test>" in first.transcript
    assert second.transcript[0] == "C: MAIL FROM:<two@b.test>"
    assert not any("EHLO" in line or "one@" in line for line in second.transcript)


def test_a_mail_on_a_kept_connection_has_the_peer_and_a_time_of_its_own(
    mailing: Mailing, server: ScriptedServer
) -> None:
    ref = mailing.start(server, max_connections=1)

    first, second = mailing.ask(ref), mailing.ask(ref)

    assert first.peer == second.peer
    assert second.peer.port == server.port
    assert 0 <= second.elapsed < AT_ONCE


def test_a_receiver_can_tell_the_mailer_another_mail(
    mailing: Mailing, server: ScriptedServer
) -> None:
    ref = mailing.start(server)

    def go_on(_sender: str, outcome: Any, **_extra: object) -> None:
        if outcome.context:
            mailing.tell(ref, context=outcome.context - 1)

    smtp_send_success.connect(go_on)
    mailing.tell(ref, context=20)
    mailing.wait_for(21)

    assert server.accepted == 21


def test_many_threads_can_tell_and_ask_at_once(
    loop_kind: str, mailing: Mailing, smtp_sink: Start
) -> None:
    ref = mailing.start(smtp_sink())

    def work() -> None:
        mailing.tell(ref, 25)
        mailing.ask(ref)

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert mailing.kinds() == {"accepted": 20 * 26}


def test_each_mail_is_an_actor_for_as_long_as_it_is_on_its_way(
    mailing: Mailing, door: Door
) -> None:
    server, ref = mailing.begin(door, max_connections=3)
    mailing.tell(ref, 5)
    server.wait_for(lambda: len(server.sessions) == 3)

    actors = ActorRegistry.get_all()

    assert ActorRegistry.get_by_class(Mailer) == [ref]
    assert len(actors) == 4
    assert all(issubclass(actor.actor_class, SmtpActor) for actor in actors if actor is not ref)
    door.open()
    assert mailing.kinds() == {"accepted": 5}
    assert wait_until(lambda: ActorRegistry.get_all() == [ref], PATIENCE)


def test_whatever_else_it_is_told_is_logged_and_does_no_harm(
    mailing: Mailing, caplog: pytest.LogCaptureFixture
) -> None:
    ref = mailing.start(mailing.serve())

    ref.tell("what is this")
    with pytest.raises(TypeError, match="a Mailer takes a SendMail, not tuple"):
        ref.ask(("nor", "that"), timeout=PATIENCE)

    assert "a Mailer takes a SendMail, not str" in caplog.text
    assert isinstance(mailing.ask(ref), SendSuccess)


def test_a_mail_told_after_stop_raises(mailing: Mailing) -> None:
    ref = mailing.start(mailing.serve())
    ref.stop(timeout=PATIENCE)

    with pytest.raises(ActorDeadError):
        ref.tell(mailing.mail())
    with pytest.raises(ActorDeadError):
        ref.ask(mailing.mail(), timeout=PATIENCE)


# Real servers


@pytest.mark.parametrize("server_kind", ["smtp_sink", "aiosmtpd_server", "postfix_smtpd"])
def test_real_servers_take_a_hundred_mails_on_a_few_connections(
    server_kind: str, mailing: Mailing, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue(server_kind)()
    ref = mailing.start(server, max_connections=4)

    mailing.tell(ref, 100)

    assert mailing.kinds() == {"accepted": 100}
    statistics = ref.proxy().statistics().get(timeout=PATIENCE)
    assert statistics.connections_busy + statistics.connections_idle <= 4


# Options


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"max_connections": 0}, ValueError, "max_connections: needs 1 to 1000000, not 0"),
        ({"max_connections": 2.0}, TypeError, "max_connections: needs an int, not float"),
        ({"max_connections": True}, TypeError, "max_connections: needs an int, not bool"),
        ({"initial_connections": 0}, ValueError, "initial_connections: needs 1 to 1000000, not 0"),
        (
            {"max_mails_per_connection": 0},
            ValueError,
            "max_mails_per_connection: needs 1 to 1000000, not 0",
        ),
        ({"max_queued": 0}, ValueError, "max_queued: needs 1 to 1000000, not 0"),
        ({"max_queued": 1_000_001}, ValueError, "max_queued: needs 1 to 1000000, not 1000001"),
        ({"idle_timeout": 0}, ValueError, "idle_timeout: needs to be more than 0 seconds, not 0"),
        ({"idle_timeout": "30"}, TypeError, "idle_timeout: needs seconds, not str"),
        ({"grace": -1}, ValueError, "grace: needs to be more than 0 seconds, not -1"),
        ({"grace": float("inf")}, ValueError, "grace: needs to be more than 0 seconds, not inf"),
        (
            {"rate": "fast"},
            ValueError,
            "rate: needs a form as '10/s', '500/min' or '10/s burst 20', not 'fast'",
        ),
        ({"rate": [10]}, TypeError, "rate: needs a number or a text as '10/s', not list"),
        ({"retry": 3}, TypeError, "retry: needs a RetryPolicy, not int"),
        (
            {"backups": "smtp://b.test"},
            TypeError,
            "backups: needs relay URLs, or pairs of URL and weight",
        ),
        ({"backups": [25]}, TypeError, "backups: needs relay URLs, not int"),
        (
            {"backups": [("smtp://b.test", "1")]},
            TypeError,
            "backups: needs a number as weight, not str",
        ),
        ({"backups": [("smtp://b.test", 0)]}, ValueError, "backups: needs a weight above 0, not 0"),
        ({"alias": ""}, ValueError, "alias: empty; it is the sender of the signals"),
        ({"port": 0}, ValueError, "port: needs 1 to 65535, not 0"),
        ({"tls": "maybe"}, ValueError, "tls: "),
        ({"timeout": 0}, ValueError, "timeout: needs to be more than 0 seconds, not 0"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_an_option_that_is_wrong_raises_in_the_caller_and_says_what_is_needed(
    options: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error) as raised:
        Mailer.start(**{"server": "mx.test"} | options)

    text = str(raised.value)
    assert text.startswith(says)
    assert "\n" not in text
    assert ActorRegistry.get_all() == []
    assert ours() == []


def test_a_backup_that_is_no_relay_url_raises_without_its_password() -> None:
    with pytest.raises(ValueError, match=r"^relay URL: unknown scheme") as raised:
        Mailer.start("mx.test", backups=["ftp://user:secret@b.test"])

    assert "secret" not in str(raised.value)


def test_an_unknown_option_raises() -> None:
    options: Any = {"max_conections": 3}

    with pytest.raises(TypeError, match=r"^max_conections is not an option of Mailer; "):
        Mailer.start("mx.test", **options)


@pytest.mark.parametrize("timeout", [0, -1, "1", True], ids=repr)
def test_a_drain_needs_seconds(timeout: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^timeout: needs "):
        Drain(timeout=timeout)


def test_no_connection_is_made_before_the_first_mail(
    mailing: Mailing, server: ScriptedServer
) -> None:
    ref = mailing.start(server)
    mailing.statistics(ref)
    ref.stop(timeout=PATIENCE)

    assert server.sessions == []


def test_the_password_stands_neither_in_the_repr_nor_in_the_statistics(mailing: Mailing) -> None:
    ref = Mailer.start(url="smtps://user:pa55word@127.0.0.1:1", retry=NO_RETRY)
    mailing.refs.append(ref)
    actor = ref._actor_weakref()
    outcome = mailing.ask(ref)

    for text in (repr(actor), str(ref), repr(outcome), repr(ref.ask(Statistics()))):
        assert "pa55word" not in text


# Bounds


def test_one_mail_too_many_fails_at_once_and_all_others_are_sent(
    loop_kind: str, mailing: Mailing, door: Door
) -> None:
    ref = mailing.begin(door, max_connections=2, max_queued=3)[1]
    mailing.tell(ref, 5)

    with Clock(AT_ONCE):
        outcome = mailing.ask(ref)

    assert (outcome.kind, outcome.retryable) == (FailureKind.LOCAL, True)
    assert not outcome.maybe_accepted
    assert outcome.detail == "3 emails are queued already (max_queued); submit it again later"
    assert [result.retryable for result in outcome.recipients] == [True]
    assert mailing.wait_for(1) == [outcome]
    door.open()
    assert mailing.kinds() == {"accepted": 5, "LOCAL": 1}
    assert isinstance(mailing.ask(ref), SendSuccess)


def test_mails_that_wait_to_be_tried_again_count_too(mailing: Mailing) -> None:
    server = mailing.serve(polite(replies={"MAIL": "451 4.3.0 later"}))
    ref = mailing.start(server, max_queued=2, retry=RetryPolicy(initial_delay=3600.0))
    retried = threading.Semaphore(0)

    def hear(_sender: str, **_extra: object) -> None:
        retried.release()

    with smtp_send_retry.connected_to(hear):
        mailing.tell(ref, 2)
        assert all(retried.acquire(timeout=PATIENCE) for _ in range(2))

    assert mailing.ask(ref).kind is FailureKind.LOCAL
    ref.stop(timeout=PATIENCE)
    assert mailing.kinds() == {"LOCAL": 1, "CANCELLED": 2}


def test_told_faster_than_the_server_takes_the_queue_stays_bounded_and_nothing_is_lost(
    mailing: Mailing, smtp_sink: Start
) -> None:
    ref = mailing.start(smtp_sink(), max_connections=2, max_queued=50)

    mailing.tell(ref, 2_000)

    kinds = mailing.kinds()
    assert kinds.keys() <= {"accepted", "LOCAL"}
    assert kinds["accepted"] >= 50
    assert mailing.statistics(ref).submitted == 2_000


# What it says of itself


def test_the_statistics_tell_where_each_mail_is(
    loop_kind: str, mailing: Mailing, door: Door
) -> None:
    server, ref = mailing.begin(door, max_connections=2)
    mailing.tell(ref, 7)
    server.wait_for(lambda: len(server.sessions) == 2)

    during = ref.proxy().statistics().get(timeout=PATIENCE)
    door.open()
    mailing.outcomes()
    mailing.drain(ref)
    after = mailing.statistics(ref)

    assert isinstance(during, MailerStatistics)
    assert (during.submitted, during.queued, during.in_flight, during.sent) == (7, 5, 2, 0)
    assert (during.connections_busy, during.connections_idle) == (2, 0)
    assert (during.window, during.latency_p50) == (2, None)
    assert (after.submitted, after.queued, after.in_flight, after.sent) == (7, 0, 0, 7)
    assert (after.connections_busy, after.connections_idle) == (0, 2)
    assert after.failed == after.retries == 0
    assert after.rate > 0
    latencies: list[Any] = [after.latency_p50, after.latency_p90, after.latency_p99]
    assert 0 <= latencies[0] <= latencies[1] <= latencies[2] <= (after.latency_max or 0)
    assert json.loads(json.dumps(after.as_dict()))["sent"] == 7


def test_failures_are_counted_by_kind_and_attempts_that_were_not_the_first_as_retries(
    mailing: Mailing, tmp_path: Path
) -> None:
    server = mailing.serve(
        polite(replies={"no@x.test": "550 5.1.1 who?", "later@x.test": "450 4.2.0 later"})
    )
    policy = RetryPolicy(max_attempts=3, initial_delay=0.01, max_delay=0.01)
    ref = mailing.start(server, retry=policy)

    mailing.tell(ref, 2)
    mailing.tell(ref, 3, recipients="no@x.test")
    mailing.tell(ref, message=tmp_path / "missing")
    mailing.tell(ref, recipients="later@x.test")
    mailing.outcomes()

    found = mailing.statistics(ref)
    assert (found.submitted, found.sent, found.failed, found.retries) == (7, 2, 5, 2)
    assert dict(found.failed_by_kind) == {FailureKind.SMTP: 4, FailureKind.LOCAL: 1}


def test_an_email_whose_connection_waits_for_quit_is_not_counted_twice(
    mailing: Mailing,
) -> None:
    server = mailing.serve(
        """
        S: 220 mx.test
        C: EHLO *
        S: 250 mx.test
        C: MAIL *
        S: 250 ok
        C: RCPT *
        S: 250 ok
        C: DATA
        S: 354 go ahead
        C: <data>
        S: 250 taken
        C: QUIT
        S! silence
        """
    )
    ref = mailing.start(server, max_mails_per_connection=1)

    mailing.ask(ref)

    found = mailing.statistics(ref)
    assert (found.submitted, found.sent, found.in_flight, found.queued) == (1, 1, 0, 0)
    assert found.connections_busy == 1


def test_at_any_time_each_mail_that_was_told_is_in_one_place(
    loop_kind: str, mailing: Mailing
) -> None:
    server = mailing.serve(polite("PIPELINING", replies={"later@x.test": "450 4.2.0 later"}))
    ref = mailing.start(server, retry=SOON, max_mails_per_connection=3, max_queued=60)
    seen: list[MailerStatistics] = []

    for number in range(80):
        mailing.tell(ref, recipients="later@x.test" if number % 7 == 0 else "c@d.test")
        seen.append(mailing.statistics(ref))
    while len(mailing.so_far()) < 60:
        seen.append(mailing.statistics(ref))

    for found in seen:
        places = found.queued + found.waiting_for_retry + found.in_flight
        assert places + found.sent + found.failed == found.submitted, found
    assert all(a.submitted <= b.submitted and a.sent <= b.sent for a, b in pairwise(seen))
    assert any(found.waiting_for_retry for found in seen)


def test_repr_says_the_essentials(mailing: Mailing, door: Door) -> None:
    server, ref = mailing.begin(door, max_connections=2, alias="news")
    actor = ref._actor_weakref()
    mailing.tell(ref, 5)
    server.wait_for(lambda: len(server.sessions) == 2)
    mailing.statistics(ref)

    name = f"{server.host}:{server.port}"
    assert repr(actor) == f"<Mailer 'news' {name} 3 queued, 2 in flight, 0 sent, 0 failed>"
    door.open()
    mailing.outcomes()
    mailing.drain(ref)
    assert repr(actor) == f"<Mailer 'news' {name} 0 queued, 0 in flight, 5 sent, 0 failed>"


def test_repr_of_one_whose_options_are_wrong_does_not_raise() -> None:
    assert repr(Mailer.__new__(Mailer)) == "<Mailer>"


# When we break ourselves


def test_an_error_of_ours_in_another_message_costs_neither_the_mailer_nor_any_mail(
    loop_kind: str, mailing: Mailing, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, ref = mailing.begin(door, max_connections=2)
    mailing.tell(ref, 5)
    server.wait_for(lambda: len(server.sessions) == 2)
    drain: Any = ref.ask(Drain(), block=False)

    def broken(*_args: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr(Mailer, "statistics", broken)
    ref.tell(Statistics())

    mailing.tell(ref)
    door.open()

    assert mailing.kinds() == {"accepted": 6}
    assert drain.get(timeout=PATIENCE) is True


def test_a_defect_amid_a_mail_is_that_mails_outcome_and_no_others(
    mailing: Mailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = mailing.start(mailing.serve(), max_connections=1)
    acquire = ConnectionPool.acquire
    taken: list[object] = []

    def break_the_third(self: ConnectionPool) -> Any:
        taken.append(None)
        if len(taken) == 3:
            raise LookupError("a bug")
        return acquire(self)

    monkeypatch.setattr(ConnectionPool, "acquire", break_the_third)
    mailing.tell(ref, 5)

    assert [kind_of(outcome) for outcome in mailing.outcomes()] == [
        *("accepted", "accepted", "INTERNAL", "accepted", "accepted")
    ]


def test_mails_that_were_never_tried_count_for_neither_pace_nor_latency(
    mailing: Mailing, door: Door
) -> None:
    ref = mailing.start(mailing.serve(door), max_queued=5, max_connections=1)
    mailing.tell(ref, 50)  # one is on its way, five wait, and the others are too many

    assert wait_until(lambda: mailing.statistics(ref).failed == 44, PATIENCE)
    statistics = mailing.statistics(ref)
    assert (statistics.rate, statistics.latency_p50, statistics.latency_max) == (0.0, None, None)
    door.open()
    assert mailing.kinds() == {"accepted": 6, "LOCAL": 44}
    assert 0 < mailing.statistics(ref).rate <= 6


def test_a_question_that_fails_is_the_askers_affair(
    mailing: Mailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = mailing.start(mailing.serve())

    def broken(_mailer: Mailer) -> None:
        raise LookupError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(module.Mailer, "statistics", broken)
        with pytest.raises(LookupError):
            ref.ask(Statistics(), timeout=PATIENCE)

    assert isinstance(mailing.ask(ref), SendSuccess)

"""Mails of many recipients, to servers that take only some of them at a time."""

from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest
from servers.mailer_fixtures import Retries
from servers.mailing import Clock, Mailing
from servers.scripted import Conn, ScriptedServer, Start
from servers.waiting import PATIENCE

from pykka_smtp import NO_RETRY, Drain, RetryPolicy, SendFailure, SendMail, SendSuccess, SmtpActor
from pykka_smtp.testing.moods import At, Moment, said
from pykka_smtp.testing.polite import Polite
from pykka_smtp.testing.talk.acts import Act

HOUR = RetryPolicy(initial_delay=3600.0)


class Strict(Polite):
    """A server that takes so many recipients in a transaction, and transactions in a session.

    It breaks off where a client begins one more transaction than it said.
    """

    def __init__(
        self,
        *offers: str,
        rcpts: int,
        mails: int = 1000,
        many: str = "452 4.5.3 too many",
        first: dict[str, str] | None = None,
    ) -> None:
        super().__init__(*offers, moods=[At("MAIL", self._begin), At("RCPT", self._add)])
        self.answers: Counter[str] = Counter()
        self._rcpts, self._mails, self._many = rcpts, mails, many
        self._first = dict(first or {})
        self._taken: dict[Any, int] = {}

    def _begin(self, moment: Moment) -> None:
        session = cast("Conn", moment.client).session
        assert session.verbs.count("MAIL") <= self._mails, "more transactions than allowed"
        self._taken[session] = 0

    def _add(self, moment: Moment) -> list[Act]:
        session = cast("Conn", moment.client).session
        reply = self._first.pop(moment.path, "")
        reply = reply or ("250 ok" if self._taken[session] < self._rcpts else self._many)
        self._taken[session] += reply.startswith("2")
        self.answers[reply[:3]] += 1
        return [said(reply)]


def people(count: int) -> list[str]:
    return [f"u{number}@d.test" for number in range(count)]


def delivered(server: ScriptedServer) -> Counter[str]:
    return Counter(path for mail in server.mails for path in mail.recipients)


@pytest.mark.parametrize("policy", [HOUR, NO_RETRY], ids=["patient", "one attempt"])
def test_recipients_for_whom_a_session_has_no_room_have_the_next_one_at_once(
    loop_kind: str, mailing: Mailing, retries: Retries, policy: RetryPolicy
) -> None:
    server = mailing.serve(Strict("LIMITS MAILMAX=5 RCPTMAX=10", rcpts=10, mails=5))
    ref = mailing.start(server, retry=policy)

    with Clock(10.0):
        outcome = mailing.ask(ref, recipients=people(500))

    assert isinstance(outcome, SendSuccess)
    assert (outcome.refused, outcome.warnings) == ((), ())
    assert (outcome.attempts, retries.all) == (1, [])
    assert delivered(server) == Counter(people(500))
    assert len(server.sessions) == 10
    assert mailing.statistics(ref).retries == 0


def test_a_reused_connection_with_little_room_is_not_an_attempt(
    loop_kind: str, mailing: Mailing
) -> None:
    server = mailing.serve(Strict("LIMITS MAILMAX=5 RCPTMAX=1", rcpts=1, mails=5))
    ref = mailing.start(server, max_connections=1, retry=NO_RETRY)

    mailing.tell(ref, 3, recipients=people(2))

    for outcome in mailing.outcomes():
        assert isinstance(outcome, SendSuccess)
        assert (outcome.refused, outcome.warnings, outcome.attempts) == ((), (), 1)
    assert delivered(server) == {"u0@d.test": 3, "u1@d.test": 3}


@pytest.mark.parametrize("offers", [(), ("PIPELINING",), ("PIPELINING", "CHUNKING")], ids=str)
@pytest.mark.parametrize("many", ["452 4.5.3 too many", "552 too many recipients"])
def test_recipients_over_the_limit_are_in_the_next_transaction(
    loop_kind: str,
    mailing: Mailing,
    retries: Retries,
    many: str,
    offers: tuple[str, ...],
) -> None:
    strict = Strict(*offers, rcpts=10, many=many)
    server, ref = mailing.begin(strict, retry=NO_RETRY)

    with Clock(10.0):
        outcome = mailing.ask(ref, recipients=people(200))

    assert isinstance(outcome, SendSuccess)
    assert (outcome.refused, outcome.attempts, retries.all) == ((), 1, [])
    assert delivered(server) == Counter(people(200))
    assert len(server.sessions) == 1
    assert strict.answers == {"250": 200, many[:3]: 90}  # only the first asked for a hundred


def test_an_smtp_actor_too_goes_on_with_those_who_were_too_many(scripted_server: Start) -> None:
    server = scripted_server(Strict(rcpts=10))
    mail = SendMail(sender="a@b.test", recipients=people(30), body="hello")

    outcome = SmtpActor.start(server.host, server.port).ask(mail, timeout=PATIENCE)

    assert isinstance(outcome, SendSuccess)
    assert outcome.refused == ()
    assert delivered(server) == Counter(people(30))


def test_those_who_were_refused_for_now_wait_and_those_not_tried_do_not(
    mailing: Mailing, retries: Retries
) -> None:
    first = {"u0@d.test": "450 4.2.0 greylisted", "u1@d.test": "550 5.1.1 who?"}
    strict = Strict("LIMITS MAILMAX=2 RCPTMAX=3", rcpts=3, mails=2, first=first)
    server = mailing.serve(strict)
    policy = RetryPolicy(max_attempts=2, initial_delay=0.05, jitter=0)
    ref = mailing.start(server, retry=policy)

    outcome = mailing.ask(ref, recipients=people(15))
    mailing.outcomes()

    assert isinstance(outcome, SendSuccess)
    assert [result.address for result in outcome.refused] == ["u1@d.test"]
    assert outcome.attempts == 2
    assert len(retries.all) == 1
    assert delivered(server) == Counter(people(15)) - Counter(["u1@d.test"])


def test_a_server_that_refuses_the_first_recipient_as_one_too_many_is_given_time(
    mailing: Mailing,
) -> None:
    server = mailing.serve(Strict(rcpts=0))
    ref = mailing.start(server, retry=RetryPolicy(max_attempts=2, initial_delay=0.05, jitter=0))

    outcome = mailing.ask(ref, recipients=people(3))

    assert isinstance(outcome, SendFailure)
    assert (outcome.code, outcome.attempts) == (452, 2)
    assert len([line for line in server.lines if line.startswith("MAIL")]) == 2


def test_a_file_that_can_be_read_once_has_no_second_session(
    mailing: Mailing, tmp_path: Path
) -> None:
    server = mailing.serve(Strict("LIMITS MAILMAX=1 RCPTMAX=2", rcpts=2, mails=1))
    path = tmp_path / "mail.eml"
    path.write_bytes(b"Subject: x\r\n\r\nhello\r\n")
    ref = mailing.start(server, retry=HOUR)

    with path.open("rb") as file:
        outcome = mailing.ask(ref, recipients=people(5), message=file)

    assert isinstance(outcome, SendSuccess)
    assert len(outcome.refused) == 3
    (warning,) = outcome.warnings
    assert "takes 1 emails in a session (LIMITS MAILMAX); 3 of 5 recipients not tried" in warning


def test_a_mail_that_is_stopped_between_two_sessions_has_one_outcome_with_both(
    mailing: Mailing,
) -> None:
    server = mailing.serve(Strict("LIMITS MAILMAX=1 RCPTMAX=1", rcpts=1, mails=1))
    ref = mailing.start(server, rate="1/min burst 1")
    future = mailing.ask_later(ref, recipients=people(2))
    server.wait_for(lambda: server.accepted == 1)
    server.wait_until_ended()

    assert ref.ask(Drain(timeout=0.05), timeout=PATIENCE) is False
    ref.stop()
    outcome = future.get(timeout=PATIENCE)

    assert isinstance(outcome, SendSuccess)
    assert [result.address for result in outcome.refused] == ["u1@d.test"]
    assert outcome.refused[0].retryable
    assert outcome.attempts == 1

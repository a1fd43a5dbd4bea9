"""A Mailer whose mails go by the domains of their recipients: each mail in parts, with one outcome.

The routes come from the test; names of hosts are addresses of this machine.
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from pykka import ActorRef
from servers.mailing import SOON, Mailing, kind_of
from servers.moody import Moody
from servers.scripted import ScriptedServer
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import (
    NO_RETRY,
    Mailer,
    Outcome,
    RetryPolicy,
    SendFailure,
    SendSuccess,
    set_connection_limit,
    smtp_send_retry,
)
from pykka_smtp.actors.mailer.routing import FindRoute, Route
from pykka_smtp.actors.net.connection_limit import connection_limit
from pykka_smtp.actors.options.options import collect_options
from pykka_smtp.smtp.words.stage import Stage
from pykka_smtp.smtp.words.verdict import Failed, FailureKind
from pykka_smtp.testing.polite import polite

HERE = "127.0.0.1"
NOBODY = "127.0.0.2"
"""An address of this machine where no server of a test listens."""
NO_MAIL = Failed(
    kind=FailureKind.CONNECT,
    stage=Stage.CONNECT,
    detail="null.test takes no mail (null MX)",
    retryable=False,
)


def start(mailing: Mailing, find: FindRoute, **options: Any) -> ActorRef[Mailer]:
    """Start a Mailer with these routes; it is stopped at the end of the test."""

    class ByDomain(Mailer):
        _find_route = staticmethod(find)

    ref: ActorRef[Any] = ByDomain.start(HERE, 9, tls="off", **({"grace": 1.0} | options))
    mailing.refs.append(ref)
    return ref


def to(*servers: ScriptedServer, hosts: tuple[str, ...] = (HERE,)) -> FindRoute:
    """Route the domains one.test, two.test, … to servers; null.test to none."""

    def find(domain: str) -> Route | Failed:
        if domain == "null.test":
            return NO_MAIL
        number = {"one.test": 0, "two.test": 1, "three.test": 2}.get(domain, 0)
        server = servers[min(number, len(servers) - 1)]
        return Route(hosts, collect_options(HERE, server.port, tls="off", alias="mailer"))

    return find


def in_use(ref: ActorRef[Mailer]) -> list[Any]:
    """Name the destinations that a Mailer has in use, but for its own relay."""
    actor = ref._actor_weakref()
    assert actor is not None
    return [destination.key for destination in list(actor._destinations) if destination.key]


@pytest.fixture
def limit() -> Iterator[Callable[[int], None]]:
    """Set the connection limit."""
    before = connection_limit.limit
    yield set_connection_limit
    set_connection_limit(before)


def test_a_mail_for_several_domains_goes_in_parts_and_has_one_outcome(
    loop_kind: str, mailing: Mailing
) -> None:
    first, second = mailing.serve(polite()), mailing.serve(polite())
    ref = start(mailing, to(first, second))

    outcome = mailing.ask(ref, recipients=["a@one.test", "b@two.test", "c@null.test", "d@ONE.test"])

    assert isinstance(outcome, SendSuccess)
    assert [result.accepted for result in outcome.recipients] == [True, True, False, True]
    assert outcome.attempts == 1
    ports = [result.peer and result.peer.port for result in outcome.recipients]
    assert ports == [first.port, second.port, None, first.port]
    assert outcome.recipients[2].detail == NO_MAIL.detail
    assert outcome.warnings == (NO_MAIL.detail,)
    assert [mail.recipients for mail in first.mails] == [("a@one.test", "d@ONE.test")]
    assert [mail.recipients for mail in second.mails] == [("b@two.test",)]


def test_a_mail_that_no_domain_takes_is_one_failure(mailing: Mailing) -> None:
    ref = start(mailing, to(mailing.serve(polite(replies={"b@one.test": "550 5.1.1 who?"}))))

    outcome = mailing.ask(ref, recipients=["b@one.test", "c@null.test"])

    assert isinstance(outcome, SendFailure)
    assert not outcome.retryable
    assert [result.reply and result.reply.code for result in outcome.recipients] == [550, None]
    assert [result.detail for result in outcome.recipients] == ["", NO_MAIL.detail]


def test_a_part_that_is_refused_for_now_is_tried_again_alone(
    loop_kind: str, mailing: Mailing
) -> None:
    busy = Moody(answers={"RCPT": ["451 4.2.0 later", "451 4.2.0 later"]})
    first, second = mailing.serve(polite()), mailing.serve(busy)
    retried: list[tuple[int, list[str]]] = []

    def retry(_sender: str, outcome: Outcome, attempt: int, **_extra: Any) -> None:
        retried.append((attempt, [result.address for result in outcome.recipients]))

    smtp_send_retry.connect(retry)
    ref = start(mailing, to(first, second), retry=SOON)

    outcome = mailing.ask(ref, recipients=["a@one.test", "b@two.test"])

    assert [result.accepted for result in outcome.recipients] == [True, True]
    assert outcome.attempts == 3  # what the second has seen; the first has seen one
    assert len(first.mails) == 1
    assert wait_until(lambda: len(retried) == 2, PATIENCE)
    assert retried == [(1, ["b@two.test"]), (2, ["b@two.test"])]


def test_a_part_goes_to_the_next_host_at_once_where_the_first_is_not_there(
    mailing: Mailing, server: ScriptedServer
) -> None:
    ref = start(mailing, to(server, hosts=(NOBODY, HERE)), retry=NO_RETRY)

    outcome = mailing.ask(ref, recipients=["a@one.test"])

    assert isinstance(outcome, SendSuccess)
    assert outcome.attempts == 2


def test_a_dead_host_is_remembered_while_its_domain_is_idle(
    mailing: Mailing, server: ScriptedServer
) -> None:
    find = to(server, hosts=(NOBODY, HERE))
    ref = start(mailing, find, retry=NO_RETRY, initial_connections=1, idle_timeout=0.1)
    for _ in range(3):
        mailing.ask(ref, recipients=["a@one.test"])
    assert wait_until(lambda: in_use(ref) == [], PATIENCE)

    outcome = mailing.ask(ref, recipients=["a@one.test"])

    assert outcome.attempts == 1  # nobody has asked the dead one


def test_a_domain_without_mails_and_connections_is_in_use_no_more(
    loop_kind: str, mailing: Mailing, server: ScriptedServer
) -> None:
    ref = start(mailing, to(server), idle_timeout=0.2)
    for number in range(20):
        mailing.tell(ref, 2, recipients=[f"a@d{number}.test"])
    assert mailing.kinds() == {"accepted": 40}

    assert wait_until(lambda: in_use(ref) == [], PATIENCE)

    actor = ref._actor_weakref()
    assert actor is not None
    assert len(actor._destinations.memory) == 20
    assert len(actor._idle) == 0
    assert mailing.statistics(ref).connections_idle == 0


def test_no_more_attempts_are_made_than_the_process_may_have_connections(
    mailing: Mailing, server: ScriptedServer, limit: Callable[[int], None]
) -> None:
    limit(3)
    ref = start(mailing, to(server))
    most = 0
    for number in range(60):
        mailing.tell(ref, 1, recipients=[f"a@d{number}.test"])
        most = max(most, mailing.statistics(ref).connections_busy)

    assert mailing.kinds() == {"accepted": 60}
    assert most <= 3


def test_cold_domains_do_not_wait_behind_a_hot_one(
    loop_kind: str, mailing: Mailing, limit: Callable[[int], None]
) -> None:
    limit(2)
    held = threading.Event()

    def script(conn: Any) -> None:
        held.wait(PATIENCE)
        polite()(conn)

    ref = start(mailing, to(mailing.serve(script)))
    mailing.tell(ref, 300, recipients=["a@hot.test"])
    for number in range(20):
        mailing.tell(ref, 1, recipients=[f"a@cold{number}.test"])
    assert wait_until(lambda: mailing.statistics(ref).submitted == 320, PATIENCE)

    held.set()

    assert mailing.kinds() == {"accepted": 320}
    order = [outcome.mail.recipients[0] for outcome in mailing.so_far()]
    places = [place for place, address in enumerate(order) if "cold" in address]
    # In turns, the hot one has two at most before each cold one had its own (`test_destinations`).
    # Here each cold one needs a connection, while the hot one has its own already.
    assert max(places) < 200


def test_each_part_of_a_mail_that_waits_is_cancelled_and_what_was_sent_stays_sent(
    mailing: Mailing,
) -> None:
    first = mailing.serve(polite())
    second = mailing.serve(polite(replies={"RCPT": "451 4.2.0 later"}))
    ref = start(mailing, to(first, second), retry=RetryPolicy(initial_delay=3600.0))
    mailing.tell(ref, 1, recipients=["a@one.test", "b@two.test"])
    mailing.tell(ref, 1, recipients=["b@two.test"])
    assert wait_until(
        lambda: (
            mailing.statistics(ref).waiting_for_retry == 2
            and mailing.statistics(ref).in_flight == 0
        ),
        PATIENCE,
    )
    assert mailing.so_far() == []

    ref.stop()

    both, alone = mailing.outcomes()
    assert [result.accepted for result in both.recipients] == [True, False]
    assert re.search("stopped before it was sent", both.warnings[0])
    assert kind_of(alone) == "CANCELLED"


def test_a_mail_too_many_is_refused_in_all_its_parts_at_once(mailing: Mailing) -> None:
    server = mailing.serve(polite(replies={"RCPT": "451 4.2.0 later"}))
    ref = start(mailing, to(server), max_queued=2, retry=RetryPolicy(initial_delay=3600.0))
    mailing.tell(ref, 1, recipients=["a@one.test", "b@two.test"])
    assert wait_until(lambda: mailing.statistics(ref).waiting_for_retry == 2, PATIENCE)

    outcome = mailing.ask(ref, recipients=["a@three.test", "b@four.test"])

    assert kind_of(outcome) == "LOCAL"
    assert outcome.retryable
    assert sorted(in_use(ref)) == ["one.test", "two.test"]


def test_parts_that_wait_for_too_long_are_given_up_each_with_its_own_words(
    mailing: Mailing, server: ScriptedServer
) -> None:
    policy = RetryPolicy(initial_delay=0.05, multiplier=1.0, max_delay=0.05, give_up_after=0.5)
    reached: Mapping[str, tuple[str, ...]] = {"one.test": (HERE,), "two.test": (NOBODY,)}

    def find(domain: str) -> Route | Failed:
        options = collect_options(HERE, server.port, tls="off", alias="mailer")
        return Route(reached[domain], options)

    ref = start(mailing, find, retry=policy)

    outcome = mailing.ask(ref, recipients=["a@one.test", "b@two.test"])

    assert [result.accepted for result in outcome.recipients] == [True, False]
    assert NOBODY in outcome.recipients[1].detail

"""Where a Mailer turns to when a relay is dead, and when it comes back."""

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from servers.door import Door
from servers.mailer_fixtures import Retries
from servers.mailing import Clock, Mailing, kind_of
from servers.moody import Moody
from servers.scripted import Conn, ScriptedServer, polite
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import NO_RETRY, FailureKind, RetryPolicy, SendFailure, SendSuccess, Stage
from pykka_smtp.actors.mailer import mailer as mailer_module

PROBES = (0.05, 0.2)
HOUR = RetryPolicy(initial_delay=3600.0)
SOON = RetryPolicy(max_attempts=50, initial_delay=0.02, multiplier=1, max_delay=0.02)

Dead = Callable[[], str]


class Switch:
    """A server that is polite while it is on, and else turns everybody away."""

    def __init__(self, *, on: bool = False) -> None:
        self._on = threading.Event()
        self._polite = polite()
        if on:
            self._on.set()

    def turn(self, *, on: bool) -> None:
        """Turn it on or off, from the next connection on."""
        if on:
            self._on.set()
        else:
            self._on.clear()

    def __call__(self, conn: Conn) -> None:
        if self._on.is_set():
            self._polite(conn)
        else:
            conn.send("421 4.3.2 not now")


def url(server: ScriptedServer) -> str:
    return f"smtp://{server.host}:{server.port}"


def name(server: ScriptedServer | str) -> str:
    """The name that a Mailer has for a relay."""
    if isinstance(server, str):
        return server.removeprefix("smtp://")
    return f"{server.host}:{server.port}"


def ports(outcomes: list[Any]) -> list[int | None]:
    return [outcome.peer.port if outcome.peer else None for outcome in outcomes]


# In order


@pytest.mark.parametrize("policy", [HOUR, NO_RETRY], ids=["patient", "one attempt"])
def test_a_mail_whose_relay_is_dead_goes_to_the_next_one_at_once(
    loop_kind: str, mailing: Mailing, dead: Dead, retries: Retries, policy: RetryPolicy
) -> None:
    backup = mailing.serve()
    ref = mailing.start(backup, url=dead(), backups=[url(backup)], retry=policy)

    with Clock(5.0):
        outcome = mailing.ask(ref)
    mailing.outcomes()

    assert isinstance(outcome, SendSuccess)
    assert ports([outcome]) == [backup.port]
    assert outcome.attempts == 2
    assert backup.accepted == 1
    (heard,) = retries.all
    assert heard["attempt"] == 1
    assert heard["outcome"].kind is FailureKind.CONNECT


def test_backups_are_tried_in_their_order(mailing: Mailing, dead: Dead) -> None:
    first, second = mailing.serve(), mailing.serve()
    backups = [dead(), url(first), url(second)]
    ref = mailing.start(first, url=dead(), backups=backups, retry=HOUR)

    mailing.tell(ref, 20)

    assert mailing.kinds() == {"accepted": 20}
    assert (first.accepted, len(second.sessions)) == (20, 0)
    assert max(outcome.attempts for outcome in mailing.outcomes()) <= 3


def test_once_a_relay_is_dead_mails_go_to_the_backup_without_asking_it(
    mailing: Mailing, dead: Dead
) -> None:
    backup, gone = mailing.serve(), dead()
    ref = mailing.start(backup, url=gone, backups=[url(backup)], retry=HOUR)
    mailing.tell(ref, 10)
    mailing.outcomes()
    assert mailing.statistics(ref).dead_relays == (name(gone),)

    outcome = mailing.ask(ref)

    assert outcome.attempts == 1
    assert ports([outcome]) == [backup.port]
    assert mailing.statistics(ref).window >= 5  # that of the relay in use


@pytest.mark.parametrize(
    "answers",
    [{"greeting": ["421 busy"]}, {"greeting": ["554 go away"]}, {"greeting": ["close"]}],
    ids=["421", "554", "closes"],
)
def test_a_relay_that_turns_a_mail_away_before_it_was_offered_is_as_good_as_dead(
    mailing: Mailing, answers: dict[str, list[str]]
) -> None:
    server, backup = mailing.serve(Moody(answers=answers)), mailing.serve()
    ref = mailing.start(server, backups=[url(backup)], retry=HOUR)

    outcome = mailing.ask(ref)

    assert isinstance(outcome, SendSuccess)
    assert ports([outcome]) == [backup.port]
    assert mailing.statistics(ref).dead_relays == ()  # one such mail is none too many


@pytest.mark.parametrize("where", ["MAIL", "RCPT", "."])
def test_an_email_rejected_by_a_relay_does_not_fail_over(mailing: Mailing, where: str) -> None:
    server = mailing.serve(Moody(answers={where: ["451 not now", "551 never"]}))
    backup = mailing.serve()
    ref = mailing.start(server, backups=[url(backup)], retry=SOON)

    outcome = mailing.ask(ref)

    assert isinstance(outcome, SendFailure)
    assert (outcome.code, outcome.attempts) == (551, 2)
    assert backup.sessions == []


def test_a_relay_that_is_busy_is_waited_for(mailing: Mailing) -> None:
    server, backup = mailing.serve(), mailing.serve()
    ref = mailing.start(server, backups=[url(backup)], max_connections=1)

    mailing.tell(ref, 50)

    assert mailing.kinds() == {"accepted": 50}
    assert (server.accepted, len(backup.sessions)) == (50, 0)


def test_where_all_relays_are_dead_each_is_tried_once_before_the_mail_waits(
    mailing: Mailing, dead: Dead, retries: Retries
) -> None:
    policy = RetryPolicy(max_attempts=2, initial_delay=0.05, jitter=0)
    ref = mailing.start(mailing.serve(), url=dead(), backups=[dead(), dead()], retry=policy)

    outcome = mailing.ask(ref)
    mailing.outcomes()

    assert isinstance(outcome, SendFailure)
    assert (outcome.kind, outcome.stage) == (FailureKind.CONNECT, Stage.CONNECT)
    assert outcome.retryable
    # Three relays at once, and all again: that a relay is dead uses up nobody's patience.
    assert outcome.attempts == 6
    assert [heard["attempt"] for heard in retries.all] == [1, 2, 3, 4, 5]
    now = [
        (heard["next_time"] - retries.all[0]["next_time"]).total_seconds() for heard in retries.all
    ]
    assert now[1] < 0.05 <= now[2]


# By weight


def test_backups_with_weights_are_chosen_by_them(
    mailing: Mailing, dead: Dead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailer_module, "random", random.Random(4))  # noqa: S311 - a test
    heavy, light, none = mailing.serve(), mailing.serve(), mailing.serve()
    backups = [(url(heavy), 3), (url(light), 1), url(none)]
    ref = mailing.start(heavy, url=dead(), backups=backups, retry=HOUR)

    mailing.tell(ref, 400)

    assert mailing.kinds() == {"accepted": 400}
    assert heavy.accepted + light.accepted == 400
    assert 240 <= heavy.accepted <= 360
    assert none.sessions == []


def test_of_backups_with_weights_those_that_are_dead_are_not_chosen(
    mailing: Mailing, dead: Dead
) -> None:
    alive, last = mailing.serve(), mailing.serve()
    backups = [(dead(), 1000), (url(alive), 1), url(last)]
    ref = mailing.start(alive, url=dead(), backups=backups, retry=HOUR)

    mailing.tell(ref, 50)

    assert mailing.kinds() == {"accepted": 50}
    assert (alive.accepted, len(last.sessions)) == (50, 0)


# Nobody waits for another


def test_mails_that_must_avoid_a_relay_hold_up_no_others_while_the_backup_is_silent(
    loop_kind: str, mailing: Mailing, door: Door
) -> None:
    greetings = ["220 mx.test", "220 mx.test", "421 too many"] * 100
    server, backup = mailing.serve(Moody(answers={"greeting": greetings})), mailing.serve(door)
    ref = mailing.start(
        server, backups=[url(backup)], max_mails_per_connection=1, max_connections=3
    )

    with Clock(10.0):
        mailing.tell(ref, 90)
        # All that the first relay will take: it has seen each mail once.
        assert wait_until(lambda: server.accepted == 60, PATIENCE)

    assert backup.accepted == 0
    assert mailing.statistics(ref).queued > 0
    door.open()
    assert mailing.kinds() == {"accepted": 90}
    assert (server.accepted, backup.accepted) == (60, 30)


def test_mails_drawn_for_a_slow_relay_hold_up_no_others(
    mailing: Mailing, dead: Dead, door: Door
) -> None:
    quick, slow = mailing.serve(), mailing.serve(door)
    backups = [(url(quick), 1), (url(slow), 1)]
    ref = mailing.start(
        quick, url=dead(), backups=backups, max_connections=2, retry=HOUR, initial_connections=2
    )

    with Clock(10.0):
        mailing.tell(ref, 100)
        # The others have been drawn for the slow one, and wait for it.
        assert wait_until(lambda: quick.accepted == mailing.statistics(ref).sent >= 20, PATIENCE)
        assert wait_until(
            lambda: mailing.statistics(ref).sent + mailing.statistics(ref).queued == 98, PATIENCE
        )

    door.open()
    assert mailing.kinds() == {"accepted": 100}
    assert slow.accepted >= 20


# Back again


@pytest.mark.usefixtures("quick_probes")
def test_mails_go_back_to_the_first_relay_as_soon_as_it_is_alive(mailing: Mailing) -> None:
    switch = Switch()
    server, backup = mailing.serve(switch), mailing.serve()
    ref = mailing.start(server, backups=[url(backup)], retry=SOON)
    mailing.tell(ref, 10)
    assert mailing.kinds() == {"accepted": 10}
    assert (server.accepted, backup.accepted) == (0, 10)
    assert mailing.statistics(ref).dead_relays == (name(server),)

    switch.turn(on=True)
    assert wait_until(lambda: ports([mailing.ask(ref)]) == [server.port], PATIENCE)

    before = backup.accepted
    for _ in range(5):
        assert ports([mailing.ask(ref)]) == [server.port]
    assert backup.accepted == before
    assert mailing.statistics(ref).dead_relays == ()


@pytest.mark.usefixtures("quick_probes")
def test_mails_that_wait_for_dead_relays_go_out_when_one_comes_back(
    mailing: Mailing, dead: Dead
) -> None:
    switch = Switch()
    backup = mailing.serve(switch)
    ref = mailing.start(backup, url=dead(), backups=[url(backup)], retry=SOON)
    mailing.tell(ref, 30)
    assert wait_until(lambda: len(mailing.statistics(ref).dead_relays) == 2, PATIENCE)

    switch.turn(on=True)

    assert mailing.kinds() == {"accepted": 30}
    assert backup.accepted == 30


def test_a_mail_that_its_relay_has_failed_does_not_wait_for_a_backup_that_is_dead(
    mailing: Mailing, dead: Dead
) -> None:
    """Nor do those behind it, for which the first relay is as good as ever."""
    no, yes = "421 busy", "220 mx.test"
    server = mailing.serve(Moody(answers={"greeting": [no, no, yes, no, no, yes, no, yes]}))
    gone = dead()
    ref = mailing.start(
        server, backups=[gone], retry=SOON, initial_connections=3, max_mails_per_connection=1
    )

    with Clock(5.0):
        # Each failure of the first relay is one of the backup, too; but the first one recovers.
        assert isinstance(mailing.ask(ref), SendSuccess)
        assert isinstance(mailing.ask(ref), SendSuccess)
        assert mailing.statistics(ref).dead_relays == (name(gone),)
        mailing.tell(ref, 5)
        assert mailing.kinds() == {"accepted": 7}

    assert server.accepted == 7


# One attempt, and no relay


def test_with_one_attempt_and_a_dead_relay_mails_fail_at_once(
    loop_kind: str, mailing: Mailing, dead: Dead
) -> None:
    ref = mailing.start(mailing.serve(), url=dead(), retry=NO_RETRY)

    with Clock(5.0):
        mailing.tell(ref, 200)
        assert mailing.kinds() == {"CONNECT": 200}

    outcomes = mailing.outcomes()
    tried = [outcome for outcome in outcomes if outcome.attempts]
    assert 3 <= len(tried) <= 10
    for outcome in outcomes:
        assert (outcome.retryable, outcome.maybe_accepted) == (True, False)
        assert outcome.stage is Stage.CONNECT
        if not outcome.attempts:
            assert outcome.detail.startswith("not attempted: ")
            assert "refused" in outcome.detail
    statistics = mailing.statistics(ref)
    assert statistics.queued == 0
    assert len(statistics.dead_relays) == 1


def test_with_one_attempt_and_dead_backups_mails_fail_at_once(mailing: Mailing, dead: Dead) -> None:
    ref = mailing.start(mailing.serve(), url=dead(), backups=[dead()], retry=NO_RETRY)

    with Clock(5.0):
        mailing.tell(ref, 100)
        assert mailing.kinds() == {"CONNECT": 100}

    assert len(mailing.statistics(ref).dead_relays) == 2


@pytest.mark.usefixtures("quick_probes")
def test_with_one_attempt_too_a_relay_that_comes_back_is_found_by_a_later_mail(
    mailing: Mailing,
) -> None:
    switch = Switch()
    server = mailing.serve(switch)
    ref = mailing.start(server, retry=NO_RETRY)
    mailing.tell(ref, 20)
    assert set(mailing.kinds()) <= {"SMTP", "CONNECT"}
    assert mailing.statistics(ref).dead_relays == (name(server),)

    switch.turn(on=True)

    assert wait_until(lambda: kind_of(mailing.ask(ref)) == "accepted", PATIENCE)


def test_mails_that_may_wait_do_so_for_a_dead_relay_until_their_patience_ends(
    mailing: Mailing, dead: Dead
) -> None:
    policy = RetryPolicy(
        max_attempts=1000, initial_delay=0.02, multiplier=1, jitter=0, give_up_after=0.5
    )
    ref = mailing.start(mailing.serve(), url=dead(), retry=policy)

    mailing.tell(ref, 30)

    with Clock(5.0):
        kinds = mailing.kinds()
    assert set(kinds) <= {"CONNECT", "TIMEOUT"}
    assert kinds["TIMEOUT"] > 0
    late = [o for o in mailing.outcomes() if o.kind is FailureKind.TIMEOUT]
    assert "gave up 0.5 s after its submission (retry.give_up_after): " in late[0].detail
    assert "refused" in late[0].detail

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest
from servers.scripted import Conn, Start, polite
from servers.waiting import PATIENCE

from pykka_smtp import FailureKind, SendMail, SendSuccess, SmtpActor, set_connection_limit
from pykka_smtp.actors.net import connection_limit as module
from pykka_smtp.actors.net.connection_limit import ConnectionLimit, Permit


class Holders:
    """Who got a permit, in order."""

    def __init__(self, limit: int, names: str = "") -> None:
        self.limit = ConnectionLimit(limit)
        self.granted: list[str] = []
        self.permits: list[Permit] = []
        for name in names:
            self.ask(name)

    def ask(self, name: str, *, is_pressing: bool = False) -> None:
        self.limit.acquire(name, lambda p: self.take(name, p), is_pressing=is_pressing)

    def take(self, name: str, permit: Permit) -> None:
        self.granted.append(name)
        self.permits.append(permit)

    def give_back(self) -> None:
        """Give back the permit that was granted first."""
        self.permits.pop(0).release()


def test_permits_are_granted_at_once_up_to_the_limit() -> None:
    holders = Holders(2, "abc")

    assert holders.granted == ["a", "b"]


def test_a_released_permit_goes_to_the_longest_waiter() -> None:
    holders = Holders(1, "abc")

    holders.give_back()
    assert holders.granted == ["a", "b"]
    holders.give_back()
    assert holders.granted == ["a", "b", "c"]
    holders.give_back()
    holders.ask("d")
    assert holders.granted == ["a", "b", "c", "d"]


class Receivers:
    """Whether they have fallen behind."""

    is_full = False


@pytest.fixture
def receivers(monkeypatch: pytest.MonkeyPatch) -> Receivers:
    made = Receivers()
    monkeypatch.setattr(module, "dispatcher", made)
    return made


def test_no_permit_is_granted_while_receivers_are_behind_and_then_in_order(
    receivers: Receivers,
) -> None:
    holders = Holders(2)
    receivers.is_full = True
    for name in "abc":
        holders.ask(name)
    assert holders.granted == []

    receivers.is_full = False
    holders.ask("d")
    assert holders.granted == []
    holders.limit.receivers_have_caught_up()

    assert holders.granted == ["a", "b"]
    holders.give_back()
    holders.give_back()
    assert holders.granted == ["a", "b", "c", "d"]


def test_a_permit_given_back_while_receivers_are_behind_goes_to_what_one_of_them_may_wait_for(
    receivers: Receivers,
) -> None:
    holders = Holders(1, "ab")
    receivers.is_full = True
    for name in "cd":
        holders.ask(name, is_pressing=True)
    assert holders.limit.has_waiters

    for _ in range(3):
        holders.give_back()
    assert holders.granted == ["a", "c", "d"]
    assert not holders.limit.has_waiters

    receivers.is_full = False
    holders.limit.receivers_have_caught_up()
    assert holders.granted == ["a", "c", "d", "b"]


def test_what_a_receiver_may_wait_for_waits_for_nobody_who_waits_for_receivers(
    receivers: Receivers,
) -> None:
    holders = Holders(1)
    receivers.is_full = True
    holders.ask("a")

    holders.ask("b", is_pressing=True)

    assert holders.granted == ["b"]
    assert holders.limit.cancel_wait("a") is True
    assert holders.limit.cancel_wait("b") is False


def test_an_idle_connection_is_closed_only_for_a_send_that_waits_for_a_permit(
    receivers: Receivers,
) -> None:
    holders = Holders(1)
    closed: list[str] = []
    holders.ask("kept")
    receivers.is_full = True
    holders.limit.offer_idle("kept", lambda: closed.append("kept"))
    holders.ask("a")
    assert closed == []

    receivers.is_full = False
    holders.limit.receivers_have_caught_up()
    assert closed == ["kept"]

    holders.give_back()
    assert holders.granted == ["kept", "a"]


def test_who_withdraws_gets_none_and_who_has_one_was_not_waiting() -> None:
    holders = Holders(1, "abc")

    assert holders.limit.cancel_wait("b") is True
    assert holders.limit.cancel_wait("b") is False
    assert holders.limit.cancel_wait("a") is False
    holders.give_back()

    assert holders.granted == ["a", "c"]


def test_permits_are_granted_in_order() -> None:
    holders = Holders(1, "ab")
    granted_before_b: list[str] = []

    def ask_again(permit: Permit) -> None:
        holders.take("b", permit)
        granted_before_b.extend(holders.granted)

    holders.limit.cancel_wait("b")
    holders.limit.acquire("b", ask_again)
    holders.give_back()

    assert granted_before_b == ["a", "b"]


def test_a_permit_that_is_given_back_twice_counts_once() -> None:
    holders = Holders(1, "abc")
    first = holders.permits[0]

    first.release()
    first.release()

    assert holders.granted == ["a", "b"]


def test_an_error_of_a_permits_receiver_does_not_reach_its_releaser() -> None:
    holders = Holders(1, "a")
    broken: list[BaseException] = []

    class Broken:
        def crashed(self, error: BaseException) -> None:
            broken.append(error)

    def raises(_permit: Permit) -> None:
        raise LookupError("a bug")

    holders.limit.acquire(Broken(), raises)
    holders.ask("c")

    holders.give_back()

    assert [type(error) for error in broken] == [LookupError]
    assert holders.granted == ["a", "c"]


def test_a_higher_limit_serves_those_who_wait() -> None:
    holders = Holders(1, "abcd")

    holders.limit.limit = 3

    assert holders.granted == ["a", "b", "c"]
    assert holders.limit.limit == 3


def test_a_lower_limit_takes_nothing_away_and_counts_from_the_next_on() -> None:
    holders = Holders(3, "abcd")

    holders.limit.limit = 1
    holders.give_back()
    holders.give_back()
    assert holders.granted == ["a", "b", "c"]
    holders.give_back()

    assert holders.granted == ["a", "b", "c", "d"]


def test_many_threads_never_hold_more_permits_than_there_are() -> None:
    limit = ConnectionLimit(3)
    lock = threading.Lock()
    held, most = 0, 0

    def hold_one() -> None:
        nonlocal held, most
        for _ in range(200):
            granted: SimpleQueue[Permit] = SimpleQueue()
            limit.acquire(granted, granted.put)
            permit = granted.get(timeout=PATIENCE)
            with lock:
                held += 1
                most = max(most, held)
            with lock:
                held -= 1
            permit.release()

    threads = [threading.Thread(target=hold_one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert held == 0
    assert 1 <= most <= 3


def test_a_forked_child_has_all_permits_even_if_the_lock_was_held() -> None:
    holders = Holders(1)
    holders.ask("the parent's")
    holders.ask("waits in the parent")
    holders.limit._lock.acquire()

    holders.limit.reset_after_fork()
    holders.ask("the child's")

    assert holders.granted == ["the parent's", "the child's"]
    holders.give_back()
    assert holders.granted == ["the parent's", "the child's"]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        set_connection_limit(limit)


def test_a_limit_of_thousands_of_digits_is_refused_in_one_line() -> None:
    for limit in (10**5000, -(10**5000)):
        with pytest.raises(ValueError, match="at least 1, and at most 1000000") as raised:
            set_connection_limit(limit)
        assert len(str(raised.value)) < 100


@pytest.mark.parametrize("limit", [float("nan"), float("inf"), 2.5, True, "5", None], ids=repr)
def test_a_limit_that_is_not_an_int_is_rejected(limit: Any) -> None:
    with pytest.raises(
        TypeError, match=f"the connection limit needs an int, not {type(limit).__name__}"
    ):
        set_connection_limit(limit)


# With real connections


class Doorkeeper:
    """A script that counts who is inside, and lets them go on when told."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.inside = 0
        self.most = 0
        self._is_open = False
        self._rest = polite()

    def __call__(self, conn: Conn) -> None:
        with self.changed:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.changed.notify_all()
            self.changed.wait_for(lambda: self._is_open, PATIENCE)
        try:
            self._rest(conn)
        finally:
            with self.changed:
                self.inside -= 1

    def wait_for(self, inside: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.inside >= inside, PATIENCE)

    def open(self) -> None:
        with self.changed:
            self._is_open = True
            self.changed.notify_all()


def mail(**options: Any) -> SendMail:
    return SendMail(sender="a@b.test", recipients="c@d.test", body="hello", **options)


def test_no_more_connections_are_open_than_the_limit_says_and_all_mails_arrive(
    loop_kind: str, scripted_server: Start, limit: Callable[[int], None], outcomes: Any
) -> None:
    door = Doorkeeper()
    server = scripted_server(door)
    limit(3)

    for _ in range(20):
        SmtpActor.start(server.host, server.port).tell(mail())
    door.wait_for(3)
    assert len(server.sessions) == 3
    door.open()

    assert {type(outcome) for outcome in outcomes.wait_for(20)} == {SendSuccess}
    assert door.most == 3
    assert len(server.sessions) == 20


def test_the_clock_of_a_send_that_waits_for_its_turn_has_not_started(
    loop_kind: str, scripted_server: Start, limit: Callable[[int], None]
) -> None:
    silent, polite_one = scripted_server("S! silence"), scripted_server()
    limit(1)
    first = SmtpActor.start(silent.host, silent.port, timeout=0.4).ask(mail(), block=False)
    silent.wait_for(lambda: silent.sessions)

    # It waits for longer than it may take.
    second = SmtpActor.start(polite_one.host, polite_one.port, timeout=0.3, deadline=0.3)
    outcome: Any = second.ask(mail(), timeout=PATIENCE)

    assert isinstance(outcome, SendSuccess)
    assert outcome.elapsed < 0.3
    failure: Any = first.get(timeout=PATIENCE)
    assert failure.kind is FailureKind.TIMEOUT
    assert round(failure.elapsed, 3) >= 0.4


def test_raising_the_limit_starts_those_who_wait(
    loop_kind: str, scripted_server: Start, limit: Callable[[int], None], outcomes: Any
) -> None:
    door = Doorkeeper()
    server = scripted_server(door)
    limit(1)
    for _ in range(4):
        SmtpActor.start(server.host, server.port).tell(mail())
    door.wait_for(1)

    limit(3)
    door.wait_for(3)
    assert len(server.sessions) == 3
    limit(1)
    door.open()

    outcomes.wait_for(4)
    assert door.most == 3


def test_a_send_that_is_stopped_while_it_waits_for_its_turn_is_cancelled_and_takes_no_permit(
    loop_kind: str, scripted_server: Start, limit: Callable[[int], None], outcomes: Any
) -> None:
    door = Doorkeeper()
    server = scripted_server(door)
    limit(1)
    SmtpActor.start(server.host, server.port).tell(mail())
    door.wait_for(1)
    waiting = SmtpActor.start(server.host, server.port, alias="waiting")
    answer: Any = waiting.ask(mail(), block=False)

    assert waiting.stop(timeout=PATIENCE)

    outcome = answer.get(timeout=0)
    assert (outcome.kind, outcome.retryable) == (FailureKind.CANCELLED, True)
    assert (outcome.maybe_accepted, outcome.elapsed) == (False, 0)
    assert outcome.peer is None
    door.open()
    last: Any = SmtpActor.start(server.host, server.port).ask(mail(), timeout=PATIENCE)
    assert isinstance(last, SendSuccess)
    assert len(outcomes.wait_for(3)) == 3
    assert len(server.sessions) == 2

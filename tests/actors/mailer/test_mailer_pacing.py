"""How fast a Mailer goes, as its servers see it: rates, and the window of mails on their way."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from servers.mailing import Clock, Mailing
from servers.moody import Moody
from servers.scripted import Conn, ScriptedServer, polite
from servers.texts import up_to
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import NO_RETRY, FailureKind, Mailer, MailerStatistics, RetryPolicy
from pykka_smtp.actors.mailer.capacity.concurrency import FIRST_PAUSE, LONGEST_PAUSE
from pykka_smtp.actors.mailer.connections import relay as relay_module
from pykka_smtp.actors.mailer.sending import Sending
from pykka_smtp.testing.moods import At, Moment
from pykka_smtp.testing.polite import Polite

PROBES = (0.1, 0.2)
SOON = RetryPolicy(max_attempts=100, initial_delay=0.02, multiplier=1, max_delay=0.02)

Dead = Callable[[], str]


class Gate(Polite):
    """A server that answers MAIL only once the gate is open, or for so many that are let in.

    Attributes:
        waiting: how many stand before it.
    """

    def __init__(self) -> None:
        super().__init__(moods=[At("MAIL", self._wait)])
        self.waiting = 0
        self._changed = threading.Condition()
        self._free = 0
        self._is_open = False

    def open(self) -> None:
        """Let all in from now on."""
        with self._changed:
            self._is_open = True
            self._changed.notify_all()

    def let_in(self, count: int) -> None:
        """Let so many more in."""
        with self._changed:
            self._free += count
            self._changed.notify_all()

    def _wait(self, _moment: Moment) -> None:
        with self._changed:
            self.waiting += 1
            assert self._changed.wait_for(lambda: self._is_open or self._free, PATIENCE)
            self._free -= not self._is_open
            self.waiting -= 1


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Opened at the latest when the test ends."""
    made = Gate()
    yield made
    made.open()


def url(server: ScriptedServer) -> str:
    return f"smtp://{server.host}:{server.port}"


def seen(mailing: Mailing, ref: Any, wanted: Callable[[MailerStatistics], object]) -> bool:
    """Whether the statistics come to be as they should."""
    return wait_until(lambda: wanted(mailing.statistics(ref)), PATIENCE)


def check_rate(times: list[float], began: float, per_second: float, burst: int) -> None:
    """See that no mail came before its token had dropped in; any may have come late."""
    for number, moment in enumerate(sorted(times), 1):
        due = (number - burst) / per_second
        assert moment - began >= due - 0.001, f"mail {number} after {moment - began:.3f} s"


# Rates


@pytest.mark.parametrize(
    ("rate", "per_second", "burst", "count"),
    [
        ("20/s", 20, 1, 12),
        ("1200/min", 20, 1, 6),
        ("20/s burst 8", 20, 8, 18),
        (50.0, 50, 3, 25),
        ("200/s", 200, 10, 80),
    ],
)
def test_a_server_gets_mails_at_the_rate_that_was_asked_for(
    mailing: Mailing, rate: Any, per_second: float, burst: int, count: int
) -> None:
    moody = Moody()
    ref = mailing.start(mailing.serve(moody), rate=rate)

    began = time.monotonic()
    with Clock((count - burst) / per_second * 2 + 3.0):
        mailing.tell(ref, count)
        assert mailing.kinds() == {"accepted": count}

    assert len(moody.times) == count
    check_rate(moody.times, began, per_second, burst)


def test_a_burst_goes_at_once_and_the_rest_at_the_rate(mailing: Mailing) -> None:
    moody = Moody()
    ref = mailing.start(mailing.serve(moody), rate="2/s burst 5")

    began = time.monotonic()
    mailing.tell(ref, 5)
    with Clock(2.0):  # at two a second it would be 2.5
        assert mailing.kinds() == {"accepted": 5}
    mailing.tell(ref, 1)
    mailing.outcomes()

    check_rate(moody.times, began, 2, 5)


def test_attempts_that_are_not_the_first_count_as_well(mailing: Mailing) -> None:
    moody = Moody(answers={"RCPT": ["450 later"] * 8})
    policy = RetryPolicy(max_attempts=10, initial_delay=0.001, max_delay=0.001)
    ref = mailing.start(mailing.serve(moody), rate="20/s", retry=policy)

    began = time.monotonic()
    mailing.tell(ref, 4)

    assert mailing.kinds() == {"accepted": 4}
    assert len(moody.times) == 12
    check_rate(moody.times, began, 20, 1)


def test_each_relay_has_the_rate_for_itself(mailing: Mailing, dead: Dead) -> None:
    one, other = Moody(), Moody()
    backups = [(url(mailing.serve(moody)), 1) for moody in (one, other)]
    ref = mailing.start(mailing.serve(), url=dead(), backups=backups, rate="20/s", retry=SOON)

    began = time.monotonic()
    mailing.tell(ref, 30)

    assert mailing.kinds() == {"accepted": 30}
    assert len(one.times) + len(other.times) == 30
    for moody in (one, other):
        assert len(moody.times) >= 3
        check_rate(moody.times, began, 20, 1)


def test_a_rate_limit_does_not_cause_a_failover(mailing: Mailing) -> None:
    moody, backup = Moody(), mailing.serve()
    ref = mailing.start(mailing.serve(moody), backups=[url(backup)], rate="50/s")

    mailing.tell(ref, 20)

    assert mailing.kinds() == {"accepted": 20}
    assert len(moody.times) == 20
    assert backup.sessions == []


def test_mails_that_wait_for_their_turn_are_seen_in_the_statistics_and_end_with_a_stop(
    mailing: Mailing,
) -> None:
    ref = mailing.start(mailing.serve(), rate="1/min")
    mailing.tell(ref, 10)

    assert seen(mailing, ref, lambda s: s.sent == 1)
    statistics = mailing.statistics(ref)
    assert (statistics.queued, statistics.in_flight) == (9, 0)
    with Clock(5.0):
        ref.stop(timeout=PATIENCE)
    assert mailing.kinds() == {"accepted": 1, "CANCELLED": 9}


def test_a_mail_that_the_window_keeps_back_uses_up_no_part_of_the_rate(
    mailing: Mailing, gate: Gate
) -> None:
    server = mailing.serve(gate)
    options = {"initial_connections": 1, "max_connections": 2}
    ref = mailing.start(server, rate="1/min burst 4", **options)
    mailing.tell(ref, 4)
    assert wait_until(lambda: gate.waiting == 1, PATIENCE)
    for _ in range(20):  # looks at the clock, and at what may go
        mailing.statistics(ref)

    gate.open()

    with Clock(5.0):
        assert mailing.kinds() == {"accepted": 4}


def test_a_rate_that_is_slow_leaves_the_loop_alone(
    mailing: Mailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail that waits for a token is not looked at again and again for nothing."""
    looks = 0
    try_acquire = relay_module.Relay.try_acquire

    def count(self: relay_module.Relay, now: float) -> bool:
        nonlocal looks
        looks += 1
        return try_acquire(self, now)

    monkeypatch.setattr(relay_module.Relay, "try_acquire", count)
    moody = Moody()
    ref = mailing.start(mailing.serve(moody), rate="20/s")
    mailing.tell(ref, 11)
    mailing.outcomes()

    # When it comes, when a token has dropped in, when another has ended; and a timer is coarse.
    assert looks < 11 * 6


class Looks:
    """Counts how often Mailers look what may go, and how often they look at the clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ticks = self.pumps = 0
        self._ticked = threading.Condition()
        on_tick, dispatch = Mailer.on_tick, Sending.dispatch

        def tick(mailer: Mailer, now: float) -> None:
            on_tick(mailer, now)
            with self._ticked:
                self.ticks += 1
                self._ticked.notify_all()

        def count(sending: Sending) -> None:
            self.pumps += 1
            dispatch(sending)

        monkeypatch.setattr(Mailer, "on_tick", tick)
        monkeypatch.setattr(Sending, "dispatch", count)

    def while_the_clock_ticks(self, ticks: int) -> int:
        """Return how often somebody looked what may go, while the clock ticked so often."""
        before, until = self.pumps, self.ticks + ticks
        with self._ticked:
            assert self._ticked.wait_for(lambda: self.ticks >= until, PATIENCE)
        return self.pumps - before


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    """Count looks."""
    return Looks(monkeypatch)


def test_a_mailer_sleeps_while_the_first_relay_is_busy_and_a_backup_was_used_once(
    loop_kind: str, mailing: Mailing, gate: Gate, looks: Looks
) -> None:
    moody = Moody(answers={"greeting": ["421 not now"]})
    server, backup = mailing.serve(moody, gate), mailing.serve()
    ref = mailing.start(server, backups=[url(backup)], rate="10/s burst 9", max_connections=1)
    mailing.tell(ref, 1)
    mailing.outcomes()
    assert backup.accepted == 1

    mailing.tell(ref, 5)
    assert wait_until(lambda: gate.waiting == 1, PATIENCE)

    assert looks.while_the_clock_ticks(200) <= 2
    gate.open()
    assert mailing.kinds() == {"accepted": 6}


def test_a_mailer_sleeps_while_one_of_its_weighted_backups_is_slow(
    loop_kind: str, mailing: Mailing, dead: Dead, gate: Gate, looks: Looks
) -> None:
    slow, quick = mailing.serve(gate), mailing.serve()
    ref = mailing.start(
        quick, url=dead(), backups=[(url(slow), 1), (url(quick), 1)], max_connections=2, rate="50/s"
    )
    mailing.tell(ref, 40)
    assert wait_until(lambda: gate.waiting == 2, PATIENCE)
    # Once the quick one has got all that were drawn for it.
    assert wait_until(lambda: looks.while_the_clock_ticks(50) == 0, PATIENCE)
    assert mailing.statistics(ref).queued > 0

    assert looks.while_the_clock_ticks(200) <= 2
    gate.open()
    assert mailing.kinds() == {"accepted": 40}


@pytest.mark.usefixtures("quick_probes")
def test_a_mailer_sleeps_while_a_dead_relay_may_be_probed_but_has_no_token(
    loop_kind: str, mailing: Mailing, dead: Dead, looks: Looks
) -> None:
    ref = mailing.start(mailing.serve(), url=dead(), rate="1/min burst 5", retry=SOON)
    mailing.tell(ref, 9)
    assert seen(mailing, ref, lambda s: s.dead_relays)
    assert wait_until(lambda: looks.while_the_clock_ticks(50) == 0, PATIENCE)

    assert looks.while_the_clock_ticks(300) <= 2


def test_a_rate_of_many_a_second_takes_one_look_for_each_mail_or_less(
    loop_kind: str, mailing: Mailing, looks: Looks
) -> None:
    """A timer counts in milliseconds; one that is shorter would come back at once, and again."""
    ref = mailing.start(mailing.serve(), rate="700/s burst 1")

    mailing.tell(ref, 100)

    assert mailing.kinds() == {"accepted": 100}
    # For each: it ends, a token drops in, and a timer that went off a little early.
    assert looks.pumps <= 100 * 4


# The window


@pytest.mark.parametrize("given_first", [None, 1, 3, 50])
def test_a_mailer_begins_with_a_few_mails_at_once(
    mailing: Mailing, gate: Gate, given_first: int | None
) -> None:
    options = {} if given_first is None else {"initial_connections": given_first}
    first = min(given_first or 5, 12)
    server, ref = mailing.begin(gate, max_connections=12, **options)

    mailing.tell(ref, 40)

    assert wait_until(lambda: gate.waiting == first, PATIENCE)
    statistics = mailing.statistics(ref)
    assert (statistics.window, statistics.in_flight, statistics.queued) == (
        first,
        first,
        40 - first,
    )
    assert statistics.connections_busy == first
    assert len(server.sessions) == first
    gate.open()
    assert mailing.kinds() == {"accepted": 40}


def test_the_window_grows_by_one_for_as_many_successes_as_it_is_wide(
    mailing: Mailing, gate: Gate
) -> None:
    ref = mailing.start(mailing.serve(gate), max_connections=20, initial_connections=2)
    mailing.tell(ref, 60)

    sent = 0
    for width in range(2, 6):
        assert wait_until(lambda width=width: gate.waiting == width, PATIENCE)  # type: ignore[misc]
        assert mailing.statistics(ref).window == width
        gate.let_in(width)
        sent += width
        assert seen(mailing, ref, lambda s, sent=sent: s.sent == sent)  # type: ignore[misc]
    assert wait_until(lambda: gate.waiting == 6, PATIENCE)
    gate.open()
    assert mailing.kinds() == {"accepted": 60}


def test_the_window_is_never_wider_than_asked_for(mailing: Mailing, server: ScriptedServer) -> None:
    ref = mailing.start(server, max_connections=6, initial_connections=5)

    mailing.tell(ref, 300)

    assert mailing.kinds() == {"accepted": 300}
    assert mailing.statistics(ref).window <= 6
    assert len(server.sessions) <= 6


@pytest.mark.parametrize("offers", [(), ("PIPELINING",), ("PIPELINING", "CHUNKING")], ids=str)
@pytest.mark.parametrize("where", ["RCPT", "."])
def test_a_relay_that_breaks_off_amid_certain_mails_is_not_dead(
    loop_kind: str, mailing: Mailing, where: str, offers: tuple[str, ...]
) -> None:
    """A filter that crashes on a mail says nothing of the next one."""
    moody = Moody(*offers, answers={where: ["250 ok"] * 20 + ["close"] * 8})
    ref = mailing.begin(moody, max_connections=2, retry=SOON)[1]

    with Clock(8.0):  # a dead relay is not probed for ten
        mailing.tell(ref, 60)
        kinds = mailing.kinds()

    assert kinds["accepted"] >= 52
    assert kinds.get("CONNECTION", 0) <= 8
    assert mailing.statistics(ref).dead_relays == ()


def test_a_relay_that_hangs_amid_mails_has_a_narrow_window_and_is_not_dead(
    mailing: Mailing,
) -> None:
    hang = up_to("MAIL", "C: RCPT *\nS! silence")
    server, ref = mailing.begin(*[hang] * 9, polite(), max_connections=3, retry=SOON, timeout=0.2)

    mailing.tell(ref, 9)
    assert wait_until(lambda: len(server.sessions) >= 9, PATIENCE)
    narrowed = mailing.statistics(ref)

    assert (narrowed.window, narrowed.dead_relays) == (1, ())
    assert mailing.kinds() == {"accepted": 9}


@pytest.mark.parametrize("where", ["MAIL", "RCPT", "."])
def test_the_window_shrinks_where_mails_are_refused_for_now(mailing: Mailing, where: str) -> None:
    server = mailing.serve(Moody(answers={where: ["451 too much"] * 40}))
    ref = mailing.start(server, max_connections=5, retry=NO_RETRY)

    mailing.tell(ref, 1)
    mailing.outcomes()
    assert mailing.statistics(ref).window == 4
    mailing.tell(ref, 39)
    assert mailing.kinds() == {"SMTP": 40}

    statistics = mailing.statistics(ref)
    assert statistics.window == 1
    assert statistics.dead_relays == ()  # it answers
    mailing.tell(ref, 10)
    assert mailing.kinds() == {"SMTP": 40, "accepted": 10}
    assert mailing.statistics(ref).window > 1


def test_the_window_does_not_shrink_where_mails_are_refused_for_good(mailing: Mailing) -> None:
    ref = mailing.begin(Moody(answers={"RCPT": ["550 who?"] * 40}), initial_connections=5)[1]

    mailing.tell(ref, 40)

    assert mailing.kinds() == {"SMTP": 40}
    assert mailing.statistics(ref).window >= 5


def test_a_mail_that_cannot_be_sent_as_asked_says_nothing_of_the_relay(mailing: Mailing) -> None:
    ref = mailing.start(mailing.serve(polite("SIZE 10")))

    mailing.tell(ref, 30)

    assert mailing.kinds() == {"LOCAL": 30}
    statistics = mailing.statistics(ref)
    assert (statistics.window, statistics.dead_relays) == (5, ())


def test_a_relay_that_does_not_answer_is_dead_after_a_few_mails(
    mailing: Mailing, dead: Dead
) -> None:
    relay = dead()
    ref = mailing.start(mailing.serve(), url=relay, retry=NO_RETRY)
    assert mailing.statistics(ref).dead_relays == ()

    for _ in range(10):
        mailing.ask(ref)
        if mailing.statistics(ref).dead_relays:
            break

    tried = len(mailing.mails)
    assert 3 <= tried <= 6
    statistics = mailing.statistics(ref)
    assert statistics.dead_relays == (relay.removeprefix("smtp://"),)
    assert statistics.window == 1
    assert statistics.failed_by_kind == {FailureKind.CONNECT: tried}


def test_a_dead_relay_is_probed_every_ten_seconds_where_no_mail_waits_for_it(
    mailing: Mailing,
) -> None:
    longest = {}
    for retry in (NO_RETRY, RetryPolicy()):
        actor = mailing.start(mailing.serve(), retry=retry)._actor_weakref()
        assert isinstance(actor, Mailer)
        longest[retry] = actor._routing.fixed.relays[0].window._longest_pause

    assert longest == {NO_RETRY: FIRST_PAUSE, RetryPolicy(): LONGEST_PAUSE}


@pytest.mark.usefixtures("quick_probes")
def test_a_dead_relay_is_probed_by_one_mail_at_a_time_until_it_is_back(mailing: Mailing) -> None:
    count = 8
    greetings = Moody(answers={"greeting": ["421 not now"] * count})
    server, ref = mailing.begin(greetings, retry=SOON, initial_connections=4, max_connections=8)
    mailing.tell(ref, 30)

    assert seen(mailing, ref, lambda s: s.dead_relays)
    while_dead = len(server.sessions)
    assert seen(mailing, ref, lambda s: not s.dead_relays)

    assert mailing.kinds() == {"accepted": 30}
    assert while_dead < count
    turned_away = [s for s in server.sessions if not s.lines]
    assert len(turned_away) == count
    assert greetings.times
    statistics = mailing.statistics(ref)
    assert statistics.dead_relays == ()
    assert 1 < statistics.window <= 8  # it began again with 1
    assert statistics.sent == 30


@pytest.mark.usefixtures("quick_probes")
def test_the_pause_between_probes_grows(mailing: Mailing) -> None:
    moments: list[float] = []
    moody = Moody(answers={"greeting": ["421 not now"] * 1000})

    def note(conn: Conn) -> None:
        with moody._lock:
            moments.append(time.monotonic())
        moody(conn)

    server = mailing.serve(note)
    ref = mailing.start(server, retry=SOON, initial_connections=1)  # one after the other
    mailing.tell(ref, 3)

    assert seen(mailing, ref, lambda s: s.dead_relays)
    at_death = len(moments)
    assert wait_until(lambda: len(moments) >= at_death + 3, PATIENCE)

    # From the answer to one to the arrival of the next, and no probe is ever early.
    pauses = [b - a for a, b in itertools.pairwise(moments[at_death - 1 : at_death + 3])]
    assert pauses[0] >= 0.099
    assert min(pauses[1:]) >= 0.199

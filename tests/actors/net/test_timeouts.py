from typing import Any

import pytest
from conversations.memory import FakeLoop, FakeTransport, MemoryPlayer

from pykka_smtp.actors.net.data import mail_writer
from pykka_smtp.actors.net.timeouts import (
    DEFAULT_DEADLINE,
    DEFAULT_TIMEOUT,
    MIN_DATA_RATE,
    Timeouts,
    make_timeouts,
)
from pykka_smtp.actors.net.wire import closing_wire as closing_module
from pykka_smtp.actors.net.wire import connection as connection_module
from pykka_smtp.smtp.mail.content import CompleteContent
from pykka_smtp.smtp.mail.envelope import Envelope
from pykka_smtp.smtp.session.dialog.dialog import Dialog
from pykka_smtp.smtp.session.opening.session import Session
from pykka_smtp.smtp.session.transaction.delivery import Delivery
from pykka_smtp.smtp.words.stage import Stage, activity
from pykka_smtp.smtp.words.verdict import Accepted, Failed, FailureKind

TICK = 0.5
"""Seconds by which an end may come later than the limit: the clock is looked at now and then."""
INTERACTIVE = make_timeouts("interactive", DEFAULT_TIMEOUT, DEFAULT_DEADLINE)
RFC_5321 = make_timeouts("rfc5321", DEFAULT_TIMEOUT, DEFAULT_DEADLINE)
LARGE = b"Subject: large\r\n\r\n" + b"x" * 70 + b"\r\n" * 10_000


# The table.


def test_the_default_profile_is_interactive() -> None:
    special = {Stage.CONNECT: 15.0, Stage.DOT: 120.0}

    assert INTERACTIVE.stages == {stage: special.get(stage, 30.0) for stage in Stage}
    assert INTERACTIVE.deadline == 300.0


@pytest.mark.parametrize(
    ("timeout", "connect", "dot"),
    [
        (0.5, 0.5, 0.5),
        (10.0, 10.0, 10.0),
        (15.0, 15.0, 15.0),
        (29.9, 15.0, 29.9),
        (30.0, 15.0, 120.0),
        (60.0, 15.0, 120.0),
        (500.0, 15.0, 500.0),
    ],
)
def test_a_timeout_is_that_of_each_step_and_of_the_dot_only_if_it_is_short(
    timeout: float, connect: float, dot: float
) -> None:
    special = {Stage.CONNECT: connect, Stage.DOT: dot}

    stages = make_timeouts("interactive", timeout, DEFAULT_DEADLINE).stages

    assert stages == {stage: special.get(stage, timeout) for stage in Stage}


def test_the_profile_of_the_rfc_has_its_table_whatever_the_timeout() -> None:
    """RFC 5321 §4.5.3.2.1 to §4.5.3.2.6, in minutes."""
    minutes = {Stage.DATA: 2, Stage.BODY: 3, Stage.DOT: 10}

    assert RFC_5321.stages == {stage: 60.0 * minutes.get(stage, 5) for stage in Stage}
    assert make_timeouts("rfc5321", 1.0, DEFAULT_DEADLINE) == RFC_5321


def test_the_profile_of_the_rfc_has_an_hour_in_all_unless_it_is_told() -> None:
    assert RFC_5321.deadline == 3600.0
    assert make_timeouts("rfc5321", DEFAULT_TIMEOUT, 42.0).deadline == 42.0


# Its use, on a clock that is moved by hand.


class SlowTransport(FakeTransport):
    """Takes no more than it is told to.

    Attributes:
        taken: octets that the server has taken of what was said.
    """

    taken = 1 << 40

    def get_write_buffer_size(self) -> int:
        """What the server has not taken."""
        return max(0, len(self.said) - self.taken)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> FakeLoop:
    fake = FakeLoop()
    for module in (connection_module, closing_module, mail_writer):
        monkeypatch.setattr(module, "event_loop", lambda: fake)
    return fake


def play(
    loop: FakeLoop, timeouts: Timeouts = INTERACTIVE, mail: bytes = b"Subject: x\r\n\r\n"
) -> MemoryPlayer:
    dialog = Dialog(
        Delivery(
            Session(server="mx.test:25", ehlo_name="c.test"),
            Envelope.of("a@b.test", ("c@d.test",)),
            CompleteContent(mail),
        )
    )
    return MemoryPlayer(loop, dialog, timeouts=timeouts, transport=SlowTransport)


TO_THE_BODY = (b"220 mx.test\r\n", b"250 mx.test\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n")
STAGES = (Stage.GREETING, Stage.EHLO, Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT)


def until_decided(loop: FakeLoop, player: MemoryPlayer, each: bytes = b"") -> float:
    """Let time go by until there is a verdict; return how long that took."""
    began = loop.now
    while player.verdict is None:
        assert loop.now - began < 10_000, "it waits for ever"
        if each:
            player.hear(each)
        # A second, by the rig's own rounding; or less.
        loop.advance(0.8 if each else 0.1)
    return loop.now - began


def timed_out(player: MemoryPlayer) -> Failed:
    assert isinstance(player.verdict, Failed)
    assert player.verdict.kind is FailureKind.TIMEOUT
    return player.verdict


@pytest.mark.parametrize("timeouts", [INTERACTIVE, RFC_5321], ids=["interactive", "rfc5321"])
@pytest.mark.parametrize("heard", range(len(STAGES)), ids=STAGES)
def test_a_silent_server_has_the_time_of_its_stage(
    heard: int, timeouts: Timeouts, loop: FakeLoop
) -> None:
    player = play(loop, Timeouts(timeouts.stages, 100_000.0))
    for reply in TO_THE_BODY[:heard]:
        player.hear(reply)

    took = until_decided(loop, player)

    failed = timed_out(player)
    assert failed.stage is STAGES[heard]
    assert timeouts.stages[failed.stage] <= took <= timeouts.stages[failed.stage] + TICK
    assert failed.detail.startswith(
        f"timed out after {timeouts.stages[failed.stage]:g} s"
        f" {activity(failed.stage, 'mx.test:25')}"
    )
    assert failed.maybe_accepted is (failed.stage is Stage.DOT)


@pytest.mark.parametrize("heard", range(len(STAGES)), ids=STAGES)
@pytest.mark.parametrize("drip", [b"250-x\r\n", b"x"], ids=["lines", "octets"])
def test_a_drip_extends_no_step(heard: int, drip: bytes, loop: FakeLoop) -> None:
    player = play(loop)
    for reply in TO_THE_BODY[:heard]:
        player.hear(reply)
    code = TO_THE_BODY[heard][:3] if heard < len(TO_THE_BODY) else b"250"
    player.hear(code + b"-")

    took = until_decided(loop, player, drip if drip == b"x" else b"x\r\n" + code + b"-")

    failed = timed_out(player)
    assert failed.stage is STAGES[heard]
    assert took <= INTERACTIVE.stages[failed.stage] + 2


def test_each_complete_reply_begins_a_new_step(loop: FakeLoop) -> None:
    player = play(loop)

    for reply in TO_THE_BODY:
        loop.advance(29)
        player.hear(reply)
    loop.advance(119)
    player.hear(b"250 taken\r\n")

    assert isinstance(player.verdict, Accepted)
    assert loop.now > 5 * 29 + 119


def test_the_deadline_counts_over_all_steps(loop: FakeLoop) -> None:
    player = play(loop, make_timeouts("interactive", 30.0, 70.0))

    for reply in TO_THE_BODY[:3]:
        loop.advance(20)
        player.hear(reply)
    until_decided(loop, player)

    failed = timed_out(player)
    assert 70 <= loop.now <= 70 + TICK
    assert failed.stage is Stage.RCPT
    assert failed.detail == (
        "exceeded the deadline of 70 s waiting for the reply of mx.test:25 to RCPT"
    )


def test_a_deadline_after_the_dot_leaves_it_open_whether_the_mail_was_taken(loop: FakeLoop) -> None:
    player = play(loop, make_timeouts("interactive", 30.0, 70.0))
    for reply in TO_THE_BODY:
        player.hear(reply)

    took = until_decided(loop, player)

    failed = timed_out(player)
    assert 70 <= took <= 70 + TICK
    assert (failed.stage, failed.maybe_accepted) == (Stage.DOT, True)


# The mail data.


def in_the_body(loop: FakeLoop, timeouts: Timeouts = INTERACTIVE) -> tuple[Any, Any]:
    """Play up to mail data of which nothing is taken; return player and transport."""
    player = play(loop, timeouts, LARGE)
    transport: Any = player.transport
    for reply in TO_THE_BODY[:-1]:
        player.hear(reply)
    transport.taken = len(transport.said)
    player.hear(TO_THE_BODY[-1])
    return player, transport


def test_a_server_that_takes_nothing_of_the_mail_has_the_time_of_a_step(loop: FakeLoop) -> None:
    player, _ = in_the_body(loop)

    took = until_decided(loop, player)

    failed = timed_out(player)
    assert (failed.stage, failed.maybe_accepted) == (Stage.BODY, False)
    assert 30 <= took <= 30 + TICK


@pytest.mark.parametrize("rate", [1, 5, MIN_DATA_RATE - 50])
def test_a_server_that_takes_a_few_octets_a_second_is_too_slow(rate: int, loop: FakeLoop) -> None:
    player, transport = in_the_body(loop)

    while player.verdict is None and loop.now < 1000:
        transport.taken += rate
        loop.advance(0.8)  # which is a second, by the rig's own rounding

    failed = timed_out(player)
    assert (failed.stage, failed.maybe_accepted) == (Stage.BODY, False)
    assert loop.now <= 33


def test_a_server_that_takes_the_mail_slowly_enough_gets_it_all(loop: FakeLoop) -> None:
    player, transport = in_the_body(loop)

    while transport.get_write_buffer_size():
        assert player.verdict is None
        transport.taken += MIN_DATA_RATE + 50
        loop.advance(0.8)
    assert loop.now > INTERACTIVE.stages[Stage.BODY]
    transport.taken = 1 << 40
    player._connection.resume_writing()
    player.hear(b"250 taken\r\n")

    assert isinstance(player.verdict, Accepted)


def test_one_spurt_does_not_pay_for_a_later_pause(loop: FakeLoop) -> None:
    player, transport = in_the_body(loop)

    loop.advance(29)
    transport.taken += 18_000  # enough for the half minute that is over
    loop.advance(20)
    assert player.verdict is None
    until_decided(loop, player)

    assert timed_out(player).stage is Stage.BODY
    assert 60 <= loop.now <= 62


# After the verdict.


@pytest.mark.parametrize(("timeout", "limit"), [(30.0, 5.0), (2.0, 2.0)])
def test_quit_has_five_seconds_or_less_and_changes_nothing(
    timeout: float, limit: float, loop: FakeLoop
) -> None:
    player = play(loop, make_timeouts("interactive", timeout, 300.0))
    for reply in (*TO_THE_BODY, b"250 taken\r\n"):
        player.hear(reply)
    verdict, began = player.verdict, loop.now
    assert isinstance(verdict, Accepted)
    assert not player.is_closed

    while not player.is_closed:
        assert loop.now - began < 60, "the farewell has no end"
        player.hear(b"221-")  # and a drip does not extend it
        loop.advance(0.1)

    assert player.verdict is verdict
    assert limit <= loop.now - began <= limit + 2 * TICK
    assert loop.watched == []


def test_the_deadline_does_not_turn_a_success_into_a_failure(loop: FakeLoop) -> None:
    player = play(loop, make_timeouts("interactive", 30.0, 60.0))
    for reply in TO_THE_BODY:
        player.hear(reply)
    loop.advance(59)
    player.hear(b"250 taken\r\n")

    loop.advance(10)

    assert isinstance(player.verdict, Accepted)
    assert player.is_closed

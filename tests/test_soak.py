"""Mailers of all kinds under load for some seconds, while their servers fail.

The long form is ``python -m fuzz soak --seconds 300``.
"""

from pathlib import Path
from typing import Any

import pytest
from servers.effort import times
from servers.waiting import PATIENCE, Gate

from fuzz.soak import Soak, _Log
from fuzz.soak_journal import Found, Journal, read_journal
from fuzz.soak_mail import is_whole, mail_data
from fuzz.soak_marks import MAY_DOUBLE, POSTED, Marks
from fuzz.soak_report import SoakReport
from fuzz.soak_servers import Servers
from pykka_smtp import smtp_send_failure, smtp_send_retry, smtp_send_success
from pykka_smtp.signals import bus
from pykka_smtp.signals.dispatcher import Dispatcher
from pykka_smtp.signals.outcome import Outcome

SECONDS = times(5, thoroughly=20)

RULES = ("missing", "double", "false successes", "lost", "came twice", "refused, and heard of")


def test_whatever_the_servers_do_each_mail_has_one_outcome_and_it_is_true() -> None:
    report = Soak(SECONDS, seed=5321).run()

    print(report.text())  # noqa: T201 - shown when the test fails
    assert report.wrong == []
    assert [report.figures[rule] for rule in RULES] == [0] * len(RULES)
    assert report.figures["told"] == report.figures["outcomes"]
    assert report.figures["left behind"] == "descriptors +0, threads +0, actors +0"
    # That there was something to withstand.
    kinds = str(report.figures["outcomes by kind"])
    for kind in ("accepted", "SMTP", "CONNECTION", "LOCAL", "CANCELLED", "in doubt"):
        assert kind in kinds
    assert int(str(report.figures["retries"]).partition(";")[0]) > 10
    assert int(str(report.figures["faults"]).partition(" ")[0]) > 50
    for signal in (smtp_send_success, smtp_send_failure, smtp_send_retry):
        assert not signal.receivers


@pytest.fixture
def ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C when a server would be killed for the first time."""

    def interrupt(_servers: Servers) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Servers, "restart", interrupt)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_a_soak_with_the_figures_so_far() -> None:
    report = Soak(60).run()

    assert report.is_interrupted
    assert report.seconds < 10
    assert report.wrong == []
    assert report.figures["told"] == report.figures["outcomes"]
    assert "interrupted" in report.text()


@pytest.mark.usefixtures("ctrl_c")
def test_a_soak_finds_outcomes_that_are_published_twice_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish = bus.publish
    how_often = {20: 2, 30: 0}

    def falsely(outcome: Outcome, **how: bool) -> None:
        for _ in range(how_often.get(int(outcome.mail.id), 1)):
            publish(outcome, **how)

    for module in ("mailer.jobs.jobs", "sending_actor"):
        monkeypatch.setattr(f"pykka_smtp.actors.{module}.publish", falsely)

    report = Soak(0.3).run()

    assert "double: 1 mails, such as [20]" in report.wrong
    assert "missing: 1 mails, such as [30]" in report.wrong


def test_receivers_that_are_slow_are_no_fault_of_a_soak() -> None:
    gate, slow = Gate(), Dispatcher(limit=10)

    with _Log("pykka_smtp") as log:
        slow.submit(gate)
        assert gate.entered.wait(PATIENCE)
        for _ in range(10):
            slow.submit(len, "")
        assert slow.is_full
        gate.open()
        assert slow.wait_idle(PATIENCE)

    assert list(log.others) == []


# What is compared with what


def wrong_in(
    taken: int, *, twice: int = 0, flags: int = 0, is_told: bool = True, **heard: Any
) -> list[str]:
    """What a report says of one mail with two recipients."""
    marks, report = Marks(), SoakReport()
    number = marks.new(2, flags)
    if not is_told:
        marks.untell(number)
    for name, value in ({"heard": 1} | heard).items():
        getattr(marks, name)[number] = value
    found = Found(taken={number: taken} if taken else {}, twice={number: twice} if twice else {})
    report.compare(marks, found)
    return [line.partition(":")[0] for line in report.wrong]


@pytest.mark.parametrize(
    ("taken", "said"),
    [
        (0b11, {"accepted": 0b11}),
        (0b01, {"accepted": 0b01}),
        (0b11, {"maybe_accepted": 0b11}),
        (0b11, {"accepted": 0b01, "maybe_accepted": 0b10}),
        (0b00, {"maybe_accepted": 0b11}),
        (0b00, {}),
        (0b11, {"accepted": 0b11, "twice": 0b11, "flags": MAY_DOUBLE}),
        (0b11, {"accepted": 0b11, "flags": POSTED, "posted": 1}),
        (0b00, {"is_told": False, "heard": 0}),
    ],
)
def test_the_truth_is_not_wrong(taken: int, said: dict[str, Any]) -> None:
    assert wrong_in(taken, **said) == []


@pytest.mark.parametrize(
    ("taken", "said", "rule"),
    [
        (0b00, {"accepted": 0b11}, "false successes"),
        (0b01, {"accepted": 0b11}, "false successes"),
        (0b11, {}, "lost"),
        (0b11, {"accepted": 0b01}, "lost"),
        (0b11, {"maybe_accepted": 0b01}, "lost"),
        (0b11, {"accepted": 0b11, "twice": 0b01}, "came twice"),
        (0b11, {"accepted": 0b11, "flags": POSTED}, "missing"),
        (0b11, {"accepted": 0b11, "flags": POSTED, "posted": 2}, "double"),
    ],
)
def test_a_lie_is_found(taken: int, said: dict[str, Any], rule: str) -> None:
    assert wrong_in(taken, **said) == [rule]


def test_outcomes_that_are_missing_or_too_many_are_found() -> None:
    assert wrong_in(0, heard=0) == ["missing", "1 mails told, 0 outcomes"]
    assert wrong_in(0, heard=2) == ["double", "1 mails told, 2 outcomes"]
    assert "refused, and heard of" in wrong_in(0, is_told=False)


def test_a_mail_that_nobody_has_told_is_found() -> None:
    report = SoakReport()

    report.compare(Marks(), Found(taken={7: 1}))

    assert report.wrong == ["1 mails came that nobody has told"]


def test_a_journal_says_who_took_what_and_what_came_twice(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    one, other = Journal(path), Journal(path)

    one.session()
    one.took(4, 0b01)
    other.took(4, 0b11)
    other.fault("reset at END")
    other.complain("no command: 'XYZZY'")
    other.restart()
    one.close()
    other.close()

    assert read_journal(path) == Found(
        taken={4: 0b11},
        twice={4: 0b01},
        sessions=1,
        restarts=1,
        faults={"reset at END": 1},  # type: ignore[arg-type]
        complaints=["no command: 'XYZZY'"],
    )


@pytest.mark.parametrize("damage", [lambda d: d[:-3], lambda d: d + b"x\r\n", lambda d: d[9:]])
def test_a_mail_that_came_changed_is_found(damage: Any) -> None:
    data = mail_data(17, 1000)

    assert is_whole(17, data)
    assert not is_whole(18, data)
    assert not is_whole(17, damage(data))

"""Hundreds of sends, half of them hit by faults, among hostile receivers and random stops.

The long form is ``python -m fuzz chaos --sends 10000``.
"""

import threading
from typing import Any

import pytest
from servers.effort import times
from servers.waiting import PATIENCE, wait_until

from fuzz.chaos import Chaos
from fuzz.chaos_report import ChaosReport, Given, Heard
from fuzz.ledger import Ledger
from pykka_smtp import smtp_send_failure, smtp_send_success
from pykka_smtp.signals import bus
from pykka_smtp.signals.outcome import Outcome

SENDS = times(300, thoroughly=1000)


def no_thread_of_ours() -> bool:
    return not any(thread.name.startswith("pykka-smtp") for thread in threading.enumerate())


@pytest.fixture(params=["uvloop", "asyncio"])
def loop_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have the loop thread start with this loop."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    assert wait_until(no_thread_of_ours, PATIENCE), "the loop thread of the test before still runs"
    monkeypatch.setenv("PYKKA_SMTP_LOOP", request.param)
    return str(request.param)


def test_in_chaos_each_mail_has_one_outcome_and_it_is_true(loop_kind: str) -> None:
    report = Chaos(SENDS, seed=5321).run()

    print(report.text())  # noqa: T201 - shown when the test fails
    assert report.wrong == []
    assert report.figures["false successes"] == report.figures["false failures"] == 0
    # That there was chaos.
    kinds = str(report.figures["outcomes by kind"])
    for kind in ("accepted", "SMTP", "CONNECTION", "TIMEOUT", "PROTOCOL", "CANCELLED", "in doubt"):
        assert kind in kinds
    assert int(str(report.figures["stops"]).partition(";")[0]) > 10
    assert not smtp_send_success.receivers
    assert not smtp_send_failure.receivers


def test_the_chaos_test_finds_outcomes_that_are_published_twice_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish = bus.publish
    how_often = {20: 2, 30: 0}

    def falsely(outcome: Outcome, **how: bool) -> None:
        for _ in range(how_often.get(int(outcome.mail.id), 1)):
            publish(outcome, **how)

    monkeypatch.setattr("pykka_smtp.actors.sending_actor.publish", falsely)

    report = Chaos(40, window=8).run()

    assert "1 mails have several outcomes: [20]" in report.wrong
    assert "1 mails have no outcome: [30]" in report.wrong


# What is compared with what

TO = "r1.0@b.test"
GIVEN = Given(1, size=2)


def wrong_in(
    *, accepted: bool = False, maybe: bool = False, entry: dict[str, Any] | None = None
) -> list[str]:
    """What a report says of one mail with one recipient."""
    report = ChaosReport(1)
    heard = Heard(count=1, kind="x", results=1, accepted=accepted, maybe_accepted=maybe)
    entries = [] if entry is None else [{"to": TO, "size": 2, "verdict": None, **entry}]
    book = {"mails": {"1": entries}, "complaints": [], "faults": {}, "sessions": 1, "encrypted": 0}
    report.compare({1: GIVEN}, {1: heard}, book)
    return report.wrong


@pytest.mark.parametrize(
    ("said", "entry"),
    [
        ({"accepted": True}, {"verdict": 250}),
        ({"accepted": True}, {"verdict": 251}),
        ({"maybe": True}, {"verdict": 250}),
        ({"maybe": True}, {"verdict": None}),
        ({"maybe": True}, None),
        ({}, {"verdict": 451}),
        ({}, {"verdict": 550}),
        ({}, {"size": None}),
        ({}, None),
    ],
)
def test_the_truth_is_not_wrong(said: dict[str, bool], entry: dict[str, Any] | None) -> None:
    assert wrong_in(**said, entry=entry) == []


@pytest.mark.parametrize("entry", [None, {"verdict": None}, {"verdict": 550}, {"size": None}])
def test_a_false_success_is_found(entry: dict[str, Any] | None) -> None:
    [wrong] = wrong_in(accepted=True, entry=entry)

    assert "accepted, and was not" in wrong


@pytest.mark.parametrize("entry", [{"verdict": 250}, {"verdict": None}, {"verdict": 354}])
def test_a_false_failure_is_found(entry: dict[str, Any]) -> None:
    [wrong] = wrong_in(entry=entry)

    assert "not sent, and may be there" in wrong


def test_a_mail_of_another_size_is_found() -> None:
    assert wrong_in(accepted=True, entry={"verdict": 250, "size": 1}) == [
        f"{TO}: 1 octets of 2 came"
    ]


def test_a_complaint_of_the_server_a_wrong_recipient_and_a_defect_of_ours_are_found() -> None:
    report = ChaosReport(1)
    heard = Heard(count=1, kind="INTERNAL", results=-1)
    book = {
        "mails": {},
        "complaints": ["no command: XYZZY"],
        "faults": {},
        "sessions": 1,
        "encrypted": 0,
    }

    report.compare({1: GIVEN}, {1: heard}, book)

    assert report.wrong == [
        "the server complains: no command: XYZZY",
        "mail 1: not its recipients",
        "a defect of ours: INTERNAL",
    ]
    assert "WRONG: a defect of ours" in report.text()


def test_a_second_connection_may_begin_with_helo() -> None:
    ledger = Ledger(may_say_helo=True)
    ledger.server(b"220 mx.test\r\n")
    ledger.client(b"HELO c.test\r\n")

    assert [item.verb for item in ledger.owed] == ["HELO"]

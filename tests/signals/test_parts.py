"""The parts of one mail, combined into the one outcome that a program hears."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykka_smtp.signals.attempts import MAX_TRANSCRIPT
from pykka_smtp.signals.outcome import Outcome, SendFailure, SendSuccess
from pykka_smtp.signals.parts import combined
from pykka_smtp.signals.send_mail import SendMail
from pykka_smtp.smtp.words.peer import Peer
from pykka_smtp.smtp.words.reply import Reply
from pykka_smtp.smtp.words.stage import Stage
from pykka_smtp.smtp.words.verdict import FailureKind, RecipientResult

MAIL = SendMail(
    sender="me@a.test", recipients=["a@one.test", "b@two.test", "c@three.test"], body="Hello"
)
A, B, C = MAIL.all_recipients
TAKEN = Reply(250, ("2.0.0 Ok",))


def peer(host: str) -> Peer:
    return Peer(host=host, address="127.0.0.1", port=25)


def accepted(address: str, **more: Any) -> SendSuccess:
    result = RecipientResult(address=address, accepted=True, reply=TAKEN)
    host = address.partition("@")[2]
    given: dict[str, Any] = {"recipients": (result,), "peer": peer(host), "reply": TAKEN}
    return SendSuccess(mail=MAIL, alias="m", **({"elapsed": 1.0} | given | more))


def failed(address: str, **more: Any) -> SendFailure:
    doubt = bool(more.get("maybe_accepted"))
    result = RecipientResult(address=address, accepted=False, maybe_accepted=doubt)
    given: dict[str, Any] = {
        "recipients": (result,),
        "kind": FailureKind.CONNECT,
        "stage": Stage.CONNECT,
        "detail": f"nobody is at {address}",
        "retryable": False,
    }
    return SendFailure(mail=MAIL, alias="m", **({"elapsed": 1.0} | given | more))


def test_a_mail_of_one_part_has_the_outcome_of_that_part() -> None:
    only = accepted(A)

    assert combined([only], MAIL.all_recipients) is only


def test_a_mail_that_one_part_was_accepted_of_is_a_success_and_each_recipient_has_his_result() -> (
    None
):
    outcome = combined([failed(A), accepted(B), failed(C)], MAIL.all_recipients)

    assert isinstance(outcome, SendSuccess)
    assert [result.address for result in outcome.recipients] == [A, B, C]
    assert [result.accepted for result in outcome.recipients] == [False, True, False]
    assert outcome.peer == peer("two.test")
    assert outcome.warnings == (f"nobody is at {A}", f"nobody is at {C}")


def test_each_recipient_has_the_server_of_his_part_and_says_why_he_did_not_get_it() -> None:
    outcome = combined(
        [accepted(A), failed(B, peer=peer("mx.two.test")), failed(C)], MAIL.all_recipients
    )

    assert [result.peer for result in outcome.recipients] == [
        peer("one.test"),
        peer("mx.two.test"),
        None,
    ]
    assert [result.detail for result in outcome.recipients] == [
        "",
        f"nobody is at {B}",
        f"nobody is at {C}",
    ]


def test_a_failure_in_doubt_decides_over_one_that_may_be_tried_again() -> None:
    outcome = combined(
        [failed(A), failed(B, retryable=True), failed(C, maybe_accepted=True)], MAIL.all_recipients
    )

    assert isinstance(outcome, SendFailure)
    assert (outcome.maybe_accepted, outcome.retryable) == (True, False)
    assert outcome.detail == f"nobody is at {C}"


def test_a_failure_that_may_be_tried_again_decides_over_one_that_is_final() -> None:
    outcome = combined([failed(A), failed(B, retryable=True)], (A, B))

    assert isinstance(outcome, SendFailure)
    assert (outcome.retryable, outcome.detail) == (True, f"nobody is at {B}")


def test_attempts_are_what_one_recipient_has_seen_at_most_and_the_time_that_of_the_slowest() -> (
    None
):
    outcome = combined(
        [accepted(A, attempts=2, elapsed=0.5), accepted(B, attempts=5), failed(C, attempts=0)],
        MAIL.all_recipients,
    )

    assert (outcome.attempts, outcome.elapsed) == (5, 1.0)


def test_an_address_that_was_given_twice_has_two_results() -> None:
    outcome = combined([accepted(A), accepted(B)], (A, B, A))

    assert [result.address for result in outcome.recipients] == [A, B, A]


def test_the_transcripts_of_many_parts_stay_within_a_bound_and_say_so() -> None:
    lines = tuple(f"client: {'x' * 90}" for _ in range(1_000))

    outcome = combined([replace(accepted(A), transcript=lines)] * 3, (A,))

    assert sum(map(len, outcome.transcript[1:])) <= MAX_TRANSCRIPT
    assert "are left out" in outcome.transcript[0]
    assert outcome.transcript[-1] == lines[-1]


@given(
    st.lists(st.sampled_from(["accepted", "failed", "retryable", "doubt"]), min_size=2, max_size=3)
)
def test_what_the_parts_come_to_is_true_of_each_recipient(fates: list[str]) -> None:
    def part(address: str, fate: str) -> Outcome:
        if fate == "accepted":
            return accepted(address)
        return failed(address, retryable=fate == "retryable", maybe_accepted=fate == "doubt")

    addresses = (A, B, C)[: len(fates)]

    outcome = combined([part(*pair) for pair in zip(addresses, fates, strict=True)], addresses)

    assert [r.accepted for r in outcome.recipients] == [fate == "accepted" for fate in fates]
    assert [r.maybe_accepted for r in outcome.recipients] == [fate == "doubt" for fate in fates]
    assert isinstance(outcome, SendSuccess) == ("accepted" in fates)
    if isinstance(outcome, SendFailure):
        assert outcome.maybe_accepted == ("doubt" in fates)
        assert not (outcome.retryable and "doubt" in fates)


@pytest.mark.parametrize("kind", ["success", "failure"])
def test_the_results_of_several_parts_are_plain_values_for_logs(kind: str) -> None:
    outcome = combined([accepted(A) if kind == "success" else failed(A), failed(B)], (A, B))

    first, second = outcome.as_dict()["recipients"]

    assert (first["peer"] is None) == (kind == "failure")
    assert (second["detail"], second["peer"]) == (f"nobody is at {B}", None)

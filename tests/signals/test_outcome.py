import copy
import json
import pickle
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Any, cast, get_args

import pytest

from pykka_smtp.signals.outcome import Outcome, SendError, SendFailure, SendSuccess, outcome_of
from pykka_smtp.signals.send_mail import SendMail
from pykka_smtp.smtp.words.peer import Peer
from pykka_smtp.smtp.words.reply import Reply
from pykka_smtp.smtp.words.stage import Stage
from pykka_smtp.smtp.words.verdict import Accepted, Failed, FailureKind, RecipientResult

QUEUED = Reply(250, ("2.0.0 Ok: queued as 4711",))
OK = Reply(250, ("2.1.5 Ok",))
UNKNOWN = Reply(550, ("5.1.1 no such user", "5.1.1 ask elsewhere"))
PEER = Peer(host="mail.example.com", address="192.0.2.1", port=25)


@dataclass(frozen=True, kw_only=True)
class StandInMail:
    """What an outcome reads of a SendMail."""

    sender: str = "me@example.com"
    recipients: tuple[str, ...] = ("you@example.org",)
    context: Any = None
    id: str = "mail-1"
    body: str = field(default="", repr=False)


def mail(**given: Any) -> Any:
    return StandInMail(**given)


def took(address: str, reply: Reply = OK) -> RecipientResult:
    return RecipientResult(address=address, accepted=True, reply=reply)


def refused(address: str, reply: Reply = UNKNOWN) -> RecipientResult:
    return RecipientResult(address=address, accepted=False, reply=reply)


def success(*results: RecipientResult, **given: Any) -> SendSuccess:
    return SendSuccess(
        **{"mail": mail(), "alias": "smtp_client", "recipients": results, "reply": QUEUED, **given}
    )


def failure(**given: Any) -> SendFailure:
    fields = {
        "mail": mail(),
        "alias": "smtp_client",
        "reply": UNKNOWN,
        "kind": FailureKind.SMTP,
        "stage": Stage.RCPT,
        "detail": "mail.example.com refused the only recipient: 550 no such user",
        "retryable": False,
    }
    return SendFailure(**{**fields, **given})


def outcome(verdict: Accepted | Failed, *addresses: str, **given: Any) -> SendSuccess | SendFailure:
    fields = {"mail": mail(), "alias": "smtp_client", "peer": PEER, "elapsed": 0.5}
    return outcome_of(verdict, recipients_in_order=addresses, **{**fields, **given})


def test_an_accepted_verdict_becomes_a_success_with_all_it_knows() -> None:
    verdict = Accepted(reply=QUEUED, recipients=(took("a@x.org"),), warnings=("no reply to QUIT",))
    sent = mail(context=["mine"])

    got = outcome(verdict, "a@x.org", mail=sent, alias="news", transcript=("S: 220 hi",))

    assert got == SendSuccess(
        mail=sent,
        alias="news",
        context=["mine"],
        recipients=(took("a@x.org"),),
        reply=QUEUED,
        peer=PEER,
        elapsed=0.5,
        transcript=("S: 220 hi",),
        warnings=("no reply to QUIT",),
    )
    assert got.context is sent.context


def test_a_failed_verdict_becomes_a_failure_with_all_it_knows() -> None:
    verdict = Failed(
        kind=FailureKind.CONNECTION,
        stage=Stage.DOT,
        detail="mail.example.com broke the connection after the final dot",
        retryable=False,
        maybe_accepted=True,
        reply=OK,
        operation="read",
        errno=104,
        recipients=(took("a@x.org"),),
        warnings=("bare LF",),
    )

    got = outcome(verdict, "a@x.org", transcript=("S: 220 hi",))

    assert got == SendFailure(
        mail=mail(),
        alias="smtp_client",
        recipients=(took("a@x.org"),),
        reply=OK,
        peer=PEER,
        elapsed=0.5,
        transcript=("S: 220 hi",),
        warnings=("bare LF",),
        kind=FailureKind.CONNECTION,
        stage=Stage.DOT,
        detail="mail.example.com broke the connection after the final dot",
        retryable=False,
        maybe_accepted=True,
        operation="read",
        errno=104,
    )


def test_results_that_are_in_the_callers_order_already_are_taken_as_they_are() -> None:
    verdict = Accepted(reply=QUEUED, recipients=(took("a@x.org"), refused("b@x.org")))

    assert outcome(verdict, "a@x.org", "b@x.org").recipients is verdict.recipients


def test_each_address_has_its_result_in_the_callers_order_duplicates_included() -> None:
    verdict = Accepted(reply=QUEUED, recipients=(took("a@x.org"), refused("b@x.org")))

    got = outcome(verdict, "b@x.org", "a@x.org", "b@x.org")

    assert got.recipients == (refused("b@x.org"), took("a@x.org"), refused("b@x.org"))


def test_same_number_of_addresses_in_another_order_is_put_right() -> None:
    verdict = Accepted(reply=QUEUED, recipients=(took("a@x.org"), refused("b@x.org")))

    assert outcome(verdict, "b@x.org", "a@x.org").recipients == (
        refused("b@x.org"),
        took("a@x.org"),
    )


def test_two_local_parts_that_differ_in_case_keep_their_own_results() -> None:
    verdict = Accepted(reply=QUEUED, recipients=(took("a@x.org"), refused("A@x.org")))

    assert outcome(verdict, "A@x.org", "a@x.org").recipients == (
        refused("A@x.org"),
        took("a@x.org"),
    )


def test_an_address_that_the_session_did_not_come_to_was_not_accepted() -> None:
    verdict = Failed(
        kind=FailureKind.CONNECT, stage=Stage.CONNECT, detail="refused", retryable=False
    )

    assert outcome(verdict, "a@x.org", peer=None).recipients == (
        RecipientResult(address="a@x.org", accepted=False, reply=None, detail="refused"),
    )


def test_an_address_that_the_session_did_not_come_to_may_be_tried_again_if_the_mail_may() -> None:
    verdict = Failed(
        kind=FailureKind.CANCELLED, stage=Stage.CONNECT, detail="stopped", retryable=True
    )

    assert outcome(verdict, "a@x.org", peer=None).recipients == (
        RecipientResult(address="a@x.org", accepted=False, retryable=True, detail="stopped"),
    )


def test_the_refused_of_a_success_are_the_recipients_that_were_not_taken() -> None:
    assert success(took("a@x.org"), refused("b@x.org")).refused == (refused("b@x.org"),)
    assert success(took("a@x.org")).refused == ()


def test_code_and_text_are_those_of_the_reply() -> None:
    got = failure()

    assert (got.code, got.text) == (550, "5.1.1 no such user\n5.1.1 ask elsewhere")


def test_without_a_reply_there_is_no_code_and_no_text() -> None:
    got = failure(reply=None)

    assert (got.code, got.text) == (None, None)


def test_a_success_is_returned_by_raise_for_failure() -> None:
    got = success(took("a@x.org"))

    assert got.raise_for_failure() is got


def test_a_failure_is_raised_by_raise_for_failure_with_its_detail_as_text() -> None:
    got = failure()

    with pytest.raises(SendError) as caught:
        got.raise_for_failure()

    assert caught.value.outcome is got
    assert str(caught.value) == got.detail


def test_an_outcome_is_a_success_or_a_failure_and_nothing_else() -> None:
    assert get_args(Outcome) == (SendSuccess, SendFailure)
    assert isinstance(success(), Outcome)
    assert isinstance(failure(), Outcome)
    assert not isinstance(mail(), Outcome)


def test_a_success_needs_a_reply() -> None:
    fields: Any = {"mail": mail(), "alias": "smtp_client"}

    with pytest.raises(TypeError, match="reply"):
        SendSuccess(**fields)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_send_error_can_be_pickled_with_its_outcome(protocol: int) -> None:
    error = SendError(failure(recipients=(refused("b@x.org"),), peer=PEER))

    again = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - our own bytes

    assert isinstance(again, SendError)
    assert again.outcome == error.outcome
    assert (str(again), repr(again)) == (str(error), repr(error))


def test_outcomes_can_be_copied_and_hashed_whatever_their_context_is() -> None:
    unhashable = {"a": "dict"}
    got = success(took("a@x.org"), mail=mail(context=unhashable), context=unhashable)

    assert copy.copy(got) == got
    assert hash(copy.copy(got)) == hash(got)


def test_no_field_of_an_outcome_can_be_changed() -> None:
    got = failure()

    with pytest.raises(FrozenInstanceError):
        got.retryable = True  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        cast("Any", PEER).port = 26


def test_a_success_reads_as_one_line() -> None:
    got = success(took("a@x.org"), refused("b@x.org"), peer=PEER)

    assert str(got) == (
        "smtp_client: mail mail-1 accepted by mail.example.com[192.0.2.1]:25"
        " for 1 of 2 recipients: 250 2.0.0 Ok: queued as 4711"
    )


def test_a_success_without_peer_reads_well_too() -> None:
    assert str(success(took("a@x.org"))) == (
        "smtp_client: mail mail-1 accepted for 1 of 1 recipients: 250 2.0.0 Ok: queued as 4711"
    )


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ({}, ""),
        ({"retryable": True}, " (try again later)"),
        ({"maybe_accepted": True}, " (find out before you send it again)"),
    ],
)
def test_a_failure_reads_as_one_line_with_what_to_do(given: dict[str, Any], advice: str) -> None:
    assert str(failure(**given)) == (
        "smtp_client: mail mail-1 not sent (SMTP at rcpt):"
        f" mail.example.com refused the only recipient: 550 no such user{advice}"
    )


def test_line_breaks_in_alias_or_detail_cannot_forge_a_log_line() -> None:
    got = failure(alias="a\nb", detail="first\r\nsecond\u2028third")

    assert str(got).splitlines() == [str(got)]


def test_a_peer_reads_as_name_address_and_port() -> None:
    assert str(PEER) == "mail.example.com[192.0.2.1]:25"
    assert str(Peer(host="::1", address="::1", port=2525)) == "[::1]:2525"


def test_a_peer_without_tls_is_not_verified() -> None:
    assert (PEER.tls_version, PEER.tls_cipher, PEER.tls_verified) == (None, None, False)


def test_repr_stays_one_screen_for_a_thousand_recipients_and_a_reply_of_64_kib() -> None:
    long = Reply(550, ("5.0.0 " + "x" * 500,) * 128)
    many = tuple(refused(f"user-{n}@x.org", long) for n in range(1000))
    got = failure(
        recipients=many, reply=long, detail="d" * 5000, transcript=("S: 220 hi",) * 5000, peer=PEER
    )

    assert len(repr(got)) < 80 * 24
    assert "recipients=<1000, 0 accepted>" in repr(got)
    assert "transcript=<5000 lines>" in repr(got)


def test_str_stays_short_for_a_reply_of_64_kib() -> None:
    long = Reply(250, ("2.0.0 " + "x" * 500,) * 128)

    assert len(str(success(took("a@x.org"), reply=long))) < 600


def test_repr_shows_neither_the_context_nor_the_mails_body() -> None:
    secret = "hunter2"
    got = failure(mail=mail(body=secret), context=secret)

    assert secret not in repr(got)
    assert "kind=<FailureKind.SMTP: 1>" in repr(got)


def test_as_dict_of_a_success_goes_through_json() -> None:
    got = success(
        took("a@x.org"),
        refused("b@x.org"),
        peer=Peer(host="h", address="::1", port=465, tls_version="TLSv1.3", tls_verified=True),
        elapsed=0.25,
        warnings=("no reply to QUIT",),
    )

    assert json.loads(json.dumps(got.as_dict())) == {
        "outcome": "success",
        "mail": "mail-1",
        "alias": "smtp_client",
        "sender": "me@example.com",
        "recipients": [
            {
                "address": "a@x.org",
                "accepted": True,
                "code": 250,
                "enhanced": "2.1.5",
                "text": "2.1.5 Ok",
                "detail": "",
                "peer": None,
            },
            {
                "address": "b@x.org",
                "accepted": False,
                "code": 550,
                "enhanced": "5.1.1",
                "text": "5.1.1 no such user\n5.1.1 ask elsewhere",
                "detail": "",
                "peer": None,
            },
        ],
        "code": 250,
        "enhanced": "2.0.0",
        "text": "2.0.0 Ok: queued as 4711",
        "peer": {
            "host": "h",
            "address": "::1",
            "port": 465,
            "tls_version": "TLSv1.3",
            "tls_cipher": None,
            "tls_verified": True,
        },
        "elapsed": 0.25,
        "attempts": 1,
        "doubts": 0,
        "warnings": ["no reply to QUIT"],
    }


def test_as_dict_of_a_failure_says_why_and_goes_through_json() -> None:
    got = failure(
        reply=None,
        kind=FailureKind.CONNECT,
        stage=Stage.CONNECT,
        operation="connect",
        errno=111,
        retryable=True,
    )

    again = json.loads(json.dumps(got.as_dict()))

    assert again["outcome"] == "failure"
    assert (again["kind"], again["stage"]) == ("CONNECT", "connect")
    assert (again["operation"], again["errno"]) == ("connect", 111)
    assert (again["retryable"], again["maybe_accepted"]) == (True, False)
    assert again["detail"] == got.detail
    assert (again["code"], again["enhanced"], again["text"]) == (None, None, None)
    assert again["peer"] is None


def test_as_dict_holds_neither_body_nor_context_nor_transcript() -> None:
    secret = "hunter2"
    got = success(mail=mail(body=secret), context=secret, transcript=(secret,))

    assert secret not in json.dumps(got.as_dict())


def test_a_send_error_is_an_os_error_as_those_of_smtplib_are() -> None:
    mail = SendMail(sender="me@a.test", recipients="you@b.test", id="one")
    outcome = SendFailure(
        mail=mail,
        alias="news",
        kind=FailureKind.CONNECT,
        stage=Stage.CONNECT,
        detail="cannot connect",
        retryable=True,
        errno=111,
    )
    with pytest.raises(OSError, match="cannot connect") as caught:
        outcome.raise_for_failure()

    assert isinstance(caught.value, SendError)
    assert (caught.value.errno, caught.value.strerror) == (111, "cannot connect")
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
    assert (again.errno, again.outcome) == (111, outcome)
    assert outcome.message_id == "<one@a.test>"

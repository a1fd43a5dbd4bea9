"""Emails and outcomes as text for a file: the short way says what the long one does."""

import json
from typing import Any

import pytest

from pykka_smtp import SendMail, SendSuccess
from pykka_smtp.actors.outbox.text import outcome_text
from pykka_smtp.actors.outbox.text.mail_text import mail_of, to_text
from pykka_smtp.actors.outbox.text.outcome_text import outcome_of_text, outcome_to_text
from pykka_smtp.smtp.words.peer import Peer
from pykka_smtp.smtp.words.reply import Reply
from pykka_smtp.smtp.words.verdict import RecipientResult

PEER = Peer(host="mail.example.org", address="192.0.2.1", port=25, tls_version="TLSv1.3")
HEAD = (
    b"Date: Tue, 1 Dec 2026 12:00:00 +0000\r\nFrom: a@b.example\r\n"
    b"message-id:\r\n <1@b.example>\r\nSubject: x\r\n\r\n"
)


def mail(message: bytes = HEAD + b"Date: this one stays\r\n", **more: Any) -> SendMail:
    return SendMail(sender="a@b.example", recipients=["c@d.example"], message=message, **more)


def success(**more: Any) -> SendSuccess:
    reply = Reply(250, ("2.0.0 Ok", 'queued as "é\\"'))
    results = (RecipientResult(address='"c d"@d.example', accepted=True, reply=Reply(250, ("",))),)
    given: dict[str, Any] = {"recipients": results, "peer": PEER, "elapsed": 0.123457, **more}
    return SendSuccess(mail=mail(), alias="a", reply=reply, attempts=1, **given)


@pytest.mark.parametrize(
    "outcome",
    [
        success(),
        success(doubts=2),
        success(peer=None),
        success(warnings=("late",)),
        success(transcript=("C: QUIT",)),
        success(elapsed=0.0),
        success(recipients=(RecipientResult(address="c@d.example", accepted=True, peer=PEER),)),
        success(recipients=(RecipientResult(address="c@d.example", accepted=False, detail="no"),)),
    ],
)
def test_an_outcome_has_the_same_text_on_both_ways_and_comes_back(outcome: SendSuccess) -> None:
    text = outcome_to_text(outcome)

    assert text == outcome_text._to_json(outcome_text._outcome(outcome))
    again = outcome_of_text(text, outcome.mail, outcome.alias)
    assert again.as_dict() == outcome.as_dict()


def test_the_text_of_an_email_is_one_json_object_and_comes_back() -> None:
    given = mail(context={"a": [1, "é"]}, success_signal="sent")
    text = to_text(given)

    assert list(json.loads(text.env)) == ["id", "from", "to", "context", "success_signal", "kind"]
    assert mail_of(text.env, text.body) == given


@pytest.mark.parametrize(
    "other",
    [
        HEAD.replace(b"12:00", b"12:01"),
        HEAD.replace(b"1@b", b"2@b"),
        HEAD.replace(b"message-id", b"Message-ID"),
    ],
)
def test_date_and_message_id_make_no_other_email(other: bytes) -> None:
    assert to_text(mail(other)).digest == to_text(mail(HEAD)).digest


@pytest.mark.parametrize(
    "other",
    [
        HEAD + b"Date: 1\r\n",
        HEAD.replace(b"From", b"Dates: 1\r\nFrom"),
        HEAD.replace(b"Subject: x\r\n", b"Subject: x\r\n y\r\n"),
        HEAD.replace(b"\r\n\r\n", b"\r\n\r\n\r\n"),
    ],
)
def test_anything_else_makes_another_email(other: bytes) -> None:
    assert to_text(mail(other)).digest != to_text(mail(HEAD)).digest

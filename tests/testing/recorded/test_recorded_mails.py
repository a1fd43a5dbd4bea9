"""`record_mails`: what a test sees, waits for, and chooses."""

import threading
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Any

import pytest
from servers.scripted import ScriptedServer
from servers.waiting import wait_until

from pykka_smtp import (
    FailureKind,
    Mailer,
    MailerRef,
    Outcome,
    RetryPolicy,
    SendFailure,
    SendMail,
    SendSuccess,
    SmtpActor,
    Stage,
    smtp_send_failure,
    smtp_send_success,
    verify,
)
from pykka_smtp.testing import Attachment, record_mails

PATIENCE = 10.0


def mail(to: str = "c@d.test", **given: Any) -> SendMail:
    default: dict[str, Any] = {"sender": "a@b.test", "recipients": to}
    if "message" not in given:
        default["body"] = "hello\n"
    return SendMail(**default | given)


def tell(given: SendMail | None = None) -> None:
    SmtpActor.start("mail.invalid", 587, username="u", password="p").tell(given or mail())


def ask(given: SendMail | None = None) -> Outcome:
    return SmtpActor.start("mail.invalid").ask(given or mail(), timeout=PATIENCE)


def failure(outcome: Outcome) -> SendFailure:
    assert isinstance(outcome, SendFailure), outcome
    return outcome


@pytest.fixture
def mailer() -> Iterator[MailerRef]:
    """One that was started before anything is recorded, and lives on."""
    soon = RetryPolicy(initial_delay=0.01, multiplier=1.0, max_delay=0.01)
    ref = Mailer.start("mail.invalid", 587, username="u", password="p", retry=soon)
    yield ref
    ref.stop()


def test_what_any_actor_is_told_is_in_the_outbox_at_the_first_look(
    loop_kind: str, mailer: MailerRef
) -> None:
    started_before = SmtpActor.start("mail.invalid")
    with record_mails() as outbox:
        tell()
        mailer.tell(mail("m@d.test"))
        started_before.tell(mail("s@d.test"))

        assert len(outbox) == 3
        assert {one.recipients for one in outbox} == {("c@d.test",), ("m@d.test",), ("s@d.test",)}
        assert verify("mail.invalid").is_ready


def test_a_look_waits_for_slow_receivers_too(loop_kind: str) -> None:
    heard: list[str] = []

    def slow(sender: str, outcome: Outcome, **_extra: Any) -> None:
        time.sleep(0.02)
        heard.append(outcome.mail.subject)
        if outcome.mail.subject == "first":
            tell(mail(subject="second"))

    smtp_send_success.connect(slow)
    with record_mails() as outbox:
        for _ in range(5):
            tell(mail(subject="first"))

        assert len(outbox) == len(heard) == 10


def test_an_email_is_seen_with_its_parts() -> None:
    message = EmailMessage()
    message["Subject"] = "Grüße"
    message["From"] = "me@b.test"
    message.set_content("Zwölf\n")
    message.add_alternative("<p>Zwölf <img src='cid:x'></p>\n", subtype="html")
    html = message.get_payload()[1]  # type: ignore[index]
    html.add_related(b"picture", "image", "png", cid="<x>")  # type: ignore[union-attr]
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="ä.pdf")
    with record_mails() as outbox:
        tell(mail(message=message))

        [one] = outbox
    assert (one.sender, one.recipients, one.subject) == ("a@b.test", ("c@d.test",), "Grüße")
    assert (one.text, one.html) == ("Zwölf\n", "<p>Zwölf <img src='cid:x'></p>\n")
    assert one.attachments == (
        Attachment("", "image/png", b"picture"),
        Attachment("ä.pdf", "application/pdf", b"%PDF"),
    )
    assert one.message["From"] == "me@b.test"
    assert b"\r\n" in one.data
    assert repr(one) == "<RecordedMail 'Grüße' to c@d.test>"


def test_an_email_without_text_has_an_empty_one() -> None:
    with record_mails() as outbox:
        tell(mail(message=b"Content-Type: image/png\r\n\r\nx\r\n", sender="<>"))

        assert (outbox[0].text, outbox[0].html, outbox[0].subject) == ("", "", "")
        assert outbox[0].sender == "<>"
        assert outbox[0].attachments[0].content_type == "image/png"


def test_an_outbox_is_a_sequence() -> None:
    with record_mails() as outbox:
        assert not outbox
        with pytest.raises(IndexError, match="the outbox has 0 emails, so none at 0"):
            outbox[0]
        for number in range(3):
            ask(mail(subject=str(number)))

        assert [one.subject for one in outbox[1:]] == ["1", "2"]
        assert outbox[-1].subject == "2"
        assert outbox[0] is outbox[0]
        outbox.clear()
        assert not outbox
        ask(mail(subject="3"))
        assert [one.subject for one in outbox] == ["3"]


def test_after_the_block_emails_go_to_the_relay_again_also_on_kept_connections(
    loop_kind: str, scripted_server: Callable[..., ScriptedServer]
) -> None:
    server = scripted_server()
    ref = Mailer.start(server.host, server.port, tls="off")

    def sent() -> list[str]:
        return [message.recipients[0] for message in server.mails]

    assert isinstance(ref.ask(mail("1@d.test"), timeout=PATIENCE), SendSuccess)
    with record_mails() as outbox:
        ref.ask(mail("2@d.test"), timeout=PATIENCE)
        with record_mails() as inner:
            ref.ask(mail("3@d.test"), timeout=PATIENCE)
            assert len(inner) == 1
        ref.ask(mail("4@d.test"), timeout=PATIENCE)
        assert [one.recipients[0] for one in outbox] == ["2@d.test", "4@d.test"]
        assert sent() == ["1@d.test"]
    ref.ask(mail("5@d.test"), timeout=PATIENCE)
    ref.stop()

    assert sent() == ["1@d.test", "5@d.test"]


# Outcomes that are chosen


def test_the_next_email_is_refused_and_no_later_one() -> None:
    with record_mails() as outbox:
        outbox.refuse()
        outbox.refuse("554 5.7.1 spam")
        first, second, third = failure(ask()), failure(ask()), ask()

        assert (first.kind, first.stage, first.code) == (FailureKind.SMTP, Stage.RCPT, 550)
        assert not first.retryable
        assert second.code == 554
        assert isinstance(third, SendSuccess)
        assert len(outbox) == 1


def test_a_recipient_is_refused_each_time_and_the_others_are_not() -> None:
    with record_mails() as outbox:
        outbox.refuse("550 5.1.1 unknown", to="No@d.test")
        for _ in range(2):
            outcome = ask(mail(recipients=["yes@d.test", "no@d.test"]))

            assert [result.accepted for result in outcome.recipients] == [True, False]
        assert [one.recipients for one in outbox] == [("yes@d.test",)] * 2


def test_a_greylisted_email_arrives_at_the_second_attempt(
    loop_kind: str, mailer: MailerRef
) -> None:
    with record_mails() as outbox:
        outbox.greylist(to="c@d.test")
        mailer.tell(mail())

        assert len(outbox) == 1
        outcome = mailer.ask(mail(), timeout=PATIENCE)
        assert (outcome.attempts, len(outbox)) == (1, 2)


def test_the_answer_is_lost_after_the_email_was_taken(loop_kind: str) -> None:
    with record_mails() as outbox:
        outbox.lose_the_answer()
        outcome = failure(ask())

        assert (outcome.kind, outcome.stage) == (FailureKind.CONNECTION, Stage.DOT)
        assert outcome.maybe_accepted
        assert len(outbox) == 1


def test_a_timeout_expires_without_a_wait(loop_kind: str) -> None:
    with record_mails() as outbox:
        outbox.time_out(to="c@d.test")
        began = time.monotonic()
        outcome = failure(ask())

        assert time.monotonic() - began < PATIENCE
        assert (outcome.kind, outcome.stage) == (FailureKind.TIMEOUT, Stage.RCPT)
        assert "timed out after 30 s" in outcome.detail
        assert outcome.retryable
        assert not outbox


def test_a_silent_email_is_not_waited_for_and_is_cancelled_at_the_end(
    loop_kind: str, mailer: MailerRef
) -> None:
    heard: list[Outcome] = []
    smtp_send_failure.connect(lambda _sender, outcome, **_extra: heard.append(outcome), weak=False)
    with record_mails() as outbox:
        outbox.stay_silent(to="s@d.test")
        tell(mail("s@d.test"))
        mailer.tell(mail("s@d.test"))

        assert not outbox
        assert not heard
    assert wait_until(lambda: len(heard) == 2, PATIENCE)
    assert {failure(outcome).kind for outcome in heard} == {FailureKind.CANCELLED}


def test_an_email_that_waits_for_a_retry_at_the_end_is_cancelled_and_never_leaves(
    scripted_server: Callable[..., ScriptedServer],
) -> None:
    server = scripted_server()
    late = RetryPolicy(initial_delay=30)
    ref = Mailer.start(server.host, server.port, tls="off", retry=late)
    with record_mails() as outbox:
        outbox.greylist()
        future = ref.ask(mail(), block=False)
        assert not outbox
    outcome = failure(future.get(timeout=PATIENCE))
    ref.stop()

    assert outcome.kind in {FailureKind.CANCELLED, FailureKind.SMTP}
    assert not server.mails


def test_a_look_that_waits_in_vain_says_for_what() -> None:
    goes_on = threading.Event()

    def stuck(_sender: str, **_extra: Any) -> None:
        goes_on.wait(PATIENCE)

    smtp_send_success.connect(stuck)
    with record_mails(patience=0.1) as outbox:
        tell()
        with pytest.raises(TimeoutError, match=r"not over after 0\.1 s: a receiver still runs"):
            len(outbox)
        goes_on.set()


def test_a_receiver_may_look_into_the_outbox(loop_kind: str) -> None:
    seen: list[int] = []
    with record_mails() as outbox:

        def look(_sender: str, **_extra: Any) -> None:
            seen.append(len(outbox))

        smtp_send_success.connect(look)
        tell()

        assert len(outbox) == 1
        assert seen == [1]


def test_an_error_in_the_block_is_the_one_that_is_raised() -> None:
    def fail() -> None:
        with record_mails() as outbox:
            outbox.stay_silent()
            tell()
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()


def test_what_an_environment_forbids_can_be_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYKKA_SMTP_URL_ALL", "refuse:")
    with record_mails() as outbox:
        assert isinstance(ask(), SendSuccess)
        assert len(outbox) == 1
    assert failure(ask()).kind is FailureKind.LOCAL

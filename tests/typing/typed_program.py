"""A program that type checkers check: what they know of the public names. It is never run."""

import asyncio
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Unpack, assert_never, assert_type

from pykka import ActorRef, Future

import pykka_smtp
from pykka_smtp import (
    FROM_HTML,
    ConnectionOptions,
    Drain,
    FailureKind,
    Html,
    Mailer,
    MailerOptions,
    MailerRef,
    MailerStatistics,
    Outcome,
    Reply,
    SendFailure,
    SendMail,
    SendSuccess,
    ServerReport,
    SmtpActor,
    SmtpActorRef,
    Statistics,
    Template,
    TemplateError,
    Unsubscribe,
    autoreply,
    connect_async,
    forward_to,
    on_loop,
    smtp_send_success,
    verify,
    wait_until_done,
    wait_until_done_async,
)
from pykka_smtp.testing import Attachment, RecordedMail, record_mails

mail = SendMail(sender="me@a.test", recipients=[("You", "you@b.test")], cc="he@b.test")

of_parts = SendMail(
    sender=("Me", "me@a.test"),
    recipients="you@b.test",
    body=FROM_HTML,
    html=Html("<img src='cid:logo'>"),
    inline={"logo": Path("logo.png"), "seal": b"GIF89a"},
    attachments=[Path("a.pdf"), pykka_smtp.Attachment(b"a;b", name="a.csv")],
    reply_to=[("He", "he@b.test")],
    unsubscribe=Unsubscribe(url="https://a.test/u"),
    list_id="news.a.test",
)


welcome = Template(
    subject="Welcome, {{ name }}",
    body=FROM_HTML,
    html=Path("welcome.html"),
    inline={"logo": Path("logo.png")},
    attachments=[Path("a.pdf")],
    css="inline",
    folder="templates",
    list_id="news.a.test",
)


def what_is_reported_as_missing_or_wrong() -> None:
    SendMail(recipients="you@b.test")  # type: ignore[call-arg]
    SendMail(sender="me@a.test", to="you@b.test")  # type: ignore[call-arg]
    SendMail(sender=1)  # type: ignore[arg-type]
    welcome.mail(recipients="you@b.test")  # type: ignore[call-arg]
    Template(css="embed")  # type: ignore[arg-type]


def what_a_template_makes() -> None:
    assert_type(
        welcome.mail(sender=("Me", "me@a.test"), recipients=["you@b.test"], name=1), SendMail
    )
    try:
        welcome.mail(sender="me@a.test", values={"date": "1 May"}, unsubscribe=of_parts.unsubscribe)
    except TemplateError as error:
        assert_type((error.template, error.line), tuple[str, int | None])


def what_parts_an_email_has() -> None:
    assert_type(of_parts.sender, str)
    assert_type(of_parts.attachments, tuple[pykka_smtp.Attachment, ...])
    assert_type(autoreply(b"", sender="me@a.test", body="away"), SendMail)
    SendMail(sender="me@a.test", recipients="you@b.test", attachments=Path("a.pdf"))
    of_parts.save("preview.eml")


def answers_of_an_smtp_actor(*, waits: bool) -> None:
    ref = SmtpActor.start("localhost", 25, alias="news", timeout=10)

    assert_type(ref, SmtpActorRef)
    assert_type(ref.ask(mail), SendSuccess | SendFailure)
    assert_type(ref.ask(mail, timeout=3), Outcome)
    assert_type(ref.ask(mail, block=True, timeout=3), Outcome)
    assert_type(ref.ask(mail, block=False), Future[Outcome])
    assert_type(ref.ask(mail, block=False).get(timeout=3), Outcome)
    assert_type(ref.ask(mail, block=waits), Any)
    assert_type(ref.ask("what is no email"), Any)
    as_pykkas: ActorRef[SmtpActor] = ref
    assert_type(as_pykkas.stop(block=True), bool)


async def what_can_be_awaited(queue: asyncio.Queue[Outcome]) -> None:
    ref = SmtpActor.start("localhost")
    assert_type(await ref.ask(mail, block=False), Outcome)
    assert_type(await asyncio.wait_for(ref.ask(mail, block=False), 3), Outcome)
    mailer = Mailer.start("localhost")
    assert_type(await mailer.ask(Drain(), block=False), bool)
    assert_type(await wait_until_done_async(timeout=3), bool)
    assert_type(wait_until_done(3.0), bool)
    forward_to(queue).stop()
    forward_to(on_loop(queue), smtp_send_success, sender="news").stop()
    connect_async(an_async_receiver, loop=asyncio.get_running_loop()).stop()
    SendMail(sender="me@a.test", recipients="you@b.test", outcome_to=queue)
    SendMail(sender="me@a.test", recipients="you@b.test", outcome_to=on_loop(print))
    assert_type(mailer.tell_all([mail], at_most=3), int)
    assert_type(mail.as_bytes(), bytes)
    assert_type(mail.message_id, str | None)


async def an_async_receiver(sender: str, outcome: Outcome, **extra: object) -> None:
    assert_type(outcome.message_id, str | None)


def answers_of_a_mailer() -> None:
    ref = Mailer.start("localhost", rate="10/s", backups=["smtp://b.test", ("smtp://c.test", 2.0)])

    assert_type(ref, MailerRef)
    assert_type(ref.ask(mail), Outcome)
    assert_type(ref.ask(mail, block=False), Future[Outcome])
    assert_type(ref.ask(Statistics()), MailerStatistics)
    assert_type(ref.ask(Statistics(), block=False), Future[MailerStatistics])
    assert_type(ref.ask(Drain(timeout=60)), bool)
    assert_type(ref.ask(Drain(), block=False), Future[bool])
    as_pykkas: ActorRef[Mailer] = ref
    assert_type(as_pykkas.stop(block=True), bool)


def an_outcome_is_narrowed(outcome: Outcome) -> None:
    assert_type(outcome.reply, Reply | None)
    assert_type(outcome.raise_for_failure().reply, Reply)
    assert_type(outcome.mail.recipients, tuple[str, ...])
    assert_type(outcome.mail.recipients[0], str)
    assert_type(outcome.mail.bcc, tuple[str, ...])
    if isinstance(outcome, SendSuccess):
        assert_type(outcome.reply, Reply)
        assert_type(outcome.code, int)
        assert_type(outcome.text, str)
    else:
        assert_type(outcome, SendFailure)
        assert_type(outcome.kind, FailureKind)
        assert_type(outcome.code, int | None)


def a_match_is_exhaustive(outcome: Outcome) -> str:
    match outcome:
        case SendSuccess(reply=reply):
            return str(reply)
        case SendFailure(detail=detail):
            return detail
        case _:
            assert_never(outcome)


def an_unknown_thing_may_be_an_outcome(thing: object) -> None:
    if isinstance(thing, Outcome):
        assert_type(thing, SendSuccess | SendFailure)


@smtp_send_success.connect
def a_receiver(sender: str, outcome: SendSuccess, **extra: object) -> None:
    assert_type(outcome.reply, Reply)


def options_can_be_passed_on(to: MailerOptions, **options: Unpack[ConnectionOptions]) -> None:
    assert_type(SmtpActor.start("localhost", 25, **options), SmtpActorRef)
    assert_type(Mailer.start("localhost", **options), MailerRef)
    assert_type(Mailer.start(**to), MailerRef)
    assert_type(verify("localhost", **options), ServerReport)


def a_token() -> str:
    return "secret"


def the_same_options_make_an_actor() -> None:
    token: Callable[[], str] = a_token
    SmtpActor("localhost", 587, token=token, auth=["XOAUTH2"], without="CHUNKING")
    Mailer(url="smtp://localhost", grace=1, idle_timeout=2, without=("CHUNKING",))


def what_is_wrong_is_told() -> None:
    # Each comment is an error itself where there is nothing to ignore.
    SmtpActor.start("localhost", prot=25)  # type: ignore[call-arg]
    SmtpActor.start(timeout="30")  # type: ignore[arg-type]
    Mailer.start(max_conections=3)  # type: ignore[call-arg]
    verify(max_connections=3)  # type: ignore[call-arg]
    SendMail(sender="me@a.test", recipients=5)  # type: ignore[arg-type]


def recorded_mails() -> None:
    with record_mails(patience=1.5) as outbox:
        outbox.refuse("550 5.1.1 no", to="you@b.test", times=2)
        assert_type(outbox[0], RecordedMail)
        assert_type(outbox[0].recipients, tuple[str, ...])
        assert_type(outbox[0].message, EmailMessage)
        assert_type(outbox[0].attachments, tuple[Attachment, ...])
        assert_type(list(outbox), list[RecordedMail])
        assert_type(len(outbox), int)

"""Watching a session: each reply with its command, and how far a large email is."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from servers.mailing import Mailing
from servers.scripted import ScriptedServer, polite
from servers.texts import up_to
from servers.waiting import PATIENCE

from pykka_smtp import (
    Reply,
    SendMail,
    SmtpActor,
    Stage,
    smtp_send_progress,
    smtp_server_reply,
    wait_until_done,
)
from pykka_smtp.actors import session_watcher
from pykka_smtp.actors.loop.event_loop import event_loop
from pykka_smtp.actors.session_watcher import SessionWatcher

Start = Callable[..., ScriptedServer]


class Heard:
    """A receiver that keeps what it hears."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []
        self.came = threading.Event()

    def __call__(self, sender: str, **fields: Any) -> None:
        self.all.append({"sender": sender} | fields)
        self.came.set()

    @property
    def pairs(self) -> list[tuple[str, int]]:
        return [(one["command"], one["reply"].code) for one in self.all]


@pytest.fixture
def replies() -> Any:
    heard = Heard()
    with smtp_server_reply.connected_to(heard):
        yield heard


def mail(**given: Any) -> SendMail:
    return SendMail(sender="me@a.test", recipients="you@b.test", **given)


def test_each_reply_is_published_with_its_command(
    loop_kind: str, scripted_server: Start, replies: Heard
) -> None:
    server = scripted_server(polite(replies={"RCPT": "550-5.1.1 no\n550 5.1.1 such user"}))
    told = mail(id="one")
    SmtpActor.start(server.host, server.port, alias="news", local_hostname="me.test").tell(told)
    assert wait_until_done(PATIENCE)

    codes = [pair for pair in replies.pairs if pair[0] not in {"RSET", "QUIT", "DATA"}]
    assert codes == [
        *(("", 220), ("EHLO me.test", 250)),
        *(("MAIL FROM:<me@a.test>", 250), ("RCPT TO:<you@b.test>", 550)),
    ]
    refused = next(one for one in replies.all if one["command"].startswith("RCPT"))
    assert refused["reply"] == Reply(550, ("5.1.1 no", "5.1.1 such user"))
    assert refused["sender"] == "news"
    assert refused["mail"] is told


def test_the_replies_of_a_mailer_go_with_their_own_commands_on_a_kept_connection(
    loop_kind: str, mailing: Mailing, replies: Heard
) -> None:
    ref = mailing.start(mailing.serve(), max_connections=1)
    for _ in range(3):
        mailing.ask(ref)
    assert wait_until_done(PATIENCE)

    assert [code for command, code in replies.pairs if command.startswith("MAIL")] == [250] * 3
    assert [code for command, code in replies.pairs if command == "DATA"] == [354] * 3
    assert [code for command, code in replies.pairs if command == "."] == [250] * 3


def test_a_mailer_that_reuses_connections_watches_none_of_its_mails_for_ever(
    loop_kind: str, mailing: Mailing
) -> None:
    heard = Heard()
    with smtp_send_progress.connected_to(heard):
        ref = mailing.start(mailing.serve(), max_connections=1)
        for _ in range(3):
            mailing.ask(ref)
        assert wait_until_done(PATIENCE)
        ref.stop()

    # What is watched keeps the loop's thread, and so the program, from ending.
    assert not any(isinstance(one, SessionWatcher) for one in event_loop()._watched)


def test_a_secret_is_masked(scripted_server: Start, replies: Heard) -> None:
    server = scripted_server(
        polite("AUTH PLAIN", replies={"AUTH": "535 5.7.8 AG1lAG9wZW4gc2VzYW1l is wrong"})
    )
    SmtpActor.start(
        server.host,
        server.port,
        username="me",
        password="open sesame",
        allow_plaintext_auth=True,
    ).ask(mail())
    assert wait_until_done(PATIENCE)

    assert any(command.startswith("AUTH") for command, _ in replies.pairs)
    for secret in ("AG1lAG9wZW4gc2VzYW1l", "sesame"):
        assert secret not in str(replies.all)


def test_progress_is_published_while_a_large_email_waits_and_no_more_than_ten_times_a_second(
    loop_kind: str, scripted_server: Start
) -> None:
    heard = Heard()
    server = scripted_server("S! silence")
    with smtp_send_progress.connected_to(heard):
        ref = SmtpActor.start(server.host, server.port, alias="news")
        told = mail(message=b"A: b\r\n\r\n" + b"x" * 70 + b"\r\n")
        ref.tell(told)
        assert heard.came.wait(PATIENCE)
        ref.stop()
    assert wait_until_done(PATIENCE)

    first = heard.all[0]
    assert (first["sender"], first["mail"], first["sent"], first["size"]) == ("news", told, 0, 80)
    assert first["stage"] in {Stage.CONNECT, Stage.GREETING, Stage.EHLO}
    assert not event_loop()._watched


def test_progress_counts_the_octets_that_were_sent(loop_kind: str, scripted_server: Start) -> None:
    heard = Heard()
    server = scripted_server(up_to("DATA", "S! silence"))
    with smtp_send_progress.connected_to(heard):
        ref = SmtpActor.start(server.host, server.port)
        ref.tell(mail(message=b"A: b\r\n\r\n" + b"x\r\n" * 10_000_000))
        for _ in range(50):
            heard.came.wait(PATIENCE)
            heard.came.clear()
            if heard.all[-1]["sent"]:
                break
        ref.stop()
    assert wait_until_done(PATIENCE)

    last = heard.all[-1]
    assert last["stage"] is Stage.BODY
    assert 0 < last["sent"] < last["size"] == 30_000_008


def test_where_nobody_is_connected_nothing_is_made(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(*_: object) -> Any:
        raise AssertionError("it was made")

    monkeypatch.setattr(session_watcher, "SessionWatcher", made)
    assert SmtpActor.start(server.host, server.port).ask(mail()).code == 250


def test_a_receiver_that_raises_costs_no_email(
    server: ScriptedServer, replies: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(sender: str, **fields: object) -> None:
        raise SystemExit

    with smtp_server_reply.connected_to(broken):
        assert SmtpActor.start(server.host, server.port).ask(mail()).code == 250
        assert wait_until_done(PATIENCE)

    assert "broken of signal smtp_server_reply raised" in caplog.text
    assert replies.pairs[0] == ("", 220)

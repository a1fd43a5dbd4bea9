"""The program's view: tell a mail, go on, and hear by signal, inbox or answer what became of it."""

import asyncio
import gc
import itertools
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import blinker
import pykka
import pytest
from servers.one_mail import ask, failure, mail, start
from servers.python import printed
from servers.scripted import Conn, ScriptedServer, Start, parse_script, polite
from servers.texts import up_to
from servers.waiting import PATIENCE

from pykka_smtp import (
    ConnectionOptions,
    FailureKind,
    Outcome,
    SendError,
    SendFailure,
    SendMail,
    SendSuccess,
    SmtpActor,
    Stage,
    forward_to,
    smtp_send_failure,
    smtp_send_success,
)
from pykka_smtp.signals.dispatcher import dispatcher

SHORT = 0.3
"""Seconds that a server has which is too slow."""
DOCS = Path(__file__).parents[1] / "docs"

REFUSING = polite(replies={"RCPT": "550 5.1.1 who?"})
UP_TO_EHLO = up_to("EHLO")
UP_TO_MAIL = up_to("MAIL")
UP_TO_RCPT = up_to("RCPT")
UP_TO_DATA = up_to("DATA")


def tell(server: ScriptedServer, message: SendMail | None = None, **options: Any) -> None:
    """Tell one mail, and wait until its session is over and its signals are out."""
    ref = start(server, **options)
    ref.tell(message or mail())
    assert ref.actor_stopped.wait(PATIENCE)
    assert dispatcher.wait_idle(PATIENCE)


class Receiver:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Outcome]] = []
        self.heard = threading.Event()

    def __call__(self, sender: str, outcome: Outcome, **extra: object) -> None:
        assert extra == {}
        self.calls.append((sender, outcome))
        self.heard.set()


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


class Inbox(pykka.ThreadingActor):
    """A program's own actor, which gets outcomes as messages."""

    def __init__(self, most: int = 0, complete: threading.Event | None = None) -> None:
        super().__init__()
        self.outcomes: list[Outcome] = []
        self._most = most
        self._complete = complete

    def on_receive(self, message: Any) -> Any:
        if message == "what have you got?":
            return list(self.outcomes)
        self.outcomes.append(message)
        if self._complete is not None and len(self.outcomes) == self._most:
            self._complete.set()
        return None


@pytest.fixture
def inbox() -> Iterator[pykka.ActorRef[Inbox]]:
    ref = Inbox.start()
    yield ref
    ref.stop()


def got(inbox: pykka.ActorRef[Inbox]) -> list[Outcome]:
    assert dispatcher.wait_idle(PATIENCE)
    outcomes = inbox.ask("what have you got?", timeout=PATIENCE)
    assert isinstance(outcomes, list)
    return outcomes


# Signals


def test_a_program_goes_on_while_the_mail_is_sent(
    scripted_server: Start, receiver: Receiver
) -> None:
    program_went_on = threading.Event()

    def wait(conn: Conn) -> None:
        assert program_went_on.wait(PATIENCE)
        polite()(conn)

    server = scripted_server(wait)
    smtp_send_success.connect(receiver)

    start(server).tell(mail())
    assert not receiver.heard.is_set()
    program_went_on.set()

    assert receiver.heard.wait(PATIENCE)
    assert server.accepted == 1


def test_signals_can_be_given_by_object_and_by_name(scripted_server: Start) -> None:
    by_object, by_name = Receiver(), Receiver()
    smtp_send_success.connect(by_object)
    blinker.signal("smtp_send_success").connect(by_name)

    tell(scripted_server())

    assert len(by_object.calls) == 1
    assert by_name.calls == by_object.calls


def test_a_decorated_function_is_a_receiver(scripted_server: Start) -> None:
    replies = []

    @smtp_send_failure.connect
    def failed(sender: str, outcome: SendFailure, **extra: object) -> None:
        replies.append(f"{sender}: {outcome.kind.name} {outcome.reply}")

    tell(scripted_server(REFUSING))

    assert replies == ["smtp_client: SMTP 550 5.1.1 who?"]


def test_success_and_failure_go_to_their_own_signal(scripted_server: Start) -> None:
    successes, failures = Receiver(), Receiver()
    smtp_send_success.connect(successes)
    smtp_send_failure.connect(failures)
    server = scripted_server(polite(), REFUSING)

    tell(server)
    tell(server)

    assert [type(outcome) for _, outcome in successes.calls] == [SendSuccess]
    assert [type(outcome) for _, outcome in failures.calls] == [SendFailure]


def test_a_receiver_can_listen_to_one_alias_only(server: ScriptedServer) -> None:
    billing, everyone = Receiver(), Receiver()
    smtp_send_success.connect(billing, sender="billing")
    smtp_send_success.connect(everyone)

    tell(server, alias="billing")
    tell(server, alias="news")
    # Another text of the same value: aliases are compared by value.
    tell(server, alias="billing!".removesuffix("!"))

    assert [sender for sender, _ in billing.calls] == ["billing", "billing"]
    assert [sender for sender, _ in everyone.calls] == ["billing", "news", "billing"]


def test_a_send_can_name_its_own_signals(scripted_server: Start, receiver: Receiver) -> None:
    usual = Receiver()
    smtp_send_success.connect(usual)
    smtp_send_failure.connect(usual)
    blinker.signal("invoice_sent").connect(receiver)
    mine = blinker.Signal()  # one without a name will do as well
    mine.connect(receiver)

    server = scripted_server(polite(), REFUSING)
    names: dict[str, Any] = {"success_signal": "invoice_sent", "failure_signal": mine}
    tell(server, mail(**names))
    tell(server, mail(**names))

    assert [type(outcome) for _, outcome in receiver.calls] == [SendSuccess, SendFailure]
    assert usual.calls == []


def test_a_signal_without_receivers_does_no_harm(scripted_server: Start) -> None:
    outcome = ask(scripted_server(), mail(success_signal="nobody_listens_to_this"))
    assert isinstance(outcome, SendSuccess)


def test_a_receiver_is_held_weakly_unless_asked_otherwise(scripted_server: Start) -> None:
    calls = []

    def weak(_sender: str, **_extra: object) -> None:
        calls.append("weak")

    def strong(_sender: str, **_extra: object) -> None:
        calls.append("strong")

    smtp_send_success.connect(weak)
    smtp_send_success.connect(strong, weak=False)
    del weak, strong
    gc.collect()

    tell(scripted_server())

    assert calls == ["strong"]


def test_a_bound_method_is_a_receiver_for_as_long_as_its_object_lives(
    server: ScriptedServer,
) -> None:
    calls: list[str] = []

    class Ledger:
        def note(self, sender: str, **_extra: object) -> None:
            calls.append(sender)

    ledger = Ledger()
    smtp_send_success.connect(ledger.note)
    tell(server, alias="while it lives")
    del ledger
    gc.collect()
    tell(server, alias="after it is gone")

    assert calls == ["while it lives"]


@pytest.mark.parametrize(
    "error", [ValueError, SystemExit, KeyboardInterrupt, asyncio.CancelledError]
)
def test_a_receiver_that_raises_hurts_neither_the_send_nor_the_other_receivers(
    scripted_server: Start, caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    others = [Receiver(), Receiver()]

    def broken(_sender: str, **_extra: object) -> None:
        raise error("of the receiver's own")

    smtp_send_success.connect(others[0])
    smtp_send_success.connect(broken)
    smtp_send_success.connect(others[1])
    neighbour = start(scripted_server())
    server = scripted_server()

    tell(server)
    tell(server)

    assert [len(other.calls) for other in others] == [2, 2]
    assert server.accepted == 2
    assert neighbour.is_alive()
    neighbour.stop()
    logged = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(logged) == 2
    assert all("broken" in record.getMessage() and record.exc_info for record in logged)


def test_a_coroutine_is_a_receiver(scripted_server: Start) -> None:
    heard = []

    async def receive(sender: str, outcome: Outcome, **_extra: object) -> None:
        await asyncio.sleep(0)
        heard.append((sender, type(outcome)))

    smtp_send_success.connect(receive)

    tell(scripted_server())

    assert heard == [("smtp_client", SendSuccess)]


def test_a_slow_receiver_delays_no_send(server: ScriptedServer) -> None:
    release = threading.Event()
    heard: list[str] = []

    def slow(sender: str, **_extra: object) -> None:
        assert release.wait(PATIENCE)
        heard.append(sender)

    smtp_send_success.connect(slow)

    outcomes = [ask(server, alias=str(number)) for number in range(5)]
    assert heard == []
    release.set()
    assert dispatcher.wait_idle(PATIENCE)

    assert all(isinstance(outcome, SendSuccess) for outcome in outcomes)
    assert heard == ["0", "1", "2", "3", "4"]


def test_a_receiver_may_send_a_mail_itself_and_wait_for_it(scripted_server: Start) -> None:
    server = scripted_server(REFUSING, polite())
    second: list[Outcome] = []

    @smtp_send_failure.connect
    def tell_the_postmaster(_sender: str, outcome: SendFailure, **_extra: object) -> None:
        second.append(ask(server, mail(recipients="postmaster@b.test", body=str(outcome))))

    tell(server)

    assert [type(outcome) for outcome in second] == [SendSuccess]
    assert b"(SMTP at rcpt)" in server.mails[0].data


def test_a_deleted_receiver_is_not_called_any_more(
    server: ScriptedServer, receiver: Receiver
) -> None:
    with smtp_send_success.connected_to(receiver):
        tell(server)
    tell(server)
    assert len(receiver.calls) == 1


# Inboxes


def test_outcome_to_tells_the_actor_that_asked_for_it(
    scripted_server: Start, inbox: pykka.ActorRef[Inbox], receiver: Receiver
) -> None:
    smtp_send_success.connect(receiver)
    message = mail(outcome_to=inbox, context="invoice 7")

    tell(scripted_server(), message)

    [outcome] = got(inbox)
    assert isinstance(outcome, SendSuccess)
    assert outcome.mail is message
    assert outcome.context == "invoice 7"
    assert [told for _, told in receiver.calls] == [outcome], "the signal is sent as well"


def test_outcome_to_a_stopped_actor_does_no_harm(scripted_server: Start) -> None:
    dead = Inbox.start()
    dead.stop()
    assert isinstance(ask(scripted_server(), mail(outcome_to=dead)), SendSuccess)


def test_forward_to_posts_outcomes_into_an_inbox_until_it_is_stopped(
    scripted_server: Start, inbox: pykka.ActorRef[Inbox]
) -> None:
    server = scripted_server(polite(), REFUSING, polite())

    forwarding = forward_to(inbox)
    tell(server)
    tell(server)
    forwarding.stop()
    tell(server)

    assert [type(outcome) for outcome in got(inbox)] == [SendSuccess, SendFailure]


def test_forward_to_can_choose_signal_and_sender(
    scripted_server: Start, inbox: pykka.ActorRef[Inbox]
) -> None:
    server = scripted_server(polite(), REFUSING, REFUSING)

    forward_to(inbox, "smtp_send_failure", sender="billing")
    tell(server, alias="billing")
    tell(server, alias="news")
    tell(server, alias="billing")

    assert [(outcome.alias, type(outcome)) for outcome in got(inbox)] == [("billing", SendFailure)]


def test_an_actor_can_send_many_and_collect_their_outcomes(scripted_server: Start) -> None:
    server = scripted_server(polite(replies={"no@b.test": "550 who?"}))
    complete = threading.Event()
    inbox = Inbox.start(40, complete)

    for number in range(40):
        who = "no@b.test" if number % 4 == 0 else "you@b.test"
        start(server).tell(mail(recipients=who, outcome_to=inbox, context=number))
    assert complete.wait(PATIENCE)

    outcomes = got(inbox)
    inbox.stop()
    assert sorted(outcome.context for outcome in outcomes) == list(range(40))
    refused = {outcome.context for outcome in outcomes if isinstance(outcome, SendFailure)}
    assert refused == set(range(0, 40, 4))


# Answers


def test_ask_returns_the_outcome(scripted_server: Start) -> None:
    message = mail()
    outcome = ask(scripted_server(polite(replies={".": "250 2.0.0 queued as 4711"})), message)
    assert isinstance(outcome, SendSuccess)
    assert outcome.mail is message
    assert str(outcome.reply) == "250 2.0.0 queued as 4711"
    assert outcome.elapsed >= 0


def test_ask_can_leave_a_future(server: ScriptedServer) -> None:
    futures = [start(server).ask(mail(context=n), block=False) for n in range(3)]
    assert [future.get(timeout=PATIENCE).context for future in futures] == [0, 1, 2]


def test_a_future_that_is_awaited_too_briefly_ends_no_send(scripted_server: Start) -> None:
    release = threading.Event()

    def wait(conn: Conn) -> None:
        assert release.wait(PATIENCE)
        polite()(conn)

    future = start(scripted_server(wait)).ask(mail(), block=False)
    with pytest.raises(pykka.Timeout):
        future.get(timeout=0.01)
    release.set()
    assert isinstance(future.get(timeout=PATIENCE), SendSuccess)


def test_raise_for_failure_raises_a_failure_and_returns_a_success(scripted_server: Start) -> None:
    server = scripted_server(polite(), REFUSING)

    assert ask(server).raise_for_failure().code == 250
    outcome = ask(server)
    with pytest.raises(SendError, match=r"refused the recipient you@b\.test: 550") as caught:
        outcome.raise_for_failure()

    assert caught.value.outcome is outcome


def test_an_outcome_makes_plain_values_for_a_log(scripted_server: Start) -> None:
    outcome = ask(scripted_server(REFUSING), mail(id="7"))
    values = outcome.as_dict()
    assert (values["mail"], values["kind"], values["stage"]) == ("7", "SMTP", "rcpt")
    assert values["recipients"][0]["code"] == 550


def test_an_invalid_mail_raises_where_it_is_made_and_not_in_the_actor() -> None:
    with pytest.raises(ValueError, match="recipients"):
        mail(recipients="nobody")


def test_a_second_mail_to_the_same_actor_gets_its_own_outcome(
    scripted_server: Start, receiver: Receiver
) -> None:
    release = threading.Event()

    def wait(conn: Conn) -> None:
        assert release.wait(PATIENCE)
        polite()(conn)

    server = scripted_server(wait)
    smtp_send_failure.connect(receiver)
    ref = start(server)
    first = ref.ask(mail(context=1), block=False)

    refused = ref.ask(mail(context=2), timeout=PATIENCE)
    assert isinstance(refused, SendFailure)
    release.set()

    assert isinstance(first.get(timeout=PATIENCE), SendSuccess)
    assert (refused.kind, refused.retryable) == (FailureKind.CANCELLED, True)
    assert "one email" in refused.detail
    assert dispatcher.wait_idle(PATIENCE)
    assert [told for _, told in receiver.calls] == [refused]
    assert server.accepted == 1


def test_stop_cancels_the_send_with_an_outcome(scripted_server: Start, receiver: Receiver) -> None:
    server = scripted_server(f"{UP_TO_EHLO}C: MAIL *\nS! silence")
    smtp_send_failure.connect(receiver)
    ref = start(server)
    ref.tell(mail())
    server.wait_for(lambda: any("silent" in e for s in server.sessions for e in s.events))

    ref.stop(timeout=PATIENCE)
    assert dispatcher.wait_idle(PATIENCE)

    [(_, outcome)] = receiver.calls
    assert (failure(outcome).kind, failure(outcome).stage) == (FailureKind.CANCELLED, Stage.MAIL)
    assert not failure(outcome).maybe_accepted


# Context, recipients, peer


def test_a_context_may_be_anything_and_is_not_copied(scripted_server: Start) -> None:
    context = [threading.Lock(), {"unhashable": []}]
    outcome = ask(scripted_server(), mail(context=context))
    assert outcome.context is context
    assert "Lock" not in repr(outcome), "it may be large, and it may be secret"


def test_each_recipient_has_a_result_in_the_callers_order(scripted_server: Start) -> None:
    server = scripted_server(
        polite("PIPELINING", replies={"b@b.test": "550 no", "d@b.test": "450 later"})
    )

    outcome = ask(
        server, mail(recipients=["a@b.test", "b@b.test", "a@b.test"], cc="c@b.test", bcc="d@b.test")
    )

    assert isinstance(outcome, SendSuccess)
    results = [(r.address, r.accepted, r.reply and r.reply.code) for r in outcome.recipients]
    assert results == [
        ("a@b.test", True, 250),
        ("b@b.test", False, 550),
        ("a@b.test", True, 250),
        ("c@b.test", True, 250),
        ("d@b.test", False, 450),
    ]
    assert [result.address for result in outcome.refused] == ["b@b.test", "d@b.test"]
    assert server.mails[0].recipients == ("a@b.test", "c@b.test"), "nobody gets it twice"


def test_the_peer_says_which_server_it_was(server: ScriptedServer) -> None:
    peer = ask(server).peer
    assert peer is not None
    assert (peer.host, peer.address, peer.port) == ("127.0.0.1", "127.0.0.1", server.port)
    assert peer.tls_version is None


# Time


UP_TO = {
    Stage.GREETING: "",
    Stage.EHLO: "S: 220 mx.test\nC: EHLO *\n",
    Stage.MAIL: f"{UP_TO_EHLO}C: MAIL *\n",
    Stage.RCPT: f"{UP_TO_MAIL}C: RCPT *\n",
    Stage.DATA: f"{UP_TO_RCPT}C: DATA\n",
    Stage.DOT: f"{UP_TO_DATA}C: <data>\n",
}
SLOWLY = ("silence", "drip 250-a\u2026")


@pytest.fixture(scope="module")
def too_slow() -> dict[tuple[Stage, str], list[Outcome]]:
    """Send to all servers that are too slow at once; what the signals said of each."""
    told: dict[tuple[Stage, str], list[Outcome]] = {}

    def hear(sender: str, outcome: Outcome, **extra: object) -> None:
        told[outcome.context].append(outcome)

    with ExitStack() as exits:
        exits.enter_context(smtp_send_success.connected_to(hear))
        exits.enter_context(smtp_send_failure.connected_to(hear))
        refs: list[pykka.ActorRef[SmtpActor]] = []
        for case in itertools.product(UP_TO, SLOWLY):
            told[case] = []
            stage, deed = case
            server = exits.enter_context(ScriptedServer(f"{UP_TO[stage]}S! {deed}"))
            refs.append(start(server, timeout=SHORT))
            refs[-1].tell(mail(context=case))
        assert all(ref.actor_stopped.wait(PATIENCE) for ref in refs)
        assert dispatcher.wait_idle(PATIENCE)
    return told


@pytest.mark.parametrize("stage", UP_TO, ids=lambda stage: stage.value)
@pytest.mark.parametrize("deed", SLOWLY)
def test_a_server_that_is_silent_or_drips_is_too_slow_at_each_stage(
    too_slow: dict[tuple[Stage, str], list[Outcome]], stage: Stage, deed: str
) -> None:
    [told] = too_slow[stage, deed]
    outcome = failure(told)
    assert (outcome.kind, outcome.stage) == (FailureKind.TIMEOUT, stage)
    assert outcome.maybe_accepted == (stage is Stage.DOT)
    assert outcome.retryable == (stage is not Stage.DOT)
    assert SHORT <= round(outcome.elapsed, 3) < 2 * SHORT + 1
    assert f"{SHORT} s" in outcome.detail


def test_silence_after_the_dot_lasts_no_longer_than_the_timeout(scripted_server: Start) -> None:
    outcome = failure(ask(scripted_server(f"{UP_TO_DATA}C: <data>\nS! silence"), timeout=SHORT))
    assert outcome.stage is Stage.DOT
    assert outcome.elapsed < 2 * SHORT


def test_a_server_that_stops_reading_in_the_body_is_too_slow(scripted_server: Start) -> None:
    server = scripted_server(f"{UP_TO_DATA}S! deaf")

    outcome = failure(ask(server, mail(body="0123456789\n" * 2_000_000), timeout=SHORT))

    assert (outcome.kind, outcome.stage) == (FailureKind.TIMEOUT, Stage.BODY)
    assert (outcome.maybe_accepted, outcome.retryable) == (False, True)
    assert server.accepted == 0


def test_a_silent_server_after_quit_changes_nothing(scripted_server: Start) -> None:
    server = scripted_server(f"{UP_TO_DATA}C: <data>\nS: 250 taken\nC: QUIT\nS! silence")
    assert isinstance(ask(server, timeout=SHORT), SendSuccess)


def test_the_deadline_ends_a_drip_that_keeps_within_each_timeout(scripted_server: Start) -> None:
    # The whole session octet by octet: each reply is in time, and the end never comes.
    def drip(conn: Conn) -> None:
        conn.drip(b"220 mx.test\r\n")
        conn.line("EHLO *")
        conn.drip(b"250 mx.test\r\n")
        while True:
            conn.line()
            conn.drip(b"250 Ok\r\n")

    server = scripted_server(drip, drip_interval=0.01)
    recipients = [f"r{n}@b.test" for n in range(100)]

    outcome = failure(ask(server, mail(recipients=recipients), timeout=5, deadline=0.8))

    assert (outcome.kind, outcome.retryable) == (FailureKind.TIMEOUT, True)
    assert 0.8 <= round(outcome.elapsed, 3) < 1.8, "deadline + 1 s at most"
    assert "exceeded the deadline of 0.8 s" in outcome.detail


def test_the_deadline_after_the_dot_leaves_a_doubt(scripted_server: Start) -> None:
    server = scripted_server(f"{UP_TO_DATA}C: <data>\nS! drip 250-still thinking…")
    outcome = failure(ask(server, timeout=5, deadline=0.4))
    assert (outcome.kind, outcome.stage) == (FailureKind.TIMEOUT, Stage.DOT)
    assert (outcome.maybe_accepted, outcome.retryable) == (True, False)
    assert "find out before you send it again" in str(outcome)


# A whole program


def run(code: str, *arguments: str) -> str:
    """Run a program to its end, and return what it printed."""
    return printed("-W", "error", "-c", code, *arguments, cwd=DOCS.parent)


def synopsis() -> str:
    text = (DOCS / "coming-from-poe.md").read_text(encoding="utf-8")
    [code] = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert isinstance(code, str)
    return code


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_the_seeds_synopsis_in_our_words_runs_and_ends(
    scripted_server: Start, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    monkeypatch.setenv("PYKKA_SMTP_LOOP", loop)
    server = scripted_server(polite(replies={".": "250 2.0.0 queued as 4711"}), REFUSING)
    code = synopsis()
    assert "localhost" in code, "the example says where to"
    program = code.replace('"localhost", 25', f'"{server.host}", {server.port}')
    assert program != code

    assert run(program) == "sent: 250 2.0.0 queued as 4711\n"
    assert run(program).startswith("not sent, kind 1 (SMTP): ")
    assert server.mails[0].data.partition(b"\r\n\r\n")[2] == b"1 2 3 4 5 6\r\n7 8 9\r\n"


@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="no thread can start once the main thread has ended"
)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_first_send_that_begins_after_the_main_thread_has_ended_is_delivered(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    pytest.importorskip(loop)
    monkeypatch.setenv("PYKKA_SMTP_LOOP", loop)
    program = f"""if True:
        import pykka, threading
        from pykka_smtp import SendMail, SmtpActor

        class Program(pykka.ThreadingActor):
            def on_start(self):
                threading.main_thread().join()
                mail = SendMail(sender="me@a.test", recipients="you@b.test")
                print(SmtpActor.start("{server.host}", {server.port}).ask(mail).code)
                self.stop()

        Program.start()
    """
    assert run(program) == "250\n"


def test_the_table_of_names_in_the_docs_is_complete() -> None:
    text = (DOCS / "coming-from-poe.md").read_text(encoding="utf-8")
    seeds = (
        "alias smtp_server smtp_port smtp_sender smtp_recipient to from cc bcc subject smtp_data"
        " SMTPSendSuccessEvent SMTPSendFailureEvent smtp_timeout debug"
        " smtp_body smtp_ehlo smtp_bind_address BindPort Context MessageFile FileHandle"
        " TransactionLog Auth"
    )
    missing = [name for name in seeds.split() if f"`{name}`" not in text]
    assert missing == []


def test_the_names_of_ours_in_the_docs_exist() -> None:
    text = (DOCS / "coming-from-poe.md").read_text(encoding="utf-8")
    [table] = re.findall(r"^\| The seed \| pykka-smtp .*?\n\n", text, re.DOTALL | re.MULTILINE)
    named = set(re.findall(r"`(SendMail|SmtpActor)\(([a-z_]+)=", table))
    assert len(named) > 15
    options = {
        "SendMail": set(SendMail.__dataclass_fields__),
        "SmtpActor": {"server", "port", *ConnectionOptions.__annotations__},
    }
    assert {(who, option) for who, option in named if option not in options[who]} == set()


def test_a_program_may_fork_before_it_sends(server: ScriptedServer) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    code = f"""if True:
        import os
        from pykka_smtp import SendMail, SmtpActor
        mail = SendMail(sender="me@a.test", recipients="you@b.test")
        child = os.fork()
        outcome = SmtpActor.start("{server.host}", {server.port}).ask(mail, timeout=10)
        assert outcome.code == 250
        if child:
            assert os.waitpid(child, 0)[1] == 0
    """
    assert run(code) == ""
    assert server.accepted == 2


# A server that breaks off, and a fallback second attempt


def test_a_server_that_hangs_up_on_ehlo_gets_helo_on_a_new_connection(
    scripted_server: Start,
) -> None:
    server = scripted_server(
        "S: 220 mx.test\nC: EHLO *\nS! close",
        "S: 220 mx.test\nC: HELO *\nS: 250 mx.test\nC: MAIL FROM:<*>\nS: 250 ok\n"
        "C: RCPT TO:<*>\nS: 250 ok\nC: DATA\nS: 354 go\nC: <data>\nS: 250 taken\nC: QUIT\n"
        "S: 221 bye",
    )

    outcome = ask(server)

    assert isinstance(outcome, SendSuccess)
    assert len(server.sessions) == 2
    [warning] = outcome.warnings
    assert "hung up on EHLO" in warning


def test_a_server_that_hangs_up_twice_is_not_asked_a_third_time(scripted_server: Start) -> None:
    server = scripted_server("S: 220 mx.test\nC: *\nS! close")

    outcome = failure(ask(server))

    assert (outcome.kind, outcome.stage) == (FailureKind.CONNECTION, Stage.EHLO)
    assert outcome.retryable
    assert len(server.sessions) == 2


def test_a_failed_opportunistic_handshake_is_followed_by_plaintext(
    scripted_server: Start,
) -> None:
    offers = "S: 220 mx.test\nC: EHLO *\nS: 250-mx.test\nS: 250 STARTTLS\n"

    def nonsense(conn: Conn) -> None:
        conn.play(parse_script(f"{offers}C: STARTTLS\nS: 220 go"))
        # Any sooner, and it would be what somebody put between the 220 and TLS.
        conn._read("the client's first octets of TLS")
        conn.raw(b"nonsense that is no TLS at all")

    server = scripted_server(
        nonsense,
        f"{offers}C: MAIL FROM:<*>\nS: 250 ok\nC: RCPT TO:<*>\nS: 250 ok\nC: DATA\nS: 354 go\n"
        "C: <data>\nS: 250 taken\nC: QUIT\nS: 221 bye",
    )

    outcome = ask(server)

    assert isinstance(outcome, SendSuccess)
    assert outcome.peer is not None
    assert outcome.peer.tls_version is None
    [warning] = outcome.warnings
    assert "offers TLS, but the handshake failed; tried again without TLS (TLS hand" in warning
    assert "failed: " in warning
    assert "what it sent is not TLS" in warning


def test_no_second_attempt_is_made_where_tls_was_asked_for(scripted_server: Start) -> None:
    server = scripted_server(
        "S: 220 mx.test\nC: EHLO *\nS: 250-mx.test\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n"
        "S! raw nonsense that is no TLS at all\nS! close"
    )

    outcome = failure(ask(server, tls="starttls"))

    assert outcome.kind is FailureKind.SECURITY
    assert len(server.sessions) == 1

"""What POE::Component::Client::SMTP did wrong, one test for each misbehaviour, on real sockets.

First version 0.02's, by what the program heard: a success that was none, a failure that was none,
nothing, two outcomes, a crash, and the rest; then what 0.22 still did or newly did wrong.

`settle` waits until the session is over and every signal is out. So each of these tests also
shows that there was exactly one outcome.
"""

import email.message
import email.policy
import itertools
import re
import threading
from contextlib import ExitStack
from typing import Any

import pykka
import pytest
from servers.one_mail import failure, mail, settle
from servers.scripted import Conn, ScriptedServer, Start, polite
from servers.texts import up_to
from servers.waiting import PATIENCE

from pykka_smtp import (
    FailureKind,
    Outcome,
    SendSuccess,
    SmtpActor,
    Stage,
    smtp_send_failure,
    smtp_send_success,
)
from pykka_smtp.signals.dispatcher import dispatcher

SHORT = 0.2
"""Seconds that a server has that says nothing more."""
MUCH = 0.5
"""The same, where it is waited for once for many."""

UP_TO_EHLO = up_to("EHLO")
UP_TO_MAIL = up_to("MAIL")
UP_TO_RCPT = up_to("RCPT")
UP_TO_DATA = up_to("DATA")
TAKEN = up_to(".")

NO_COMMAND = pytest.mark.parametrize("code", [500, 501, 502])
"""The codes upon which the seed said HELO, wherever it stood."""


def verbs(server: ScriptedServer) -> list[str]:
    return [line.split()[0] for line in server.lines]


# False successes


@NO_COMMAND
def test_50x_to_data_is_not_a_success(scripted_server: Start, code: int) -> None:
    server = scripted_server(polite(replies={"DATA": f"{code} what?"}))

    outcome = failure(settle(server))

    assert (outcome.kind, outcome.stage, outcome.code) == (FailureKind.SMTP, Stage.DATA, code)
    assert server.accepted == 0
    assert verbs(server) == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]


@NO_COMMAND
def test_50x_to_the_final_dot_is_not_a_success(scripted_server: Start, code: int) -> None:
    server = scripted_server(polite(replies={".": f"{code} what?"}))

    outcome = failure(settle(server))

    assert (outcome.kind, outcome.stage, outcome.code) == (FailureKind.SMTP, Stage.DOT, code)
    assert (outcome.retryable, outcome.maybe_accepted) == (False, False)
    assert server.accepted == 0


@pytest.mark.parametrize("ending", ["S! close", "C: <eof>"])
def test_221_as_greeting_is_not_a_success(scripted_server: Start, ending: str) -> None:
    outcome = failure(settle(scripted_server(f"S: 221 bye\n{ending}")))

    assert (outcome.kind, outcome.stage) == (FailureKind.PROTOCOL, Stage.GREETING)
    assert (outcome.code, outcome.maybe_accepted) == (221, False)


@pytest.mark.parametrize(
    "script",
    [f"{UP_TO_EHLO}\nC: MAIL *", f"{UP_TO_MAIL}\nC: RCPT *", f"{UP_TO_RCPT}\nC: DATA"],
    ids=["mail", "rcpt", "data"],
)
def test_221_during_the_session_is_not_a_success(scripted_server: Start, script: str) -> None:
    # The first digit decides (RFC 5321 §4.2.1): to MAIL and RCPT this is a yes, and the close that
    # follows is the failure. To DATA it is nonsense.
    server = scripted_server(f"{script}\nS: 221 bye\nS! close")

    outcome = failure(settle(server))

    at_data = script.endswith("DATA")
    assert outcome.kind is (FailureKind.PROTOCOL if at_data else FailureKind.CONNECTION)
    assert not outcome.maybe_accepted
    assert server.mails == ()


def test_354_in_reply_to_ehlo_does_not_send_the_body(scripted_server: Start) -> None:
    server = scripted_server("S: 220 mx\nC: EHLO *\nS: 354 go ahead\nC: <eof>")

    outcome = failure(settle(server, mail(body="MAIL FROM:<evil@x.test>\n")))
    server.wait_until_ended()

    assert (outcome.kind, outcome.stage) == (FailureKind.PROTOCOL, Stage.EHLO)
    assert len(server.lines) == 1
    assert not outcome.maybe_accepted


# False failures: the mail was accepted, and what came of QUIT changes nothing


@pytest.mark.parametrize(
    "farewell",
    [
        "S! close",
        "S! reset",
        "C: QUIT\nS! close",
        "C: QUIT\nS! reset",
        "C: QUIT\nS: 500 what?",
        "C: QUIT\nS: 421 too busy to say good-bye",
        "C: QUIT\nS: 421 too busy to say good-bye\nS! close",
        "C: QUIT\nS: 554 no",
        "C: QUIT\nS! raw not a reply\\r\\n",
        "C: QUIT\nS: 354 go on",
    ],
)
def test_a_failed_quit_does_not_change_a_success(scripted_server: Start, farewell: str) -> None:
    server = scripted_server(TAKEN + farewell)

    outcome = settle(server)

    assert isinstance(outcome, SendSuccess)
    assert outcome.code == 250
    assert server.accepted == 1
    assert "HELO" not in verbs(server)


@pytest.mark.parametrize("farewell", ["C: QUIT\nS! silence", "S! deaf"])
def test_an_accepted_mail_does_not_wait_for_an_answer_to_quit(
    scripted_server: Start, farewell: str
) -> None:
    server = scripted_server(TAKEN + farewell)
    ref = SmtpActor.start(server.host, server.port, timeout=PATIENCE, deadline=PATIENCE)

    outcome = ref.ask(mail(), timeout=PATIENCE)

    assert isinstance(outcome, SendSuccess)
    assert outcome.elapsed < 2
    assert ref.is_alive(), "it still waits for the answer to QUIT; the program need not"


# No outcome at all


BEFORE = {
    "greeting": "",
    "mail": f"{UP_TO_EHLO}\nC: MAIL *",
    "rcpt": f"{UP_TO_MAIL}\nC: RCPT *",
    "data": f"{UP_TO_RCPT}\nC: DATA",
}
DEAFNESS = {450: "silence", 550: "deaf"}


@pytest.fixture(scope="module")
def told_of_the_deaf() -> dict[tuple[str, int], list[Outcome]]:
    """Send to all that refuse and then go deaf, at once: each keeps its actor for a while."""
    told: dict[tuple[str, int], list[Outcome]] = {}

    def note(_sender: str, outcome: Outcome, **_extra: object) -> None:
        told[outcome.context].append(outcome)

    with (
        ExitStack() as exits,
        smtp_send_success.connected_to(note),
        smtp_send_failure.connected_to(note),
    ):
        refs: list[pykka.ActorRef[SmtpActor]] = []
        for case in itertools.product(BEFORE, DEAFNESS):
            told[case] = []
            stage, code = case
            script = f"{BEFORE[stage]}\nS: {code} no\nS! {DEAFNESS[code]}"
            server = exits.enter_context(ScriptedServer(script))
            refs.append(SmtpActor.start(server.host, server.port, timeout=MUCH))
            refs[-1].tell(mail(context=case))
        assert all(ref.actor_stopped.wait(PATIENCE) for ref in refs), "a session never ended"
        assert dispatcher.wait_idle(PATIENCE)
    return told


@pytest.mark.parametrize("code", DEAFNESS)
@pytest.mark.parametrize("stage", BEFORE)
def test_a_refusal_by_a_server_that_then_goes_deaf_is_an_outcome(
    told_of_the_deaf: dict[tuple[str, int], list[Outcome]], stage: str, code: int
) -> None:
    # The seed waited for the 221 for ever.
    [told] = told_of_the_deaf[stage, code]
    outcome = failure(told)

    assert (outcome.kind, outcome.code) == (FailureKind.SMTP, code)
    assert outcome.retryable == (code == 450)
    assert outcome.elapsed < MUCH, "told at once, not when the wait for QUIT is over"


def test_a_refused_dot_by_a_server_that_then_goes_deaf_is_an_outcome(
    scripted_server: Start,
) -> None:
    server = scripted_server(f"{UP_TO_DATA}\nC: <data>\nS: 550 spam\nS! deaf")
    outcome = failure(settle(server, timeout=SHORT))
    assert (outcome.kind, outcome.stage, outcome.code) == (FailureKind.SMTP, Stage.DOT, 550)


# More than one outcome


@pytest.mark.parametrize(
    "before",
    [
        "",
        "S: 220 mx\nC: EHLO *\n",
        f"{UP_TO_EHLO}\nC: MAIL *\n",
        f"{UP_TO_MAIL}\nC: RCPT *\n",
        f"{UP_TO_RCPT}\nC: DATA\n",
        f"{UP_TO_DATA}\nC: <data>\n",
    ],
    ids=["greeting", "ehlo", "mail", "rcpt", "data", "dot"],
)
@pytest.mark.parametrize("end", ["close", "reset"])
def test_421_followed_by_a_close_is_one_outcome(
    scripted_server: Start, before: str, end: str
) -> None:
    outcome = failure(settle(scripted_server(f"{before}S: 421 4.3.2 shutting down\nS! {end}")))

    if end == "close":
        assert (outcome.kind, outcome.code) == (FailureKind.SMTP, 421)
        assert (outcome.retryable, outcome.maybe_accepted) == (True, False)
    else:  # the reset may have destroyed the reply on its way
        kinds = {FailureKind.SMTP, FailureKind.CONNECTION}
        # Without a greeting, the reset may come before the connection was seen to stand.
        assert outcome.kind in (kinds if before else kinds | {FailureKind.CONNECT})


def test_an_unsolicited_421_gives_one_outcome(scripted_server: Start) -> None:
    server = scripted_server(
        "S: 220 mx\nC: EHLO *\nS! raw 250 mx\\r\\n421 4.3.2 shutting down\\r\\n\nS! close"
    )
    outcome = failure(settle(server))
    assert (outcome.kind, outcome.code) == (FailureKind.SMTP, 421)
    assert outcome.retryable


# Crashes of the whole program


@pytest.mark.parametrize("code", [251, 252])
def test_251_to_rcpt_accepts_the_recipient(scripted_server: Start, code: int) -> None:
    server = scripted_server(polite(replies={"RCPT": f"{code} will forward"}))
    neighbour = SmtpActor.start(server.host, server.port)

    outcome = settle(server)

    assert isinstance(outcome, SendSuccess)
    assert [(r.accepted, r.reply and r.reply.code) for r in outcome.recipients] == [(True, code)]
    assert neighbour.is_alive()
    neighbour.stop()


@pytest.mark.parametrize("deed", ["say", "reset", "both"])
def test_421_or_a_reset_during_the_mail_data_gives_one_outcome(
    scripted_server: Start, deed: str
) -> None:
    def interrupt(conn: Conn) -> None:
        conn.send("220 mx.test")
        for command, reply in ("EHLO", "250 mx"), ("MAIL", "250 Ok"), ("RCPT", "250 Ok"):
            conn.line(f"{command} *")
            conn.send(reply)
        conn.line("DATA")
        conn.send("354 go ahead")
        conn.line()  # the body's first line: the rest is under way
        if deed != "reset":
            conn.send("421 4.3.2 shutting down")
        if deed != "say":
            conn.reset()

    server = scripted_server(interrupt)
    neighbour = SmtpActor.start(server.host, server.port)

    outcome = failure(settle(server, mail(body="0123456789\n" * 500_000)))

    assert (outcome.stage, outcome.maybe_accepted, outcome.retryable) == (Stage.BODY, False, True)
    if deed == "say":
        assert (outcome.kind, outcome.code) == (FailureKind.SMTP, 421)
    elif deed == "reset":
        assert outcome.kind is FailureKind.CONNECTION
    assert neighbour.is_alive()
    neighbour.stop()


# Others


@pytest.mark.parametrize("codes", [*itertools.product([500, 501, 502], repeat=2)])
def test_a_server_that_knows_neither_ehlo_nor_helo_is_asked_once(
    scripted_server: Start, codes: tuple[int, int]
) -> None:
    server = scripted_server(polite(replies={"EHLO": f"{codes[0]} a", "HELO": f"{codes[1]} b"}))

    outcome = failure(settle(server))

    # The reply to EHLO stays the cause where it refuses our name: what HELO gets would hide that.
    code = codes[0] if codes[0] == 501 else codes[1]
    assert (outcome.kind, outcome.stage, outcome.code) == (FailureKind.SMTP, Stage.EHLO, code)
    assert verbs(server) in (["EHLO", "HELO", "QUIT"], ["EHLO", "HELO"])


@pytest.mark.parametrize(
    ("code", "falls_back"), [(504, True), (503, False), (550, True), (554, False)]
)
def test_helo_is_tried_where_ehlo_is_unknown_and_nowhere_else(
    scripted_server: Start, code: int, falls_back: bool
) -> None:
    server = scripted_server(polite(replies={"EHLO": f"{code} no"}))
    outcome = settle(server)
    assert ("HELO" in verbs(server)) == isinstance(outcome, SendSuccess) == falls_back


@NO_COMMAND
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "."])
def test_50x_amid_the_session_brings_no_helo(scripted_server: Start, verb: str, code: int) -> None:
    server = scripted_server(polite(replies={verb: f"{code} what?"}))

    outcome = failure(settle(server))

    assert "HELO" not in verbs(server)
    assert outcome.code == code
    assert verbs(server).count("EHLO") == 1


@pytest.mark.parametrize("code", [421, 450, 451, 452])
def test_greylisting_does_not_look_permanent(scripted_server: Start, code: int) -> None:
    outcome = failure(settle(scripted_server(polite(replies={"RCPT": f"{code} 4.2.0 later"}))))
    assert (outcome.kind, outcome.retryable) == (FailureKind.SMTP, True)
    assert "try again later" in str(outcome)


def test_252_to_rcpt_is_not_a_failure(scripted_server: Start) -> None:
    server = scripted_server(polite(replies={"RCPT": "252 cannot verify"}))
    assert isinstance(settle(server), SendSuccess)
    assert server.accepted == 1


@pytest.mark.parametrize(
    ("script", "stage"),
    [
        ("S: 554 no mail here", Stage.GREETING),
        (f"{UP_TO_EHLO}\nC: MAIL *\nS: 554 not you", Stage.MAIL),
        (f"{UP_TO_MAIL}\nC: RCPT *\nS: 554 who?", Stage.RCPT),
        (f"{UP_TO_RCPT}\nC: DATA\nS: 554 no", Stage.DATA),
        (f"{UP_TO_DATA}\nC: <data>\nS: 554 spam", Stage.DOT),
    ],
    ids=lambda value: value.value if isinstance(value, Stage) else "",
)
def test_the_cause_is_not_lost_when_the_server_closes_after_its_refusal(
    scripted_server: Start, script: str, stage: Stage
) -> None:
    outcome = failure(settle(scripted_server(f"{script}\nS! close")))

    assert (outcome.kind, outcome.stage, outcome.code) == (FailureKind.SMTP, stage, 554)
    assert not outcome.retryable


BODIES = [
    b".",
    b".\r\n",
    b"..b\r\n",
    b"a\r\n.\r\nRSET\r\nMAIL FROM:<evil@x.test>\r\n",
    b".leading\r\nnot.leading.\r\n...\r\n",
    b"\r\n.\r\n\r\n.\r\n",
    b"bare LF\n.\nRSET\n",
    b"bare CR\r.\rRSET\r",
]


@pytest.mark.parametrize("text", BODIES)
def test_a_line_that_begins_with_a_dot_neither_ends_the_mail_nor_loses_its_dot(
    server: ScriptedServer, text: bytes
) -> None:
    settle(server, mail(body=text))

    [received] = server.mails
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", text).removesuffix(b"\r\n") + b"\r\n"
    assert received.data.partition(b"\r\n\r\n")[2] == lines
    assert verbs(server) == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"], "no line ran as a command"


@pytest.mark.parametrize(
    "option", ["subject", "from_name", "to_name", "sender", "recipients", "cc", "bcc", "id"]
)
@pytest.mark.parametrize("injection", ["\r\n", "\n", "\r", "\0"])
def test_a_line_break_in_an_option_injects_nothing(option: str, injection: str) -> None:
    given = {"sender": "me@a.test", "recipients": "you@b.test", "cc": "c@b.test", "bcc": "d@b.test"}
    value = f"{given.get(option, 'x')}{injection}Bcc: evil@x.test"

    with pytest.raises(ValueError, match=r"control|printable"):
        mail(**{option: value})


def test_a_sender_cannot_add_a_recipient_nor_a_parameter(scripted_server: Start) -> None:
    for sender in (
        "me@a.test>\r\nRCPT TO:<evil@x.test",
        "me@a.test> SIZE=1",
        "me@a.test>,<evil@x.test",
        "<me@a.test>",
        "Me <me@a.test> SIZE=1",
        "Me\r\n <me@a.test>",
        "Me <me@a.test SIZE=1>",
        "Me <me@a.test>, You <evil@x.test>",
    ):
        with pytest.raises(ValueError, match="sender"):
            mail(sender=sender)


def test_a_trickle_does_not_keep_the_timer_alive(scripted_server: Start) -> None:
    # A line of the greeting now and then, each well within the timeout, and never the last one.
    def trickle(conn: Conn) -> None:
        while True:
            conn.drip(b"220-patience, please\r\n")

    outcome = failure(settle(scripted_server(trickle, drip_interval=0.01), timeout=0.4))

    assert (outcome.kind, outcome.stage) == (FailureKind.TIMEOUT, Stage.GREETING)
    assert 0.4 <= round(outcome.elapsed, 3) < 1


def test_a_trickle_of_complete_replies_ends_at_the_deadline(scripted_server: Start) -> None:
    # Each step keeps within the timeout; only the deadline ends this.
    server = scripted_server(
        "S! drip 220 mx.test\nC: EHLO *\nS! drip 250 mx.test\nC: MAIL *\nS! drip 250 Ok\n"
        "C: RCPT *\nS! drip 250 Ok\nC: DATA\nS! drip 354 go ahead",
        drip_interval=0.03,
    )

    outcome = failure(settle(server, timeout=5, deadline=0.6))

    assert outcome.kind is FailureKind.TIMEOUT
    assert outcome.stage is not Stage.GREETING
    assert 0.6 <= round(outcome.elapsed, 3) < 1.6
    assert "exceeded the deadline" in outcome.detail


# Smaller ones of 0.02


def test_a_reply_without_text_is_a_reply(scripted_server: Start) -> None:
    server = scripted_server(
        "S: 220\nC: EHLO *\nS: 250\nC: MAIL *\nS: 250\nC: RCPT *\nS: 250\nC: DATA\nS: 354\n"
        "C: <data>\nS: 250\nC: QUIT\nS: 221"
    )
    assert isinstance(settle(server), SendSuccess)


def test_garbage_is_not_waited_away(scripted_server: Start) -> None:
    outcome = failure(settle(scripted_server("S: HTTP/1.1 400 Bad Request\nS! silence")))
    assert (outcome.kind, outcome.stage) == (FailureKind.PROTOCOL, Stage.GREETING)
    assert "HTTP/1.1" in outcome.detail
    assert outcome.elapsed < 2


def test_the_earlier_lines_of_a_reply_are_not_lost(scripted_server: Start) -> None:
    refusal = "550-first\r\n550-second\r\n550 third"
    outcome = failure(settle(scripted_server(polite(replies={"RCPT": refusal}))))
    assert outcome.text == "first\nsecond\nthird"


def test_a_list_of_recipients_is_not_a_single_path(server: ScriptedServer) -> None:
    with pytest.raises(ValueError, match="recipient"):
        mail(recipients="a@x.test,b@x.test")
    settle(server, mail(recipients=["a@x.test", "b@x.test"]))
    assert [line for line in server.lines if line.startswith("RCPT")] == [
        "RCPT TO:<a@x.test>",
        "RCPT TO:<b@x.test>",
    ]


def test_an_unknown_option_is_not_ignored() -> None:
    options: Any = {"timout": 3}
    with pytest.raises(TypeError, match="subjct"):
        mail(subjct="typo")
    with pytest.raises(TypeError, match="timout"):
        SmtpActor.start("localhost", **options)
    assert pykka.ActorRegistry.get_all() == []


def test_trailing_blank_lines_are_kept_and_none_is_added(server: ScriptedServer) -> None:
    settle(server, mail(body="a\n\n\n"))
    assert server.mails[0].raw.endswith(b"\r\n\r\na\r\n\r\n\r\n.\r\n")


def test_mixed_line_ends_all_become_crlf(server: ScriptedServer) -> None:
    settle(server, mail(body="a\r\nb\nc\rd\n\re"))
    text = server.mails[0].raw.partition(b"\r\n\r\n")[2]
    assert text == b"a\r\nb\r\nc\r\nd\r\n\r\ne\r\n.\r\n"


def test_the_date_is_padded_and_the_mail_has_an_id(server: ScriptedServer) -> None:
    settle(server)
    head = server.mails[0].data.partition(b"\r\n\r\n")[0].decode("ascii")
    assert re.search(r"^Date: \w{3}, \d\d? \w{3} \d{4} \d\d:\d\d:\d\d ", head, re.MULTILINE)
    assert re.search(r"^Message-ID: <[^<> ]+@a\.test>\r$", head, re.MULTILINE)


def test_commands_are_written_as_rfc_5321_has_them(server: ScriptedServer) -> None:
    settle(server)
    assert server.lines[0] == "EHLO [127.0.0.1]", "a name or an address, not that of a class"
    assert server.lines[1] == "MAIL FROM:<me@a.test>", "no space after the colon"


def test_a_name_with_a_comma_does_not_break_the_header(server: ScriptedServer) -> None:
    settle(server, mail(from_name="Doe, Jane (sales)"))
    message = email.message_from_bytes(server.mails[0].data, policy=email.policy.default)
    [author] = message["From"].addresses
    assert (author.display_name, author.addr_spec) == ("Doe, Jane (sales)", "me@a.test")


# What 0.22 still did, or newly did


def test_ehlo_is_said_first(server: ScriptedServer) -> None:
    settle(server)
    assert verbs(server)[0] == "EHLO"


def test_the_first_refused_recipient_does_not_end_everything(scripted_server: Start) -> None:
    server = scripted_server(polite(replies={"no@b.test": "550 who?"}))

    outcome = settle(server, mail(recipients=["no@b.test", "yes@b.test"]))

    assert isinstance(outcome, SendSuccess)
    assert [result.address for result in outcome.refused] == ["no@b.test"]
    assert server.mails[0].recipients == ("yes@b.test",)
    assert verbs(server)[-1] == "QUIT"


def test_a_flood_of_250s_is_not_a_success(scripted_server: Start) -> None:
    flood = b"220 mx\r\n" + b"250 Ok\r\n" * 1000
    server = scripted_server(lambda conn: (conn.raw(flood), conn.hang()))

    outcome = failure(settle(server))

    assert outcome.kind is FailureKind.PROTOCOL
    assert server.mails == ()


def test_250_to_data_does_not_send_the_body(scripted_server: Start) -> None:
    server = scripted_server(f"{UP_TO_RCPT}\nC: DATA\nS: 250 Ok\nC: <eof>")

    outcome = failure(settle(server, mail(body="MAIL FROM:<evil@x.test>")))
    server.wait_until_ended()

    assert (outcome.kind, outcome.stage) == (FailureKind.PROTOCOL, Stage.DATA)


@pytest.mark.parametrize("reply", ["250 2.0.0 taken", "354 more"])
def test_a_reply_before_the_dot_is_not_the_final_reply(scripted_server: Start, reply: str) -> None:
    server = scripted_server(f"{UP_TO_DATA}\nS: {reply}\nS! silence")

    outcome = failure(settle(server, mail(body="0123456789\n" * 500_000)))

    assert outcome.kind is FailureKind.PROTOCOL
    assert server.accepted == 0


def test_a_send_that_makes_progress_is_not_ended_by_the_timeout(scripted_server: Start) -> None:
    server = scripted_server(
        "S! drip 220 mx\nC: EHLO *\nS! drip 250 mx\nC: MAIL *\nS! drip 250 Ok\nC: RCPT *\n"
        "S! drip 250 Ok\nC: DATA\nS! drip 354 ok\nC: <data>\nS! drip 250 taken\nC: QUIT",
        drip_interval=0.01,
    )
    outcome = settle(server, timeout=0.35)
    assert isinstance(outcome, SendSuccess)
    assert outcome.elapsed > 0.35


def test_a_body_of_the_wrong_type_is_not_sent_as_an_empty_mail() -> None:
    for body in ({"text": 1}, 7, object(), [b"line", 7], {"line"}):
        with pytest.raises(TypeError, match="body"):
            mail(body=body)


def test_a_timer_that_is_over_does_not_strike_later(scripted_server: Start) -> None:
    # 0.22 never cancelled its first timer. Here one send's timeout passes while the next runs.
    release = threading.Event()

    def wait(conn: Conn) -> None:
        conn.send("220 mx.test")
        conn.line("EHLO *")
        assert release.wait(PATIENCE)
        conn.send("250 mx.test")
        while conn.line() != "DATA":
            conn.send("250 Ok")
        conn.send("354 go")
        conn.body()
        conn.send("250 taken")
        conn.line("QUIT")

    server = scripted_server(polite(), wait)
    assert isinstance(settle(server, timeout=0.1), SendSuccess)
    ref = SmtpActor.start(server.host, server.port, timeout=PATIENCE)
    future = ref.ask(mail(), block=False)
    with pytest.raises(pykka.Timeout):
        future.get(timeout=0.2)
    release.set()
    assert isinstance(future.get(timeout=PATIENCE), SendSuccess)

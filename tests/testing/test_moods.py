"""Moods: the client hears the same of them in memory, in a thread and in a process."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from conversations.rig import Rig
from servers.waiting import PATIENCE

from pykka_smtp import SendFailure, SendMail, SmtpActor
from pykka_smtp.smtp.words.verdict import Failed
from pykka_smtp.testing import Server, hold, logins
from pykka_smtp.testing.moods import Changing, Mood
from pykka_smtp.testing.polite import Polite, polite
from pykka_smtp.testing.stages.pushed import Memory
from pykka_smtp.testing.talk.acts import Deed

MAIL: dict[str, Any] = {"sender": "a@b.test", "recipients": "c@d.test", "body": "hello"}

MOODS = {
    "nothing": ("", "accepted"),
    "refuse('greeting', '554 5.3.2 no')": ("", "SMTP at greeting"),
    "refuse('MAIL')": ("", "SMTP at mail"),
    "refuse('RCPT', to='c@d.test')": ("", "SMTP at rcpt"),
    "refuse('RCPT', to='e@f.test')": ("", "accepted"),
    "defer('RCPT')": ("", "SMTP at rcpt, try again"),
    "defer('.')": ("", "SMTP at dot, try again"),
    "refuse('DATA')": ("", "SMTP at data"),
    "drop('DATA')": ("", "CONNECTION at data, try again"),
    "drop('.')": ("", "CONNECTION at dot, perhaps accepted"),
    "drip('EHLO', interval=0.001)": ("", "accepted"),
    "early('MAIL')": ("", "PROTOCOL"),
    "refuse('RCPT', times=0)": ("", "accepted"),
    "answer('RCPT', '450 4.2.0 later')": ("", "SMTP at rcpt, try again"),
}
"""What becomes of a mail where a server has this mood."""


def mood_of(text: str) -> list[Mood]:
    from pykka_smtp import testing

    return [] if text == "nothing" else [eval(text, vars(testing))]  # noqa: S307 - it is ours


def told(result: Any) -> str:
    """Say what became of a mail."""
    if not isinstance(result, Failed | SendFailure):
        return "accepted"
    again = ", try again" if result.retryable else ""
    doubt = ", perhaps accepted" if result.maybe_accepted else ""
    return f"{result.kind.name} at {result.stage}{again}{doubt}"


def in_memory(text: str) -> Any:
    """Send a mail from a dialog to a server, both without I/O."""
    rig, server = Rig().connect(), Memory(Polite("PIPELINING", moods=mood_of(text)))
    for _ in range(100):
        if heard := server.take():
            rig.hear(heard)
        if server.ending is Deed.CLOSE and rig.closed is None:
            rig.eof()
        if rig.body is not None and rig.dialog.may_end_mail_data:
            rig.send_body()
        said, rig.said = bytes(rig.said), bytearray()
        if rig.verdict is not None:
            return rig.verdict
        server.receive(said)
    raise AssertionError("no verdict")


@contextmanager
def in_a_process(text: str) -> Iterator[int]:
    """Run a server as a program, and give its port."""
    code = (
        "from pykka_smtp.testing import *\n"
        "from pykka_smtp.testing.polite import Polite\n"
        "from pykka_smtp.testing.stages.process import Served, serve\n"
        f"moods = [] if {text!r} == 'nothing' else [eval({text!r})]\n"
        "serve(lambda: Served(Polite('PIPELINING', moods=moods)))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        try:
            yield json.loads(child.stdout.readline())["port"]
        finally:
            child.communicate(timeout=PATIENCE)


def sent_to(host: str, port: int) -> Any:
    return SmtpActor.start(host, port=port, tls="off").ask(SendMail(**MAIL), timeout=PATIENCE)


@pytest.mark.parametrize("text", MOODS)
def test_a_mood_has_the_same_outcome_in_memory_and_in_a_thread(text: str) -> None:
    with Server(*mood_of(text)) as server:
        in_a_thread = told(sent_to(*server.address))
        assert server.accepted == (in_a_thread == "accepted")

    assert in_a_thread.startswith(MOODS[text][1])
    assert told(in_memory(text)) == in_a_thread


@pytest.mark.parametrize("text", ["nothing", "defer('.')", "drop('.')", "refuse('RCPT')"])
def test_a_mood_has_the_same_outcome_in_a_process(text: str) -> None:
    with in_a_process(text) as port:
        outcome = sent_to("127.0.0.1", port)

    assert told(outcome) == told(in_memory(text))


def test_a_server_holds_its_answer_until_the_test_lets_it_go() -> None:
    event = threading.Event()
    with Server(hold(".", event)) as server:
        actor = SmtpActor.start(*server.address, tls="off")
        future = actor.ask(SendMail(**MAIL), block=False)
        server.wait_for(lambda: server.mails)

        assert server.accepted == 0
        event.set()
        assert told(future.get(timeout=PATIENCE)) == "accepted"


@pytest.mark.parametrize(
    ("password", "what"),
    [("secret", "accepted"), ("wrong", "SMTP at auth"), (None, "SMTP at mail")],
)
def test_only_authenticated_clients_may_send(password: str | None, what: str) -> None:
    options: dict[str, Any] = {"allow_plaintext_auth": True}
    login = {} if password is None else options | {"username": "me", "password": password}
    with Server(logins({"me": "secret"})) as server:
        outcome = SmtpActor.start(*server.address, tls="off", **login).ask(
            SendMail(**MAIL), timeout=PATIENCE
        )

    assert told(outcome).startswith(what)


# The session alone


def session(*commands: bytes, server: Polite | None = None) -> tuple[bytes, Memory]:
    """Say all of it at once; return what the server says after its greeting, and the server."""
    memory = Memory(server or polite("PIPELINING"))
    memory.take()
    memory.receive(b"".join(command + b"\r\n" for command in commands))
    return memory.take(), memory


TO_ONE = (b"MAIL FROM:<a@b.test>", b"RCPT TO:<c@d.test>")


def codes(said: bytes) -> list[int]:
    return [int(line[:3]) for line in said.splitlines() if line[3:4] == b" "]


def test_a_mail_is_kept_as_it_was_sent() -> None:
    said, memory = session(b"EHLO x", *TO_ONE, b"DATA", b"a", b"..b", b".")

    assert codes(said) == [250, 250, 250, 354, 250]
    [mail] = memory.ledger.mails
    assert (mail.data, mail.sender, mail.recipients) == (b"a\r\n.b\r\n", "a@b.test", ("c@d.test",))
    assert mail.accepted


def test_no_mail_data_is_requested_without_recipients() -> None:
    server = polite(replies={"RCPT": "550 5.1.1 who?"})

    assert codes(session(*TO_ONE, b"DATA", server=server)[0]) == [250, 550, 503]
    assert codes(session(*TO_ONE, b"RSET", b"DATA")[0]) == [250, 250, 250, 503]


def test_chunks_make_a_mail_and_without_a_recipient_they_do_not() -> None:
    said, memory = session(*TO_ONE, b"BDAT 3", b"a", b"BDAT 3 LAST", b"b")

    assert codes(said) == [250] * 4
    assert memory.ledger.mails[0].data == b"a\r\nb\r\n"
    assert codes(session(b"BDAT 3 LAST", b"a")[0]) == [503]
    assert codes(session(*TO_ONE, b"BDAT many")[0]) == [250, 250, 501]


def test_in_lmtp_each_recipient_has_a_reply_of_its_own() -> None:
    server = polite(replies={". e@f.test": "452 4.2.2 full"})

    said, memory = session(
        b"LHLO x", *TO_ONE, b"RCPT TO:<e@f.test>", b"DATA", b"a", b".", server=server
    )

    assert codes(said) == [250, 250, 250, 250, 354, 250, 452]
    assert memory.ledger.mails[0].verdicts == [250, 452]


def test_starttls_is_not_offered_again() -> None:
    said, memory = session(b"EHLO x", b"STARTTLS", server=polite("STARTTLS"))
    assert b"STARTTLS" in said
    assert memory.wants_tls

    memory.start_tls()
    memory.receive(b"EHLO x\r\nSTARTTLS\r\n")

    assert b"STARTTLS" not in (said := memory.take())
    assert codes(said) == [250, 502]


def test_answers_from_a_list_end_and_a_421_ends_the_session() -> None:
    server = Polite(moods=[Changing({"MAIL": ["450 later", "421 going"], "NOOP": ["close"]})])

    said, memory = session(b"MAIL FROM:<>", b"NOOP", server=server)
    assert codes(said) == [450]
    assert memory.ending is Deed.CLOSE
    assert codes(session(b"MAIL FROM:<>", b"NOOP", server=server)[0]) == [421]
    assert codes(session(b"MAIL FROM:<>", b"NOOP", server=server)[0]) == [250, 250]


def test_a_server_with_implicit_tls_needs_a_certificate() -> None:
    with pytest.raises(ValueError, match="certificate"):
        Server(implicit_tls=True)

"""The backend for Django: messages, what becomes of them, and who waits for it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes, policy
from typing import Any

import pytest
from servers.python import printed, python
from servers.scripted import ScriptedServer
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import (
    AsyncioActor,
    Outcome,
    SendError,
    SendFailure,
    SendSuccess,
    smtp_send_failure,
    smtp_send_success,
    wait_until_done,
)
from pykka_smtp.testing import Server, hold, refuse
from with_django.rig import ROOT, Backend, EmailMultiAlternatives, message


def mails(server: Any) -> list[Any]:
    return [mail for session in server.sessions for mail in session.mails]


def test_a_message_with_html_and_blind_copies_goes_out_as_django_wrote_it(
    server: ScriptedServer, backend: Backend
) -> None:
    one = EmailMultiAlternatives(
        "Grüße", "Täxt", "Me <me@a.test>", ["You <you@b.test>"], cc=["c@c.test"], bcc=["d@d.test"]
    )
    one.attach_alternative("<p>Hällo</p>", "text/html")
    one.attach("a.txt", "attached", "text/plain")

    assert backend(server).send_messages([one]) == 1

    [mail] = mails(server)
    assert (mail.sender, mail.recipients) == ("me@a.test", ("you@b.test", "c@c.test", "d@d.test"))
    read = message_from_bytes(mail.data, policy=policy.default)
    assert (read["Subject"], read["From"], read["To"]) == (
        *("Grüße", "Me <me@a.test>", "You <you@b.test>"),
    )
    assert b"d@d.test" not in mail.data
    assert read.get_body(("html",)).get_content().strip() == "<p>Hällo</p>"  # type: ignore[union-attr]
    assert [part.get_filename() for part in read.iter_attachments()] == ["a.txt"]


def test_a_message_has_its_outcome_with_each_recipient(backend: Backend) -> None:
    one = message(cc=["no@b.test"])

    with Server(refuse("RCPT", "550 5.1.1 who?", to="no@b.test")) as server:
        assert backend(server).send_messages([one]) == 1

    outcome = one.smtp_outcome
    assert isinstance(outcome, SendSuccess)
    assert (outcome.alias, outcome.context) == ("django", one)
    assert [result.address for result in outcome.refused] == ["no@b.test"]


def test_a_message_that_is_refused_raises_once_all_others_are_sent(backend: Backend) -> None:
    several = [message("a@b.test"), message("no@b.test"), message("c@b.test")]

    with Server(refuse("RCPT", "550 5.1.1 who?", to="no@b.test")) as server:
        with pytest.raises(OSError, match="who") as caught:
            backend(server).send_messages(several)

        assert {mail.recipients for mail in server.mails} == {("a@b.test",), ("c@b.test",)}
    error = caught.value
    assert isinstance(error, SendError)
    assert error.outcome is several[1].smtp_outcome
    assert error.__notes__ == ["1 of 3 messages were not sent; see smtp_outcome"]
    assert [type(one.smtp_outcome) for one in several] == [SendSuccess, SendFailure, SendSuccess]


def test_who_asks_for_silence_gets_a_count_and_the_outcomes(backend: Backend) -> None:
    several = [message("no@b.test"), message("c@b.test")]

    with Server(refuse("RCPT", to="no@b.test")) as server:
        assert backend(server, fail_silently=True).send_messages(several) == 1

    assert isinstance(several[0].smtp_outcome, SendFailure)


@pytest.mark.parametrize("silently", [False, True])
def test_an_invalid_message_raises_in_any_case_and_those_before_it_are_sent(
    server: ScriptedServer, backend: Backend, silently: bool
) -> None:
    several = [message("a@b.test"), message("two@at@b.test"), message("c@b.test")]

    with pytest.raises(ValueError, match=r"Invalid address 'two@at@b.test' in recipients: "):
        backend(server, fail_silently=silently).send_messages(several)

    assert [mail.recipients for mail in mails(server)] == [("a@b.test",)]
    assert isinstance(several[0].smtp_outcome, SendSuccess)


def test_a_line_break_in_a_header_field_is_djangos_own_error(
    server: ScriptedServer, backend: Backend
) -> None:
    with pytest.raises(ValueError, match=r"(?i)header") as caught:
        backend(server).send_messages([message(subject="a\nBcc: x@y.test")])

    assert not str(caught.value).startswith("message:")
    assert mails(server) == []


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("a@b.test, c@b.test", "exactly one"),
        ("a@b.test\r\nRCPT TO:<x@y.test>", "control character"),
        ("tester", 'it has no "@"'),
        ("@", ""),
        ("", "from_email|sender"),
        ("(", ""),
        ("nø@b.test", "local-part contains non-ASCII characters"),
    ],
)
def test_an_address_that_is_none_is_refused(
    server: ScriptedServer, backend: Backend, address: str, why: str
) -> None:
    one = message()
    one.from_email = address

    with pytest.raises(ValueError, match=f"(?i)invalid address|{why}") as caught:
        backend(server).send_messages([one])

    assert why.partition("|")[0] in str(caught.value)


def test_the_null_sender_and_lazy_texts_are_taken(server: ScriptedServer, backend: Backend) -> None:
    from django.utils.functional import lazystr

    bounce, lazy = message(lazystr("You <you@b.test>")), message()
    bounce.from_email = "<>"
    bounce.extra_headers["From"] = "mailer@a.test"
    lazy.from_email = lazystr("Me <me@a.test>")

    assert backend(server).send_messages([bounce, lazy]) == 2

    assert {(mail.sender, mail.recipients) for mail in mails(server)} == {
        *(("", ("you@b.test",)), ("me@a.test", ("you@b.test",))),
    }


def test_a_message_for_nobody_is_not_sent_and_an_iterator_will_do(
    server: ScriptedServer, backend: Backend
) -> None:
    nobody = message(to="")
    nobody.to = []

    assert backend(server).send_messages([]) == 0
    assert backend(server).send_messages(iter([nobody, message(), message()])) == 2
    assert nobody.smtp_outcome is None
    assert len(mails(server)) == 2


def test_the_messages_of_a_call_are_under_way_together(backend: Backend) -> None:
    go = threading.Event()
    with Server(hold(".", go)) as server, ThreadPoolExecutor() as pool:
        sent = pool.submit(backend(server).send_messages, [message() for _ in range(4)])
        together = wait_until(lambda: len(server.sessions) == 4, PATIENCE)
        go.set()

        assert sent.result(PATIENCE) == 4
    assert together


def test_more_messages_than_are_under_way_at_a_time_are_all_sent(
    server: ScriptedServer, backend: Backend
) -> None:
    assert backend(server).send_messages(message() for _ in range(250)) == 250
    assert len(mails(server)) == 250


def test_backends_with_the_same_settings_share_their_connections(
    server: ScriptedServer, backend: Backend
) -> None:
    for _ in range(5):
        with backend(server) as connection:
            assert connection.open() is False
            assert connection.send_messages([message()]) == 1

    assert len(server.sessions) == 1
    assert len(mails(server)) == 5


def test_one_backend_serves_many_threads(server: ScriptedServer, backend: Backend) -> None:
    connection = backend(server)
    with ThreadPoolExecutor(8) as pool:
        several = [[message(), message()] for _ in range(24)]
        counts = list(pool.map(connection.send_messages, several))

    assert counts == [2] * 24
    assert len(mails(server)) == 48


def test_a_relay_that_is_not_there_raises_and_is_tried_once(backend: Backend) -> None:
    one = message()
    with Server() as gone:
        connection = backend(gone)

    with pytest.raises(SendError) as caught:
        connection.send_messages([one])

    assert isinstance(caught.value, OSError)
    assert caught.value.errno is not None
    assert one.smtp_outcome.attempts == 1


# Without waiting


def test_who_does_not_wait_hears_of_it_by_the_signals(backend: Backend) -> None:
    heard: list[Outcome] = []

    def hear(sender: str, outcome: Outcome, **_: object) -> None:
        assert sender == "django"
        heard.append(outcome)

    several = [message("a@b.test"), message("no@b.test")]
    go = threading.Event()
    moods = hold("RCPT", go, times=2), refuse("RCPT", to="no@b.test")
    with (
        smtp_send_success.connected_to(hear),
        smtp_send_failure.connected_to(hear),
        Server(*moods[1:], moods[0]) as server,
    ):
        assert backend(server, wait=False).send_messages(several) == 2
        assert heard == []
        go.set()
        assert wait_until_done(PATIENCE)

    assert {(outcome.context.to[0], type(outcome)) for outcome in heard} == {
        *(("a@b.test", SendSuccess), ("no@b.test", SendFailure)),
    }


def test_a_deferred_message_is_retried_only_where_nobody_waits() -> None:
    from pykka_smtp import NO_RETRY
    from with_django.rig import EmailBackend

    def retry(**given: Any) -> Any:
        with EmailBackend(host="127.0.0.1", **given)._mailer() as ref:
            actor = ref._actor_weakref()
            return actor._retry.policy  # type: ignore[union-attr]

    try:
        assert retry() == NO_RETRY
        assert retry(wait=False).max_attempts > 1
    finally:
        from with_django.rig import stop_mailers

        stop_mailers(PATIENCE)


class Sender(AsyncioActor):
    """Sends messages of Django on the thread of all such actors."""

    def __init__(self, backend: Any) -> None:
        super().__init__()
        self._backend = backend

    def on_receive(self, message: Any) -> Any:
        return self._backend.send_messages(message)


def test_an_actor_of_the_loop_may_send_but_not_wait(
    server: ScriptedServer, backend: Backend
) -> None:
    waiting, telling = Sender.start(backend(server)), Sender.start(backend(server, wait=False))

    with pytest.raises(RuntimeError, match="SMTP_WAIT"):
        waiting.ask([message()])
    assert telling.ask([message()]) == 1

    waiting.stop()
    telling.stop()
    assert wait_until_done(PATIENCE)
    assert len(mails(server)) == 1


def test_a_receiver_may_send_and_wait(server: ScriptedServer, backend: Backend) -> None:
    counts: list[int] = []

    def answer(_sender: str, outcome: Outcome, **_: object) -> None:
        if outcome.context.subject == "Hello":
            counts.append(backend(server).send_messages([message(subject="Again")]))

    with smtp_send_success.connected_to(answer):
        backend(server).send_messages([message()])
        assert wait_until_done(PATIENCE)

    assert counts == [1]


# Processes

PROGRAM = """
import os, sys
from django.conf import settings
settings.configure(SECRET_KEY="none", DATABASES={})
from django.core.mail import EmailMessage
from pykka_smtp.django import EmailBackend

def send(wait=True, count=1, **more):
    backend = EmailBackend(host="127.0.0.1", port=int(sys.argv[1]), wait=wait, **more)
    return backend.send_messages(
        [EmailMessage("Hello", "1 2 3", "me@a.test", ["you@b.test"]) for _ in range(count)])
"""


def test_a_forked_child_has_connections_of_its_own(server: ScriptedServer) -> None:
    lines = printed(
        *("-W", "error", "-W", "ignore:.*fork", "-c"),
        PROGRAM
        + """
print(send(), flush=True)
pid = os.fork()
if pid == 0:
    print(send(), flush=True)
    sys.exit()
os.waitpid(pid, 0)
print(send(), flush=True)
""",
        server.port,
    )

    assert lines.split() == ["1", "1", "1"]
    assert [len(session.mails) for session in server.sessions] == [2, 1]


def test_a_program_ends_once_all_that_it_did_not_wait_for_is_out(server: ScriptedServer) -> None:
    script = "print(send(wait=False, count=150, max_connections=2))"

    assert printed("-W", "error", "-c", PROGRAM + script, server.port) == "150\n"

    assert len(mails(server)) == 150


def test_pykka_smtp_itself_needs_no_django() -> None:
    script = """
import sys
import pykka_smtp, pykka_smtp.testing, pykka_smtp.logging
from pykka_smtp import Mailer
assert "django" not in sys.modules and "pykka_smtp.django" not in sys.modules
sys.modules["django"] = None
import pykka_smtp.django
"""

    done = python("-c", script, cwd=ROOT)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ImportError: pykka_smtp.django needs Django: pip install 'pykka-smtp[django]'"
    )
    assert "During handling" not in done.stderr

"""Servers that offer what they do not do, or answer twice; on real sockets."""

import threading
from collections.abc import Callable
from typing import Any, cast

import pytest
from servers.mailing import Mailing
from servers.scripted import Conn, Polite, ScriptedServer

from pykka_smtp import (
    NO_RETRY,
    FailureKind,
    RetryPolicy,
    SendMail,
    SendSuccess,
    SmtpActor,
    Stage,
    verify,
)
from pykka_smtp.actors.options.options import collect_options
from pykka_smtp.smtp.sasl.secret import Secret
from pykka_smtp.testing.moods import At, Moment, said
from pykka_smtp.testing.talk.acts import Act, Wait

Start = Callable[..., Any]

PATIENCE = 15.0
BOTH = ("PIPELINING", "CHUNKING")


class Liar(Polite):
    """Offers extensions, and has its own answers to BDAT.

    Args:
        offers: the lines of the EHLO reply.
        bdat: what it says to BDAT; ``"250 taken"`` takes the mail.

    Attributes:
        taken: mails, over all connections.
    """

    def __init__(self, *offers: str, bdat: str = "502 5.5.1 what?") -> None:
        super().__init__(*offers, moods=[At("BDAT", self._bdat), At(".", self._count)])
        self._said = said(bdat)
        self._conns: list[Any] = []
        self.taken = 0
        self._lock = threading.Lock()

    def __call__(self, stage: Any) -> None:
        self._conns.append(stage)
        super().__call__(stage)

    @property
    def verbs(self) -> list[list[str]]:
        """Those of each connection."""
        return [conn.session.verbs for conn in self._conns]

    def _bdat(self, moment: Moment) -> list[Act]:
        if self._said.startswith(b"250"):
            self._count(moment)
        return [self._said]

    def _count(self, _moment: Moment) -> None:
        with self._lock:
            self.taken += 1


def mail() -> SendMail:
    return SendMail(sender="a@b.test", recipients="c@d.test", body="Hello")


def send(server: ScriptedServer, **options: Any) -> Any:
    ref = SmtpActor.start(server.host, server.port, timeout=PATIENCE, **options)
    return ref.ask(mail(), timeout=PATIENCE)


@pytest.mark.parametrize("code", [500, 501, 502, 503])
@pytest.mark.parametrize("offers", [("CHUNKING",), BOTH])
def test_a_server_that_does_not_know_bdat_gets_the_mail_by_data_and_once(
    scripted_server: Start, offers: tuple[str, ...], code: int
) -> None:
    liar = Liar(*offers, bdat=f"{code} 5.5.1 what?")
    server = scripted_server(liar)

    outcome = send(server)

    assert isinstance(outcome, SendSuccess)
    assert liar.taken == 1
    assert ["BDAT" in verbs for verbs in liar.verbs] == [True, False]
    [warning] = outcome.warnings
    assert "refused BDAT; tried again by DATA" in warning

    assert isinstance(send(server), SendSuccess)  # and it is remembered
    assert len(liar.verbs) == 3
    assert "BDAT" not in liar.verbs[2]


def test_a_mailer_goes_on_by_data_and_uses_no_attempt(mailing: Mailing) -> None:
    liar = Liar(*BOTH)
    mailer = mailing.start(mailing.serve(liar), retry=NO_RETRY, max_connections=1)

    mailing.tell(mailer, 5)

    outcomes = mailing.wait_for(5)
    assert all(isinstance(outcome, SendSuccess) for outcome in outcomes)
    assert {outcome.attempts for outcome in outcomes} == {1}
    assert liar.taken == 5
    assert len(liar.verbs) == 2
    assert liar.verbs[1].count("DATA") == 5


@pytest.mark.parametrize("bdat", ["552 5.3.4 too big", "554 5.7.1 spam", "451 4.3.0 later"])
def test_what_says_something_of_the_mail_is_no_reason_to_send_it_again(
    scripted_server: Start, bdat: str
) -> None:
    liar = Liar(*BOTH, bdat=bdat)

    outcome = send(scripted_server(liar))

    assert (outcome.kind, outcome.stage) == (FailureKind.SMTP, Stage.DOT)
    assert len(liar.verbs) == 1


def test_if_data_fails_too_the_detail_names_bdat(scripted_server: Start) -> None:
    talk = "S: 220 mx.test\nC: EHLO *\nS: 250-mx.test\nS: 250 CHUNKING\n"
    server = scripted_server(
        f"{talk}C: MAIL FROM:<*>\nS: 250 ok\nC: RCPT TO:<*>\nS: 250 ok\nC: BDAT *\nC: <chunk>\n"
        "S: 502 what?\nC: QUIT\nS: 221 bye",
        f"{talk}C: MAIL FROM:<*>\nS: 550 5.7.1 not you\nC: QUIT\nS: 221 bye",
    )

    outcome = send(server)

    assert str(outcome.reply) == "550 5.7.1 not you"
    assert "refused the email at mail: 550 5.7.1 not you" in outcome.detail
    assert "before that: " in outcome.detail
    assert "refused BDAT: 502 what?" in outcome.detail


# TLS that is not to be had for now


def test_a_mailer_tries_again_where_tls_is_not_to_be_had_for_now(mailing: Mailing) -> None:
    server = mailing.serve(
        "S: 220 mx.test\nC: EHLO *\nS: 250-mx.test\nS: 250 STARTTLS\nC: STARTTLS\n"
        "S: 454 4.7.0 TLS not available\nC: QUIT\nS: 221 bye"
    )
    retry = RetryPolicy(max_attempts=2, initial_delay=0.05)
    mailer = mailing.start(server, tls="starttls", retry=retry)

    outcome = mailing.ask(mailer)

    assert (outcome.kind, outcome.stage) == (FailureKind.SECURITY, Stage.STARTTLS)
    assert (outcome.retryable, outcome.attempts) == (True, 2)


# without=


@pytest.mark.parametrize("name", ["CHUNKING", "chunking"])
def test_an_extension_that_is_not_wanted_is_not_used(scripted_server: Start, name: str) -> None:
    liar = Liar(*BOTH, bdat="451 4.3.0 never")
    server = scripted_server(liar)

    assert isinstance(send(server, without=(name,)), SendSuccess)
    url = f"smtp://{server.host}:{server.port}?without={name},PIPELINING"
    ref = SmtpActor.start(url=url, timeout=PATIENCE)
    assert isinstance(ref.ask(mail(), timeout=PATIENCE), SendSuccess)

    assert "BDAT" not in {verb for verbs in liar.verbs for verb in verbs}


def test_a_mailer_and_verify_take_the_option_too(mailing: Mailing) -> None:
    liar = Liar(*BOTH, bdat="451 4.3.0 never")
    server, mailer = mailing.begin(liar, retry=NO_RETRY, without=("CHUNKING"))
    assert isinstance(mailing.ask(mailer), SendSuccess)

    report = verify(server.host, server.port, without=["PIPELINING"])
    assert report.is_ready
    assert report.offers == BOTH  # what the server says, all the same


@pytest.mark.parametrize(
    ("without", "said"),
    [
        (("CHUNKIN",), "'CHUNKIN'; did you mean CHUNKING?"),
        ("pipelinig", "did you mean PIPELINING?"),
        (("X" * 99,), "did you mean"),
        (("STARTTLS",), "tls='off'"),
        (("AUTH",), "leave out the credentials"),
        (("",), "did you mean"),
    ],
)
def test_an_unknown_extension_is_rejected_with_the_nearest(without: Any, said: str) -> None:
    with pytest.raises(ValueError, match="without: ") as caught:
        collect_options("h", without=without)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("without", [None, 5, (5,), {"CHUNKING": 1}, b"CHUNKING"])
def test_what_are_no_names_of_extensions_is_a_type_error(without: Any) -> None:
    with pytest.raises(TypeError, match="without: needs names"):
        collect_options("h", without=without)


def test_option_and_url_are_added_together() -> None:
    options = collect_options(url=Secret("smtp://h?without=DSN"), without=["chunking"])

    assert options.without == {"DSN", "CHUNKING"}


# A server that answers twice


def test_a_relay_that_was_found_to_speak_unasked_gets_each_mail_on_its_own_connection(
    mailing: Mailing,
) -> None:
    late = threading.Event()

    def twice(_moment: Moment) -> list[Act]:
        """Answer the first mail twice, the second time when told to."""
        return [said("250 taken"), Wait(late), said("250 taken, I said")]

    server = mailing.serve(Polite(*BOTH, moods=[At("BDAT", twice, times=1)]))
    mailer = mailing.start(server, retry=NO_RETRY, max_connections=1)
    assert isinstance(mailing.ask(mailer), SendSuccess)
    late.set()
    server.wait_for(lambda: server.sessions[0].ended)

    for _ in range(3):
        assert isinstance(mailing.ask(mailer), SendSuccess)

    assert len(server.sessions) == 4
    assert "BDAT" not in {verb for session in server.sessions[1:] for verb in session.verbs}


def test_a_relay_that_contradicts_itself_gets_no_more_mails_in_one_write(mailing: Mailing) -> None:
    writes: list[bool] = []

    def takes(*, in_one_write: bool) -> list[Act]:
        writes.append(in_one_write)
        return [said("250 2.0.0 queued")]

    # It refuses MAIL, and takes the mail; and looks whether it all came at once.
    contrary = Polite(
        *BOTH,
        moods=[
            At("MAIL", lambda _moment: None if writes else [said("451 4.3.0 later")]),
            At("BDAT", lambda _moment: takes(in_one_write=True)),
            At(".", lambda _moment: takes(in_one_write=False)),
        ],
    )
    mailer = mailing.start(mailing.serve(contrary), max_connections=1)

    first = mailing.ask(mailer)
    assert (first.maybe_accepted, first.retryable, first.attempts) == (True, False, 1)
    assert "451 4.3.0 later" in first.detail
    assert "250 2.0.0 queued" in first.detail

    assert isinstance(mailing.ask(mailer), SendSuccess)
    assert writes == [True, False]


# A kept connection that has been idle for too long (Amazon SES)


@pytest.mark.parametrize("offers", [(), ("PIPELINING",), BOTH])
def test_a_kept_connection_that_answers_mail_with_4_4_2_is_replaced_and_no_attempt_used(
    mailing: Mailing, offers: tuple[str, ...]
) -> None:
    def is_idle(moment: Moment) -> bool:
        return bool(cast("Conn", moment.client).session.mails)

    timeout, no = said("451 4.4.2 Timeout waiting for data from client"), said("503 5.5.1 no")
    ses = Polite(
        *offers,
        moods=[
            At("MAIL", lambda moment: [timeout] if is_idle(moment) else None),
            At("RCPT", lambda moment: [no] if is_idle(moment) else None),
        ],
    )
    server, mailer = mailing.begin(ses, retry=NO_RETRY, max_connections=1)

    for _ in range(3):
        outcome = mailing.ask(mailer)
        assert isinstance(outcome, SendSuccess)
        assert outcome.attempts == 1
    assert len(server.sessions) == 3


@pytest.mark.parametrize("reply", ["451 later", "451 4.7.1 greylisted"])
def test_greylisting_on_a_kept_connection_stays_a_refusal(mailing: Mailing, reply: str) -> None:
    talk = (
        "S: 220 mx.test\nC: EHLO *\nS: 250 mx.test\nC: MAIL FROM:<*>\nS: 250 ok\nC: RCPT TO:<*>\n"
        "S: 250 ok\nC: DATA\nS: 354 go\nC: <data>\nS: 250 taken\n"
    )
    server = mailing.serve(f"{talk}C: MAIL FROM:<*>\nS: {reply}\nC: QUIT\nS: 221 bye")
    mailer = mailing.start(server, retry=NO_RETRY, max_connections=1)

    assert isinstance(mailing.ask(mailer), SendSuccess)
    outcome = mailing.ask(mailer)

    assert str(outcome.reply) == reply
    assert len(server.sessions) == 1

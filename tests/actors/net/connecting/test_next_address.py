"""A host with several addresses: until MAIL is said, the next one is tried (RFC 5321 §5.1)."""

import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from servers.certificates import Certificates, Tls, server_context
from servers.ports import reserved_port
from servers.scripted import Conn, Start, parse_script, polite
from servers.waiting import PATIENCE

from pykka_smtp import (
    FailureKind,
    Mailer,
    Outcome,
    RetryPolicy,
    SendFailure,
    SendMail,
    SendSuccess,
    SmtpActor,
    Stage,
    verify,
)
from pykka_smtp.actors import sending_actor as sending_actor_module
from pykka_smtp.actors.net.connecting import addresses as addresses_module
from pykka_smtp.actors.net.connecting import connect as module
from pykka_smtp.actors.net.connecting import route as route_module

SHORT = 0.3
MAIL = SendMail(sender="a@b.test", recipients="c@d.test", body="hello")
HOST = "several.test"


pytestmark = pytest.mark.usefixtures("loop_kind")


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the host have the addresses of these servers, in that order; no two are raced."""
    monkeypatch.setattr(module, "_RACE_DELAY", PATIENCE)

    def have(*servers: Any) -> None:
        found = [
            (
                socket.AF_INET6 if ":" in server.host else socket.AF_INET,
                *(socket.SOCK_STREAM, socket.IPPROTO_TCP, ""),
                server.address,
            )
            for server in servers
        ]
        monkeypatch.setattr(addresses_module, "_getaddrinfo", lambda host, port: found)

    return have


def send(**options: Any) -> Outcome:
    options = {"timeout": PATIENCE} | options
    ref = SmtpActor.start(HOST, 25, **options)
    outcome = ref.ask(MAIL, timeout=PATIENCE)
    assert ref.actor_stopped.wait(PATIENCE)
    assert isinstance(outcome, Outcome)
    return outcome


def mute(conn: Conn) -> None:
    conn.hang()


def hang_up(conn: Conn) -> None:
    conn.close()


BAD: dict[str, Any] = {
    "mute": mute,
    "421 greeting": "S: 421 4.3.2 not now\nC: QUIT\nS: 221 bye",
    "554 greeting": "S: 554 5.7.1 not here\nC: QUIT\nS: 221 bye",
    "closes": hang_up,
    "no SMTP": "S: HTTP/1.1 400 Bad Request\nC: <eof>",
    "closes at EHLO": "S: 220 mx\nC: EHLO *\nS! close",
    "resets at EHLO": "S: 220 mx\nC: EHLO *\nS! reset",
    "421 at EHLO": "S: 220 mx\nC: EHLO *\nS: 421 4.3.2 not now",
    "451 at EHLO": "S: 220 mx\nC: EHLO *\nS: 451 4.3.2 not now\nC: QUIT\nS: 221 bye",
    "mute at EHLO": "S: 220 mx\nC: EHLO *\nS! silence",
    "454 to STARTTLS": (
        "S: 220 mx\nC: EHLO *\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 4.7.0 not now\n"
        "C: QUIT\nS: 221 bye"
    ),
}


def patience(name: str) -> float:
    return SHORT if "mute" in name else PATIENCE


@pytest.mark.parametrize("name", [name for name in BAD if "STARTTLS" not in name])
def test_a_bad_address_does_not_keep_a_mail_from_the_next(
    name: str, scripted_server: Start, at: Callable[..., None]
) -> None:
    bad, good = scripted_server(BAD[name]), scripted_server(host="127.0.0.2")
    at(bad, good)

    outcome = send(timeout=patience(name))

    assert isinstance(outcome, SendSuccess), outcome
    assert outcome.peer is not None
    assert outcome.peer.address == "127.0.0.2"
    assert len(bad.sessions) == len(good.sessions) == 1
    [warning] = outcome.warnings
    assert "went on from 127.0.0.1 to another address" in warning


@pytest.mark.parametrize("kind", ["actor", "Mailer"])
def test_an_address_without_tls_for_now_does_not_keep_a_mail_from_the_next(
    kind: str, scripted_server: Start, at: Callable[..., None], certificates: Certificates
) -> None:
    context = server_context(Tls(certificate=certificates.good))
    bad = scripted_server(BAD["454 to STARTTLS"])
    at(bad, scripted_server(polite("STARTTLS"), host="127.0.0.2", context=context))
    trusting = certificates.trusting()
    trusting.check_hostname = False
    ref: Any = (SmtpActor if kind == "actor" else Mailer).start(
        HOST, 25, timeout=PATIENCE, tls="starttls", tls_context=trusting
    )

    outcome = ref.ask(MAIL, timeout=PATIENCE)
    ref.stop()

    assert isinstance(outcome, SendSuccess), outcome
    assert outcome.attempts == 1
    assert outcome.peer is not None
    assert outcome.peer.address == "127.0.0.2"
    assert outcome.peer.tls_version is not None
    assert "STARTTLS" in bad.lines
    assert not any(line.startswith("MAIL") for line in bad.lines)
    [warning] = outcome.warnings
    assert "454 4.7.0 not now" in warning


def test_where_the_last_address_fails_worse_the_first_cause_is_told_first(
    scripted_server: Start, at: Callable[..., None]
) -> None:
    first = scripted_server(BAD["554 greeting"])
    second = scripted_server(BAD["closes"], host="127.0.0.2")
    with reserved_port("127.0.0.3") as port:
        at(first, second, SimpleNamespace(host="127.0.0.3", address=("127.0.0.3", port)))

        outcome = send()

    assert isinstance(outcome, SendFailure)
    assert (outcome.kind, outcome.stage) == (FailureKind.CONNECT, Stage.CONNECT)
    assert outcome.detail.startswith(f"127.0.0.1: {HOST}:25 takes no mail: 554 5.7.1 not here; ")
    assert f"; then: cannot connect to {HOST}:25: 127.0.0.3: Connection refused" in outcome.detail
    assert outcome.detail.count("; then: ") == 1
    assert outcome.detail.endswith("(tried before: 127.0.0.1, 127.0.0.2)")


def test_what_became_of_the_first_address_is_no_cause_for_the_next_mail(
    scripted_server: Start, at: Callable[..., None]
) -> None:
    second = scripted_server(polite(replies={"no@d.test": "550 5.1.1 who?"}), host="127.0.0.2")
    at(scripted_server(BAD["421 greeting"]), second)
    mailer = Mailer.start(HOST, 25, timeout=PATIENCE)

    assert isinstance(mailer.ask(MAIL, timeout=PATIENCE), SendSuccess)
    other = SendMail(sender="a@b.test", recipients="no@d.test", body="hello")
    outcome = mailer.ask(other, timeout=PATIENCE)
    mailer.stop()

    assert isinstance(outcome, SendFailure)
    assert outcome.detail == f"{HOST}:25 refused the recipient no@d.test: 550 5.1.1 who?"
    assert len(second.sessions) == 1


@pytest.mark.parametrize("name", ["mute", "554 greeting", "closes at EHLO"])
def test_a_mailer_goes_on_to_the_next_address_within_one_attempt(
    name: str, scripted_server: Start, at: Callable[..., None]
) -> None:
    bad, good = scripted_server(BAD[name]), scripted_server(host="127.0.0.2")
    at(bad, good)
    mailer = Mailer.start(HOST, 25, timeout=patience(name))

    outcome = mailer.ask(MAIL, timeout=PATIENCE)
    mailer.stop()

    assert isinstance(outcome, SendSuccess), outcome
    assert outcome.attempts == 1


def test_verify_goes_on_to_the_next_address(
    scripted_server: Start, at: Callable[..., None]
) -> None:
    polite = "S: 220 mx\nC: EHLO *\nS: 250 mx\nC: QUIT\nS: 221 bye"
    at(scripted_server(BAD["554 greeting"]), scripted_server(polite, host="127.0.0.2"))

    report = verify(HOST, 25, timeout=PATIENCE)

    assert report.is_ready
    assert report.peer is not None
    assert report.peer.address == "127.0.0.2"


def test_when_all_addresses_fail_the_failure_names_those_that_were_tried(
    scripted_server: Start, at: Callable[..., None]
) -> None:
    first = scripted_server(BAD["closes"])
    second = scripted_server(BAD["421 greeting"], host="127.0.0.2")
    at(first, second, scripted_server(BAD["554 greeting"], host="127.0.0.3"))

    outcome = send()

    assert isinstance(outcome, SendFailure)
    assert (outcome.kind, outcome.stage, outcome.code) == (FailureKind.SMTP, Stage.GREETING, 554)
    assert outcome.detail.endswith("(tried before: 127.0.0.1, 127.0.0.2)")
    assert "not now" in "".join(outcome.warnings)


def test_all_addresses_together_have_one_deadline(
    scripted_server: Start, at: Callable[..., None]
) -> None:
    at(*[scripted_server(mute, host=f"127.0.0.{n}") for n in range(1, 5)])

    outcome = send(timeout=0.5, deadline=0.8)

    assert isinstance(outcome, SendFailure)
    assert outcome.kind is FailureKind.TIMEOUT
    assert 0.8 <= round(outcome.elapsed, 2) < 1.8
    assert "(tried before: 127.0.0.1)" in outcome.detail


def test_only_so_many_addresses_are_tried(
    scripted_server: Start, at: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route_module, "_MAX_TRIED", 2)
    servers = [scripted_server(BAD["closes"], host=f"127.0.0.{n}") for n in range(1, 5)]
    at(*servers)

    assert isinstance(send(), SendFailure)
    assert [len(server.sessions) for server in servers] == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("script", "stage"),
    [
        ("S: 220 mx\nC: EHLO *\nS: 250 mx\nC: MAIL *\nS: 451 later\nC: QUIT\nS: 221 x", Stage.MAIL),
        ("S: 220 mx\nC: EHLO *\nS: 250 mx\nC: MAIL *\nS! close", Stage.MAIL),
        (
            "S: 220 mx\nC: EHLO *\nS: 550 not you\nC: HELO *\nS: 550 no\nC: QUIT\nS: 221 bye",
            Stage.EHLO,
        ),
    ],
)
def test_what_is_about_the_mail_or_about_us_is_not_tried_elsewhere(
    script: str, stage: Stage, scripted_server: Start, at: Callable[..., None]
) -> None:
    first, second = scripted_server(script), scripted_server(host="127.0.0.2")
    at(first, second)

    outcome = send()

    assert isinstance(outcome, SendFailure)
    assert outcome.stage is stage
    assert second.sessions == []


def test_a_server_that_knows_only_helo_gets_it_if_no_other_address_does_better(
    scripted_server: Start, at: Callable[..., None]
) -> None:
    def old(conn: Conn) -> None:
        conn.play(parse_script("S: 220 mx\nC: HELO *\nS: 250 mx\nC: MAIL *\nS: 250 ok\nC: RCPT *"))
        conn.play(parse_script("S: 250 ok\nC: DATA\nS: 354 go\nC: <data>\nS: 250 taken\nC: QUIT"))

    first = scripted_server(BAD["closes at EHLO"], old)
    at(first, scripted_server(BAD["554 greeting"], host="127.0.0.2"))

    outcome = send()

    assert isinstance(outcome, SendSuccess), outcome
    assert outcome.peer is not None
    assert outcome.peer.address == "127.0.0.1"


def test_a_stopped_actor_goes_on_to_no_other_address(
    scripted_server: Start, at: Callable[..., None]
) -> None:
    first, second = scripted_server(mute), scripted_server(host="127.0.0.2")
    at(first, second)
    ref = SmtpActor.start(HOST, 25, timeout=PATIENCE)
    answer = ref.ask(MAIL, block=False)
    first.wait_for(lambda: first.sessions)

    ref.stop()

    outcome = answer.get(timeout=PATIENCE)
    assert isinstance(outcome, SendFailure)
    assert outcome.kind is FailureKind.CANCELLED
    assert second.sessions == []


def test_each_connection_is_named_by_its_own_address(
    scripted_server: Start, at: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending_actor_module, "complete_host_name", lambda: None)
    first = scripted_server(BAD["421 at EHLO"], host="::1")
    second = scripted_server()
    at(first, second)

    assert isinstance(send(), SendSuccess)

    assert first.lines == ("EHLO [IPv6:::1]",)
    assert second.lines[0] == "EHLO [127.0.0.1]"


def test_from_an_address_of_one_ip_version_none_of_the_other_is_tried(
    scripted_server: Start, at: Callable[..., None]
) -> None:
    first, second = scripted_server(BAD["421 greeting"]), scripted_server(host="::1")
    at(first, second)

    outcome = send(source_address=("127.0.0.1", 0))

    assert isinstance(outcome, SendFailure)
    assert (outcome.kind, outcome.code, outcome.retryable) == (FailureKind.SMTP, 421, True)
    assert second.sessions == []


def test_what_one_address_refused_is_not_the_cause_at_the_next(
    scripted_server: Start, at: Callable[..., None]
) -> None:
    first = scripted_server(
        "S: 220 mx\nC: EHLO *\nS: 550 not you\nC: HELO *\nS: 421 not now\nC: <eof>"
    )
    at(first, scripted_server(BAD["closes"], host="127.0.0.2"))

    outcome = send()

    assert isinstance(outcome, SendFailure)
    assert (outcome.kind, outcome.retryable) == (FailureKind.CONNECTION, True)


def test_a_policy_of_one_attempt_is_one_that_goes_on_to_the_next_address(
    scripted_server: Start, at: Callable[..., None]
) -> None:
    at(scripted_server(BAD["421 greeting"]), scripted_server(host="127.0.0.2"))
    mailer = Mailer.start(HOST, 25, timeout=PATIENCE, retry=RetryPolicy(max_attempts=1))

    outcome = mailer.ask(MAIL, timeout=PATIENCE)
    mailer.stop()

    assert isinstance(outcome, SendSuccess), outcome

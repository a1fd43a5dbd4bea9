"""Signed emails arrive as they were signed: at real servers, whatever these offer."""

import io
import logging
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from servers.python import printed
from servers.require import require_module
from servers.scripted import ScriptedServer, Start, polite
from servers.signers import DOMAIN, by_dkimpy, by_ed25519, by_mailauth, by_rsa
from servers.sink import AiosmtpdServer, StoringSink
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import (
    Attachment,
    Dkim,
    FailureKind,
    Mailer,
    Outcome,
    RetryPolicy,
    SendFailure,
    SendMail,
    SendSuccess,
    SmtpActor,
)
from pykka_smtp.actors.loop.event_loop import event_loop
from pykka_smtp.testing.moods import refuse
from pykka_smtp.testing.polite import Polite

require_module("cryptography")

BOTH = (b"\r\nDKIM-Signature: v=1; a=ed25519", b"DKIM-Signature: v=1; a=rsa")
PLAIN: dict[str, Any] = {"sender": f"a@{DOMAIN}", "recipients": "c@d.test"}
OFFERS = {
    "nothing": (),
    "7 bits": ("PIPELINING", "SIZE"),
    "8BITMIME": ("PIPELINING", "SIZE", "8BITMIME"),
    "SMTPUTF8": ("PIPELINING", "8BITMIME", "SMTPUTF8"),
    "BDAT": ("PIPELINING", "8BITMIME", "CHUNKING"),
    "BINARYMIME": ("PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME"),
}


@pytest.fixture
def signers() -> tuple[Dkim, Dkim]:
    return by_ed25519(), by_rsa()


def mails(folder: Path) -> Iterator[SendMail]:
    """Yield every kind of email, in memory and streamed."""
    path = folder / "mail.eml"
    path.write_bytes(b"From: a@b.test\nSubject: a file\n\n" + b".hello, \t you \n" * 10_000)
    large = folder / "large.bin"
    large.write_bytes(bytes(range(256)) * 4200)
    yield SendMail(**PLAIN, body="Hello\n.\n..dots \t\n\n\n")
    yield SendMail(**PLAIN, subject="Gr\u00fc\u00dfe", body="Gr\u00fc\u00dfe\n" * 9000)
    yield SendMail(**PLAIN, html="<p>\u20ac</p>", attachments=[Attachment(b"x", name="x.bin")])
    yield SendMail(**PLAIN, html="<p>large</p>", attachments=[large])
    yield SendMail(**PLAIN, message=path)
    yield SendMail(**PLAIN, message=io.BytesIO(path.read_bytes()))
    yield SendMail(**PLAIN, message=b"From: a@b.test\n\n.x" + b" y" * 70_000)


@pytest.mark.parametrize("offers", OFFERS.values(), ids=OFFERS)
def test_every_kind_of_email_verifies_as_any_server_gets_it(
    scripted_server: Start, tmp_path: Path, signers: tuple[Dkim, Dkim], offers: tuple[str, ...]
) -> None:
    server = scripted_server(polite(*offers))
    mailer = Mailer.start(server.host, server.port, dkim=signers)
    try:
        for number, mail in enumerate(mails(tmp_path)):
            outcome = mailer.ask(mail, timeout=PATIENCE)
            if number == 6:  # it has a line that is too long, and only BINARYMIME takes that
                assert isinstance(outcome, SendSuccess) == ("BINARYMIME" in offers)
                continue
            assert isinstance(outcome, SendSuccess), outcome
    finally:
        mailer.stop()

    received = [mail.data for mail in server.mails]
    assert len(received) >= 6
    for data in received:
        assert by_dkimpy(data) == [True, True]
        # RSA first, for few receivers know the other.
        assert data.startswith(BOTH[1])
        assert BOTH[0] in data
        assert data.isascii()


def test_an_address_beyond_ascii_is_signed_too(
    scripted_server: Start, signers: tuple[Dkim, Dkim]
) -> None:
    server = scripted_server(polite(*OFFERS["SMTPUTF8"]))
    mail = SendMail(sender="\u00fc@b.test", recipients="\u00e4@d.test", body="Gr\u00fc\u00dfe")
    outcome = SmtpActor.start(server.host, server.port, dkim=signers).ask(mail, timeout=PATIENCE)

    assert isinstance(outcome, SendSuccess)
    [received] = server.mails
    assert by_dkimpy(received.data) == [True, True]
    assert "From: \u00fc@b.test".encode() in received.data


def test_a_complete_message_in_8_bits_is_signed_as_it_is_for_a_server_that_takes_it(
    scripted_server: Start, signers: tuple[Dkim, Dkim], tmp_path: Path
) -> None:
    octets = b"From: a@b.test\nSubject: x\n\n" + "Gr\u00fc\u00dfe \n".encode()
    path = tmp_path / "mail.eml"
    path.write_bytes(octets)
    for offers in ("7 bits", "8BITMIME"):
        server = scripted_server(polite(*OFFERS[offers]))
        for message in (octets, path):
            actor = SmtpActor.start(server.host, server.port, dkim=signers)
            outcome = actor.ask(SendMail(**PLAIN, message=message), timeout=PATIENCE)
            if offers == "7 bits":
                assert isinstance(outcome, SendFailure)
                assert outcome.kind is FailureKind.LOCAL
                assert "takes no 8-bit mail" in outcome.detail
                continue
            assert isinstance(outcome, SendSuccess), outcome
            data = server.mails[-1].data
            assert data.endswith(b"\r\n\r\n" + "Gr\u00fc\u00dfe \r\n".encode())
            assert by_dkimpy(data) == [True, True]
            assert b"content-transfer-encoding" not in data.lower()


def has_six(server: Any) -> bool:
    return len(server.mails) == 6


@pytest.mark.real
def test_what_smtp_sink_and_aiosmtpd_have_stored_verifies(
    aiosmtpd_server: Callable[..., AiosmtpdServer], tmp_path: Path, signers: tuple[Dkim, Dkim]
) -> None:
    stored: list[bytes] = []
    with StoringSink() as sink:
        for server in (sink, aiosmtpd_server(enable_SMTPUTF8=True)):
            sent = list(mails(tmp_path))[:6]
            for mail in sent:
                ref = SmtpActor.start(server.host, server.port, dkim=signers)
                assert isinstance(ref.ask(mail, timeout=PATIENCE), SendSuccess)
            wait_until(partial(has_six, server), PATIENCE)
            stored += [mail.data for mail in server.mails]

    assert len(stored) == 12
    for data in stored:
        assert by_dkimpy(data) == [True, True]
    assert by_mailauth(stored) == [["pass", "pass"]] * 12


def test_an_email_s_own_signer_takes_the_place_of_the_actor_s(server: ScriptedServer) -> None:
    def data_of(**given: Any) -> bytes:
        ref = SmtpActor.start(server.host, server.port, dkim=by_rsa())
        outcome = ref.ask(SendMail(**PLAIN, **given), timeout=PATIENCE)
        assert isinstance(outcome, SendSuccess)
        return server.mails[-1].data

    assert b"a=rsa-sha256" in data_of()
    other = data_of(dkim=by_ed25519())
    assert b"a=ed25519-sha256" in other
    assert b"a=rsa-sha256" not in other
    assert b"DKIM" not in data_of(dkim=())


def test_an_email_alone_can_be_signed(server: ScriptedServer, tmp_path: Path) -> None:
    path = tmp_path / "mail.eml"
    path.write_bytes(b"From: a@b.test\r\n\r\nfile\r\n")
    mailer = Mailer.start(server.host, server.port)
    try:
        for given in ({"body": "x"}, {"message": path}):
            mail = SendMail(**PLAIN, **given, dkim=[by_ed25519(), by_rsa()])
            assert isinstance(mailer.ask(mail, timeout=PATIENCE), SendSuccess)
            assert b"DKIM" not in mail.as_bytes()
        assert isinstance(mailer.ask(SendMail(**PLAIN), timeout=PATIENCE), SendSuccess)
    finally:
        mailer.stop()

    assert [by_dkimpy(mail.data) for mail in server.mails] == [[True, True], [True, True], []]


def sent(server: ScriptedServer, mail: SendMail, **options: Any) -> Outcome:
    return SmtpActor.start(server.host, server.port, dkim=by_rsa(), **options).ask(
        mail, timeout=PATIENCE
    )


def test_an_email_that_cannot_be_signed_is_not_sent(server: ScriptedServer, tmp_path: Path) -> None:
    path = tmp_path / "mail.eml"
    path.write_bytes(b"To: c@d.test\n\nx\n")
    for message in (path, path.read_bytes(), io.BytesIO(path.read_bytes())):
        outcome = sent(server, SendMail(**PLAIN, message=message))

        assert isinstance(outcome, SendFailure)
        assert outcome.kind is FailureKind.LOCAL
        assert outcome.detail == "cannot sign the email: its header has no From"
        assert not outcome.retryable
    assert server.lines == ()


def test_an_email_that_begins_with_a_space_is_not_signed(
    server: ScriptedServer, tmp_path: Path
) -> None:
    path = tmp_path / "mail.eml"
    path.write_bytes(b" x\nFrom: a@b.test\n\nx\n")
    for message in (path, path.read_bytes()):
        outcome = sent(server, SendMail(**PLAIN, message=message))

        assert isinstance(outcome, SendFailure)
        assert outcome.kind is FailureKind.LOCAL
        assert outcome.detail.startswith("cannot sign the email: line 1 of its header is no field")
    assert server.lines == ()


def test_a_stream_that_can_be_read_once_cannot_be_signed(server: ScriptedServer) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as out, os.fdopen(reading, "rb") as pipe:
        out.write(b"From: a@b.test\n\nx\n")
        out.close()
        outcome = sent(server, SendMail(**PLAIN, message=pipe))

    assert isinstance(outcome, SendFailure)
    assert outcome.kind is FailureKind.LOCAL
    assert outcome.detail == (
        "cannot read the email: it can be read only once, but must be read twice to be signed"
        " (dkim=)"
    )


@pytest.mark.parametrize("ending", [b"\r\n", b"\n"], ids=["as it is", "encoded"])
def test_a_file_that_changes_after_it_was_signed_is_not_sent(
    server: ScriptedServer, tmp_path: Path, ending: bytes
) -> None:
    path = tmp_path / "mail.eml"
    path.write_bytes(b"From: a@b.test" + ending * 2 + b"x" + ending)

    class Changing(io.FileIO):
        """Another content each time."""

        def seek(self, *where: Any) -> int:
            path.write_bytes(path.read_bytes().replace(b"x", b"y"))
            return super().seek(*where)

    with Changing(path) as file:
        outcome = sent(server, SendMail(**PLAIN, message=file))

    assert isinstance(outcome, SendFailure)
    assert outcome.detail == "the email changed while it was sent"
    assert server.mails == ()


@pytest.mark.parametrize("kind", ["file", "attachment"])
def test_an_attachment_that_changes_after_it_was_signed_is_not_sent(
    server: ScriptedServer, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pykka_smtp.actors.net.data.mail_source import FileSource

    path = tmp_path / "large.bin"
    path.write_bytes(b"x" * 2_000_000)
    given: dict[str, Any] = {"body": ".dot\n", "attachments": [path]}
    if kind == "file":
        path.write_bytes(b"From: a@b.test\n\n" + b"x" * 100 + b"\n")
        given = {"message": path}
    usual = FileSource.begin

    def changed(source: FileSource, **given: Any) -> None:
        path.write_bytes(path.read_bytes().replace(b"x", b"y"))
        usual(source, **given)

    monkeypatch.setattr(FileSource, "begin", changed)
    outcome = sent(server, SendMail(**PLAIN, **given))

    assert isinstance(outcome, SendFailure)
    assert outcome.detail.endswith("changed while it was sent")
    assert server.mails == ()


def test_a_retried_email_is_signed_again(scripted_server: Start) -> None:
    server = scripted_server(Polite(moods=[refuse(".", "451 4.3.0 later", times=1)]))
    retry = RetryPolicy(initial_delay=0.01)
    mailer = Mailer.start(server.host, server.port, dkim=[by_rsa(), by_ed25519()], retry=retry)
    try:
        outcome = mailer.ask(SendMail(**PLAIN, body="x"), timeout=PATIENCE)
    finally:
        mailer.stop()

    assert isinstance(outcome, SendSuccess)
    assert outcome.attempts == 2
    assert by_dkimpy(server.mails[-1].data) == [True, True]


def test_a_stopped_send_that_waits_for_its_signature_is_cancelled(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    usual = Dkim.field

    def slow(dkim: Dkim, *given: Any) -> bytes:
        begun.set()
        go_on.wait(PATIENCE)
        return usual(dkim, *given)

    monkeypatch.setattr(Dkim, "field", slow)
    ref = SmtpActor.start(server.host, server.port, dkim=by_rsa())
    outcome = ref.ask(SendMail(**PLAIN), block=False)
    assert begun.wait(PATIENCE)
    ref.stop()
    try:
        failure = outcome.get(timeout=PATIENCE)
    finally:
        go_on.set()

    assert isinstance(failure, SendFailure)
    assert failure.kind is FailureKind.CANCELLED
    assert server.lines == ()


def test_a_send_at_the_end_of_the_program_is_signed_without_a_new_thread(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(event_loop().signing_pool, "_add_thread", refused)
    outcome = sent(server, SendMail(**PLAIN, body="x"))

    assert isinstance(outcome, SendSuccess)
    assert by_dkimpy(server.mails[-1].data) == [True]


class Panic(BaseException):
    """As a library written in Rust raises it."""


@pytest.mark.parametrize("kind", [RuntimeError, TimeoutError, BlockingIOError, Panic])
@pytest.mark.parametrize("is_streamed", [False, True], ids=["memory", "file"])
def test_an_error_of_the_library_that_signs_fails_the_email_and_shows_nothing_of_it(
    kind: type[BaseException],
    is_streamed: bool,
    server: ScriptedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object) -> bytes:
        raise kind("KEY MATERIAL")

    monkeypatch.setattr(Dkim, "field", broken)
    path = tmp_path / "mail.eml"
    path.write_bytes(b"From: a@b.test\n\nx\n")
    mail = SendMail(**PLAIN, message=path) if is_streamed else SendMail(**PLAIN)
    with caplog.at_level(logging.DEBUG):
        outcome = sent(server, mail)

    assert isinstance(outcome, SendFailure)
    assert outcome.kind is FailureKind.LOCAL
    assert f"the library has failed ({kind.__name__})" in outcome.detail
    assert "KEY MATERIAL" not in f"{outcome!r}{caplog.text}"
    assert server.lines == ()


def test_nothing_that_is_logged_or_reported_has_the_key(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        outcome = sent(server, SendMail(**PLAIN, body="x"), debug=True)

    assert isinstance(outcome, SendSuccess)
    text = "\n".join([caplog.text, repr(outcome), *outcome.transcript])
    assert "PRIVATE" not in text
    assert "PrivateKey" not in text


def test_who_does_not_sign_imports_no_cryptography_and_starts_no_thread_for_it(
    server: ScriptedServer,
) -> None:
    done = printed(
        "-c",
        f"""
import sys, threading
from pykka_smtp import SendMail, SmtpActor, Mailer
mail = SendMail(sender="a@b.test", recipients="c@d.test")
SmtpActor.start({server.host!r}, {server.port}).ask(mail)
mailer = Mailer.start({server.host!r}, {server.port})
mailer.ask(mail)
assert not [t.name for t in threading.enumerate() if "signatures" in t.name]
assert not [m for m in sys.modules if m.startswith("cryptography")]
assert "pykka_smtp.signals.signing.dkim" not in sys.modules
mailer.stop()
print("done")
""",
    )

    assert done.strip() == "done"

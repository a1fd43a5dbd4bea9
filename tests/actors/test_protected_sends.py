"""Signed and encrypted emails arrive so, at all of their recipients, and nothing else goes out."""

import datetime as dt
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers.people import (
    A,
    B,
    C,
    D,
    decrypted_by_openssl,
    person,
    readers_by_openssl,
    verified_by_openssl,
    with_subkeys,
)
from servers.require import require_module
from servers.scripted import ScriptedServer, Start, polite
from servers.signers import by_dkimpy, by_ed25519, by_rsa
from servers.waiting import PATIENCE

from pykka_smtp import (
    Attachment,
    Drain,
    FailureKind,
    Mailer,
    Outbox,
    Outcome,
    Pgp,
    Put,
    RetryPolicy,
    SendFailure,
    SendMail,
    SendSuccess,
    Smime,
    SmtpActor,
)
from pykka_smtp.actors.loop.event_loop import event_loop
from pykka_smtp.signals.protecting import openpgp
from pykka_smtp.testing.moods import refuse
from pykka_smtp.testing.polite import Polite

require_module("cryptography")

PLAIN: dict[str, Any] = {"sender": A, "recipients": B}


@pytest.fixture
def smime() -> Smime:
    """Return what signs by the sender's key, and encrypts for three."""
    people = {address: person(address).certificate for address in (B, C, D)}
    return Smime(certificate=person(A).certificate, key=person(A).key, recipients=people)


@pytest.fixture
def signing() -> Smime:
    return Smime(certificate=person(A).certificate, key=person(A).key)


def mails(folder: Path) -> list[SendMail]:
    """Return every kind of email, in memory and streamed."""
    path, large = folder / "mail.eml", folder / "large.bin"
    path.write_bytes(b"From: a@b.test\nSubject: a file\n\n" + b".hello, \t you \n" * 10_000)
    large.write_bytes(bytes(range(256)) * 8000)
    return [
        SendMail(**PLAIN, body="Hello\n.\n..dots \t\n\n\n"),
        SendMail(**PLAIN, subject="Gr\u00fc\u00dfe", body="Gr\u00fc\u00dfe\n" * 9000),
        SendMail(**PLAIN, html="<p>\u20ac</p>", attachments=[Attachment(b"x", name="x.bin")]),
        SendMail(**PLAIN, html="<p>large</p>", attachments=[large]),
        SendMail(**PLAIN, message=path),
        SendMail(**PLAIN, message=b"From: a@b.test\n\n.x\n"),
    ]


OFFERS = [(), ("PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME")]


@pytest.mark.parametrize("offers", OFFERS, ids=["nothing", "all"])
def test_an_email_is_signed_then_encrypted_and_dkim_covers_all_of_it(
    scripted_server: Start, tmp_path: Path, smime: Smime, offers: tuple[str, ...]
) -> None:
    server = scripted_server(polite(*offers))
    dkim = (by_rsa(), by_ed25519())
    mailer = Mailer.start(server.host, server.port, protect=smime, dkim=dkim)
    try:
        for mail in mails(tmp_path):
            assert isinstance(mailer.ask(mail, timeout=PATIENCE), SendSuccess)
    finally:
        mailer.stop()

    assert len(server.mails) == 6
    for received in server.mails:
        data = received.data
        assert by_dkimpy(data) == [True, True]
        inner = decrypted_by_openssl(data, person(B))
        assert inner is not None
        assert verified_by_openssl(inner, person(A)) is not None


def test_an_email_s_own_protection_takes_the_place_of_the_actor_s(
    server: ScriptedServer, smime: Smime, signing: Smime
) -> None:
    def data_of(**given: Any) -> bytes:
        ref = SmtpActor.start(server.host, server.port, protect=signing)
        outcome = ref.ask(SendMail(**PLAIN, body="words", **given), timeout=PATIENCE)
        assert isinstance(outcome, SendSuccess)
        return server.mails[-1].data

    assert verified_by_openssl(data_of(), person(A)) is not None
    assert decrypted_by_openssl(data_of(protect=smime), person(B)) is not None
    assert b"multipart/signed" not in data_of(protect=())
    mail = SendMail(**PLAIN, body="words", protect=smime)
    assert b"words" in mail.as_bytes()


def accepted(outcome: Outcome) -> tuple[str, ...]:
    return tuple(result.address for result in outcome.recipients if result.accepted)


def sent_to(server: ScriptedServer) -> dict[tuple[str, ...], bytes]:
    """Return what each transaction has brought, by its recipients."""
    return {tuple(mail.recipients): mail.data for mail in server.mails}


def test_a_mailer_sends_one_to_each_blind_recipient_and_one_outcome_tells_of_all(
    server: ScriptedServer, smime: Smime
) -> None:
    mail = SendMail(**PLAIN, cc=C, bcc=["cid2@d.test", D], body="x")
    people = {a: person(a).certificate for a in (B, C, D, "cid2@d.test")}
    protect = Smime(certificate=person(A).certificate, key=person(A).key, recipients=people)
    mailer = Mailer.start(server.host, server.port, protect=protect)
    try:
        outcome = mailer.ask(mail, timeout=PATIENCE)
    finally:
        mailer.stop()

    assert isinstance(outcome, SendSuccess)
    assert accepted(outcome) == (B, C, "cid2@d.test", D)
    received = sent_to(server)
    assert set(received) == {(B, C), ("cid2@d.test",), (D,)}
    for paths, data in received.items():
        assert readers_by_openssl(data) == len(paths) + 1  # the sender
        for address in people:
            can_read = decrypted_by_openssl(data, person(address)) is not None
            assert can_read == (address in paths)


def test_the_outcome_tells_which_of_them_did_not_get_it(
    scripted_server: Start, smime: Smime
) -> None:
    server = scripted_server(
        Polite("PIPELINING", moods=[refuse("RCPT", "550 5.1.1 unknown", to=D)])
    )
    mailer = Mailer.start(server.host, server.port, protect=smime)
    try:
        outcome = mailer.ask(SendMail(**PLAIN, bcc=[C, D], body="x"), timeout=PATIENCE)
    finally:
        mailer.stop()

    assert isinstance(outcome, SendSuccess)
    assert accepted(outcome) == (B, C)
    assert [result.address for result in outcome.refused] == [D]


def test_what_is_only_signed_goes_to_all_at_once(server: ScriptedServer, signing: Smime) -> None:
    mailer = Mailer.start(server.host, server.port, protect=signing)
    try:
        outcome = mailer.ask(SendMail(**PLAIN, bcc=[C, D]), timeout=PATIENCE)
        assert accepted(outcome) == (B, C, D)
    finally:
        mailer.stop()
    assert set(sent_to(server)) == {(B, C, D)}


def test_a_single_actor_does_not_show_blind_recipients_to_each_other(
    server: ScriptedServer, smime: Smime
) -> None:
    ref = SmtpActor.start(server.host, server.port, protect=smime)
    outcome = ref.ask(SendMail(**PLAIN, bcc=[C, D]), timeout=PATIENCE)

    assert isinstance(outcome, SendFailure)
    assert outcome.kind is FailureKind.LOCAL
    assert outcome.detail.startswith(
        "cannot encrypt the email: each blind recipient needs one of its own"
    )
    assert not server.mails
    for mail in smime.mails(SendMail(**PLAIN, bcc=[C, D])):
        ref = SmtpActor.start(server.host, server.port, protect=smime)
        assert isinstance(ref.ask(mail, timeout=PATIENCE), SendSuccess)
    assert set(sent_to(server)) == {(B,), (C,), (D,)}


def test_an_email_to_one_without_a_certificate_is_not_sent(
    server: ScriptedServer, smime: Smime
) -> None:
    mailer = Mailer.start(server.host, server.port, protect=smime)
    try:
        outcome = mailer.ask(
            SendMail(sender=A, recipients=[B, "nobody@d.test"], body="secret"), timeout=PATIENCE
        )
    finally:
        mailer.stop()

    assert isinstance(outcome, SendFailure)
    assert outcome.kind is FailureKind.LOCAL
    assert not outcome.retryable
    assert outcome.detail == (
        "cannot encrypt the email: there is no certificate of nobody@d.test to encrypt it for"
    )
    assert not server.mails


def test_an_email_is_not_sent_once_the_key_for_its_encryption_has_expired(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_module("pysequoia")
    pgp = Pgp(recipients={B: with_subkeys(B, "1d", "1d")[1]})
    mail = SendMail(**PLAIN, body="secret", protect=pgp)
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=2)
    now = type("now", (dt.datetime,), {"now": classmethod(lambda _cls, _tz: later)})
    monkeypatch.setattr(openpgp, "dt", type("later", (), {"datetime": now, "UTC": dt.UTC}))
    mailer = Mailer.start(server.host, server.port)
    try:
        outcome = mailer.ask(mail, timeout=PATIENCE)
    finally:
        mailer.stop()

    assert isinstance(outcome, SendFailure)
    assert outcome.kind is FailureKind.LOCAL
    assert f"cannot encrypt the email: the certificate of {B} expired on" in outcome.detail
    assert not server.mails


def test_a_file_that_is_gone_is_told(
    server: ScriptedServer, tmp_path: Path, signing: Smime
) -> None:
    mail = SendMail(**PLAIN, message=tmp_path / "none.eml", protect=signing)
    outcome = SmtpActor.start(server.host, server.port).ask(mail, timeout=PATIENCE)

    assert isinstance(outcome, SendFailure)
    assert outcome.kind is FailureKind.LOCAL
    assert "No such file" in outcome.detail


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_hangs_nothing(server: ScriptedServer, tmp_path: Path, signing: Smime) -> None:
    os.mkfifo(tmp_path / "pipe")
    mail = SendMail(**PLAIN, message=tmp_path / "pipe", protect=signing)
    outcome = SmtpActor.start(server.host, server.port).ask(mail, timeout=PATIENCE)

    assert isinstance(outcome, SendFailure)
    assert "is no regular file" in outcome.detail


def test_a_retry_is_for_the_same_readers(scripted_server: Start, smime: Smime) -> None:
    mood = refuse("RCPT", "450 4.2.0 later", to=C, times=1)
    server = scripted_server(Polite("PIPELINING", moods=[mood]))
    retry = RetryPolicy(max_attempts=3, initial_delay=0.01)
    mailer = Mailer.start(server.host, server.port, protect=smime, retry=retry)
    try:
        outcome = mailer.ask(SendMail(**PLAIN, cc=C, bcc=D), timeout=PATIENCE)
    finally:
        mailer.stop()

    assert isinstance(outcome, SendSuccess)
    assert accepted(outcome) == (B, C, D)
    received = sent_to(server)
    assert set(received) == {(B,), (C,), (D,)}
    # Those who see each other in the header can read each other's.
    assert readers_by_openssl(received[C,]) == 3
    assert readers_by_openssl(received[D,]) == 2


def test_the_loop_is_free_while_a_large_email_is_encrypted(
    server: ScriptedServer, smime: Smime, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    from pykka_smtp.signals.protecting import protection

    threads: list[threading.Thread] = []
    wrapped = protection._wrapped

    def watched(*args: Any) -> Any:
        threads.append(threading.current_thread())
        return wrapped(*args)

    monkeypatch.setattr(protection, "_wrapped", watched)
    mail = SendMail(**PLAIN, body="x" * 500_000, protect=smime)
    SmtpActor.start(server.host, server.port).ask(mail, timeout=PATIENCE)

    assert threads
    assert not event_loop().is_current()
    assert all("signatures" in thread.name for thread in threads)


class Panic(BaseException):
    """As a library written in Rust raises it."""


@pytest.mark.parametrize("kind", [RuntimeError, Panic])
def test_an_error_of_the_library_fails_the_email_and_shows_nothing_of_it(
    kind: type[BaseException],
    server: ScriptedServer,
    smime: Smime,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object) -> bytes:
        raise kind("KEY MATERIAL")

    monkeypatch.setattr(Smime, "wrapped", broken)
    with caplog.at_level(logging.DEBUG):
        outcome = SmtpActor.start(server.host, server.port, protect=smime).ask(
            SendMail(**PLAIN), timeout=PATIENCE
        )

    assert isinstance(outcome, SendFailure)
    assert outcome.detail == f"cannot encrypt the email: the library has failed ({kind.__name__})"
    assert "KEY MATERIAL" not in caplog.text


def test_an_outbox_keeps_and_sends_the_encrypted_email_only(
    server: ScriptedServer, tmp_path: Path, smime: Smime
) -> None:
    path = tmp_path / "outbox"
    outbox = Outbox.start(path, server.host, server.port)
    try:
        outbox.ask(Put(SendMail(**PLAIN, body="between us", protect=smime)), timeout=PATIENCE)
        assert outbox.ask(Drain(timeout=PATIENCE))
    finally:
        outbox.stop()

    [received] = server.mails
    inner = decrypted_by_openssl(received.data, person(B))
    assert inner is not None
    assert b"between us" in inner
    for file in tmp_path.iterdir():
        assert b"between us" not in file.read_bytes()
    with pytest.raises(ValueError, match=r"^protect: give it to each SendMail; an Outbox keeps"):
        Outbox.start(path, server.host, server.port, protect=smime)


@pytest.mark.parametrize("start", [SmtpActor.start, Mailer.start])
def test_a_key_given_instead_is_not_shown(start: Callable[..., Any]) -> None:
    from servers.frames import shown_by

    for given in (person(A).key_pem, person(A).key_pem.decode(), [person(A).key_pem]):
        with pytest.raises(TypeError, match=r"^protect: needs Smime") as caught:
            start(protect=given)
        assert "PRIVATE KEY" not in shown_by(caught.value)

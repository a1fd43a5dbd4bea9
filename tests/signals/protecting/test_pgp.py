"""`Pgp`: gpg verifies and decrypts what it has made; what is not fit for it is refused."""

import copy
import datetime as dt
import email
import email.policy
import importlib
import logging
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.frames import shown_by
from servers.people import (
    A,
    B,
    C,
    D,
    decrypted_by_gpg,
    gpg,
    gpg_home,
    made_by_gpg,
    parts_of,
    pgp_certificate,
    pgp_key,
    secret_of,
    verified_by_gpg,
    with_subkeys,
)
from servers.require import require_module

from pykka_smtp import Attachment, Pgp, SendMail, UnprotectableError
from pykka_smtp.signals.protecting import openpgp

require_module("pysequoia")

PLAIN: dict[str, Any] = {"sender": A, "recipients": B}


@pytest.fixture(scope="module")
def reader() -> Iterator[Path]:
    """Yield gpg of a person who knows the sender."""
    with gpg_home(secret_of(B), str(pgp_certificate(A)).encode()) as home:
        yield home


@pytest.fixture(scope="module")
def stranger() -> Iterator[Path]:
    with gpg_home(secret_of(C)) as home:
        yield home


def content_of(protection: Pgp, **given: Any) -> bytes:
    [made] = protection.mails(SendMail(**PLAIN, **given))
    data: bytes = made.as_bytes()
    assert data.isascii()
    return data


KINDS: dict[str, dict[str, Any]] = {
    "text": {"body": "Hello\n.\n"},
    "spaces": {"body": "at the end \nFrom the start\n\t\n"},
    "beyond ASCII": {"body": "Gr\u00fc\u00dfe\n", "subject": "Gr\u00fc\u00dfe"},
    "parts": {
        "body": "text \n",
        "html": "<p>\u20ac  \n</p>",
        "attachments": [Attachment(b"y" * 5000, name="y.bin")],
    },
    "bytes": {"message": b"From: a@b.test\nSubject: x\n\nbody"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_gpg_finds_the_signature_of_any_email_good(kind: str, reader: Path) -> None:
    data = content_of(Pgp(key=pgp_key(A)), **KINDS[kind])

    parsed = email.message_from_bytes(data, policy=email.policy.default)
    assert parsed.get_content_type() == "multipart/signed"
    assert parsed.get_param("protocol") == "application/pgp-signature"
    assert parsed.get_param("micalg") == "pgp-sha512"
    assert not parsed.defects
    content = data[data.index(b"Content-Type: multipart/signed") :]
    assert verified_by_gpg(content, reader)
    changed = content.replace(b"Content-Type: text", b"Content-Type: t\xc3\xa4xt")
    assert changed == content or not verified_by_gpg(changed, reader)
    for line in content.split(b"\r\n"):
        assert not line.endswith((b" ", b"\t"))


def test_the_digest_is_the_one_that_the_signature_has(reader: Path) -> None:
    data = content_of(Pgp(key=pgp_key(A)), body="x")
    signature = data.partition(b"-----BEGIN PGP SIGNATURE")
    listed, _ = gpg(reader, "--list-packets", data=b"".join(signature[1:]))

    assert b"digest algo 10," in listed  # SHA512
    assert b"micalg=pgp-sha512" in data


@pytest.mark.parametrize("kind", KINDS)
def test_the_recipient_reads_what_was_signed_and_nobody_else(
    kind: str, reader: Path, stranger: Path
) -> None:
    pgp = Pgp(key=pgp_key(A), recipients={B: pgp_certificate(B), C: pgp_certificate(C)})
    data = content_of(pgp, **KINDS[kind])

    parsed = email.message_from_bytes(data, policy=email.policy.default)
    assert parsed.get_content_type() == "multipart/encrypted"
    assert parsed.get_param("protocol") == "application/pgp-encrypted"
    assert not parsed.defects
    content = data[data.index(b"Content-Type: multipart/encrypted") :]
    text, status = decrypted_by_gpg(content, reader)
    assert "GOODSIG" in status
    assert text.startswith(b"Content-Type: ")
    assert decrypted_by_gpg(content, stranger)[0] == b""


def test_what_was_said_is_what_is_read(reader: Path) -> None:
    pgp = Pgp(recipients={B: pgp_certificate(B)})
    data = content_of(pgp, body="Gr\u00fc\u00dfe \n")
    text, status = decrypted_by_gpg(data[data.index(b"Content-Type: multipart") :], reader)

    assert "GOODSIG" not in status
    parsed = email.message_from_bytes(text, policy=email.policy.default)
    assert parsed.get_content() == "Gr\u00fc\u00dfe \r\n"


def readers_of(data: bytes, home: Path) -> int:
    message = parts_of(data)[1].partition(b"\r\n\r\n")[2]
    return gpg(home, "--list-packets", data=message)[0].count(b":pubkey enc packet:")


def test_the_sender_reads_it_too_unless_told_otherwise(stranger: Path) -> None:
    recipients = {B: pgp_certificate(B)}

    assert readers_of(content_of(Pgp(recipients=recipients)), stranger) == 1
    assert readers_of(content_of(Pgp(key=pgp_key(A), recipients=recipients)), stranger) == 2
    pgp = Pgp(key=pgp_key(A), recipients=recipients, for_sender=False)
    assert readers_of(content_of(pgp), stranger) == 1
    with gpg_home(secret_of(A)) as home:
        data = content_of(Pgp(key=pgp_key(A), recipients=recipients), body="x")
        assert decrypted_by_gpg(data[data.index(b"Content-Type: multi") :], home)[0]


def test_each_blind_recipient_gets_an_email_that_shows_no_other(stranger: Path) -> None:
    people = {address: pgp_certificate(address) for address in (B, C, D)}
    made = Pgp(recipients=people).mails(SendMail(**PLAIN, bcc=[C, D], body="x"))

    assert [each.recipients for each in made] == [(B,), (C,), (D,)]
    assert [readers_of(each.as_bytes(), stranger) for each in made] == [1, 1, 1]
    for each in made:
        data = each.as_bytes()
        content = data[data.index(b"Content-Type: multipart") :]
        assert bool(decrypted_by_gpg(content, stranger)[0]) == (each.recipients == (C,))


@pytest.mark.long  # gpg encrypts a key so that it takes a second to decrypt it
def test_keys_may_be_in_files_and_be_encrypted(tmp_path: Path, reader: Path) -> None:
    secret, public = made_by_gpg(A, "a password", "ed25519", "sign")
    path = tmp_path / "key.asc"
    path.write_bytes(secret)
    with gpg_home(public) as home:
        for key in (path, secret):
            data = content_of(Pgp(key=key, password="a password"), body="x")
            assert verified_by_gpg(data[data.index(b"Content-Type: multi") :], home)
    for key in (pgp_key(A), bytes(pgp_key(A)), secret_of(A)):
        data = content_of(Pgp(key=key), body="x")
        assert verified_by_gpg(data[data.index(b"Content-Type: multi") :], reader)
    with pytest.raises(ValueError, match=r"^key: the private key is encrypted; give its password$"):
        Pgp(key=path)
    with pytest.raises(ValueError, match=r"^key: .* can't be decrypted; is the password right\?$"):
        Pgp(key=path, password="wrong")
    with pytest.raises(ValueError, match=r"^for_sender: .* no key for encryption"):
        Pgp(key=path, password="a password", recipients={B: pgp_certificate(B)})
    public_path = tmp_path / "public.asc"
    public_path.write_bytes(str(pgp_certificate(B)).encode())
    Pgp(recipients={B: public_path})
    Pgp(recipients={B: bytes(pgp_certificate(B))})


def refused() -> dict[str, tuple[dict[str, Any], str]]:
    return {
        "nothing": ({}, "Pgp: needs a key to sign, or recipients to encrypt"),
        "garbage": ({"key": b"garbage"}, "key: can't be read; it needs a private key of OpenPGP"),
        "a public key": (
            {"key": str(pgp_certificate(A)).encode()},
            "key: needs a private key that may sign now",
        ),
        "a password too many": (
            {"key": pgp_key(A), "password": "x"},
            "key: the private key is not encrypted; leave out the password",
        ),
        "a password alone": (
            {"recipients": {B: pgp_certificate(B)}, "password": "x"},
            "password: there is no key that it decrypts",
        ),
        "another's": (
            {"recipients": {B: pgp_certificate(C)}},
            f"recipients['{B}']: the certificate is for {C}",
        ),
        "no certificate": (
            {"recipients": {B: b"garbage"}},
            f"recipients['{B}']: the certificate can't be read; it needs a public key",
        ),
        "nobody": ({"recipients": {}}, "recipients: is empty; leave it out to sign only"),
    }


@pytest.mark.parametrize(
    "name",
    [
        *("nothing", "garbage", "a public key", "a password too many", "a password alone"),
        *("another's", "no certificate", "nobody"),
    ],
)
def test_what_is_not_fit_is_refused_in_one_line(name: str) -> None:
    given, text = refused()[name]
    with pytest.raises(ValueError) as caught:
        Pgp(**given)
    assert str(caught.value) == text


def in_two_days(monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(dt.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return dt.datetime.now(tz) + dt.timedelta(days=2)

    later = type("later", (), {"datetime": Later, "UTC": dt.UTC})
    monkeypatch.setattr(openpgp, "dt", later)


def test_a_certificate_whose_key_for_encryption_has_expired_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret, public = with_subkeys(B, "1d", "1d")
    reader = Pgp(recipients={B: public})
    for_sender = Pgp(key=secret, recipients={A: pgp_certificate(A)})
    signer = Pgp(key=secret)
    mails = [
        SendMail(sender=A, recipients=B, body="secret", protect=reader),
        SendMail(sender=B, recipients=A, body="secret", protect=for_sender),
        SendMail(sender=B, recipients=A, body="x", protect=signer),
    ]
    for mail in mails:
        assert mail.protect.mails(mail)  # type: ignore[union-attr]
    in_two_days(monkeypatch)

    for mail in mails:
        with pytest.raises(UnprotectableError, match=r" expired on \d{4}-\d\d-\d\d$"):
            mail.protect.mails(mail)  # type: ignore[union-attr]
    for given in ({"recipients": {B: public}}, {"key": secret}):
        with pytest.raises(UnprotectableError, match=" expired on "):
            Pgp(**given)


def test_a_certificate_that_has_another_key_for_encryption_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, public = with_subkeys(B, "1d", "1d", "never")
    in_two_days(monkeypatch)

    assert Pgp(recipients={B: public}).mails(SendMail(**PLAIN, body="secret"))


def test_an_expired_certificate_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pgp = Pgp(recipients={B: pgp_certificate(B)})
    in_two_days(monkeypatch)
    for use in (
        lambda: Pgp(recipients={B: pgp_certificate(B)}),
        lambda: Pgp(key=pgp_key(A)),
        lambda: SendMail(**PLAIN, protect=pgp),
    ):
        with pytest.raises(UnprotectableError, match=r" expired on \d{4}-\d\d-\d\d$"):
            use()


def test_a_revoked_certificate_is_refused() -> None:
    key = pgp_key(B)
    certificate = key.extract_certificate()
    library: Any = importlib.import_module("pysequoia")
    revocation = certificate.revoke(key.certifier())
    with_it = library.Cert.from_bytes(_with(bytes(certificate), bytes(revocation)))
    with pytest.raises(ValueError, match="the certificate was revoked"):
        Pgp(recipients={B: with_it})


def _with(certificate: bytes, revocation: bytes) -> bytes:
    """Put a signature after the first packet, which is the key."""
    first, length = certificate[0], certificate[1]
    assert first & 0xC0 == 0xC0
    assert length < 192
    return certificate[: 2 + length] + revocation + certificate[2 + length :]


@pytest.mark.parametrize(
    "given", [{"key": "x"}, {"key": 1}, {"key": b"x", "password": 1}, {"recipients": {B: 1}}]
)
def test_a_wrong_type_is_a_type_error(given: Any) -> None:
    with pytest.raises(TypeError):
        Pgp(**given)


def test_an_email_to_somebody_without_a_certificate_is_refused_where_it_is_made() -> None:
    pgp = Pgp(recipients={B: pgp_certificate(B)})
    with pytest.raises(UnprotectableError, match=f"there is no certificate of {C}"):
        SendMail(**PLAIN, bcc=C, protect=pgp)


def test_it_shows_no_key_and_is_not_pickled() -> None:
    pgp = Pgp(key=pgp_key(A), recipients={B: pgp_certificate(B)})

    assert repr(pgp) == "Pgp(key=***, recipients=<1>)"
    assert copy.deepcopy(pgp) is pgp
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="never pickled"):
            pickle.dumps(pgp, protocol)


SECRET = "U0VDUkVUX0tFWV9NQVRFUklBTA"


@pytest.mark.parametrize(
    "given",
    [
        {"key": SECRET},
        {"key": SECRET.encode()},
        {"key": [SECRET]},
        {"key": f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{SECRET}\n".encode()},
        {"key": b"x", "password": SECRET},
        {"key": b"x", "password": SECRET.encode()},
        {"recipients": {B: SECRET.encode()}},
        {"recipients": {"no address": SECRET.encode()}},
        {"recipients": [SECRET]},
    ],
)
def test_no_error_shows_a_key_or_password_not_even_by_a_frame_s_variables(given: Any) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        Pgp(**given)
    assert SECRET not in shown_by(caught.value)


def test_without_the_library_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pysequoia", None)
    with pytest.raises(ImportError) as caught:
        Pgp(key=b"x")
    assert str(caught.value) == (
        "PGP needs the pysequoia library, 0.1.35 or newer: pip install 'pykka-smtp[pgp]'"
    )


def test_who_signs_by_another_s_key_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    pgp = Pgp(key=pgp_key(A))
    with caplog.at_level(logging.WARNING, "pykka_smtp"):
        for sender in ("pgp@b.test", "pgp@b.test", A):
            pgp.mails(SendMail(sender=sender, recipients=B))

    [record] = caplog.records
    assert record.getMessage() == (
        "pgp: emails from pgp@b.test are signed by the key of a@b.test, and their readers will be"
        " warned"
    )

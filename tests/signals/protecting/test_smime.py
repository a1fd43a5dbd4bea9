"""`Smime`: openssl verifies and decrypts what it has made; what is not fit for it is refused."""

import copy
import datetime as dt
import email
import email.policy
import logging
import pickle
import sys
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers.effort import IS_THOROUGH, times
from servers.frames import shown_by
from servers.people import (
    DAY,
    A,
    B,
    C,
    D,
    decrypted_by_openssl,
    ec_key,
    issued,
    key_pem,
    person,
    readers_by_openssl,
    rsa_key,
    verified_by_openssl,
)
from servers.require import require_module

from pykka_smtp import Attachment, Dsn, SendMail, Smime, UnprotectableError

require_module("cryptography")

PLAIN: dict[str, Any] = {"sender": A, "recipients": B}


def octets(protection: Any, **given: Any) -> bytes:
    [made] = protection.mails(SendMail(**PLAIN, **given))
    data: bytes = made.as_bytes()
    return data


def signing(**more: Any) -> Smime:
    return Smime(certificate=person(A).certificate, key=person(A).key, **more)


def message() -> EmailMessage:
    made = EmailMessage()
    made["From"], made["Subject"] = A, "Gr\u00fc\u00dfe"
    made.set_content("Gr\u00fc\u00dfe  \n", cte="8bit")
    made.add_attachment(b"\0\xff" * 300, "application", "x", filename="x.bin")
    return made


KINDS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "text": lambda _: {"body": "Hello\n.\n"},
    "nothing": lambda _: {"body": ""},
    "spaces": lambda _: {"body": "at the end \nFrom the start\n\t\n"},
    "beyond ASCII": lambda _: {"body": "Gr\u00fc\u00dfe\n", "subject": "Gr\u00fc\u00dfe"},
    "long line": lambda _: {"body": "x" * 3000},
    "parts": lambda _: {
        "body": "text \n",
        "html": '<p>\u20ac  \n<img src="cid:logo"></p>',
        "inline": {"logo": Attachment(b"x" * 99, name="x.png")},
        "attachments": [Attachment(b"y" * 5000, name="y.bin")],
    },
    "large": lambda folder: {"attachments": [_written(folder / "z.bin", b"z" * 2_000_000)]},
    "bytes": lambda _: {"message": b"From: a@b.test\nSubject: x\n\nbody"},
    "object": lambda _: {"message": message()},
    "path": lambda folder: {"message": _written(folder / "m.eml", b"From: a@b.test\n\nbody\n")},
}


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_openssl_finds_the_signature_of_any_email_good(kind: str, tmp_path: Path) -> None:
    data = octets(signing(), **KINDS[kind](tmp_path))

    assert data.isascii()
    content = verified_by_openssl(data, person(A))
    assert content is not None
    assert content in data
    parsed = email.message_from_bytes(data, policy=email.policy.default)
    assert parsed.get_content_type() == "multipart/signed"
    assert parsed.get_param("micalg") == "sha-256"
    assert parsed.get_param("protocol") == "application/pkcs7-signature"
    assert [part.get_content_type() for part in parsed.iter_parts()][1:] == [
        "application/pkcs7-signature"
    ]
    assert not parsed.defects
    assert verified_by_openssl(data, person(B)) is None


def test_a_changed_octet_is_found() -> None:
    data = octets(signing(), body="Hello, you\n")

    assert verified_by_openssl(data, person(A)) is not None
    assert verified_by_openssl(data.replace(b"Hello", b"Hallo"), person(A)) is None


@pytest.mark.parametrize("kind", KINDS)
def test_each_recipient_and_the_sender_can_decrypt_and_nobody_else(
    kind: str, tmp_path: Path
) -> None:
    given = KINDS[kind](tmp_path)
    smime = signing(recipients={B: person(B).certificate, C: person(C).certificate})
    data = octets(smime, **given)

    assert b"smime-type=enveloped-data" in data
    assert b"\r\n\r\nbody" not in data  # four letters may stand in base64, too
    assert readers_by_openssl(data) == 2
    for reader in (person(A), person(B)):
        inner = decrypted_by_openssl(data, reader)
        assert inner is not None
        assert verified_by_openssl(inner, person(A)) is not None
    assert decrypted_by_openssl(data, person(C)) is None
    parsed = email.message_from_bytes(data, policy=email.policy.default)
    assert parsed.get_content_type() == "application/pkcs7-mime"
    assert not parsed.defects


def test_an_email_that_is_to_be_encrypted_is_not_only_signed_by_another() -> None:
    encrypting = Smime(recipients={B: person(B).certificate})
    mail = SendMail(sender=A, recipients=B, body="secret", protect=encrypting)

    with pytest.raises(UnprotectableError, match="has a protect= of its own"):
        signing().mails(mail)


def test_what_was_said_is_what_is_read() -> None:
    smime = signing(recipients={B: person(B).certificate})
    inner = decrypted_by_openssl(octets(smime, body="Gr\u00fc\u00dfe \n"), person(B))
    assert inner is not None
    content = verified_by_openssl(inner, person(A))
    assert content is not None

    parsed = email.message_from_bytes(content, policy=email.policy.default)
    assert parsed.get_content() == "Gr\u00fc\u00dfe \r\n"


def test_without_a_key_it_only_encrypts_and_without_the_sender() -> None:
    smime = Smime(recipients={B: person(B).certificate})
    data = octets(smime, body="only encrypted")

    assert (smime.signs, smime.encrypts) == (False, True)
    assert readers_by_openssl(data) == 1
    inner = decrypted_by_openssl(data, person(B))
    assert inner is not None
    assert inner.endswith(b"\r\n\r\nonly encrypted\r\n")
    not_for_me = signing(recipients={B: person(B).certificate}, for_sender=False)
    assert decrypted_by_openssl(octets(not_for_me), person(A)) is None
    for_me = Smime(certificate=person(A).certificate, recipients={B: person(B).certificate})
    assert not for_me.signs
    assert decrypted_by_openssl(octets(for_me), person(A)) is not None


def test_a_certificate_that_others_have_issued_brings_its_chain(tmp_path: Path) -> None:
    from cryptography import x509

    authority = [(x509.BasicConstraints(ca=True, path_length=None), True)]
    root = issued("root@x.test", more=authority)
    middle = issued("middle@x.test", by=root, more=authority)
    mine = issued(A, by=middle)
    path = tmp_path / "chain.pem"
    path.write_bytes(mine.pem + middle.pem)
    for kind in (
        {"certificate": path},
        {"certificate": mine.pem + middle.pem},
        {"certificate": mine.certificate, "chain": [middle.certificate]},
        {"certificate": mine.pem, "chain": middle.pem},
    ):
        data = octets(Smime(key=mine.key, **kind))
        assert verified_by_openssl(data, root) is not None
    assert verified_by_openssl(octets(Smime(key=mine.key, certificate=mine.pem)), root) is None


def test_keys_and_certificates_may_be_in_files_and_in_other_forms(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding

    key, encrypted = tmp_path / "key.pem", tmp_path / "encrypted.pem"
    key.write_bytes(person(A).key_pem)
    encrypted.write_bytes(key_pem(person(A).key, b"a password"))
    der = tmp_path / "a.cer"
    der.write_bytes(person(A).certificate.public_bytes(Encoding.DER))
    for kind in (
        {"certificate": der, "key": key},
        {"certificate": der.read_bytes(), "key": key.read_bytes()},
        {"certificate": der, "key": encrypted, "password": "a password"},
        {"certificate": der, "key": encrypted.read_bytes(), "password": b"a password"},
    ):
        assert verified_by_openssl(octets(Smime(**kind)), person(A)) is not None


def test_an_elliptic_key_signs_and_is_not_encrypted_for() -> None:
    elliptic = issued(A, ec_key())
    smime = Smime(certificate=elliptic.certificate, key=elliptic.key)

    assert verified_by_openssl(octets(smime), elliptic) is not None
    with pytest.raises(ValueError, match=r"^recipients\['bea@d.test'\]: only .* an RSA key"):
        Smime(recipients={B: issued(B, ec_key()).certificate})


def test_addresses_are_compared_whatever_their_form() -> None:
    beer = issued("bea@xn--bcher-kva.test", rsa_key(B))
    smime = Smime(recipients={"Bea@B\u00fccher.test": beer.certificate})
    mail = SendMail(sender=A, recipients="BEA@b\u00fccher.TEST", protect=smime)

    assert decrypted_by_openssl(smime.mails(mail)[0].as_bytes(), beer) is not None


texts_of_any_kind = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@settings(
    max_examples=times(20, thoroughly=2_000),
    suppress_health_check=[HealthCheck.too_slow],
    deadline=None,
)
@given(texts_of_any_kind, st.none() | texts_of_any_kind, st.lists(st.binary(max_size=99)))
def random_mail_is_read(body: str, html: str | None, files: list[bytes]) -> None:
    attachments = [Attachment(data, name="x.bin") for data in files[:3]]
    mail = SendMail(**PLAIN, body=body, html=html, attachments=attachments)
    [made] = signing(recipients={B: person(B).certificate}).mails(mail)
    inner = decrypted_by_openssl(made.as_bytes(), person(B))
    assert inner is not None
    content = verified_by_openssl(inner, person(A))
    assert content is not None
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    found = [part.get_payload(decode=True) for part in parsed.walk() if part.get_filename()]
    assert found == files[:3]
    text = parsed.get_body(("plain",))
    said = "" if text is None else text.get_content()
    assert said.split() == body.encode("utf-8", "replace").decode().split()


@pytest.mark.timeout(1500 if IS_THOROUGH else 60)
def test_random_mails_are_read_as_they_were_written() -> None:
    random_mail_is_read()


# What is refused


def usage(**given: bool) -> Any:
    from cryptography import x509

    names = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{name: given.get(name, False) for name in names}), True


def date(after: dt.timedelta) -> str:
    return f"{dt.datetime.now(dt.UTC) + after:%Y-%m-%d}"


def for_servers() -> Any:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    return x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False


REFUSED: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "nothing": (dict, "Smime: needs certificate and key to sign, or recipients to encrypt"),
    "a certificate alone": (
        lambda: {"certificate": person(A).pem},
        "Smime: needs certificate and key to sign, or recipients to encrypt",
    ),
    "a key alone": (lambda: {"key": person(A).key}, "key: needs certificate=, too"),
    "another key": (
        lambda: {"certificate": person(A).pem, "key": person(B).key},
        "key: is not the key of the certificate",
    ),
    "a key for a certificate": (
        lambda: {"certificate": person(A).key_pem, "key": person(A).key},
        "certificate: needs a certificate, which has a line -----BEGIN CERTIFICATE-----",
    ),
    "no certificate": (
        lambda: {"certificate": b"garbage", "key": person(A).key},
        "certificate: the certificate can't be read",
    ),
    "an expired one": (
        lambda: {"certificate": issued(A, begins=-3 * DAY, ends=-DAY).pem, "key": rsa_key(A)},
        f"certificate: it expired on {date(-DAY)}",
    ),
    "one of tomorrow": (
        lambda: {"recipients": {B: issued(B, begins=DAY, ends=2 * DAY).pem}},
        f"recipients['{B}']: the certificate is valid from {date(DAY)} on only",
    ),
    "another's certificate": (
        lambda: {"recipients": {B: person(C).pem}},
        f"recipients['{B}']: the certificate is for {C}",
    ),
    "a short key": (
        lambda: {"recipients": {B: issued(B, rsa_key("short", 1024)).pem}},
        f"recipients['{B}']: RSA needs 2048 bits, not 1024",
    ),
    "for servers": (
        lambda: {"recipients": {B: issued(B, more=[for_servers()]).pem}},
        f"recipients['{B}']: the certificate is not for emails",
    ),
    "for signing": (
        lambda: {"recipients": {B: issued(B, more=[usage(digital_signature=True)]).pem}},
        f"recipients['{B}']: the certificate is not for encryption",
    ),
    "for encryption": (
        lambda: {
            "certificate": issued(A, more=[usage(key_encipherment=True)]).pem,
            "key": rsa_key(A),
        },
        "certificate: the certificate is not for signing",
    ),
    "nobody": (lambda: {"recipients": {}}, "recipients: is empty; leave it out to sign only"),
    "a password too many": (
        lambda: {"certificate": person(A).pem, "key": person(A).key_pem, "password": "x"},
        "key: the private key is not encrypted; leave out the password",
    ),
    "a password too few": (
        lambda: {"certificate": person(A).pem, "key": key_pem(person(A).key, b"x")},
        "key: the private key is encrypted; give its password",
    ),
    "a wrong password": (
        lambda: {
            "certificate": person(A).pem,
            "key": key_pem(person(A).key, b"x"),
            "password": "wrong",
        },
        "key: the private key can't be read; is the password right?",
    ),
    "a password alone": (
        lambda: {"recipients": {B: person(B).pem}, "password": "x"},
        "password: there is no key that it decrypts",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_fit_is_refused_in_one_line(name: str) -> None:
    made, text = REFUSED[name]
    with pytest.raises(ValueError) as caught:
        Smime(**made())
    assert str(caught.value) == text


@pytest.mark.parametrize(
    "given",
    [
        {"certificate": 1, "key": b""},
        {"recipients": [B]},
        {"recipients": {B: None}},
        {"recipients": {1: b""}},
    ],
)
def test_a_wrong_type_is_a_type_error(given: Any) -> None:
    with pytest.raises(TypeError):
        Smime(**given)


def test_an_address_of_the_subject_counts_and_a_certificate_of_nobody_is_for_all() -> None:
    Smime(recipients={B: issued(B, in_subject=True).pem, C: issued(None).pem})
    with pytest.raises(ValueError, match="the certificate is for"):
        Smime(recipients={C: issued(B, in_subject=True).pem})


def test_an_email_to_somebody_without_a_certificate_is_refused_where_it_is_made() -> None:
    smime = Smime(recipients={B: person(B).pem, C: person(C).pem})
    for kind in ({"recipients": [B, D]}, {"cc": D}, {"bcc": [C, D]}):
        with pytest.raises(UnprotectableError, match=f"there is no certificate of {D}"):
            SendMail(**{**PLAIN, **kind}, protect=smime)
    SendMail(**{**PLAIN, "cc": C}, protect=smime)
    with pytest.raises(TypeError, match=r"^protect: needs Smime\(...\) or Pgp\(...\), not bytes"):
        SendMail(**PLAIN, protect=person(A).key_pem)  # type: ignore[arg-type]


def test_a_certificate_that_expires_meanwhile_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from pykka_smtp.signals.protecting import certificates

    both = signing(recipients={B: person(B).certificate})
    mail = SendMail(**PLAIN, protect=both)
    encrypting = Smime(recipients={B: person(B).certificate})

    class Later(dt.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return dt.datetime.now(tz) + 2 * DAY

    later = type("later", (), {"datetime": Later, "UTC": dt.UTC})
    monkeypatch.setattr(certificates, "dt", later)
    with pytest.raises(UnprotectableError, match=r"^the sender's certificate expired on"):
        both.mails(mail)
    with pytest.raises(UnprotectableError, match=f"^the certificate of {B} expired on"):
        SendMail(**PLAIN, protect=encrypting)


UNFIT: dict[str, tuple[Callable[[Path], dict[str, Any]], str]] = {
    "8 bits": (lambda _: {"message": b"From: a\n\n\xff"}, "only 7 bits can be signed"),
    "a long line": (lambda _: {"message": b"From: a\n\n" + b"x" * 999}, "more than 998 octets"),
    "DKIM": (lambda _: {"message": b"DKIM-Signature: v=1\n\nx"}, "a DKIM signature already"),
    "a folder": (lambda folder: {"message": folder}, "is no regular file"),
    "large": (
        lambda folder: {"attachments": [_sparse(folder / "large", 25_000_000)]},
        "more than 33554432 octets",
    ),
    "large path": (
        lambda folder: {"message": _sparse(folder / "large", 34_000_000)},
        "more than 33554432 octets",
    ),
}


def _sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


@pytest.mark.parametrize("name", UNFIT)
def test_an_email_that_cannot_be_signed_says_why(name: str, tmp_path: Path) -> None:
    given, text = UNFIT[name]
    with pytest.raises((UnprotectableError, IsADirectoryError)) as caught:
        octets(signing(), **given(tmp_path))
    assert text in str(caught.value) or isinstance(caught.value, IsADirectoryError)


def test_an_open_file_is_refused(tmp_path: Path) -> None:
    path = _written(tmp_path / "m.eml", b"From: a\n\nx")
    with path.open("rb") as file, pytest.raises(UnprotectableError, match="is an open file"):
        octets(signing(), message=file)


def test_eight_bits_can_be_encrypted() -> None:
    smime = Smime(recipients={B: person(B).certificate})
    inner = decrypted_by_openssl(octets(smime, message=b"From: a\n\n\xff\n"), person(B))

    assert inner is not None
    assert inner.endswith(b"\r\n\r\n\xff\r\n")


# Emails for blind recipients


def test_each_blind_recipient_gets_an_email_that_shows_no_other() -> None:
    people = {address: person(address).certificate for address in (B, C, D)}
    smime = signing(recipients=people)
    mail = SendMail(**PLAIN, bcc=[C, D], body="x", context={"n": 1}, protect=smime)
    made = smime.mails(mail)

    assert [each.recipients for each in made] == [(B,), (C,), (D,)]
    assert made[0].id == mail.id
    assert len({each.id for each in made}) == 3
    assert {each.message_id for each in made} == {mail.message_id}
    assert {each.context["n"] for each in made} == {1}
    for each, reader in zip(made, (B, C, D), strict=True):
        data = each.as_bytes()
        assert readers_by_openssl(data) == 2  # and the sender
        readers = [one for one in (B, C, D) if decrypted_by_openssl(data, person(one)) is not None]
        assert readers == [reader]
        assert C.encode() not in data
        assert D.encode() not in data


def test_what_is_asked_of_the_delivery_goes_with_each_for_its_own_recipients() -> None:
    people = {address: person(address).certificate for address in (B, C)}
    dsn = Dsn(envid="x", orcpt={B: "old@d.test", C: "older@d.test"})
    mail = SendMail(**PLAIN, bcc=C, dsn=dsn, require_tls=True)
    first, second = Smime(recipients=people).mails(mail)

    assert first.dsn.for_rcpt(B) == ("ORCPT=rfc822;old@d.test",)
    assert second.dsn.for_rcpt(C) == ("ORCPT=rfc822;older@d.test",)
    assert first.dsn.for_rcpt(C) == second.dsn.for_rcpt(B) == ()
    assert first.dsn.envid == second.dsn.envid == "x"
    assert second.require_tls


def test_an_email_that_is_only_signed_stays_one() -> None:
    [made] = signing().mails(SendMail(**PLAIN, bcc=[C, D]))

    assert made.recipients == (B, C, D)


def test_a_recipient_who_is_visible_as_well_is_not_blind() -> None:
    people = {address: person(address).certificate for address in (B, C)}
    [made] = signing(recipients=people).mails(SendMail(**PLAIN, cc=C, bcc=[B, C]))

    assert made.recipients == (B, C)


# Keys stay hidden


def test_it_shows_no_key_and_is_not_pickled() -> None:
    smime = signing(recipients={B: person(B).certificate})

    assert repr(smime) == "Smime(key=***, recipients=<1>)"
    assert copy.copy(smime) is smime
    assert copy.deepcopy(smime) is smime
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="never pickled"):
            pickle.dumps(smime, protocol)
    assert "Smime" not in repr(SendMail(**PLAIN, protect=smime))
    assert "PrivateKey object" not in repr([getattr(smime, name) for name in smime.__slots__])


SECRET = "U0VDUkVUX0tFWV9NQVRFUklBTA"


@pytest.mark.parametrize(
    "given",
    [
        {"key": f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n".encode()},
        {"key": SECRET},
        {"key": [SECRET]},
        {"key": b"-----BEGIN PRIVATE KEY-----", "password": SECRET},
        {"key": b"-----BEGIN PRIVATE KEY-----", "password": [SECRET]},
        {"password": SECRET},
        {"key": b"-----BEGIN PRIVATE KEY-----", "password": f"\ud800{SECRET}"},
    ],
    ids=["broken", "str", "list", "password", "wrong password", "password alone", "surrogate"],
)
def test_no_error_shows_a_key_or_password_not_even_by_a_frame_s_variables(given: Any) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        Smime(certificate=person(A).certificate, **given)
    assert SECRET not in shown_by(caught.value)


KEY = f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n".encode()


@pytest.mark.parametrize(
    "given",
    [
        {"certificate": KEY, "key": b"x"},
        {"certificate": person(A).pem + KEY, "key": person(B).key},
        {"certificate": person(A).certificate, "key": person(A).key, "chain": KEY},
        {"certificate": person(A).certificate, "key": person(A).key, "chain": [KEY]},
        {"recipients": {B: KEY}},
        {"recipients": {C: person(B).pem + KEY}},
        {"recipients": {"no address": KEY}},
        {"recipients": [KEY]},
    ],
)
def test_a_key_within_a_certificate_s_file_is_not_shown_by_an_error(given: Any) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        Smime(**given)
    assert SECRET not in shown_by(caught.value)


def test_without_the_library_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError) as caught:
        Smime(recipients={B: b""})
    assert str(caught.value) == (
        "S/MIME needs the cryptography library: pip install 'pykka-smtp[smime]'"
    )


def test_who_signs_by_another_s_certificate_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    smime = signing()
    with caplog.at_level(logging.WARNING, "pykka_smtp"):
        for sender in ("other@b.test", "other@b.test", A, A.upper()):
            smime.mails(SendMail(sender=sender, recipients=B))

    [record] = caplog.records
    assert record.getMessage() == (
        "smime: emails from other@b.test are signed by the key of a@b.test, and their readers will"
        " be warned"
    )


def test_two_mails_are_equal_if_the_same_protects_them() -> None:
    smime = signing()
    assert SendMail(**PLAIN, protect=smime) == SendMail(**PLAIN, protect=smime)
    assert SendMail(**PLAIN, protect=smime) != SendMail(**PLAIN)
    assert SendMail(**PLAIN, protect=()) != SendMail(**PLAIN)

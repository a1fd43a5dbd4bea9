"""`Dkim`: keys that sign, and keys that are refused; signatures that others find good."""

import copy
import email.policy
import logging
import pickle
import sys
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers.effort import IS_THOROUGH, times
from servers.frames import shown_by
from servers.random_mails import texts, trees
from servers.require import require_module
from servers.signers import (
    DOMAIN,
    by_dkimpy,
    by_ed25519,
    by_mailauth,
    by_rsa,
    ed25519_key,
    pem_of,
    records,
    rsa_key,
)

from pykka_smtp import Attachment, Dkim, Mailer, SendMail, SmtpActor, Unsubscribe
from pykka_smtp.signals.signing.dkim import signed, signers_of
from pykka_smtp.smtp.mail.content import Content

require_module("cryptography")

PLAIN: dict[str, Any] = {"sender": f"a@{DOMAIN}", "recipients": "c@d.test"}


def data_of(mail: SendMail, *signers: Dkim) -> bytes:
    """Return what goes out to any server."""
    content: Content | None = mail.content
    assert content is not None
    made = signed(content, signers or (by_rsa(), by_ed25519()))
    [eight, seven] = [made.render(eight_bit=eight_bit).data for eight_bit in (True, False)]
    assert eight == seven
    assert eight is not None
    return eight


# What others find


MAILS = [
    SendMail(**PLAIN, body="Hello"),
    SendMail(**PLAIN, body=""),
    SendMail(**PLAIN, body="Gr\u00fc\u00dfe\n.\n..dots \t \n\n\n", subject="Gr\u00fc\u00dfe " * 20),
    SendMail(**PLAIN, body=[f"{n} spaces  and\ttabs \t" for n in range(3000)]),
    SendMail(**PLAIN, html="<p>\u20ac</p>", attachments=[Attachment(b"x" * 5000, name="x.bin")]),
    SendMail(
        **PLAIN,
        body="x",
        unsubscribe=Unsubscribe(url="https://b.test/u/1", mailto="u@b.test"),
        headers={"X-Long": "word " * 100, "Comments": "not signed"},
    ),
    SendMail(sender="\u00fc@b.test", recipients="c@d.test", body="SMTPUTF8"),
    SendMail(**PLAIN, message=b"From:a@b.test\nTo:  x\nSubject: a\n\t b\n \n\nbody  \n\n"),
    SendMail(**PLAIN, message=b"From: a@b.test\r\nSubject: no body\r\n"),
    SendMail(**PLAIN, message=b"from: a@b.test\rSubject: CR\r\rx\r"),
    SendMail(**PLAIN, message=b"From: a@b.test\n\n\xff\xfe 8 bits \xc3\xbc"),
]


@pytest.mark.parametrize("mail", MAILS, ids=range(len(MAILS)))
def test_dkimpy_finds_both_signatures_good(mail: SendMail) -> None:
    assert by_dkimpy(data_of(mail)) == [True, True]


def test_mailauth_finds_all_of_them_good_and_none_of_those_that_were_changed() -> None:
    # Where no empty line ends the header, it sees none.
    mails = [data for data in map(data_of, MAILS) if b"\r\n\r\n" in data]
    assert len(mails) == len(MAILS) - 1
    changed = [data.replace(b"From:", b"From: x", 1) for data in mails if b"\nFrom:" in data]
    verdicts = by_mailauth([*mails, *changed])

    assert verdicts[: len(mails)] == [["pass", "pass"]] * len(mails)
    assert len(changed) > 5
    assert verdicts[len(mails) :] == [["fail", "fail"]] * len(changed)


def test_a_changed_octet_is_found_wherever_it_is() -> None:
    data = data_of(SendMail(**PLAIN, subject="Hi", body="Hello, you\n"), by_ed25519())
    signed_names = (b"From:", b"To:", b"Subject:", b"Date:", b"Message-ID:", b"\r\n\r\n")
    assert all(name in data for name in signed_names)
    start = data.index(b"\nFrom:") + 1

    for position in range(start, len(data)):
        if data[position] in b" \r\n":
            continue
        changed = data[:position] + bytes([data[position] ^ 2]) + data[position + 1 :]
        assert by_dkimpy(changed) == [False], data[position : position + 20]


def test_a_second_subject_breaks_the_signature() -> None:
    data = data_of(SendMail(**PLAIN, subject="Hi"), by_ed25519())
    for more in (b"Subject: Another\r\n", b"From: other@b.test\r\n", b"To: other@b.test\r\n"):
        assert by_dkimpy(data.replace(b"\nFrom:", b"\n" + more + b"From:", 1)) == [False]


@st.composite
def mails(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.booleans()):
        tree: Message[Any, Any] = draw(trees())
        for name in ("From", "Subject"):
            del tree[name]
        tree.policy = email.policy.compat32
        tree["From"] = f"a@{DOMAIN}"
        tree["Subject"] = "=?utf-8?q?" + "x_" * draw(st.integers(0, 40)) + "?="
        return {"message": tree}
    text = draw(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
    given: dict[str, Any] = {"body": text, "subject": draw(texts)}
    if draw(st.booleans()):
        given["html"] = f"<p>{draw(texts)}</p>"
    if draw(st.booleans()):
        given["attachments"] = [Attachment(draw(st.binary(max_size=200)), name="x.bin")]
    if draw(st.booleans()):
        given["headers"] = {"X-More": draw(texts)}
    return given


@settings(
    max_examples=times(30, thoroughly=10_000),
    suppress_health_check=[HealthCheck.too_slow],
    deadline=None,
)
@given(mails())
def random_mail_verifies(given: dict[str, Any]) -> None:
    signers = (by_rsa(), by_ed25519())
    data = data_of(SendMail(**PLAIN, **given), *signers)

    assert by_dkimpy(data) == [True, True]
    last = data.rstrip()
    changed = last[:-1] + bytes([last[-1] ^ 1]) + data[len(last) :]
    if not last.endswith(b"--"):  # the epilogue is not empty either
        assert by_dkimpy(changed, records(*signers)) != [True, True]


@pytest.mark.timeout(1500 if IS_THOROUGH else 60)
def test_random_mails_verify() -> None:
    require_module("dkim")
    random_mail_verifies()


# Keys


def test_a_key_is_a_path_or_pem_bytes_or_an_object(tmp_path: Path) -> None:
    for key in (rsa_key(), ed25519_key()):
        path = tmp_path / "key.pem"
        path.write_bytes(pem_of(key))
        made = [Dkim(DOMAIN, "x", key=each) for each in (path, pem_of(key), key)]

        assert len({dkim.record for dkim in made}) == 1
        mail = SendMail(**PLAIN)
        for dkim in made:
            assert by_dkimpy(data_of(mail, dkim), records(dkim)) == [True]


def other_keys() -> dict[str, Any]:
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
    public = rsa_key().public_key()
    return {
        "1024": short,
        "1024 in PEM": pem_of(short),
        "EC": ec.generate_private_key(ec.SECP256R1()),
        "Ed448": ed448.Ed448PrivateKey.generate(),
        "public": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "public object": public,
        "encrypted": rsa_key().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
        ),
        "DER": rsa_key().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        "cut off": pem_of(rsa_key())[:800],
        "str": pem_of(rsa_key()).decode(),
        "None": None,
    }


REFUSED = {
    "1024": "key: RSA needs 2048 to 8192 bits, not 1024 (RFC 8301)",
    "1024 in PEM": "key: RSA needs 2048 to 8192 bits, not 1024 (RFC 8301)",
    "EC": "key: DKIM knows RSA and Ed25519, not EC",
    "Ed448": "key: DKIM knows RSA and Ed25519, not Ed448",
    "public": "key: needs the private key, not the public one or a certificate",
    "public object": "key: needs a path, PEM bytes or a private key, not RSAPublicKey",
    "encrypted": "key: the private key is encrypted; give it without a password",
    "DER": "key: needs a private key in PEM form, which has a line -----BEGIN PRIVATE KEY-----",
    "cut off": "key: the private key can't be read (ValueError)",
    "str": "key: needs a path, PEM bytes or a key, not str; write Path(...)",
    "None": "key: needs a path, PEM bytes or a private key, not NoneType",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_key_that_is_not_fit_is_refused_in_one_line(name: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        Dkim(DOMAIN, "x", key=other_keys()[name])
    assert str(caught.value) == REFUSED[name]


def test_a_file_that_is_not_there_is_the_system_s_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Dkim(DOMAIN, "x", key=tmp_path / "none.pem")


@pytest.mark.parametrize("domain", ["", "[192.0.2.1]", "b..test", "a@b.test", "b.test.", "b test"])
def test_what_is_no_domain_does_not_sign(domain: str) -> None:
    with pytest.raises(ValueError, match=r"^domain: "):
        Dkim(domain, "x", key=rsa_key())


@pytest.mark.parametrize("selector", ["", "a b", "a;b", "-a", "a-", "a..b", "\u00fc", "x" * 64])
def test_what_is_no_selector_is_refused(selector: str) -> None:
    with pytest.raises(ValueError, match=r"^selector: "):
        Dkim(DOMAIN, selector, key=rsa_key())


def test_a_domain_of_any_script_signs_with_a_labels() -> None:
    dkim = Dkim("B\u00dccher.example", "x.Y-1", key=ed25519_key())

    assert dkim.domain == "xn--bcher-kva.example"
    assert dkim.record_name == "x.Y-1._domainkey.xn--bcher-kva.example"


def test_a_signature_says_when_it_was_made_and_when_it_expires() -> None:
    dkim = Dkim(DOMAIN, "x", key=ed25519_key(), expires_after=600)
    front = data_of(SendMail(**PLAIN), dkim).partition(b"b=")[0].decode()
    tags = dict(word.rstrip(";").split("=") for word in front.split()[1:] if word[1] == "=")

    assert int(tags["x"]) - int(tags["t"]) == 600
    for wrong in (0, -1, 10**9, True, 1.5):
        with pytest.raises((ValueError, TypeError), match=r"^expires_after: "):
            Dkim(DOMAIN, "x", key=ed25519_key(), expires_after=wrong)  # type: ignore[arg-type]


def test_rsa_signs_first_however_they_are_given() -> None:
    for given_order in ([by_ed25519(), by_rsa()], (by_rsa(), by_ed25519())):
        assert signers_of(given_order) == (by_rsa(), by_ed25519())
    assert signers_of(by_rsa()) == (by_rsa(),)
    assert signers_of(()) == ()


@pytest.mark.parametrize("wrong", ["x", b"x", 1, [1], [None]])
def test_what_is_no_dkim_does_not_sign(wrong: Any) -> None:
    for make in (
        lambda: SendMail(**PLAIN, dkim=wrong),
        lambda: SmtpActor.start(dkim=wrong),
        lambda: Mailer.start(dkim=wrong),
    ):
        with pytest.raises(TypeError, match=r"^dkim: needs Dkim\(domain, selector, key="):
            make()


def test_two_with_one_record_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rsa\._domainkey\.b\.test is there twice"):
        signers_of([by_rsa(), Dkim(DOMAIN, "rsa", key=ed25519_key())])
    with pytest.raises(ValueError, match="more than 10"):
        signers_of([Dkim(DOMAIN, f"s{n}", key=ed25519_key()) for n in range(11)])


# Secrets


SECRET = "U0VDUkVUX0tFWV9NQVRFUklBTA"
"""Where a key has its octets."""


@pytest.mark.parametrize(
    "key",
    [
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n".encode(),
        f"-----BEGIN PUBLIC KEY-----\n{SECRET}\n-----END PUBLIC KEY-----\n".encode(),
        SECRET.encode(),
        SECRET,
        bytearray(SECRET.encode()),
        [SECRET],
    ],
    ids=["broken", "public", "no PEM", "str", "bytearray", "list"],
)
def test_no_error_shows_the_key_not_even_by_a_frame_s_variables(key: Any, tmp_path: Path) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        Dkim(DOMAIN, "x", key=key)
    assert SECRET not in shown_by(caught.value)
    with pytest.raises((ValueError, TypeError)) as caught:
        Dkim(DOMAIN, "no selector", key=key)
    assert SECRET not in shown_by(caught.value)
    for start in (SmtpActor.start, Mailer.start):
        with pytest.raises(TypeError) as caught:
            start(dkim=key)
        assert SECRET not in shown_by(caught.value)
    if isinstance(key, bytes):
        path = tmp_path / "key.pem"
        path.write_bytes(key)
        with pytest.raises(ValueError, match=r"^key: ") as caught:
            Dkim(DOMAIN, "x", key=path)
        assert SECRET not in shown_by(caught.value)


def test_a_dkim_shows_no_key_and_is_not_pickled() -> None:
    dkim = by_rsa()

    assert repr(dkim) == "Dkim('b.test', 'rsa', key=***)"
    assert str(dkim) == repr(dkim)
    assert "PrivateKey object" not in repr([getattr(dkim, name) for name in dkim.__slots__])
    assert copy.copy(dkim) is dkim
    assert copy.deepcopy(dkim) is dkim
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="never pickled"):
            pickle.dumps(dkim, protocol)
    assert "key" not in repr(SendMail(**PLAIN, dkim=dkim))


def test_two_mails_are_equal_if_the_same_signs_them() -> None:
    assert SendMail(**PLAIN, dkim=by_rsa()) == SendMail(**PLAIN, dkim=[by_rsa()])
    assert SendMail(**PLAIN, dkim=by_rsa()) != SendMail(**PLAIN)
    assert SendMail(**PLAIN, dkim=()) != SendMail(**PLAIN)


def test_without_the_library_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(ImportError) as caught:
        Dkim(DOMAIN, "x", key=b"-----BEGIN PRIVATE KEY-----")
    assert str(caught.value) == (
        "DKIM needs the cryptography library: pip install 'pykka-smtp[dkim]'"
    )


# Alignment


def test_who_signs_for_another_domain_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    mail = SendMail(sender="a@unaligned.test", recipients="c@d.test")
    with caplog.at_level(logging.WARNING, "pykka_smtp"):
        data_of(mail)
        data_of(mail)

    [record] = caplog.records
    assert record.getMessage() == (
        "dkim: emails from unaligned.test are signed by b.test, b.test, which DMARC does not count"
        " for them"
    )


@pytest.mark.parametrize("author", ["a@b.test", "a@news.b.test", "a@B.TEST"])
def test_who_signs_for_its_own_domain_hears_nothing(
    author: str, caplog: pytest.LogCaptureFixture
) -> None:
    data_of(SendMail(sender=author, recipients="c@d.test"))

    assert caplog.records == []

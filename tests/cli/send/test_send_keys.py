"""``pykka-smtp send``: keys of no use are one clear line before anything is sent."""

import sys
from pathlib import Path
from typing import Any

import pytest
from servers.people import A, B, ec_key, issued, key_pem, person
from servers.require import require_module
from servers.sending import MAIL, complaints, dead_url, send

require_module("cryptography")

EMPTY = "the name of a key or certificate is empty"
PASSWORD = "hunter2-hunter2"
WRITTEN = ("--from", f"Me <{A}>", "--subject", "Hi", "--body", "x")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write keys and certificates of all kinds into the current folder."""
    monkeypatch.chdir(tmp_path)
    many = {
        "me.pem": person(A).pem,
        "me.key": person(A).key_pem,
        "locked.key": key_pem(person(A).key, PASSWORD.encode()),
        "you.pem": person(B).pem,
        "noname.pem": issued(None).pem,
        "ec.pem": issued(B, ec_key()).pem,
        "mail.eml": MAIL,
        "nothing/.hidden": person(B).pem,
        "nofrom.eml": b"To: x@y.test\n\nHello\n",
        "eight.eml": b"From: a@b.test\nContent-Transfer-Encoding: 8bit\n\nGr\xc3\xbc\xc3\x9fe\n",
    }
    for name, octets in many.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(octets)


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        *(
            (("--smime-cert", "me.pem", "--smime-key", "me.key", name, ""), 64, EMPTY)
            for name in ("--smime-cert", "--smime-key", "--smime-for", "--pgp-key", "--pgp-for")
        ),
        (("--dkim", "b.test", "s", ""), 64, EMPTY),
        (
            ("--smime-cert", "me.pem", "--smime-key", "me.key", "--smime-for", "nothing"),
            65,
            "--smime-for: the folder nothing has no files",
        ),
        (("--pgp-for", "nothing"), 65, "--pgp-for: the folder nothing has no files"),
        (("--smime-cert", "me.p12"), 65, "me.p12 is no PEM file; this makes one: openssl pkcs12 "),
        (("--smime-cert", "none"), 66, "cannot read none: No such file or directory"),
        (("--smime-cert", "."), 66, "cannot read .: Is a directory"),
        (("--smime-cert", "me.pem"), 65, "--smime-key: me.pem: needs the private key, not "),
        (("--smime-cert", "me.key"), 65, "--smime-cert: me.key: needs a certificate, which "),
        (("--smime-key", "me.key"), 64, "--smime-key needs --smime-cert, too"),
        (
            ("--smime-cert", "you.pem", "--smime-key", "me.key"),
            65,
            "--smime-key: me.key: is not the key of the certificate",
        ),
        (
            ("--smime-cert", "me.pem", "--smime-key", "locked.key"),
            65,
            "--smime-key: locked.key: the private key is encrypted; put its password into SMTP_S",
        ),
        (
            ("--smime-for", "noname.pem"),
            65,
            "--smime-for: noname.pem names no address; write ADDRESS=noname.pem",
        ),
        (
            ("--smime-for", "x@y.test=you.pem"),
            65,
            f"--smime-for: x@y.test: the certificate is for {B}",
        ),
        (
            ("--smime-for", "you.pem", "--smime-for", f"{B}=you.pem"),
            65,
            f"--smime-for: {B} is in you.pem, and in you.pem",
        ),
        (("--smime-for", "ec.pem"), 65, f"--smime-for: {B}: only a certificate with an RSA key"),
        (("--smime-for", "mail.eml"), 65, "--smime-for: mail.eml: the certificate can't be read"),
        (("--smime-for", "x@@y=you.pem"), 65, "--smime-for: "),
        (("--pgp-key", "me.key"), 65, "--pgp-key: me.key: can't be read; it needs a private key"),
        (("--pgp-for", "me.key"), 65, "--pgp-for: me.key: the certificate can't be read"),
        (
            ("--pgp-key", "me.key", "--smime-for", "you.pem"),
            64,
            "an email is for S/MIME or for PGP, not for both",
        ),
        (("--dkim", "b.test", "s", "none"), 66, "cannot read none: No such file or directory"),
        (("--dkim", "b.test", "s", "me.pem"), 65, "--dkim: me.pem: needs the private key, not "),
        (("--dkim", "b.test", "s", "locked.key"), 65, "--dkim: locked.key: the private key is enc"),
        (("--dkim", "b@test", "s", "me.key"), 65, "--dkim: domain: '@' may not stand in a domain"),
        (("--dkim", "b.test", "s t", "me.key"), 65, "--dkim: selector: needs letters, digits and "),
        (("--dkim", "b.test", "s", "me.key") * 2, 65, "--dkim: s._domainkey.b.test is there twice"),
        (("--dkim", "b.test", "s"), 64, "argument --dkim: expected 3 arguments"),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_key_that_is_of_no_use_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, complaint: str
) -> None:
    assert send("--url", dead_url(), f"--to={B}", *WRITTEN, *arguments) == status

    said = capsys.readouterr().err
    first = said.splitlines()[0]
    assert first.startswith(f"pykka-smtp send: {complaint}")
    assert status == 64 or said.count("\n") == 1


@pytest.mark.usefixtures("here")
def test_an_email_in_a_file_that_cannot_be_signed_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    smime = ("--smime-cert", "me.pem", "--smime-key", "me.key")
    cases: list[tuple[tuple[str, ...], str]] = [
        (("eight.eml", *smime), "cannot sign the email: "),
        (("nofrom.eml", "--dkim", "b.test", "s", "me.key"), "cannot sign the email: "),
        (
            ("mail.eml", "--together", "--smime-for", "you.pem"),
            "an encrypted email tells for whom else it is, also those whom its header does not",
        ),
    ]
    for arguments, expected in cases:
        assert send("--url", dead_url(), f"--to={B}", "--sender", A, *arguments) in {64, 65}
        assert complaints(capsys, PASSWORD)[-1].startswith(expected)


@pytest.mark.usefixtures("here")
def test_a_wrong_password_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(key: str) -> list[str]:
        smime = ("--smime-cert", "me.pem", "--smime-key", key)
        assert send("--url", dead_url(), f"--to={B}", *WRITTEN, *smime) == 65
        return complaints(capsys, PASSWORD)

    monkeypatch.setenv("SMTP_SMIME_PASSWORD", f"{PASSWORD}x")
    assert told("locked.key") == [
        "--smime-key: locked.key: the private key can't be read; is the password right?"
    ]
    assert told("me.key") == [
        "--smime-key: me.key: the private key is not encrypted; unset SMTP_SMIME_PASSWORD"
    ]


@pytest.mark.parametrize(
    ("module", "arguments", "advice"),
    [
        (
            "cryptography",
            ("--dkim", "b.test", "s", "me.key"),
            "DKIM needs the cryptography library",
        ),
        ("cryptography", ("--smime-for", "you.pem"), "S/MIME needs the cryptography library"),
        ("pysequoia", ("--pgp-for", "you.pem"), "PGP needs the pysequoia library"),
    ],
)
@pytest.mark.usefixtures("here")
def test_the_missing_library_is_told(
    module: str,
    arguments: tuple[str, ...],
    advice: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    missing: Any = None
    monkeypatch.setitem(sys.modules, module, missing)

    assert send("--url", dead_url(), f"--to={B}", *WRITTEN, *arguments) == 69
    [said] = complaints(capsys, PASSWORD)
    assert said.startswith(advice)
    assert "pip install 'pykka-smtp[" in said

"""``pykka-smtp send`` and ``merge`` sign and encrypt, as openssl, gpg and dkimpy find."""

from collections.abc import Callable
from pathlib import Path

import pytest
from servers.people import (
    A,
    B,
    C,
    D,
    decrypted_by_gpg,
    decrypted_by_openssl,
    gpg_home,
    issued,
    key_pem,
    made_by_gpg,
    parts_of,
    person,
    pgp_certificate,
    readers_by_openssl,
    rsa_key,
    secret_of,
    verified_by_gpg,
    verified_by_openssl,
)
from servers.python import python
from servers.require import require_module
from servers.scripted import ScriptedServer
from servers.sending import MAIL, complaints, dead_url, send, url_of
from servers.signers import by_dkimpy, ed25519_key, pem_of
from servers.signers import rsa_key as domain_key

require_module("cryptography")

PASSWORD = "hunter2-hunter2"
WRITTEN = ("--from", f"Me <{A}>", "--subject", "Hi", "--body", "Gr\u00fc\u00dfe")

Files = Callable[[str, bytes], str]


@pytest.fixture
def file(tmp_path: Path) -> Files:
    """Give what writes a file, and returns its name."""

    def write(name: str, octets: bytes) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(octets)
        return str(path)

    return write


@pytest.fixture
def smime(file: Files) -> tuple[str, ...]:
    """Return the arguments with which the sender signs."""
    cert, key = file("me.pem", person(A).pem), file("me.key", person(A).key_pem)
    return ("--smime-cert", cert, "--smime-key", key)


# DKIM


def test_domains_sign_whatever_is_sent(server: ScriptedServer, file: Files) -> None:
    rsa, ed = file("rsa.pem", pem_of(domain_key())), file("ed.pem", pem_of(ed25519_key()))
    dkim = ("--dkim", "b.test", "ed", ed, "--dkim", "b.test", "rsa", rsa)
    mail = file("mail.eml", MAIL.replace(b"me@example.com", A.encode()))

    assert send("--url", url_of(server), "--to", B, *dkim, *WRITTEN) == 0
    assert send("--url", url_of(server), "--to", B, *dkim, mail) == 0

    for received in server.mails:
        assert by_dkimpy(received.data) == [True, True]
        assert received.data.index(b"a=rsa-sha256") < received.data.index(b"a=ed25519-sha256")


def test_a_dry_run_counts_the_signature(
    file: Files, smime: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    def size(*arguments: str) -> int:
        given = ("--url", dead_url(), "--to", B, *arguments, *WRITTEN, "--dry-run")
        assert send(*given) == 0
        return int(capsys.readouterr().out.split(" of ")[1].split()[0])

    key = file("rsa.pem", pem_of(domain_key()))
    assert size() + 300 < size("--dkim", "b.test", "rsa", key)
    assert size() + 2000 < size(*smime)


def test_a_domain_that_is_not_the_sender_s_is_told_before(
    server: ScriptedServer, file: Files
) -> None:
    key = file("rsa.pem", pem_of(domain_key()))
    done = python(
        *("-m", "pykka_smtp", "send", "--url", url_of(server), "--to", B, "--from", "x@other.test"),
        *("--body", "x", "--quiet", "--dkim", "b.test", "rsa", key),
    )

    assert done.returncode == 0
    assert done.stderr == (
        "dkim: emails from other.test are signed by b.test, which DMARC does not count for them\n"
    )


# S/MIME


def test_a_person_signs_by_smime(server: ScriptedServer, smime: tuple[str, ...]) -> None:
    assert send("--url", url_of(server), "--to", B, *smime, *WRITTEN) == 0

    content = verified_by_openssl(server.mails[0].data, person(A))
    assert content is not None
    assert b"Gr=C3=BC=C3=9Fe" in content


def test_certificate_and_key_may_be_in_one_file(server: ScriptedServer, file: Files) -> None:
    both = file("both.pem", person(A).key_pem + person(A).pem)

    assert send("--url", url_of(server), "--to", B, "--smime-cert", both, *WRITTEN) == 0
    assert verified_by_openssl(server.mails[0].data, person(A)) is not None


def test_the_password_of_a_key_is_in_the_environment(
    server: ScriptedServer, file: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert = file("me.pem", person(A).pem)
    key = file("me.key", key_pem(person(A).key, PASSWORD.encode()))
    monkeypatch.setenv("SMTP_SMIME_PASSWORD", PASSWORD)

    arguments = ("--smime-cert", cert, "--smime-key", key, *WRITTEN)
    assert send("--url", url_of(server), "--to", B, *arguments) == 0
    assert verified_by_openssl(server.mails[0].data, person(A)) is not None


def test_each_recipient_gets_what_only_they_and_the_sender_can_read(
    server: ScriptedServer, file: Files, smime: tuple[str, ...]
) -> None:
    for address in (B, C):
        file(f"certs/{address}.pem", person(address).pem)
    folder = str(Path(file("certs/.hidden", b"")).parent)
    more = file("other.pem", issued(None, rsa_key("dan")).pem)
    to = [f"--to={address}" for address in (B, C, D)]

    arguments = (*smime, "--smime-for", folder, "--smime-for", f"{D}={more}", *WRITTEN)
    assert send("--url", url_of(server), *to, *arguments) == 0

    received = {mail.recipients: mail.data for mail in server.mails}
    assert set(received) == {(B,), (C,), (D,)}
    for (address,), data in received.items():
        assert b"Gr=C3=BC" not in data
        assert readers_by_openssl(data) == 2
        for other in (B, C):
            can_read = decrypted_by_openssl(data, person(other)) is not None
            assert can_read == (address == other)
    inner = decrypted_by_openssl(received[B,], person(A))
    assert inner is not None
    assert verified_by_openssl(inner, person(A)) is not None


def test_together_is_one_that_all_can_read(server: ScriptedServer, file: Files) -> None:
    certificates = [file(f"{address}.pem", person(address).pem) for address in (B, C)]
    given = [f"--smime-for={name}" for name in certificates]

    to = (f"--to={B}", f"--to={C}", "--together")
    assert send("--url", url_of(server), *to, *given, *WRITTEN) == 0

    [mail] = server.mails
    for address in (B, C):
        assert decrypted_by_openssl(mail.data, person(address)) is not None


def test_who_has_no_certificate_is_told_before_anything_is_sent(
    server: ScriptedServer, file: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate = file("b.pem", person(B).pem)
    to = [f"--to={address}" for address in (B, C, *(f"u{n}@x.test" for n in range(30)))]

    arguments = ("--smime-for", certificate, *WRITTEN)
    assert send("--url", url_of(server), *to, *arguments) == 65

    first, *_, more, last = complaints(capsys, PASSWORD)
    assert first == f"there is no certificate of {C} to encrypt it for"
    assert more == "11 more cannot be encrypted for"
    assert last == "nothing was sent"
    assert not server.sessions


# PGP


def test_a_person_signs_and_encrypts_by_pgp(server: ScriptedServer, file: Files) -> None:
    key = file("me.asc", secret_of(A))
    other = file("you.asc", bytes(pgp_certificate(B)))

    assert send("--url", url_of(server), "--to", B, "--pgp-key", key, *WRITTEN) == 0
    arguments = ("--pgp-key", key, "--pgp-for", other, *WRITTEN)
    assert send("--url", url_of(server), "--to", B, *arguments) == 0

    signed, encrypted = [mail.data for mail in server.mails]
    with gpg_home(secret_of(B), bytes(pgp_certificate(A))) as home:
        assert verified_by_gpg(signed, home)
        text, status = decrypted_by_gpg(encrypted, home)
    assert b"Gr=C3=BC=C3=9Fe" in text
    assert "[GNUPG:] GOODSIG" in status
    assert len(parts_of(encrypted)) == 2


def test_a_pgp_key_that_is_encrypted_needs_its_password(
    server: ScriptedServer,
    file: Files,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    key = file("me.asc", made_by_gpg(A, PASSWORD)[0])
    arguments = ("--url", url_of(server), "--to", B, "--pgp-key", key, *WRITTEN)

    assert send(*arguments) == 65
    assert complaints(capsys, PASSWORD) == [
        f"--pgp-key: {key}: the private key is encrypted; put its password into SMTP_PGP_PASSWORD"
    ]
    monkeypatch.setenv("SMTP_PGP_PASSWORD", f"{PASSWORD}x")
    assert send(*arguments) == 65
    assert complaints(capsys, PASSWORD) == [
        f"--pgp-key: {key}: the private key can't be decrypted; is the password right?"
    ]
    monkeypatch.setenv("SMTP_PGP_PASSWORD", PASSWORD)
    assert send(*arguments) == 0


# Merge


def test_a_merge_signs_and_encrypts_each_email(
    server: ScriptedServer, file: Files, smime: tuple[str, ...]
) -> None:
    rows = file("people.csv", f"email,name\n{B},Bea\n{C},Cid\n".encode())
    folder = Path(file("june/body.txt", b"Dear {{ name }}")).parent
    certificates = [file(f"{address}.pem", person(address).pem) for address in (B, C)]
    dkim = ("--dkim", "b.test", "rsa", file("rsa.pem", pem_of(domain_key())))

    status = send(
        *("--template", str(folder), "--rows", rows, "--from", A, "--url", url_of(server)),
        *("--journal", str(folder.parent / "j"), *dkim, *smime),
        *[f"--smime-for={name}" for name in certificates],
        command="merge",
    )

    assert status == 0
    received = {mail.recipients: mail.data for mail in server.mails}
    for address, text in ((B, b"Dear Bea"), (C, b"Dear Cid")):
        data = received[address,]
        assert by_dkimpy(data) == [True]
        inner = decrypted_by_openssl(data, person(address))
        assert inner is not None
        content = verified_by_openssl(inner, person(A))
        assert content is not None
        assert text in content


def test_a_merge_tells_the_row_without_a_certificate(
    server: ScriptedServer, file: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = file("people.csv", f"email\n{B}\n{C}\n".encode())
    folder = Path(file("june/body.txt", b"Hello")).parent
    certificate = file("b.pem", person(B).pem)

    status = send(
        *("--template", str(folder), "--rows", rows, "--from", A, "--url", url_of(server)),
        *("--journal", str(folder.parent / "j"), "--smime-for", certificate),
        command="merge",
    )

    assert status == 65
    assert complaints(capsys, PASSWORD) == [
        f"{rows}, row 3: there is no certificate of {C} to encrypt it for",
        "nothing was sent",
    ]
    assert not server.sessions

"""``pykka-smtp dkim-key`` and ``dkim-check``."""

import io
import os
import re
import stat
import sys
import time
from pathlib import Path

import pytest
from servers.require import require_module
from servers.signers import by_dkimpy, by_ed25519, by_rsa, pem_of, rsa_key

from pykka_smtp import Dkim, SendMail
from pykka_smtp.cli.main import main
from pykka_smtp.signals.signing.dkim import signed
from pykka_smtp.smtp.mail.dkim.record import zone_line

require_module("cryptography")

KEY = "-----BEGIN PRIVATE KEY-----\nMIIE" + "x" * 300

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mail_by(path: Path, *signers: Dkim) -> bytes:
    mail = SendMail(sender="a@b.test", recipients="c@d.test", body="hello", subject="Hi")
    assert mail.content is not None
    data = signed(mail.content, signers).data
    path.write_bytes(data)
    return data


# The key


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_a_new_key_signs_and_its_record_verifies(here: Path, capsys: Capture, kind: str) -> None:
    old = os.umask(0)
    try:
        assert main(["dkim-key", "B.test", "2026", "--type", kind]) == 0
    finally:
        os.umask(old)
    said = capsys.readouterr().out
    path = here / "B.test-2026.pem"

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert "PRIVATE" not in said
    assert "name   2026._domainkey.b.test\n" in said
    [value] = re.findall(r"^value  (.*)$", said, re.MULTILINE)
    data = mail_by(here / "mail.eml", Dkim("b.test", "2026", key=path))
    assert by_dkimpy(data, {"2026._domainkey.b.test": value}) == [True]
    zone = said.splitlines()[-1]
    assert "".join(re.findall(r'"([^"]*)"', zone)) == value


def test_no_key_is_overwritten(here: Path, capsys: Capture) -> None:
    path = here / "mine.pem"
    path.write_text("precious")

    assert main(["dkim-key", "b.test", "x", "--out", str(path)]) == 73
    assert "mine.pem is there already; give another --out" in capsys.readouterr().err
    assert path.read_text() == "precious"
    (here / "link.pem").symlink_to(here / "elsewhere.pem")
    assert main(["dkim-key", "b.test", "x", "--out", "link.pem"]) == 73
    assert not (here / "elsewhere.pem").exists()


def test_the_record_of_a_key_that_is_there_can_be_printed(here: Path, capsys: Capture) -> None:
    path = here / "key.pem"
    path.write_bytes(pem_of(rsa_key()))

    assert main(["dkim-key", "b.test", "rsa", "--key", str(path)]) == 0
    assert f"value  {by_rsa().record}\n" in capsys.readouterr().out
    assert list(here.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["b..test", "x"], 65, "domain: "),
        (["b.test", "a b"], 65, "selector: "),
        (["../x", "y"], 65, "domain: "),
        (["b.test", "x", "--out", "no/such/folder.pem"], 73, "cannot make no/such/folder.pem"),
        (["b.test", "x", "--key", "none.pem"], 66, "cannot read none.pem: No such file"),
        (["b.test", "x", "--key", __file__], 65, f"{__file__}: the private key can't be"),
        (["b.test", "x", "--key", "x.pem", "--bits=2048"], 64, "--key makes no key; leave out "),
        (["b.test", "x", "--type=ed25519", "--bits=4096"], 64, "--bits is for rsa; all ed25519"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_made(
    here: Path, capsys: Capture, arguments: list[str], status: int, said: str
) -> None:
    more = [] if "--key" in arguments or "--bits" in arguments else ["--type=ed25519"]
    assert main(["dkim-key", *arguments, *more]) == status
    error = capsys.readouterr().err
    assert error.startswith(f"pykka-smtp dkim-key: {said}")
    assert error.count("\n") == 1
    assert list(here.iterdir()) == []


# The check


def records_as(form: str, here: Path) -> list[str]:
    signers = (by_rsa(), by_ed25519())
    zone = "\n".join(zone_line(s.domain, s.selector, s.public_key) for s in signers)
    match form:
        case "text":
            return [word for s in signers for word in ("--record", s.record)]
        case "dig":
            strings = [re.sub(r".{200}", r'\g<0>" "', s.record) for s in signers]
            return ["--record", "\n".join(f'"{text}"' for text in strings)]
        case "zone file":
            (here / "zone").write_text(f"$TTL 60\n{zone}\n")
            return ["--record", "zone"]
        case "long zone file":
            (here / "zone").write_text(zone.replace('" "', '"\n\t"'))
            return ["--record", "zone"]
        case _:
            (here / "key.pem").write_bytes(pem_of(rsa_key()))
            return ["--key", "key.pem", "--record", by_ed25519().record]


@pytest.mark.parametrize("form", ["text", "dig", "zone file", "long zone file", "key"])
def test_good_signatures_are_said_to_be_good(here: Path, capsys: Capture, form: str) -> None:
    mail_by(here / "mail.eml", by_rsa(), by_ed25519())

    assert main(["dkim-check", "mail.eml", *records_as(form, here)]) == 0
    said = capsys.readouterr().out
    assert said.count("result     good\n") == 2
    assert "signature  1 of 2: b.test, rsa-sha256\nrecord     rsa._domainkey.b.test\n" in said
    assert "covers     " in said
    assert "from (2 times)" in said


def test_without_a_record_the_body_alone_is_checked(here: Path, capsys: Capture) -> None:
    data = mail_by(here / "mail.eml", by_rsa())

    assert main(["dkim-check", "mail.eml"]) == 66
    assert (
        "result     unknown: the body is as it was signed; for the header, give --record of"
        " rsa._domainkey.b.test\n"
    ) in capsys.readouterr().out
    (here / "mail.eml").write_bytes(data.replace(b"hello", b"hallo"))
    assert main(["dkim-check", "mail.eml"]) == 65
    assert "result     bad: the body was changed after it was signed" in capsys.readouterr().out


def test_a_change_is_found_and_where_it_is(here: Path, capsys: Capture) -> None:
    data = mail_by(here / "mail.eml", by_rsa())
    record = ["--record", by_rsa().record]
    for changed, flaw in (
        (data.replace(b"hello", b"hallo"), "the body was changed"),
        (data.replace(b"Subject: Hi", b"Subject: Ho"), "the header was changed"),
        (data.replace(b"v=1;", b"v=3;"), "the signature has v='3'"),
    ):
        (here / "mail.eml").write_bytes(changed)
        assert main(["dkim-check", "mail.eml", *record]) == 65
        assert f"result     bad: {flaw}" in capsys.readouterr().out


def test_an_expired_signature_is_bad(
    here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Dkim("b.test", "rsa", key=rsa_key(), expires_after=60)
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: 1_000_000_000.0)
        mail_by(here / "mail.eml", old)

    assert main(["dkim-check", "mail.eml", "--record", old.record]) == 65
    said = capsys.readouterr().out
    assert "signed at  2001-09-09 01:46:40 UTC\nexpires at 2001-09-09 01:47:40 UTC\n" in said
    assert "result     bad: it has expired\n" in said


def test_an_email_comes_from_stdin_too(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = mail_by(tmp_path / "mail.eml", by_rsa())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    assert main(["dkim-check", "-", "--record", by_rsa().record]) == 0
    assert "good" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["none.eml"], 66, "cannot read none.eml: No such file or directory"),
        (["plain.eml"], 65, "plain.eml has no DKIM-Signature"),
        (["plain.eml", "--record", "none"], 66, "cannot read none: No such file"),
        (["plain.eml", "--record", ""], 64, "--record is empty: the DNS has no such record, or"),
        (
            ["plain.eml", "--record", ";; connection timed out; no servers could be reached"],
            64,
            "--record: dig found nothing: connection timed out; no servers could be reached",
        ),
        (["plain.eml", "--record", "v=spf1 -all"], 64, "--record: is no record of DKIM, which"),
        (["plain.eml", "--record", "plain.eml"], 64, "--record plain.eml: has no p="),
        (["plain.eml", "--record", "key.pem"], 64, "--record key.pem: is a private key; give it"),
        (["plain.eml", "--record", KEY], 64, "--record: is a private key; give its file as --key"),
        (["plain.eml", "--record", "v=DKIM1; k=x; p="], 64, "--record: the record's key is 'x'"),
        (["plain.eml", "--key", "plain.eml"], 64, "--key plain.eml: needs a private key in PEM"),
    ],
)
def test_what_cannot_be_checked_is_said_in_one_line(
    here: Path, capsys: Capture, arguments: list[str], status: int, said: str
) -> None:
    (here / "plain.eml").write_bytes(b"From: a@b.test\n\nx\n")
    (here / "key.pem").write_text(f"{KEY}p=\n")

    assert main(["dkim-check", *arguments]) == status
    error = capsys.readouterr().err
    assert error.startswith(f"pykka-smtp dkim-check: {said}")
    assert "MIIE" not in error
    assert error.count("\n") == 1


def test_a_hostile_signature_prints_no_control_character(here: Path, capsys: Capture) -> None:
    (here / "mail.eml").write_bytes(
        b"DKIM-Signature: v=1; a=rsa-sha256; d=\x1b[2J; s=\x07; h=from; b=x; bh=y; t=9"
        b"9999999999999\nFrom: a@b.test\n\nx\n"
    )

    assert main(["dkim-check", "mail.eml"]) == 65
    assert "\x1b" not in capsys.readouterr().out

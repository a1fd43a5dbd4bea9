"""The command with relay URLs that name no server."""

from pathlib import Path

import pytest

from pykka_smtp.cli.main import main

MAIL = "From: me@b.test\nSubject: Party\n\nhello\n"


@pytest.fixture
def mail(tmp_path: Path) -> str:
    path = tmp_path / "mail.eml"
    path.write_text(MAIL)
    return str(path)


def test_send_writes_emails_into_a_folder(
    mail: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "outgoing"
    folder.mkdir()

    status = main(["send", "--url", f"file://{folder}", "--to=c@d.test", "--to=e@d.test", mail])

    assert status == 0
    assert "accepted    2" in capsys.readouterr().out
    written = [path.read_bytes().decode() for path in folder.glob("*.eml")]
    assert written == [MAIL.replace("\n", "\r\n")] * 2


def test_the_variable_holds_for_the_command_too(
    mail: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYKKA_SMTP_URL_ALL", "refuse:")

    assert main(["send", "--url", "smtp://h.invalid", "--to=c@d.test", mail]) == 69
    assert "refuse: this process may not send" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("url", "status", "lines"),
    [
        ("record:", 0, ["server         record:", "address        not connected"]),
        ("sendmail:///bin/sh", 0, ["address        a program", "TLS            no TLS"]),
        ("file:///nowhere/x", 69, ["ready          no: file:///nowhere/x: No such file"]),
        ("refuse:", 69, ["ready          no: refuse: this process may not send"]),
    ],
)
def test_verify_says_what_an_outlet_is(
    url: str, status: int, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", url]) == status

    printed = capsys.readouterr().out
    assert [line for line in lines if line not in printed] == []


def test_a_wrong_url_is_one_line(mail: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["send", "--url", "file:srv", "--to=c@d.test", mail]) == 64
    assert capsys.readouterr().err == (
        "pykka-smtp send: --url: relay URL 'file:srv': needs only the folder's absolute path:"
        " file:///srv/outgoing\n"
    )

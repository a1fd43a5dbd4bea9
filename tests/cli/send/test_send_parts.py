"""``pykka-smtp send`` with HTML, images and attachments."""

from email import message_from_bytes, policy
from pathlib import Path

import pytest
from servers.scripted import ScriptedServer
from servers.sending import send, url_of

PNG = b"\x89PNG\r\n\x1a\nxx"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "page.html").write_text('<p>Gr\u00fc\u00dfe</p><img src="cid:logo">', "utf-8")
    (tmp_path / "logo.png").write_bytes(PNG)
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    return tmp_path


def test_html_images_and_files_make_an_email_of_parts(server: ScriptedServer, folder: Path) -> None:
    status = send(
        *("--url", url_of(server), "--from", "Me <me@a.test>", "--to", "you@b.test"),
        *("--html", str(folder / "page.html"), "--inline", f"logo={folder / 'logo.png'}"),
        *("--attach", str(folder / "a.pdf"), "--attach", str(folder / "logo.png")),
    )

    assert status == 0
    parsed = message_from_bytes(server.mails[0].data, policy=policy.default)
    text = parsed.get_body(("plain",))
    assert text is not None
    assert text.get_content().split() == ["Gr\u00fc\u00dfe"]
    assert [part.get_filename() for part in parsed.iter_attachments()] == ["a.pdf", "logo.png"]
    assert [part.get_content_type() for part in parsed.walk()] == [
        *("multipart/mixed", "multipart/alternative", "text/plain", "multipart/related"),
        *("text/html", "image/png", "application/pdf", "image/png"),
    ]


def test_a_large_file_is_counted_before_it_is_sent(
    server: ScriptedServer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (folder / "a.pdf").open("wb") as file:
        file.truncate(3_000_000)
    more = ("--body", "x", "--attach", str(folder / "a.pdf"))

    status = send("--url", url_of(server), "--from=a@b.test", "--to=c@d.test", *more, "--dry-run")

    assert status == 0
    assert "1 email of 4105" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (("--body", "x", "--attach", "/not/there"), 66, "cannot read /not/there: No such file"),
        (("--html", "/not/there"), 66, "cannot read /not/there: No such file"),
        (("--body", "x", "--attach", "/"), 65, "cannot write the email: attachment: '/' is not"),
        (("--html", "page.html"), 65, "html: embeds cid:logo, but inline has no 'logo'"),
        (("--html", "page.html", "--inline", "x"), 65, "--inline needs NAME=FILE, not x"),
        (("--body", "x", "--inline", "y=logo.png"), 65, "inline: there is no html"),
        (
            ("--html", "page.html", "--inline=logo=logo.png", "--inline=z=logo.png"),
            65,
            "inline: html does not embed z",
        ),
        (("--html", "logo.png"), 65, "logo.png is not UTF-8"),
        (("mail.eml", "--attach", "a.pdf"), 64, "give a file with an email, or --from"),
        ((), 64, "name a file with the email, or write one"),
    ],
)
def test_what_cannot_be_made_is_a_line_and_a_status(
    arguments: tuple[str, ...],
    status: int,
    complaint: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    author = () if "mail.eml" in arguments else ("--from", "me@a.test")

    assert send("--url", "null:", "--to", "you@b.test", *author, *arguments) == status

    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1

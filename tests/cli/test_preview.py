"""``pykka-smtp preview``: what an email consists of."""

import io
import sys
import time
from pathlib import Path

import pytest

from pykka_smtp import Attachment, SendMail
from pykka_smtp.cli.main import main

PNG = b"\x89PNG\r\n\x1a\nxx"


def test_fields_and_parts_are_shown_as_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mail = SendMail(
        sender="J\u00f6rg <me@a.test>",
        recipients="you@b.test",
        subject="Gr\u00fc\u00dfe",
        body="hello",
        html='<img src="cid:logo">',
        inline={"logo": Attachment(PNG, name="logo.png")},
        attachments=[Attachment(b"x" * 5000, name="\u00fcbersicht.csv")],
    )
    mail.save(tmp_path / "mail.eml")

    assert main(["preview", str(tmp_path / "mail.eml")]) == 0

    fields, parts, size = capsys.readouterr().out.split("\n\n")
    assert "Subject       Gr\u00fc\u00dfe" in fields
    assert "From          J\u00f6rg <me@a.test>" in fields
    assert parts.splitlines() == [
        "part                     encoding  octets  name",
        "multipart/mixed",
        "  multipart/alternative",
        "    text/plain           7bit           7",
        "    multipart/related",
        "      text/html          7bit          22",
        "      image/png          base64        10  logo.png (cid:logo)",
        "  text/csv               base64     5,000  \u00fcbersicht.csv",
    ]
    assert size == f"{len(mail.as_bytes()):,} octets in all\n"


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        (b"", 65, "stdin is empty"),
        (b"Subject: \x1b[2J\xff\n\n\0", 0, "Subject  "),
        (b"email,name\na@x.test,Ann\n", 65, "(no fields: it is no complete email)\n"),
        ("Subject: x\n\n".encode("utf-16"), 65, "stdin is UTF-16, which no email can be"),
    ],
)
def test_any_octets_can_come_from_stdin(
    data: bytes,
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    assert main(["preview", "-"]) == status

    shown = "".join(capsys.readouterr())
    assert said in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        (b"Content-Type: message/rfc822\n\n" * 3000, 65, "too many parts within parts"),
        (b"Received: x\n" * 20_000 + b"\nx", 0, "(19,800 more)"),
        (b"Subject: " + b"=?utf-8?q?a?= " * 20_000 + b"\n\nx", 0, "Subject  =?utf-8"),
        (b"To: " + b"a@b.test, " * 20_000 + b"\n\nx", 0, "To  a@b.test"),
    ],
)
def test_a_hostile_email_takes_no_time_and_ends_in_no_traceback(
    data: bytes, status: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mail.eml"
    path.write_bytes(data)
    began = time.process_time()

    assert main(["preview", str(path)]) == status

    assert time.process_time() - began < 5
    assert said in "".join(capsys.readouterr())


def test_a_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview", "/not/there"]) == 66
    assert capsys.readouterr().err == (
        "pykka-smtp preview: cannot read /not/there: No such file or directory\n"
    )

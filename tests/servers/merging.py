"""What ``pykka-smtp merge`` is given by who types it, and what became of it."""

import csv
import email
import email.policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from servers.sending import send, url_of
from servers.sending_fixtures import Shell

PEOPLE = "email,name,token\nann@x.test,Ann,1\nBen B <ben@x.test>,Bén <b>,2\n\ncy@x.test,Cy,3\n"


@pytest.fixture
def june(tmp_path: Path) -> Path:
    """Make a folder with templates."""
    folder = tmp_path / "june"
    (folder / "inline").mkdir(parents=True)
    (folder / "attachments").mkdir()
    (folder / "subject.txt").write_text("News for {{ name }}\n")
    (folder / "body.txt").write_text("Dear {{ name }}\n")
    (folder / "body.html").write_text(
        '<style>p{color: red}</style><p>Dear {{ name }}</p><img src="cid:logo.png">'
    )
    (folder / "inline" / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "attachments" / "paper.pdf").write_bytes(b"%PDF")
    (folder / "attachments" / ".DS_Store").write_bytes(b"")
    return folder


class Desk:
    """Who types the command."""

    def __init__(self, shell: Shell, june: Path) -> None:
        self.shell = shell
        self.june = june
        self.people = shell.folder / "people.csv"
        self.people.write_text(PEOPLE)
        self.journal = shell.folder / "june.journal"

    def merge(self, *more: str, url: str | None = None, author: str = "News <me@a.test>") -> int:
        return send(
            *("--template", str(self.june), "--rows", str(self.people), "--from", author),
            *("--journal", str(self.journal), "--url", url or url_of(self.shell.server), *more),
            command="merge",
        )

    def says(self) -> list[str]:
        """Return what it complained of."""
        lines = self.shell.read().err.splitlines()
        assert all(line.startswith("pykka-smtp merge: ") for line in lines)
        return [line.removeprefix("pykka-smtp merge: ") for line in lines]


@pytest.fixture
def desk(shell: Shell, june: Path) -> Desk:
    return Desk(shell, june)


def received(server: Any) -> dict[str, EmailMessage]:
    """Return what each recipient got, by the address; once each."""
    addresses = [mail.recipients[0] for mail in server.mails]
    assert len(set(addresses)) == len(addresses)
    return {
        mail.recipients[0]: email.message_from_bytes(mail.data, policy=email.policy.default)
        for mail in server.mails
    }


def report(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))

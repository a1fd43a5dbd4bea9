"""``pykka-smtp sendmail``, called as programs call it; in this process, or linked as a program."""

import io
import os
import sys
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from pykka_smtp.cli import main as command_line
from pykka_smtp.testing.talk.ledger import ReceivedMail
from servers.require import missing
from servers.scripted import ScriptedServer
from servers.sending import url_of

SCRIPT = "pykka-smtp-sendmail"


class Submitter:
    """A user of this machine with a home of their own, in which the relay's URL may stand.

    Attributes:
        home: the folder.
        file: the settings, which do not exist yet.
    """

    def __init__(
        self, home: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.home = home
        self.file = home / ".config" / "pykka-smtp.toml"
        self.file.parent.mkdir(parents=True)
        self._patch = patch
        self._read = capsys.readouterr
        self.out = self.err = ""
        for name in ("SMTP_URL", "SMTP_BACKUP_URLS", "XDG_CONFIG_HOME", "NAME"):
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(home))

    def configure(self, server: ScriptedServer | None = None, more: str = "") -> None:
        """Write the settings, with a domain, so that no test depends on the machine's name."""
        url = "" if server is None else f'url = "{url_of(server)}"\n'
        self.file.write_text(f'{url}domain = "here.test"\n{more}')
        self.file.chmod(0o600)

    def __call__(self, *arguments: str, text: str | bytes = "Hello\n") -> int:
        """Call it in this process, and return the exit status; `out` and `err` have the rest."""
        data = text.encode() if isinstance(text, str) else text
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        status = command_line.sendmail(list(arguments))
        self.out, self.err = self._read()
        return status

    def linked(self, name: str = "sendmail") -> Path:
        """Link the program under another name, as an administrator does; return the link."""
        script = Path(sys.executable).with_name(SCRIPT)
        if not script.exists():  # a clone that was installed before there was one
            missing(f"{SCRIPT} is not installed; install pykka-smtp again")
        link = self.home / name
        link.symlink_to(script)
        return link

    def environment(self, **more: str) -> dict[str, str]:
        """Return an environment as cron has it: not much."""
        return {"HOME": str(self.home), "PATH": os.environ["PATH"], **more}


def parsed(mail: ReceivedMail) -> EmailMessage:
    """Return an email as its reader has it."""
    return message_from_bytes(mail.data, policy=policy.default)


@pytest.fixture
def submit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Give what calls ``pykka-smtp sendmail``."""
    return Submitter(tmp_path / "home", monkeypatch, capsys)

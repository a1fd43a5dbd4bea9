"""Fixtures for the tests of ``pykka-smtp send``: what it is given."""

import threading
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path

import pytest

from pykka_smtp.testing.moods import At, Moment
from pykka_smtp.testing.polite import Polite
from pykka_smtp.testing.talk.acts import Act, Wait
from servers.scripted import ScriptedServer, Start
from servers.sending import PATIENCE, list_in, mail_in


@pytest.fixture
def mail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write a mail into a file, and return its name; no relay is set in the environment."""
    monkeypatch.delenv("SMTP_URL", raising=False)
    monkeypatch.delenv("SMTP_BACKUP_URLS", raising=False)
    return mail_in(tmp_path)


@pytest.fixture
def to_file(tmp_path: Path) -> Callable[[str | bytes], str]:
    """Give what writes a file of recipients, and returns its name."""
    return partial(list_in, tmp_path)


class Shell:
    """What ``pykka-smtp send`` is given by who types it, and where it prints.

    Attributes:
        mail: the name of a file with a mail.
        folder: for other files.
        to_file: writes a file of recipients, and returns its name.
        serve: starts a server.
    """

    def __init__(
        self, mail: str, folder: Path, serve: Start, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.mail = mail
        self.folder = folder
        self.to_file: Callable[[str | bytes], str] = partial(list_in, folder)
        self.serve = serve
        self.read = capsys.readouterr

    @cached_property
    def server(self) -> ScriptedServer:
        """A server that takes every mail, if one is needed."""
        return self.serve()


@pytest.fixture
def shell(
    mail: str, tmp_path: Path, scripted_server: Start, capsys: pytest.CaptureFixture[str]
) -> Shell:
    """Give all that the command needs."""
    return Shell(mail, tmp_path, scripted_server, capsys)


class Holding:
    """A server that answers no final dot but the first before it is told to.

    The very first mail of a run goes alone, and would go alone for ever.
    """

    def __init__(self, begin: Start) -> None:
        self.released = threading.Event()
        self.server = begin(Polite(moods=[At(".", self._hold)]))

    def _hold(self, moment: Moment) -> list[Act] | None:
        is_first = len(self.server.mails) == 1
        return None if is_first else [Wait(self.released), moment.reply]

    def wait_for_mails(self, count: int) -> None:
        self.server.wait_for(lambda: len(self.server.mails) >= count, PATIENCE)


@pytest.fixture
def holding(scripted_server: Start) -> Iterator[Holding]:
    """Start a server that holds emails until the test, or the test's end, releases them."""
    made = Holding(scripted_server)
    yield made
    made.released.set()

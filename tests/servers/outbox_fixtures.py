"""Fixtures for the tests of the Outbox."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pykka_smtp.cli import main as command_line
from servers.outboxes import Outboxes


@pytest.fixture
def outboxes(tmp_path: Path) -> Iterator[Outboxes]:
    """Start outboxes on one file; they are stopped at the end."""
    with Outboxes(tmp_path) as made:
        yield made


class OutboxCommand:
    """Calls ``pykka-smtp outbox`` in this process.

    Attributes:
        path: the file of the Outbox.
        out: what it has printed to standard output.
        err: what it has printed to standard error.
    """

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self.out = self.err = ""
        self.capsys = capsys
        self._read = capsys.readouterr

    def __call__(self, command: str, *arguments: object) -> int:
        """Call it, and return the exit status."""
        words = ["outbox", command, str(self.path), *map(str, arguments)]
        self._read()
        try:
            status = command_line.main(words)
        except SystemExit as error:
            status = int(error.code or 0)
        self.out, self.err = self._read()
        return status

    def json(self, command: str, *arguments: object) -> Any:
        """Call it with ``--json``, and return what it prints."""
        self(command, *arguments, "--json")
        return json.loads(self.out)


@pytest.fixture
def outbox_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> OutboxCommand:
    """Give the command, for the file of `outboxes`."""
    return OutboxCommand(tmp_path / "mail.db", capsys)

"""An email that is too large for a row is in a file beside the outbox, and goes from there."""

import hashlib
import os
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest
from servers.outboxes import Outboxes, mail
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import Drain, Find, OutboxError, Put, SendSuccess
from pykka_smtp.actors.outbox.text import mail_text

MOST = 4000


@pytest.fixture(autouse=True)
def rows_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_text, "MAX_SIZE", MOST)


def message(number: int = 1, lines: int = 200) -> bytes:
    text = "".join(f"This is line {i} of a long email.\r\n" for i in range(lines))
    return f"Subject: {number}\r\nMessage-ID: <{number}@example.com>\r\n\r\n{text}".encode()


def large(folder: Path, number: int = 1, data: bytes | None = None, **given: Any) -> Any:
    path = folder / f"{number}.eml"
    path.write_bytes(message(number) if data is None else data)
    return mail(number, subject=None, body=None, message=path, **given)


def files(outboxes: Outboxes) -> list[Path]:
    folder = outboxes.path.with_name("mail.db-bodies")
    return sorted(folder.iterdir()) if folder.exists() else []


def test_a_large_email_arrives_as_it_was_and_its_file_is_removed_then(
    outboxes: Outboxes, server: Any, tmp_path: Path
) -> None:
    ref = outboxes.start(server)

    receipt = ref.ask(Put(large(tmp_path), key="k"), timeout=PATIENCE)

    assert (receipt.id, receipt.key) == ("mail-1", "k")
    assert ref.ask(Drain(timeout=PATIENCE))
    assert [m.data for m in server.mails] == [message()]
    assert wait_until(lambda: not files(outboxes), PATIENCE)

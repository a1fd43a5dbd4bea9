"""Large parts are read from their files while the email is sent, and sent by all ways alike."""

import email
import email.policy
import os
from pathlib import Path
from typing import Any

import pytest
from servers.python import python
from servers.scripted import ScriptedServer
from servers.waiting import PATIENCE

from pykka_smtp import (
    Attachment,
    FailureKind,
    Mailer,
    RetryPolicy,
    SendFailure,
    SendMail,
    SendSuccess,
    SmtpActor,
)
from pykka_smtp.actors.net.data.mail_source import FileSource, SourceError
from pykka_smtp.signals.composing.attachment import MOST_READ
from pykka_smtp.testing import Server, defer, record_mails

SIZE = MOST_READ + 12_345


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(SIZE))
    return path


def mail(*attachments: Any, **given: Any) -> SendMail:
    parts = {"body": "See below.", "html": "<p>", **given}
    return SendMail(sender="a@b.test", recipients="c@d.test", attachments=attachments, **parts)


def contents(data: bytes) -> list[Any]:
    message = email.message_from_bytes(data, policy=email.policy.default)
    return [part.get_content() for part in message.iter_attachments()]


def test_a_large_file_is_sent_as_it_is(path: Path) -> None:
    small = Attachment(b"small", name="small.bin")
    with record_mails() as outbox:
        outcome = SmtpActor.start("localhost").ask(mail(path, small, path))

    assert isinstance(outcome, SendSuccess)
    [recorded] = outbox
    assert contents(recorded.data) == [path.read_bytes(), b"small", path.read_bytes()]
    assert "SIZE=" + str(len(recorded.data)) in recorded.parameters


def test_what_is_shown_is_what_is_sent(path: Path, tmp_path: Path) -> None:
    made = mail(path)
    made.save(tmp_path / "preview.eml")
    with record_mails() as outbox:
        SmtpActor.start("localhost").ask(made)

    assert made.content is None
    assert made.message_id is not None
    assert outbox[0].data == made.as_bytes() == (tmp_path / "preview.eml").read_bytes()
    assert made == mail(path)


def test_dots_at_the_beginning_of_lines_are_escaped(server: ScriptedServer, path: Path) -> None:
    made = mail(path, body=".\n..a\n")

    outcome = SmtpActor.start(server.host, server.port).ask(made, timeout=PATIENCE)

    assert isinstance(outcome, SendSuccess)
    assert bytes(server.mails[-1].data) == made.as_bytes()
    assert contents(made.as_bytes()) == [path.read_bytes()]


@pytest.mark.parametrize("octets", [10, 2 * MOST_READ])
def test_many_octets_in_memory_are_sent_without_a_copy(octets: int) -> None:
    attachment = Attachment(b"x" * octets, name="x.bin")
    made = mail(attachment)

    assert (made.content is None) is (octets > MOST_READ)
    with record_mails() as outbox:
        SmtpActor.start("localhost").ask(made)
    assert contents(outbox[0].data) == [b"x" * octets]
    assert outbox[0].data == made.as_bytes()


def test_a_file_that_is_gone_is_a_local_failure(path: Path) -> None:
    made = mail(path)
    path.unlink()

    with record_mails():
        outcome = SmtpActor.start("localhost").ask(made)

    assert isinstance(outcome, SendFailure)
    assert outcome.kind is FailureKind.LOCAL
    assert "large.bin" in outcome.detail or "No such file" in outcome.detail


@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_that_changes_meanwhile_is_not_sent(path: Path, change: int) -> None:
    made = mail(path)
    source = FileSource(made.source)  # type: ignore[arg-type]
    facts = source.open()
    assert facts is not None
    assert facts.is_plain
    source.begin(transparent=True, may_be_eight_bit=True)
    os.truncate(path, SIZE + change)

    with pytest.raises(SourceError, match=r"large\.bin' changed while it was sent"):
        list(iter(source.read, None))
    source.close()


def test_what_is_read_again_is_the_same(path: Path) -> None:
    source = FileSource(mail(path).source)  # type: ignore[arg-type]
    facts = source.open()
    wholes = []
    for _ in range(2):
        source.begin(transparent=True, may_be_eight_bit=False)
        pieces = []
        while (piece := source.read()) is not None:
            assert 0 < len(piece) <= 131_072
            pieces.append(piece)
        wholes.append(b"".join(pieces))
    source.close()

    assert wholes[0] == wholes[1]
    assert facts is not None
    assert len(wholes[0]) == facts.size
    assert not source.is_open


def test_a_mailer_tries_again_with_the_file(path: Path) -> None:
    retry = RetryPolicy(max_attempts=2, initial_delay=0.01)
    with Server(defer(".", times=1)) as server:
        ref = Mailer.start(server.host, server.port, retry=retry)
        outcome = ref.ask(mail(path), timeout=PATIENCE)
        ref.stop()

    assert isinstance(outcome, SendSuccess)
    assert outcome.attempts == 2
    assert contents(server.mails[-1].data) == [path.read_bytes()]


MEMORY = """
import resource, sys
from pathlib import Path
from pykka_smtp import SendMail, SmtpActor

def send(path):
    mail = SendMail(sender="a@b.test", recipients="c@d.test", body="x", attachments=[Path(path)])
    SmtpActor.start(url="null:").ask(mail).raise_for_failure()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

before = send(sys.argv[1])
print(send(sys.argv[2]) - before)
"""


@pytest.mark.parametrize("size", [20_000_000, pytest.param(100_000_000, marks=pytest.mark.long)])
def test_a_large_file_needs_at_most_8_mb_of_memory(size: int, path: Path, tmp_path: Path) -> None:
    large = tmp_path / "huge.bin"
    with large.open("wb") as file:
        file.truncate(size)

    done = python("-c", MEMORY, path, large)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 8 * 1024  # ru_maxrss is in KiB

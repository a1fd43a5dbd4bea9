"""``pykka-smtp outbox`` and emails that are too large for a row."""

from pathlib import Path

import pytest
from servers.outbox_fixtures import OutboxCommand
from servers.outboxes import Outboxes, mail

from pykka_smtp import Put, SendMail
from pykka_smtp.actors.outbox.text import mail_text
from pykka_smtp.cli.outbox.words import size

MESSAGE = b"Subject: Large\r\n\r\n" + b"A line of a long email.\r\n" * 200
TEXT = "A line of a long text.\r\n" * 200


@pytest.fixture
def bodies(outboxes: Outboxes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Put a large message and a large text; return the files of their bodies."""
    monkeypatch.setattr(mail_text, "MAX_SIZE", 4000)
    source = tmp_path / "1.eml"
    source.write_bytes(MESSAGE)
    ref = outboxes.start()
    ref.ask(
        Put(
            SendMail(sender="me@example.com", recipients="you@example.org", message=source),
            key="message",
        )
    )
    [first] = outboxes.path.with_name("mail.db-bodies").iterdir()
    ref.ask(Put(mail(2, body=TEXT), key="text"))
    outboxes.stop(ref)
    [second] = [one for one in first.parent.iterdir() if one != first]
    return [first, second]


@pytest.mark.usefixtures("bodies")
def test_show_prints_both(outbox_command: OutboxCommand) -> None:
    assert outbox_command("show", "message") == 0
    assert f"size         {size(len(MESSAGE))} octets" in outbox_command.out
    assert outbox_command("show", "--body", "message") == 0
    assert outbox_command.out.encode() == MESSAGE
    assert outbox_command("show", "--body", "text") == 0
    assert outbox_command.out.count("A line of a long text.") == 200


@pytest.mark.usefixtures("bodies")
def test_export_writes_both(outbox_command: OutboxCommand, tmp_path: Path) -> None:
    assert outbox_command("export", tmp_path / "out") == 0

    assert (tmp_path / "out" / "00000001.eml").read_bytes() == MESSAGE
    assert b"A line of a long text." in (tmp_path / "out" / "00000002.eml").read_bytes()


def test_export_says_what_is_missing_and_writes_what_was_altered(
    outbox_command: OutboxCommand, tmp_path: Path, bodies: list[Path]
) -> None:
    bodies[0].write_bytes(b"Other")
    bodies[1].unlink()

    assert outbox_command("export", tmp_path / "out") == 65

    assert (tmp_path / "out" / "00000001.eml").read_bytes() == b"Other"
    assert "was altered" in outbox_command.err
    assert "is missing" in outbox_command.err
    assert not (tmp_path / "out" / "00000002.eml").exists()
    assert (tmp_path / "out" / "00000002.json").exists()


def test_check_reports_files_that_are_missing_altered_or_of_no_email(
    outbox_command: OutboxCommand, bodies: list[Path]
) -> None:
    assert outbox_command("check", "--late", "1h") == 0

    bodies[0].write_bytes(b"Other")
    bodies[1].unlink()
    bodies[0].with_name("0" * 32).write_bytes(b"of no email")

    assert outbox_command("check", "--late", "1h") == 2
    assert f"an email cannot be sent: the file of its body was altered: {bodies[0]}" in (
        outbox_command.out
    )
    assert f"an email cannot be sent: the file of its body is missing: {bodies[1]}" in (
        outbox_command.out
    )
    assert "1 file in mail.db-bodies of no email" in outbox_command.out
    assert outbox_command("show", "text") == 0
    assert outbox_command("show", "--body", "text") == 66
    assert outbox_command("show", "--body", "message") == 66

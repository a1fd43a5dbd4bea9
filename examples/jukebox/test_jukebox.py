"""Tests of a program with actors; run them with ``pytest examples/jukebox``. No email leaves."""

from collections.abc import Iterator

import pytest
from jukebox import Jukebox

from pykka_smtp.testing import RecordedMails


@pytest.fixture
def jukebox(smtp_outbox: RecordedMails) -> Iterator[Jukebox]:  # noqa: ARG001 - it keeps all emails
    """Start all actors, and stop them after the test."""
    made = Jukebox("mail.invalid", 25)
    yield made
    made.stop()


def settle(jukebox: Jukebox, outbox: RecordedMails) -> None:
    """Wait until each actor has handled what is in its inbox, and all emails are out.

    The outbox waits for emails. An actor answers when it has handled what came before.
    """
    jukebox.thanks.thanked.get()  # events: now the emails have been told
    outbox.wait()
    jukebox.thanks.thanked.get()  # their outcomes
    jukebox.watch.failures.get()


def test_who_wishes_for_a_track_is_thanked(jukebox: Jukebox, smtp_outbox: RecordedMails) -> None:
    jukebox.core.play("Kaya", "you@example.org").get()
    settle(jukebox, smtp_outbox)

    [mail] = smtp_outbox
    assert mail.recipients == ("you@example.org",)
    assert mail.subject == "We have played Kaya"
    assert jukebox.thanks.thanked.get() == ["you@example.org for Kaya"]


def test_who_cannot_be_reached_is_not_written_to_again(
    jukebox: Jukebox, smtp_outbox: RecordedMails
) -> None:
    smtp_outbox.refuse("550 5.1.1 no such mailbox", to="no@example.org")

    for title in ("Kaya", "Exodus"):
        jukebox.core.play(title, "no@example.org").get()
        settle(jukebox, smtp_outbox)

    assert len(smtp_outbox) == 0
    assert jukebox.thanks.unreachable.get() == {"no@example.org"}
    [failure] = jukebox.watch.failures.get()
    assert "550 5.1.1 no such mailbox" in failure

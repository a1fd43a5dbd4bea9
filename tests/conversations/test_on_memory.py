"""The conversations on a real connection with an in-memory network below it."""

import dataclasses

import pytest
from servers.twins import Twin

from conversations.client import session_of
from conversations.conversation import Conversation, conversations
from conversations.memory import TIMEOUT, FakeLoop, FakeTransport, MemoryPlayer
from conversations.play import CUTS, play
from pykka_smtp.actors.net.data import mail_writer
from pykka_smtp.actors.net.wire import closing_wire as closing_module
from pykka_smtp.actors.net.wire import connection as connection_module
from pykka_smtp.actors.net.wire.connection import Connection
from pykka_smtp.smtp.mail.content import CompleteContent
from pykka_smtp.smtp.mail.envelope import Envelope
from pykka_smtp.smtp.session.dialog.dialog import Dialog
from pykka_smtp.smtp.session.transaction.delivery import Delivery
from pykka_smtp.smtp.words.stage import Stage
from pykka_smtp.smtp.words.verdict import Failed, FailureKind

ALL = conversations("memory")
(TAKES,) = [c for c in ALL if c.title == "The server takes the mail."]


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> FakeLoop:
    fake = FakeLoop()
    for module in (connection_module, closing_module, mail_writer):
        monkeypatch.setattr(module, "event_loop", lambda: fake)
    return fake


def dialog_of(conversation: Conversation) -> Dialog:
    return Twin(
        Delivery(
            session_of(conversation),
            Envelope.of(conversation.sender, conversation.recipients),
            CompleteContent(conversation.mail),
        )
    )


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("conversation", ALL, ids=lambda c: c.title)
def test_the_connection_leads_the_conversation(
    conversation: Conversation, cut: str, loop: FakeLoop
) -> None:
    player = MemoryPlayer(loop, dialog_of(conversation))

    play(conversation, player, cut)

    conversation.check(player.verdict)
    assert loop.watched == []


def test_a_server_that_drips_has_no_more_time_for_a_step_than_a_silent_one(loop: FakeLoop) -> None:
    player = MemoryPlayer(loop, dialog_of(TAKES))
    player.hear(b"220-")

    while player.verdict is None:
        player.hear(b"x")
        loop.advance(1)

    assert isinstance(player.verdict, Failed)
    assert (player.verdict.kind, player.verdict.stage) == (FailureKind.TIMEOUT, Stage.GREETING)
    assert player.is_closed
    assert TIMEOUT <= loop.now <= TIMEOUT + 3


REPLIES = {
    Stage.GREETING: b"220 mx.test\r\n",
    Stage.EHLO: b"250 mx.test\r\n",
    Stage.MAIL: b"250 ok\r\n",
    Stage.RCPT: b"250 ok\r\n",
    Stage.DATA: b"354 go\r\n",
    Stage.DOT: b"250 ok\r\n",
}


@pytest.mark.parametrize("stage", list(REPLIES))
def test_a_silent_server_has_the_timeout_and_no_more(stage: Stage, loop: FakeLoop) -> None:
    player = MemoryPlayer(loop, dialog_of(TAKES))
    for octets in list(REPLIES.values())[: list(REPLIES).index(stage)]:
        player.hear(octets)
        loop.advance(1)
    began = loop.now

    while player.verdict is None:
        loop.advance(1)

    assert isinstance(player.verdict, Failed)
    assert (player.verdict.kind, player.verdict.stage) == (FailureKind.TIMEOUT, stage)
    assert player.verdict.maybe_accepted is (stage is Stage.DOT)
    assert TIMEOUT - 2 <= loop.now - began <= TIMEOUT + 2


def test_nothing_more_of_the_mail_is_written_while_there_is_something_to_read(
    loop: FakeLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written to a server that has refused breaks the connection, and with it the reply."""
    looks: list[bytes] = []

    def look(connection: Connection) -> bool:
        """Something is there at each look, and after three of them it is read."""
        looks.append(bytes(player.transport.said))
        if len(looks) == 3:
            loop.call_soon(connection.data_received, b"550 5.7.1 no more\r\n")
        return len(looks) <= 3

    monkeypatch.setattr(Connection, "has_something_to_read", look)
    large = dataclasses.replace(TAKES, body="a line\n" * 100_000)
    player = MemoryPlayer(loop, dialog_of(large))
    for octets in list(REPLIES.values())[:4]:
        player.hear(octets)
    player.transport.said.clear()
    player.hear(REPLIES[Stage.DATA])

    assert looks == [b""] * 3
    assert isinstance(player.verdict, Failed)
    assert (player.verdict.kind, player.verdict.stage) == (FailureKind.SMTP, Stage.BODY)
    assert not player.verdict.maybe_accepted


def test_an_unsent_final_dot_is_not_maybe_accepted(loop: FakeLoop) -> None:
    class Broken(FakeTransport):
        """Breaks as the mail is written; the connection is told so a little later, as in TLS."""

        is_broken = False

        def is_closing(self) -> bool:
            return self.is_broken or super().is_closing()

        def write(self, data: bytes) -> None:
            assert not self.is_broken
            super().write(data)
            self.is_broken = len(data) > 1000

    large = dataclasses.replace(TAKES, body="a line\n" * 60_000)
    player = MemoryPlayer(loop, dialog_of(large), transport=Broken)
    for octets in list(REPLIES.values())[:5]:
        player.hear(octets)
    player.reset()

    assert isinstance(player.verdict, Failed)
    assert (player.verdict.kind, player.verdict.stage) == (FailureKind.CONNECTION, Stage.BODY)
    assert not player.verdict.maybe_accepted


def test_a_dot_that_waits_while_the_connection_breaks_leaves_no_doubt(
    loop: FakeLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Connection] = []

    class Breaking(FakeTransport):
        """Breaks after the first look."""

        def is_closing(self) -> bool:
            return bool(looks) or super().is_closing()

    def look(connection: Connection) -> bool:
        """Something is there to read when the dot is due; but that is the connection's end."""
        looks.append(connection)
        return True

    monkeypatch.setattr(Connection, "has_something_to_read", look)
    player = MemoryPlayer(loop, dialog_of(TAKES), transport=Breaking)
    for octets in list(REPLIES.values())[:5]:
        player.hear(octets)
    player.reset()

    assert looks
    assert isinstance(player.verdict, Failed)
    assert (player.verdict.kind, player.verdict.stage) == (FailureKind.CONNECTION, Stage.BODY)
    assert not player.verdict.maybe_accepted

"""When the end of a mail goes out under TLS: on a network in memory, with TLS that does nothing."""

from typing import Any, cast

import pytest
from conversations.memory import FakeLoop, MemoryPlayer

from pykka_smtp.actors import connection as connection_module
from pykka_smtp.actors import wire as wire_module
from pykka_smtp.smtp.content import CompleteContent
from pykka_smtp.smtp.delivery import Delivery
from pykka_smtp.smtp.dialog import Dialog
from pykka_smtp.smtp.envelope import Envelope
from pykka_smtp.smtp.session import Session
from pykka_smtp.smtp.verdict import Accepted, Failed, FailureKind

HALF, REST = b"<half", b"rest>"


class Plain:
    """Stands for a TLS channel: what is between the two marks can't be read before the second."""

    is_up = has_heard = True
    is_closed = False
    error = None
    session = version = cipher = None

    def __init__(self) -> None:
        self.has_part = False
        self.is_holding = False
        self._kept = b""

    def receive(self, octets: bytes) -> bytes:
        text, half, kept = octets.partition(HALF)
        if half:
            self.has_part, self._kept = True, kept
        elif REST in octets:
            self.has_part, text = False, self._kept + octets.replace(REST, b"")
        return text

    def take(self) -> bytes:
        return b""

    def encrypt(self, text: bytes) -> bytes:
        return text

    def close(self) -> bytes:
        return b""


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> FakeLoop:
    fake = FakeLoop()
    fake.is_selector_loop = False  # type: ignore[attr-defined]
    for module in (connection_module, wire_module):
        monkeypatch.setattr(module, "event_loop", lambda: fake)
    return fake


@pytest.fixture
def player(loop: FakeLoop) -> MemoryPlayer:
    """A session in which the server is to answer DATA."""
    session = Session(server="mx.test:25", ehlo_name="c.test")
    envelope = Envelope(reverse_path="a@b.test", forward_paths=("c@d.test",))
    content = CompleteContent(b"Subject: x\r\n\r\nhello\r\n")
    made = MemoryPlayer(loop, Dialog(Delivery(session, envelope, content)))
    cast("Any", made)._connection._tls = Plain()
    for reply in (b"220 x\r\n", b"250 x\r\n", b"250 ok\r\n", b"250 ok\r\n"):
        made.hear(reply)
    made.transport.said.clear()
    return made


def test_half_a_record_holds_the_end_of_a_mail_until_the_rest_is_here(
    player: MemoryPlayer,
) -> None:
    player.hear(b"354 go\r\n" + HALF)
    assert player.transport.said == b""

    player.hear(REST)  # it was a session ticket
    assert player.transport.said.endswith(b"\r\n.\r\n")

    player.hear(b"250 taken\r\n")
    assert isinstance(player.verdict, Accepted)


def test_a_verdict_in_half_a_record_before_the_end_of_a_mail_is_none(
    player: MemoryPlayer,
) -> None:
    player.hear(b"354 go\r\n" + HALF + b"250 ear")
    player.hear(REST + b"ly\r\n")

    assert player.transport.said == b""
    assert isinstance(player.verdict, Failed)
    assert player.verdict.kind is FailureKind.PROTOCOL
    assert not player.verdict.maybe_accepted


def test_half_a_record_behind_a_verdict_is_waited_for(player: MemoryPlayer) -> None:
    player.hear(b"354 go\r\n")
    player.hear(b"250 taken\r\n" + HALF)
    assert player.verdict is None

    player.hear(REST)

    assert isinstance(player.verdict, Accepted)


def test_half_a_record_that_never_ends_ends_in_time(player: MemoryPlayer) -> None:
    player.hear(b"354 go\r\n" + HALF)

    player.fall_silent()

    assert isinstance(player.verdict, Failed)
    assert player.verdict.kind is FailureKind.TIMEOUT
    assert not player.verdict.maybe_accepted


def test_text_that_cannot_be_encrypted_yet_is_not_out(player: MemoryPlayer) -> None:
    channel = cast("Any", player)._connection._tls
    channel.is_holding = True
    player.hear(b"354 go\r\n")
    channel.is_holding = False
    player.hear(b"")

    assert player.transport.said.endswith(b"\r\n.\r\n")
    player.hear(b"250 taken\r\n")
    assert isinstance(player.verdict, Accepted)

"""When the end of a mail goes out under TLS: on a network in memory, with TLS that does nothing."""

import ssl
from typing import Any, cast

import pytest
from conversations.memory import FakeLoop, MemoryPlayer

from pykka_smtp.actors.net.wire import closing_wire as closing_module
from pykka_smtp.actors.net.wire import connection as connection_module
from pykka_smtp.actors.net.wire import wire as wire_module
from pykka_smtp.smtp.mail.content import CompleteContent
from pykka_smtp.smtp.mail.envelope import Envelope
from pykka_smtp.smtp.session.dialog.dialog import Dialog
from pykka_smtp.smtp.session.opening.session import Session
from pykka_smtp.smtp.session.transaction.delivery import Delivery
from pykka_smtp.smtp.words.verdict import Accepted, Failed, FailureKind

HALF, REST = b"<half", b"rest>"


class Plain:
    """Stands for a TLS channel: what is between the two marks can't be read before the second."""

    is_up = has_heard = True
    is_closed = False
    error: ssl.SSLError | None = None
    session = version = cipher = None

    def __init__(self) -> None:
        self.has_part = False
        self.is_holding = False
        self.own = b""  # what TLS itself has to say
        self._kept = b""

    def receive(self, octets: bytes) -> bytes:
        text, half, kept = octets.partition(HALF)
        if half:
            self.has_part, self._kept = True, kept
        elif REST in octets:
            self.has_part, text = False, self._kept + octets.replace(REST, b"")
        return text

    def take(self) -> bytes:
        own, self.own = self.own, b""
        return own

    def encrypt(self, text: bytes) -> bytes:
        return text

    def close(self) -> bytes:
        return b""


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> FakeLoop:
    fake = FakeLoop()
    fake.is_selector_loop = False  # type: ignore[attr-defined]
    for module in (connection_module, closing_module, wire_module):
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


def test_half_a_record_holds_the_end_of_a_mail_until_the_rest_is_here(player: MemoryPlayer) -> None:
    player.hear(b"354 go\r\n" + HALF)
    assert player.transport.said == b""

    player.hear(REST)  # it was a session ticket
    assert player.transport.said.endswith(b"\r\n.\r\n")

    player.hear(b"250 taken\r\n")
    assert isinstance(player.verdict, Accepted)


def test_a_reply_in_a_partial_record_before_the_end_of_mail_data_does_not_count(
    player: MemoryPlayer,
) -> None:
    player.hear(b"354 go\r\n" + HALF + b"250 ear")
    player.hear(REST + b"ly\r\n")

    assert player.transport.said == b""
    assert isinstance(player.verdict, Failed)
    assert (player.verdict.kind, player.verdict.maybe_accepted) == (FailureKind.PROTOCOL, False)


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
    assert (player.verdict.kind, player.verdict.maybe_accepted) == (FailureKind.TIMEOUT, False)


def test_text_that_cannot_be_encrypted_yet_is_not_out(player: MemoryPlayer) -> None:
    channel = cast("Any", player)._connection._tls
    channel.is_holding = True
    player.hear(b"354 go\r\n")
    channel.is_holding = False
    player.hear(b"")

    assert player.transport.said.endswith(b"\r\n.\r\n")
    player.hear(b"250 taken\r\n")
    assert isinstance(player.verdict, Accepted)


# A whole transaction in one write.


@pytest.fixture
def whole(loop: FakeLoop) -> MemoryPlayer:
    """A session in which the server is to answer EHLO, and a mail that may go out in one write."""
    session = Session(server="mx.test:25", ehlo_name="c.test")
    envelope = Envelope(reverse_path="a@b.test", forward_paths=("c@d.test",))
    content = CompleteContent(b"Subject: x\r\n\r\nhello\r\n")
    made = MemoryPlayer(loop, Dialog(Delivery(session, envelope, content, keep_open=True)))
    cast("Any", made)._connection._tls = Plain()
    made.hear(b"220 x\r\n")
    made.transport.said.clear()
    return made


EHLO = b"250-x\r\n250-PIPELINING\r\n250 CHUNKING\r\n"


def test_half_a_record_holds_a_whole_transaction_until_the_rest_is_here(
    whole: MemoryPlayer,
) -> None:
    whole.hear(EHLO + HALF)
    assert whole.transport.said == b""

    whole.hear(REST)  # it was a session ticket
    assert whole.transport.said.startswith(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nBDAT 21")
    assert whole.transport.said.endswith(b"hello\r\n")

    whole.hear(b"250 ok\r\n250 ok\r\n250 taken\r\n")
    assert isinstance(whole.verdict, Accepted)


def test_replies_begun_in_a_partial_record_before_a_speculative_transfer_do_not_count(
    whole: MemoryPlayer,
) -> None:
    whole.hear(EHLO + HALF + b"250 early\r\n250 early\r\n250 ear")
    whole.hear(REST + b"ly\r\n")

    assert whole.transport.said == b""
    assert isinstance(whole.verdict, Failed)
    assert (whole.verdict.kind, whole.verdict.maybe_accepted) == (FailureKind.PROTOCOL, False)


def test_half_a_record_that_never_ends_before_a_whole_transaction_ends_in_time(
    whole: MemoryPlayer,
) -> None:
    whole.hear(EHLO + HALF)

    whole.fall_silent()

    assert isinstance(whole.verdict, Failed)
    assert (whole.verdict.kind, whole.verdict.maybe_accepted) == (FailureKind.TIMEOUT, False)


# Where the system does not take all at once.


class Slow:
    """The system does not take the end of a mail until it is told to."""

    def __init__(self, player: MemoryPlayer, patch: pytest.MonkeyPatch) -> None:
        self.waiting = 0
        self.player = player
        self._write = player.transport.write
        patch.setattr(player.transport, "write", self.write)
        patch.setattr(player.transport, "get_write_buffer_size", lambda: self.waiting)

    def write(self, octets: bytes) -> None:
        self._write(octets)
        self.waiting += len(octets)

    def take(self) -> None:
        self.waiting = 0
        cast("Any", self.player)._connection.resume_writing()


def test_a_record_begun_before_the_mail_data_was_sent_does_not_count(
    player: MemoryPlayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(player, monkeypatch)
    player.hear(b"354 go\r\n")
    player.hear(HALF + b"250 ear")

    slow.take()
    player.hear(REST + b"ly\r\n")

    assert isinstance(player.verdict, Failed)
    assert (player.verdict.kind, player.verdict.maybe_accepted) == (FailureKind.PROTOCOL, True)


def test_what_tls_itself_has_to_say_does_not_hide_when_a_mail_has_left(
    player: MemoryPlayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(player, monkeypatch)
    player.hear(b"354 go\r\n")
    cast("Any", player)._connection._tls.own = b"<own>"  # the answer to what comes now
    player.hear(b"")
    assert player.transport.said.endswith(b"\r\n.\r\n")

    slow.take()
    assert player.transport.said.endswith(b"\r\n.\r\n<own>")

    player.reset()
    assert isinstance(player.verdict, Failed)
    assert player.verdict.maybe_accepted


def test_a_mail_that_broke_as_it_was_written_leaves_no_doubt(
    player: MemoryPlayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(_octets: bytes) -> None:
        player.transport.is_closed = True  # connection_lost() is on its way

    monkeypatch.setattr(player.transport, "write", breaks)
    player.hear(b"354 go\r\n")
    player.transport.is_closed = False
    player.reset()

    assert isinstance(player.verdict, Failed)
    assert (player.verdict.kind, player.verdict.maybe_accepted) == (FailureKind.CONNECTION, False)


def test_a_mail_that_tls_did_not_encrypt_leaves_no_doubt(player: MemoryPlayer) -> None:
    connection = cast("Any", player)._connection

    def breaks(_text: bytes) -> bytes:
        connection._tls.error = ssl.SSLError(1, "broken")
        return b""

    connection._tls.encrypt = breaks
    player.hear(b"354 go\r\n")

    assert isinstance(player.verdict, Failed)
    assert (player.verdict.kind, player.verdict.maybe_accepted) == (FailureKind.CONNECTION, False)


def test_tls_that_breaks_while_nobody_uses_a_connection_ends_it(
    player: MemoryPlayer, loop: FakeLoop
) -> None:
    class Keeper:
        is_closed = False

        def closed(self) -> None:
            self.is_closed = True

    connection, keeper = cast("Any", player)._connection, Keeper()
    connection.set_idle(keeper)
    connection._tls.error = ssl.SSLError(1, "bad record mac")

    connection.data_received(b"")
    loop.run()

    assert player.transport.is_closed
    assert keeper.is_closed
    assert not connection.is_reusable

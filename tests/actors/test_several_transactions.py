"""A mail that goes out more than once in a session, on real sockets: in memory, and from files."""

import io
import socket
from pathlib import Path
from typing import Any

import pytest
from servers.scripted import Polite, ScriptedServer, Start, polite

from pykka_smtp import Dsn, FailureKind, SendFailure, SendMail, SendSuccess, SmtpActor
from pykka_smtp.actors.net.connecting import sockets as sockets_module
from pykka_smtp.testing.moods import At, Moment

PATIENCE = 20.0  # seconds; reached only by a test that fails

pytest_on_both_loops = pytest.mark.usefixtures("loop_kind")

HEADER = b"From: a@b.test\r\nSubject: to many\r\n\r\n"
SMALL = HEADER + b".\r\n..b\r\nend\r\n"
LARGE = HEADER + b"".join(b"%06d %s\r\n" % (number, b"x" * 60) for number in range(8000))
TO = tuple(f"u{number}@d.test" for number in range(1, 6))
OFFERS = {
    "DATA": ("LIMITS RCPTMAX=2",),
    "groups": ("LIMITS RCPTMAX=2", "PIPELINING", "SIZE"),
    "BDAT": ("LIMITS RCPTMAX=2", "PIPELINING", "CHUNKING"),
}


def send(server: ScriptedServer, message: Any, **given: Any) -> Any:
    mail = SendMail(sender="a@b.test", recipients=TO, message=message, **given)
    return SmtpActor.start(server.host, server.port).ask(mail, timeout=PATIENCE)


def source_of(kind: str, data: bytes, tmp_path: Path) -> Any:
    if kind == "bytes":
        return data
    path = tmp_path / "mail.eml"
    path.write_bytes(b"not this" + data if kind == "file" else data)
    return path


@pytest_on_both_loops
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("kind", ["bytes", "path", "file"])
@pytest.mark.parametrize("offers", list(OFFERS.values()), ids=list(OFFERS))
def test_each_batch_of_recipients_gets_the_whole_mail(
    offers: tuple[str, ...], kind: str, data: bytes, tmp_path: Path, scripted_server: Start
) -> None:
    server = scripted_server(polite(*offers))
    message = source_of(kind, data, tmp_path)
    if kind == "file":
        with message.open("rb") as file:
            file.seek(len(b"not this"))  # read from where it stands, each time
            outcome = send(server, file)
            assert not file.closed
    else:
        outcome = send(server, message)

    assert isinstance(outcome, SendSuccess)
    assert (outcome.refused, outcome.warnings) == ((), ())
    assert [mail.recipients for mail in server.mails] == [TO[:2], TO[2:4], TO[4:]]
    assert [mail.data for mail in server.mails] == [data] * 3


@pytest_on_both_loops
@pytest.mark.parametrize("kind", ["bytes", "path"])
@pytest.mark.parametrize("chunking", [(), ("CHUNKING",)], ids=["DATA", "BDAT"])
def test_on_a_slow_line_no_batch_gets_the_beginning_of_a_mail_for_the_whole(
    chunking: tuple[str, ...],
    kind: str,
    tmp_path: Path,
    scripted_server: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where even the commands after the first mail wait, its end is not written once more."""
    connect = sockets_module.Connector.sock_connect

    async def narrow(self: Any, sock: socket.socket, address: Any) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        await connect(self, sock, address)

    monkeypatch.setattr(sockets_module.Connector, "sock_connect", narrow)
    server = scripted_server(polite("PIPELINING", *chunking))
    server._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # inherited
    domain = ".".join(["d" * 60] * 3)
    to = [f"{number:060}@{domain}" for number in range(200)]
    message = source_of(kind, LARGE, tmp_path)
    mail = SendMail(sender="a@b.test", recipients=to, message=message)

    outcome = SmtpActor.start("localhost", server.port).ask(mail, timeout=PATIENCE)

    assert isinstance(outcome, SendSuccess), outcome
    assert [len(mail.recipients) for mail in server.mails] == [100, 100]
    assert [mail.data for mail in server.mails] == [LARGE] * 2


@pytest.mark.parametrize("kind", ["bytes", "path"])
def test_a_mail_that_is_refused_for_one_batch_is_whole_for_the_next(
    kind: str, tmp_path: Path, scripted_server: Start
) -> None:
    replies = {TO[0]: "550 5.1.1 who?", TO[1]: "450 4.2.0 later"}
    server = scripted_server(polite("LIMITS RCPTMAX=2", "PIPELINING", replies=replies))

    outcome = send(server, source_of(kind, LARGE, tmp_path))

    assert isinstance(outcome, SendSuccess)
    assert [(r.address, r.retryable) for r in outcome.refused] == [(TO[0], False), (TO[1], True)]
    assert [mail.data for mail in server.mails] == [LARGE] * 2
    assert "RSET" in server.lines


def test_who_was_not_tried_is_told_with_a_warning(scripted_server: Start) -> None:
    outcome = send(scripted_server(polite("LIMITS MAILMAX=1 RCPTMAX=2")), SMALL)

    assert isinstance(outcome, SendSuccess)
    assert [(r.address, r.retryable, r.reply) for r in outcome.refused] == [
        (address, True, None) for address in TO[2:]
    ]
    (warning,) = outcome.warnings
    assert "MAILMAX" in warning


def test_a_file_that_can_be_read_only_once_is_not_begun(scripted_server: Start) -> None:
    class Once(io.BytesIO):
        def seekable(self) -> bool:
            return False

    server = scripted_server(polite("LIMITS RCPTMAX=2"))

    outcome = send(server, Once(SMALL))

    assert isinstance(outcome, SendFailure)
    assert outcome.kind is FailureKind.LOCAL
    assert server.mails == ()


def test_a_file_that_changes_between_two_transactions_is_not_sent_again(
    tmp_path: Path, scripted_server: Start
) -> None:
    path = tmp_path / "mail.eml"
    path.write_bytes(LARGE)

    def change(_moment: Moment) -> None:
        path.write_bytes(LARGE[: len(LARGE) // 2])

    server = scripted_server(Polite("LIMITS RCPTMAX=2", moods=[At(".", change)]))

    outcome = send(server, path)

    assert isinstance(outcome, SendSuccess)
    assert [r.accepted for r in outcome.recipients] == [True, True, False, False, False]
    assert not any(r.maybe_accepted for r in outcome.recipients)
    (warning,) = outcome.warnings
    assert "the email changed while it was sent" in warning
    assert server.accepted == 1


def test_each_transaction_asks_for_the_same(scripted_server: Start) -> None:
    server = scripted_server(polite("LIMITS RCPTMAX=2", "DSN", "MT-PRIORITY"))

    outcome = send(server, SMALL, dsn=Dsn(notify="failure", envid="x 1"), priority=3)

    assert isinstance(outcome, SendSuccess)
    commands = [line for line in server.lines if line.startswith(("MAIL", "RCPT"))]
    assert commands.count("MAIL FROM:<a@b.test> MT-PRIORITY=3 ENVID=x+201") == 3
    assert [line for line in commands if line.startswith("RCPT")] == [
        f"RCPT TO:<{address}> NOTIFY=FAILURE" for address in TO
    ]


@pytest_on_both_loops
@pytest.mark.parametrize("kind", ["bytes", "path"])
@pytest.mark.parametrize("offers", [("CHUNKING",), ("CHUNKING", "BINARYMIME")], ids=str)
@pytest.mark.parametrize("end", [b"", b"\r", b"\r\n", b"end"], ids=repr)
def test_the_verdict_on_a_large_chunk_is_not_taken_for_an_early_one(
    end: bytes, offers: tuple[str, ...], kind: str, tmp_path: Path, scripted_server: Start
) -> None:
    # What completes a chunk is its last octet: that must not go out before the look for a reply.
    server = scripted_server(polite(*offers))
    data = LARGE + end

    outcome = send(server, source_of(kind, data, tmp_path))

    assert isinstance(outcome, SendSuccess)
    (mail,) = server.mails
    assert mail.data == data.removesuffix(b"\r") + (b"\r\n" if end in (b"\r", b"end") else b"")


@pytest_on_both_loops
@pytest.mark.parametrize("size", [131_071, 131_072, 131_073, 262_144, 400_000])
def test_a_large_binary_chunk_arrives_octet_for_octet(size: int, scripted_server: Start) -> None:
    server = scripted_server(polite("CHUNKING", "BINARYMIME", "8BITMIME"))
    data = (b"\0\r.\n" * (size // 4 + 1))[:size]

    outcome = send(server, data)

    assert isinstance(outcome, SendSuccess)
    assert [mail.data for mail in server.mails] == [data]
    assert f"BDAT {size} LAST" in server.lines


def test_a_file_of_a_mail_that_nobody_wanted_stands_where_it_stood(
    tmp_path: Path, scripted_server: Start
) -> None:
    server = scripted_server(polite(replies={"MAIL": "451 4.3.0 later"}))
    with source_of("file", SMALL, tmp_path).open("rb") as file:
        file.seek(len(b"not this"))

        outcome = send(server, file)

        assert isinstance(outcome, SendFailure)
        assert file.tell() == len(b"not this")  # ready for another attempt

"""The server on an event loop, as its processes run it; here in a thread, to be looked at."""

import asyncio
import contextlib
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from servers.certificates import Certificates, Tls, server_context
from servers.waiting import PATIENCE

from pykka_smtp.testing.moods import At, Moment, Mood
from pykka_smtp.testing.polite import Polite
from pykka_smtp.testing.stages.process import Served
from pykka_smtp.testing.talk.acts import Act, Deed, Drip, Hold, Pause, Wait
from pykka_smtp.testing.talk.ledger import Ledger


@contextlib.contextmanager
def serving(make: Callable[[], Served]) -> Iterator[int]:
    """Serve on a loop in a thread; give the port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    made: list[Served] = []

    def session() -> Served:
        made.append(make())
        return made[-1]

    async def stop(server: asyncio.Server) -> None:
        server.close()
        for one in made:
            one.transport.abort()
        for _ in range(2):  # turns: `abort` has connection_lost called in the next one
            await asyncio.sleep(0)

    try:
        server = asyncio.run_coroutine_threadsafe(
            loop.create_server(session, "127.0.0.1", 0), loop
        ).result(PATIENCE)
        yield server.sockets[0].getsockname()[1]
        asyncio.run_coroutine_threadsafe(stop(server), loop).result(PATIENCE)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()


def ledger() -> Ledger:
    return Ledger(0, "loop", threading.Condition())


@contextlib.contextmanager
def client(port: int) -> Iterator[smtplib.SMTP]:
    connection = smtplib.SMTP("127.0.0.1", port, "c.test", timeout=PATIENCE)
    try:
        yield connection
    finally:
        connection.close()


def mooded(stage: str, *acts: Act) -> Mood:
    def do(moment: Moment) -> list[Act]:
        return [*acts, moment.reply]

    return At(stage, do)


@pytest.mark.parametrize("is_kept", [False, True])
@pytest.mark.parametrize("size", [10, 300_000])
def test_mails_are_taken_whether_they_are_kept_or_not(size: int, *, is_kept: bool) -> None:
    kept = ledger()
    make = lambda: Served(Polite("PIPELINING"), kept if is_kept else None)  # noqa: E731
    with serving(make) as port, client(port) as connection:
        for _ in range(3):
            connection.sendmail("a@b.test", ["c@d.test"], b"x" * size)
        connection.quit()

    assert [len(mail.data) for mail in kept.mails] == ([size + 2] * 3 if is_kept else [])
    assert all(mail.accepted for mail in kept.mails)


@pytest.mark.parametrize("is_kept", [False, True])
def test_chunks_are_taken_whether_they_are_kept_or_not(*, is_kept: bool) -> None:
    kept = ledger()
    make = lambda: Served(Polite(), kept if is_kept else None)  # noqa: E731
    with serving(make) as port, client(port) as connection:
        connection.mail("a@b.test")
        connection.rcpt("c@d.test")
        connection.send(b"BDAT 3\r\nabc")
        assert connection.getreply()[0] == 250
        connection.send(b"BDAT 3 LAST\r\n")
        connection.send(b"def")
        assert connection.getreply()[0] == 250

    assert [mail.data for mail in kept.mails] == ([b"abcdef"] if is_kept else [])


def test_what_takes_its_time_is_waited_for() -> None:
    event = threading.Event()
    later = threading.Timer(0.05, event.set)
    moods: list[Mood] = [
        mooded("EHLO", Pause(0.01)),
        mooded("MAIL", Wait(event)),
        mooded("RCPT", Hold(lambda go_on: asyncio.get_running_loop().call_soon(go_on))),
        At("DATA", lambda moment: [Drip(moment.reply, interval=0.001)]),
    ]
    later.start()
    with serving(lambda: Served(Polite(moods=moods), ledger())) as port, client(port) as connection:
        connection.sendmail("a@b.test", ["c@d.test"], b"x")
        assert event.is_set()
    later.join()


@pytest.mark.parametrize(
    ("deed", "heard"), [(Deed.CLOSE, b""), (Deed.RESET, None), (Deed.SILENCE, "")], ids=str
)
@pytest.mark.parametrize("stage", ["greeting", "QUIT"])
def test_a_session_can_end_in_all_ways(stage: str, deed: Deed, heard: Any) -> None:
    # It waits for the client, whose connection stands by then.
    server = Polite(moods=[At(stage, lambda _moment: [Deed.OCTETS, deed])])
    with (
        serving(lambda: Served(server)) as port,
        socket.create_connection(("127.0.0.1", port), timeout=0.2) as sock,
    ):
        if stage == "QUIT":
            assert sock.recv(100).startswith(b"220 ")
        sock.sendall(b"QUIT\r\nNOOP\r\n")
        try:
            assert sock.recv(100) == heard
        except TimeoutError:
            assert heard == ""
        except ConnectionResetError:
            assert heard is None


def test_tls_begins_and_a_client_that_does_not_trust_it_is_let_go(
    certificates: Certificates,
) -> None:
    context = server_context(Tls(certificate=certificates.good))
    with serving(lambda: Served(Polite("STARTTLS"), ledger(), context)) as port:
        with client(port) as connection, pytest.raises(ssl.SSLCertVerificationError):
            connection.starttls(context=ssl.create_default_context())
        connection = smtplib.SMTP("localhost", port, "c.test", timeout=PATIENCE)
        connection.starttls(context=certificates.trusting())
        assert not connection.has_extn("STARTTLS")
        connection.sendmail("a@b.test", ["c@d.test"], b"x")
        connection.close()

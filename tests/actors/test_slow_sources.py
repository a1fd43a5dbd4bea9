"""A file that takes its time to open, or never does, holds up no other mail."""

import os
from pathlib import Path
from typing import Any

import pytest
from servers.scripted import ScriptedServer
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import Mailer, SendFailure, SendMail, SendSuccess, SmtpActor
from pykka_smtp.actors import preparation
from pykka_smtp.actors.net.connection_limit import connection_limit


@pytest.fixture
def pipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop_kind: str) -> list[Path]:
    """Two named pipes without a writer; nobody waits long for them."""
    monkeypatch.setattr(preparation, "_PROMPT", 0.05)
    made = [tmp_path / "one", tmp_path / "two"]
    for pipe in made:
        os.mkfifo(pipe)
    return made


def write(pipe: Path) -> None:
    """Write a mail into a pipe that somebody reads."""
    with pipe.open("wb") as writer:
        writer.write(b"Subject: late\r\n\r\nhello\r\n")


def mail(message: Any) -> SendMail:
    return SendMail(sender="a@b.test", recipients="c@d.test", message=message)


PLAIN = b"Subject: x\r\n\r\nhello\r\n"


def test_pipes_without_a_writer_do_not_use_up_the_connections_of_the_process(
    pipes: list[Path], server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_limit, "most", 2)

    def ask(message: Any) -> Any:
        return SmtpActor.start(server.host, server.port).ask(mail(message), block=False)

    late = [ask(pipe) for pipe in pipes]
    assert isinstance(ask(PLAIN).get(timeout=PATIENCE), SendSuccess)
    assert len(server.sessions) == 1

    for pipe in pipes:
        write(pipe)
    assert all(isinstance(one.get(timeout=PATIENCE), SendSuccess) for one in late)
    assert wait_until(lambda: not connection_limit._in_use, PATIENCE)


def test_pipes_without_a_writer_do_not_use_up_the_places_of_a_mailer(
    pipes: list[Path], server: ScriptedServer
) -> None:
    ref = Mailer.start(server.host, server.port, max_connections=1, grace=1.0)
    late = [ref.ask(mail(pipe), block=False) for pipe in pipes]

    assert isinstance(ref.ask(mail(PLAIN), timeout=PATIENCE), SendSuccess)
    for pipe in pipes:
        write(pipe)

    assert all(isinstance(one.get(timeout=PATIENCE), SendSuccess) for one in late)
    assert len(server.sessions) == 1, "never more connections than it may have"
    assert ref.stop(timeout=PATIENCE)


def test_a_mailer_with_a_pipe_without_a_writer_can_be_stopped(
    pipes: list[Path], server: ScriptedServer
) -> None:
    ref = Mailer.start(server.host, server.port, max_connections=1, grace=0.1)
    late = ref.ask(mail(pipes[0]), block=False)
    assert isinstance(ref.ask(mail(PLAIN), timeout=PATIENCE), SendSuccess)

    assert ref.stop(timeout=PATIENCE)

    outcome = late.get(timeout=PATIENCE)
    assert isinstance(outcome, SendFailure)
    assert outcome.kind.name == "CANCELLED"

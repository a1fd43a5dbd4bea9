"""Fixtures for the tests of the actors: each test that wants it runs on both event loops."""

import contextlib
import importlib.util
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pykka_smtp import Outcome, set_connection_limit, smtp_send_failure, smtp_send_success
from pykka_smtp.actors.net.connection_limit import connection_limit
from servers.mailing import Mailing
from servers.program import Run
from servers.scripted import ScriptedServer
from servers.waiting import PATIENCE, wait_until


def loop_has_ended() -> bool:
    return not any(thread.name == "pykka-smtp-loop" for thread in threading.enumerate())


@contextlib.contextmanager
def on_loop(kind: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the loop thread start with this loop; it must not run before and after."""
    if kind == "uvloop" and importlib.util.find_spec("uvloop") is None:
        pytest.skip("uvloop is not installed")
    assert wait_until(loop_has_ended, PATIENCE), "the loop thread of the test before still runs"
    with monkeypatch.context() as patch:
        patch.setenv("PYKKA_SMTP_LOOP", kind)
        yield
        wait_until(loop_has_ended, PATIENCE)


@pytest.fixture(params=["uvloop", "asyncio"])
def loop_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run the test once on uvloop, once on the standard library's loop."""
    with on_loop(request.param, monkeypatch):
        yield request.param


@pytest.fixture
def loops(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], contextlib.AbstractContextManager[None]]:
    """Give `on_loop`, for tests that choose for themselves."""
    return lambda kind: on_loop(kind, monkeypatch)


class Outcomes:
    """What the two signals said, in order."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.all: list[Outcome] = []

    def __call__(self, sender: str, outcome: Outcome, **extra: Any) -> None:
        with self.changed:
            self.all.append(outcome)
            self.changed.notify_all()

    def wait_for(self, count: int, timeout: float = PATIENCE) -> list[Outcome]:
        """Wait for so many outcomes, and return all that came."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.all) >= count, timeout), (
                f"{len(self.all)} of {count} outcomes came within {timeout} s"
            )
            return list(self.all)


@pytest.fixture
def outcomes() -> Outcomes:
    """Hear both signals. (The fixture for all tests disconnects.)"""
    heard = Outcomes()
    # Connected strongly: nobody else need keep it.
    smtp_send_success.connect(heard, weak=False)
    smtp_send_failure.connect(heard, weak=False)
    return heard


@pytest.fixture
def limit() -> Iterator[Callable[[int], None]]:
    """Set the process's limit of connections, for this test."""
    before = connection_limit.limit
    yield set_connection_limit
    set_connection_limit(before)


@pytest.fixture
def no_thread(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make threads of a name fail to start, as on a machine that is out of them."""
    start = threading.Thread.start
    refused: list[str] = []

    def refuse(self: threading.Thread) -> None:
        if any(self.name.startswith(name) for name in refused):
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    return refused.append


@pytest.fixture
def mailing(request: pytest.FixtureRequest, outcomes: Outcomes) -> Iterator[Mailing]:
    """Tell mails; each must have had one outcome in the end."""

    def serve(*scripts: Any, **options: Any) -> ScriptedServer:
        # Asked for as late as this, servers end before the Mailers do: none waits for them.
        server: ScriptedServer = request.getfixturevalue("scripted_server")(*scripts, **options)
        return server

    with Mailing(outcomes, serve) as made:
        yield made


@pytest.fixture(params=["uvloop", "asyncio"])
def program_loop(request: pytest.FixtureRequest) -> str:
    """Run the programs on one loop, and then on the other."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    return str(request.param)


@pytest.fixture
def run(
    request: pytest.FixtureRequest, program_loop: str, scripted_server: Callable[..., Any]
) -> Iterator[Run]:
    """Run programs that begin with the module's ``PRELUDE``."""
    with Run(program_loop, request.module.PRELUDE, scripted_server) as runs:
        yield runs

"""Fixtures for the tests of the Mailer."""

import contextlib
import datetime as dt
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pykka_smtp import smtp_send_retry
from pykka_smtp.actors.mailer.capacity.concurrency import ConcurrencyWindow
from pykka_smtp.actors.mailer.connections import relay as relay_module
from servers.door import Door
from servers.waiting import PATIENCE


@pytest.fixture
def door(scripted_server: Callable[..., Any]) -> Iterator[Door]:
    """Opened at the latest when the test ends, before the server waits for its threads."""
    made = Door()
    yield made
    made.open()


@pytest.fixture
def quick_probes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have relays that are dead probed soon: ours recover faster than others'.

    A module's ``PROBES`` are the seconds to the first probe, and the most between two.
    """
    pause, longest = request.module.PROBES

    def quick(most: int, *, first: int, longest_pause: float) -> ConcurrencyWindow:
        assert longest_pause >= longest
        return ConcurrencyWindow(most, first=first, pause=pause, longest_pause=longest)

    monkeypatch.setattr(relay_module, "ConcurrencyWindow", quick)


@pytest.fixture
def dead() -> Iterator[Callable[[], str]]:
    """Give URLs of relays that refuse all connections: nobody listens on their ports."""
    with contextlib.ExitStack() as sockets:

        def make() -> str:
            bound = sockets.enter_context(socket.socket())
            bound.bind(("127.0.0.1", 0))
            return f"smtp://127.0.0.1:{bound.getsockname()[1]}"

        yield make


class Retries:
    """What the retry signal said, in order."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.all: list[dict[str, Any]] = []

    def __call__(self, sender: str, **given: Any) -> None:
        with self.changed:
            self.all.append({"sender": sender, "heard_at": dt.datetime.now(dt.UTC)} | given)
            self.changed.notify_all()

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        """Wait for so many, and return all that came."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.all) >= count, PATIENCE), self.all
            return list(self.all)

    @property
    def attempts(self) -> list[int]:
        """The numbers of the attempts."""
        return [heard["attempt"] for heard in self.all]


@pytest.fixture
def retries() -> Iterator[Retries]:
    """Hear of retries."""
    heard = Retries()
    with smtp_send_retry.connected_to(heard):
        yield heard

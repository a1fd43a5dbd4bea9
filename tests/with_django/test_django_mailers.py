"""The Mailers of a process that uses Django: one for each set of options, and not too many."""

import threading
from collections.abc import Iterator
from typing import Any

import pykka
import pytest
from servers.scripted import ScriptedServer
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import Drain
from pykka_smtp.testing import Server, hold
from with_django.rig import Backend, message, stop_mailers

# What is internal comes after the rig, which skips where there is no Django.
from pykka_smtp.django import mailers as module  # isort: skip


@pytest.fixture
def kept() -> Iterator[module.Mailers]:
    """Give a collection of its own, whose Mailers are stopped."""
    made = module.Mailers()
    yield made
    assert made.stop(PATIENCE)


def options(port: int, **more: Any) -> dict[str, Any]:
    return {"server": "127.0.0.1", "port": port} | more


def test_equal_options_are_one_mailer_and_others_another(kept: module.Mailers) -> None:
    with (
        kept.using(options(25)) as one,
        kept.using(options(25)) as same,
        kept.using(options(26)) as other,
    ):
        pass

    assert one is same
    assert one is not other


def test_a_mailer_that_was_stopped_is_replaced(kept: module.Mailers) -> None:
    with kept.using(options(25)) as one:
        pass
    one.stop()

    with kept.using(options(25)) as another:
        assert another.is_alive()


def test_beyond_the_bound_the_one_that_was_unused_for_longest_ends_when_it_is_done(
    kept: module.Mailers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    refs = []
    for port in (1, 2, 1, 3):
        with kept.using(options(port)) as ref:
            refs.append(ref)

    assert refs[1].actor_stopped.wait(PATIENCE)  # port 2
    assert refs[0].is_alive()
    assert refs[3].is_alive()


def test_a_mailer_in_use_does_not_end(
    kept: module.Mailers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 1)
    with kept.using(options(1)) as used:
        with kept.using(options(2)):
            pass
        assert used.is_alive()
        assert used.ask(Drain())

    assert len(kept._entries) == 2  # more than the bound, while they are in use


def test_an_invalid_option_starts_none(kept: module.Mailers) -> None:
    with pytest.raises(ValueError, match="port"), kept.using(options(0)):
        pass

    assert kept._entries == []
    assert pykka.ActorRegistry.get_all() == []


def test_to_stop_waits_for_what_nobody_waits_for(server: ScriptedServer, backend: Backend) -> None:
    backend(server, wait=False, max_connections=1).send_messages([message() for _ in range(30)])

    assert stop_mailers(PATIENCE)

    assert server.accepted == 30
    assert pykka.ActorRegistry.get_all() == []


def test_to_stop_waits_no_longer_than_it_is_told(backend: Backend) -> None:
    go = threading.Event()
    with Server(hold(".", go)) as server:
        one = message()
        backend(server, wait=False, grace=0.1).send_messages([one])
        assert wait_until(lambda: server.sessions, PATIENCE)

        assert not stop_mailers(0.1)
        go.set()

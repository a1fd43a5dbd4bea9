"""Each attempt of a Mailer is a Pykka actor, though its parts are made only when somebody looks."""

import copy
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from pykka import ActorDeadError, ActorRef, ActorRegistry
from servers.door import Door
from servers.mailing import Mailing
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import Mailer, SmtpActor
from pykka_smtp.actors.loop.actor_parts import StopFlag
from pykka_smtp.actors.loop.inbox import Inbox
from pykka_smtp.actors.mailer.connections import lazy_actor
from pykka_smtp.actors.mailer.connections.lazy_actor import LazyActorRef
from pykka_smtp.actors.mailer.connections.pooled_smtp_actor import PooledSmtpActor
from pykka_smtp.actors.smtp_actor import SmtpActorRef

EMAILS = 1_000


def attempts() -> list[ActorRef[Any]]:
    return list(ActorRegistry.get_by_class(PooledSmtpActor))


def test_amid_1000_emails_each_attempt_is_registered_and_one_of_them_can_be_stopped(
    loop_kind: str, mailing: Mailing, door: Door
) -> None:
    ref = mailing.start(mailing.serve(door), max_connections=5, initial_connections=5)
    mailing.tell(ref, EMAILS)
    wait_until(lambda: len(attempts()) == 5, PATIENCE)

    found = attempts()
    assert all(isinstance(one, SmtpActorRef) and one.is_alive() for one in found)
    assert set(found) <= set(ActorRegistry.get_all())
    assert len({one.actor_urn for one in found}) == 5
    chosen = found[2]
    assert ActorRegistry.get_by_urn(chosen.actor_urn) is chosen
    assert chosen.actor_class is PooledSmtpActor
    assert str(chosen) == f"PooledSmtpActor ({chosen.actor_urn})"
    assert chosen.stop(timeout=PATIENCE)
    door.open()

    assert not chosen.is_alive()
    assert mailing.kinds() == {"accepted": EMAILS - 1, "CANCELLED": 1}
    with pytest.raises(ActorDeadError):
        chosen.tell("anything")


def test_the_registry_can_be_looked_at_all_the_time(loop_kind: str, mailing: Mailing) -> None:
    """Threads look at, and ask, actors that are just beginning or ending."""
    ref = mailing.start(mailing.serve(), max_connections=4, initial_connections=4)
    seen: set[str] = set()
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            for one in attempts():
                seen.add(one.actor_urn)
                one.is_alive()
                repr(one)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        # Few: two threads that never rest leave little time to the loop's thread.
        mailing.tell(ref, 150)
        assert mailing.kinds() == {"accepted": 150}
    finally:
        is_over.set()
        for looker in lookers:
            looker.join(PATIENCE)
    assert seen
    assert wait_until(lambda: attempts() == [], PATIENCE)  # the last one leaves after its outcome


def test_stop_all_stops_the_attempts_of_a_mailer_too(mailing: Mailing, door: Door) -> None:
    ref = mailing.start(mailing.serve(door), max_connections=3, initial_connections=3)
    mailing.tell(ref, 9)
    wait_until(lambda: len(attempts()) == 3, PATIENCE)

    stopped = ActorRegistry.stop_all(timeout=PATIENCE)
    door.open()

    assert all(stopped)
    assert mailing.kinds() == {"CANCELLED": 9}


def test_a_ref_that_nobody_has_looked_at_does_not_keep_a_stopped_actor(
    mailing: Mailing, door: Door
) -> None:
    ref = mailing.start(mailing.serve(door), max_connections=1)
    mailing.tell(ref, 1)
    wait_until(lambda: len(attempts()) == 1, PATIENCE)
    (kept,) = attempts()
    assert "made_parts" not in vars(kept)
    actor = weakref.ref(kept._actor)  # type: ignore[attr-defined]

    door.open()
    mailing.outcomes()
    wait_until(lambda: attempts() == [], PATIENCE)
    gc.collect()

    assert actor() is None
    assert not kept.is_alive()
    assert kept.actor_urn == kept.actor_urn
    with pytest.raises(ActorDeadError):
        kept.tell("anything")
    with pytest.raises(ActorDeadError):
        kept.ask("anything", timeout=PATIENCE)
    with pytest.raises(ActorDeadError):
        kept.proxy()


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_ref_that_nobody_has_looked_at_stops_the_same_actor(
    copied: Callable[[ActorRef[Any]], ActorRef[Any]], mailing: Mailing, door: Door
) -> None:
    ref = mailing.start(mailing.serve(door), max_connections=1)
    mailing.tell(ref, 1)
    wait_until(lambda: len(attempts()) == 1, PATIENCE)
    (one,) = attempts()

    other = copied(one)

    assert other.actor_urn == one.actor_urn
    assert other.stop(timeout=PATIENCE)
    assert not one.is_alive()
    assert not other.is_alive()
    assert mailing.kinds() == {"CANCELLED": 1}
    door.open()


def test_parts_that_are_made_while_the_actor_stops_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Actor:
        """Stands for one that is about to stop."""

    ref: LazyActorRef[Any] = LazyActorRef(Actor())

    def stopping(make: Callable[[], Any]) -> Callable[[], Any]:
        def make_and_stop() -> Any:
            ref._has_stopped, ref._actor = True, None
            return make()

        return make_and_stop

    monkeypatch.setattr(lazy_actor, "StopFlag", stopping(StopFlag))

    assert not ref.is_alive()
    assert isinstance(ref.actor_inbox, Inbox)
    assert ref.actor_inbox.closed


@pytest.mark.parametrize("name", ["nothing_of_the_kind", "_nothing"])
def test_what_no_actor_and_no_ref_has_is_missing(name: str, mailing: Mailing, door: Door) -> None:
    ref = mailing.start(mailing.serve(door))
    mailing.tell(ref, 1)
    wait_until(lambda: len(attempts()) == 1, PATIENCE)
    (one,) = attempts()

    for thing in (one, one._actor):  # type: ignore[attr-defined]
        with pytest.raises(AttributeError, match=name):
            getattr(thing, name)
    door.open()


def test_an_actor_of_a_mailer_is_an_smtp_actor_and_a_mailer_is_none() -> None:
    assert issubclass(PooledSmtpActor, SmtpActor)
    assert not issubclass(Mailer, SmtpActor)

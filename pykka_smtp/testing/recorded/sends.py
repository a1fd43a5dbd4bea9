"""The sends of the process: which are not over, and how to end them. From a test's thread."""

import functools
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from ...actors.loop import guard
from ...actors.loop.event_loop import event_loop
from ...actors.mailer.mailer import Mailer
from ...actors.net.outlets.outlet_connection import OutletConnection
from ...actors.sending_actor import SendingActor
from ...signals.dispatcher import dispatcher

_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.02
"""Seconds between two looks."""
_PATIENCE = 10.0
"""Seconds until the loop thread itself must be blocked."""

T = TypeVar("T")


def wait_until_over(patience: float) -> str:
    """Wait until every email that was told has its outcome, and receivers have heard it.

    Not waited for are emails that get no reply because a test has chosen that, and those whose next
    attempt is later than `patience`.

    Args:
        patience: seconds at most.

    Returns:
        What is not over after that time, in one line; empty if all is.
    """
    if event_loop().is_current() or dispatcher.is_current():
        return ""  # a receiver, or an actor, looks: it cannot wait for itself
    until = time.monotonic() + patience
    pause = _FIRST_PAUSE
    while True:
        look = functools.partial(_busy, until - time.monotonic())
        busy = _on_loop(look) or []
        if not busy and dispatcher.wait_idle(max(0.0, until - time.monotonic())):
            # A receiver may have told another one.
            busy = _on_loop(look) or []
            if not busy and dispatcher.is_idle:
                return ""
        if time.monotonic() >= until:
            return f"{len(busy)} of: {'; '.join(busy[:3])}" if busy else "a receiver still runs"
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def cancel_rest() -> None:
    """Cancel the emails that `wait_until_over` does not wait for."""
    _on_loop(_cancel_silent)
    _on_loop(_cancel_waiting)


def alive() -> frozenset[str]:
    """Return the URNs of the actors that are alive."""
    return frozenset(actor.actor_urn for actor in _actors())


def end_all(patience: float, *, but: frozenset[str]) -> None:
    """Stop all actors that send, and wait until the threads have ended that served them.

    Args:
        patience: seconds at most.
        but: the URNs of actors that are left alone.
    """
    until = time.monotonic() + patience
    threads = [t for t in threading.enumerate() if t.name.startswith("pykka-smtp")]
    for actor in _actors():
        if actor.actor_urn not in but:
            actor.cancel()
    while time.monotonic() < until and not alive() <= but:
        time.sleep(_FIRST_PAUSE)
    dispatcher.wait_idle(max(0.0, until - time.monotonic()))
    if alive():
        return
    while time.monotonic() < until and any(thread.is_alive() for thread in threads):
        _on_loop(_end_loop)
        time.sleep(_FIRST_PAUSE)


def _actors() -> list[SendingActor | Mailer]:
    everyone = event_loop()._alive.copy()
    return [actor for actor in everyone if isinstance(actor, SendingActor | Mailer)]


def _busy(patience: float) -> list[str]:
    """Return what is not over. On the loop thread, so no actor is amid a turn."""
    until = event_loop().loop.time() + patience
    return [repr(actor) for actor in _actors() if _is_busy(actor, until)]


def _is_busy(actor: SendingActor | Mailer, until: float) -> bool:
    if not actor.actor_inbox.empty():
        return True
    if isinstance(actor, Mailer):
        destinations = actor._destinations
        is_due = destinations.retries and destinations.agenda.next_time <= until
        return bool(destinations.queued or is_due)
    return actor._mail is not None and not (actor._is_published or _is_silent(actor))


def _is_silent(actor: SendingActor) -> bool:
    connection = actor._connection
    return isinstance(connection, OutletConnection) and connection.is_silent


def _cancel_silent() -> None:
    for actor in _actors():
        if isinstance(actor, SendingActor) and _is_silent(actor):
            guard.call(actor, actor.stop_now)


def _cancel_waiting() -> None:
    for actor in _actors():
        if isinstance(actor, Mailer):
            guard.call(actor, actor._ending.cancel_waiting)


def _end_loop() -> None:
    """End the loop's thread now instead of after two ticks, unless it is needed."""
    thread = event_loop()
    thread._was_idle = True
    thread._stop_if_idle(thread.loop)


def _on_loop(function: Callable[[], T], patience: float = _PATIENCE) -> T | None:
    """Call a function on the loop thread; return its result, or None if no loop runs."""
    results: list[T] = []
    done = threading.Event()

    def call() -> None:
        try:
            results.append(function())
        finally:
            done.set()

    thread = event_loop()
    try:
        thread.loop.call_soon_threadsafe(guard.call, thread, call)
    except RuntimeError:  # it has ended, or never begun
        return None
    end = time.monotonic() + patience
    while not done.wait(_LONGEST_PAUSE):
        if event_loop()._loop is None or time.monotonic() > end:
            break
    return results[0] if results else None

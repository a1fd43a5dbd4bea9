"""Outboxes of a test, and what they said: stopped, and their threads joined, at its end."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from pykka import ActorDeadError

from pykka_smtp import (
    Outbox,
    OutboxRef,
    Outcome,
    RetryPolicy,
    SendMail,
    smtp_send_failure,
    smtp_send_success,
)
from servers.waiting import PATIENCE

SOON = RetryPolicy(
    max_attempts=50,
    initial_delay=0.02,
    multiplier=1.5,
    max_delay=0.2,
    give_up_after=60.0,
    at_least_once=True,
)
"""Tries again at once, as far as servers of tests are concerned."""


class Outboxes:
    """Starts outboxes on one file, and hears what they say.

    Args:
        folder: where the file is to be.

    Attributes:
        path: the file.
        heard: each outcome, and whether it was replayed.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "mail.db"
        self.heard: list[tuple[Outcome, bool]] = []
        self._changed = threading.Condition()
        self._refs: list[OutboxRef] = []
        self._threads: list[Any] = []

    def __enter__(self) -> Self:
        smtp_send_success.connect(self._hear)
        smtp_send_failure.connect(self._hear)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for ref in self._refs:
            self.stop(ref)
        for thread in self._threads:
            assert thread.join(PATIENCE), "the outbox's thread did not end"
        smtp_send_success.disconnect(self._hear)
        smtp_send_failure.disconnect(self._hear)

    def _hear(self, _sender: str, outcome: Outcome, replayed: bool, **_extra: object) -> None:
        with self._changed:
            self.heard.append((outcome, replayed))
            self._changed.notify_all()

    def start(self, server: Any = None, **options: Any) -> OutboxRef:
        """Start an outbox; without a server it puts only."""
        given: dict[str, Any] = {"retry": SOON, "alias": "shop"} | options
        if server is None and "url" not in given:
            given["send"] = False
        elif server is not None:
            given |= {"server": server.host, "port": server.port}
        ref = Outbox.start(self.path, **given)
        self._refs.append(ref)
        actor: Any = ref._actor_weakref()
        self._threads.append(actor._thread)
        return ref

    def stop(self, ref: OutboxRef) -> None:
        """Stop one, and wait until its file is closed."""
        with contextlib.suppress(ActorDeadError):
            ref.stop(timeout=PATIENCE)
        thread = self._threads[self._refs.index(ref)]
        assert thread.join(PATIENCE), "the outbox's thread did not end"

    def wait_for(self, count: int) -> list[Outcome]:
        """Wait until so many outcomes were heard; return them."""
        self.wait_until(lambda: len(self.heard) >= count)
        return [outcome for outcome, _ in self.heard]

    def wait_until(self, predicate: Callable[[], object]) -> None:
        """Wait until something holds; it is asked after each outcome."""
        with self._changed:
            assert self._changed.wait_for(predicate, PATIENCE), self.heard


def mail(number: int = 1, **given: Any) -> SendMail:
    """Return an email."""
    values = {
        "sender": "me@example.com",
        "recipients": "you@example.org",
        "subject": f"Number {number}",
        "body": "1 2 3 4 5 6",
        "id": f"mail-{number}",
    }
    return SendMail(**(values | given))

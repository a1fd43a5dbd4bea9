"""Outcomes to publish, and stand-ins for those who hear of them: for tests of the bus."""

import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import blinker
import pytest

from pykka_smtp.signals.bus import smtp_send_failure, smtp_send_success
from pykka_smtp.signals.dispatcher import dispatcher
from pykka_smtp.signals.outcome import Outcome, SendFailure, SendSuccess
from pykka_smtp.smtp.words.reply import Reply
from pykka_smtp.smtp.words.stage import Stage
from pykka_smtp.smtp.words.verdict import FailureKind

from .waiting import PATIENCE

TAKEN = Reply(250, ("taken",))


@dataclass(frozen=True, kw_only=True)
class StandInMail:
    """What the bus reads of a SendMail."""

    id: str = "mail-1"
    sender: str = "me@example.com"
    success_signal: blinker.Signal | str | None = None
    failure_signal: blinker.Signal | str | None = None
    outcome_to: Any = None


def mail(**given: Any) -> Any:
    return StandInMail(**given)


def success(alias: str = "smtp_client", **given: Any) -> SendSuccess:
    return SendSuccess(mail=mail(**given), alias=alias, reply=TAKEN)


def failure(alias: str = "smtp_client", **given: Any) -> SendFailure:
    return SendFailure(
        mail=mail(**given),
        alias=alias,
        kind=FailureKind.SMTP,
        stage=Stage.RCPT,
        detail="no such user",
        retryable=False,
    )


class Recorder:
    """A receiver that keeps what it hears, and on which thread."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Outcome]] = []
        self.threads: list[str] = []

    def __call__(self, sender: str, outcome: Outcome, **extra: object) -> None:
        assert extra == {}
        self.threads.append(threading.current_thread().name)
        self.heard.append((sender, outcome))

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome for _, outcome in self.heard]


class Inbox:
    """Stands in for an actor's ref."""

    def __init__(self) -> None:
        self.messages: list[object] = []
        self.threads: list[str] = []

    def tell(self, message: object) -> None:
        self.threads.append(threading.current_thread().name)
        self.messages.append(message)

    def __str__(self) -> str:
        return "the inbox"


class ActorDeadError(Exception):
    """Has the name of Pykka's."""


class DeadInbox(Inbox):
    """Its actor has stopped; as with Pykka, tell() says so."""

    def tell(self, message: object) -> None:
        super().tell(message)
        raise ActorDeadError("the actor was not found")


class SilentlyDeadInbox(Inbox):
    """Its actor has stopped, and tell() does not mind."""

    def is_alive(self) -> bool:
        return False


class RestlessSignal(blinker.Signal):
    """Its tables change under whoever looks at them, for so many looks."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    def _restless(self) -> None:
        if self.looks:
            self.looks -= 1
            raise RuntimeError("dictionary changed size during iteration")

    def receivers_for(self, sender: Any) -> Generator[Callable[..., Any], None, None]:
        yield from super().receivers_for(sender)
        self._restless()

    def _disconnect(self, receiver_id: Any, sender_id: Any) -> None:
        # blinker, too, drops the receiver from this table before the loop that may fail.
        if self.looks:
            self._by_receiver.pop(receiver_id, None)
        self._restless()
        super()._disconnect(receiver_id, sender_id)


@pytest.fixture(autouse=True, name="clean_bus")
def bus_left_clean() -> Iterator[None]:
    """Leave no receiver, no call and no thread behind."""
    yield
    settle()
    for signal in (smtp_send_success, smtp_send_failure):
        signal._clear_state()
    for name in [name for name in blinker.default_namespace if name.startswith("test-")]:
        del blinker.default_namespace[name]
    for thread in threading.enumerate():
        if thread.name.startswith("pykka-smtp-dispatcher"):
            thread.join(PATIENCE)
            assert not thread.is_alive()


def settle() -> None:
    """Wait until everything published has been heard."""
    assert dispatcher.wait_idle(PATIENCE)


def connected(signal: blinker.Signal, **how: Any) -> Recorder:
    recorder = Recorder()
    signal.connect(recorder, weak=False, **how)
    return recorder

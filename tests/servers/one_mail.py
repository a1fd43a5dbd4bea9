"""One mail, and the one outcome that there was."""

import traceback
from typing import Any, Protocol

import pykka

from pykka_smtp import (
    Outcome,
    SendFailure,
    SendMail,
    SmtpActor,
    smtp_send_failure,
    smtp_send_success,
)
from pykka_smtp.signals.dispatcher import dispatcher
from servers.waiting import PATIENCE


class Address(Protocol):
    """A server of the tests."""

    host: str
    port: int


def mail(**given: Any) -> SendMail:
    """Make a mail."""
    return SendMail(**({"sender": "me@a.test", "recipients": "you@b.test"} | given))


def start(server: Address, **options: Any) -> pykka.ActorRef[SmtpActor]:
    """Start an actor for a server."""
    return SmtpActor.start(server.host, server.port, **({"timeout": PATIENCE} | options))


def ask(server: Address, message: SendMail | None = None, **options: Any) -> Outcome:
    """Ask for the outcome of a mail."""
    outcome = start(server, **options).ask(message or mail(), timeout=PATIENCE)
    assert isinstance(outcome, Outcome)
    return outcome


def settle(server: Address, message: SendMail | None = None, **options: Any) -> Outcome:
    """Send a mail, wait until all is over, and return the one outcome there was."""
    heard: list[Outcome] = []

    def note(_sender: str, outcome: Outcome, **_extra: object) -> None:
        heard.append(outcome)

    with smtp_send_success.connected_to(note), smtp_send_failure.connected_to(note):
        ref = start(server, **({"timeout": 5.0} | options))
        ref.tell(message or mail())
        assert ref.actor_stopped.wait(3 * PATIENCE), "the session never ended"
        assert dispatcher.wait_idle(PATIENCE)
    assert len(heard) == 1, f"{len(heard)} outcomes, not one: {[str(outcome) for outcome in heard]}"
    return heard[0]


def failure(outcome: Outcome) -> SendFailure:
    """See that it is a failure."""
    assert isinstance(outcome, SendFailure), outcome
    return outcome


def all_that_is_told(error: BaseException, but: str) -> str:
    """All that a tool for error reports could print of an error.

    Args:
        error: the error.
        but: the file whose frames do not count: the test's own.
    """
    parts = [repr(error), str(error), repr(vars(error))]
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename != but:
            parts += map(repr, frame.f_locals.values())
    trace = traceback.TracebackException.from_exception(error, capture_locals=True)
    parts += [str(at.locals) for at in trace.stack if at.filename != but]
    for other in (error.__cause__, error.__context__):
        if other is not None:
            parts.append(all_that_is_told(other, but))
    return "\n".join(parts)

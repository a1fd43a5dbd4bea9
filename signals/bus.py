"""The bus: named signals that publish the outcome of each send, and the retries of a `Mailer`.

Receivers are called as ``receiver(alias, outcome=outcome)``, on the dispatcher's thread, one
at a time, in the order in which the outcomes were published. A receiver may block, and may itself
send emails and wait for them; an exception that it raises is logged, and the next receiver runs.
An `outcome_to` actor gets its outcomes from another thread, so no receiver delays it.

An error in here never reaches an actor: it is logged, and delivery resumes after the receiver at
which it failed. No receiver is called twice with one outcome.

The bus only reads blinker's lists of receivers. It connects and disconnects nothing per send,
because blinker's bookkeeping has no locks.
"""

import datetime as dt
import inspect
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import blinker

from .described import Described
from .dispatcher import dispatcher, log_safely
from .outcome import Outcome, SendSuccess
from .outlets.journal import is_logged, log_mailer, log_outcome
from .tellable import is_dead_actor_error

smtp_send_success: blinker.NamedSignal = blinker.signal(
    "smtp_send_success", doc="Sent with a SendSuccess; the sender is the actor's alias."
)
smtp_send_failure: blinker.NamedSignal = blinker.signal(
    "smtp_send_failure", doc="Sent with a SendFailure; the sender is the actor's alias."
)
smtp_send_retry: blinker.NamedSignal = blinker.signal(
    "smtp_send_retry",
    doc="Sent when a Mailer schedules a retry, with the outcome of the attempt, `attempt` and"
    " `next_time`; the sender is the Mailer's alias. The outcome of the send comes later.",
)

smtp_outbox_trouble: blinker.NamedSignal = blinker.signal(
    "smtp_outbox_trouble",
    doc="Sent when the file of an Outbox cannot be written, with `error` and `since`, and once"
    " more, with None as `error`, when it can again; the sender is the Outbox's alias.",
)

smtp_send_progress: blinker.NamedSignal = blinker.signal(
    "smtp_send_progress",
    doc="Sent up to ten times a second while an email is sent, with `mail`, `stage`, `sent` and"
    " `size`; the sender is the actor's alias.",
)
smtp_server_reply: blinker.NamedSignal = blinker.signal(
    "smtp_server_reply",
    doc="Sent with each reply of a server, with `mail`, `command` and `reply`; the sender is the"
    " actor's alias.",
)

UNHEARD: blinker.Signal = blinker.Signal()
"""The signal of emails about records of a log. No receiver hears of them, by whatever signal: what
it logged would become the next such email."""

RECEIVER_RAISED = "receiver %s of signal %s raised; the other receivers run"
"""The log's line about that."""

TRIES = 20
"""How often blinker's tables are read (or changed) while other threads change them.

A try takes microseconds and loses only to a change within it, so 20 losses in a row mean threads
that connect and disconnect without pause; without a bound, they could stop all deliveries.
"""


def publish(outcome: Outcome, *, is_asked: bool = False) -> None:
    """Publish the outcome of a send to the receivers of its signal and to `outcome_to`.

    Only hands the outcome to the dispatcher: cheap, never waits, never raises. Can be called from
    any thread.

    The signal is the one that the `SendMail` names, or else `smtp_send_success` or
    `smtp_send_failure`; its sender is the outcome's alias.

    Args:
        outcome: the outcome.
        is_asked: whether it answers an `ask`: then it is heard, even without receivers.
    """
    if outcome.mail.outcome_to is not None:
        _surely(_post, outcome)
    try:
        _submit(outcome, is_asked)
    except BaseException as exc:
        _once_more(exc, _submit, outcome, is_asked)


def publish_stored(outcome: Outcome, *, is_asked: bool, is_replayed: bool) -> None:
    """Publish the outcome of an email that an `Outbox` has kept. See `publish`.

    Receivers have one more argument, ``replayed``.

    Args:
        outcome: the outcome.
        is_asked: whether it answers an `ask`.
        is_replayed: whether an earlier process may have published it already.
    """
    if outcome.mail.outcome_to is not None:
        _surely(_post, outcome)
    _surely(_submit, outcome, is_asked, {"replayed": is_replayed})


def publish_retry(outcome: Outcome, attempt: int, next_time: dt.datetime, **more: object) -> None:
    """Publish that a retry of an email is scheduled.

    Receivers of `smtp_send_retry` are called as
    ``receiver(alias, outcome=outcome, attempt=attempt, next_time=next_time)``, on the dispatcher's
    thread. Never waits, never raises; can be called from any thread.

    Args:
        outcome: the outcome of this attempt; its recipients are those of the attempt.
        attempt: the number of this attempt; the first is 1.
        next_time: when the next attempt may begin, in UTC.
        more: further arguments of the receivers.
    """
    _surely(_submit_retry, outcome, attempt, next_time, more)


def publish_event(signal: blinker.Signal, alias: str, **fields: object) -> None:
    """Publish something that happens in a session: ``receiver(alias, **fields)``.

    On the dispatcher's thread. Never waits, never raises; can be called from any thread.
    """
    _surely(_submit_event, signal, alias, fields)


def _submit_event(signal: blinker.Signal, alias: str, fields: dict[str, object]) -> None:
    is_unheard = getattr(fields.get("mail"), "failure_signal", None) is UNHEARD
    if _has_receivers(signal) and not is_unheard:
        dispatcher.submit(_tell_event, signal, alias, fields)


def _tell_event(signal: blinker.Signal, alias: str, fields: dict[str, object]) -> None:
    for receiver in _receivers_of(signal, alias):
        try:
            result = receiver(alias, **fields)
            if result is not None and inspect.iscoroutine(result):
                _run_coroutine(result)
        except BaseException as exc:
            log_safely(
                logging.ERROR,
                RECEIVER_RAISED,
                Described(receiver),
                Described(signal),
                exc=exc,
            )


def _surely(step: Callable[..., None], *args: Any) -> None:
    """Run one step of publishing an outcome. Never raises.

    A step that raises is run once more. Each step either hands the outcome on as its last action,
    or knows how far it has come: no receiver gets an outcome twice.
    """
    try:
        step(*args)
    except BaseException as exc:
        _once_more(exc, step, *args)


def _once_more(raised: BaseException, step: Callable[..., None], *args: Any) -> None:
    """Log what a step raised, and run it once more. Never raises.

    The hot path runs its steps without `_surely`, which costs a call, and comes here only if one
    raises.
    """
    _log_broken(step, raised)
    try:
        step(*args)
    except BaseException as exc:
        _log_broken(step, exc)


def _log_broken(step: Callable[..., None], exc: BaseException) -> None:
    log_safely(logging.ERROR, "internal error in pykka-smtp, in %s", Described(step), exc=exc)


def _post(outcome: Outcome) -> None:
    dispatcher.post(_tell, outcome)


def _submit(outcome: Outcome, is_asked: bool, more: dict[str, Any] | None = None) -> None:
    if isinstance(outcome, SendSuccess):
        chosen, default = outcome.mail.success_signal, smtp_send_success
    else:
        chosen, default = outcome.mail.failure_signal, smtp_send_failure
    signal = default if chosen is None else _signal(chosen)
    if signal is not None and _has_receivers(signal):
        dispatcher.submit(
            _Delivery(outcome, signal, more or _NO_EXTRAS, is_asked)
        )  # which logs it, too
    elif is_logged(outcome):
        dispatcher.submit(_log, outcome, is_asked)


def _log(outcome: Outcome, is_heard: bool) -> None:
    log_outcome(outcome, is_heard=is_heard or outcome.mail.outcome_to is not None)


def _submit_retry(
    outcome: Outcome, attempt: int, next_time: dt.datetime, more: dict[str, Any]
) -> None:
    log_mailer(
        logging.INFO,
        "attempt %d at an email has ended, the next is at %s: %s",
        *(attempt, next_time, outcome),
        alias=outcome.alias,
        mail=outcome.mail.id,
        attempt=attempt,
        next_time=next_time,
    )
    if _has_receivers(smtp_send_retry) and outcome.mail.failure_signal is not UNHEARD:
        more = {"attempt": attempt, "next_time": next_time, **more}
        dispatcher.submit(_Delivery(outcome, smtp_send_retry, more, is_final=False))


def _has_receivers(signal: blinker.Signal) -> bool:
    """Whether a signal may have receivers. Never raises, even if a program's own class does."""
    try:
        # blinker's has_receivers_for() would write into tables that other threads use.
        return bool(signal.receivers) and not signal.is_muted
    except BaseException as exc:
        log_safely(
            logging.ERROR,
            "signal %s raised; outcome not delivered to its receivers",
            Described(signal),
            exc=exc,
        )
        return False


def _signal(chosen: blinker.Signal | str) -> blinker.Signal | None:
    """Return the signal to send, or None if it does not exist, and so has no receivers."""
    if isinstance(chosen, str):
        # Not blinker.signal(), which creates a missing signal: two threads may create two of one
        # name, and receivers connected to the one that is dropped would never be called. A program
        # that makes up a name for each send would also fill the memory with signals.
        return blinker.default_namespace.get(chosen)
    return chosen


_NO_EXTRAS: dict[str, Any] = {}


class _Delivery:
    """The delivery of one outcome to the receivers of a signal. Runs on the dispatcher's thread.

    It is all that is kept of an outcome in the queue. If it raises, it is run again, and resumes
    with the receiver after the one that it had reached.
    """

    __slots__ = ("_is_asked", "_is_final", "_left", "_more", "_now", "_outcome", "_signal")

    def __init__(
        self,
        outcome: Outcome,
        signal: blinker.Signal,
        more: dict[str, Any],
        is_asked: bool = False,
        is_final: bool = True,
    ) -> None:
        self._is_final = is_final
        self._outcome = outcome
        self._is_asked = is_asked
        self._signal = signal
        self._more = more
        self._left: list[Callable[..., object]] | None = None
        self._now: Callable[..., object] | None = None  # the receiver that runs

    def __str__(self) -> str:
        return str(Described(self._now))

    def __call__(self) -> None:
        """Run the receivers."""
        try:
            self._run()
        except BaseException as exc:
            _once_more(exc, self._run)
        dispatcher.running = None

    def _run(self) -> None:
        outcome, left = self._outcome, self._left
        if left is None:
            # Checked again: once a signal is muted, none of its receivers may run.
            is_any = _has_receivers(self._signal)
            left = self._left = _receivers_of(self._signal, outcome.alias) if is_any else []
            left.reverse()
            if self._is_final:
                _log(outcome, self._is_asked or bool(left))
        dispatcher.running = self
        while left:
            # Nothing that can fail stands between taking a receiver and calling it: whatever
            # raises, each is called at most once.
            self._now = receiver = left.pop()
            try:
                result = receiver(outcome.alias, outcome=outcome, **self._more)
                if result is not None and inspect.iscoroutine(result):
                    _run_coroutine(result)
            except BaseException as exc:
                # SystemExit too: a receiver must end neither this thread nor the process.
                log_safely(
                    logging.ERROR,
                    RECEIVER_RAISED,
                    Described(receiver),
                    Described(self._signal),
                    exc=exc,
                )


def _tell(outcome: Outcome) -> None:
    """Send the outcome to the actor `outcome_to`. Runs on the dispatcher's second thread."""
    ref = outcome.mail.outcome_to
    assert ref is not None
    try:
        ref.tell(outcome)
    except BaseException as exc:
        if isinstance(exc, Exception) and is_dead_actor_error(exc, ref):
            log_safely(
                logging.INFO,
                "outcome_to %s has stopped; outcome not delivered: %s",
                Described(ref),
                outcome,
            )
            return
        log_safely(
            logging.WARNING,
            "tell() of outcome_to %s raised; outcome possibly lost: %s",
            Described(ref),
            outcome,
            exc=exc,
        )


def _receivers_of(signal: blinker.Signal, sender: str) -> list[Callable[..., object]]:
    """Return all receivers to call, before the first of them is called.

    blinker yields them from tables that other threads may change meanwhile. Then they are listed
    anew, which would call some of them twice if calls had begun.
    """
    for _ in range(TRIES):
        try:
            return list(signal.receivers_for(sender))
        except RuntimeError:
            continue
    log_safely(
        logging.ERROR,
        "signal %s: could not list its receivers in %d tries (they connect and disconnect all the"
        " time); an outcome of %s was NOT delivered to them",
        Described(signal),
        TRIES,
        sender,
    )
    return []


def _run_coroutine(coroutine: Coroutine[Any, Any, object]) -> None:
    # A receiver that is an `async def` needs an event loop, and the bus has none. So each call
    # gets a loop of its own on this thread, and cannot block the loop that sends emails.
    # Imported here, because most programs have no such receiver.
    import asyncio

    try:
        asyncio.run(coroutine)
    finally:
        # Otherwise Python would report it as never awaited if asyncio refused to start it.
        coroutine.close()

"""The bus: two named signals that say what became of each mail.

Receivers are called as ``receiver(alias, outcome=outcome)``, on the dispatcher's thread, one
after the other, in the order in which the outcomes came to be. A receiver can take its time, send
mails itself and wait for them; what it raises is logged, and the next receiver runs. An
`outcome_to` is told on another thread, and waits for no receiver.

Nothing that goes wrong in here reaches an actor: it is logged, and the outcome goes on from where
it was. No receiver is called twice with one outcome.

The bus only reads the lists of receivers. It connects and disconnects nothing per send, because
blinker's bookkeeping has no locks.
"""

import datetime as dt
import inspect
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import blinker

from .dispatcher import dispatcher, log_safely
from .outcome import Outcome, SendSuccess
from .tellable import Tellable

smtp_send_success: blinker.NamedSignal = blinker.signal(
    "smtp_send_success", doc="Sent with a SendSuccess; the sender is the actor's alias."
)
smtp_send_failure: blinker.NamedSignal = blinker.signal(
    "smtp_send_failure", doc="Sent with a SendFailure; the sender is the actor's alias."
)
smtp_send_retry: blinker.NamedSignal = blinker.signal(
    "smtp_send_retry",
    doc="Sent when a Mailer will try a mail again, with the attempt's outcome, `attempt` and"
    " `next_time`; the sender is the Mailer's alias. What became of the mail comes later.",
)

# How often a look into blinker's lists is tried while another thread changes them.
_TRIES = 20


class Subscription:
    """A standing order to post outcomes into an inbox; `forward_to` makes them.

    It lasts until `stop`, or until the actor turns out to be dead. It need not be kept: the
    signals keep it.
    """

    __slots__ = ("_ref", "_sender", "_signals", "_stopped")

    def __init__(
        self, ref: Tellable, signals: tuple[blinker.Signal, ...], sender: str | None
    ) -> None:
        self._ref = ref
        self._signals = signals
        self._sender: Any = blinker.ANY if sender is None else sender
        self._stopped = False
        for signal in signals:
            signal.connect(self._post, sender=self._sender, weak=False)

    def __repr__(self) -> str:
        state = "stopped" if self._stopped else "active"
        names = ", ".join(map(_name_of_signal, self._signals))
        return f"<Subscription of {names} to {self._ref}, {state}>"

    @property
    def is_active(self) -> bool:
        """Whether outcomes are still posted."""
        return not self._stopped

    def stop(self) -> None:
        """Post nothing more. Can be called more than once, from any thread."""
        self._stopped = True
        for signal in self._signals:
            self._disconnect(signal)

    def _disconnect(self, signal: blinker.Signal) -> None:
        for _ in range(_TRIES):
            try:
                signal.disconnect(self._post)
            except RuntimeError:
                # Another thread connected to a new sender meanwhile, and blinker was left with
                # half of its work undone. Only what is connected is disconnected in full.
                signal.connect(self._post, sender=self._sender, weak=False)
            else:
                return
        # Still connected then, but `_stopped`: harmless.

    def _post(self, _sender: str, *, outcome: object, **_extra: object) -> None:
        if self._stopped:
            return
        if _is_dead(self._ref):
            self._unsubscribe()
            return
        try:
            self._ref.tell(outcome)
        except Exception as exc:
            if not _is_dead_actor_error(exc, self._ref):
                raise
            self._unsubscribe()

    def _unsubscribe(self) -> None:
        self.stop()
        log_safely(
            logging.DEBUG,
            "%s has stopped: no more outcomes are forwarded to it",
            _Described(self._ref),
        )


def forward_to(
    ref: Tellable, *signals: blinker.Signal | str, sender: str | None = None
) -> Subscription:
    """Post outcomes into an actor's inbox, by ``ref.tell(outcome)``, from now on.

    The actor's ``on_receive`` gets each outcome as a message. Use it to keep an actor's state in
    the actor's own hands: receivers run on another thread, ``on_receive`` does not.

    Args:
        ref: an actor's ref, or anything with ``tell()``.
        signals: which ones, each as an object or by its name; by default `smtp_send_success`
            and `smtp_send_failure`.
        sender: only what the actors with this alias send; None for all.

    Returns:
        A handle, to `Subscription.stop` it. A dead actor is forgotten without that.

    Raises:
        TypeError: if `ref` has no ``tell()``.
    """
    if not callable(getattr(ref, "tell", None)):
        raise TypeError(
            f"ref must have a tell() method, as an actor's ref has, not be a {type(ref).__name__}"
        )
    chosen = tuple(blinker.signal(s) if isinstance(s, str) else s for s in signals)
    return Subscription(ref, chosen or (smtp_send_success, smtp_send_failure), sender)


def publish(outcome: Outcome) -> None:
    """Tell everyone who wants to hear it what became of a mail.

    Only hands the outcome to the dispatcher: cheap, never waits, never raises. Can be called from
    any thread.

    The signal is the one that the mail names, else `smtp_send_success` or `smtp_send_failure`;
    its sender is the outcome's alias. The mail's `outcome_to` is told as well.
    """
    if outcome.mail.outcome_to is not None:
        _surely(_post, outcome)
    try:
        _submit(outcome)
    except BaseException as exc:
        _once_more(exc, _submit, outcome)


def publish_retry(outcome: Outcome, attempt: int, next_time: dt.datetime) -> None:
    """Tell everyone who wants to hear it that a mail will be tried again.

    Receivers of `smtp_send_retry` are called as
    ``receiver(alias, outcome=outcome, attempt=attempt, next_time=next_time)``.

    Args:
        outcome: what this attempt came to; its recipients are those that were tried in it.
        attempt: which it was; the first is 1.
        next_time: when the next may begin, in UTC.
    """
    _surely(_submit_retry, outcome, attempt, next_time)


def _surely(step: Callable[..., None], *args: Any) -> None:
    """Do a step on an outcome's way to its receivers, and never raise.

    A step that breaks is tried once more. It hands the outcome on as the last thing that it does,
    or knows how far it has come: nobody hears an outcome twice.
    """
    try:
        step(*args)
    except BaseException as exc:
        _once_more(exc, step, *args)


def _once_more(broke: BaseException, step: Callable[..., None], *args: Any) -> None:
    """Do a step again that broke. Never raises.

    What is done for each mail goes without `_surely`, and comes here only when it breaks.
    """
    _log_broken(step, broke)
    try:
        step(*args)
    except BaseException as exc:
        _log_broken(step, exc)


def _log_broken(step: Callable[..., None], exc: BaseException) -> None:
    log_safely(logging.ERROR, "internal error in pykka-smtp, in %s", _Described(step), exc=exc)


def _post(outcome: Outcome) -> None:
    dispatcher.post(_tell, outcome)


def _submit(outcome: Outcome) -> None:
    mail = outcome.mail
    if isinstance(outcome, SendSuccess):
        signal = _signal(mail.success_signal, smtp_send_success)
    else:
        signal = _signal(mail.failure_signal, smtp_send_failure)
    if signal is not None and _is_heard(signal):
        dispatcher.submit(_Delivery(outcome, signal, _NOTHING_MORE))


def _submit_retry(outcome: Outcome, attempt: int, next_time: dt.datetime) -> None:
    if _is_heard(smtp_send_retry):
        more = {"attempt": attempt, "next_time": next_time}
        dispatcher.submit(_Delivery(outcome, smtp_send_retry, more))


def _is_heard(signal: blinker.Signal) -> bool:
    """Return whether anybody may hear a signal. One of a class of the program's may raise."""
    try:
        # blinker's has_receivers_for() would write into its tables, beside other threads.
        return bool(signal.receivers) and not signal.is_muted
    except BaseException as exc:
        log_safely(
            logging.ERROR,
            "signal %s raised; outcome not delivered to its receivers",
            _Described(signal),
            exc=exc,
        )
        return False


def _signal(chosen: blinker.Signal | str | None, default: blinker.Signal) -> blinker.Signal | None:
    """Return the signal to send, or None if it does not exist, so that nobody can hear it."""
    if chosen is None:
        return default
    if isinstance(chosen, str):
        # Not blinker.signal(), which makes what it does not find: two threads may make two of one
        # name, and whoever connects to the one that is dropped never hears a thing. A program
        # that makes up a name for each send would also fill the memory with signals.
        return blinker.default_namespace.get(chosen)
    return chosen


_NOTHING_MORE: dict[str, Any] = {}


class _Delivery:
    """An outcome on its way to the receivers of a signal. Runs on the dispatcher's thread.

    It is all that is kept of an outcome that waits. If it breaks, it is run again, and goes on
    with the receiver behind the one that it had come to.
    """

    __slots__ = ("_left", "_more", "_now", "_outcome", "_signal")

    def __init__(self, outcome: Outcome, signal: blinker.Signal, more: dict[str, Any]) -> None:
        self._outcome = outcome
        self._signal = signal
        self._more = more
        self._left: list[Callable[..., object]] | None = None
        self._now: Callable[..., object] | None = None  # the receiver that runs

    def __str__(self) -> str:
        return str(_Described(self._now))

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
            # Asked again: from the moment a signal is muted none of its receivers runs.
            if not _is_heard(self._signal):
                return
            left = self._left = _receivers_of(self._signal, outcome.alias)
            left.reverse()
        dispatcher.running = self
        while left:
            # Nothing that can fail is between these two: it is called once, whatever breaks.
            self._now = receiver = left.pop()
            try:
                result = receiver(outcome.alias, outcome=outcome, **self._more)
                if result is not None and inspect.iscoroutine(result):
                    _run_coroutine(result)
            except BaseException as exc:
                # SystemExit as well: a receiver can end neither this thread nor the process.
                log_safely(
                    logging.ERROR,
                    "receiver %s of signal %s raised; the other receivers run",
                    _Described(receiver),
                    _Described(self._signal),
                    exc=exc,
                )


def _tell(outcome: Outcome) -> None:
    """Tell the mail's `outcome_to`. Runs on the dispatcher's second thread."""
    ref = outcome.mail.outcome_to
    assert ref is not None
    try:
        ref.tell(outcome)
    except BaseException as exc:
        if isinstance(exc, Exception) and _is_dead_actor_error(exc, ref):
            log_safely(
                logging.INFO,
                "outcome_to %s has stopped; outcome not delivered: %s",
                _Described(ref),
                outcome,
            )
            return
        log_safely(
            logging.WARNING,
            "tell() of outcome_to %s raised; outcome possibly lost: %s",
            _Described(ref),
            outcome,
            exc=exc,
        )


def _receivers_of(signal: blinker.Signal, sender: str) -> list[Callable[..., object]]:
    """Return who is to be called, complete before the first is called.

    blinker yields them from tables that other threads may be changing: then the look is
    repeated, which must not call anybody twice.
    """
    for _ in range(_TRIES):
        try:
            return list(signal.receivers_for(sender))
        except RuntimeError:
            continue
    log_safely(
        logging.ERROR,
        "signal %s: could not list its receivers in %d tries (they connect and disconnect all the"
        " time); an outcome of %s was NOT delivered to them",
        _Described(signal),
        _TRIES,
        sender,
    )
    return []


def _run_coroutine(coroutine: Coroutine[Any, Any, object]) -> None:
    # The bus has no event loop. A receiver that is an `async def` needs one, so it gets one of
    # its own, for as long as it runs, on this thread: the loops of the actors stay free of it.
    # Imported here, because most programs have no such receiver.
    import asyncio

    try:
        asyncio.run(coroutine)
    finally:
        # If asyncio refused to start it, it would be reported as never awaited.
        coroutine.close()


def _is_dead_actor_error(exc: BaseException, ref: Tellable) -> bool:
    """Return whether `exc`, raised by ``ref.tell``, means that the actor is dead.

    Pykka's ``ActorDeadError`` is known by its name: the bus does not depend on Pykka.
    """
    return any(cls.__name__ == "ActorDeadError" for cls in type(exc).__mro__) or _is_dead(ref)


def _is_dead(ref: Tellable) -> bool:
    try:
        is_alive = getattr(ref, "is_alive", None)
        return callable(is_alive) and not is_alive()
    except Exception:
        # It can't say so; then let it be told.
        return False


def _name_of_signal(signal: blinker.Signal) -> str:
    return signal.name if isinstance(signal, blinker.NamedSignal) else repr(signal)


class _Described:
    """Describes an object in a log line, if and when the line is written."""

    __slots__ = ("_what",)

    def __init__(self, what: object) -> None:
        self._what = what

    def __str__(self) -> str:
        what = self._what
        try:
            if isinstance(what, blinker.Signal):
                return _name_of_signal(what)
            name = getattr(what, "__qualname__", None)
            return f"{what.__module__}.{name}" if isinstance(name, str) else str(what)
        except Exception:
            # An object that cannot say what it is must not cost us the whole line.
            return object.__repr__(what)

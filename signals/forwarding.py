"""Subscriptions that forward outcomes to an actor's inbox, or to an event loop of the program."""

import asyncio
import logging
from typing import Any

import blinker

from .bus import TRIES, smtp_send_failure, smtp_send_success
from .described import Described, name_of_signal
from .dispatcher import log_safely
from .tellable import Tellable, is_dead, is_dead_actor_error


class Subscription:
    """An active subscription, as returned by `forward_to` and `connect_async`.

    It lasts until `stop`, or until the actor is found to have stopped, or the event loop to be
    closed. The caller need not keep a reference: the signals hold one.
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
        names = ", ".join(map(name_of_signal, self._signals))
        return f"<Subscription of {names} to {self._ref}, {state}>"

    @property
    def is_active(self) -> bool:
        """Whether outcomes are still forwarded."""
        return not self._stopped

    def stop(self) -> None:
        """Stop forwarding. Can be called more than once, from any thread."""
        self._stopped = True
        for signal in self._signals:
            self._disconnect(signal)

    def _disconnect(self, signal: blinker.Signal) -> None:
        for _ in range(TRIES):
            try:
                signal.disconnect(self._post)
            except RuntimeError:
                # Another thread connected to a new sender meanwhile, and blinker stopped halfway
                # through. It disconnects completely only what is connected, so connect first.
                signal.connect(self._post, sender=self._sender, weak=False)
            else:
                return
        # Still connected after all tries, which is harmless: `_post` does nothing once `_stopped`.

    def _post(self, _sender: str, *, outcome: object, **_extra: object) -> None:
        if self._stopped:
            return
        if is_dead(self._ref):
            self._unsubscribe()
            return
        try:
            self._ref.tell(outcome)
        except Exception as exc:
            if not is_dead_actor_error(exc, self._ref):
                raise
            self._unsubscribe()
            return
        self._leave_closed_loop()

    def _leave_closed_loop(self) -> None:
        if getattr(self._ref, "is_closed", False) is True:  # an `OnLoop`
            self._unsubscribe()

    def _unsubscribe(self) -> None:
        self.stop()
        log_safely(
            logging.DEBUG,
            "%s has stopped, or its event loop has: no more outcomes are forwarded to it",
            Described(self._ref),
        )


def forward_to(
    ref: "Tellable | asyncio.Queue[Any]",
    *signals: blinker.Signal | str,
    sender: str | None = None,
) -> Subscription:
    """Forward outcomes to an actor's inbox, by ``ref.tell(outcome)``, from now on.

    The actor's ``on_receive`` gets each outcome as an actor message. Use it if an outcome changes
    an actor's state: receivers run on the dispatcher's thread, ``on_receive`` on the actor's own.

    Args:
        ref: an actor's ref, or anything with ``tell()``, such as what `on_loop` returns; or, if an
            event loop runs in this thread, an `asyncio.Queue` of its program.
        signals: the signals to subscribe to, each as an object or by its name; by default
            `smtp_send_success` and `smtp_send_failure`.
        sender: the alias of the actors whose outcomes to forward; None for all.

    Returns:
        A handle to `Subscription.stop` it. Once the actor has stopped, that happens by itself.

    Raises:
        TypeError: if `ref` has no ``tell()``, or is a queue and no event loop runs here.
    """
    if isinstance(ref, asyncio.Queue):
        from .outlets.loops import on_loop  # late: few need it

        ref = on_loop(ref)
    if not callable(getattr(ref, "tell", None)):
        raise TypeError(
            f"ref must have a tell() method, as an actor's ref has, not be a {type(ref).__name__}"
        )
    return Subscription(ref, signals_of(signals), sender)


def signals_of(given: tuple[blinker.Signal | str, ...]) -> tuple[blinker.Signal, ...]:
    """Return signals given as objects or by name; by default those of success and failure."""
    chosen = tuple(blinker.signal(s) if isinstance(s, str) else s for s in given)
    return chosen or (smtp_send_success, smtp_send_failure)

"""Subscriptions that forward outcomes to an actor's inbox, or to an event loop of the program."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import blinker

from .bus import TRIES, smtp_send_failure, smtp_send_success
from .described import Described, name_of_signal
from .dispatcher import log_safely
from .outlets.loops import OnLoop, on_loop
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
        if isinstance(self._ref, OnLoop) and self._ref.is_closed:
            self._unsubscribe()

    def _unsubscribe(self) -> None:
        self.stop()
        log_safely(
            logging.DEBUG,
            "%s has stopped, or its event loop has: no more outcomes are forwarded to it",
            Described(self._ref),
        )


class _Receiver(Subscription):
    """A subscription that calls a receiver on the program's event loop."""

    __slots__ = ()

    def _post(self, _sender: str, *, outcome: object, **extra: object) -> None:
        assert isinstance(self._ref, OnLoop)
        if not self._stopped:
            self._ref.call(_sender, outcome=outcome, **extra)
            self._leave_closed_loop()


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
        ref = on_loop(ref)
    if not callable(getattr(ref, "tell", None)):
        raise TypeError(
            f"ref must have a tell() method, as an actor's ref has, not be a {type(ref).__name__}"
        )
    return Subscription(ref, _signals(signals), sender)


def connect_async(
    receiver: Callable[..., object],
    *signals: blinker.Signal | str,
    sender: str | None = None,
    loop: asyncio.AbstractEventLoop | None = None,
) -> Subscription:
    """Connect a receiver that runs on the program's event loop, one outcome after the other.

    It is called as ``receiver(alias, outcome=outcome)``. A receiver that is connected by a
    signal's own ``connect`` runs on a thread of the bus, an ``async def`` on a loop of its own
    there: what belongs to the program's loop, such as a pool of connections, it can't use.

    Args:
        receiver: an ``async def``, or a function that does not block. It is kept until `stop`.
        signals: as for `forward_to`.
        sender: as for `forward_to`.
        loop: the loop; by default the one that runs in this thread.

    Returns:
        A handle to `Subscription.stop` it. Once the loop is closed, that happens by itself.

    Raises:
        TypeError: `receiver` can't be called, or there is no loop.
    """
    if not callable(receiver):
        raise TypeError(f"receiver: needs a callable, not {type(receiver).__name__}")
    return _Receiver(on_loop(receiver, loop), _signals(signals), sender)


def _signals(given: tuple[blinker.Signal | str, ...]) -> tuple[blinker.Signal, ...]:
    chosen = tuple(blinker.signal(s) if isinstance(s, str) else s for s in given)
    return chosen or (smtp_send_success, smtp_send_failure)

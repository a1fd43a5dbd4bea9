"""Receivers that run on an event loop of the program."""

import asyncio
from collections.abc import Callable

import blinker

from ..forwarding import Subscription, signals_of
from .loops import OnLoop, on_loop


class _Receiver(Subscription):
    """A subscription that calls a receiver on the program's event loop."""

    __slots__ = ()

    def _post(self, _sender: str, *, outcome: object, **extra: object) -> None:
        assert isinstance(self._ref, OnLoop)
        if not self._stopped:
            self._ref.call(_sender, outcome=outcome, **extra)
            self._leave_closed_loop()


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
    return _Receiver(on_loop(receiver, loop), signals_of(signals), sender)

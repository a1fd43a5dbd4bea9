"""Wakes an outbox as soon as another process has written into its file. On the loop thread.

Without that, the thread of the file notices it within a quarter of a second: see `POLL`.
"""

from collections.abc import Callable
from typing import Any

from ...loop import guard
from ...loop.event_loop import event_loop
from ..store.store import Store
from ..store.wake import Pace, WakeSocket
from .ops import Kind

Submit = Callable[[Kind, Any, Callable[[Any], object]], object]


_PAUSE = 0.01
"""Seconds between two looks at least."""
_LONG_PAUSE = 0.25
"""The same while so much happens that the thread's own looks are enough."""


class Waking:
    """Looks into the file when a datagram has come.

    Args:
        responsible: is told of an internal error.
        submit: has something done with the file.
        changed: is called if somebody has written.
    """

    def __init__(
        self, responsible: guard.Guarded, submit: Submit, changed: Callable[[], object]
    ) -> None:
        self._responsible = responsible
        self._submit = submit
        self._changed = changed
        self._socket: WakeSocket | None = None
        self._pace = Pace()
        self._pause = _PAUSE

    def start(self, socket: WakeSocket | None) -> None:
        """Begin.

        Args:
            socket: the socket of this life; None if it has none.
        """
        self._socket = socket
        self._wait()

    def _wait(self) -> None:
        if self._socket is not None:
            number = self._socket.fileno()
            event_loop().loop.add_reader(number, guard.call, self._responsible, self._woken)

    def _woken(self) -> None:
        if self._socket is None:
            return
        loop = event_loop().loop
        # Nothing is read until the pause is over, so a flood of datagrams fills its queue only.
        loop.remove_reader(self._socket.fileno())
        if self._pace.allows(self._socket.drain(), loop.time()):
            self._pause = _PAUSE
            self._submit(Kind.LOOK, _has_changed, self._looked)
        else:
            self._pause = _LONG_PAUSE
            self._looked(None)

    def _looked(self, has_changed: Any) -> None:
        if self._socket is None:
            return
        event_loop().loop.call_later(self._pause, guard.call, self._responsible, self._wait)
        if has_changed is True:
            self._changed()

    def close(self) -> None:
        """Look no more, and remove the socket. May be called again."""
        socket, self._socket = self._socket, None
        if socket is not None:
            event_loop().loop.remove_reader(socket.fileno())
            socket.close()


def _has_changed(store: Store) -> bool:
    return store.has_changed()

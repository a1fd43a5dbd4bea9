"""Where all emails of the process go while a test records them."""

import threading

from ..connection_limit import connection_limit
from .outlet import Outlet


class Diversion:
    """What takes the emails of every actor, whatever relay that has. Safe from any thread.

    Attributes:
        outlet: the outlet; None, as is usual, if each relay gets its own emails.
        epoch: a number that changes with it: a connection of another epoch sends no more.
    """

    def __init__(self) -> None:
        self.outlet: Outlet | None = None
        self.epoch: int = 0
        self._lock = threading.Lock()
        self._outlets: list[Outlet] = []

    def begin(self, outlet: Outlet) -> None:
        """Divert to an outlet, until `end`; of several, the last one counts."""
        self._set([*self._outlets, outlet])

    def end(self, outlet: Outlet) -> None:
        """Undo `begin`."""
        self._set([one for one in self._outlets if one is not outlet])

    def _set(self, outlets: list[Outlet]) -> None:
        with self._lock:
            self._outlets = outlets
            self.outlet = outlets[-1] if outlets else None
            self.epoch += 1
        connection_limit.reclaim_all()


diversion: Diversion = Diversion()

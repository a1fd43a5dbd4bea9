"""The outcomes that a test has chosen, and the outlet that brings them about."""

import threading
from dataclasses import dataclass

from ...actors.net.outlets.outlet import Plan, Taken
from ...actors.net.outlets.record import Kept, RecordOutlet

MOST_MAILS = 100_000
MOST_BYTES = 1_073_741_824


@dataclass(slots=True)
class _Chosen:
    """A plan, and for how many more emails it holds; None is for all."""

    plan: Plan
    left: int | None


class PlannedOutlet(RecordOutlet):
    """Records emails, unless a test has chosen another outcome. Safe from any thread."""

    def __init__(self) -> None:
        self.kept: Kept = Kept(MOST_MAILS, MOST_BYTES)
        super().__init__("record_mails", self.kept)
        self._lock = threading.Lock()
        self._next: list[_Chosen] = []
        self._by_recipient: dict[str, list[_Chosen]] = {}

    def choose(self, plan: Plan, to: str | None, times: int | None) -> None:
        """Have something else happen.

        Args:
            plan: what.
            to: for emails to this recipient; None for the next emails, whatever recipients.
            times: for so many emails; None for all.
        """
        chosen = _Chosen(plan, times)
        with self._lock:
            if to is None:
                self._next.append(chosen)
            else:
                self._by_recipient.setdefault(to.lower(), []).append(chosen)

    def plan_for(self, taken: Taken, path: str) -> Plan | None:
        """Return what happens at a recipient: what was chosen for it, or for the email."""
        with self._lock:
            if not taken.is_planned:
                taken.is_planned = True
                taken.plan = _take(self._next)
            return _take(self._by_recipient.get(path.lower(), [])) or taken.plan


def _take(chosen: list[_Chosen]) -> Plan | None:
    """Return the first plan, which then holds for one email less."""
    if not chosen:
        return None
    first = chosen[0]
    if first.left is not None:
        first.left -= 1
        if not first.left:
            del chosen[0]
    return first.plan

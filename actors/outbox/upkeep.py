"""Keeps an outbox in step with its file: others write it, and it may fail. On the loop thread."""

import logging
import time
from collections.abc import Callable
from typing import Any

from ...signals.bus import publish_event, smtp_outbox_trouble
from ...signals.outlets.journal import log_mailer
from ..loop.event_loop import event_loop
from .draining import Draining
from .publishing import Publishing
from .sending.shipping import Shipping
from .store.errors import OutboxError
from .store.records import Rescue, Row
from .store.store import Store
from .thread.ops import Kind

Submit = Callable[[Kind, Any, Callable[[Any], object]], object]

_STRAYS = 2.0
"""Seconds between two looks for emails that are this life's by the file only."""


class Upkeep:
    """Acts on what the thread of the file has noticed.

    Args:
        alias: the sender of the outbox's signals.
        submit: has something done with the file.
        shipping: sends emails.
        publishing: publishes outcomes.
        draining: answers who waits until nothing is left.
        owes: returns whether outcomes could not be written yet; called with the store.
        sends: whether emails are sent by this process.

    Attributes:
        rescued: how many emails were taken over from processes that have died.
        is_over: whether the outbox is being stopped, so that nothing new is taken.
    """

    def __init__(
        self,
        alias: str,
        submit: Submit,
        shipping: Shipping,
        publishing: Publishing,
        draining: Draining,
        *,
        owes: Callable[[], bool],
        sends: bool,
    ) -> None:
        self.rescued: int = 0
        self.is_over: bool = False
        self._alias = alias
        self._submit = submit
        self._shipping = shipping
        self._publishing = publishing
        self._draining = draining
        self._owes = owes
        self._sends = sends
        self._taken_over = [0, 0, 0]  # since the last line in the log
        self._trouble_since: float | None = None
        self._strays: set[int] = set()
        self._strays_at = 0.0

    def file_changed(self, _nothing: object = None) -> None:
        """Look what is to be done: somebody has written."""
        if self.is_over:
            return
        self._publishing.take()
        if self._sends:
            self._shipping.look_soon()
        self._draining.look(event_loop().loop.time())

    def lives_rescued(self, rescue: Rescue) -> None:
        """Go on with what dead processes have left."""
        self.rescued += rescue.ready
        found = (rescue.ready, rescue.held, len(rescue.in_doubt))
        self._taken_over = list(map(sum, zip(self._taken_over, found, strict=True)))
        if rescue.is_over and any(self._taken_over):
            log_mailer(
                logging.WARNING,
                "%s: %d processes have died; took over %d emails, %d are held, %d are in doubt",
                *(self._alias, len(rescue.lives), *self._taken_over),
                alias=self._alias,
            )
            self._taken_over = [0, 0, 0]
        for row in rescue.in_doubt:
            self._shipping.take_doubtful(row)
        self.file_changed()

    # The file cannot be written, or can be again

    def note_trouble(self, error: OutboxError | None) -> None:
        """Say that the file cannot be written; or, with None, that it can again."""
        if error is not None:
            self._trouble_since = time.time()
            text = "%s: %s; nothing new is sent or taken until that is over"
            log_mailer(logging.ERROR, text, self._alias, error, alias=self._alias)
        else:
            text = "%s: the file can be written again"
            log_mailer(logging.WARNING, text, self._alias, alias=self._alias)
        since = self._trouble_since
        publish_event(smtp_outbox_trouble, self._alias, error=error, since=since)
        if error is None:
            self._trouble_since = None
            self._reconcile()

    def _reconcile(self) -> None:
        """Give back what is this life's by the file only: a turn that failed may be in it."""
        claimed, published = list(self._shipping.entries), list(self._publishing.published)

        def reconcile(store: Store) -> list[Row]:
            # These are neither in memory, nor in the file as what they are: so not yet. If strays
            # are left then, the look for them finds them again.
            return [] if self._owes() else store.reconcile(claimed, published)

        def reconciled(rows: list[Row] | OutboxError) -> None:
            for row in [] if isinstance(rows, OutboxError) else rows:
                if row.seq not in self._shipping.entries:
                    self._shipping.take_doubtful(row)
            self.file_changed()

        self._submit(Kind.HAND, reconcile, reconciled)

    def on_tick(self, now: float) -> None:
        """Look from time to time whether all that is this life's by the file is in its memory.

        Args:
            now: the time, on the loop's clock.
        """
        if now < self._strays_at or self._trouble_since is not None:
            return
        self._strays_at = now + _STRAYS

        def looked(owned: list[int] | OutboxError) -> None:
            if isinstance(owned, OutboxError):
                return
            known = self._shipping.entries.keys() | self._publishing.published
            strays = set(owned) - known
            # Twice: what is on its way between file and memory is seen once only.
            if strays & self._strays:
                self._reconcile()
            self._strays = strays

        self._submit(Kind.LOOK, _owned, looked)


def _owned(store: Store) -> list[int]:
    return store.owned()

"""The work of ``pykka-smtp send``: feeds a Mailer, and hears what became of each mail.

All of it runs on one thread, that of `BulkSend.send`; outcomes come to it through a queue.
"""

import queue
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pykka

from ..actors.mailer.mailer import Mailer
from ..actors.mailer.statistics import Throughput
from ..signals import Outcome, SendFailure, SendMail, smtp_send_retry
from ..signals.tellable import Tellable
from .interrupts import Interrupts
from .mail_file import MailFile
from .progress import Progress
from .recipients import Recipients
from .report import Report
from .results import Row, Tally, is_about_relay, row_not_tried, row_unknown, rows_of
from .written_mail import WrittenMail

MAX_OUTSTANDING = 2000
"""Mails that the Mailer is told ahead of their outcomes: enough for any number of connections, and
little memory. Those after them wait on the disk."""
MAX_CONSECUTIVE_RELAY_FAILURES = 10
"""Mails in a row that did not get as far as MAIL, after which no more are tried."""
TICK = 0.1
"""Seconds between two looks at progress and signals."""
GRACE = 10.0
"""Seconds that transactions under way have to finish, once it is to end."""
FAREWELL = 5.0
"""Seconds beyond that for the outcomes, and for QUIT."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkPlan:
    """What is to be sent to whom.

    Attributes:
        sender: the reverse-path.
        mail: what is sent.
        recipients: who gets it.
        together: whether it is one mail for them all.
    """

    sender: str
    mail: MailFile | WrittenMail
    recipients: Recipients
    together: bool

    def mails(self, outcome_to: Tellable) -> Iterator[SendMail]:
        """Make the mails, one by one.

        Args:
            outcome_to: who is told what became of them.
        """
        for to in [tuple(self.recipients)] if self.together else self.recipients:
            yield self.mail.make(sender=self.sender, to=to, outcome_to=outcome_to)


class BulkSend:
    """Sends all mails, and keeps account of it.

    Attributes:
        tally: what became of the recipients.
        stopped_because: why not all mails were tried, or None.
        report_error: why the report is not complete, or None.
    """

    def __init__(
        self,
        order: BulkPlan,
        mailer: "pykka.ActorRef[Mailer]",
        *,
        alias: str,
        report: Report | None,
        progress: Progress,
    ) -> None:
        """Prepare.

        Args:
            order: what to send.
            mailer: has no mails yet. It is stopped in the end.
            alias: its alias.
            report: where each recipient's row goes, if anywhere.
            progress: shows how far it has come.
        """
        self.tally: Tally = Tally(len(order.recipients))
        self.stopped_because: str | None = None
        self.report_error: OSError | None = None
        self._mailer = mailer
        self._alias = alias
        self._report = report
        self._progress = progress
        self._mails = order.mails(self)
        self._is_told = False  # all of them
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._outstanding: dict[str, SendMail] = {}
        # The first mail goes alone: a wrong password is shown once, not on each connection.
        self._ahead = 1
        self._failures = 0  # in a row, that say something of the relay
        self._throughput = Throughput()
        self._unsaved: list[Row] = []  # written since the report was last flushed
        self._next_look = 0.0
        self._give_up_at = 0.0

    def tell(self, message: Any) -> None:
        """Take an outcome. Called on the dispatcher's second thread."""
        self._outcomes.put(message)

    def send(self, interrupts: Interrupts) -> None:
        """Send the mails, until each has an outcome or it is to end.

        Args:
            interrupts: what may ask it to end.
        """
        try:
            with smtp_send_retry.connected_to(self._on_retry, sender=self._alias):
                while not self._has_ended(interrupts):
                    self._submit()
                    self._collect()
                    self._refresh()
            self._account_for_the_rest(interrupts)
            self._show()
        finally:
            self._mailer.stop(block=False)
        if not interrupts.is_urgent:
            self._mailer.actor_stopped.wait(FAREWELL)

    def _has_ended(self, interrupts: Interrupts) -> bool:
        """Whether there is nothing more to wait for; begins the end if it is time."""
        if interrupts.number is not None and self.stopped_because is None:
            self._stop("interrupted")
            self._progress.say(
                f"interrupted; mails under way have {GRACE:.0f} s, interrupt again to end at once"
            )
        elif not self._mailer.is_alive():
            self._stop("the Mailer has died; please report it")
        if self.stopped_because is None:
            return self._is_told and not self._outstanding
        return not self._outstanding or interrupts.is_urgent or time.monotonic() > self._give_up_at

    def _stop(self, why: str) -> None:
        """Tell no more mails; those under way may finish."""
        if self.stopped_because is None:
            self.stopped_because = why
            self._give_up_at = time.monotonic() + GRACE + FAREWELL
            self._mailer.stop(block=False)

    def _submit(self) -> None:
        """Tell mails, but not too many ahead."""
        while len(self._outstanding) < self._ahead:
            if self._is_told or self.stopped_because is not None:
                return
            mail = next(self._mails, None)
            if mail is None:
                self._is_told = True
                return
            self._outstanding[mail.id] = mail
            try:
                self._mailer.tell(mail)
            except pykka.ActorDeadError:
                del self._outstanding[mail.id]
                self._not_tried(mail, "the Mailer has died")
                return

    def _collect(self) -> None:
        """Wait for an outcome, but not for long; take all that are there."""
        if not self._outstanding:
            return
        try:
            self._take(self._outcomes.get(timeout=TICK))
            # Only what is outstanding can come, so this ends.
            while True:
                self._take(self._outcomes.get_nowait())
        except queue.Empty:
            pass

    def _take(self, outcome: Outcome) -> None:
        """Enter an outcome into the account, and learn from it."""
        if self._outstanding.pop(outcome.mail.id, None) is None:
            return
        for row in rows_of(outcome):
            self._record(row, outcome)
        if not isinstance(outcome, SendFailure) or not is_about_relay(outcome):
            self._failures = 0
            self._ahead = MAX_OUTSTANDING
            return
        self._failures += 1
        if self._ahead == 1 or self._failures >= MAX_CONSECUTIVE_RELAY_FAILURES:
            self._stop(outcome.detail)

    def _record(self, row: Row, outcome: Outcome | None = None) -> None:
        self.tally.add(row, outcome)
        self._throughput.add(time.monotonic())
        if self._report is None:
            return
        self._unsaved.append(row)
        if self.report_error is not None:
            self._tell_unsaved()
            return
        try:
            self._report.write(row)
        except OSError as error:
            self.report_failed(error)

    def report_failed(self, error: OSError) -> None:
        """Stop: without the report nobody would know who has the mail."""
        if self.report_error is None:
            self.report_error = error
            self._stop(f"the report can't be written: {error.strerror or error}")
            self._tell_unsaved()

    def _tell_unsaved(self) -> None:
        """Tell of those who have the mail, where the report does not."""
        for row in self._unsaved:
            if row.result in ("accepted", "maybe"):
                self._progress.say(f"perhaps not in the report: {row.address} {row.result}")
        self._unsaved.clear()

    def _not_tried(self, mail: SendMail, why: str) -> None:
        for address in mail.all_recipients:
            self._record(row_not_tried(address, why))

    def _account_for_the_rest(self, interrupts: Interrupts) -> None:
        """Enter those of whom nothing was heard."""
        for mail in self._outstanding.values():
            for address in mail.all_recipients:
                self._record(row_unknown(address))
        for mail in self._mails:
            # There may be a million, and somebody may be in a hurry.
            if interrupts.is_urgent:
                return
            self._not_tried(mail, self.stopped_because or "")

    def _on_retry(self, _alias: str, **_details: object) -> None:
        # On the dispatcher's thread; only counts, and lets others go before the second attempt.
        self.tally.retries += 1
        self._ahead = MAX_OUTSTANDING

    def _refresh(self) -> None:
        """Show how far it has come, if it is time."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + TICK
            self._show()

    def _show(self) -> None:
        if self._report is not None and self.report_error is None:
            try:
                self._report.flush()
                self._unsaved.clear()
            except OSError as error:
                self.report_failed(error)
        self._progress.show(self.tally, self._throughput.per_second(time.monotonic()))

"""The work of ``send`` and ``merge``: submits emails to a Mailer, and collects their outcomes.

All of it runs on one thread, that of `BulkSend.send`, which gets the outcomes through a queue.
"""

import contextlib
import queue
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pykka

from ...actors.mailer.jobs.statistics import Throughput
from ...actors.mailer.mailer import Mailer
from ...signals import Outcome, SendFailure, SendMail, smtp_send_retry
from ...signals.tellable import Tellable
from ..input.mail_file import MailFile
from ..input.recipients import Recipients
from ..input.written_mail import WrittenMail
from ..output.progress import Progress
from ..output.results import Row, Tally, is_about_relay, row_not_tried, row_unknown, rows_of
from .interrupts import Interrupts
from .plan import Addressed, Plan, Records

MAX_OUTSTANDING = 2000
"""Emails submitted to the Mailer without an outcome: enough for any number of connections, and
little memory. The recipients after them stay on disk."""
MAX_CONSECUTIVE_RELAY_FAILURES = 10
"""Emails in a row that failed before MAIL, after which no more are sent. One may fail
by chance; ten in a row mean that the relay can't be used, and that all others would fail, too."""
TICK = 0.1
"""Seconds between two checks of progress and signals."""
GRACE = 10.0
"""Seconds that emails in flight have to finish after an interrupt."""
FAREWELL = 5.0
"""Seconds after that for the outcomes, and for QUIT."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkPlan:
    """What to send to whom.

    Attributes:
        sender: the reverse-path.
        mail: the email.
        recipients: the recipients.
        together: whether to send one email to all of them.
    """

    sender: str
    mail: MailFile | WrittenMail
    recipients: Recipients
    together: bool

    def mails(self, outcome_to: Tellable) -> Iterator[SendMail]:
        """Yield the emails, each made when it is needed.

        Args:
            outcome_to: receives their outcomes.
        """
        named = self.recipients.named()
        for to in [tuple(named)] if self.together else ((one,) for one in named):
            yield self.mail.make(sender=self.sender, to=to, outcome_to=outcome_to)

    def __len__(self) -> int:
        """Return the number of recipients."""
        return len(self.recipients)

    def rest(self, mails: Iterator[SendMail]) -> Iterable[Addressed]:
        """Yield what is not sent.

        Args:
            mails: the emails that were not taken.
        """
        return mails


class BulkSend:
    """Sends all emails, and records the result of each recipient.

    Attributes:
        tally: the results, counted.
        stopped_because: why not all emails were attempted, or None.
        report_error: why the report is not complete, or None.
    """

    def __init__(
        self,
        order: Plan,
        mailer: "pykka.ActorRef[Mailer]",
        *,
        alias: str,
        report: Records | None,
        progress: Progress,
        most: int | None = None,
    ) -> None:
        """Store the arguments; `send` sends.

        Args:
            order: what to send.
            mailer: a Mailer without emails. It is stopped at the end.
            alias: its alias.
            report: gets a row for each recipient; or None.
            progress: shows the progress.
            most: emails submitted without an outcome. Default: `MAX_OUTSTANDING`.
        """
        self.tally: Tally = Tally(len(order))
        self.stopped_because: str | None = None
        self.report_error: OSError | None = None
        self._mailer = mailer
        self._alias = alias
        self._report = report
        self._progress = progress
        self._order = order
        self._most = MAX_OUTSTANDING if most is None else most
        self._mails = order.mails(self)
        self._is_told = False  # whether all emails were submitted
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._outstanding: dict[str, SendMail] = {}
        # The first email is sent alone, so that a wrong password is tried on one connection only.
        self._ahead = 1
        self._failures = 0  # consecutive failures of the relay
        self._throughput = Throughput()
        self._unsaved: list[Row] = []  # written since the report was last flushed
        self._next_look = 0.0
        self._give_up_at = 0.0

    def tell(self, message: Any) -> None:
        """Called with each outcome, on the dispatcher's second thread."""
        self._outcomes.put(message)

    def send(self, interrupts: Interrupts) -> None:
        """Send the emails, until each has an outcome or the command is interrupted.

        Args:
            interrupts: the signals received.
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
        """Begin to stop if there is a reason; return whether there is nothing to wait for."""
        if interrupts.number is not None and self.stopped_because is None:
            self._stop("interrupted")
            self._progress.say(
                f"interrupted; emails in flight have {GRACE:.0f} s, interrupt again to end at once"
            )
        elif not self._mailer.is_alive():
            self._stop("the Mailer has died; please report it")
        if self.stopped_because is None:
            return self._is_told and not self._outstanding
        return not self._outstanding or interrupts.is_urgent or time.monotonic() > self._give_up_at

    def _stop(self, why: str) -> None:
        """Submit no more emails; those in flight may finish."""
        if self.stopped_because is None:
            self.stopped_because = why
            self._give_up_at = time.monotonic() + GRACE + FAREWELL
            self._mailer.stop(block=False)

    def _submit(self) -> None:
        """Submit emails, up to the limit of outstanding ones."""
        while len(self._outstanding) < self._ahead:
            if self._is_told or self.stopped_because is not None:
                return
            try:
                mail = next(self._mails, None)
            except OSError as error:
                self.report_failed(error)
                return
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
        """Wait for an outcome, at most `TICK` seconds; take all that have arrived."""
        if not self._outstanding:
            return
        try:
            self._take(self._outcomes.get(timeout=TICK))
            # This ends, because only outstanding emails have outcomes to come.
            while True:
                self._take(self._outcomes.get_nowait())
        except queue.Empty:
            pass

    def _take(self, outcome: Outcome) -> None:
        """Record an outcome; stop if the relay can't be used."""
        if self._outstanding.pop(outcome.mail.id, None) is None:
            return
        for row in rows_of(outcome):
            self._record(row, outcome.mail, outcome)
        if not isinstance(outcome, SendFailure) or not is_about_relay(outcome):
            self._failures = 0
            self._ahead = self._most
            return
        self._failures += 1
        if self._ahead == 1 or self._failures >= MAX_CONSECUTIVE_RELAY_FAILURES:
            self._stop(outcome.detail)

    def _record(self, row: Row, mail: Addressed, outcome: Outcome | None = None) -> None:
        self.tally.add(row, outcome)
        if row.result != "not sent":  # when hundreds are cancelled at once, nothing is fast
            self._throughput.add(time.monotonic())
        if self._report is None:
            return
        self._unsaved.append(row)
        if self.report_error is not None:
            self._tell_unsaved()
            with contextlib.suppress(OSError):
                self._report.salvage(row, mail)
            return
        try:
            self._report.write(row, mail)
        except OSError as error:
            self.report_failed(error)

    def report_failed(self, error: OSError) -> None:
        """Stop, because without the report the user can't know which recipients were accepted."""
        if self.report_error is None:
            self.report_error = error
            what = error.filename or "the report"
            self._stop(f"{what} can't be written: {error.strerror or error}")
            self._tell_unsaved()

    def _tell_unsaved(self) -> None:
        """Print the accepted recipients that may be missing from the report."""
        for row in self._unsaved:
            if row.result in ("accepted", "maybe"):
                self._progress.say(f"perhaps not in the report: {row.address} {row.result}")
        self._unsaved.clear()

    def _not_tried(self, mail: Addressed, why: str) -> None:
        for address in mail.all_recipients:
            self._record(row_not_tried(address, why), mail)

    def _account_for_the_rest(self, interrupts: Interrupts) -> None:
        """Record the recipients without an outcome."""
        for mail in self._outstanding.values():
            for address in mail.all_recipients:
                self._record(row_unknown(address), mail)
        for untried in self._order.rest(self._mails):
            # There may be a million, and a second interrupt means at once.
            if interrupts.is_urgent:
                return
            self._not_tried(untried, self.stopped_because or "")

    def _on_retry(self, _alias: str, **_details: object) -> None:
        # Called on the dispatcher's thread. It only counts, and lets other emails be sent before
        # the second attempt of the first one.
        self.tally.retries += 1
        self._ahead = self._most

    def _refresh(self) -> None:
        """Show the progress every `TICK` seconds."""
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

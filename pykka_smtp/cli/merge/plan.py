"""The emails of ``pykka-smtp merge``, and what is noted of each."""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ...signals import SendMail
from ...signals.composing.given import Mailbox
from ...signals.tellable import Tellable
from ...signals.templates.engine import Source, Text
from ...signals.templates.template import Template
from ...smtp.mail.domain import AddressError
from ...smtp.mail.parts.fields import Unsubscribe
from ..input.mailbox import read_recipient
from ..input.recipients import MAX_COMPLAINTS, Named
from ..output.report import Report
from ..output.results import Row
from ..send.plan import Addressed
from .journal import Journal
from .repeated import Addresses, Group, left_out
from .rows import Table, TableRow

AT_ONCE = 20
"""Rows that are noted together before they are submitted: a note waits for the disk."""


_OFTEN = 5.0
"""Seconds between two words on how far the check is."""
_LOOK = 100
"""Rows after which to look at the clock."""


class BadRowError(Exception):
    """A row cannot be sent; the text says why, without the place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedRow(Row):
    """The result of one row of the table."""

    row: int

    def as_dict(self) -> dict[str, Any]:
        """Return the values by name, in the order of the report."""
        return {name: getattr(self, name) for name in NAMES}


NAMES = ("row", *(each.name for each in fields(Row)))


def numbered(number: int, row: Row) -> NumberedRow:
    """Return a result with the number of its row."""
    return NumberedRow(row=number, **row.as_dict())


class Merge:
    """Makes the email of a row.

    Args:
        template: what it is made of.
        sender: the reverse-path, and the name in From.
        column: the name of the column with the address.
        unsubscribe: a template of the URL to unsubscribe at, or None.
    """

    def __init__(
        self, template: Template, *, sender: Mailbox, column: str, unsubscribe: str | None
    ) -> None:
        self._template = template
        self._sender = sender
        self._column = column
        self._leave: Text | None = None
        if unsubscribe is not None:
            self._leave = Text(Source("--unsubscribe", unsubscribe, None), is_html=False)

    def make(self, row: TableRow, outcome_to: Tellable | None = None) -> SendMail:
        """Return the email of a row.

        Args:
            row: the row.
            outcome_to: receives the outcome.

        Raises:
            BadRowError: it cannot be sent.
        """
        values: dict[str, Any] = {"row": row.cells, **row.cells}
        options: dict[str, Any] = {}
        try:
            if self._leave is not None:
                options["unsubscribe"] = Unsubscribe(url=self._leave.render(values))
            return self._template.mail(
                sender=self._sender,
                recipients=[self._to(row)],
                values=values,
                outcome_to=outcome_to,
                context=row.number,
                **options,
            )
        except ValueError as error:  # a `TemplateError` is one
            raise BadRowError(f": {error}") from None

    def address_of(self, row: TableRow) -> str:
        """Return the address of a row that has one."""
        return self._to(row)[1]

    def _to(self, row: TableRow) -> Named:
        try:
            return read_recipient(row.cells[self._column].strip(), more="write one in each row")
        except AddressError as error:
            raise BadRowError(f", column {self._column}: {error}") from None


@dataclass(frozen=True, slots=True)
class Findings:
    """What is known of the rows before the first email is sent.

    Attributes:
        count: how many there are.
        complaints: what is wrong.
        groups: the addresses that several rows have, if nothing is wrong.
    """

    count: int
    complaints: Sequence[str]
    groups: Sequence[Group]


def check_rows(merge: Merge, table: Table, say: Callable[[str], None]) -> Findings:
    """Make each email once, so that errors are known before the first is sent.

    Args:
        merge: makes emails.
        table: the rows.
        say: is told how far it is, if it takes long.

    Raises:
        BadRowsError: the table is wrong from some row on.
    """
    count = 0
    found: dict[str, list[int]] = {}
    addresses = Addresses()
    next_word = time.monotonic() + _OFTEN
    for row in table:
        count += 1
        if not count % _LOOK and time.monotonic() > next_word:
            next_word = time.monotonic() + _OFTEN
            say(f"{count} rows checked, and nothing sent yet")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # an image that no page embeds
                addresses.add(merge.make(row).recipients[0])
        except (BadRowError, UserWarning) as error:
            why = str(error) if isinstance(error, BadRowError) else f": {error}"
            rows = found.setdefault(why, []) if len(found) < MAX_COMPLAINTS else None
            rows = found.setdefault(": and other errors", []) if rows is None else rows
            rows.append(row.number)
    complaints = [_complaint(table.name, why, rows) for why, rows in found.items()]
    again = ((row.number, merge.address_of(row)) for row in table)
    return Findings(count, complaints, () if found else addresses.groups(again))


def _complaint(name: str, why: str, rows: Sequence[int]) -> str:
    more = "" if len(rows) == 1 else f" (and {len(rows) - 1} more rows)"
    return f"{name}, row {rows[0]}{why}{more}"


@dataclass(frozen=True, slots=True)
class _Unsent:
    """A row whose email is not made any more."""

    all_recipients: tuple[str, ...]
    context: int


class MergePlan:
    """The rows that are still to be sent.

    Args:
        merge: makes emails.
        table: the rows.
        journal: knows which were sent.
        resend_doubtful: whether to send rows in doubt.
        resend_refused: whether to send rows that were refused for good.
        unique: addresses of which only one row is sent.
    """

    def __init__(
        self,
        merge: Merge,
        table: Table,
        journal: Journal,
        *,
        resend_doubtful: bool,
        resend_refused: bool,
        unique: Sequence[Group] = (),
    ) -> None:
        self._merge = merge
        self._table = table
        self._journal = journal
        self._resend_doubtful = resend_doubtful
        self._resend_refused = resend_refused
        self.left_out: dict[int, int] = left_out(unique, self._rank)
        self._batch: list[SendMail] = []
        self._rows: Iterator[TableRow] = iter(())
        self.done: int = 0
        self.refused: int = 0
        self._count = 0
        for row in table:
            if self._is_open(row.number):
                self._count += 1
            elif journal.is_done(row.number):
                self.done += 1
                self.refused += journal.is_refused(row.number)

    def results_before(self) -> Iterator[tuple[int, Row]]:
        """Yield number and result of the rows that were done before."""
        return self._journal.results(lambda number: not self._is_open(number))

    def rows(self) -> Iterator[TableRow]:
        """Yield the rows to send."""
        return (row for row in self._table if self._is_open(row.number))

    def doubtful(self) -> Iterator[Addressed]:
        """Yield the rows in doubt that are not sent."""
        for row in self._table:
            if self._journal.is_doubtful(row.number) and not self._resend_doubtful:
                yield self._unsent(row)

    def results_of_left_out(self) -> Iterator[tuple[int, Row]]:
        """Yield number and result of each row whose address another row has."""
        for row in self._table:
            kept = self.left_out.get(row.number)
            in_doubt = self._journal.is_doubtful(row.number) and not self._resend_doubtful
            if kept is not None and not in_doubt:
                why = f"has the address of row {kept}"
                address = self._merge.address_of(row)
                yield row.number, Row(address=address, result="not sent", text=why)

    def __len__(self) -> int:
        """Return the number of rows to send."""
        return self._count

    def mails(self, outcome_to: Tellable) -> Iterator[SendMail]:
        """Yield the emails; each is noted in the journal before.

        Args:
            outcome_to: receives their outcomes.

        Raises:
            OSError: it cannot be noted.
        """
        self._rows = self.rows()
        size = 1  # the first goes alone
        while True:
            for row in self._rows:
                self._batch.append(self._merge.make(row, outcome_to))
                if len(self._batch) == size:
                    break
            if not self._batch:
                return
            self._journal.begin([mail.context for mail in self._batch])
            self._batch.reverse()
            while self._batch:
                yield self._batch.pop()
            size = AT_ONCE

    def rest(self, mails: Iterator[SendMail]) -> Iterable[Addressed]:  # noqa: ARG002
        """Yield what is not sent.

        Args:
            mails: what `mails` has returned.
        """
        yield from reversed(self._batch)
        yield from map(self._unsent, self._rows)

    def _is_open(self, number: int) -> bool:
        journal = self._journal
        if journal.is_done(number):
            return self._resend_refused and journal.is_refused(number)
        if number in self.left_out:
            return False
        return self._resend_doubtful or not journal.is_doubtful(number)

    def _rank(self, number: int) -> int:
        """Return 0 for a row that is done, 1 for one in doubt, and 2 for any other."""
        if self._journal.is_done(number):
            return 0
        return 1 if self._journal.is_doubtful(number) else 2

    def _unsent(self, row: TableRow) -> _Unsent:
        return _Unsent((self._merge.address_of(row),), row.number)


class MergeRecords:
    """Notes results in the journal, and in the report if there is one.

    Args:
        journal: the journal.
        report: the report, or None.
    """

    def __init__(self, journal: Journal, report: Report | None) -> None:
        self._journal = journal
        self._report = report

    def write(self, row: Row, mail: Addressed) -> None:
        """Note the result of a row."""
        self.salvage(row, mail)
        self.report(mail.context, row)

    def salvage(self, row: Row, mail: Addressed) -> None:
        """Note the result of a row in the journal only."""
        if row.result != "not sent" or self._journal.is_doubtful(mail.context):
            self._journal.end(mail.context, row)

    def report(self, number: int, row: Row) -> None:
        """Write a result into the report only."""
        if self._report is not None:
            self._report.write(numbered(number, row))

    def flush(self) -> None:
        """Flush the report; the journal is never behind."""
        if self._report is not None:
            self._report.flush()

    def close(self) -> None:
        """Complete the report; a second call does nothing."""
        report, self._report = self._report, None
        if report is not None:
            report.close()


def write_first(merge: Merge, rows: Iterable[TableRow], folder: Path, count: int) -> list[Path]:
    """Write the emails of the first rows into a folder, and return their files.

    Args:
        merge: makes emails.
        rows: the rows.
        folder: made if it is not there.
        count: how many.

    Raises:
        OSError: they can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    for row in rows:
        if len(files) == count:
            break
        files.append(folder / f"row-{row.number}.eml")
        merge.make(row).save(files[-1])
    return files

"""``pykka-smtp merge``: an email for each row, a journal, a report, and an exit status."""

import argparse
import errno
import os
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from ...actors.options.options import Options
from ...signals.composing.given import Mailbox
from ...smtp.mail.address import check_mailbox, check_reverse_path
from ...smtp.mail.domain import AddressError
from ...smtp.sasl.secret import Secret
from ..input.mailbox import read_mailbox
from ..output.printable import print_lines
from ..output.progress import PlainOutput, progress_on
from ..output.report import STDOUT, Form, Report
from ..output.results import Row, row_unknown
from ..send.checks import check_relays, check_report_of, opened
from ..send.errors import CannotSendError, cannot_create, file_name, unreadable
from ..send.interrupts import Interrupts
from ..send.run import MAX_OUTSTANDING, BulkSend
from ..send.send import conclude, many, print_summary, raised_connection_limit, start_mailer
from ..send.signing import Signing, signing_of
from ..sysexits import EX_DATAERR, EX_IOERR, EX_OK, EX_TEMPFAIL, EX_UNAVAILABLE, EX_USAGE, SIGNALLED
from .folder import SUBJECT, template_in
from .journal import Journal, JournalError, JournalInUseError
from .plan import NAMES, Findings, Merge, MergePlan, MergeRecords, check_rows, write_first
from .repeated import left_out, warnings_of
from .rows import BadRowsError, Table, TableRow

ALIAS = "pykka-smtp merge"
FIRST = 3
"""Emails that a dry run writes."""
_PER_CONNECTION = 4
"""Emails submitted for each connection: all of them are in doubt if the command is killed."""


def run(options: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    """Check everything, and send.

    Args:
        options: what `arguments` has parsed.
        out: gets the summary.
        err: gets progress and errors.

    Returns:
        The exit status.

    Raises:
        BrokenPipeError: the reader of `out` has gone.
    """
    try:
        with ExitStack() as exits:
            return _run(options, out, err, exits)
    except CannotSendError as error:
        for complaint in error.complaints:
            PlainOutput(err, "merge").say(complaint)
        return error.status


def _run(options: argparse.Namespace, out: TextIO, err: TextIO, exits: ExitStack) -> int:
    if options.journal is None and options.dry_run is None:
        raise CannotSendError(
            EX_USAGE, "name a file with --journal, which notes what was sent; or use --dry-run"
        )
    relay = None if options.dry_run is not None else check_relays(options, ALIAS)
    form = check_report_of(options, [Path(options.rows)])
    _check_is_not_the_report(options)
    signing = signing_of(options)
    merge = _merge(options, signing)
    table = exits.enter_context(_table(options))
    complaints = PlainOutput(err, "merge")
    say = _say_nothing if options.quiet else complaints.say
    found = _check(merge, table, signing, say)
    if not Path(options.template, SUBJECT).exists():
        complaints.say(f"{options.template} has no {SUBJECT}, so the subject is (none)")
    for warning in warnings_of(found.groups, table.name, is_unique=options.unique):
        complaints.say(warning)
    if relay is None and (options.journal is None or not Path(options.journal).exists()):
        less = left_out(found.groups, lambda _number: 1) if options.unique else {}
        rows = (row for row in table if row.number not in less)
        return _describe(options, merge, rows, found.count - len(less), out)
    journal = exits.enter_context(_journal(options, table))
    plan = MergePlan(
        merge,
        table,
        journal,
        resend_doubtful=options.resend_doubtful,
        resend_refused=options.resend_refused,
        unique=found.groups if options.unique else (),
    )
    if relay is None:
        _say_before(options, plan, complaints, sum(1 for _ in plan.doubtful()))
        return _describe(options, merge, plan.rows(), len(plan), out)
    records = MergeRecords(journal, _report(options, form, out))
    way = _Way(*relay, signing)
    return _Sending(options, plan, records, complaints).run(way, out, err)


def _say_nothing(_text: str) -> None:
    """Keep quiet."""


@dataclass(frozen=True, slots=True)
class _Way:
    """How emails go out."""

    relay: Options
    urls: tuple[Secret, ...]
    signing: Signing


class _Sending:
    """A run that is checked."""

    def __init__(
        self,
        options: argparse.Namespace,
        plan: MergePlan,
        records: MergeRecords,
        complaints: PlainOutput,
    ) -> None:
        self._options = options
        self._plan = plan
        self._records = records
        self._complaints = complaints
        self._doubtful: list[Row] = []

    def run(self, way: _Way, out: TextIO, err: TextIO) -> int:
        """Send what is left; return the exit status."""
        self._report_before()
        if len(self._plan):
            return self._send(way, out, err)
        self._complaints.say("nothing is left to send")
        self._records.close()
        return EX_TEMPFAIL if self._doubtful else EX_OK

    def _report_before(self) -> None:
        """Report what was sent before, and what is in doubt."""
        plan = self._plan
        try:
            for number, row in plan.results_before() if self._options.report else ():
                self._records.report(number, row)
            for number, row in plan.results_of_left_out():
                self._records.report(number, row)
            for each in plan.doubtful():
                row = row_unknown(each.all_recipients[0])
                self._doubtful.append(row)
                self._records.report(each.context, row)
        except OSError as error:
            raise cannot_create(self._options.report or self._options.journal, error) from None
        _say_before(self._options, plan, self._complaints, len(self._doubtful))

    def _send(self, way: _Way, out: TextIO, err: TextIO) -> int:
        options = self._options
        begun = time.monotonic()
        most = MAX_OUTSTANDING if options.attempts > 1 else _PER_CONNECTION * options.connections
        with ExitStack() as exits:
            interrupts = exits.enter_context(Interrupts())
            exits.enter_context(raised_connection_limit(options.connections))
            total = len(self._plan)
            with progress_on(err, total, quiet=options.quiet, command="merge") as progress:
                run = BulkSend(
                    self._plan,
                    start_mailer(options, way.relay, way.urls, way.signing),
                    alias=way.relay.alias,
                    report=self._records,
                    progress=progress,
                    most=most,
                )
                run.tally.total += len(self._doubtful)
                for row in self._doubtful:
                    run.tally.add(row)
                run.send(interrupts)
                try:
                    self._records.close()
                except OSError as error:
                    run.report_failed(error)
            status = conclude(run, interrupts, self._complaints)
            if run.stopped_because is not None:
                self._complaints.say("the same command goes on from here")
            if not options.quiet:
                is_second = options.report in STDOUT
                summary = run.tally.summary(time.monotonic() - begun)
                may_fail = is_second or status > SIGNALLED
                print_summary(summary, err if is_second else out, may_fail=may_fail)
            if interrupts.is_urgent:
                # Emails are still in flight on another thread, and a normal exit waits for them.
                os._exit(status)
        return status


def _merge(options: argparse.Namespace, signing: Signing) -> Merge:
    """Return what makes the emails."""
    sender, more = _sender(options)
    if options.reply_to is not None:
        more["reply_to"] = options.reply_to
    if options.list_id is not None:
        more["list_id"] = options.list_id
    if signing.protect is not None:
        more["protect"] = signing.protect
    try:
        template = template_in(Path(options.template), **more)
        return Merge(
            template, sender=sender, column=options.column, unsubscribe=options.unsubscribe
        )
    except OSError as error:
        raise unreadable(str(error.filename), error) from None
    except ImportError as error:
        raise CannotSendError(EX_UNAVAILABLE, str(error)) from None
    except ValueError as error:
        raise CannotSendError(EX_DATAERR, str(error)) from None


def _sender(options: argparse.Namespace) -> tuple[Mailbox, dict[str, Any]]:
    """Return the reverse-path, with the name in From; and From, if that is another address."""
    what, text = "--from", options.author
    try:
        mailbox = read_mailbox(text)
        if mailbox is None:
            raise AddressError("needs one address, or one name and address: Name <address>")  # noqa: TRY301
        author = (mailbox[0], check_mailbox(mailbox[1]))
        if options.sender is None:
            return author, {}
        what, text = "--sender", options.sender
        bounces = read_mailbox(text) if text != "<>" else None
        path = check_reverse_path(text if bounces is None else bounces[1])
    except AddressError as error:
        raise CannotSendError(EX_USAGE, f"{what}: {error}") from None
    return (author, {}) if path == author[1] else (path, {"headers": {"From": options.author}})


def _table(options: argparse.Namespace) -> Table:
    name = options.rows
    try:
        with ExitStack() as exits:
            table = Table(opened(name, exits), file_name(name))
    except OSError as error:
        if error.errno == errno.ENOSPC:  # from writing our temporary file, not from reading
            raise CannotSendError(EX_IOERR, f"no room to keep the rows: {error}") from None
        raise unreadable(name, error) from None
    except BadRowsError as error:
        raise CannotSendError(EX_DATAERR, str(error)) from None
    if options.column not in table.columns:
        table.__exit__()
        named = ", ".join(table.columns)
        raise CannotSendError(
            EX_DATAERR, f"{table.name} has no column {options.column}; --column is one of {named}"
        )
    return table


def _check(merge: Merge, table: Table, signing: Signing, say: Callable[[str], None]) -> Findings:
    """Return what is known of the rows, if all can be sent."""
    try:
        found = check_rows(merge, table, say)
    except BadRowsError as error:
        raise CannotSendError(EX_DATAERR, str(error), "nothing was sent") from None
    except OSError as error:
        raise unreadable(str(error.filename), error) from None
    if found.complaints:
        raise CannotSendError(EX_DATAERR, *found.complaints, "nothing was sent")
    if not found.count:
        raise CannotSendError(EX_DATAERR, f"{table.name}: no rows")
    signing.try_on(merge.make(next(iter(table))))
    return found


def _say_before(
    options: argparse.Namespace, plan: MergePlan, complaints: PlainOutput, doubtful: int
) -> None:
    """Tell what the journal says."""
    say = complaints.say
    if plan.done:
        say(f"{many(plan.done, 'row')} done before, as {options.journal} says")
    if plan.refused:
        rows = many(plan.refused, "row")
        say(f"{rows} of these refused for good; --resend-refused sends them all the same")
    if plan.left_out:
        say(f"{many(len(plan.left_out), 'row')} left out, whose addresses other rows have")
    if doubtful:
        rows = many(doubtful, "row")
        say(f"{rows} in doubt, and not sent again; --resend-doubtful sends them")


def _describe(
    options: argparse.Namespace, merge: Merge, rows: Iterable[TableRow], count: int, out: TextIO
) -> int:
    """Write the first emails, and tell how many there would be."""
    try:
        files = write_first(merge, rows, Path(options.dry_run), FIRST)
    except OSError as error:
        raise cannot_create(options.dry_run, error) from None
    if not options.quiet:
        see = f"see {', '.join(map(str, files))}; " if files else ""
        print_lines(out, f"would send {many(count, 'email')}; {see}nothing was sent")
    return EX_OK


def _journal(options: argparse.Namespace, table: Table) -> Journal:
    try:
        return Journal(Path(options.journal), table.digest, table.name)
    except OSError as error:
        raise cannot_create(options.journal, error) from None
    except JournalError as error:
        raise CannotSendError(EX_DATAERR, str(error)) from None
    except JournalInUseError as error:
        raise CannotSendError(EX_TEMPFAIL, str(error)) from None


def _check_is_not_the_report(options: argparse.Namespace) -> None:
    """Check that the report does not write over the journal, which may not be there yet."""
    journal, report = options.journal, options.report
    if journal is not None and report is not None:
        one, other = Path(journal), Path(report)
        same = one.samefile(other) if one.exists() and other.exists() else False
        if same or one.resolve() == other.resolve():
            raise CannotSendError(EX_USAGE, "--journal and --report are the same file")


def _report(options: argparse.Namespace, form: Form, out: TextIO) -> Report | None:
    if options.report is None:
        return None
    try:
        return Report(options.report, form, out, NAMES)
    except OSError as error:
        raise cannot_create(options.report, error) from None

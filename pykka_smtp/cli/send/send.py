"""``pykka-smtp send``: an email to many recipients, a report, and an exit status of sysexits.h."""

import argparse
import os
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO

import pykka

from ...actors.mailer.jobs.retry import RetryPolicy
from ...actors.mailer.mailer import Mailer
from ...actors.net.connection_limit import connection_limit
from ...actors.options.options import Options
from ...smtp.sasl.secret import Secret
from ..input.mail_file import MailFile
from ..input.recipients import Recipients
from ..output.printable import print_lines
from ..output.progress import PlainOutput, progress_on
from ..output.report import STDOUT, Report
from ..sysexits import EX_IOERR, EX_OK, SIGNALLED
from .checks import Checked, check
from .errors import CannotSendError, cannot_create, file_name
from .interrupts import Interrupts
from .plan import OneReport
from .run import GRACE, MAX_OUTSTANDING, BulkPlan, BulkSend
from .signing import Signing


def run(options: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    """Check everything, and send.

    Args:
        options: what `options` has parsed.
        out: gets the summary.
        err: gets progress and errors.

    Returns:
        The exit status.

    Raises:
        BrokenPipeError: the reader of `out` has gone.
    """
    try:
        with Recipients() as recipients:
            checked = check(options, recipients)
            for warning in checked.mail.warnings if isinstance(checked.mail, MailFile) else ():
                PlainOutput(err).say(f"{file_name(options.mail)} {warning}")
            order = BulkPlan(
                sender=checked.sender,
                mail=checked.mail,
                recipients=recipients,
                together=options.together,
            )
            if options.dry_run:
                return _describe(options, checked, order, out)
            return _send(options, checked, order, out, err)
    except CannotSendError as error:
        for complaint in error.complaints:
            PlainOutput(err).say(complaint)
        return error.status


def _describe(options: argparse.Namespace, checked: Checked, order: BulkPlan, out: TextIO) -> int:
    if not options.quiet:
        mails = 1 if order.together else len(order.recipients)
        print_lines(
            out,
            f"would send {many(mails, 'email')} of {checked.size} octets from {order.sender}"
            f" to {many(len(order.recipients), 'recipient')} by {checked.relay.name};"
            " nothing was sent",
        )
    return EX_OK


def many(count: int, what: str) -> str:
    """Return a number of something, in words."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _send(
    options: argparse.Namespace, checked: Checked, order: BulkPlan, out: TextIO, err: TextIO
) -> int:
    begun = time.monotonic()
    report = _open_report(options.report, checked, out)
    with ExitStack() as exits:
        interrupts = exits.enter_context(Interrupts())
        exits.enter_context(raised_connection_limit(options.connections))
        with progress_on(err, len(order.recipients), quiet=options.quiet) as progress:
            run = BulkSend(
                order,
                start_mailer(options, checked.relay, checked.urls, checked.signing),
                alias=checked.relay.alias,
                report=None if report is None else OneReport(report),
                progress=progress,
            )
            try:
                run.send(interrupts)
            finally:
                _close(report, run)
        status = conclude(run, interrupts, PlainOutput(err))
        if not options.quiet:
            summary = run.tally.summary(time.monotonic() - begun)
            # The status of a signal matters more than a summary that can't be printed, and a
            # summary beside a report on standard output is optional.
            is_second = options.report in STDOUT
            may_fail = is_second or status > SIGNALLED
            print_summary(summary, err if is_second else out, may_fail=may_fail)
        if interrupts.is_urgent:
            # Emails are still in flight on another thread, and a normal exit waits for them.
            os._exit(status)
    return status


def print_summary(summary: list[str], out: TextIO, *, may_fail: bool) -> None:
    """Print the summary.

    Args:
        summary: its lines.
        out: where to print.
        may_fail: whether it may be missing.

    Raises:
        BrokenPipeError: the reader of `out` has gone, and it may not.
    """
    try:
        print_lines(out, *summary)
    except BrokenPipeError:
        if not may_fail:
            raise


def _open_report(name: str | None, checked: Checked, out: TextIO) -> Report | None:
    try:
        return None if name is None else Report(name, checked.report, out)
    except OSError as error:
        assert name is not None
        raise cannot_create(name, error) from None


@contextmanager
def raised_connection_limit(connections: int) -> Generator[None]:
    """Raise the process's connection limit to what the user asked for."""
    before = connection_limit.limit
    connection_limit.limit = max(before, connections)
    try:
        yield
    finally:
        connection_limit.limit = before


def start_mailer(
    options: argparse.Namespace, relay: Options, urls: Sequence[Secret], signing: Signing
) -> pykka.ActorRef[Mailer]:
    """Start the Mailer of a command.

    Args:
        options: what was parsed.
        relay: the options of the first relay.
        urls: those of all relays.
        signing: who signs, and for whom is encrypted.
    """
    url, *backups = urls
    more: dict[str, Any] = {} if options.timeout is None else {"timeout": options.timeout}
    return Mailer.start(
        url=url.reveal(),
        backups=[backup.reveal() for backup in backups],
        alias=relay.alias,
        max_connections=options.connections,
        max_queued=2 * MAX_OUTSTANDING,
        rate=options.rate,
        retry=RetryPolicy(max_attempts=options.attempts),
        grace=GRACE,
        without=options.without,
        **signing.options(),
        **more,
    )


def _close(report: Report | None, run: BulkSend) -> None:
    if report is not None:
        try:
            report.close()
        except OSError as error:
            run.report_failed(error)


def conclude(run: BulkSend, interrupts: Interrupts, complaints: PlainOutput) -> int:
    """Print what needs a person's attention, and return the exit status.

    Args:
        run: what was sent.
        interrupts: the signals received.
        complaints: where to print.
    """
    if run.stopped_because is not None and interrupts.number is None:
        complaints.say(f"stopped: {run.stopped_because}")
    left = run.tally.total - run.tally.done
    if left:
        complaints.say(f"{many(left, 'recipient')} not sent, and not in the report")
    doubtful = run.tally.counts["maybe"]
    if doubtful:
        complaints.say(
            f"{many(doubtful, 'recipient')} may have got the email, nobody knows;"
            " find out before you send it again"
        )
    if interrupts.number is not None:
        return SIGNALLED + interrupts.number
    return run.tally.status() if run.report_error is None else EX_IOERR

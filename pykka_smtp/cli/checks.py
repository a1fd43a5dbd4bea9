"""Everything of ``pykka-smtp send`` that can be checked before the first mail goes out."""

import argparse
import errno
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..actors.options.options import Options, collect_options
from ..actors.options.relay_url import parse_relay_url
from ..smtp.mail.address import check_reverse_path
from ..smtp.mail.domain import AddressError
from ..smtp.mail.envelope import MAX_RECIPIENTS
from ..smtp.sasl.secret import Secret
from .encoding import BOM, wide_encoding
from .mail_file import MAX_MAIL, BadMailError, MailFile, read_mail
from .mailbox import read_mailbox
from .recipients import BadLinesError, Recipients
from .report import STDOUT, Form, check_report, form_of
from .sysexits import (
    EX_CANTCREAT,
    EX_DATAERR,
    EX_IOERR,
    EX_NOINPUT,
    EX_UNAVAILABLE,
    EX_USAGE,
)
from .written_mail import WrittenMail

ALIAS = "pykka-smtp send"
STDIN = "-"
URL = "SMTP_URL"
BACKUPS = "SMTP_BACKUP_URLS"
_NO_SUBJECT = "(none)"  # as `SendMail` has it


class CannotSendError(Exception):
    """Nothing can be sent.

    Attributes:
        status: the exit status.
        complaints: what to tell the user, line by line.
    """

    def __init__(self, status: int, *complaints: str) -> None:
        super().__init__(status, *complaints)
        self.status = status
        self.complaints = complaints


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What is to be sent, and by which way; nothing of it is wrong.

    Attributes:
        sender: the reverse-path.
        mail: the mail.
        size: of the mail as the server will count it, or of that to the first recipient.
        report: the form of the report.
        relay: what the first URL says.
        urls: all of them, the first first.
    """

    sender: str
    mail: MailFile | WrittenMail
    size: int
    report: Form
    relay: Options
    urls: tuple[Secret, ...]


def check(options: argparse.Namespace, recipients: Recipients) -> Checked:
    """Check everything, from the cheapest to the dearest.

    Args:
        options: what `send_options` has parsed.
        recipients: empty; filled here.

    Raises:
        CannotSendError: something is wrong.
    """
    _check_usage(options)
    relay, urls = _check_relays(options)
    mail = _write_mail(options) if options.mail is None else _read_mail(options.mail)
    sender = _check_sender(options, mail)
    _read_recipients(options, recipients)
    size = mail.size if isinstance(mail, MailFile) else _try(mail, sender, recipients)
    form: Form = "csv" if options.report is None else _check_report(options)
    return Checked(sender=sender, mail=mail, size=size, report=form, relay=relay, urls=urls)


def file_name(name: str | None) -> str:
    """Return what may be shown of what was given as the name of a file."""
    if name in (None, STDIN):
        return "stdin"
    # A relay URL in the wrong place has its password with it.
    return "***" if "://" in name else name


def _check_usage(options: argparse.Namespace) -> None:
    if not options.to and options.to_file is None:
        raise CannotSendError(EX_USAGE, "name the recipients with --to-file or --to")
    if [options.mail, options.body, options.to_file].count(STDIN) > 1:
        raise CannotSendError(EX_USAGE, "only one of mail and recipients can come from stdin")
    written = [part for part in (options.author, options.subject, options.body) if part is not None]
    if options.mail is not None and written:
        raise CannotSendError(
            EX_USAGE, "give a file with a mail, or --from, --subject and --body; not both"
        )
    if options.mail is None and (options.author is None or options.body is None):
        raise CannotSendError(
            EX_USAGE, "name a file with the mail, or write one with --from, --subject and --body"
        )


def _check_sender(options: argparse.Namespace, mail: MailFile | WrittenMail) -> str:
    if options.sender is None:
        return _sender_of(mail, options.mail)
    sender: str = options.sender
    try:
        mailbox = read_mailbox(sender)
        if sender != "<>" and mailbox is not None:
            sender = mailbox[1]
        return check_reverse_path(sender)
    except AddressError as error:
        raise CannotSendError(EX_USAGE, f"--sender: {error}") from None


def _check_relays(options: argparse.Namespace) -> tuple[Options, tuple[Secret, ...]]:
    named = [("--url", options.url) if options.url else (URL, os.environ.get(URL, ""))]
    if not named[0][1]:
        raise CannotSendError(EX_USAGE, f"needs a relay URL: in {URL}, or as --url")
    named += [("--backup", url) for url in options.backup]
    if not options.url and not options.backup:
        # They belong to the relay in the environment, and not to another one.
        named += [(BACKUPS, url) for url in os.environ.get(BACKUPS, "").split()]
    checked = [_check_relay(name, url, options.timeout) for name, url in named]
    return checked[0], tuple([Secret(url) for _, url in named])


def _check_relay(name: str, url: str, timeout: float | None) -> Options:
    try:
        has_timeout = "timeout" in parse_relay_url(url).options
        checked = collect_options(url=Secret(url), alias=ALIAS)
    except ValueError as error:
        raise CannotSendError(EX_USAGE, f"{name}: {error}") from None
    except ImportError as error:
        raise CannotSendError(EX_UNAVAILABLE, f"{name}: {error}") from None
    if has_timeout and timeout is not None:
        # That of the URL would count, and nobody would know.
        raise CannotSendError(EX_USAGE, f"{name} has a timeout, too; leave --timeout out")
    return checked


def _read_mail(name: str) -> MailFile:
    try:
        with ExitStack() as exits:
            return read_mail(_open(name, exits))
    except OSError as error:
        raise _unreadable(name, error) from None
    except BadMailError as error:
        raise CannotSendError(EX_DATAERR, f"{file_name(name)} {error}") from None


def _sender_of(mail: MailFile | WrittenMail, name: str | None) -> str:
    try:
        return mail.sender
    except BadMailError as error:
        raise CannotSendError(EX_DATAERR, f"{file_name(name)} {error}") from None
    except AddressError as error:
        raise CannotSendError(EX_USAGE, f"--from: {error}") from None


def _write_mail(options: argparse.Namespace) -> WrittenMail:
    body = options.body
    if body == STDIN:
        try:
            data = _stdin().read(MAX_MAIL + 1)
        except OSError as error:
            raise _unreadable(STDIN, error) from None
        encoding = wide_encoding(data)
        try:
            body = data.removeprefix(BOM).decode()
        except UnicodeDecodeError:
            encoding = encoding or "not UTF-8"
        if encoding is not None:
            raise CannotSendError(EX_DATAERR, f"stdin is {encoding}; save it as UTF-8")
        if len(data) > MAX_MAIL:
            raise CannotSendError(EX_DATAERR, f"stdin is longer than {MAX_MAIL} octets")
    subject = _NO_SUBJECT if options.subject is None else options.subject
    return WrittenMail(author=options.author, subject=subject, body=body)


def _try(mail: WrittenMail, sender: str, recipients: Recipients) -> int:
    """Make the first mail: what is wrong with it is wrong with all."""
    try:
        return mail.size_for(sender, next(iter(recipients)))
    except ValueError as error:
        raise CannotSendError(EX_DATAERR, f"cannot write the mail: {error}") from None


def _read_recipients(options: argparse.Namespace, recipients: Recipients) -> None:
    for address in options.to:
        try:
            recipients.add(address, more="repeat --to for each")
        except AddressError as error:
            raise CannotSendError(EX_USAGE, f"--to: {error}") from None
    if options.to_file is not None:
        _read_to_file(options.to_file, recipients)
    if options.together and len(recipients) > MAX_RECIPIENTS:
        raise CannotSendError(
            EX_DATAERR,
            f"{len(recipients)} recipients are more than the {MAX_RECIPIENTS} that one mail can"
            " have; leave --together out",
        )


def _read_to_file(name: str, recipients: Recipients) -> None:
    before = len(recipients)
    try:
        with ExitStack() as exits:
            recipients.add_lines(_open(name, exits), file_name(name))
    except OSError as error:
        if error.errno == errno.ENOSPC:  # of ours, not of what is read
            raise CannotSendError(EX_IOERR, f"no room to keep the recipients: {error}") from None
        raise _unreadable(name, error) from None
    except BadLinesError as error:
        raise CannotSendError(EX_DATAERR, *error.complaints, "nothing was sent") from None
    if len(recipients) == before:
        raise CannotSendError(EX_DATAERR, f"{file_name(name)}: no recipient addresses")


def _check_report(options: argparse.Namespace) -> Form:
    inputs = [Path(name) for name in (options.mail, options.to_file) if name not in (None, STDIN)]
    try:
        form = form_of(options.report, options.report_format)
        if options.report not in STDOUT:
            check_report(Path(options.report), inputs)
    except ValueError as error:
        raise CannotSendError(EX_USAGE, f"--report: {file_name(options.report)} {error}") from None
    except OSError as error:
        raise cannot_create(options.report, error) from None
    return form


def cannot_create(report: str, error: OSError) -> CannotSendError:
    """Return what to raise where the report can't be written."""
    why = error.strerror or error
    return CannotSendError(EX_CANTCREAT, f"cannot write {file_name(report)}: {why}")


def _unreadable(name: str, error: OSError) -> CannotSendError:
    return CannotSendError(EX_NOINPUT, f"cannot read {file_name(name)}: {error.strerror or error}")


def _open(name: str, exits: ExitStack) -> IO[bytes]:
    return _stdin() if name == STDIN else exits.enter_context(Path(name).open("rb"))


def _stdin() -> IO[bytes]:
    if sys.stdin is None:  # closed before we were started
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    return sys.stdin.buffer

"""The checks that ``pykka-smtp send`` makes before the first email is sent."""

import argparse
import errno
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ...actors.options.options import Options, collect_options
from ...actors.options.relay_url import parse_relay_url
from ...smtp.mail.address import check_reverse_path
from ...smtp.mail.domain import AddressError
from ...smtp.mail.envelope import MAX_RECIPIENTS
from ...smtp.sasl.secret import Secret
from ..input.encoding import BOM, wide_encoding
from ..input.mail_file import MAX_MAIL, BadMailError, MailFile, read_mail
from ..input.mailbox import read_mailbox
from ..input.recipients import BadLinesError, Recipients
from ..input.written_mail import WrittenMail, read_files
from ..output.report import STDOUT, Form, check_report, form_of
from ..sysexits import EX_DATAERR, EX_IOERR, EX_UNAVAILABLE, EX_USAGE
from .errors import STDIN, CannotSendError, cannot_create, file_name, unreadable
from .signing import Signing, signing_of

ALIAS = "pykka-smtp send"
URL = "SMTP_URL"
BACKUPS = "SMTP_BACKUP_URLS"
_NO_SUBJECT = "(none)"  # as `SendMail` has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What to send and how, after all checks.

    Attributes:
        sender: the reverse-path.
        mail: the email.
        size: its size as the server will count it; of a written email, for the first recipient.
        report: the format of the report.
        relay: the options of the first relay URL.
        urls: all relay URLs, in order.
        signing: who signs, and for whom is encrypted.
    """

    sender: str
    mail: MailFile | WrittenMail
    size: int
    report: Form
    relay: Options
    urls: tuple[Secret, ...]
    signing: Signing


def check(options: argparse.Namespace, recipients: Recipients) -> Checked:
    """Check everything, the cheapest first.

    Args:
        options: what `options` has parsed.
        recipients: empty; filled here.

    Raises:
        CannotSendError: a check failed.
    """
    _check_usage(options)
    relay, urls = check_relays(options, ALIAS)
    signing = signing_of(options)
    if signing.encrypts and options.together and options.mail is not None:
        raise CannotSendError(
            EX_USAGE,
            "an encrypted email tells for whom else it is, also those whom its header does not"
            " name; leave --together out",
        )
    mail = _write_mail(options) if options.mail is None else _read_mail(options.mail)
    sender = _check_sender(options, mail)
    _read_recipients(options, recipients)
    size = mail.size if isinstance(mail, MailFile) else _try(mail, sender, recipients)
    if signing.dkim or signing.protect:
        signing.check_readers(recipients)
        named = recipients.named()
        to = tuple(named) if options.together else (next(named),)
        size = signing.try_on(mail.make(sender=sender, to=to)) or size
    inputs = [Path(name) for name in (options.mail, options.to_file) if name not in (None, STDIN)]
    form = check_report_of(options, inputs)
    return Checked(
        sender=sender,
        mail=mail,
        size=size,
        report=form,
        relay=relay,
        urls=urls,
        signing=signing,
    )


def _check_usage(options: argparse.Namespace) -> None:
    if not options.to and options.to_file is None:
        raise CannotSendError(EX_USAGE, "name the recipients with --to-file or --to")
    if [options.mail, options.body, options.to_file].count(STDIN) > 1:
        raise CannotSendError(EX_USAGE, "only one of email and recipients can come from stdin")
    given = (options.author, options.subject, options.body, options.html)
    written = [part for part in given if part is not None] + options.inline + options.attach
    if options.mail is not None and written:
        raise CannotSendError(
            EX_USAGE, "give a file with an email, or --from, --subject and --body; not both"
        )
    has_text = options.body is not None or options.html is not None
    if options.mail is None and (options.author is None or not has_text):
        raise CannotSendError(
            EX_USAGE, "name a file with the email, or write one with --from, --subject and --body"
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


def check_relays(options: argparse.Namespace, alias: str) -> tuple[Options, tuple[Secret, ...]]:
    """Return the options of the first relay, and the URLs of all.

    Args:
        options: what was parsed.
        alias: the alias of the Mailer.

    Raises:
        CannotSendError: there is none, or one is wrong.
    """
    named = [("--url", options.url) if options.url else (URL, os.environ.get(URL, ""))]
    if not named[0][1]:
        raise CannotSendError(EX_USAGE, f"needs a relay URL: in {URL}, or as --url")
    named += [("--backup", url) for url in options.backup]
    if not options.url and not options.backup:
        # Backups from the environment are for the relay from the environment only.
        named += [(BACKUPS, url) for url in os.environ.get(BACKUPS, "").split()]
    checked = [_check_relay(name, url, options.timeout, alias) for name, url in named]
    return checked[0], tuple([Secret(url) for _, url in named])


def _check_relay(name: str, url: str, timeout: float | None, alias: str) -> Options:
    try:
        has_timeout = "timeout" in parse_relay_url(url).options
        checked = collect_options(url=Secret(url), alias=alias)
    except ValueError as error:
        raise CannotSendError(EX_USAGE, f"{name}: {error}") from None
    except ImportError as error:
        raise CannotSendError(EX_UNAVAILABLE, f"{name}: {error}") from None
    if has_timeout and timeout is not None:
        # The timeout of the URL would win silently.
        raise CannotSendError(EX_USAGE, f"{name} has a timeout, too; leave --timeout out")
    return checked


def _read_mail(name: str) -> MailFile:
    try:
        with ExitStack() as exits:
            return read_mail(opened(name, exits))
    except OSError as error:
        raise unreadable(name, error) from None
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
            raise unreadable(STDIN, error) from None
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
    try:
        html, inline, attachments = read_files(options.html, options.inline, options.attach)
    except OSError as error:
        raise unreadable(str(error.filename), error) from None
    except ValueError as error:
        raise CannotSendError(EX_DATAERR, f"cannot write the email: {error}") from None
    return WrittenMail(
        author=options.author,
        subject=subject,
        body=body,
        html=html,
        inline=inline,
        attachments=attachments,
    )


def _try(mail: WrittenMail, sender: str, recipients: Recipients) -> int:
    """Compose the first email, because an error in it is an error in all; return its size."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # an image that the HTML does not embed
            return mail.size_for(sender, next(recipients.named()))
    except OSError as error:
        raise unreadable(str(error.filename), error) from None
    except (ValueError, UserWarning) as error:
        raise CannotSendError(EX_DATAERR, f"cannot write the email: {error}") from None


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
            f"{len(recipients)} recipients are more than the {MAX_RECIPIENTS} that one email can"
            " have; leave --together out",
        )


def _read_to_file(name: str, recipients: Recipients) -> None:
    before = len(recipients)
    try:
        with ExitStack() as exits:
            recipients.add_lines(opened(name, exits), file_name(name))
    except OSError as error:
        if error.errno == errno.ENOSPC:  # from writing our temporary file, not from reading
            raise CannotSendError(EX_IOERR, f"no room to keep the recipients: {error}") from None
        raise unreadable(name, error) from None
    except BadLinesError as error:
        raise CannotSendError(EX_DATAERR, *error.complaints, "nothing was sent") from None
    if len(recipients) == before:
        raise CannotSendError(EX_DATAERR, f"{file_name(name)}: no recipient addresses")


def check_report_of(options: argparse.Namespace, inputs: Sequence[Path]) -> Form:
    """Return the form of the report, if there is to be one and it can be written.

    Args:
        options: what was parsed.
        inputs: files that it must not replace.

    Raises:
        CannotSendError: it cannot.
    """
    if options.report is None:
        return "csv"
    try:
        form = form_of(options.report, options.report_format)
        if options.report not in STDOUT:
            check_report(Path(options.report), inputs)
    except ValueError as error:
        raise CannotSendError(EX_USAGE, f"--report: {file_name(options.report)} {error}") from None
    except OSError as error:
        raise cannot_create(options.report, error) from None
    return form


def opened(name: str, exits: ExitStack) -> IO[bytes]:
    """Open a file that is named on the command line, or stdin."""
    return _stdin() if name == STDIN else exits.enter_context(Path(name).open("rb"))


def _stdin() -> IO[bytes]:
    if sys.stdin is None:  # it was closed before the process started
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    return sys.stdin.buffer

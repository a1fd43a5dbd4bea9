"""Everything of ``pykka-smtp send`` that can be checked before the first mail goes out."""

import argparse
import errno
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .actors.options import Options, collect_options
from .actors.relay_url import parse_relay_url
from .send_mail_file import BadMailError, MailFile, read_mail
from .send_recipients import BadLinesError, Recipients
from .send_report import check_report
from .smtp.address import AddressError, check_reverse_path
from .smtp.envelope import MAX_RECIPIENTS
from .smtp.secret import Secret
from .sysexits import (
    EX_CANTCREAT,
    EX_DATAERR,
    EX_IOERR,
    EX_NOINPUT,
    EX_UNAVAILABLE,
    EX_USAGE,
)

ALIAS = "pykka-smtp send"
STDIN = "-"
URL = "SMTP_URL"
BACKUPS = "SMTP_BACKUP_URLS"


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
        relay: what the first URL says.
        urls: all of them, the first first.
    """

    sender: str
    mail: MailFile
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
    mail = _read_mail(options.mail)
    sender = options.sender
    if sender is None:
        sender = _sender_of(mail, options.mail)
    _read_recipients(options, recipients)
    if options.report is not None:
        _check_report(options)
    return Checked(sender=sender, mail=mail, relay=relay, urls=urls)


def shown(name: str) -> str:
    """Return what may be shown of what was given as the name of a file."""
    if name == STDIN:
        return "stdin"
    # A relay URL in the wrong place has its password with it.
    return "***" if "://" in name else name


def _check_usage(options: argparse.Namespace) -> None:
    if not options.to and options.to_file is None:
        raise CannotSendError(EX_USAGE, "name the recipients with --to-file or --to")
    if options.mail == options.to_file == STDIN:
        raise CannotSendError(EX_USAGE, "only one of mail and recipients can come from stdin")
    if options.sender is not None:
        try:
            check_reverse_path(options.sender)
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
        checked = collect_options(url=url, alias=ALIAS)
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
        raise CannotSendError(EX_DATAERR, f"{shown(name)} {error}") from None


def _sender_of(mail: MailFile, name: str) -> str:
    try:
        return mail.sender
    except BadMailError as error:
        raise CannotSendError(EX_DATAERR, f"{shown(name)} {error}") from None


def _read_recipients(options: argparse.Namespace, recipients: Recipients) -> None:
    for address in options.to:
        try:
            recipients.add(address)
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
            recipients.add_lines(_open(name, exits), shown(name))
    except OSError as error:
        if error.errno == errno.ENOSPC:  # of ours, not of what is read
            raise CannotSendError(EX_IOERR, f"no room to keep the recipients: {error}") from None
        raise _unreadable(name, error) from None
    except BadLinesError as error:
        raise CannotSendError(EX_DATAERR, *error.complaints, "nothing was sent") from None
    if len(recipients) == before:
        raise CannotSendError(EX_DATAERR, f"{shown(name)} names nobody")


def _check_report(options: argparse.Namespace) -> None:
    inputs = [Path(name) for name in (options.mail, options.to_file) if name not in (None, STDIN)]
    try:
        check_report(Path(options.report), inputs)
    except ValueError as error:
        raise CannotSendError(EX_USAGE, f"--report: {shown(options.report)} {error}") from None
    except OSError as error:
        raise cannot_create(options.report, error) from None


def cannot_create(report: str, error: OSError) -> CannotSendError:
    """Return what to raise where the report can't be written."""
    return CannotSendError(EX_CANTCREAT, f"cannot write {shown(report)}: {error.strerror or error}")


def _unreadable(name: str, error: OSError) -> CannotSendError:
    return CannotSendError(EX_NOINPUT, f"cannot read {shown(name)}: {error.strerror or error}")


def _open(name: str, exits: ExitStack) -> IO[bytes]:
    if name != STDIN:
        return exits.enter_context(Path(name).open("rb"))
    if sys.stdin is None:  # closed before we were started
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    return sys.stdin.buffer

"""``pykka-smtp sendmail``: one email from standard input to the relay, and a status of sysexits.h.

There is no queue. The program waits for the relay's reply, and its exit status says what that was.
"""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, TextIO

from ...actors.mailer.jobs.retry import NO_RETRY
from ...actors.mailer.mailer import Mailer
from ...actors.smtp_actor import SmtpActor
from ...signals import Outcome, SendFailure, SendMail
from ...smtp.mail.address import check_forward_path, check_mailbox
from ...smtp.mail.domain import AddressError
from ...smtp.words.shown import shown
from ...smtp.words.verdict import FailureKind
from ..input.mail_file import MAX_MAIL
from ..output.printable import print_lines
from ..output.results import rows_of
from ..sysexits import EX_DATAERR, EX_NOINPUT, EX_OK, EX_USAGE
from .addresses import addresses_in
from .arguments import Arguments, UsageError, read_arguments
from .settings import ALIAS, Settings, SettingsError, full_name, read_settings, user_name
from .status import status_of
from .submission import BrokenHeaderError, TooLongError, complete, read_submission

NAME = "pykka-smtp sendmail"
_MAX_LINES = 20
"""Recipients of which standard error says why they have not got the email."""

_HELP = """\
usage: pykka-smtp sendmail [OPTIONS] [ADDRESS ...] < EMAIL

Pass an email from standard input on to a relay, as programs expect it of
/usr/sbin/sendmail. pykka-smtp-sendmail is the same, to be linked there.

  -t              To, Cc and Bcc name the recipients
  -i, -oi         a line with only a dot is text, not the end
  -f ADDRESS, -r  the address for bounces; <> for no bounces
  -F NAME         the name in From, if there is no From
  -C FILE         the file with the settings
  -N, -R, -V      delivery status notifications, as Postfix has them
  -v              print the relay's reply
  -bp, -bi        say that there is no queue, and no database of aliases

The relay is SMTP_URL, or url in ~/.config/pykka-smtp.toml or in
/etc/pykka-smtp.toml. Other options of other sendmails are ignored.

exit status: 0 accepted, 64 wrong usage, 65 wrong data, 66 no input,
67 unknown recipient, 69 rejected, 70 internal error, 75 try again later,
76 protocol error, 77 not allowed or not safe, 78 wrong configuration.
"""
_NO_QUEUE = "Mail queue is empty: this sendmail has no queue"
_NO_DATABASE = "no database of aliases: they stand in pykka-smtp.toml"


class _CannotSubmitError(Exception):
    """Nothing can be sent; the message is one line."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def run(words: Sequence[str], out: TextIO, err: TextIO) -> int:
    """Do what the arguments ask for.

    Args:
        words: the arguments.
        out: gets what was asked for; nothing for an email, unless with -v.
        err: gets errors, a line each.

    Returns:
        The exit status.

    Raises:
        BrokenPipeError: the reader of `out` has gone.
    """
    try:
        arguments = read_arguments(words, Path(sys.argv[0]).name)
        if arguments.mode != "send":
            return _say(arguments, out)
        # Before the email is read: a program can still keep what it has not passed on.
        mail, urls = _submitted(arguments, read_settings(arguments.settings))
    except UsageError as error:
        return _complain(err, EX_USAGE, f"{error}")
    except SettingsError as error:
        return _complain(err, error.status, f"{error}")
    except _CannotSubmitError as error:
        return _complain(err, error.status, f"{error}")
    outcome = _send(mail, urls)
    if isinstance(outcome, SendFailure) and outcome.kind is FailureKind.LOCAL:
        outcome = _send_encoded(mail, urls) or outcome
    if arguments.verbose:
        print_lines(out, f"{outcome}")
    _complain(err, 0, *_complaints(outcome))
    return status_of(outcome)


def _say(arguments: Arguments, out: TextIO) -> int:
    match arguments.mode:
        case "queue":
            print_lines(out, _NO_QUEUE)
        case "aliases":
            print_lines(out, _NO_DATABASE)
        case "help":
            print_lines(out, *_HELP.splitlines())
        case "version":
            from ... import __version__

            print_lines(out, f"{NAME} {__version__}")
        case _:
            pass
    return EX_OK


def _complain(err: TextIO, status: int, *lines: str) -> int:
    with contextlib.suppress(OSError):
        print_lines(err, *(f"{NAME}: {line}" for line in lines))
    return status


def _submitted(arguments: Arguments, settings: Settings) -> tuple[SendMail, Sequence[str]]:
    """Read the email, and check it.

    Raises:
        _CannotSubmitError: it can't be sent.
    """
    if not (arguments.recipients or arguments.from_header):
        raise _CannotSubmitError(
            EX_USAGE, "name the recipients as arguments, or in the header with -t"
        )
    sender = _sender(arguments, settings)
    named = _recipients(arguments.recipients, settings)
    try:
        data = read_submission(_stdin(), is_dot_text=arguments.is_dot_text)
    except OSError as error:
        why = error.strerror or error
        raise _CannotSubmitError(EX_NOINPUT, f"cannot read standard input: {why}") from None
    except TooLongError:
        message = f"the email is longer than {MAX_MAIL} octets"
        raise _CannotSubmitError(EX_DATAERR, message) from None

    def author() -> tuple[str, str]:
        name = arguments.full_name
        name = os.environ.get("NAME") or full_name() if name is None else name
        return name, _own_address(settings) if sender == "<>" else sender

    try:
        submission = complete(data, domain=settings.domain, author=author)
    except BrokenHeaderError as error:
        raise _CannotSubmitError(EX_DATAERR, f"{error}") from None
    if arguments.from_header:
        named += _recipients(submission.recipients, settings)
        if not named:
            raise _CannotSubmitError(EX_USAGE, "there is no recipient in To, Cc or Bcc")
    recipients = list(dict.fromkeys(named))
    try:
        mail = SendMail(
            sender=sender, recipients=recipients, message=submission.data, dsn=arguments.dsn
        )
    except ValueError as error:
        raise _CannotSubmitError(EX_DATAERR, f"{error}") from None
    return mail, [url.reveal() for url in settings.urls]


def _stdin() -> IO[bytes]:
    if sys.stdin is None:  # it was closed before the process started
        raise OSError("it is closed")
    return sys.stdin.buffer


def _sender(arguments: Arguments, settings: Settings) -> str:
    """Return the reverse-path: -f, or that of the settings, or the user's own address.

    Raises:
        _CannotSubmitError: -f is no address.
    """
    given = arguments.sender
    if given is None:
        return _own_address(settings)
    if given.strip() in {"", "<>"}:  # as scripts write it, and as RFC 5321 §4.5.5 does
        return "<>"
    addresses = [listed.address for listed in addresses_in(given)]
    if len(addresses) != 1 or addresses[0] is None:
        raise _CannotSubmitError(EX_USAGE, f"-f: invalid address {shown(given)}")
    if "@" in addresses[0]:
        address = addresses[0]
    else:  # a user of this machine, as cron says it: no relay knows them
        address = settings.sender or f"{addresses[0]}@{settings.domain}"
    try:
        return check_mailbox(address)
    except AddressError as error:
        raise _CannotSubmitError(EX_USAGE, f"-f: {error}") from None


def _own_address(settings: Settings) -> str:
    return settings.sender or f"{user_name()}@{settings.domain}"


def _recipients(lists: Iterable[str], settings: Settings) -> list[str]:
    """Return the addresses of some lists.

    Raises:
        _CannotSubmitError: one of them is none.
    """
    found: list[str] = []
    for text in lists:
        for listed in addresses_in(text):
            try:
                if listed.address is None:
                    raise AddressError(f"invalid address {shown(listed.text)}")  # noqa: TRY301
                found += map(check_forward_path, settings.addresses_of(listed.address))
            except AddressError as error:
                raise _CannotSubmitError(EX_DATAERR, f"{error}") from None
    return found


def _send(mail: SendMail, urls: Sequence[str]) -> Outcome:
    url, *backups = urls
    if not backups:
        return SmtpActor.start(url=url, alias=ALIAS).ask(mail)
    mailer = Mailer.start(
        url=url,
        backups=backups,
        alias=ALIAS,
        retry=NO_RETRY,
        max_connections=1,
        max_mails_per_connection=1,
    )
    try:
        return mailer.ask(mail)
    finally:
        mailer.stop()


def _send_encoded(mail: SendMail, urls: Sequence[str]) -> Outcome | None:
    """Send an email with 8-bit text in ASCII, to a relay that takes nothing else (RFC 6152 §3)."""
    data = mail.as_bytes()
    if data.isascii():
        return None
    import email

    try:
        encoded = dataclasses.replace(mail, message=email.message_from_bytes(data))
    except ValueError:
        return None
    return _send(encoded, urls)


def _complaints(outcome: Outcome) -> list[str]:
    """Return why which recipients have not got the email, a line each."""
    rows = [row for row in rows_of(outcome) if row.result != "accepted"]
    if isinstance(outcome, SendFailure) and (len(rows) == 1 or not _is_about_each(outcome)):
        return [outcome.detail]
    lines = [f"{row.address}: {row.code or ''} {row.text}" for row in rows[:_MAX_LINES]]
    more = len(rows) - _MAX_LINES
    return [*lines, f"and {more} more"] if more > 0 else lines


def _is_about_each(outcome: SendFailure) -> bool:
    return len({result.reply for result in outcome.recipients}) > 1

"""``pykka-smtp outbox import``: complete emails from files into the Outbox."""

import argparse
import contextlib
import datetime as dt
import email.parser
import email.policy
import email.utils
import hashlib
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

from ...actors.outbox.handover import new_mail, receipt_of
from ...actors.outbox.messages import Put
from ...actors.outbox.options import OUTBOX_DEFAULTS
from ...actors.outbox.store.outside.visit import Visit
from ...actors.outbox.text.mail_text import mail_of
from ...actors.outbox.text.seals import Seals
from ...signals.send_mail import SendMail
from ...smtp.mail.address import check_forward_path, check_reverse_path
from ...smtp.mail.domain import AddressError
from ..input.mail_file import BadMailError, MailFile, read_mail
from ..input.mailbox import read_mailbox, read_recipient
from ..output.printable import print_lines
from ..sysexits import EX_DATAERR, EX_NOINPUT, EX_OK, EX_USAGE
from .complaints import ComplaintError, complain
from .patience import Patience
from .sealing import seals_of

_STDIN = "-"
_AT_ONCE = 50
"""Emails of one turn: one fsync, and other processes wait meanwhile."""
_MAX_KEY = 255
_MOST_OCTETS = 64 * 1024 * 1024
"""Octets of one turn, about."""


@dataclass(frozen=True, slots=True)
class _Ready:
    name: str
    put: Put
    alias: str


def run(options: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    """Put emails into the file.

    Args:
        options: what `arguments` has parsed.
        out: gets a line for each email.
        err: gets a line for each that could not be put, and one from time to time.

    Returns:
        The exit status.

    Raises:
        ComplaintError: the arguments do not fit each other.
        OutboxError: the file cannot be written. What was printed is in it.
        BrokenPipeError: the reader of `out` has gone.
    """
    if options.key is not None and len(options.files) > 1:
        raise ComplaintError(EX_USAGE, "--key names one email; leave it out for several")
    if options.files.count(_STDIN) > 1:
        raise ComplaintError(EX_USAGE, "only one email can come from stdin")
    _check_addresses(options)
    patience, count, status = Patience(err, "importing"), 0, EX_OK
    seals = seals_of(options)
    with Visit(Path(options.path), writes=True, makes=True, seals=seals) as visit:
        for some in _together(options, err):
            emails = [one for one in some if isinstance(one, _Ready)]
            for name, text, is_bad in _put(visit, seals, emails):
                if is_bad:
                    complain(err, options.command, f"{name}: {text}")
                    status = status or EX_DATAERR
                else:
                    print_lines(out, f"{name}: {text}")
            status = status or next((one for one in some if isinstance(one, int)), EX_OK)
            count += len(some)
            patience.look(f"{count} of {len(options.files)}")
    return status


def _check_addresses(options: argparse.Namespace) -> None:
    try:
        if options.sender is not None:
            mailbox = None if options.sender == "<>" else read_mailbox(options.sender)
            options.sender = check_reverse_path(mailbox[1] if mailbox else options.sender)
        options.to = [read_recipient(one, more="repeat --to for each")[1] for one in options.to]
    except AddressError as error:
        raise ComplaintError(EX_USAGE, str(error)) from None


def _together(options: argparse.Namespace, err: TextIO) -> Iterator[list[_Ready | int]]:
    """Yield what is put in one turn: emails, and statuses of files that are none."""
    some: list[_Ready | int] = []
    octets = 0
    for name in options.files:
        try:
            ready = _read(name, options, err)
            octets += ready.put.text.size
            some.append(ready)
        except BadMailError as error:
            complain(err, options.command, f"{name} {error}")
            some.append(EX_DATAERR)
        except (AddressError, ValueError, TypeError) as error:
            complain(err, options.command, f"{name}: {error}")
            some.append(EX_DATAERR)
        except OSError as error:
            complain(err, options.command, f"cannot read {name}: {error.strerror or error}")
            some.append(EX_NOINPUT)
        if len(some) >= _AT_ONCE or octets >= _MOST_OCTETS:
            yield some
            some, octets = [], 0
    if some:
        yield some


def _put(visit: Visit, seals: Seals | None, some: list[_Ready]) -> list[tuple[str, str, bool]]:
    said: list[tuple[str, str, bool]] = []
    if not some:
        return said
    with visit.turn():
        for one in some:
            try:
                new = new_mail(one.put, one.alias, None if seals is None else seals.body)
                receipt = receipt_of(new, visit.put(new))
            except ValueError as error:
                said.append((one.name, str(error), True))
                continue
            what = "was there already" if receipt.is_duplicate else "is put"
            said.append((one.name, f"{receipt.key} {what}", False))
    return said


# One file


def _read(name: str, options: argparse.Namespace, err: TextIO) -> _Ready:
    if name == _STDIN:
        if sys.stdin is None:  # it was closed before the process started
            raise OSError("it is closed")
        data, beside = sys.stdin.buffer.read(), dict[str, Any]()
    else:
        path = Path(name)
        data, beside = path.read_bytes(), _beside(path)
    file = read_mail(io.BytesIO(data))
    for warning in file.warnings:
        complain(err, options.command, f"{name} {warning}")
    if not options.again:
        _check_not_done(beside)
    mail = _made(file, beside, options)
    put = Put(
        mail,
        key=options.key or beside.get("key") or _key_of(file.data),
        not_before=_time(beside, "due") if beside.get("state") == "ready" else None,
        expires=_time(beside, "expires"),
        priority=_first(options.priority, beside.get("priority"), 0),
        at_least_once=False if options.at_most_once else beside.get("at_least_once"),
    )
    alias = _first(options.alias, beside.get("alias") or None, OUTBOX_DEFAULTS["alias"])
    return _Ready(name, put, str(alias))


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)


def _beside(path: Path) -> dict[str, Any]:
    """Return what ``export`` has written beside an email; empty if there is nothing."""
    side = path.with_suffix(".json")
    if side == path or not side.is_file():
        return {}
    try:
        made: Any = json.loads(side.read_bytes())
    except ValueError as error:
        raise ValueError(f"{side.name} beside it is no JSON: {error}") from None
    facts = cast("dict[str, Any]", made) if isinstance(made, dict) else {}
    if not isinstance(facts.get("envelope"), dict):
        raise ValueError(f"{side.name} beside it is not of an export: it has no envelope")  # noqa: TRY004
    return facts


def _check_not_done(beside: dict[str, Any]) -> None:
    outcome, why = beside.get("outcome"), None
    if outcome is not None:
        why = f"it {'failed' if 'kind' in outcome else 'was sent'} already, says its .json"
    elif beside.get("state") == "dot" and beside.get("at_least_once") is False:
        why = "it may have been sent, and must not be twice"
    if why is not None:
        raise BadMailError(f"is not put: {why}; --again puts it nevertheless")


def _made(file: MailFile, beside: dict[str, Any], options: argparse.Namespace) -> SendMail:
    envelope: dict[str, Any] = dict(beside.get("envelope", {}))
    sender = _first(options.sender, envelope.get("from"), "")
    if not sender:
        sender = file.sender
    if options.to or not (envelope.get("to") or envelope.get("bcc")):
        envelope |= {"to": options.to or _recipients(file.data), "bcc": []}
    if not beside:
        return SendMail(sender=sender, recipients=envelope["to"], message=file.data)
    for address in (*envelope["to"], *envelope.get("bcc", ())):
        check_forward_path(str(address))
    made = {"context": None} | envelope | {"kind": "complete", "from": sender}
    # That of the export, so that it is no second one; else a new one.
    made["id"] = beside.get("id") or SendMail(sender=sender, recipients="a@b.test", body="").id
    return mail_of(json.dumps(made), file.data)


def _recipients(data: bytes) -> list[str]:
    header = email.parser.BytesHeaderParser(policy=email.policy.compat32).parsebytes(data)
    fields = [str(value) for name in ("To", "Cc") for value in header.get_all(name, [])]
    found = [address for _, address in email.utils.getaddresses(fields) if address]
    if not found:
        raise BadMailError("has no address in To or Cc; name the recipients with --to")
    return list(dict.fromkeys(check_forward_path(address) for address in found))


def _key_of(data: bytes) -> str:
    header = email.parser.BytesHeaderParser(policy=email.policy.compat32).parsebytes(data)
    name = " ".join(str(header.get("Message-ID", "")).split())
    if name and name.isprintable() and len(name) <= _MAX_KEY:
        return name
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _time(beside: dict[str, Any], name: str) -> dt.datetime | None:
    value = beside.get(name)
    if not isinstance(value, str):
        return None
    with contextlib.suppress(ValueError):
        return dt.datetime.fromisoformat(value)
    raise ValueError(f"the time {name} in its .json is none: {value!r:.40}")

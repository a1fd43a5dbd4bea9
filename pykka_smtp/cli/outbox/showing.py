"""``pykka-smtp outbox show``: all that is known of an email."""

import argparse
import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from ...actors.outbox.store.bodies import BodyFile
from ...actors.outbox.store.outside.visit import Visit
from ...actors.outbox.store.records import Row, StoredMail
from ...actors.outbox.text.mail_text import mail_of
from ...actors.outbox.text.outcome_text import attempts_of_text, outcome_of_text
from ...signals.outcome import Outcome
from ...signals.send_mail import SendMail
from ...smtp.words.verdict import RecipientResult
from ..output.printable import print_lines
from ..sysexits import EX_NOINPUT, EX_OK, EX_USAGE
from .complaints import ComplaintError
from .sealing import check_opened, seals_of
from .words import duration, mail_as_dict, print_json, size, utc

_WIDTH = 12
_MOST = 2_000


def run(options: argparse.Namespace, out: TextIO, _err: TextIO) -> int:
    """Print what is known of an email; with ``--body``, the email itself.

    Args:
        options: what `arguments` has parsed.
        out: gets it.

    Returns:
        The exit status.

    Raises:
        ComplaintError: there is no such email.
        OutboxError: the file cannot be read.
        ValueError: the text of the email cannot be read.
        BrokenPipeError: the reader of `out` has gone.
    """
    with Visit(Path(options.path), seals=seals_of(options)) as visit:
        seqs = visit.seqs_named(options.name, options.alias)
        if not seqs:
            raise ComplaintError(EX_NOINPUT, f"there is no email with the key or id {options.name}")
        if len(seqs) > 1:
            mails = [stored for seq in seqs if (stored := visit.stored(seq)) is not None]
            aliases = ", ".join(mail.alias for mail in mails)
            raise ComplaintError(
                EX_NOINPUT,
                f"{len(seqs)} emails have the key or id {options.name}; say which with --alias:"
                f" {aliases}",
            )
        stored, row = visit.stored(seqs[0]), visit.get(seqs[0])
    if stored is None or row is None:  # it was removed this very moment
        raise ComplaintError(EX_NOINPUT, f"the email {options.name} is no longer kept")
    check_opened(row.env)
    file = row.body if isinstance(row.body, BodyFile) else None
    # A text whose file is missing has still all the rest.
    mail = mail_of(row.env, b"" if file is not None and file.is_whole else row.body)
    if options.body and file is not None:
        _print_file(file, out)
    elif options.body:
        _print_body(mail, stored, out)
    elif options.json:
        print_json(out, _as_dict(stored, row, mail))
    else:
        print_lines(out, *_lines(stored, row, mail), most=_MOST)
    return EX_OK


def eml_of(mail: SendMail) -> bytes:
    """Return an email as a server would get it that has all extensions."""
    content = mail.content
    assert content is not None
    return content.render(eight_bit=True).data or b""


def _print_body(mail: SendMail, stored: StoredMail, out: TextIO) -> None:
    data = eml_of(mail)
    if not stored.size or (stored.is_sent and not data):
        raise ComplaintError(EX_NOINPUT, "its body is no longer kept: it was sent")
    try:
        out.flush()
        binary: Any = getattr(out, "buffer", None)
        if binary is None or out.isatty():
            # A terminal would take octets of the email for commands.
            print_lines(
                out, *data.decode("utf-8", "backslashreplace").splitlines(), most=len(data) + 1
            )
        else:
            binary.write(data)
            binary.flush()
    except OSError as error:
        raise BrokenPipeError(error.errno, error.strerror) from error


def _print_file(file: BodyFile, out: TextIO) -> None:
    """Print a body that is read while it is printed."""
    binary: Any = getattr(out, "buffer", None)
    if binary is None or out.isatty():
        raise ComplaintError(EX_USAGE, f"it has {size(file.size)} octets: write them into a file")
    pieces = file.pieces()
    while True:
        try:
            piece = next(pieces, None)
        except (ValueError, OSError) as error:
            raise ComplaintError(EX_NOINPUT, file.problem or str(error)) from None
        if piece is None:
            return
        try:
            binary.write(piece)
            binary.flush()
        except OSError as error:
            raise BrokenPipeError(error.errno, error.strerror) from error


def outcome_in(row: Row, mail: SendMail) -> Outcome | None:
    """Return the outcome of an email, or that of its last attempt; None before the first."""
    with contextlib.suppress(ValueError):
        if row.outcome is not None:
            return outcome_of_text(row.outcome, mail, row.alias)
        if row.past is not None:
            return attempts_of_text(row.past, mail, row.alias)[0].last
    return None


def _results_in(row: Row, mail: SendMail, outcome: Outcome | None) -> tuple[RecipientResult, ...]:
    if row.outcome is None and row.past is not None:
        with contextlib.suppress(ValueError):
            return attempts_of_text(row.past, mail, row.alias)[0].results
    return () if outcome is None else outcome.recipients


def _as_dict(stored: StoredMail, row: Row, mail: SendMail) -> dict[str, Any]:
    made = {"outcome": row.outcome, "past": row.past}
    values = {name: json.loads(text) if text else None for name, text in made.items()}
    return mail_as_dict(stored) | {
        "subject": _subject(mail),
        "context": json.loads(json.dumps(mail.context)),
        "outcome": values["outcome"],
        "attempts_so_far": values["past"],
    }


def _lines(stored: StoredMail, row: Row, mail: SendMail) -> Iterator[str]:
    now = time.time()
    outcome = outcome_in(row, mail)
    for name, text in (
        ("key", stored.key),
        ("id", "" if stored.id == stored.key else stored.id),
        ("alias", stored.alias),
        ("state", _state(stored)),
        ("from", stored.sender),
        *[("to", one) for one in stored.recipients],
        ("subject", _subject(mail)),
        ("size", f"{size(stored.size)} octets" if stored.size else "no body is kept"),
        ("put", f"{utc(stored.put_at)}, {duration(now - stored.put_at)} ago"),
        ("due", _due(stored, now)),
        ("expires", utc(stored.expires) or ""),
        ("priority", str(stored.priority or "")),
        ("promise", "at least once" if stored.at_least_once else "at most once"),
        ("attempts", str(stored.attempts or (outcome.attempts if outcome else 0))),
        ("doubts", str(stored.doubts or "")),
        ("crashes", str(stored.crashes or "")),
        ("context", "" if mail.context is None else json.dumps(mail.context)),
        ("detail", stored.detail),
    ):
        if text:
            yield f"{name:<{_WIDTH}} {text}"
    for result in _results_in(row, mail, outcome):
        yield f"{'':<{_WIDTH}} {_result(result)}"


def _state(stored: StoredMail) -> str:
    if stored.is_sent is None:
        return stored.state
    return f"{stored.state}, {'sent' if stored.is_sent else 'not sent'}"


def _due(stored: StoredMail, now: float) -> str:
    if stored.state != "ready":
        return ""
    left = stored.due - now
    return f"{utc(stored.due)}, {f'in {duration(left)}' if left > 0 else 'now'}"


def _result(result: RecipientResult) -> str:
    what = "accepted" if result.accepted else "not accepted"
    if result.maybe_accepted:
        what = "perhaps accepted"
    why = str(result.reply) if result.reply is not None else result.detail
    return f"{what}: {result.address}{f' - {why}' if why else ''}"


def _subject(mail: SendMail) -> str:
    subject = getattr(mail, "subject", None)
    return subject if isinstance(subject, str) and mail.message is None else ""

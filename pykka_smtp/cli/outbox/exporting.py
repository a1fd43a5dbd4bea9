"""``pykka-smtp outbox export``: emails as .eml, and what is known of them as .json."""

import argparse
import contextlib
import json
import os
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, TextIO, cast

from ...actors.outbox.store.bodies import BodyFile
from ...actors.outbox.store.errors import OutboxError
from ...actors.outbox.store.outside.visit import Visit
from ...actors.outbox.store.records import StoredMail
from ...actors.outbox.store.sqlite.salvage import ReadableMail, readable
from ...actors.outbox.text.mail_text import mail_of
from ...actors.outbox.text.seals import Seals, sealed_of
from ...signals.send_mail import SendMail
from ...smtp.mail.content import ComposedContent
from ..output.printable import print_lines
from ..sysexits import EX_CANTCREAT, EX_DATAERR, EX_OK
from .arguments import STATES
from .complaints import ComplaintError, complain
from .patience import Patience
from .sealing import SEALED, seals_of
from .showing import eml_of
from .words import mail_as_dict, plural

_OPTIONS = (
    *("dsn", "by", "hold_for", "hold_until", "priority", "require_tls", "context"),
    *("success_signal", "failure_signal", "signed"),
)
_MOST_COMPLAINTS = 20


def run(options: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    """Write emails into a folder.

    Args:
        options: what `arguments` has parsed.
        out: gets a line at the end.
        err: gets what could not be read, and a line from time to time.

    Returns:
        The exit status.

    Raises:
        ComplaintError: the folder is not empty, or cannot be written.
        OutboxError: nothing of the file can be read.
        BrokenPipeError: the reader of `out` has gone.
    """
    folder = Path(options.folder)
    _make(folder)
    patience = Patience(err, "exporting")
    done = broken = 0
    for mail, stored in _chosen(options, seals_of(options)):
        problem = _export(mail, stored, folder)
        done += 1
        broken += bool(problem)
        if problem and broken <= _MOST_COMPLAINTS:
            complain(err, options.command, f"email {mail.key or mail.seq}: {problem}")
        patience.look(plural(done, "email"))
    if hasattr(os, "sync"):
        os.sync()  # the damaged file may be deleted next
    print_lines(out, f"{plural(done, 'email')} written into {folder}")
    if broken > _MOST_COMPLAINTS:
        complain(err, options.command, f"{broken} emails could not be read completely")
    return EX_DATAERR if broken else EX_OK


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        is_empty = next(folder.iterdir(), None) is None
    except OSError as error:
        why = error.strerror or error
        raise ComplaintError(EX_CANTCREAT, f"cannot write into {folder}: {why}") from None
    if not is_empty:
        why = "it is not empty, and nothing in it is overwritten"
        raise ComplaintError(EX_CANTCREAT, f"cannot write into {folder}: {why}")


def _chosen(
    options: argparse.Namespace, seals: Seals | None
) -> Iterator[tuple[ReadableMail, StoredMail | None]]:
    path = Path(options.path)
    if not path.exists():
        raise OutboxError(f"{path}: there is no such file")
    states = options.state or [state for state in STATES if state != "heard"]
    before = None if options.older is None else time.time() - options.older
    with _visit(path, seals) as visit:
        for found in readable(path):
            mail = found if seals is None else _opened(found, seals)
            stored = None
            with contextlib.suppress(OSError, ValueError, KeyError):
                stored = None if visit is None else visit.stored(mail.seq)
            # What cannot be read is exported, whatever was asked for: nobody knows what it is.
            if mail.state and mail.state not in states:
                continue
            if mail.alias and options.alias not in (None, mail.alias):
                continue
            if stored is not None and not _is_wanted(options, stored, before):
                continue
            yield mail, stored


@contextlib.contextmanager
def _visit(path: Path, seals: Seals | None) -> Generator[Visit | None]:
    """Give a look at the rest that is known of each email, where the file allows one."""
    try:
        visit = Visit(path, seals=seals)
    except OSError:
        yield None
        return
    with visit:
        yield visit


def _opened(mail: ReadableMail, seals: Seals) -> ReadableMail:
    if sealed_of(mail.env) is None:
        return mail
    try:
        return replace(
            mail,
            env=seals.open_text(mail.env),
            body=None if mail.body is None else seals.open_body(mail.body),
            outcome=None if mail.outcome is None else seals.open_text(mail.outcome),
            past=None if mail.past is None else seals.open_text(mail.past),
        )
    except ValueError as error:
        return replace(mail, problem=str(error))


def _is_wanted(options: argparse.Namespace, stored: StoredMail, before: float | None) -> bool:
    if before is not None and stored.put_at >= before:
        return False
    everybody = [address.lower() for address in stored.recipients]
    if options.to is not None and not any(options.to.lower() in one for one in everybody):
        return False
    domain = options.domain
    return domain is None or any(one.endswith(f"@{domain.lower()}") for one in everybody)


def _export(mail: ReadableMail, stored: StoredMail | None, folder: Path) -> str:
    """Write one email; return what could not be read of it."""
    problems = [mail.problem] if mail.problem else []
    made = _object_of(mail.env)
    facts: dict[str, Any] = {"seq": mail.seq, "id": mail.id, "key": mail.key, "alias": mail.alias}
    facts["state"] = mail.state
    if stored is not None:
        facts |= mail_as_dict(stored)
    composed: SendMail | None = None
    if sealed_of(mail.env) is not None:
        problems = problems or [SEALED]
    elif mail.file is not None and not mail.file.is_whole:
        problems += _copy(mail.file, folder / f"{mail.seq:08}.eml")
    elif (body := _body_of(mail, problems)) is not None:
        try:
            composed = mail_of(mail.env, body)
            _write(folder / f"{mail.seq:08}.eml", _portable(composed))
        except ValueError as error:
            problems.append(str(error))
            _write(folder / f"{mail.seq:08}.body", body)
    elif mail.state in {"ready", "claimed", "dot", "held"} and not problems:
        problems.append("its body is not there")
    left = _list(_object_of(mail.past or "").get("left"))
    facts["envelope"] = envelope = _envelope(made, left)
    if composed is not None and composed.content is not None and composed.content.needs_smtputf8:
        envelope["utf8"] = True
    facts["outcome"] = _object_of(mail.outcome or "") or None
    problem = "; ".join(problems)
    if problem:
        facts["problem"] = problem
    _write(folder / f"{mail.seq:08}.json", json.dumps(facts, indent=2).encode() + b"\n")
    return problem


def _body_of(mail: ReadableMail, problems: list[str]) -> bytes | None:
    if mail.file is None:
        return mail.body
    try:
        return mail.file.read()
    except (ValueError, OSError) as error:
        problems.append(mail.file.problem or str(error))
    return None


def _copy(file: BodyFile, target: Path) -> list[str]:
    """Copy a message, whatever it is by now; return what is wrong with it."""
    pieces = file.pieces()
    try:
        first = next(pieces, b"")
        with _new_file(target) as copy:
            copy.write(first)
            while True:
                try:
                    piece = next(pieces, None)
                except ValueError as error:
                    return [str(error)]
                if piece is None:
                    return []
                copy.write(piece)
    except FileNotFoundError:
        return [file.problem]
    except ValueError as error:  # all of it is gone, but for its name
        return [str(error)]


def _portable(mail: SendMail) -> bytes:
    """Return an email in a form that every server takes, if it was to be composed for the server.

    A complete one stays as it is: it may be signed.
    """
    if isinstance(mail.content, ComposedContent):
        return mail.content.render(eight_bit=False).data or b""
    return eml_of(mail)


def _envelope(made: dict[str, Any], left: list[Any]) -> dict[str, Any]:
    """Return the envelope and options of an email, as ``import`` takes them.

    Args:
        made: the email.
        left: the recipients of its next attempt: others have it, and must not get it again. Empty
            if there was none.
    """
    kept = {name: made[name] for name in _OPTIONS if made.get(name) is not None}
    shown, blind = [*_list(made.get("to")), *_list(made.get("cc"))], _list(made.get("bcc"))
    if left:
        shown, blind = ([one for one in some if one in left] for some in (shown, blind))
    return {"from": made.get("from"), "to": shown, "bcc": blind} | kept


def _list(value: object) -> list[Any]:
    return [*cast("Sequence[Any]", value)] if isinstance(value, list) else []


def _object_of(text: str) -> dict[str, Any]:
    try:
        made = json.loads(text)
    except ValueError:
        return {}
    return cast("dict[str, Any]", made) if isinstance(made, dict) else {}


def _write(path: Path, data: bytes) -> None:
    with _new_file(path) as file:
        file.write(data)


def _new_file(path: Path) -> IO[bytes]:
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    return open(number, "wb")  # noqa: PTH123 - a descriptor, and the caller closes it

"""Reads what can be read of the file of an outbox that is damaged. Writes nothing."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...text.mail_text import is_whole
from ...text.seals import sealed_of
from ..bodies import Bodies, BodyFile
from ..errors import error_of
from .file import check_size, real_path

_TOGETHER = 64
_COLUMNS = "seq, id, key, alias, state, env, outcome, past, digest"
_CHANGED = "its text is not what was put"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadableMail:
    """What can be read of an email.

    Attributes:
        seq: its number in the file.
        id: that of the `SendMail`; empty if that cannot be read.
        key: its key; the same.
        alias: the alias of its signals; the same.
        state: its state; the same.
        env: everything but the body, as JSON; the same.
        body: the body, or the complete message; None if it was removed, or cannot be read.
        file: the file that has the body, if that is large; not looked at.
        outcome: its outcome, as JSON; or None.
        past: its attempts, as JSON; or None.
        problem: what could not be read, in a line; empty if all could.
    """

    seq: int
    id: str = ""
    key: str = ""
    alias: str = ""
    state: str = ""
    env: str = ""
    body: bytes | None = None
    file: BodyFile | None = None
    outcome: str | None = None
    past: str | None = None
    problem: str = ""


def readable(path: Path) -> Iterator[ReadableMail]:
    """Yield what can be read of the emails in a file, whatever is damaged. The oldest first.

    Args:
        path: the file of an outbox. It may be in use.

    Raises:
        OutboxError: nothing can be read.
    """
    try:
        check_size(path)
        uri = f"{path.absolute().as_uri()}?mode=ro"
        database = sqlite3.connect(uri, uri=True, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise error_of(error, str(path)) from error
    bodies = Bodies(real_path(path))
    with contextlib.closing(database):
        database.text_factory = _text
        numbers = _numbers(database, path)
        for first in range(numbers.start, numbers.stop, _TOGETHER):
            for mail in _some(database, range(first, min(first + _TOGETHER, numbers.stop))):
                yield _with_file(mail, bodies) if isinstance(mail.body, str) else mail


def _with_file(mail: ReadableMail, bodies: Bodies) -> ReadableMail:
    try:
        return replace(mail, body=None, file=bodies.of(str(mail.body)))
    except ValueError as error:
        problem = f"{mail.problem}; {error}" if mail.problem else str(error)
        return replace(mail, body=None, problem=problem)


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


def _numbers(database: sqlite3.Connection, path: Path) -> range:
    """Return the numbers that emails may have."""
    found: list[int] = []
    problem: sqlite3.Error | None = None
    for question in (
        "SELECT min(seq) FROM pykka_smtp_mail",
        "SELECT max(seq) FROM pykka_smtp_mail",
        "SELECT min(seq) FROM pykka_smtp_body",
        "SELECT max(seq) FROM pykka_smtp_body",
        "SELECT seq FROM sqlite_sequence WHERE name = 'pykka_smtp_mail'",
        "SELECT max(seq) FROM pykka_smtp_mail INDEXED BY pykka_smtp_mail_key",
    ):
        try:
            row = database.execute(question).fetchone()
        except sqlite3.Error as error:
            problem = error
        else:
            found += [row[0]] if row is not None and isinstance(row[0], int) else []
    if not found:
        if problem is not None:
            raise error_of(problem, str(path)) from problem
        return range(0)
    # One of them alone may be damaged, and then each number is looked at: it is one of a few.
    return range(min(found) if len(found) > 1 else 1, max(found) + 1)


def _some(database: sqlite3.Connection, seqs: range) -> Iterator[ReadableMail]:
    between = (seqs.start, seqs.stop - 1)
    try:
        rows = database.execute(
            f"SELECT {_COLUMNS}, data FROM pykka_smtp_mail LEFT JOIN pykka_smtp_body USING (seq)"
            " WHERE seq BETWEEN ? AND ? ORDER BY seq",
            between,
        ).fetchall()
    except sqlite3.Error:
        for seq in seqs:
            yield from _one(database, seq)
    else:
        for row in rows:
            yield _mail(row)


def _one(database: sqlite3.Connection, seq: int) -> Iterator[ReadableMail]:
    """Yield what can be read of one email, if there is one."""
    parts: list[tuple[Any, ...] | None] = []
    problems: list[str] = []
    for columns, table in ((_COLUMNS, "mail"), ("data", "body")):
        try:
            found = database.execute(
                f"SELECT {columns} FROM pykka_smtp_{table} WHERE seq = ?",
                (seq,),
            ).fetchone()
        except sqlite3.Error as error:
            found = None
            problems.append(f"its {'facts' if table == 'mail' else 'body'}: {error}")
        parts.append(found)
    mail, body = parts
    if mail is not None or body is not None:
        values = mail or (seq, "", "", "", "", "", None, None, None)
        yield _mail((*values, None if body is None else body[0]), "; ".join(problems))


def _is_changed(env: str, body: bytes, digest: bytes) -> bool:
    return not is_whole(env, body, digest) and sealed_of(env) is None


def _mail(row: tuple[Any, ...], problem: str = "") -> ReadableMail:
    seq, *texts, outcome, past, digest, body = row
    words = ["" if text is None else str(text) for text in texts]
    name, key, alias, state, env = words
    if isinstance(body, bytes) and isinstance(digest, bytes) and _is_changed(env, body, digest):
        problem = f"{problem}; {_CHANGED}" if problem else _CHANGED
    return ReadableMail(
        seq=seq,
        id=name,
        key=key,
        alias=alias,
        state=state,
        env=env,
        body=body if isinstance(body, bytes | str) else None,  # type: ignore[arg-type]
        outcome=None if outcome is None else str(outcome),
        past=None if past is None else str(past),
        problem=problem,
    )

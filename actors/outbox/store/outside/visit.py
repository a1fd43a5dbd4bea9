"""`Visit`: the file of an outbox for somebody who is no life of it, such as a command.

Who visits claims nothing, publishes nothing, and is not missed when it dies. Who only reads writes
nothing, and makes no file; processes that work with the file are not disturbed.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from ...rules.states import State
from ...text.seals import Seals, sealed_of
from ..errors import OutboxError, error_of
from ..file_system import has_room
from ..locks import FileLock, is_locked
from ..records import Clash, NewMail, Row, StoredMail
from ..sqlite import schema
from ..sqlite.by_hand import ByHand
from ..sqlite.file import OPEN_TIMEOUT, life_file, open_file, prepare, real_path, side_file
from ..sqlite.statements import like_in_json
from ..wake import wake_lives
from .foreign import put_in_transaction

UNLIMITED = -1
_UNDONE = (State.READY, State.CLAIMED, State.DOT, State.TOLD, State.HELD)
_READ_TIMEOUT = 10.0
_CANTOPEN, _READONLY = 14, 8
_STEPS = 100_000
"""Of SQLite's virtual machine, between two calls of who watches a check: some milliseconds."""


class Visit(ByHand):
    """An outbox that is looked at, or changed by hand. Use it in a ``with`` statement.

    Args:
        path: the file. It must exist.
        writes: whether it is to be changed. A visit that only reads needs no turn, and can look at
            a file that cannot be written.
        makes: whether the file is made if there is none.
        seals: opens emails that are sealed; None to leave them as they are.

    Raises:
        OutboxError: there is no such file, or it cannot be used. It is left as it is.
    """

    def __init__(
        self,
        path: Path,
        *,
        writes: bool = False,
        makes: bool = False,
        seals: Seals | None = None,
    ) -> None:
        path = real_path(path)
        self.path: Path = path
        self._seals = seals
        self._seen = 0
        self._turnstile: FileLock | None = None
        if not makes and not path.exists():
            raise OutboxError(f"{path}: there is no such file")
        if path.is_dir():
            raise OutboxError(f"{path} is a folder; name a file in it")
        if writes:
            self._turnstile = prepare(path)
            try:
                self._db = open_file(path, self._turnstile)
            except BaseException:
                self._turnstile.close()
                raise
            self._turnstile.give_back()
        else:
            self._db = open_to_read(path)

    def __enter__(self) -> Self:
        return self

    def _opened(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        *values, outcome, past, env = row
        return (*values, *[self._text(text) for text in (outcome, past, env)])

    def _rows(self, seqs: Sequence[int], known: Collection[int] = ()) -> list[Row]:
        rows = super()._rows(seqs, known)
        for row in rows:
            row.outcome, row.past = self._text(row.outcome), self._text(row.past)
            is_sealed = sealed_of(row.env) is not None
            row.env = self._text(row.env) or ""
            if is_sealed and self._seals is not None and row.body and isinstance(row.body, bytes):
                row.body = self._seals.open_body(row.body)
        return rows

    def _text(self, text: str | None) -> str | None:
        if not text or self._seals is None:
            return text
        try:
            return self._seals.open_text(text)
        except ValueError as error:
            text = f"{self.path}: an email is sealed with another key: {error}"
            raise OutboxError(text) from None

    def __exit__(self, *_error: object) -> None:
        """Close the file."""
        turnstile = self._turnstile
        if turnstile is not None:
            turnstile.take(OPEN_TIMEOUT)  # the last to close a file makes a checkpoint
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        if turnstile is not None:
            turnstile.close()

    @contextlib.contextmanager
    def turn(self) -> Generator[None]:
        """Return a context: what is changed in it is on disk once it is left, or not changed.

        Raises:
            OutboxError: at its end: nothing was changed.
        """
        assert self._turnstile is not None
        if not has_room(self.path.parent):
            raise OutboxError(f"{self.path}: the disk is almost full; nothing was changed", True)
        if not self._turnstile.take(OPEN_TIMEOUT):
            raise OutboxError(f"{self.path} is locked by another process", True)
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
        except (sqlite3.Error, OSError) as error:
            raise error_of(error, str(self.path)) from error
        finally:
            self._turnstile.give_back()
        wake_lives(self.path)

    def put(self, mail: NewMail) -> Clash | None:
        """Put an email, in a `turn`; return what has its key already, or None."""
        return put_in_transaction(self._db, mail)

    # Looks

    def mails(
        self,
        *,
        states: Collection[str] = _UNDONE,
        alias: str | None = None,
        before: float | None = None,
        domain: str | None = None,
        recipient: str | None = None,
        limit: int = UNLIMITED,
    ) -> Iterator[StoredMail]:
        """Yield emails, the oldest first.

        Args:
            states: in these states; by default those that are not done with.
            alias: with this alias.
            before: put before this time, in seconds of UTC.
            domain: to somebody in this domain.
            recipient: with this part of a recipient's address.
            limit: so many at most.

        Raises:
            OutboxError: they cannot be read.
        """
        where = [f"state IN ({', '.join('?' * len(states))})"]
        args: list[object] = [*states]
        for condition, value in (("alias = ?", alias), ("put_at < ?", before)):
            if value is not None:
                where.append(condition)
                args.append(value)
        for value in (recipient, None if domain is None else f"@{domain}"):
            if value is not None and self._seals is None:
                where.append("env LIKE ? ESCAPE '\\'")
                args.append(like_in_json(value))
        left = limit
        is_looked_at = domain is not None or recipient is not None
        for mail in self._select(where, args, UNLIMITED if is_looked_at else limit):
            if _is_to(mail, domain, recipient):
                yield mail
                left -= 1
                if left == 0:
                    return

    def seqs_named(self, name: str, alias: str | None = None) -> list[int]:
        """Return the numbers of the emails with this key or id: several, with several aliases."""
        try:
            found = self._db.execute(
                "SELECT seq FROM pykka_smtp_mail WHERE (key = :name OR id = :name)"
                " AND alias = coalesce(:alias, alias) ORDER BY seq",
                {"name": name, "alias": alias},
            ).fetchall()
        except sqlite3.Error as error:
            raise error_of(error, str(self.path)) from error
        return [seq for (seq,) in found]

    def stored(self, seq: int) -> StoredMail | None:
        """Return what is known of an email."""
        return next(self._select(["seq = ?"], [seq], 1), None)

    def watch(self, call: Callable[[], object]) -> None:
        """Have a function called every few milliseconds while SQLite works."""

        def called() -> None:
            call()

        self._db.set_progress_handler(called, _STEPS)

    def flaws(self, most: int = 10) -> list[str]:
        """Return what is wrong with the pages of the file, one line each. Reads all of it."""
        try:
            found = self._db.execute(f"PRAGMA integrity_check({most})").fetchall()
        except sqlite3.Error as error:
            return [str(error)]
        return [text for (text,) in found if text != "ok"]

    def strays(self) -> tuple[int, int]:
        """Return how many bodies have no email, and how many emails to send have no body."""
        try:
            [bodies] = self._db.execute(
                "SELECT count(*) FROM pykka_smtp_body b WHERE NOT EXISTS"
                " (SELECT 1 FROM pykka_smtp_mail m WHERE m.seq = b.seq)"
            ).fetchone()
            [mails] = self._db.execute(
                "SELECT count(*) FROM pykka_smtp_mail m WHERE state IN"
                " ('ready', 'claimed', 'dot', 'held') AND NOT EXISTS"
                " (SELECT 1 FROM pykka_smtp_body b WHERE b.seq = m.seq)"
            ).fetchone()
        except sqlite3.Error as error:
            raise error_of(error, str(self.path)) from error
        return bodies, mails

    def files(self) -> tuple[int, list[str]]:
        """Return how many files of bodies have no email, and what is wrong with those that have.

        Raises:
            OutboxError: that cannot be read.
        """
        flaws: list[str] = []
        try:
            extra = sum(1 for _ in self.bodies.unnamed(self.files_named))
            rows = self._db.execute(
                "SELECT seq, data FROM pykka_smtp_body WHERE typeof(data) = 'text'"
            ).fetchall()
            for seq, text in rows:
                file = self.bodies.of(text)
                with contextlib.suppress(ValueError, OSError):
                    for _ in file.pieces():
                        pass
                if file.problem and self._has_file(seq):  # not if it was sent this very moment
                    flaws.append(file.problem)
        except (sqlite3.Error, OSError, ValueError) as error:
            raise error_of(error, str(self.path)) from error
        return extra, flaws

    def _has_file(self, seq: int) -> bool:
        asked = self._db.execute("SELECT 1 FROM pykka_smtp_body WHERE seq = ?", (seq,))
        return asked.fetchone() is not None

    def lives(self) -> list[tuple[int, int, str, bool]]:
        """Return number, process id and alias of each life, and whether its process is there."""
        try:
            known = self._db.execute("SELECT id, pid, alias FROM pykka_smtp_life").fetchall()
        except sqlite3.Error as error:
            raise error_of(error, str(self.path)) from error
        return [(*one, self._is_alive(one[0])) for one in known]

    def _is_alive(self, life: int) -> bool:
        try:
            return is_locked(life_file(self.path, life))
        except OSError:
            return True  # another user's: nobody can tell

    def oldest(self) -> tuple[float | None, float | None]:
        """Return when the first was due that waits, and when the first was put that has an outcome.

        Only outcomes count that nobody has heard.
        """
        try:
            [due] = self._db.execute(
                "SELECT min(due) FROM pykka_smtp_mail WHERE state = 'ready'"
            ).fetchone()
            [told] = self._db.execute(
                "SELECT min(put_at) FROM pykka_smtp_mail WHERE state = 'told'"
            ).fetchone()
        except sqlite3.Error as error:
            raise error_of(error, str(self.path)) from error
        return due, told


def _is_to(mail: StoredMail, domain: str | None, recipient: str | None) -> bool:
    if domain is not None and domain.lower() not in domains_of(mail):
        return False
    part = (recipient or "").lower()
    return not part or any(part in address.lower() for address in mail.recipients)


def domains_of(mail: StoredMail) -> set[str]:
    """Return the domains of an email's recipients, in lower case."""
    return {address.rpartition("@")[2].lower() for address in mail.recipients}


def open_to_read(path: Path, timeout: float = _READ_TIMEOUT) -> sqlite3.Connection:
    """Open a file that has an outbox for reading only.

    Args:
        path: the file.
        timeout: seconds to wait while it is locked.

    Raises:
        OutboxError: it has none, or cannot be read.
    """
    try:
        connection = _connect(path, timeout)
        try:
            version = schema.version_of(connection)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise error_of(error, str(path)) from error
    if version is None or version > schema.VERSION:
        connection.close()
        if version is None:
            raise OutboxError(f"{path} is no outbox: it has no table of one")
        raise OutboxError(
            f"{path} was written by a newer pykka-smtp (its schema is {version}, this one knows"
            f" {schema.VERSION}): upgrade this program"
        )
    return connection


def _connect(path: Path, timeout: float) -> sqlite3.Connection:
    try:
        return _connected(path, "mode=ro", timeout)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in {_CANTOPEN, _READONLY} or _has_log(path):
            raise
        # A copy on a disk that cannot be written: nobody writes, and there is no log to read.
        return _connected(path, "mode=ro&immutable=1", timeout)


def _connected(path: Path, how: str, timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}",
        uri=True,
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _has_log(path: Path) -> bool:
    try:
        return side_file(path, "wal").stat().st_size > 0
    except OSError:
        return False

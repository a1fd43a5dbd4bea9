"""`SealedStore`: an outbox in an SQLite file that nobody can read who has no key."""

import contextlib
import dataclasses
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..text.mail_text import is_whole
from ..text.seals import NO_DIGEST, SealError, Seals, sealed_of
from .errors import OutboxError
from .notes import OutcomeNotes
from .records import Clash, Ending, Later, NewMail, Row, StoredMail
from .sqlite.sqlite_store import SqliteStore, proof_in

_MOST_FILTERED = 10_000


class SealedStore(SqliteStore):
    """A `SqliteStore` whose emails, attempts and outcomes are sealed.

    Args:
        path: the file.
        alias: whose outcomes this life publishes.
        seals: seals and opens.
        hears: whether it publishes outcomes.
        sends: whether it sends emails.

    Raises:
        OutboxError: the file cannot be used, or was sealed with another key.
    """

    def __init__(
        self, path: Path, alias: str, seals: Seals, *, hears: bool = True, sends: bool = True
    ) -> None:
        self._seals = seals
        super().__init__(path, alias, hears=hears, sends=sends)
        try:
            with self.look():
                is_new = proof_in(self._db) is None
            if is_new:
                with self.turn(is_durable=True):
                    self._db.execute(
                        "INSERT INTO pykka_smtp_meta VALUES ('seal', ?)", (seals.proof(),)
                    )
        except BaseException as error:
            self.close()
            if isinstance(error, SealError):
                raise OutboxError(f"{self.path}: {error}") from None
            raise

    def _check_seal(self, connection: sqlite3.Connection) -> None:
        proof = proof_in(connection)
        if proof is not None and not self._seals.opens(proof):
            raise OutboxError(
                f"{self.path} was sealed with another key, and is left as it is: start it with the"
                " seal and open that it was made with"
            )

    def _open_notes(self) -> OutcomeNotes | None:
        return None  # they are written on the loop thread, which must not wait for a seal

    def put(self, mails: Sequence[NewMail]) -> list[int | Clash]:
        """See `Store`."""
        sealed = [self._sealed(mail) for mail in mails]
        results = super().put(sealed)
        return [self._compared(*both) for both in zip(results, mails, strict=True)]

    def _sealed(self, mail: NewMail) -> NewMail:
        seals, body = self._seals, mail.body
        assert isinstance(body, bytes)  # one in a file beside was refused before
        return dataclasses.replace(
            mail, env=seals.text(mail.env), body=seals.body(body), digest=NO_DIGEST, size=-1
        )

    def _compared(self, result: int | Clash, mail: NewMail) -> int | Clash:
        """Return a clash that knows whether it is the same email, as far as can be told."""
        row = None if isinstance(result, int) else self.get(result.seq)
        if isinstance(result, int) or row is None:
            return result
        body = row.body if isinstance(row.body, bytes) and sealed_of(row.env) is None else b""
        is_same = not body or is_whole(row.env, body, mail.digest)
        return dataclasses.replace(result, is_same=is_same)

    def tell(self, endings: Sequence[Ending]) -> set[int]:
        """See `Store`."""
        for one in endings:
            # In place: a turn that failed is tried again, and looks whether it is in the file.
            one.outcome = self._seals.text(one.outcome)
        return super().tell(endings)

    def again(self, laters: Sequence[Later]) -> None:
        """See `Store`."""
        for one in laters:
            one.past = None if one.past is None else self._seals.text(one.past)
        super().again(laters)

    def find(self, **wanted: Any) -> list[StoredMail]:
        """See `Store`."""
        recipient = wanted.pop("recipient", None)
        if recipient is None:
            return super().find(**wanted)
        limit = wanted.pop("limit", 100)
        found = super().find(limit=_MOST_FILTERED, **wanted)
        part = recipient.lower()
        return [one for one in found if any(part in r.lower() for r in one.recipients)][:limit]

    def _opened(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        *values, outcome, past, env = row
        with contextlib.suppress(ValueError):
            return (*values, *[self._text(text) for text in (outcome, past, env)])
        return row

    def _rows(self, seqs: Sequence[int], known: Collection[int] = ()) -> list[Row]:
        rows = super()._rows(seqs, known)
        for row in rows:
            # One that cannot be opened stays as it is: whoever takes it holds it, and says so.
            with contextlib.suppress(ValueError):
                row.outcome, row.past = self._text(row.outcome), self._text(row.past)
                env = self._text(row.env)
                if env is not None and env != row.env:
                    body = row.body
                    if body and isinstance(body, bytes):
                        body = self._seals.open_body(body)
                    row.env, row.body = env, body
        return rows

    def _text(self, text: str | None) -> str | None:
        return self._seals.open_text(text) if text else text


def open_store(path: Path, alias: str, options: Mapping[str, Any]) -> SqliteStore:
    """Open the file of an outbox.

    Args:
        path: the file.
        alias: whose outcomes this life publishes.
        options: those of an `Outbox`.

    Raises:
        OutboxError: it cannot be used.
    """
    hears, sends = options["hear"], options["send"]
    if options["seal"] is None:
        return SqliteStore(path, alias, hears=hears, sends=sends)
    seals = Seals(options["seal"], options["open"])
    return SealedStore(path, alias, seals, hears=hears, sends=sends)

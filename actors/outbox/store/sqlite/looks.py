"""What of an outbox can be looked at: emails, counts, changes. Writes nothing."""

import contextlib
import functools
import itertools
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from ...rules.states import State
from ...text.seals import sealed_of
from ..bodies import Bodies, BodyFile
from ..errors import error_of
from ..records import Row, StoredMail
from .statements import (
    OWNED,
    chunks,
    columns_of_bodies,
    detail_of,
    json_of,
    like_in_json,
    readable_of,
    spare,
)

_COUNTS = {
    State.READY: "state = 'ready'",
    State.CLAIMED: f"{OWNED} AND state = 'claimed'",
    State.DOT: f"{OWNED} AND state = 'dot'",
    State.TOLD: f"{OWNED} AND state = 'told'",
    State.HEARD: "state = 'heard'",
    State.HELD: "state = 'held'",
}
_NAMES = (
    "id, key, alias, state, priority, put_at, due, expires, attempts, doubts, crashes, size,"
    " is_sent, at_least_once"
)

# In the order of `Row`.
_HEARD = "seq, id, key, alias, priority, expires, put_at, at_least_once, home, doubts, crashes, "
_ROW = _HEARD + "replays, past, outcome, env"
_SPARE = _HEARD + "replays, past, outcome, ''"

SEALED = "(sealed)"
"""The sender of an email that this process cannot open."""
_UNREADABLE = "(cannot be read)"


class Looks:
    """The reading half of a `SqliteStore`; also for a connection that was opened for reading."""

    path: Path
    _db: sqlite3.Connection
    _seen: int

    @functools.cached_property
    def bodies(self) -> Bodies:
        """The bodies that are in files beside."""
        return Bodies(self.path)

    def find(self, **wanted: Any) -> list[StoredMail]:
        """Return emails, the oldest first.

        Args:
            wanted: those of `Find`: ``state``, ``name``, ``alias``, ``recipient`` and ``limit``;
                and ``after``, a number, to go on after the last one.
        """
        where, args = ["seq > ?"], [wanted.get("after") or 0]
        for name in ("state", "alias"):
            if wanted.get(name) is not None:
                where.append(f"{name} = ?")
                args.append(wanted[name])
        if wanted.get("name") is not None:
            where.append("(key = ? OR id = ?)")
            args += [wanted["name"]] * 2
        limit = wanted.get("limit", 100)
        if wanted.get("recipient") is None:
            return list(self._select(where, args, limit))
        # Somewhere in the text of the email; and there it is looked at more closely.
        where.append("env LIKE ? ESCAPE '\\'")
        args.append(like_in_json(wanted["recipient"]))
        part = wanted["recipient"].lower()
        found = (m for m in self._select(where, args, -1) if _is_to(m, part))
        return list(itertools.islice(found, limit))

    def _select(
        self, where: Sequence[str], args: Sequence[Any], limit: int
    ) -> Iterator[StoredMail]:
        """Yield the emails to which all conditions apply, the oldest first.

        Raises:
            OutboxError: they cannot be read.
        """
        try:
            rows = self._db.execute(
                f"SELECT {_NAMES}, outcome, past, env FROM pykka_smtp_mail"
                f" WHERE {' AND '.join(where)} ORDER BY seq LIMIT ?",
                (*args, limit),
            )
            for row in rows:
                yield _stored(self._opened(row))
        except sqlite3.Error as error:
            raise error_of(error, str(self.path)) from error

    def _opened(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return a row whose last three, outcome, attempts and env, are not sealed."""
        return row

    def _rows(self, seqs: Sequence[int], known: Collection[int] = ()) -> list[Row]:
        """Return emails with their text, in this order."""
        unknown = [seq for seq in seqs if seq not in known]
        rows: dict[int, Row] = {}
        for wanted, names in ((unknown, _ROW), ([s for s in seqs if s in known], _SPARE)):
            if wanted:
                found = self._db.execute(
                    f"SELECT json_group_array(json_array({names})) FROM pykka_smtp_mail"
                    " WHERE seq IN (SELECT value FROM json_each(?))",
                    (str(wanted),),
                ).fetchone()
                for values_ in json_of(found[0]):
                    values_[7] = bool(values_[7])
                    rows[values_[0]] = Row(*values_)
        for chunk in chunks(unknown):
            padded: list[int | None] = [*chunk, *[None] * spare(len(chunk))]
            bodies = self._db.execute(columns_of_bodies(len(chunk)), padded).fetchone()
            for seq, body in zip(chunk, bodies, strict=False):
                if seq in rows:
                    rows[seq].body = self._beside(body) if type(body) is str else body or b""
        return [rows[seq] for seq in seqs if seq in rows]

    def _beside(self, text: str) -> bytes | BodyFile:
        """Return the file of a body; or the body, if it must be in memory to be sent."""
        try:
            file = self.bodies.of(text)
        except ValueError as error:
            return BodyFile(self.path, 0, b"", is_whole=True, problem=str(error))
        if file.is_whole:
            with contextlib.suppress(ValueError, OSError):
                return file.read()
        return file

    def files_named(self) -> set[str]:
        """Return the names of the files of bodies that emails have.

        Raises:
            ValueError: some of them cannot be read.
        """
        rows = self._db.execute(
            "SELECT data FROM pykka_smtp_body WHERE typeof(data) = 'text'"
        ).fetchall()
        return {self.bodies.of(text).path.name for (text,) in rows}

    def get(self, seq: int) -> Row | None:
        """See `Store`."""
        return next(iter(self._rows([seq])), None)

    def counts(self) -> dict[str, int]:
        """See `Store`."""
        # One for each state, as each has an index: to group by state would read all emails.
        columns = [
            f"(SELECT count(*) FROM pykka_smtp_mail WHERE {where})" for where in _COUNTS.values()
        ]
        found = self._db.execute(f"SELECT {', '.join(columns)}").fetchone()
        return {state.value: count for state, count in zip(_COUNTS, found, strict=True)}

    def octets(self) -> int:
        """See `Store`."""
        pages = [
            self._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        ]
        octets: int = (pages[0] - pages[1]) * pages[2]
        return octets + sum(self.bodies.sizes().values())

    def undelivered(self) -> int:
        """See `Store`."""
        states = (State.READY, State.CLAIMED, State.DOT)
        columns = [
            f"(SELECT count(*) FROM pykka_smtp_mail WHERE {_COUNTS[state]})" for state in states
        ]
        [count] = self._db.execute(f"SELECT {' + '.join(columns)}").fetchone()
        return int(count)

    def undone(self, alias: str, *, until_heard: bool) -> bool:
        """See `Store`."""
        owned = OWNED if until_heard else f"{OWNED} AND state <> 'told'"
        # Not by the index of keys, as it would look at all that were ever sent.
        one = "SELECT EXISTS (SELECT 1 FROM pykka_smtp_mail WHERE +alias = ? AND"
        return any(
            self._db.execute(f"{one} {which})", (alias,)).fetchone()[0]
            for which in (owned, "state = 'ready'")
        )

    def has_changed(self) -> bool:
        """See `Store`."""
        [version] = self._db.execute("PRAGMA data_version").fetchone()
        seen, self._seen = self._seen, version
        return bool(version != seen)


def _is_to(mail: StoredMail, part: str) -> bool:
    return any(part in address.lower() for address in mail.recipients)


def _stored(row: tuple[Any, ...]) -> StoredMail:
    *values, outcome, past, env = row
    named = dict(zip(_NAMES.replace("\n", "").split(","), values, strict=True))
    named = {name.strip(): value for name, value in named.items()}
    made = readable_of(env)
    everybody = (*made.get("to", ()), *made.get("cc", ()), *made.get("bcc", ()))
    named["is_sent"] = None if named["is_sent"] is None else bool(named["is_sent"])
    named["at_least_once"] = bool(named["at_least_once"])
    return StoredMail(
        sender=made.get("from", SEALED if sealed_of(env) else _UNREADABLE),
        recipients=everybody,
        detail=detail_of(outcome, past),
        **named,
    )

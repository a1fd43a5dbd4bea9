"""The steps of emails through an SQLite file, in one transaction each turn."""

from collections.abc import Collection, Sequence

from ...rules.states import ALONE_AFTER, State
from ..records import Claims, Clash, Ending, Later, NewMail, Row
from .looks import Looks
from .statements import OWNED, chunks, json_of, spare, values

_MAIL = (
    "seq, id, key, alias, digest, env, size, priority, due, expires, put_at, at_least_once, state,"
    " owner, home"
)


class Steps(Looks):
    """The part of a `SqliteStore` that writes what happens to emails."""

    life: int
    _hears: bool

    def put(self, mails: Sequence[NewMail]) -> list[int | Clash]:
        """See `Store`."""
        db, life = self._db, self.life
        last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'pykka_smtp_mail'")
        first = (last.fetchone() or (0,))[0] + 1
        home = life if self._hears else None
        results: list[int | Clash] = []
        for chunk in chunks(list(enumerate(mails, first))):
            rows = [
                value
                for seq, m in chunk
                for value in (
                    *(seq, m.id, m.key, m.alias, m.digest, m.env, m.size, m.priority),
                    *(m.due, m.expires, m.put_at, m.at_least_once),
                    *(("claimed", life) if m.claim else ("ready", None)),
                    home,
                )
            ]
            done = db.execute(
                f"INSERT OR IGNORE INTO pykka_smtp_mail ({_MAIL}) SELECT * FROM"
                f" ({values(15, len(chunk))}) WHERE column1 IS NOT NULL",
                [*rows, *[None] * (15 * spare(len(chunk)))],
            )
            found: list[int | Clash] = [seq for seq, _ in chunk]
            if done.rowcount != len(chunk):
                found = [self._clash_of(seq, mail) for seq, mail in chunk]
            results += found
            new = [one for one, result in zip(chunk, found, strict=True) if result == one[0]]
            for part in chunks(new):
                bodies = [value for seq, mail in part for value in (seq, mail.body)]
                db.execute(
                    f"INSERT INTO pykka_smtp_body SELECT * FROM ({values(2, len(part))})"
                    " WHERE column1 IS NOT NULL",
                    [*bodies, *[None] * (2 * spare(len(part)))],
                )
        return results

    def _clash_of(self, seq: int, mail: NewMail) -> int | Clash:
        found = self._db.execute(
            "SELECT seq, id, digest, state FROM pykka_smtp_mail WHERE alias = ? AND key = ?",
            (mail.alias, mail.key),
        ).fetchone()
        if found[0] == seq:
            return seq
        return Clash(found[0], found[1], found[2] == mail.digest, State(found[3]))

    def take_back(self, mails: Sequence[NewMail]) -> None:
        """See `Store`."""
        for mail in mails:
            where = (
                "alias = ? AND key = ? AND id = ? AND put_at = ? AND state IN ('ready', 'claimed')"
            )
            values_ = (mail.alias, mail.key, mail.id, mail.put_at)
            self._db.execute(
                "DELETE FROM pykka_smtp_body WHERE seq IN"
                f" (SELECT seq FROM pykka_smtp_mail WHERE {where})",
                values_,
            )
            self._db.execute(f"DELETE FROM pykka_smtp_mail WHERE {where}", values_)
        self.bodies.is_to_collect = True

    def claim(
        self, now: float, most: int, known: Collection[int] = (), *, alone: bool = False
    ) -> Claims:
        """See `Store`."""
        db = self._db
        claims = Claims()
        seqs: list[int] = []
        crashes = f"crashes {'>=' if alone else '<'} {ALONE_AFTER}"
        for priority in self._priorities():
            if len(seqs) < most:
                found = db.execute(
                    "SELECT json_group_array(seq) FROM (SELECT seq FROM pykka_smtp_mail"
                    f" WHERE state = 'ready' AND priority = ? AND due <= ? AND {crashes}"
                    " ORDER BY due, seq LIMIT ?)",
                    (priority, now, most - len(seqs)),
                ).fetchone()
                seqs += json_of(found[0])
        if seqs:
            db.execute(
                "UPDATE pykka_smtp_mail SET state = 'claimed', owner = ?"
                " WHERE seq IN (SELECT value FROM json_each(?)) AND state = 'ready'",
                (self.life, str(seqs)),
            )
            claims.rows = self._rows(seqs, known)
        for priority in self._priorities():
            due = db.execute(
                "SELECT due FROM pykka_smtp_mail WHERE state = 'ready' AND priority = ?"
                f" AND crashes < {ALONE_AFTER} ORDER BY due LIMIT 1",
                (priority,),
            ).fetchone()
            if due is not None and (claims.next_due is None or due[0] < claims.next_due):
                claims.next_due = due[0]
        due = db.execute(
            "SELECT min(due) FROM pykka_smtp_mail"
            f" WHERE state = 'ready' AND crashes >= {ALONE_AFTER}"
        ).fetchone()
        claims.alone_due = due[0]
        return claims

    def _priorities(self) -> list[int]:
        found = self._db.execute(
            "WITH RECURSIVE p(v) AS (SELECT max(priority) FROM pykka_smtp_mail WHERE state='ready'"
            " UNION ALL SELECT (SELECT max(priority) FROM pykka_smtp_mail WHERE state='ready'"
            " AND priority < v) FROM p WHERE v IS NOT NULL)"
            " SELECT json_group_array(v) FROM p WHERE v IS NOT NULL"
        ).fetchone()
        priorities: list[int] = json_of(found[0])
        return priorities

    def mark(self, seqs: Sequence[int]) -> set[int]:
        """See `Store`."""
        done = self._db.execute(
            "UPDATE pykka_smtp_mail SET state = 'dot'"
            " WHERE seq IN (SELECT value FROM json_each(?)) AND state = 'claimed' AND owner = ?",
            (str(list(seqs)), self.life),
        )
        return set() if done.rowcount == len(seqs) else set(seqs) - self._own(seqs, "dot")

    def _own(self, seqs: Sequence[int], state: str) -> set[int]:
        found = self._db.execute(
            "SELECT json_group_array(seq) FROM pykka_smtp_mail"
            " WHERE seq IN (SELECT value FROM json_each(?)) AND state = ? AND owner = ?",
            (str(list(seqs)), state, self.life),
        ).fetchone()
        return set(json_of(found[0]))

    def tell(self, endings: Sequence[Ending]) -> set[int]:
        """See `Store`."""
        lost: set[int] = set()
        for chunk in chunks(endings):
            rows = [
                value
                for e in chunk
                for value in (e.seq, e.outcome, e.is_sent, self.life if e.publishes else None)
            ]
            # Not WITH ... UPDATE, of which the module does not tell how many rows it has changed.
            done = self._db.execute(
                "UPDATE pykka_smtp_mail SET state = 'told', outcome = v.column2,"
                " is_sent = v.column3, past = NULL, owner = v.column4"
                f" FROM ({values(4, len(chunk))}) AS v"
                " WHERE pykka_smtp_mail.seq = v.column1 AND pykka_smtp_mail.owner = ?"
                " AND state IN ('claimed', 'dot')",
                [*rows, *[None] * (4 * spare(len(chunk))), self.life],
            )
            if done.rowcount != len(chunk):
                # Lost are those that do not have this outcome now.
                lost |= {e.seq for e in chunk if not self._has_outcome(e)}
        return lost

    def _has_outcome(self, ending: Ending) -> bool:
        found = self._db.execute(
            "SELECT 1 FROM pykka_smtp_mail WHERE seq = ? AND state = 'told' AND outcome = ?"
            " AND owner IS ?",
            (ending.seq, ending.outcome, self.life if ending.publishes else None),
        ).fetchone()
        return found is not None

    def again(self, laters: Sequence[Later]) -> None:
        """See `Store`."""
        for chunk in chunks(laters):
            rows = [v for one in chunk for v in (one.seq, one.due, one.past, one.doubts)]
            self._db.execute(
                "UPDATE pykka_smtp_mail SET state = 'ready', owner = NULL, put_off = 1,"
                " due = v.column2, past = v.column3, doubts = v.column4,"
                " attempts = coalesce(json_extract(v.column3, '$.count'), 0)"
                f" FROM ({values(4, len(chunk))}) AS v WHERE pykka_smtp_mail.seq = v.column1"
                " AND owner = ? AND state IN ('claimed', 'dot')",
                [*rows, *[None] * (4 * spare(len(chunk))), self.life],
            )

    def give_back(self, seqs: Sequence[int]) -> None:
        """See `Store`."""
        self._db.execute(
            "UPDATE pykka_smtp_mail SET state = 'ready', owner = NULL"
            " WHERE seq IN (SELECT value FROM json_each(?)) AND owner = ?"
            " AND state IN ('claimed', 'dot')",
            (str(list(seqs)), self.life),
        )

    def set_aside(self, seq: int, *, in_doubt: bool = True) -> None:
        """See `Store`."""
        self._db.execute(
            "UPDATE pykka_smtp_mail SET state = 'held', owner = NULL, expires = NULL,"
            " doubts = doubts + (state = 'dot' AND ?)"
            " WHERE seq = ? AND owner = ? AND state IN ('claimed', 'dot')",
            (in_doubt, seq, self.life),
        )

    def hear(self, seqs: Sequence[int], now: float) -> None:
        """See `Store`."""
        self._db.execute(
            "UPDATE pykka_smtp_mail SET state = 'heard', owner = NULL, ended_at = ?"
            " WHERE seq IN (SELECT value FROM json_each(?)) AND state = 'told'"
            # Or nobody's: given back by `reconcile` while it was being published.
            " AND (owner = ? OR owner IS NULL)",
            (now, str(list(seqs)), self.life),
        )
        # With it until here: whoever hears of it may look at the email.
        self._db.execute(
            "DELETE FROM pykka_smtp_body WHERE seq IN (SELECT seq FROM pykka_smtp_mail"
            # The plus: not by the index of all that were heard.
            " WHERE seq IN (SELECT value FROM json_each(?)) AND +state = 'heard' AND +is_sent = 1)",
            (str(list(seqs)),),
        )
        self.bodies.is_to_collect = True

    def take_told(self, alias: str, most: int) -> list[Row]:
        """See `Store`."""
        found = self._db.execute(
            "SELECT json_group_array(seq) FROM (SELECT seq FROM pykka_smtp_mail"
            f" WHERE {OWNED} AND state = 'told' AND owner IS NULL AND +alias = ?"
            " AND (home IS NULL OR home = ? OR home NOT IN (SELECT id FROM pykka_smtp_life))"
            " ORDER BY seq LIMIT ?)",
            (alias, self.life, most),
        ).fetchone()
        seqs: list[int] = json_of(found[0])
        if not seqs:
            return []
        self._db.execute(
            "UPDATE pykka_smtp_mail SET owner = ? WHERE seq IN (SELECT value FROM json_each(?))",
            (self.life, str(seqs)),
        )
        return self._rows(seqs)
